//! Keeping the time: the leader stamps with it, the others ask for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_store::Command;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::raft::forward::{Ask, Reply};
use crate::service::Service;

/// How often a member asks the leader for the time: a member that was restarted is behind for at most this long, and
/// two clocks that drift apart do so by microseconds.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Service {
    /// The cluster's lease time in milliseconds, as far as this member knows it.
    pub fn lease_time(&self) -> u64 {
        self.time_line().now(Instant::now())
    }

    /// The time to stamp with, as leader; `None` when this member does not lead.
    ///
    /// # Errors
    /// What earlier leaders promised could not be learned in time.
    pub async fn stamp_time(&self) -> Result<Option<u64>, Refusal> {
        let Some(term) = self.leads_in_term() else {
            return Ok(None);
        };
        if let Some(now) = self.time_line().stamp(term, Instant::now()) {
            return Ok(Some(now));
        }
        // Stamps of earlier leaders that were not applied yet must come before the first of our own.
        self.wait_linearizable().await?;
        if self.leads_in_term() != Some(term) {
            return Ok(None);
        }
        Ok(Some(self.time_line().lead(term, Instant::now())))
    }

    /// An encoded command with the time of now, where it has one. `None` when this member does not lead.
    ///
    /// # Errors
    /// As [`Service::stamp_time`]; or the bytes are no command.
    pub async fn stamped(&self, bytes: Bytes) -> Result<Option<Bytes>, Refusal> {
        if !Command::is_timed(&bytes) {
            return Ok(Some(bytes));
        }
        let Some(now) = self.stamp_time().await? else {
            return Ok(None);
        };
        let command = Command::decode(bytes).map_err(|error| {
            tracing::warn!("a command that another member passed on cannot be read: {error}");
            Refusal::NotCapable
        })?;
        let mut stamped = Vec::new();
        command.stamped(now).encode(&mut stamped);
        Ok(Some(stamped.into()))
    }

    /// What this member answers to another that asks for the time.
    pub async fn tell_time(&self) -> Reply {
        let term = self.leads_in_term();
        match (term, self.stamp_time().await) {
            (Some(term), Ok(Some(ms))) => Reply::LeaseTime { term, ms },
            (_, Ok(_)) => Reply::NotLeader,
            (_, Err(refusal)) => Reply::Failed(refusal),
        }
    }
}

/// Asks the leader for the time, again and again, as long as there is a lease.
pub async fn follow(service: Service) {
    let mut clock = interval(ASK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = service.stopping();
    while stopping.run_until_cancelled(clock.tick()).await.is_some() {
        if !service.has_leases() || service.leads_in_term().is_some() {
            continue;
        }
        let leadership = Arc::clone(&service.leadership().borrow());
        let Some((leader, node)) = &leadership.leader else {
            continue;
        };
        let asking = service.forwarder().ask(*leader, node, Ask::LeaseTime);
        // An answer that was long on its way would set this member's time back by as much.
        if let Ok(Ok(Reply::LeaseTime { term, ms })) = timeout(ASK_EVERY, asking).await {
            service.time_line().told(term, ms, Instant::now());
        }
    }
}
