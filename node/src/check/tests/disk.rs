//! A member's data directory with a life behind it, and ways to damage it.
//!
//! Its log holds entries 0 to [`UNACKNOWLEDGED`] and has forgotten those up to 10; a snapshot stands at [`SNAPSHOT`], the
//! engine at [`LAST`], which is the last entry that was acknowledged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kvorum_api::Id;
use kvorum_api::etcdserverpb::PutRequest;
use kvorum_store::{Command, Fingerprint, LogPosition, Store};
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use openraft::{EntryPayload, RaftLogReader as _};
use tempfile::TempDir;

use crate::identity::{self, Decision, Expected, Identity, file};
use crate::raft::log_store::LogStore;
use crate::raft::{Entry, MemberNode, Membership, Proposal, StoredMembership, Types, Vote, entry_id};
use crate::recovery::{Recovered, recover};

/// Index of the snapshot.
pub(super) const SNAPSHOT: u64 = 20;
/// Index of the last entry that was acknowledged.
pub(super) const LAST: u64 = 40;
/// Index of an entry that was written but not acknowledged.
pub(super) const UNACKNOWLEDGED: u64 = LAST + 1;
/// Index up to which the log was forgotten.
const PURGED: u64 = 10;
/// Index of an entry whose value is large, so that it lies beside sled.
const LARGE: u64 = 25;
/// Index at which copies are taken that are old later.
const OLD: u64 = 30;
const TERM: u64 = 3;
/// Room for some entries, or for the large one.
const SMALL_SEGMENT_BYTES: u64 = 3 << 10;
/// Times that the vote is written to it.
const VOTES: usize = 12;
const SEGMENT: &str = "wal/00000000000000000001.wal";

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Orderly,
    Killed,
}

/// A data directory, beside it another member's and old copies, and what was acknowledged.
pub(super) struct Disk {
    _folder: TempDir,
    data: PathBuf,
    aside: Arc<TempDir>,
    expected: (i64, Fingerprint),
}

impl Disk {
    /// The disk of a member that makes a cluster of its own.
    pub(super) fn lived(stop: Stop) -> Disk {
        let other = Arc::new(tempfile::tempdir().unwrap());
        live(&other.path().join("other"), 2, stop, &other.path().join("unused"));
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let expected = live(&data, 1, stop, &other.path().join("old"));
        Disk {
            _folder: folder,
            data,
            aside: other,
            expected,
        }
    }

    /// As [`Disk::lived`] with an orderly stop, but the log takes several small segments and has forgotten nothing.
    pub(super) fn of_segments() -> Disk {
        let other = Arc::new(tempfile::tempdir().unwrap());
        live_in_segments(&other.path().join("other"), 2);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let expected = live_in_segments(&data, 1);
        Disk {
            _folder: folder,
            data,
            aside: other,
            expected,
        }
    }

    /// The log's files and where the records in each lie, in order.
    pub(super) fn records(&self) -> Vec<(String, Vec<usize>)> {
        let mut segments: Vec<(String, Vec<usize>)> = Vec::new();
        let inspection = kvorum_wal::inspect(&self.data.join("wal"), None, |at, _, _: &[u8]| {
            let file = format!("wal/{:020}.wal", at.segment);
            if segments.last().is_none_or(|(last, _)| *last != file) {
                segments.push((file, Vec::new()));
            }
            let (_, records) = segments.last_mut().unwrap();
            records.push(at.offset as usize);
            Ok::<_, std::io::Error>(())
        });
        assert!(inspection.outcome.is_ok());
        segments
    }

