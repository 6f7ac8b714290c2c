//! What a follower passes on to the leader: proposals, read-index questions, the time for leases, its client URLs,
//! changes of the members.
//!
//! Must keep true: a proposal is passed on at most once. When the connection breaks before the answer, the outcome is
//! unknown and the caller is told so; only what was surely never sent may be tried again (`line`).

use std::sync::Arc;

use bytes::Bytes;
use kvorum_api::error::Refusal;
use serde::{Deserialize, Serialize};

use super::frame::Channel;
use super::line::{Line, LineError};
use super::peers::Dialler;
use super::{Answer, MemberNode};

/// What a follower asks of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Replicate this encoded command.
    Propose(Bytes),
    /// Which index must I have applied to answer a linearizable read?
    ReadIndex,
    /// Clients reach this member here, and this is its name; please have the membership say so.
    ClientUrls {
        /// The member.
        member_id: u64,
        /// Its name, for a membership that does not know it yet.
        name: String,
        /// Its client URLs.
        client_urls: Vec<String>,
    },
    /// What time is it, for leases?
    LeaseTime,
    /// Change the list of members.
    Change(Change),
    /// Asked by the leader: what is the hash of what you hold?
    Hash {
        /// The entry at which the leader had the revision.
        applied: u64,
        /// The revision.
        revision: i64,
    },
}

/// A change of the list of members, as etcd's clients ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Add a member.
    Add {
        /// Its id.
        id: u64,
        /// Where the others will reach it.
        peer_urls: Vec<String>,
        /// Whether it is not to vote, even when it is level.
        learner: bool,
    },
    /// Remove a member.
    Remove {
        /// Its id.
        id: u64,
    },
    /// Let a learner vote.
    Promote {
        /// Its id.
        id: u64,
    },
    /// Say where a member is reached from now on.
    Update {
        /// Its id.
        id: u64,
        /// Its peer URLs.
        peer_urls: Vec<String>,
    },
}

/// What the leader says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// The command was applied.
    Answer(Answer),
    /// Apply up to here, then answer.
    ReadIndex(u64),
    /// What was asked is done, and there is nothing to tell.
    Done,
    /// Nothing was done: I do not lead.
    NotLeader,
    /// It was tried and failed.
    Failed(#[serde(with = "super::answer::refusal")] Refusal),
    /// The time for leases.
    LeaseTime {
        /// The term in which this member leads.
        term: u64,
        /// Milliseconds of its time line.
        ms: u64,
    },
    /// The hash at that revision; none where it is not known any more.
    Hash(Option<u128>),
}

/// The line to whoever leads now.
pub struct Forwarder {
    dialler: Arc<Dialler>,
    current: tokio::sync::Mutex<Option<(u64, Line<Ask, Reply>)>>,
}

impl Forwarder {
    /// Forwards by way of `dialler`.
    pub fn new(dialler: Arc<Dialler>) -> Self {
        Self {
            dialler,
            current: tokio::sync::Mutex::new(None),
        }
    }

    /// The dialler that lines are made with.
    pub fn dialler(&self) -> &Dialler {
        &self.dialler
    }

    /// Asks the leader.
    ///
    /// # Errors
    /// The leader could not be reached, or the connection broke before it replied.
    pub async fn ask(&self, leader_id: u64, node: &MemberNode, ask: Ask) -> Result<Reply, LineError> {
        self.line(leader_id, node).await?.ask(ask).await
    }

    async fn line(&self, leader_id: u64, node: &MemberNode) -> Result<Line<Ask, Reply>, LineError> {
        let mut current = self.current.lock().await;
        if let Some((leader, line)) = current.as_ref()
            && *leader == leader_id
            && !line.is_closed()
        {
            return Ok(line.clone());
        }
        let stream = self
            .dialler
            .dial(leader_id, node, Channel::Forward)
            .await
            .map_err(|error| {
                tracing::debug!("the leader {leader_id:016x} cannot be reached: {error}");
                LineError::NotSent
            })?;
        let line = Line::start(stream);
        *current = Some((leader_id, line.clone()));
        Ok(line)
    }
}
