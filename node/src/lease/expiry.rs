//! Ending what has expired: the leader's task.

use std::time::Duration;

use futures::StreamExt;
use kvorum_store::{Command, Who};
use tokio::time::{MissedTickBehavior, interval};

use crate::service::Service;

/// How often the leader looks: the most by which a lease outlives its time, beside an election.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Leases ended at a time; the others wait for the next look.
const EXPIRIES_MAX: usize = 1_000;
/// Proposals under way at once: they share log writes, and leave room for those of clients.
const PROPOSALS_MAX: usize = 64;

/// Ends expired leases as long as this member leads, until it stops.
pub async fn run(service: Service) {
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = service.stopping();
    while stopping.run_until_cancelled(clock.tick()).await.is_some() {
        if service.leads_in_term().is_none() || !service.has_leases() {
            continue;
        }
        let Ok(Some(now_ms)) = service.stamp_time().await else {
            continue;
        };
        let expired = service.reader().expired_leases(now_ms, EXPIRIES_MAX);
        futures::stream::iter(expired)
            .for_each_concurrent(PROPOSALS_MAX, |id| {
                let service = &service;
                async move {
                    if let Err(refusal) = service
                        .propose(&Command::LeaseExpire { id, now_ms }.given_by(Who::Member))
                        .await
                    {
                        tracing::debug!("lease {id:x} is not ended yet: {refusal}");
                    }
                }
            })
            .await;
    }
}
