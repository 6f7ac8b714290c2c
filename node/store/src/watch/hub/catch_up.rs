//! Catching up: which history the watchers of a stream need next, and what of it is for whom.

use super::{Delivery, Hub, Kinds, StreamKey, key_of, revision_of};
use crate::watch::intervals::Intervals;
use kvorum_api::mvccpb::Event;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Watchers of a stream that are this close to each other, in revisions, share a read of history.
const GROUP_REVISIONS: i64 = 1_000;

/// Watchers of one stream that are behind by about as much, and share a read.
#[derive(Default)]
pub struct CatchUp {
    /// Where to read from; `None` when nobody is behind.
    pub from: Option<i64>,
    /// Watchers that want history which was compacted away: they have been ended.
    pub compacted: Vec<i64>,
    /// By the watcher's key.
    members: BTreeMap<usize, Member>,
    index: Intervals,
}

struct Member {
    id: i64,
    next: i64,
    kinds: Kinds,
}

impl CatchUp {
    /// What a part of history, whole revisions from [`CatchUp::from`] up to but without `next`, means for each watcher.
    #[must_use]
    pub fn deliveries(&self, events: Vec<Event>, next: i64) -> Vec<Delivery> {
        let mut sorted: BTreeMap<usize, Vec<Arc<Event>>> = BTreeMap::new();
        for event in events.into_iter().map(Arc::new) {
            self.index.visit(key_of(&event), &mut |key| {
                let member = &self.members[&key];
                if revision_of(&event) >= member.next && member.kinds.wants(&event) {
                    sorted.entry(key).or_default().push(Arc::clone(&event));
                }
            });
        }
        let deliveries = sorted.into_iter().map(|(key, events)| Delivery {
            id: self.members[&key].id,
            events,
            revision: next - 1,
        });
        deliveries.collect()
    }
}

impl<T> Hub<T> {
    /// Says what to read for watchers of a stream that are behind, and ends those whose history is gone.
    ///
    /// Where some are far behind and others are not, they take turns. Read a part of history from [`CatchUp::from`] on,
    /// hand out [`CatchUp::deliveries`], then [`Hub::advance`]; or drop the plan and ask again.
    pub fn catch_up(&mut self, stream: StreamKey, compacted: i64) -> CatchUp {
        let mut plan = CatchUp::default();
        let behind = self.streams[stream.0].behind.iter();
        let gone = behind.filter(|key| self.watchers[**key].next < compacted);
        plan.compacted = gone.map(|key| self.watchers[*key].id).collect();
        for id in &plan.compacted {
            self.cancel(stream, *id);
        }
        let own = &mut self.streams[stream.0];
        let places = || own.behind.iter().map(|key| self.watchers[*key].next);
        let (Some(farthest), Some(nearest)) = (places().min(), places().max()) else {
            return plan;
        };
        let (low, high) = if own.far_first {
            (farthest, farthest.saturating_add(GROUP_REVISIONS))
        } else {
            (nearest.saturating_sub(GROUP_REVISIONS), nearest)
        };
        own.far_first = !own.far_first;
        for key in &own.behind {
            let watcher = &self.watchers[*key];
            if (low..=high).contains(&watcher.next) {
                plan.from = Some(plan.from.map_or(watcher.next, |from| from.min(watcher.next)));
                plan.index.insert(&watcher.range, *key);
                let member = Member {
                    id: watcher.id,
                    next: watcher.next,
                    kinds: watcher.kinds,
                };
                plan.members.insert(*key, member);
            }
        }
        plan
    }

    /// Says that a plan's watchers were told everything below `next`. Those that are level now are live.
    ///
    /// The stream must not have been changed since [`Hub::catch_up`] gave the plan, but for what was published.
    pub fn advance(&mut self, plan: &CatchUp, next: i64) {
        for key in plan.members.keys() {
            let watcher = &mut self.watchers[*key];
            watcher.next = watcher.next.max(next);
            self.join(*key);
        }
    }
}
