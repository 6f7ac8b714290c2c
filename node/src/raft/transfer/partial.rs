//! What is here of a snapshot that another member sends.
//!
//! It lies beside the snapshots as `<term>-<index>-<sha-256>.partial`, so that its name tells whether it is of the
//! snapshot that is sent next. What a restart finds is believed as far as its checksums hold, and the whole is verified
//! in the end, so a power cut costs at most what was written since the last sync.
//!
//! Must keep true: at most one such file stays, and none that is no newer than a whole snapshot; one transfer writes at a
//! time.

use kvorum_files::{self as fs, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvorum_faults::{self as faults, sized, small};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::{Content, Head};
use crate::disk;
use crate::raft::EntryId;
use crate::raft::snapshots::{self, SnapshotFile};

const SUFFIX: &str = "partial";
/// Written between two syncs, in bytes: so much is sent again after a power cut, and the log's syncs wait for no more.
const SYNC_BYTES: u64 = 8 << 20;

/// Whose turn it is to write what comes in.
#[derive(Debug)]
pub struct Incoming {
    turn: Arc<Mutex<()>>,
    latest: watch::Sender<u64>,
    /// Whether the log tells of what keeps a snapshot from being taken, which is tried again and again.
    told: AtomicBool,
}

/// The right to write, until it is dropped.
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
    number: u64,
    latest: watch::Receiver<u64>,
}

/// A snapshot that is not yet whole.
#[derive(Debug)]
pub(super) struct Partial {
    file: SnapshotFile,
    held: u64,
    synced: u64,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            turn: Arc::default(),
            latest: watch::Sender::new(0),
            told: AtomicBool::new(false),
        }
    }
}

impl Incoming {
    /// Asks whoever writes to make room, and waits for it. A transfer whose connection broke may not know it yet.
    pub(super) async fn begin(&self) -> Turn {
        let mut number = 0;
        self.latest.send_modify(|latest| {
            *latest += 1;
            number = *latest;
        });
        Turn {
            _guard: Arc::clone(&self.turn).lock_owned().await,
            number,
            latest: self.latest.subscribe(),
        }
    }

    /// Tells once of what keeps a snapshot from being taken.
    pub(super) fn complain(&self, error: &io::Error) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("a snapshot that another member sends is refused: {error}. The other tries again");
        }
    }

    /// Whatever it was is over.
    pub(super) fn content(&self) {
        self.told.store(false, Ordering::Relaxed);
    }

    /// Removes what is left in `dir` of a transfer that nobody goes on with, if it is no newer than `id`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn forget_up_to(&self, dir: &Path, id: Option<EntryId>) -> io::Result<()> {
        match self.turn.try_lock() {
            Ok(_nobody_writes) => remove(dir, |found, _| found <= id),
            // Whoever writes needs it still, and sees to it afterwards.
            Err(_) => Ok(()),
        }
    }
}

impl Turn {
    /// Returns when somebody else is to write.
    pub(super) async fn overtaken(&mut self) {
        let number = self.number;
        if self.latest.wait_for(|latest| *latest != number).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Partial {
    /// Takes up what is in `dir` of this snapshot, and removes what is of others.
    pub(super) fn open(dir: &Path, head: &Head) -> io::Result<Partial> {
        let path = dir.join(name_of(head.meta.last_log_id, &head.content));
        remove(dir, |_, other| other != path)?;
        faults::pass("transfer::create")?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        let file = SnapshotFile {
            path,
            file: Arc::new(file),
        };
        let held = kvorum_store::snapshot::sound(&mut file.reader())?;
        file.file.set_len(held)?;
        Ok(Partial { file, held, synced: 0 })
    }

    /// Bytes that are here.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Adds what comes next.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        faults::write("transfer::receive", bytes, |bytes| {
            self.file.file.write_all_at(bytes, self.held)
        })?;
        self.held += bytes.len() as u64;
        if self.held - self.synced >= sized(SYNC_BYTES, small::TRANSFER_SYNC_BYTES) {
            self.sync()?;
            self.synced = self.held;
        }
        Ok(())
    }

    /// Where it fails, nothing of the file is believed any more: the system may have forgotten what it could not write,
    /// and says so only once.
    fn sync(&self) -> io::Result<()> {
        let synced = faults::pass("transfer::sync").and_then(|()| self.file.file.sync_data());
        if synced.is_err() {
            fs::remove_file(&self.file.path)?;
        }
        synced
    }

    /// The file, to be verified and installed.
    pub(super) fn file(&self) -> SnapshotFile {
        self.file.clone()
    }

    /// Removes the file, if nobody has given it another name.
    pub(super) fn remove(self) -> io::Result<()> {
        match faults::pass("transfer::discard").and_then(|()| fs::remove_file(&self.file.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// A snapshot in `dir` with this content: it was taken up before, and the sender has not heard of it.
pub(super) fn whole(dir: &Path, head: &Head) -> io::Result<Option<SnapshotFile>> {
    for (id, path) in snapshots::list(dir)? {
        if id != head.meta.last_log_id {
            continue;
        }
        match SnapshotFile::open(path) {
            Ok(file) if Content::of(&file)? == head.content => return Ok(Some(file)),
            // Replaced by a newer one between two looks.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

/// Whether this file is a snapshot's beginning.
pub fn is_partial(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SUFFIX)
}

fn name_of(id: Option<EntryId>, content: &Content) -> String {
    let hash: String = content.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}.{SUFFIX}", snapshots::stem_of(id))
}

/// Removes the beginnings in `dir` of which `which` says so by position and path, and those without a position.
fn remove(dir: &Path, which: impl Fn(Option<EntryId>, &Path) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !is_partial(&path) {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let position = stem
            .and_then(|stem| stem.rsplit_once('-'))
            .and_then(|(position, _)| snapshots::position_in(position));
        if position.is_none_or(|position| which(position, &path)) {
            let removed = faults::pass("transfer::remove").and_then(|()| fs::remove_file(&path));
            removed.map_err(|error| disk::naming(&path, &error))?;
        }
    }
    Ok(())
}