    /// The same once more, to be damaged.
    pub(super) fn copy(&self) -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&self.data, &data);
        Disk {
            _folder: folder,
            data,
            aside: Arc::clone(&self.aside),
            expected: self.expected,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.data
    }

    /// Every file and what is in it.
    pub(super) fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(&self.data)
            .into_iter()
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect()
    }

    /// The segment's file.
    pub(super) fn segment(&self) -> &'static str {
        SEGMENT
    }

    /// The newest snapshot's file.
    pub(super) fn snapshot(&self) -> &'static str {
        "snap/00000000000000000003-00000000000000000020.snap"
    }

    /// Where the record of an entry lies in the segment.
    pub(super) fn record(&self, index: u64) -> usize {
        let mut found = None;
        let inspection = kvorum_wal::inspect(&self.data.join("wal"), None, |at, kind, payload: &[u8]| {
            let is_it = kind.0 == 1 && payload[8..16] == index.to_le_bytes();
            found = if is_it { Some(at.offset) } else { found };
            Ok::<_, std::io::Error>(())
        });
        assert!(inspection.outcome.is_ok());
        found.unwrap() as usize
    }

    pub(super) fn last_record(&self) -> usize {
        self.record(UNACKNOWLEDGED)
    }

    pub(super) fn remove(&self, name: &str) {
        let path = self.data.join(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }

    pub(super) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.data.join(name), content).unwrap();
    }

    pub(super) fn append(&self, name: &str, content: &[u8]) {
        self.write(name, &[&fs::read(self.data.join(name)).unwrap(), content].concat());
    }

    pub(super) fn cut(&self, name: &str, length: usize) {
        let file = File::options().write(true).open(self.data.join(name)).unwrap();
        assert!(file.metadata().unwrap().len() > length as u64);
        file.set_len(length as u64).unwrap();
    }

    pub(super) fn cut_end(&self, name: &str, bytes: usize) {
        let length = fs::metadata(self.data.join(name)).unwrap().len() as usize;
        self.cut(name, length - bytes);
    }

    pub(super) fn flip(&self, name: &str, offset: usize) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.data.join(name))
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset as u64).unwrap();
        file.write_all_at(&[byte[0] ^ 1], offset as u64).unwrap();
    }

    pub(super) fn flip_end(&self, name: &str, bytes: usize) {
        let length = fs::metadata(self.data.join(name)).unwrap().len() as usize;
        self.flip(name, length - bytes);
    }

    /// Zeros from `offset` to the end of the file.
    pub(super) fn zero(&self, name: &str, offset: usize) {
        let file = File::options().write(true).open(self.data.join(name)).unwrap();
        let length = file.metadata().unwrap().len() as usize;
        file.write_all_at(&vec![0; length - offset], offset as u64).unwrap();
    }

    /// Puts another member's file or folder in its place.
    pub(super) fn take(&self, name: &str) {
        self.put(&self.aside.path().join("other").join(name), name);
    }

    pub(super) fn old_identity(&self) {
        self.put(&self.aside.path().join("old/identity"), "identity");
    }

    pub(super) fn old_log(&self) {
        self.put(&self.aside.path().join("old").join(SEGMENT), SEGMENT);
    }

    pub(super) fn old_engine(&self) {
        self.put(&self.aside.path().join("old/engine"), "engine");
    }

    pub(super) fn older_snapshot(&self) {
        self.put(&self.aside.path().join("old/snap"), self.snapshot());
    }

    /// Gives the segment's header another format, with a checksum that is right.
    pub(super) fn newer_segment(&self) {
        self.newer(SEGMENT);
    }

    pub(super) fn newer(&self, segment: &str) {
        let mut bytes = fs::read(self.data.join(segment)).unwrap();
        bytes[8] = 2;
        let checksum = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
        self.write(segment, &bytes);
    }

    /// What a node does first.
    pub(super) fn settle_identity(&self) -> Result<Identity, String> {
        let found = file::find(&self.data).map_err(|error| error.to_string())?;
        match identity::decide(&found, &Expected::default(), "n0") {
            Decision::Known(identity) => Ok(identity),
            Decision::Refused(refused) => Err(refused.reason().to_owned()),
            Decision::Fresh { .. } => panic!("a disk with data is nobody's"),
        }
    }

    /// Applies what is in the log, as a node does, and looks whether all that was acknowledged is there.
    pub(super) fn holds_everything(&self, recovered: Recovered) {
        let Recovered { mut log, mut store, .. } = recovered;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let vote = runtime.block_on(log.read_vote()).unwrap();
        assert_eq!(vote.map(|vote| vote.leader_id.term), Some(TERM), "the vote");
        let from = store.applied().map_or(0, |at| at.index + 1);
        let entries = runtime.block_on(log.try_get_log_entries(from..UNACKNOWLEDGED)).unwrap();
        entries.iter().for_each(|entry| apply(&mut store, entry));
        store.publish();
        assert_eq!(store.applied().map(|at| at.index), Some(LAST));
        assert_eq!(store.reader().hash(), self.expected, "the state");
    }

    fn put(&self, from: &Path, name: &str) {
        if self.data.join(name).exists() {
            self.remove(name);
        }
        copy(from, &self.data.join(name));
    }
}

