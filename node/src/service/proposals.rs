//! Proposing a command, here or at the leader, and waiting for its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_store::Command;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::counts::add;
use super::{REQUEST_TIME_MAX, Service};
use crate::raft::forward::{Ask, Reply};
use crate::raft::leadership::Leadership;
use crate::raft::line::LineError;
use crate::raft::{Answer, MemberNode, Proposal};

/// What one attempt at a proposal came to.
enum Attempt {
    Done(Result<Answer, Refusal>),
    /// Surely not proposed: wait for a change of leadership, then try again.
    NotTaken,
}

impl Service {
    /// Replicates `command` and returns the answer that applying it gave.
    ///
    /// # Errors
    /// The command is larger than a request may be; no leader in time; or the outcome is unknown. The store's own refusals are in the answer.
    pub async fn propose(&self, command: &Command) -> Result<Answer, Refusal> {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        kvorum_store::validate::size(bytes.len(), &self.inner.limits)?;
        let bytes = Bytes::from(bytes);
        let _pending = self.inner.counts.pending();
        let answer = self.propose_until_answered(&bytes).await;
        if answer.is_err() {
            add(&self.inner.counts.proposals_failed);
        }
        answer
    }

    async fn propose_until_answered(&self, bytes: &Bytes) -> Result<Answer, Refusal> {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let mut leadership = self.inner.node.leadership.clone();
        loop {
            let seen = Arc::clone(&leadership.borrow_and_update());
            match timeout_at(deadline, self.attempt(&seen, bytes)).await {
                // The proposal may be under way: the outcome is unknown.
                Err(_) => return Err(Refusal::DeadlineExceeded),
                Ok(Attempt::Done(answer)) => return answer,
                Ok(Attempt::NotTaken) => {}
            }
            if !leader_may_have_changed(&mut leadership, deadline).await {
                return Err(Refusal::DeadlineExceeded);
            }
        }
    }

    async fn attempt(&self, seen: &Leadership, bytes: &Bytes) -> Attempt {
        match &seen.leader {
            None => Attempt::NotTaken,
            Some((leader, _)) if *leader == self.inner.identity.member_id.get() => {
                self.propose_here(bytes.clone()).await
            }
            Some((leader, node)) => self.propose_there(*leader, node, bytes.clone()).await,
        }
    }

    async fn propose_here(&self, bytes: Bytes) -> Attempt {
        let bytes = match self.stamped(bytes).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Attempt::NotTaken,
            Err(refusal) => return Attempt::Done(Err(refusal)),
        };
        match self.inner.node.raft.client_write(Proposal(bytes)).await {
            Ok(response) => Attempt::Done(Ok(response.data)),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Attempt::NotTaken,
            Err(RaftError::APIError(error)) => {
                tracing::debug!("a proposal was lost: {error}");
                Attempt::Done(Err(Refusal::LeaderChanged))
            }
            Err(RaftError::Fatal(error)) => {
                tracing::debug!("a proposal met a member that stops: {error}");
                Attempt::Done(Err(Refusal::Stopped))
            }
        }
    }

    async fn propose_there(&self, leader: u64, node: &MemberNode, bytes: Bytes) -> Attempt {
        match self.inner.node.forwarder.ask(leader, node, Ask::Propose(bytes)).await {
            Ok(Reply::Answer(answer)) => Attempt::Done(Ok(answer)),
            Ok(Reply::Failed(refusal)) => Attempt::Done(Err(refusal)),
            Ok(Reply::NotLeader | Reply::ReadIndex(_) | Reply::LeaseTime { .. } | Reply::Done | Reply::Hash(_))
            | Err(LineError::NotSent) => Attempt::NotTaken,
            Err(LineError::Lost) => Attempt::Done(Err(Refusal::TimeoutConnectionLost)),
        }
    }

    /// Answers what another member passed on: only as leader, never passing on again.
    pub async fn reply(self, ask: Ask) -> Reply {
        match ask {
            Ask::Propose(bytes) => match self.propose_here(bytes).await {
                Attempt::Done(Ok(answer)) => Reply::Answer(answer),
                Attempt::Done(Err(refusal)) => Reply::Failed(refusal),
                Attempt::NotTaken => Reply::NotLeader,
            },
            Ask::ReadIndex => self.read_index_here().await,
            Ask::Change(change) => self.change_here(change).await,
            Ask::LeaseTime => self.tell_time().await,
            Ask::Hash { applied, revision } => self.tell_hash(applied, revision).await,
            Ask::ClientUrls {
                member_id,
                name,
                client_urls,
            } => match self.set_client_urls(member_id, name, client_urls).await {
                Ok(()) => Reply::Done,
                Err(refusal) => Reply::Failed(refusal),
            },
        }
    }
}

/// Between attempts at a leader that is known but does not take what it is asked.
const RETRY_TIME: Duration = Duration::from_millis(50);

/// Waits until another leader may be known: a change, or a short while, because a leader may become reachable without
/// any change here. False when the deadline passed, or consensus is over: nobody will lead any more.
pub(super) async fn leader_may_have_changed(
    leadership: &mut watch::Receiver<Arc<Leadership>>,
    deadline: Instant,
) -> bool {
    let retry = deadline.min(Instant::now() + RETRY_TIME);
    let over = matches!(timeout_at(retry, leadership.changed()).await, Ok(Err(_)));
    !over && Instant::now() < deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_leader_once_consensus_is_over() {
        let (sender, mut leadership) = watch::channel(Arc::new(Leadership::default()));
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        assert!(leader_may_have_changed(&mut leadership, deadline).await);
        drop(sender);
        assert!(!leader_may_have_changed(&mut leadership, deadline).await);
    }
}
