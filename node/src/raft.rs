//! Consensus: Kvorum's side of openraft. Everything that names openraft lives in this folder, so that a change of the
//! library, which is an alpha, stays here.
//!
//! What this folder keeps true:
//! 1. An entry is acknowledged to the leader only after the WAL holding it was synced; a vote is on disk before it is
//!    answered (`log_store`).
//! 2. Only `state_machine` applies commands to the store, in log order, each exactly once.
//! 3. Events and answers leave only after everything applied in the batch was published to readers.
//! 4. A peer speaks only within its own cluster and only to the member it means to (`frame::Hello`).
//! 5. A fatal error of the library or of the disk ends the process: half a member is worse than none.
//!
//! It deliberately knows nothing of HTTP, gRPC or authorization.

pub mod answer;
mod broken_rules;
#[cfg(feature = "simulation")]
pub mod engine_task;
#[cfg(not(feature = "simulation"))]
pub mod engine_writer;
pub mod forward;
pub mod frame;
pub mod leadership;
pub mod line;
pub mod log_index;
pub mod log_length;
pub mod log_records;
pub mod log_store;
pub mod network;
pub mod peer_counts;
pub mod peers;
pub mod read_index;
pub mod routes;
pub mod settings;
pub mod snapshots;
pub mod state_machine;
pub mod transfer;

#[cfg(test)]
mod conformance;

#[cfg(feature = "simulation")]
use engine_task as engine_writer;

use std::fmt;

use bytes::Bytes;
use openraft::{EntryPayload, LogId, RaftTypeConfig};
use serde::{Deserialize, Serialize};

use crate::config::InitialMember;

pub use answer::Answer;

/// What openraft replicates: one encoded [`kvorum_store::Command`], opaque to consensus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

/// Where a member is reached; replicated as part of the membership.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemberNode {
    /// The member's name, which its certificate carries.
    pub name: String,
    /// URLs other members dial, in order of preference.
    pub peer_urls: Vec<String>,
    /// URLs clients may use.
    pub client_urls: Vec<String>,
}

impl From<&InitialMember> for MemberNode {
    /// A founder as all founders know it: they must begin with the same membership, whether they found a cluster or are
    /// restored from a snapshot, so it holds only what every one of them was told.
    fn from(member: &InitialMember) -> Self {
        Self {
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: Vec::new(),
        }
    }
}

/// openraft's type parameters: standard Raft, at most one leader per term, tokio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl RaftTypeConfig for Types {
    type D = Proposal;
    type R = Answer;
    type NodeId = u64;
    type Node = MemberNode;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Self::D, Self::NodeId, Self::Node>;
    type Entry = openraft::alias::DefaultEntryOf<Self>;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type AsyncRuntime = openraft_rt_tokio::TokioRuntime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// A replicated log entry.
pub type Entry = openraft::alias::EntryOf<Types>;
/// A position in the replicated log: term and index.
pub type EntryId = openraft::alias::LogIdOf<Types>;
/// A vote as it is persisted.
pub type Vote = openraft::alias::VoteOf<Types>;
/// Membership with the entry that set it.
pub type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
/// Who votes and who learns.
pub type Membership = openraft::Membership<u64, MemberNode>;
/// The handle to a running member.
pub type Raft = openraft::Raft<Types, state_machine::StateMachine>;

/// The entry id of `(term, index)`.
pub fn entry_id(term: u64, index: u64) -> EntryId {
    LogId::new_term_index(term, index)
}
