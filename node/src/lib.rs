//! The Kvorum storage node.
//!
//! | module | what it is |
//! |---|---|
//! | `config`, `duration`, `identity`, `telemetry` | what the process was asked to do, who it is, what it says |
//! | `server`, `situation` | the wiring: start order, accept loops, shutdown order; what the process is just now |
//! | `descriptors`, `held`, `seldom` | how many connections there may be, and what is held for them; what is said once in a while |
//! | `http`, `grpc`, `health`, `metrics` | the edges: decode, call `service`, encode; they contain no rule |
//! | `auth` | whom to believe: passwords, tokens, certificates |
//! | `tls` | certificates, reloaded from disk without a restart |
//! | `service` | the one door: validate, then propose or read |
//! | `cli` | the commands that talk to a cluster |
//! | `lease` | the lease clock, keepalives in batches, the end of what has expired |
//! | `watch` | who is told of which event: the hub, its feed, and a session for each stream of watches |
//! | `raft`, `sled_engine`, `recovery`, `fatal` | consensus, the engine behind the state, what to believe at start |
//! | `net`, `background` | the network between members, and work that blocks: the system's, or a simulation's |
//! | `simulation` | what stands for the system in a simulated member (`tests/simulation`); not in a real one |
//! | `check` | a data directory looked at, and what a node would do with it |
//! | `restore` | a data directory for a new cluster, made of a backup |
//!
//! The modules are a library only so that tests can reach them; nothing outside this repository depends on it.

pub mod auth;
pub mod background;
pub mod check;
pub mod cli;
pub mod config;
pub mod descriptors;
pub mod disk;
pub mod duration;
pub mod fatal;
pub mod grpc;
pub mod health;
pub mod held;
pub mod http;
pub mod identity;
pub mod lease;
pub mod metrics;
pub mod net;
pub mod raft;
pub mod recovery;
pub mod restore;
pub mod seldom;
pub mod server;
pub mod service;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod situation;
pub mod sled_engine;
pub mod telemetry;
pub mod tls;
pub mod watch;

/// Version of this software.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of etcd whose API this software holds itself to; clients choose features by it.
pub const ETCD_VERSION: &str = "3.7.3";

/// The version that the members of such a cluster and its storage agree on: etcd's is always the first of a minor one.
pub const CLUSTER_VERSION: &str = "3.7.0";
