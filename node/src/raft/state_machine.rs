//! openraft's state machine on Kvorum's store: the only place that applies commands.
//!
//! Must keep true:
//! 1. Each entry is applied once, in order; the store remembers the position it reached.
//! 2. A batch is published as a whole before anyone is answered.
//! 3. An entry that does not decode, or an engine that fails, is an error that ends the process: a member that skipped
//!    an entry would differ from the others without knowing it.
//! 4. Events go to the feed of the watches after they were published, whole batches in order.
//! 5. The state a snapshot replaces is replaced only after the file was verified and made durable.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use kvorum_store::watch::Batch;
use kvorum_store::{Command, LogPosition, Reader, Store};
use openraft::alias::SnapshotOf;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::simple::SimpleTokens;
use crate::background;
use crate::disk;
use crate::service::counts::Counts;

use super::broken_rules;
use super::engine_writer::{EngineWriter, PENDING_BYTES_MAX};
use super::log_index::cost;
use super::snapshots::{self, SnapshotDir, SnapshotFile};
use super::{Answer, Entry, EntryId, StoredMembership, Types, entry_id};
use crate::lease::time_line::TimeLine;
use crate::watch::Feed;

/// Entries applied under one lock and published together: enough to share the cost, few enough to answer soon;
const APPLY_BATCH_MAX: usize = 512;
/// and their bytes, which one entry may exceed: a member that is behind finds any number of them at once.
const APPLY_BATCH_BYTES_MAX: usize = 4 << 20;

/// How long after a snapshot for which there was no room the next is tried.
const SNAPSHOT_RETRY_TIME: Duration = Duration::from_secs(5);

/// The state machine. Clones share the store.
#[derive(Clone)]
pub struct StateMachine {
    store: Arc<Mutex<Store>>,
    reader: Reader,
    engine: Arc<EngineWriter>,
    snapshots: Arc<SnapshotDir>,
    applied: Arc<watch::Sender<u64>>,
    feed: Arc<Feed>,
    time_line: Arc<TimeLine>,
    tokens: Option<Arc<SimpleTokens>>,
    counts: Arc<Counts>,
}

/// What a batch of entries brings, beside answers.
#[derive(Default)]
struct News {
    batch: Batch,
    /// The term of the last entry that carried a time.
    timed: Option<u64>,
}

impl StateMachine {
    /// A state machine on a recovered store; events go to `feed`, the time of commands to `time_line`, tokens to
    /// `tokens`, and what is applied is counted.
    pub fn new(
        store: Store,
        snapshots: SnapshotDir,
        feed: Arc<Feed>,
        time_line: Arc<TimeLine>,
        tokens: Option<Arc<SimpleTokens>>,
        counts: Arc<Counts>,
    ) -> Self {
        let (applied, _) = watch::channel(store.applied().map_or(0, |at| at.index));
        let reader = store.reader();
        let store = Arc::new(Mutex::new(store));
        let engine = Arc::new(EngineWriter::start(Arc::clone(&store), Arc::clone(&counts)));
        Self {
            store,
            reader,
            engine,
            snapshots: Arc::new(snapshots),
            applied: Arc::new(applied),
            feed,
            time_line,
            tokens,
            counts,
        }
    }

