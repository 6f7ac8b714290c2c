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
//! meanwhile; the few that sled then cannot answer wait.
//!
//! Large values lie in files beside sled (`far`); what is said here of sled holds for both.

mod far;
mod giving;
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
use kvorum_store::engine::{Batch, Engine, EngineError, Visit};
use thiserror::Error;

use crate::disk;
use far::{Far, RESERVED, ReadError, VALUES};
use room::Room;
pub(crate) use trust::look;
pub use trust::{Believed, Distrust};
use trust::{DATABASE, Marker, State};
use unsettled::Unsettled;

/// sled's page cache, in bytes. The store keeps its own cache of values in front.
const CACHE_BYTES: u64 = 64 << 20;
/// How often sled writes its buffers to the operating system, in milliseconds.
const FLUSH_MS: u64 = 500;
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
    far: Far,
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
            match open_both(dir) {
                Ok((database, far)) => return Ok((Self::new(dir, log_id, database, far), trust)),
                // Nothing is wrong with it.
                Err(source) if room::is_full(&source) => return Err(OpenError::Sled { path, source }),
                Err(error) => trust = Err(Distrust::Unopened(error.to_string())),
            }
        }
        for folder in [&path, &dir.join(VALUES)] {
            match faults::pass("engine::remove").and_then(|()| fs::remove_dir_all(folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(folder)(error)),
                _ => {}
            }
        }
        let (database, far) = open_both(dir).map_err(|source| OpenError::Sled { path, source })?;
        Ok((Self::new(dir, log_id, database, far), trust))
    }

    fn new(dir: &Path, log_id: u64, database: sled::Db, far: Far) -> Self {
        let bytes = AtomicU64::new(database.size_on_disk().unwrap_or_default() + far.bytes());
        Self {
            dir: dir.to_owned(),
            log_id,
            opened: RwLock::new(Opened {
                database: Some(database),
                times: 1,
            }),
            far,
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
            self.bytes.store(bytes + self.far.bytes(), Ordering::Relaxed);
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
        let files = trust::settle(&self.dir)?;
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
}

fn open_both(dir: &Path) -> sled::Result<(sled::Db, Far)> {
    let database = open_database(&dir.join(DATABASE))?;
    let far = Far::open(&dir.join(VALUES), &database)?;
    Ok((database, far))
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

/// What is told of a value that cannot be read, but for sled's failures.
fn unreadable(action: &'static str, key: &[u8], error: ReadError) -> Result<EngineError, sled::Error> {
    match error {
        ReadError::Sled(error) => Err(error),
        ReadError::Io(error) => Ok(EngineError::failed(action, error)),
        ReadError::Corrupt(reason) => Ok(EngineError::corrupt(key, reason)),
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        const ACTION: &str = "read a key";
        let read = self.answer(ACTION, |database| {
            let Some(stored) = database.get(key)? else {
                return Ok(Ok(None));
            };
            match self.far.value(key, stored, &|key| database.get(key)) {
                Ok(value) => Ok(Ok(value)),
                Err(error) => unreadable(ACTION, key, error).map(Err),
            }
        });
        read?
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        const ACTION: &str = "read a range";
        // What the engine keeps for itself is nobody's.
        let end = range.end.min(&[RESERVED]);
        // Where the scan goes on if the database has to be opened again.
        let mut last: Option<sled::IVec> = None;
        let scanned = self.answer(ACTION, |database| {
            let from = match &last {
                Some(last) => [&last[..], &[0]].concat(),
                None => range.start.to_vec(),
            };
            if from.as_slice() >= end {
                return Ok(Ok(()));
            }
            for pair in database.range(&from[..]..end) {
                let (key, stored) = pair?;
                let visited = match self.far.pass(&key, stored, &|key| database.get(key), visit) {
                    Ok(visited) => visited,
                    Err(error) => return unreadable(ACTION, &key, error).map(Err),
                };
                if visited == ControlFlow::Break(()) {
                    break;
                }
                last = Some(key);
            }
            Ok(Ok(()))
        });
        scanned?
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
            let cleared = self.ask(|database| database.clear()).and_then(|()| self.write_out());
            match cleared.and_then(|()| Ok(self.far.clear()?)) {
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
