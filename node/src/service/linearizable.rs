//! Reads that see everything acknowledged before them.

use std::sync::Arc;

use kvorum_api::error::Refusal;
use kvorum_faults::Wrong;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::time::{Instant, timeout, timeout_at};

use super::proposals::leader_may_have_changed;
use super::{REQUEST_TIME_MAX, Service};
use crate::raft::forward::{Ask, Reply};
use crate::raft::leadership::Leadership;
use crate::raft::line::LineError;

impl Service {
    /// Waits until local state includes everything acknowledged before this call.
    ///
    /// # Errors
    /// No leader that can reach a majority, in time.
    pub async fn wait_linearizable(&self) -> Result<(), Refusal> {
        if Wrong::NoReadIndex.is_asked() {
            return Ok(());
        }
        #[cfg(feature = "simulation")]
        if crate::simulation::faults::is(crate::simulation::faults::Fault::ReadsAtOnce) {
            return Ok(());
        }
        let waiting = async {
            let index = self.inner.node.read_index.next().await?;
            let mut applied = self.inner.node.applied.clone();
            applied
                .wait_for(|at| *at >= index)
                .await
                .map_err(|_| Refusal::Stopped)?;
            Ok(())
        };
        match timeout(REQUEST_TIME_MAX, waiting).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::Timeout),
        }
    }

    /// One round: the index that reads waiting now must see applied.
    ///
    /// # Errors
    /// As [`Service::wait_linearizable`].
    pub async fn confirm_read_index(&self) -> Result<u64, Refusal> {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let mut leadership = self.inner.node.leadership.clone();
        loop {
            let seen = Arc::clone(&leadership.borrow_and_update());
            match timeout_at(deadline, self.ask_read_index(&seen)).await {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(_) => return Err(Refusal::Timeout),
            }
            if !leader_may_have_changed(&mut leadership, deadline).await {
                return Err(Refusal::Timeout);
            }
        }
    }

    async fn ask_read_index(&self, seen: &Leadership) -> Option<Result<u64, Refusal>> {
        let (leader, node) = seen.leader.as_ref()?;
        let reply = if *leader == self.inner.identity.member_id.get() {
            Ok(self.read_index_here().await)
        } else {
            self.inner.node.forwarder.ask(*leader, node, Ask::ReadIndex).await
        };
        match reply {
            Ok(Reply::ReadIndex(index)) => Some(Ok(index)),
            Ok(Reply::Failed(refusal)) => Some(Err(refusal)),
            // Asking again changes nothing, so a lost question is simply asked again.
            Ok(Reply::NotLeader | Reply::Answer(_) | Reply::LeaseTime { .. } | Reply::Done | Reply::Hash(_))
            | Err(LineError::NotSent | LineError::Lost) => None,
        }
    }

    /// The leader's side: confirms with a majority that this member still leads.
    pub(super) async fn read_index_here(&self) -> Reply {
        match self.inner.node.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _applied)) => Reply::ReadIndex(read.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => Reply::NotLeader,
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Reply::NotLeader,
            Err(RaftError::Fatal(_)) => Reply::Failed(Refusal::Stopped),
        }
    }
}