    /// Reads at what was published last.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// The index of the last entry applied and published; changes are signalled.
    pub fn applied_index(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// The snapshot files of this member.
    pub fn snapshots(&self) -> &SnapshotDir {
        &self.snapshots
    }

    /// Hands everything applied to the engine and ends the engine's thread.
    pub fn stop_engine(&self) {
        self.engine.stop();
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // A panic while the lock was held has already ended the process (main installs an aborting hook).
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_batch(&self, mut batch: Vec<EntryResponder<Types>>) -> io::Result<()> {
        broken_rules::turn_around(&mut batch);
        let mut answers = Vec::with_capacity(batch.len());
        let mut last = None;
        let mut news = News::default();
        {
            let mut store = self.lock();
            news.batch.first = store.revision() + 1;
            for (entry, responder) in batch {
                last = Some(entry.log_id().index());
                let answer = self.apply_entry(&mut store, entry, &mut news)?;
                if let Some(responder) = responder {
                    answers.push((responder, answer));
                }
            }
            store.publish();
            news.batch.last = store.revision();
        }
        if let Some(term) = news.timed {
            self.time_line.applied(term, self.reader.clock_ms(), Instant::now());
        }
        if news.batch.last >= news.batch.first {
            self.feed.push(news.batch);
        }
        if let Some(index) = last {
            self.applied.send_replace(index);
        }
        for (responder, answer) in answers {
            responder.send(answer);
        }
        self.engine.wake();
        Ok(())
    }

    /// Applies one entry; what it brings is added to `news`.
    fn apply_entry(&self, store: &mut Store, entry: Entry, news: &mut News) -> io::Result<Answer> {
        let id = entry.log_id();
        let at = LogPosition {
            term: **id.committed_leader_id(),
            node: 0,
            index: id.index(),
        };
        match entry.payload {
            EntryPayload::Blank => store.note(at, None),
            EntryPayload::Membership(membership) => {
                let stored = StoredMembership::new(Some(id), membership);
                let bytes = postcard::to_stdvec(&stored).map_err(io::Error::other)?;
                store.note(at, Some(Bytes::from(bytes)));
            }
            EntryPayload::Normal(proposal) => {
                if Command::is_timed(&proposal.0) {
                    news.timed = Some(at.term);
                }
                let command = Command::decode(proposal.0).map_err(io::Error::other)?;
                let mut outcome = store.apply(at, &command).map_err(io::Error::other)?;
                self.counts.applied(&outcome);
                broken_rules::drop_some(at.index, &mut outcome.events);
                if let (Some(tokens), Some(change)) = (&self.tokens, &outcome.tokens) {
                    tokens.apply(at.index, change);
                }
                news.batch.events.append(&mut outcome.events);
                return Ok(Answer::from(outcome));
            }
        }
        Ok(Answer::Nothing)
    }

    /// Waits until the engine is not too far behind.
    async fn wait_for_engine(&self) {
        while self.reader.pending_bytes() > PENDING_BYTES_MAX && self.engine.writes() {
            self.engine.wake();
            // The engine has no async signal; a millisecond is far below what a write of 128 MiB takes.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Writes a snapshot of what is published now.
    fn snapshot_now(&self) -> io::Result<SnapshotOf<Types, SnapshotFile>> {
        let view = self.reader.view();
        let (last, membership) = position_of(&view)?;
        self.snapshots.demand_room(self.reader.bytes())?;
        let snapshot = self.snapshots.write(last, &view)?;
        Ok(SnapshotOf::<Types, SnapshotFile> {
            meta: snapshots::meta(last, membership),
            snapshot,
        })
    }

    fn position(&self) -> io::Result<(Option<EntryId>, StoredMembership)> {
        position_of(&self.reader.view())
    }
}

/// What of a stream is to be had at once, as much as is applied together; `None` at its end.
async fn next_batch<T>(
    stream: &mut (impl Stream<Item = io::Result<T>> + Unpin),
    cost: impl Fn(&T) -> usize,
) -> Option<io::Result<Vec<T>>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut next = Some(stream.next().await?);
    while let Some(item) = next.take() {
        match item {
            Ok(item) => {
                bytes += cost(&item);
                batch.push(item);
            }
            Err(error) => return Some(Err(error)),
        }
        if batch.len() < APPLY_BATCH_MAX && bytes < APPLY_BATCH_BYTES_MAX {
            next = stream.next().now_or_never().flatten();
        }
    }
    Some(Ok(batch))
}

/// The log position and membership that `view` stands at.
fn position_of(view: &kvorum_store::View) -> io::Result<(Option<EntryId>, StoredMembership)> {
    let last = view.applied().map(|at| entry_id(at.term, at.index));
    let membership = match view.membership() {
        Some(bytes) => postcard::from_bytes(&bytes).map_err(io::Error::other)?,
        None => StoredMembership::default(),
    };
    Ok((last, membership))
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<EntryId>, StoredMembership), io::Error> {
        self.position()
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(batch) = next_batch(&mut entries, |(entry, _)| cost(entry)).await {
            #[cfg_attr(
                not(feature = "simulation"),
                expect(unused_mut, reason = "only a simulated fault reorders")
            )]
            let mut batch = batch?;
            #[cfg(feature = "simulation")]
            crate::simulation::faults::in_order(&mut batch);
            self.apply_batch(batch)?;
            self.wait_for_engine().await;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &snapshots::Meta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let this = self.clone();
        let last = meta.last_log_id;
        background::run(move || {
            #[cfg(feature = "simulation")]
            crate::simulation::ledger::installed();
            let kept = this.snapshots.keep(last, &snapshot.path, &snapshot.file)?;
            let mut store = this.lock();
            store.install(&mut kept.reader()).map_err(io::Error::other)?;
            store.publish();
            this.feed.replaced(store.revision());
            this.time_line.at_least(this.reader.clock_ms(), Instant::now());
            // What happened to users meanwhile is not known, so no token may outlive it.
            this.tokens.iter().for_each(|tokens| tokens.forget_all());
            this.applied.send_replace(last.map_or(0, |id| id.index()));
            Ok(())
        })
        .await
        .map_err(io::Error::other)?
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, SnapshotFile>>, io::Error> {
        let snapshots = Arc::clone(&self.snapshots);
        let newest = background::run(move || snapshots.newest())
            .await
            .map_err(io::Error::other)??;
        let Some((id, file)) = newest else { return Ok(None) };
        let (_, membership) = kvorum_store::snapshot::peek(&mut file.reader()).map_err(io::Error::other)?;
        let membership = match membership {
            Some(bytes) => postcard::from_bytes(&bytes).map_err(io::Error::other)?,
            None => StoredMembership::default(),
        };
        Ok(Some(SnapshotOf::<Types, SnapshotFile> {
            meta: snapshots::meta(id, membership),
            snapshot: file,
        }))
    }
}

impl RaftSnapshotBuilder<Types> for StateMachine {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotFile>, io::Error> {
        let mut said = false;
        loop {
            let this = self.clone();
            let built = background::run(move || this.snapshot_now());
            match built.await.map_err(io::Error::other)? {
                // Consensus would take it for the end. Until there is room the log grows, as far as it can.
                Err(error) if disk::is_full(&error) => {
                    if !said {
                        tracing::warn!("no room for a snapshot: {error}. It is tried again until there is");
                        said = true;
                    }
                    tokio::time::sleep(SNAPSHOT_RETRY_TIME).await;
                }
                built => return built,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(&[], &[]; "nothing")]
    #[test_case(&[1; 600], &[512, 88]; "many")]
    #[test_case(&[1 << 20; 10], &[4, 4, 2]; "large ones")]
    #[test_case(&[1, 16 << 20, 16 << 20, 1], &[2, 1, 1]; "very large ones")]
    fn batches_are_bounded(costs: &[usize], expected: &[usize]) {
        let mut stream = futures::stream::iter(costs.iter().copied().map(Ok));
        let mut batches = Vec::new();
        while let Some(batch) = next_batch(&mut stream, |cost| *cost).now_or_never().unwrap() {
            batches.push(batch.unwrap().len());
        }
        assert_eq!(batches, expected);
    }
}