/// Lives a life in `data`; copies go to `old` while it lasts. The state in the end.
fn live(data: &Path, member: u64, stop: Stop, old: &Path) -> (i64, Fingerprint) {
    let identity = Identity {
        cluster_id: Id::new(0xcc),
        member_id: Id::new(member).unwrap(),
        name: "n0".into(),
        log_id: None,
    };
    file::write(data, &identity).unwrap();
    fs::create_dir_all(old.join("wal")).unwrap();
    copy(&data.join("identity"), &old.join("identity"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let mut recovered = recover(data, &identity).unwrap();
    let vote = Vote::new_committed(TERM, member);
    runtime.block_on(recovered.log.save_vote(&vote)).unwrap();
    go_on(&runtime, &mut recovered, member, 0..6);
    let view = recovered.store.reader().view();
    kvorum_store::snapshot::write(&view, &mut File::create(old.join("snap")).unwrap()).unwrap();
    drop(view);
    go_on(&runtime, &mut recovered, member, 6..SNAPSHOT + 1);
    let at = Some(entry_id(TERM, SNAPSHOT));
    recovered.snapshots.write(at, &recovered.store.reader().view()).unwrap();
    runtime.block_on(recovered.log.purge(entry_id(TERM, PURGED))).unwrap();
    go_on(&runtime, &mut recovered, member, SNAPSHOT + 1..OLD + 1);
    close(recovered, Stop::Orderly);
    copy(&data.join("engine"), &old.join("engine"));
    copy(&data.join(SEGMENT), &old.join(SEGMENT));

    let identity = match file::find(data).unwrap() {
        file::Found::Identity(identity) => identity,
        other => panic!("{other:?}"),
    };
    let mut recovered = recover(data, &identity).unwrap();
    go_on(&runtime, &mut recovered, member, OLD + 1..LAST + 1);
    let expected = recovered.store.reader().hash();
    append(&runtime, &mut recovered.log, vec![entry(member, UNACKNOWLEDGED)]);
    close(recovered, stop);
    // What was prepared ahead holds nothing, and only makes the copies large.
    fs::remove_file(data.join("wal/00000000000000000002.wal")).ok();
    expected
}

/// A life whose log was written by a build with small segments, which a disk keeps. The state in the end.
fn live_in_segments(data: &Path, member: u64) -> (i64, Fingerprint) {
    let identity = Identity {
        cluster_id: Id::new(0xcc),
        member_id: Id::new(member).unwrap(),
        name: "n0".into(),
        log_id: None,
    };
    file::write(data, &identity).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fatal = Arc::new(|failure: &kvorum_wal::Failure| panic!("{failure}"));
    let options = kvorum_wal::Options {
        segment_bytes: SMALL_SEGMENT_BYTES,
        first_segment_bytes: SMALL_SEGMENT_BYTES,
        ..kvorum_wal::Options::new(fatal)
    };
    let mut log = LogStore::open(&data.join("wal"), options).unwrap();
    // So often that the last segment has more in it than what was not acknowledged.
    for _ in 0..VOTES {
        runtime
            .block_on(log.save_vote(&Vote::new_committed(TERM, member)))
            .unwrap();
    }
    for index in 0..=UNACKNOWLEDGED {
        append(&runtime, &mut log, vec![entry(member, index)]);
    }
    log.wal().close();
    drop(log);

    let mut recovered = recover(data, &identity).unwrap();
    for index in 0..=LAST {
        apply(&mut recovered.store, &entry(member, index));
        recovered.store.publish();
        if index == SNAPSHOT {
            let at = Some(entry_id(TERM, SNAPSHOT));
            recovered.snapshots.write(at, &recovered.store.reader().view()).unwrap();
        }
    }
    while let Some(writes) = recovered.store.take_writes() {
        writes.commit().unwrap();
    }
    let expected = recovered.store.reader().hash();
    close(recovered, Stop::Orderly);
    for path in files(&data.join("wal")) {
        // What was prepared ahead holds nothing, and only makes the copies large.
        if fs::metadata(&path).unwrap().len() > SMALL_SEGMENT_BYTES {
            fs::remove_file(path).unwrap();
        }
    }
    expected
}

/// Appends, applies and hands to the engine.
fn go_on(runtime: &tokio::runtime::Runtime, recovered: &mut Recovered, member: u64, indexes: std::ops::Range<u64>) {
    for index in indexes {
        let entry = entry(member, index);
        append(runtime, &mut recovered.log, vec![entry.clone()]);
        apply(&mut recovered.store, &entry);
    }
    recovered.store.publish();
    while let Some(writes) = recovered.store.take_writes() {
        writes.commit().unwrap();
    }
}

fn append(runtime: &tokio::runtime::Runtime, log: &mut LogStore, entries: Vec<Entry>) {
    runtime.block_on(async {
        let (sender, receiver) = Types::oneshot();
        log.append(entries, IOFlushed::signal(sender)).await.unwrap();
        receiver.await.unwrap().unwrap();
    });
}

fn close(recovered: Recovered, stop: Stop) {
    let Recovered { log, engine, store, .. } = recovered;
    log.wal().close();
    let applied = store.applied().map(|at| (at.term, at.index));
    match stop {
        Stop::Orderly => engine.close_clean(applied).unwrap(),
        Stop::Killed => kvorum_store::Engine::flush(&*engine).unwrap(),
    }
}

/// The first entry names the members, the others put keys.
fn entry(member: u64, index: u64) -> Entry {
    let payload = match index {
        0 => {
            let nodes = BTreeMap::from([(member, MemberNode::default())]);
            EntryPayload::Membership(Membership::new(vec![[member].into()], nodes).unwrap())
        }
        _ => {
            let times = if index == LARGE { 100 } else { 1 };
            let put = Command::Put(PutRequest {
                key: format!("key {}", index % 7).into(),
                value: format!("value {index} of member {member}").repeat(times).into(),
                ..PutRequest::default()
            });
            let mut bytes = Vec::new();
            put.encode(&mut bytes);
            EntryPayload::Normal(Proposal(Bytes::from(bytes)))
        }
    };
    Entry::new(entry_id(TERM, index), payload)
}

fn apply(store: &mut Store, entry: &Entry) {
    let id = entry.log_id();
    let at = LogPosition {
        term: **id.committed_leader_id(),
        node: 0,
        index: id.index(),
    };
    match &entry.payload {
        EntryPayload::Blank => store.note(at, None),
        EntryPayload::Membership(membership) => {
            let stored = StoredMembership::new(Some(id), membership.clone());
            store.note(at, Some(postcard::to_stdvec(&stored).unwrap().into()));
        }
        EntryPayload::Normal(proposal) => {
            let command = Command::decode(proposal.0.clone()).unwrap();
            store.apply(at, &command).unwrap();
        }
    }
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
