//! The engine under the store, on sled. Nothing outside this file names sled.
//!
//! sled's flush does not survive a power cut (its issue 1452), so what lies here is never the truth: it is believed
//! only within the boot of the machine that wrote it, or after a clean close whose files were synced and are unchanged.
//! A marker file beside the database says which (`trust`); without a marker that holds, the database is thrown away and
//! rebuilt from snapshot and log (`recovery`).
//!
//! Must keep true: the marker is gone, durably, before sled touches a file, and comes back when all of it was read. So a
//! database at which sled panics is tried once, and a clean close is believed once.
//!
//! No room on the disk is no error here: what is written waits (`room`), and a sled that failed for want of room, which
//! takes nothing more, is opened again when there is some and given what it may have lost (`unsettled`). Reads go on
//! meanwhile; the few that sled then cannot answer wait. There is one failure that sled itself does not get over, that of a
//! value so large that it has a file of its own; that one ends the process, as every other failure does.

mod room;
mod trust;
mod unsettled;

use std::error::Error;
use std::fs;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvorum_faults as faults;
use kvorum_store::engine::{Batch, Engine, EngineError, Operation, Visit};
use thiserror::Error;

use crate::disk;
use room::Room;
pub(crate) use trust::look;
pub use trust::{Believed, Distrust};
use trust::{DATABASE, Marker, State};
use unsettled::Unsettled;

/// sled's page cache, in bytes. The store keeps its own cache of values in front.
const CACHE_BYTES: u64 = 64 << 20;
/// How often sled writes its buffers to the operating system, in milliseconds.
const FLUSH_MS: u64 = 500;
/// With less than this free, and twice the batch, sled is given nothing, in bytes: what it does by itself takes a few
/// segments of half a MiB.
const ROOM_BYTES_MIN: u64 = 16 << 20;
/// How long a database that is closed may keep its file,
const CLOSING_TIME_MAX: Duration = Duration::from_secs(5);
/// and how often is looked.
const CLOSING_LOOK_TIME: Duration = Duration::from_millis(20);

/// Why the engine could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// sled refused, twice: the second time on an empty directory.
    #[error("{}: sled: {source}", path.display())]
    Sled {
        /// The database.
        path: PathBuf,
        /// sled's error.
        source: sled::Error,
    },
}

/// What went wrong, and where.
#[derive(Debug, Error)]
#[error("{}", dir.display())]
struct InFolder {
    dir: PathBuf,
    source: Box<dyn Error + Send + Sync>,
}

impl OpenError {
    /// Whether it is for want of room on the disk, which may come back.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => disk::is_full(source),
            Self::Sled { source, .. } => room::is_full(source),
        }
    }
}

/// The engine.
pub struct SledEngine {
    dir: PathBuf,
    /// The log of the member whose engine this is.
    log_id: u64,
    opened: RwLock<Opened>,
    /// Held by whoever writes, or opens the database again.
    unsettled: Mutex<Unsettled>,
    room: Room,
    /// Whether the marker says that the engine is believed.
    vouched: AtomicBool,
    /// Whether it did before sled failed for want of room.
    was_vouched: AtomicBool,
    /// Bytes on disk as last measured: sled walks its directory to tell, too slow for every request.
    bytes: AtomicU64,
}

/// The database, and how often it was opened.
struct Opened {
    /// `None` from a failed write for want of room until there is some.
    database: Option<sled::Db>,
    times: u64,
}

