//! What a Kvorum command means: etcd's multi-version keys, transactions, leases, compaction, auth and alarms,
//! as a pure state
//! machine.
//!
//! A [`Store`] applies [`Command`]s from the log, one after another, in memory; [`Store::publish`] shows readers all
//! of a batch at once; [`Store::take_writes`] hands out what an [`Engine`] must hold behind it. A [`Reader`] answers
//! from the newest published state and a [`View`] from one that is frozen; neither waits for the writer, nor it for
//! them.
//!
//! ```text
//! log ─► Command ─► Store::apply ─► Outcome { response, events, revision }
//!                        │
//!                        ├─ publish ──────► Reader, View    (records: pending ► cache ► engine)
//!                        └─ take_writes ──► Writes::commit ─► Engine
//! ```
//!
//! **Revisions.** The store begins at revision 1. A command that changes at least one key makes one new revision, and
//! its changes are numbered within it. A command that changes no key (a deletion of nothing, a grant, a refused put)
//! makes none. Each change leaves a record; the index says which records make up the key space at any revision that
//! was not compacted.
//!
//! **What apply promises.** The same commands give the same state, byte for byte, on every member and every engine:
//! no clock, no randomness, no unordered map. A refused command is an outcome and changes nothing but the position.
//! Only the engine can fail, and then the process must stop. Events exist only in the outcome; showing them to
//! watchers after publishing is the caller's business.
//!
//! **Caveats.** The engine may lag behind, so what it holds after a crash is some earlier position: the log is
//! replayed from [`Store::applied`]. Requests are expected to have passed [`validate`]; one that has not cannot hurt
//! the state, but may be answered where etcd would refuse it.

mod alarm;
mod apply;
pub mod auth;
mod command;
mod compaction;
mod draft;
pub mod engine;
mod hash;
mod index;
mod keyspace;
mod lease;
mod outcome;
mod range;
mod record;
mod revision;
mod shared;
pub mod snapshot;
mod state;
mod store;
#[cfg(test)]
mod testing;
mod tree;
mod txn;
pub mod validate;
mod values;
mod view;
pub mod watch;

pub use alarm::bytes_needed;
pub use auth::{Act, AuthCommand, Credential, Tokens, Who};
pub use command::{Command, DecodeError, LeaseRemaining};
pub use engine::{Batch, Engine, EngineError, MemoryEngine, Operation};
pub use hash::Fingerprint;
pub use kvorum_api::error::Refusal;
/// One change of one key, as watchers see it.
pub use kvorum_api::mvccpb::Event;
pub use lease::{Lease, TTL_SECONDS_MAX};
pub use outcome::{Fencing, Outcome, ReadError, Response};
pub use revision::{LogPosition, Revision};
pub use snapshot::SnapshotError;
pub use store::{OpenError, Options, Store, Writes};
pub use validate::Limits;
pub use view::{Reader, Replay, View};
