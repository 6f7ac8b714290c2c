//! Transfers that break: at every place, with another sender, a receiver that starts again, a disk that forgot.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvorum_api::etcdserverpb::PutRequest;
use kvorum_store::{Command, LogPosition, MemoryEngine, Store};
use tempfile::TempDir;
use test_case::test_case;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::task::JoinHandle;

use super::*;
use crate::raft::peer_counts::PeerCount;
use crate::raft::snapshots::{self, SnapshotDir};
use crate::raft::{StoredMembership, Vote, entry_id, frame};

const INDEX: u64 = 600;
/// Whatever is on its way when a connection breaks is lost, with what of a frame was there.
const LOST_MAX: u64 = 1 << 20;
/// What a connection holds.
const BUFFER: usize = 16 << 10;

/// A store at one position; `word` makes it differ from others there.
fn store(word: &str) -> Store {
    let mut store = Store::open(Arc::new(MemoryEngine::default())).unwrap();
    for index in 1..=INDEX {
        let put = Command::Put(PutRequest {
            key: format!("key {index}").into(),
            value: format!("{word} {index} ").repeat(400).into(),
            ..PutRequest::default()
        });
        let at = LogPosition {
            term: 1,
            node: 0,
            index,
        };
        store.apply(at, &put).unwrap();
    }
    store.publish();
    store
}

/// A member that has a snapshot to send.
struct Sender {
    _dir: TempDir,
    file: SnapshotFile,
    head: Head,
    count: Arc<PeerCount>,
}

impl Sender {
    fn new(word: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let id = Some(entry_id(1, INDEX));
        let snapshots = SnapshotDir::open(dir.path()).unwrap();
        let file = snapshots.write(id, &store(word).reader().view()).unwrap();
        let head = Head {
            vote: Vote::new_committed(1, 1),
            meta: snapshots::meta(id, StoredMembership::default()),
            content: Content::of(&file).unwrap(),
        };
        Self {
            _dir: dir,
            file,
            head,
            count: Arc::default(),
        }
    }

    fn sent(&self) -> u64 {
        self.count.snapshot_bytes.load(Ordering::Relaxed)
    }

    /// Sends over connections that `dial` makes.
    async fn send<D: Future<Output = io::Result<DuplexStream>>>(&self, dial: impl Fn() -> D) -> io::Result<()> {
        let pace = Pace::new(2, Arc::clone(&self.count));
        let sending = send(dial, &self.head, &self.file, pace);
        let sent = tokio::time::timeout(Duration::from_secs(50), sending).await;
        sent.expect("a transfer ends").map(drop)
    }
}

/// A member that receives.
struct Receiver {
    dir: TempDir,
    snapshots: Arc<SnapshotDir>,
    installed: Arc<AtomicU64>,
    /// What became of its connections.
    ended: Arc<Mutex<Vec<JoinHandle<io::Result<()>>>>>,
}

