//! The hub with its lock, the task that feeds it, and what its sessions share.
//!
//! Must keep true: the lock is held for a bounded piece of work, never over an await or a read of history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvorum_store::watch::{Batch, Bounds, Counts, Hub};
use kvorum_store::{ReadError, Reader, Replay, View};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::Feed;
use crate::background;
use crate::fatal;
use crate::held::Answers;

/// Sessions that read history at once. Each holds a blocking thread and a view; more would not read faster.
const HISTORY_READS_MAX: usize = 4;
/// Records and bytes of history read at a time; a revision is never split, so one may come on top.
const HISTORY_RECORDS_MAX: usize = 1_024;
const HISTORY_BYTES_MAX: usize = 512 << 10;
/// Events published under one lock, so that sessions get in between even when a thousand watchers want each.
const PUBLISH_EVENTS_MAX: usize = 32;

/// The hub of a member.
pub struct Switchboard {
    hub: Mutex<Hub<Arc<Notify>>>,
    /// Permits to read history.
    history: Arc<Semaphore>,
    /// What clients have not taken.
    pub(super) answers: Arc<Answers>,
    sent_events: AtomicU64,
}

impl Switchboard {
    /// Starts the hub at what `reader` sees; `feed` brings what comes after. Sessions take what is new when `answers` has
    /// room for it.
    pub fn start(reader: &Reader, feed: Arc<Feed>, answers: Arc<Answers>) -> Arc<Self> {
        let board = Arc::new(Self {
            hub: Mutex::new(Hub::new(reader.revision(), Bounds::default())),
            history: Arc::new(Semaphore::new(HISTORY_READS_MAX)),
            answers,
            sent_events: AtomicU64::default(),
        });
        tokio::spawn(publish(Arc::clone(&board), feed));
        board
    }

    /// Sizes, and how many events clients were sent since the start.
    pub fn counts(&self) -> (Counts, u64) {
        (self.hub().counts(), self.sent_events.load(Ordering::Relaxed))
    }

    pub(super) fn hub(&self) -> MutexGuard<'_, Hub<Arc<Notify>>> {
        // A panic while the lock was held has already ended the process (main installs an aborting hook).
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a part of history read by a task of its own: a session waits in line, and is given its permit, whether or not
    /// its client lets it run just then, and must not keep the permit from others. Dropped, it gives up.
    pub(super) fn read(&self, view: View, from: i64) -> AbortOnDropHandle<Result<Replay, ReadError>> {
        let (history, answers) = (Arc::clone(&self.history), Arc::clone(&self.answers));
        AbortOnDropHandle::new(tokio::spawn(async move {
            // The semaphore is never closed.
            let permit = history.acquire_owned().await;
            // What is read here is an answer soon. Many may have found room before they stood in line.
            answers.room().await;
            let read = move || {
                let replay = view.replay(from, HISTORY_RECORDS_MAX, HISTORY_BYTES_MAX);
                drop(permit);
                replay
            };
            match background::run(read).await {
                Ok(replay) => replay,
                Err(error) => fatal::die(format_args!("a read of history panicked: {error}")),
            }
        }))
    }

    pub(super) fn sent(&self, events: usize) {
        self.sent_events.fetch_add(events as u64, Ordering::Relaxed);
    }
}

async fn publish(board: Arc<Switchboard>, feed: Arc<Feed>) {
    loop {
        let mut rest = Some(feed.next().await);
        while let Some(batch) = rest.take() {
            let part;
            (part, rest) = split(batch);
            board.hub().publish(part, |session| session.notify_one());
            tokio::task::yield_now().await;
        }
    }
}

/// Some of a batch's events, whole revisions, and the others.
fn split(mut batch: Batch) -> (Batch, Option<Batch>) {
    let revision = |at: usize| batch.events.get(at)?.kv.as_ref().map(|pair| pair.mod_revision);
    let Some(last) = revision(PUBLISH_EVENTS_MAX - 1) else {
        return (batch, None);
    };
    let end = (PUBLISH_EVENTS_MAX..batch.events.len()).find(|at| revision(*at) != Some(last));
    let Some(end) = end else { return (batch, None) };
    let rest = Batch {
        first: last + 1,
        last: batch.last,
        events: batch.events.split_off(end),
    };
    batch.last = last;
    (batch, Some(rest))
}

#[cfg(test)]
mod tests {
    use kvorum_api::mvccpb::{Event, KeyValue};

    use super::*;

    fn batch(revisions: &[i64]) -> Batch {
        let event = |revision: &i64| Event {
            kv: Some(KeyValue {
                mod_revision: *revision,
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        Batch {
            first: revisions[0],
            last: revisions[revisions.len() - 1],
            events: revisions.iter().map(event).collect(),
        }
    }

    #[test]
    fn batches_are_split_between_revisions() {
        let (all, rest) = split(batch(&[7; 100]));
        assert_eq!((all.events.len(), rest.is_none()), (100, true));
        let mut revisions = vec![7; 40];
        revisions.extend([8; 3]);
        let (first, rest) = split(batch(&revisions));
        let rest = rest.unwrap();
        assert_eq!((first.first, first.last, first.events.len()), (7, 7, 40));
        assert_eq!((rest.first, rest.last, rest.events.len()), (8, 8, 3));
        assert!(split(rest).1.is_none());
    }
}
