//! Black-box tests: clusters of real `kvorum` processes, spoken to as a user would.
//!
//! A test starts its own cluster, so tests need no order and share nothing. What a test draws at random it draws from a
//! seed that it prints (`KVORUM_SEED` repeats it).

#![allow(clippy::unwrap_used, reason = "in a test, a panic with its place is the report")]
#![allow(
    clippy::print_stdout,
    reason = "seeds and figures are part of what these tests are for"
)]

mod admin;
mod alarms;
mod auth;
mod auth_bypass;
mod bounds;
mod certificates;
mod cli;
mod cli_bench;
mod cli_restore;
mod cli_users;
mod clients;
mod concurrency;
mod corruption;
mod crash;
mod damage;
mod differential;
mod errors;
mod etcdctl;
mod failures;
mod far_behind;
mod faults;
mod growth;
mod grpc;
mod handover;
mod identity;
mod kv;
mod lease;
mod lease_plain;
mod linearizability;
mod maintenance;
mod members;
mod membership;
mod metrics;
mod plain;
mod power_cut;
mod probes;
mod range_stream;
mod snapshot_transfer;
mod steady;
mod surface;
mod watch;
mod watch_json;
mod watch_plain;
mod watch_scale;
mod wrong;