impl Receiver {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Arc::new(SnapshotDir::open(dir.path()).unwrap());
        Self {
            dir,
            snapshots,
            installed: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// As a process that was killed and is there again.
    fn start_again(&mut self) {
        self.snapshots = Arc::new(SnapshotDir::open(self.dir.path()).unwrap());
    }

    fn serve(&self, connection: DuplexStream) {
        let (snapshots, installed) = (Arc::clone(&self.snapshots), Arc::clone(&self.installed));
        let served = tokio::spawn(async move {
            let install = async |head: &Head, file: SnapshotFile| {
                snapshots.keep(head.meta.last_log_id, &file.path, &file.file)?;
                installed.fetch_add(1, Ordering::Relaxed);
                Ok(SnapshotResponse::new(head.vote))
            };
            receive(connection, &snapshots, install).await
        });
        self.ended.lock().unwrap().push(served);
    }

    /// A connection to it that breaks after so many bytes of the sender's, where a bound is given.
    fn connection(&self, bytes: Option<u64>) -> DuplexStream {
        let (near, middle) = duplex(BUFFER);
        let (far, served) = duplex(BUFFER);
        self.serve(served);
        tokio::spawn(async move {
            let ((mut said, mut hears), (mut answers, mut asked)) = (split(middle), split(far));
            let forth = async {
                tokio::io::copy(&mut (&mut said).take(bytes.unwrap_or(u64::MAX)), &mut asked).await?;
                asked.flush().await
            };
            let back = tokio::io::copy(&mut answers, &mut hears);
            // Both directions end with the first that does.
            tokio::select! { _ = forth => {}, _ = back => {} }
        });
        near
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    fn partial(&self) -> Option<PathBuf> {
        self.files().into_iter().find(|path| is_partial(path))
    }

    /// One attempt that breaks after so many bytes of the file, and what is here then.
    async fn broken_off(&self, sender: &Sender, bytes: u64) -> PathBuf {
        let mut pace = Pace::new(2, Arc::clone(&sender.count));
        let tried = send::attempt(self.connection(Some(bytes)), &sender.head, &sender.file, &mut pace).await;
        assert!(tried.is_err());
        self.all_ended().await;
        self.partial().expect("something is here")
    }

    async fn all_ended(&self) -> Vec<Result<(), String>> {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap());
        let mut all = Vec::new();
        for connection in ended {
            all.push(connection.await.unwrap().map_err(|error| error.to_string()));
        }
        all
    }

    fn assert_has(&self, sender: &Sender) {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(fs::read(&files[0]).unwrap() == fs::read(&sender.file.path).unwrap());
        assert_eq!(snapshots::position_of(&files[0]).unwrap(), sender.head.meta.last_log_id);
        assert_eq!(self.installed.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_whole_transfer_sends_every_byte_once() {
    let (sender, receiver) = (Sender::new("value"), Receiver::new());
    sender
        .send(|| std::future::ready(Ok(receiver.connection(None))))
        .await
        .unwrap();
    receiver.assert_has(&sender);
    assert_eq!(sender.sent(), sender.head.content.bytes);
    assert_eq!(receiver.all_ended().await, [Ok(())]);
}

/// What was sent in sum is the file, and little more for each break.
#[tokio::test]
async fn a_transfer_that_breaks_again_and_again_goes_on() {
    let (sender, receiver) = (Sender::new("value"), Receiver::new());
    let piece = sender.head.content.bytes / 4;
    let dials = Cell::new(0);
    let dial = || {
        dials.set(dials.get() + 1);
        std::future::ready(Ok(receiver.connection(Some(piece + LOST_MAX / 2))))
    };
    sender.send(dial).await.unwrap();
    receiver.assert_has(&sender);
    let (sent, bytes) = (sender.sent(), sender.head.content.bytes);
    assert!(dials.get() > 2, "it broke: {} dials", dials.get());
    assert!(
        sent < bytes + dials.get() * LOST_MAX,
        "{sent} of {bytes} in {} dials",
        dials.get()
    );
    assert!(sender.count.snapshots_resumed.load(Ordering::Relaxed) >= dials.get() - 2);
}

/// Wherever it breaks, what is here is the beginning of it, and the next attempt ends it.
#[tokio::test]
async fn wherever_it_breaks_the_next_attempt_ends_it() {
    let sender = Sender::new("value");
    let bytes = sender.head.content.bytes;
    let head = 200;
    for at in [head, head + 8, head + 100, bytes / 3, bytes / 2, bytes - 100, bytes - 1] {
        let mut receiver = Receiver::new();
        let before = sender.sent();
        receiver.broken_off(&sender, at).await;
        receiver.start_again();
        sender
            .send(|| std::future::ready(Ok(receiver.connection(None))))
            .await
            .unwrap();
        receiver.assert_has(&sender);
        let sent = sender.sent() - before;
        assert!(sent <= bytes + LOST_MAX, "broken at {at}: {sent} of {bytes}");
    }
}

/// A power cut may leave holes and bits of other files in what was not synced.
#[test_case(|file, length| file.write_all_at(&[0; 5_000], length - 5_000).unwrap(); "a hole at the end")]
#[test_case(|file, length| file.write_all_at(&[0; 100], length / 2).unwrap(); "a hole in the middle")]
#[test_case(|file, length| file.set_len(length + 70_000).unwrap(); "longer than it was written")]
#[test_case(|file, _| file.write_all_at(b"x", 3).unwrap(); "not even its beginning")]
#[test_case(|file, _| file.set_len(0).unwrap(); "empty")]
#[tokio::test]
async fn what_a_power_cut_left_is_believed_as_far_as_it_is_sound(damage: fn(&fs::File, u64)) {
    let (sender, mut receiver) = (Sender::new("value"), Receiver::new());
    let partial = receiver.broken_off(&sender, sender.head.content.bytes / 2).await;
    let file = fs::File::options().read(true).write(true).open(&partial).unwrap();
    damage(&file, file.metadata().unwrap().len());
    receiver.start_again();
    sender
        .send(|| std::future::ready(Ok(receiver.connection(None))))
        .await
        .unwrap();
    receiver.assert_has(&sender);
}

#[tokio::test]
async fn another_member_with_the_same_snapshot_goes_on() {
    let (first, second, receiver) = (Sender::new("value"), Sender::new("value"), Receiver::new());
    let bytes = first.head.content.bytes;
    receiver.broken_off(&first, bytes / 2).await;
    second
        .send(|| std::future::ready(Ok(receiver.connection(None))))
        .await
        .unwrap();
    receiver.assert_has(&second);
    assert!(second.sent() < bytes / 2 + LOST_MAX, "{} of {bytes}", second.sent());
}

#[tokio::test]
async fn two_that_differ_at_one_position_are_never_spliced() {
    let (first, second, receiver) = (Sender::new("value"), Sender::new("other"), Receiver::new());
    assert_eq!(first.head.meta, second.head.meta);
    let old = receiver.broken_off(&first, first.head.content.bytes / 2).await;
    let new = receiver.broken_off(&second, second.head.content.bytes / 2).await;
    assert_ne!(old, new);
    assert_eq!(receiver.files(), [new], "one beginning is kept, the latest");
    second
        .send(|| std::future::ready(Ok(receiver.connection(None))))
        .await
        .unwrap();
    receiver.assert_has(&second);
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_nothing_is_kept_of_it() {
    let (sender, receiver) = (Sender::new("value"), Receiver::new());
    let file = fs::File::options().write(true).open(&sender.file.path).unwrap();
    file.write_all_at(b"x", sender.head.content.bytes / 2).unwrap();
    let mut pace = Pace::new(2, Arc::clone(&sender.count));
    let tried = send::attempt(receiver.connection(None), &sender.head, &sender.file, &mut pace).await;
    let error = tried.unwrap_err().to_string();
    assert!(error.contains("refused: the snapshot is damaged at byte"), "{error}");
    assert_eq!(receiver.installed.load(Ordering::Relaxed), 0);
    assert!(receiver.files().is_empty(), "{:?}", receiver.files());
}

/// The sender did not hear that it was taken up.
#[tokio::test]
async fn what_was_taken_up_is_not_sent_again() {
    let (sender, receiver) = (Sender::new("value"), Receiver::new());
    for _ in 0..2 {
        sender
            .send(|| std::future::ready(Ok(receiver.connection(None))))
            .await
            .unwrap();
    }
    assert_eq!(sender.sent(), sender.head.content.bytes);
    assert_eq!(receiver.files().len(), 1);
}

/// More than any disk has.
#[tokio::test]
async fn without_room_it_is_refused_and_what_is_here_goes() {
    let (mut sender, receiver) = (Sender::new("value"), Receiver::new());
    sender.head.content.bytes = 1 << 60;
    let mut pace = Pace::new(2, Arc::clone(&sender.count));
    let tried = send::attempt(receiver.connection(None), &sender.head, &sender.file, &mut pace).await;
    let error = tried.unwrap_err().to_string();
    assert!(error.contains("refused: no room for a snapshot"), "{error}");
    assert!(receiver.files().is_empty(), "{:?}", receiver.files());
}

/// A connection may be dead for seconds before its receiver knows.
#[tokio::test]
async fn the_latest_transfer_takes_the_place_of_one_that_stands_still() {
    let (sender, receiver) = (Sender::new("value"), Receiver::new());
    let mut silent = receiver.connection(None);
    frame::send(&mut silent, &sender.head).await.unwrap();
    assert_eq!(frame::expect::<_, Reply>(&mut silent).await.unwrap(), Reply::Held(0));
    sender
        .send(|| std::future::ready(Ok(receiver.connection(None))))
        .await
        .unwrap();
    receiver.assert_has(&sender);
    let ended = receiver.all_ended().await;
    assert!(
        matches!(&ended[..], [Err(why), Ok(())] if why.contains("a later transfer")),
        "{ended:?}"
    );
}

#[test]
fn a_beginning_goes_when_a_newer_snapshot_is_here() {
    let dir = tempfile::tempdir().unwrap();
    let content = Content {
        bytes: 7,
        sha256: [1; 32],
    };
    let head = |index| Head {
        vote: Vote::new_committed(1, 1),
        meta: snapshots::meta(Some(entry_id(1, index)), StoredMembership::default()),
        content,
    };
    let left = || {
        let all = fs::read_dir(dir.path()).unwrap();
        all.filter(|entry| is_partial(&entry.as_ref().unwrap().path())).count()
    };
    let snapshots = SnapshotDir::open(dir.path()).unwrap();
    for (index, stays) in [(INDEX + 1, 1), (INDEX, 0)] {
        partial::Partial::open(dir.path(), &head(index)).unwrap();
        assert_eq!(left(), 1);
        snapshots
            .write(Some(entry_id(1, INDEX)), &store("value").reader().view())
            .unwrap();
        assert_eq!(left(), stays, "at {index}");
    }
    partial::Partial::open(dir.path(), &head(INDEX)).unwrap();
    SnapshotDir::open(dir.path()).unwrap();
    assert_eq!(left(), 0, "after a start");
}