impl SledEngine {
    /// Opens the engine in `dir`, of the member with the log `log_id`; empties it first where it cannot be believed, and
    /// says why. `trust` is what [`look`] has just found. It is believed again only after [`SledEngine::vouch`].
    ///
    /// # Errors
    /// The file system or sled refused.
    pub fn open(
        dir: &Path,
        log_id: u64,
        mut trust: Result<Believed, Distrust>,
    ) -> Result<(Self, Result<Believed, Distrust>), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        faults::pass("engine::folder-create").map_err(at(dir))?;
        fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join(DATABASE);
        trust::remove(dir).map_err(at(dir))?;
        if trust.is_ok() {
            match open_database(&path) {
                Ok(database) => return Ok((Self::new(dir, log_id, database), trust)),
                // Nothing is wrong with it.
                Err(source) if room::is_full(&source) => return Err(OpenError::Sled { path, source }),
                Err(error) => trust = Err(Distrust::Unopened(error.to_string())),
            }
        }
        match faults::pass("engine::remove").and_then(|()| fs::remove_dir_all(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
        let database = open_database(&path).map_err(|source| OpenError::Sled { path, source })?;
        Ok((Self::new(dir, log_id, database), trust))
    }

    fn new(dir: &Path, log_id: u64, database: sled::Db) -> Self {
        let bytes = AtomicU64::new(database.size_on_disk().unwrap_or_default());
        Self {
            dir: dir.to_owned(),
            log_id,
            opened: RwLock::new(Opened {
                database: Some(database),
                times: 1,
            }),
            unsettled: Mutex::default(),
            room: Room::new(dir),
            vouched: AtomicBool::new(false),
            was_vouched: AtomicBool::new(false),
            bytes,
        }
    }

    /// Bytes on disk, as last measured.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Measures the bytes on disk. Where the file system does not tell, the last figure stays.
    pub fn measure(&self) {
        if let Some(Ok(bytes)) = self.opened().database.as_ref().map(sled::Db::size_on_disk) {
            self.bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Whether something waits for room on the disk.
    pub fn waits_for_room(&self) -> bool {
        self.room.is_waited_for()
    }

    /// Has nobody wait for room any longer: the process ends.
    pub fn give_up(&self) {
        self.room.close();
    }

    /// Says that what the engine holds was read whole and made sense: it is believed as long as the machine runs.
    ///
    /// # Errors
    /// The engine will be rebuilt at the next start.
    pub fn vouch(&self) -> io::Result<()> {
        self.mark(State::Boot(trust::this_boot()?))?;
        self.vouched.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes everything written durable and says so in the marker; `applied` is term and index of the last entry in it.
    /// Nothing may be written afterwards.
    ///
    /// # Errors
    /// The engine will be rebuilt at the next start.
    pub fn close_clean(&self, applied: Option<(u64, u64)>) -> io::Result<()> {
        if self.unsettled().next().is_some() {
            return Err(io::Error::other(room::closed()));
        }
        self.write_out().map_err(io::Error::other)?;
        let files = trust::settle(&self.dir.join(DATABASE))?;
        self.mark(State::Clean { applied, files })
    }

    /// The engine's error, with the folder that it is about.
    fn failed(&self, action: &'static str, source: impl Error + Send + Sync + 'static) -> EngineError {
        let dir = self.dir.clone();
        let source = Box::new(source);
        EngineError::failed(action, InFolder { dir, source })
    }

    fn mark(&self, state: State) -> io::Result<()> {
        let log_id = self.log_id;
        trust::write(&self.dir, &Marker { log_id, state })
    }

    fn opened(&self) -> RwLockReadGuard<'_, Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the database once.
    fn ask<T>(&self, question: impl FnOnce(&sled::Db) -> sled::Result<T>) -> sled::Result<T> {
        match &self.opened().database {
            Some(database) => question(database),
            None => Err(room::closed()),
        }
    }

    /// Has sled write out what it was given.
    fn write_out(&self) -> sled::Result<()> {
        let database = self.ask(|database| Ok(database.clone()))?;
        faults::pass("engine::flush")?;
        room::bounded(move || database.flush().map(drop))
    }

    /// Asks the database until it can answer: after a write that failed for want of room it may know less than it was
    /// given, and nobody may be told that.
    fn answer<T>(
        &self,
        action: &'static str,
        mut question: impl FnMut(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, EngineError> {
        loop {
            let opened = self.opened();
            let times = opened.times;
            let answer = opened
                .database
                .as_ref()
                .map_or_else(|| Err(room::closed()), &mut question);
            drop(opened);
            match answer {
                Err(error) if room::may_be_reopened(&error) => room::blocking(|| self.open_again(times, &error))?,
                answer => return answer.map_err(|error| self.failed(action, error)),
            }
        }
    }

    /// Opens the database again, unless somebody has since it was opened for the time `times`.
    fn open_again(&self, times: u64, error: &sled::Error) -> Result<(), EngineError> {
        let mut unsettled = self.unsettled();
        if self.opened().times != times {
            return Ok(());
        }
        self.make_room(&mut unsettled, error)?;
        self.give_all(&mut unsettled)
    }

    /// Gives sled what it was not given yet, however long that takes for want of room.
    fn give_all(&self, unsettled: &mut Unsettled) -> Result<(), EngineError> {
        loop {
            match self.give(unsettled) {
                Ok(()) => break,
                Err(error) if room::may_be_reopened(&error) => self.make_room(unsettled, &error)?,
                Err(error) => return Err(self.failed("write a batch", error)),
            }
        }
        self.room.found();
        if self.was_vouched.swap(false, Ordering::Relaxed)
            && let Err(error) = self.vouch()
        {
            tracing::warn!("the engine will be rebuilt at the next start: {error}");
        }
        Ok(())
    }

    fn give(&self, unsettled: &mut Unsettled) -> sled::Result<()> {
        while let Some(batch) = unsettled.next() {
            let needed = ROOM_BYTES_MIN.saturating_add(2 * batch.bytes() as u64);
            if !self.room.has(needed) {
                // Written out, it can answer everything while it waits.
                self.write_out()?;
                unsettled.settled();
                let waited = self.room.wait(needed, "too little is left");
                waited.map_err(|given_up| sled::Error::Io(io::Error::new(io::ErrorKind::StorageFull, given_up)))?;
                continue;
            }
            faults::pass("engine::write")?;
            self.ask(|database| database.apply_batch(sled_batch(batch)))?;
            unsettled.gave();
        }
        if unsettled.is_much() {
            self.write_out()?;
            unsettled.settled();
        }
        Ok(())
    }

    /// Waits for room and opens the database again: sled takes nothing more after a write that failed.
    fn make_room(&self, unsettled: &mut Unsettled, error: &sled::Error) -> Result<(), EngineError> {
        // Half of a batch may be in its files by now, and must not be believed at a start.
        if self.vouched.swap(false, Ordering::Relaxed) {
            self.was_vouched.store(true, Ordering::Relaxed);
            trust::remove(&self.dir).map_err(|error| self.failed("be marked as unfinished", error))?;
        }
        let mut reason = error.to_string();
        loop {
            self.room
                .wait(ROOM_BYTES_MIN, &reason)
                .map_err(|given_up| EngineError::NoRoom {
                    source: Box::new(given_up),
                })?;
            match self.reopen(unsettled) {
                Ok(()) => return Ok(()),
                Err(error) if room::is_full(&error) => reason = error.to_string(),
                Err(error) => return Err(self.failed("be opened again", error)),
            }
        }
    }

    fn reopen(&self, unsettled: &mut Unsettled) -> sled::Result<()> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = opened.database.take() {
            room::bounded(move || {
                drop(database);
                Ok(())
            })?;
        }
        let database = open_when_free(&self.dir.join(DATABASE))?;
        if let Some(key) = unsettled.witness_key() {
            let found = database.get(key)?;
            if !unsettled.may_be(found.as_deref()) {
                let text = "it came back with less than it had written".to_owned();
                return Err(sled::Error::ReportableBug(text));
            }
        }
        unsettled.reopened();
        opened.database = Some(database);
        opened.times += 1;
        drop(opened);
        tracing::warn!("the engine was opened again after it had failed for want of room");
        Ok(())
    }
}

fn open_database(path: &Path) -> sled::Result<sled::Db> {
    faults::pass("engine::open")?;
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_MS))
        .open()
}

/// Opens a database that was closed just now: a thread of sled's may still hold its file.
fn open_when_free(path: &Path) -> sled::Result<sled::Db> {
    let begun = Instant::now();
    loop {
        match open_database(path) {
            Err(error) if !room::is_full(&error) && begun.elapsed() < CLOSING_TIME_MAX => {
                std::thread::sleep(CLOSING_LOOK_TIME);
            }
            opened => return opened,
        }
    }
}

fn sled_batch(batch: &Batch) -> sled::Batch {
    let mut written = sled::Batch::default();
    for operation in batch.operations() {
        match operation {
            Operation::Put(key, value) => written.insert(&key[..], &value[..]),
            Operation::Delete(key) => written.remove(&key[..]),
        }
    }
    written
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.answer("read a key", |database| {
            Ok(database.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
        })
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        // Where the scan goes on if the database has to be opened again.
        let mut last: Option<sled::IVec> = None;
        self.answer("read a range", |database| {
            let from = match &last {
                Some(last) => [&last[..], &[0]].concat(),
                None => range.start.to_vec(),
            };
            if from.as_slice() >= range.end {
                return Ok(());
            }
            for pair in database.range(&from[..]..range.end) {
                let (key, value) = pair?;
                if visit(&key, &value) == ControlFlow::Break(()) {
                    break;
                }
                last = Some(key);
            }
            Ok(())
        })
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut unsettled = self.unsettled();
        unsettled.add(batch);
        self.give_all(&mut unsettled)
    }

    fn clear(&self) -> Result<(), EngineError> {
        let mut unsettled = self.unsettled();
        loop {
            // Written out before the batches are forgotten that it removes.
            match self.ask(|database| database.clear()).and_then(|()| self.write_out()) {
                Ok(()) => {
                    unsettled.cleared();
                    self.room.found();
                    return Ok(());
                }
                Err(error) if room::may_be_reopened(&error) => self.make_room(&mut unsettled, &error)?,
                Err(error) => return Err(self.failed("be emptied", error)),
            }
        }
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.write_out().map_err(|error| self.failed("flush", error))
    }
}

#[cfg(test)]
mod tests;
