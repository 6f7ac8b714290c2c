//! Kvorum's custom resources as Rust types, and nothing else.
//!
//! What it is for: one definition of `KvCluster` from which the CRD in `crds/` is generated and with which the operator
//! reads and writes. What it must keep true: every field is described, every default is in the generated schema (so that
//! users see it), and every refusal is a sentence that says what is allowed. What it deliberately does not do: no client,
//! no decisions; those are `kvorum-operator` and `kvorum-plan`.

pub mod cluster;
pub mod conditions;
pub mod generate;
mod schema;
pub mod status;

pub use cluster::{KvCluster, KvClusterSpec};
pub use status::KvClusterStatus;
