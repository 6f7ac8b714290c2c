//! Publishing: from a batch of events to the queues of the watchers they concern.

use super::{Hub, key_of, revision_of, size_of};
use kvorum_api::mvccpb::Event;
use std::sync::Arc;

/// The events of some commands that follow each other.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The revision after the one before the batch.
    pub first: i64,
    /// The revision after the batch; below `first` when it made none.
    pub last: i64,
    /// What changed, in order, whole revisions.
    pub events: Vec<Event>,
}

impl<T> Hub<T> {
    /// Queues a batch's events for the watchers they concern and wakes their streams.
    ///
    /// A batch that begins above the next revision leaves a gap: live watchers then fall behind, and history tells them
    /// what was left out. What was published before is passed over.
    pub fn publish(&mut self, batch: Batch, mut wake: impl FnMut(&T)) {
        let Batch { first, last, events } = batch;
        if last <= self.revision {
            return;
        }
        if first > self.revision + 1 {
            self.all_behind(first, &mut wake);
            self.recent.restart(first);
        }
        let mut concerned = Vec::new();
        for event in events.into_iter().map(Arc::new) {
            if revision_of(&event) <= self.revision {
                continue;
            }
            self.index.visit(key_of(&event), &mut |key| concerned.push(key));
            for key in concerned.drain(..) {
                if self.push(key, &event) {
                    self.wake(self.watchers[key].stream, &mut wake);
                }
            }
            self.recent.add(event);
        }
        self.revision = last;
        let later = self.calls.split_off(&(last + 1, 0));
        for (_, stream) in std::mem::replace(&mut self.calls, later) {
            self.wake(stream, &mut wake);
        }
    }

    /// Queues an event for a live watcher, or puts the watcher behind when there is no room. Answers whether it wants it.
    pub(super) fn push(&mut self, key: usize, event: &Arc<Event>) -> bool {
        let watcher = &mut self.watchers[key];
        if revision_of(event) < watcher.next || !watcher.kinds.wants(event) {
            return false;
        }
        let size = size_of(event);
        let stream = &mut self.streams[watcher.stream];
        let has_room = stream.queued_bytes + size <= self.bounds.stream_bytes_max
            && self.queued_bytes + size <= self.bounds.total_bytes_max;
        if !has_room {
            self.fall_behind(key, revision_of(event));
            return true;
        }
        if watcher.queue.is_empty() {
            stream.ready.push_back(key);
        }
        watcher.queue.push_back(Arc::clone(event));
        stream.queued_bytes += size;
        self.queued_bytes += size;
        self.queued_events += 1;
        true
    }

    /// Lets go of what waits for a live watcher: it will read it from history, from the first event that waited, or
    /// from `revision`, which is the first that it is not told of here.
    pub(super) fn fall_behind(&mut self, key: usize, revision: i64) {
        let watcher = &mut self.watchers[key];
        watcher.next = match watcher.queue.front() {
            Some(event) => revision_of(event),
            None => watcher.next.max(revision),
        };
        watcher.is_live = false;
        self.index.remove(&watcher.range, key);
        self.streams[watcher.stream].behind.insert(key);
        self.behind += 1;
        self.drop_queue(key);
    }

    /// Takes a watcher that is behind into the live ones, if nothing lies between it and what the hub remembers.
    pub(super) fn join(&mut self, key: usize) {
        let watcher = &mut self.watchers[key];
        if watcher.next <= self.revision && watcher.next < self.recent.from() {
            return;
        }
        watcher.is_live = true;
        self.index.insert(&watcher.range, key);
        self.streams[watcher.stream].behind.remove(&key);
        self.behind -= 1;
        let missed = self.recent.since(watcher.next, &watcher.range);
        for event in missed {
            if self.watchers[key].is_live {
                self.push(key, &event);
            }
        }
    }

    /// Puts every live watcher that wants something below `first` behind.
    fn all_behind(&mut self, first: i64, wake: &mut impl FnMut(&T)) {
        let live = self.watchers.iter().filter(|(_, watcher)| watcher.is_live);
        let missing: Vec<usize> = live
            .filter(|(_, watcher)| watcher.next < first)
            .map(|(key, _)| key)
            .collect();
        for key in missing {
            self.fall_behind(key, self.revision + 1);
            self.wake(self.watchers[key].stream, wake);
        }
    }

    fn wake(&mut self, stream: usize, wake: &mut impl FnMut(&T)) {
        let own = &mut self.streams[stream];
        if !own.is_awake {
            own.is_awake = true;
            wake(&own.token);
        }
    }
}
