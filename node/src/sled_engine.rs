//! The engine under the store, on sled. Nothing outside this file names sled.
//!
//! sled's flush does not survive a power cut (its issue 1452), so what lies here is never the truth: it is believed
//! only within the boot of the machine that wrote it, or after a clean close whose files were synced. A marker file
//! beside the database says which; without a marker that holds, the database is thrown away and rebuilt from snapshot
//! and log (`recovery`).
//!
//! Must keep true: the marker of a clean close is gone, durably, before the first write after it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kvorum_store::engine::{Batch, Engine, EngineError, Operation, Visit};
use thiserror::Error;

/// sled's page cache, in bytes. The store keeps its own cache of values in front.
const CACHE_BYTES: u64 = 64 << 20;
/// How often sled writes its buffers to the operating system, in milliseconds.
const FLUSH_MS: u64 = 500;
const DATABASE: &str = "sled";
const MARKER: &str = "trust";
const CLEAN: &str = "clean";
/// Linux names each boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the marker said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The database is as the last process left it.
    Believed,
    /// There was none, or it could not be believed: it is empty now.
    StartedEmpty,
}

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
    database: sled::Db,
    /// Bytes on disk as last measured: sled walks its directory to tell, too slow for every request.
    bytes: AtomicU64,
}

impl SledEngine {
    /// Opens the engine in `dir`; empties it first where it cannot be believed.
    ///
    /// # Errors
    /// The file system or sled refused.
    pub fn open(dir: &Path) -> Result<(Self, Trust), OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        let boot = fs::read_to_string(BOOT_ID)
            .map_err(at(Path::new(BOOT_ID)))?
            .trim()
            .to_owned();
        let path = dir.join(DATABASE);
        let marker = dir.join(MARKER);
        let believed =
            path.is_dir() && fs::read_to_string(&marker).is_ok_and(|text| text.trim() == CLEAN || text.trim() == boot);
        // Whatever happens next, the clean marker must not outlive this line.
        write_marker(dir, &boot).map_err(at(&marker))?;
        if believed && let Ok(database) = open_database(&path) {
            return Ok((Self::new(dir, database), Trust::Believed));
        }
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
        let database = open_database(&path).map_err(|source| OpenError::Sled { path, source })?;
        Ok((Self::new(dir, database), Trust::StartedEmpty))
    }

    fn new(dir: &Path, database: sled::Db) -> Self {
        let bytes = AtomicU64::new(database.size_on_disk().unwrap_or_default());
        Self {
            dir: dir.to_owned(),
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

    /// Makes everything written durable and says so in the marker. Nothing may be written afterwards.
    ///
    /// # Errors
    /// The engine will be rebuilt at the next start.
    pub fn close_clean(&self) -> io::Result<()> {
        self.database.flush().map_err(io::Error::other)?;
        for entry in fs::read_dir(self.dir.join(DATABASE))? {
            let path = entry?.path();
            if path.is_file() {
                File::open(&path)?.sync_all()?;
            }
        }
        File::open(self.dir.join(DATABASE))?.sync_all()?;
        write_marker(&self.dir, CLEAN)
    }
}

fn open_database(path: &Path) -> sled::Result<sled::Db> {
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_MS))
        .open()
}

fn write_marker(dir: &Path, text: &str) -> io::Result<()> {
    let unfinished = dir.join("trust.new");
    let mut file = File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(MARKER))?;
    File::open(dir)?.sync_all()
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

    #[test]
    fn sled_keeps_the_engines_promises() {
        let mut dirs = Vec::new();
        kvorum_store::engine::conformance::check(&mut || {
            let dir = tempfile::tempdir().unwrap();
            let (engine, trust) = SledEngine::open(dir.path()).unwrap();
            assert_eq!(trust, Trust::StartedEmpty);
            dirs.push(dir);
            Box::new(engine)
        });
    }

    fn write_one(dir: &Path) -> SledEngine {
        let (engine, _) = SledEngine::open(dir).unwrap();
        let mut batch = Batch::default();
        batch.put(b"key".to_vec(), Bytes::from_static(b"value"));
        engine.write(batch).unwrap();
        engine
    }

    #[test]
    fn a_clean_close_is_believed_and_said_only_once() {
        let dir = tempfile::tempdir().unwrap();
        write_one(dir.path()).close_clean().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(MARKER)).unwrap(), CLEAN);
        let (engine, trust) = SledEngine::open(dir.path()).unwrap();
        assert_eq!(trust, Trust::Believed);
        assert!(engine.get(b"key").unwrap().is_some());
        assert_ne!(fs::read_to_string(dir.path().join(MARKER)).unwrap(), CLEAN);
    }

    #[test]
    fn another_boot_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        drop(write_one(dir.path()));
        fs::write(dir.path().join(MARKER), "another boot").unwrap();
        let (engine, trust) = SledEngine::open(dir.path()).unwrap();
        assert_eq!(trust, Trust::StartedEmpty);
        assert!(engine.get(b"key").unwrap().is_none());
    }
}
