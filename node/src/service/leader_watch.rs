//! For streams that must not outlive the leader: clients that would rather ask elsewhere than wait.
//!
//! There is a leader, for them, when this member can answer a linearizable read. A member that was cut off may believe
//! in its last leader for ever, so it is asked again and again: by one task for all streams, and only while there are
//! such streams.

use std::time::Duration;

use kvorum_api::error::Refusal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Service;

/// A stream that needs a leader ends after this many election timeouts without one, as in etcd.
const ELECTIONS_WITHOUT_LEADER_MAX: u32 = 3;

/// Notices when there has been no leader for a while.
pub struct LeaderWatch(watch::Receiver<bool>);

impl Service {
    /// Notices when this member has had no leader for three election timeouts.
    ///
    /// # Errors
    /// It has none now.
    pub async fn leader_watch(&self) -> Result<LeaderWatch, Refusal> {
        if !self.has_leader().await {
            return Err(Refusal::NoLeader);
        }
        let found = &self.inner.leader_found;
        found.send_replace(true);
        Ok(LeaderWatch(found.subscribe()))
    }

    async fn has_leader(&self) -> bool {
        let patience = self.inner.election * ELECTIONS_WITHOUT_LEADER_MAX;
        matches!(timeout(patience, self.wait_linearizable()).await, Ok(Ok(())))
    }

    /// How long a member goes without a leader before another is elected.
    pub fn election(&self) -> Duration {
        self.inner.election
    }
}

impl LeaderWatch {
    /// Returns when there has been no leader for too long. May be dropped and asked again.
    pub async fn lost(&mut self) {
        // An end of the channel is the end of the member.
        let _ = self.0.wait_for(|found| !found).await;
    }
}

/// Looks for the leader as long as anybody wants to know, until the member stops.
pub async fn look(service: Service) {
    let mut clock = interval(service.election());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = service.stopping();
    while stopping.run_until_cancelled(clock.tick()).await.is_some() {
        let found = &service.inner.leader_found;
        if found.receiver_count() > 0 {
            let has_leader = service.has_leader().await;
            found.send_if_modified(|before| std::mem::replace(before, has_leader) != has_leader);
        }
    }
}
