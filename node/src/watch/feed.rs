//! From the state machine to the hub: batches in order, never more than [`FEED_BYTES_MAX`].

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use kvorum_store::Event;
use kvorum_store::watch::Batch;
use tokio::sync::Notify;

/// Events that wait for the hub; what comes on top is left out, and watchers read it from history instead. The hub
/// needs microseconds for a batch, so this much waits only when it is starved of processor time.
pub const FEED_BYTES_MAX: usize = 32 << 20;

/// What a batch costs beside keys and values, for each event.
const EVENT_OVERHEAD_BYTES: usize = 160;

/// Batches that were applied and not published yet.
#[derive(Default)]
pub struct Feed {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Feed {
    /// Hands over a batch; its events are left out where there is no room.
    pub fn push(&self, batch: Batch) {
        #[cfg(feature = "simulation")]
        let batch = crate::simulation::faults::with_events(batch);
        let bytes = size(&batch.events);
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes + bytes <= FEED_BYTES_MAX {
                waiting.bytes += bytes;
                waiting.batches.push_back(batch);
            } else {
                match waiting.batches.back_mut() {
                    // Two gaps in a row are one.
                    Some(gap) if gap.events.is_empty() => (gap.first, gap.last) = (batch.last + 1, batch.last),
                    _ => waiting.batches.push_back(gap(batch.last)),
                }
            }
        }
        self.arrived.notify_one();
    }

    /// Says that a snapshot took the state's place, which is now at `revision`.
    pub fn replaced(&self, revision: i64) {
        self.push(gap(revision));
    }

    /// The next batch, as soon as there is one.
    pub async fn next(&self) -> Batch {
        loop {
            let batch = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(batch) = batch {
                return batch;
            }
            self.arrived.notified().await;
        }
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= size(&batch.events);
        Some(batch)
    }
}

/// A batch that tells only how far the store has come.
fn gap(revision: i64) -> Batch {
    Batch {
        first: revision + 1,
        last: revision,
        events: Vec::new(),
    }
}

fn size(events: &[Event]) -> usize {
    let pairs = events.iter().filter_map(|event| event.kv.as_ref());
    pairs
        .map(|pair| EVENT_OVERHEAD_BYTES + pair.key.len() + pair.value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use kvorum_api::mvccpb::KeyValue;

    use super::*;

    fn batch(revision: i64, bytes: usize) -> Batch {
        let pair = KeyValue {
            value: vec![0; bytes].into(),
            mod_revision: revision,
            ..KeyValue::default()
        };
        let event = Event {
            kv: Some(pair),
            ..Event::default()
        };
        Batch {
            first: revision,
            last: revision,
            events: vec![event],
        }
    }

    #[tokio::test]
    async fn what_has_no_room_leaves_one_gap() {
        let feed = Feed::default();
        feed.push(batch(2, FEED_BYTES_MAX / 2));
        for revision in 3..100 {
            feed.push(batch(revision, FEED_BYTES_MAX / 2));
        }
        feed.push(batch(100, 1));
        let next = feed.next().await;
        assert_eq!((next.first, next.last, next.events.len()), (2, 2, 1));
        let next = feed.next().await;
        assert_eq!((next.first, next.last, next.events.len()), (100, 99, 0));
        let next = feed.next().await;
        assert_eq!((next.first, next.last, next.events.len()), (100, 100, 1));
        feed.push(batch(101, FEED_BYTES_MAX / 2));
        assert_eq!(feed.next().await.first, 101, "there is room again");
    }
}
