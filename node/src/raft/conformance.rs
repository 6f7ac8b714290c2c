//! openraft's own storage suite, run on our log and state machine over a real directory.

use std::path::Path;
use std::sync::Arc;

use kvorum_store::Store;
use kvorum_store::engine::Engine;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::Types;
use super::log_store::LogStore;
use super::snapshots::SnapshotDir;
use super::state_machine::StateMachine;
use crate::lease::time_line::TimeLine;
use crate::sled_engine::{Distrust, SledEngine};
use crate::watch::Feed;

struct OnDisk;

fn options() -> kvorum_wal::Options {
    let fatal = Arc::new(|failure: &kvorum_wal::Failure| panic!("{failure}"));
    kvorum_wal::Options {
        segment_bytes: 1 << 20,
        first_segment_bytes: 1 << 20,
        ..kvorum_wal::Options::new(fatal)
    }
}

fn state_machine(dir: &Path) -> StateMachine {
    let (engine, _) = SledEngine::open(&dir.join("engine"), 1, Err(Distrust::Nothing)).unwrap();
    let store = Store::open(Arc::new(engine) as Arc<dyn Engine>).unwrap();
    let snapshots = SnapshotDir::open(&dir.join("snap")).unwrap();
    let time_line = TimeLine::new(0, tokio::time::Instant::now());
    let feed = Arc::new(Feed::default());
    StateMachine::new(store, snapshots, feed, Arc::new(time_line), None, Arc::default())
}

impl StoreBuilder<Types, LogStore, StateMachine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(&dir.path().join("wal"), options()).unwrap();
        let state = state_machine(dir.path());
        Ok((dir, log, state))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_storage_suite_passes() {
    Suite::<Types, LogStore, StateMachine, OnDisk, TempDir>::test_all(OnDisk)
        .await
        .unwrap();
}

mod reopened {
    //! What was written is there after the log was closed and opened again.

    use openraft::entry::RaftEntry;
    use openraft::storage::{IOFlushed, RaftLogStorage};
    use openraft::type_config::TypeConfigExt;
    use openraft::{EntryPayload, RaftLogReader};

    use super::*;
    use crate::raft::{Entry, Vote, entry_id};

    fn entries(indexes: std::ops::Range<u64>) -> Vec<Entry> {
        indexes
            .map(|index| openraft::Entry::new(entry_id(1, index), EntryPayload::Blank))
            .collect()
    }

    async fn append(log: &mut LogStore, entries: Vec<Entry>) {
        let (sender, receiver) = Types::oneshot();
        log.append(entries, IOFlushed::signal(sender)).await.unwrap();
        receiver.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn vote_entries_truncation_and_purge_survive() {
        let dir = tempfile::tempdir().unwrap();
        let vote = Vote::new_committed(1, 7);
        {
            let mut log = LogStore::open(dir.path(), options()).unwrap();
            log.save_vote(&vote).await.unwrap();
            append(&mut log, entries(0..100)).await;
            log.truncate_after(Some(entry_id(1, 49))).await.unwrap();
            append(&mut log, entries(50..60)).await;
            log.purge(entry_id(1, 9)).await.unwrap();
        }
        let mut log = LogStore::open(dir.path(), options()).unwrap();
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        assert_eq!(log.bounds(), (Some(entry_id(1, 9)), Some(entry_id(1, 59))));
        assert_eq!(log.try_get_log_entries(0..1_000).await.unwrap().len(), 50);
    }

    fn segments(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_purge_gives_segments_back_but_keeps_the_vote() {
        let dir = tempfile::tempdir().unwrap();
        let vote = Vote::new_committed(1, 7);
        let options = || kvorum_wal::Options {
            segment_bytes: 4_096,
            first_segment_bytes: 4_096,
            ..options()
        };
        {
            let mut log = LogStore::open(dir.path(), options()).unwrap();
            log.save_vote(&vote).await.unwrap();
            for start in 0..50 {
                append(&mut log, entries(start * 20..(start + 1) * 20)).await;
            }
            let before = segments(dir.path());
            log.purge(entry_id(1, 990)).await.unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while segments(dir.path()) + 5 > before {
                assert!(std::time::Instant::now() < deadline, "old segments were not given back");
                tokio::task::yield_now().await;
            }
        }
        let mut log = LogStore::open(dir.path(), options()).unwrap();
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        assert_eq!(log.bounds(), (Some(entry_id(1, 990)), Some(entry_id(1, 999))));
    }
}
