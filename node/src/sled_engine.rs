//! The engine under the store, on sled. Nothing outside this file names sled.
//!
//! sled's flush does not survive a power cut (its issue 1452), so what lies here is never the truth: it is believed
//! only within the boot of the machine that wrote it, or after a clean close whose files were synced and are unchanged.
//! A marker file beside the database says which (`trust`); without a marker that holds, the database is thrown away and
//! rebuilt from snapshot and log (`recovery`).
//!
//! Must keep true: the marker is gone, durably, before sled touches a file, and comes back when all of it was read. So a
//! database at which sled panics is tried once, and a clean close is believed once.

mod trust;

use std::fs;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kvorum_store::engine::{Batch, Engine, EngineError, Operation, Visit};
use thiserror::Error;

pub(crate) use trust::look;
pub use trust::{Believed, Distrust};
use trust::{DATABASE, Marker, State};

/// sled's page cache, in bytes. The store keeps its own cache of values in front.
const CACHE_BYTES: u64 = 64 << 20;
/// How often sled writes its buffers to the operating system, in milliseconds.
const FLUSH_MS: u64 = 500;

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

/// The engine.
pub struct SledEngine {
    dir: PathBuf,
    /// The log of the member whose engine this is.
    log_id: u64,
    database: sled::Db,
    /// Bytes on disk as last measured: sled walks its directory to tell, too slow for every request.
    bytes: AtomicU64,
}

impl SledEngine {
    /// Opens the engine in `dir`, of the member with the log `log_id`; empties it first where it cannot be believed, and
    /// says why. It is believed again only after [`SledEngine::vouch`].
    ///
    /// # Errors
    /// The file system or sled refused.
    pub fn open(dir: &Path, log_id: u64) -> Result<(Self, Result<Believed, Distrust>), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join(DATABASE);
        let mut trust = trust::look(dir, log_id).map_err(at(dir))?;
        trust::remove(dir).map_err(at(dir))?;
        if trust.is_ok() {
            match open_database(&path) {
                Ok(database) => return Ok((Self::new(dir, log_id, database), trust)),
                Err(error) => trust = Err(Distrust::Unopened(error.to_string())),
            }
        }
        match fs::remove_dir_all(&path) {
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
            database,
            bytes,
        }
    }

    /// Bytes on disk, as last measured.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Measures the bytes on disk. Where the file system does not tell, the last figure stays.
    pub fn measure(&self) {
        if let Ok(bytes) = self.database.size_on_disk() {
            self.bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Says that what the engine holds was read whole and made sense: it is believed as long as the machine runs.
    ///
    /// # Errors
    /// The engine will be rebuilt at the next start.
    pub fn vouch(&self) -> io::Result<()> {
        self.mark(State::Boot(trust::this_boot()?))
    }

    /// Makes everything written durable and says so in the marker; `applied` is term and index of the last entry in it.
    /// Nothing may be written afterwards.
    ///
    /// # Errors
    /// The engine will be rebuilt at the next start.
    pub fn close_clean(&self, applied: Option<(u64, u64)>) -> io::Result<()> {
        self.database.flush().map_err(io::Error::other)?;
        let files = trust::settle(&self.dir.join(DATABASE))?;
        self.mark(State::Clean { applied, files })
    }

    fn mark(&self, state: State) -> io::Result<()> {
        let log_id = self.log_id;
        trust::write(&self.dir, &Marker { log_id, state })
    }
}

fn open_database(path: &Path) -> sled::Result<sled::Db> {
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_MS))
        .open()
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self
            .database
            .get(key)
            .map_err(|error| EngineError::failed("read a key", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        if range.is_empty() {
            return Ok(());
        }
        for pair in self.database.range(range) {
            let (key, value) = pair.map_err(|error| EngineError::failed("read a range", error))?;
            if visit(&key, &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut sled_batch = sled::Batch::default();
        for operation in batch {
            match operation {
                Operation::Put(key, value) => sled_batch.insert(key, &value[..]),
                Operation::Delete(key) => sled_batch.remove(key),
            }
        }
        self.database
            .apply_batch(sled_batch)
            .map_err(|error| EngineError::failed("write a batch", error))
    }

    fn clear(&self) -> Result<(), EngineError> {
        self.database
            .clear()
            .map_err(|error| EngineError::failed("be emptied", error))
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.database
            .flush()
            .map_err(|error| EngineError::failed("flush", error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: u64 = 0xa1;

    #[test]
    fn sled_keeps_the_engines_promises() {
        let mut dirs = Vec::new();
        kvorum_store::engine::conformance::check(&mut || {
            let dir = tempfile::tempdir().unwrap();
            let (engine, trust) = SledEngine::open(dir.path(), LOG).unwrap();
            assert_eq!(trust, Err(Distrust::Nothing));
            dirs.push(dir);
            Box::new(engine)
        });
    }

    fn write_one(dir: &Path) -> SledEngine {
        let (engine, _) = SledEngine::open(dir, LOG).unwrap();
        let mut batch = Batch::default();
        batch.put(b"key".to_vec(), Bytes::from_static(b"value"));
        engine.write(batch).unwrap();
        engine
    }

    /// Opened again: why it is believed or not, and whether what was written is there.
    fn again(dir: &Path, log_id: u64) -> (Result<Believed, Distrust>, bool) {
        let foretold = look(dir, log_id).unwrap();
        let (engine, trust) = SledEngine::open(dir, log_id).unwrap();
        assert_eq!(foretold, trust);
        (trust, engine.get(b"key").unwrap().is_some())
    }

    #[test]
    fn a_clean_close_is_believed_and_said_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let applied = Some((3, 41));
        write_one(dir.path()).close_clean(applied).unwrap();
        assert_eq!(again(dir.path(), LOG), (Ok(Believed::Clean { applied }), true));
        // The one before was never vouched for, as when it panics while it is read.
        assert_eq!(again(dir.path(), LOG), (Err(Distrust::Unmarked), false));
    }

    #[test]
    fn after_a_kill_it_is_believed_within_the_same_boot_alone() {
        let dir = tempfile::tempdir().unwrap();
        let engine = write_one(dir.path());
        engine.vouch().unwrap();
        engine.flush().unwrap();
        drop(engine);
        assert_eq!(again(dir.path(), LOG), (Ok(Believed::SameBoot), true));
        let engine = write_one(dir.path());
        engine.mark(State::Boot("another".into())).unwrap();
        drop(engine);
        assert_eq!(again(dir.path(), LOG), (Err(Distrust::AnotherBoot), false));
    }

    #[test]
    fn another_members_engine_and_a_changed_one_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        write_one(dir.path()).close_clean(None).unwrap();
        assert_eq!(again(dir.path(), 2), (Err(Distrust::Foreign(LOG)), false));
        write_one(dir.path()).close_clean(None).unwrap();
        let path = dir.path().join(DATABASE).join("db");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let changed = Distrust::Changed("db was changed since it was closed".into());
        assert_eq!(again(dir.path(), LOG), (Err(changed), false));
        write_one(dir.path()).close_clean(None).unwrap();
        fs::write(dir.path().join(trust::MARKER), "clean").unwrap();
        assert!(matches!(again(dir.path(), LOG), (Err(Distrust::Marker(_)), false)));
    }
}
