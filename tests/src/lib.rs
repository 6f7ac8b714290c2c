//! The harness of the black-box tests: clusters of real `kvorum` processes on loopback, spoken to as users would.
//!
//! What it keeps true: every wait is on a condition and has a bound; every process is ended, by its id, when its owner
//! goes out of scope; logs stay, and are printed, when a test fails; whatever is drawn at random comes from a printed
//! seed. It knows nothing of the node's insides: it reads and writes the public API, with its own small HTTP client, so
//! that a fault in Kvorum's client cannot hide one in the server.
//!
//! The node is the release binary: `$KVORUM_BIN`, or `release/kvorum` below `$CARGO_TARGET_DIR`.

#![allow(
    clippy::print_stdout,
    reason = "what a test prints is read when it fails, and its figures when it does not"
)]

pub mod checks;
pub mod cluster;
pub mod etcd;
pub mod faults;
pub mod footprint;
pub mod grpc;
pub mod history;
pub mod load;
pub mod operator;
pub mod pki;
pub mod ports;
pub mod power;
pub mod process;
pub mod raw;
pub mod reference;
pub mod requests;
pub mod rpc;
pub mod seed;
pub mod shell;
pub mod sides;
pub mod stream;
pub mod wait;
pub mod web;
pub mod workload;
