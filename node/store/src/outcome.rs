//! What applying a command gives back: an answer, the events for watchers, and the revision.
//!
//! A refused command is an outcome like any other: it was decided, it changed nothing, and every member decides it
//! alike.

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{
    AlarmResponse, CompactionResponse, DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse, PutResponse,
    ResponseHeader, TxnResponse,
};
use kvorum_api::mvccpb::Event;

use crate::auth::Tokens;
use crate::engine::EngineError;

/// The result of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The answer to the caller, or why nothing was done.
    pub response: Result<Response, Refusal>,
    /// What changed, in the order of sub-revisions; to be shown to watchers after [`crate::Store::publish`], never
    /// before. `prev_kv` is not filled: [`crate::View::get`] gives it to the few who ask.
    pub events: Vec<Event>,
    /// Revision of the store after the command.
    pub revision: i64,
    /// What the command means for the tokens that every member keeps in memory.
    pub tokens: Option<Tokens>,
}

/// The answer to a command that was not refused. Headers carry `revision` only; the node fills the rest.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Answer to [`crate::Command::Put`].
    Put(PutResponse),
    /// Answer to [`crate::Command::DeleteRange`].
    DeleteRange(DeleteRangeResponse),
    /// Answer to [`crate::Command::Txn`].
    Txn(TxnResponse),
    /// Answer to [`crate::Command::Compact`].
    Compact(CompactionResponse),
    /// Answer to [`crate::Command::LeaseGrant`].
    LeaseGrant(LeaseGrantResponse),
    /// Answer to [`crate::Command::LeaseRevoke`] and to [`crate::Command::LeaseExpire`].
    LeaseRevoke(LeaseRevokeResponse),
    /// Answer to [`crate::Command::LeaseCheckpoint`].
    LeaseCheckpoint {
        /// The granted time of each lease, in seconds and in the command's order; zero for those passed over.
        ttls: Vec<i64>,
    },
    /// Answer to [`crate::Command::Fence`].
    Fence(Fencing),
    /// Answer to the commands of [`crate::Command::Auth`] that change users and roles: they are done.
    Auth,
    /// Answer to [`crate::AuthCommand::Authenticate`].
    Authenticated {
        /// Index of the command in the log, which is the public part of the token.
        index: u64,
    },
    /// Answer to [`crate::Command::Alarm`] and [`crate::Command::Disk`].
    Alarm(AlarmResponse),
}

/// Whether an epoch may still change the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// The epoch is the newest known, and is remembered.
    Accepted,
    /// A newer epoch was seen; the caller must change nothing.
    Stale {
        /// The newest epoch known.
        remembered: u64,
    },
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request cannot be answered from this state.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The records cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The whole state is being replaced by a snapshot; the next try may succeed.
    #[error("the state is being replaced by a snapshot")]
    Replaced,
}

/// A response header that says only the revision.
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}
