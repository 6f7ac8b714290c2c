//! Large values, in files beside sled.
//!
//! sled's page cache counts a page by the few bytes that point to a large value, not by the value, so its memory grows
//! with all that was ever written (docs/decisions/0012). Values of more than [`NEAR_BYTES_MAX`] therefore lie in files that
//! are only appended to, and sled holds pointers (`layout`). How much of each file is still wanted lies in sled too,
//! written with the batch that changes it.
//!
//! ```text
//! values/0000000000000007.far      records, one behind the other; at most FILE_BYTES_MAX, or one record
//! ```
//! Must keep true:
//! 1. A pointer is given to sled only after the bytes it points to were written.
//! 2. A file is removed only after sled has written out that nothing in it is wanted: a sled that was killed comes back
//!    with what it had a moment ago.
//! 3. Whoever reads gets the value whole, or is told; a value that moved meanwhile is looked for again.
//!
//! One thread writes at a time: whoever holds the engine's batches (`Unsettled`). It deliberately does not sync; the
//! engine is not believed after a power cut, and an orderly close syncs every file (`trust`).

mod changes;
mod layout;
mod ledger;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use kvorum_faults::{self as faults, sized, small};
use kvorum_store::engine::{Batch, Operation, Visit};

use changes::Changes;
pub(super) use layout::RESERVED;
use layout::{HEAD_BYTES, Head, Pointer, Stored};
use ledger::Ledger;

/// Folder of the files.
pub(super) const VALUES: &str = "values";
/// A longer value lies in a file of its own kind, in bytes: a pointer to it is small beside it, and sled's pages hold a few
/// values each.
const NEAR_BYTES_MAX: usize = 1 << 10;
/// A file is begun anew when it would become longer, in bytes: the unit in which room comes back. The tests want to see many.
pub(super) const FILE_BYTES_MAX: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };
const SUFFIX: &str = "far";

/// What sled tells of one key.
type Ask<'a> = dyn Fn(&[u8]) -> sled::Result<Option<sled::IVec>> + 'a;

/// The files.
pub(super) struct Far {
    dir: PathBuf,
    files: RwLock<BTreeMap<u64, Arc<File>>>,
    ledger: Mutex<Ledger>,
}

/// What sled has to be given, and what is then true of the files.
pub(super) struct Staged {
    pub(super) batch: sled::Batch,
    /// Bytes wanted of each file that changes.
    wanted: BTreeMap<u64, u64>,
    /// How far the file that is being rewritten was looked through.
    rewritten: Option<(u64, u64)>,
}

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Corrupt(String),
}

impl Far {
    /// Opens the files in `dir` to which `database` points, and removes the others and what was appended in vain.
    pub(super) fn open(dir: &Path, database: &sled::Db) -> sled::Result<Self> {
        fs::create_dir_all(dir)?;
        let far = Self {
            dir: dir.to_owned(),
            files: RwLock::default(),
            ledger: Mutex::default(),
        };
        far.restart(database)?;
        Ok(far)
    }

    /// Begins anew with what `database` knows, which may be less than it was given.
    pub(super) fn restart(&self, database: &sled::Db) -> sled::Result<()> {
        let mut ledger = Ledger::default();
        for entry in database.scan_prefix([RESERVED]) {
            let (key, value) = entry?;
            let (number, extent) =
                layout::read_extent(&key, &value).ok_or_else(|| damaged("a count makes no sense"))?;
            ledger.files.insert(number, extent);
        }
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(number) = number_of(&path) else { continue };
            ledger.newest = ledger.newest.max(number);
            let Some(extent) = ledger.files.get(&number) else {
                fs::remove_file(path)?;
                continue;
            };
            let file = File::options().read(true).write(true).open(&path)?;
            if file.metadata()?.len() < extent.bytes {
                return Err(damaged(&format!("{} is cut short", path.display())));
            }
            file.set_len(extent.bytes)?;
            files.insert(number, Arc::new(file));
        }
        if let Some(number) = ledger.files.keys().find(|number| !files.contains_key(number)) {
            return Err(damaged(&format!("{} is missing", self.path(*number).display())));
        }
        // The last one is gone on with where it has room.
        let last = ledger.files.last_key_value();
        ledger.current = last
            .filter(|(_, extent)| extent.bytes < file_bytes_max())
            .map(|(number, _)| *number);
        *self.ledger() = ledger;
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(())
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.ledger().files.values().map(|extent| extent.bytes).sum()
    }

    /// Writes the large values of a batch. Where this fails, nothing was changed but that room may be taken.
    pub(super) fn stage(&self, batch: &Batch, stored: &Ask<'_>) -> sled::Result<Staged> {
        let mut ledger = self.ledger();
        // As sled does: of several operations on a key the last one counts.
        let mut last = BTreeMap::new();
        for operation in batch.operations() {
            match operation {
                Operation::Put(key, value) => last.insert(&key[..], Some(value)),
                Operation::Delete(key) => last.insert(&key[..], None),
            };
        }
        let mut changes = Changes::new(self, &mut ledger);
        for (key, value) in last {
            if changes.ledger.has_wanted() {
                changes.forget(key, stored(key)?)?;
            }
            match value {
                Some(value) if value.len() as u64 > sized(NEAR_BYTES_MAX as u64, small::NEAR_BYTES) => {
                    changes.append(key, value)?
                }
                Some(value) => changes.batch.insert(key, layout::near(value)),
                None => changes.batch.remove(key),
            }
        }
        Ok(changes.end(None)?)
    }

    /// Writes what is wanted of the next `budget` bytes of a file that is mostly garbage to the current file; `None` when
    /// there is no such file.
    pub(super) fn rewrite(&self, budget: u64, stored: &Ask<'_>) -> sled::Result<Option<Staged>> {
        let mut ledger = self.ledger();
        let Some((number, mut offset)) = ledger.candidate() else {
            return Ok(None);
        };
        let end = ledger.files.get(&number).map_or(0, |extent| extent.bytes);
        let file = self.file(number).ok_or_else(|| damaged("a file is missing"))?;
        let stop = end.min(offset.saturating_add(budget));
        let mut changes = Changes::new(self, &mut ledger);
        while offset < stop {
            let (head, key) = read_head(&file, offset)?;
            let pointer = head.pointer(number, offset);
            if let Some(found) = stored(&key)?
                && layout::decode(&found) == Some(Stored::Far(pointer))
            {
                let value = read_value(&file, &pointer, key.len())?;
                changes.forget(&key, Some(found))?;
                changes.append(&key, &value)?;
            }
            offset += head.bytes();
        }
        Ok(Some(changes.end(Some((number, offset)))?))
    }

    /// Sled has taken what was staged. Answers how much garbage that made, in bytes.
    pub(super) fn settle(&self, staged: &Staged) -> sled::Result<u64> {
        let mut ledger = self.ledger();
        let garbage = ledger.settle(&staged.wanted);
        if let Some((number, offset)) = staged.rewritten
            && !ledger.rewrote(number, offset)
        {
            return Err(damaged("what sled points to is not in the file it points to"));
        }
        Ok(garbage)
    }

    /// Whether nothing in some file is wanted, as soon as sled has written that out.
    pub(super) fn has_emptied(&self) -> bool {
        self.ledger().emptied().next().is_some()
    }

    /// Removes the files in which nothing is wanted. Sled must have written out what it was given.
    pub(super) fn remove_emptied(&self) -> io::Result<()> {
        let mut ledger = self.ledger();
        let emptied: Vec<u64> = ledger.emptied().collect();
        self.remove(&mut ledger, &emptied)
    }

    /// Removes every file; nothing points to any.
    pub(super) fn clear(&self) -> io::Result<()> {
        let mut ledger = self.ledger();
        let all: Vec<u64> = ledger.files.keys().copied().collect();
        self.remove(&mut ledger, &all)
    }

    fn remove(&self, ledger: &mut Ledger, numbers: &[u64]) -> io::Result<()> {
        for number in numbers {
            let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
            files.remove(number);
            drop(files);
            match fs::remove_file(self.path(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            ledger.removed(*number);
        }
        Ok(())
    }

    /// The value for which sled holds `stored` under `key`; `None` where the key was removed meanwhile.
    pub(super) fn value(&self, key: &[u8], stored: sled::IVec, again: &Ask<'_>) -> Result<Option<Bytes>, ReadError> {
        let mut stored = stored;
        loop {
            let pointer = match layout::decode(&stored) {
                Some(Stored::Near(value)) => return Ok(Some(Bytes::copy_from_slice(value))),
                Some(Stored::Far(pointer)) => pointer,
                None => return Err(ReadError::Corrupt("it is neither a value nor a pointer".to_owned())),
            };
            let read = match self.file(pointer.file) {
                Some(file) => read_value(&file, &pointer, key.len()),
                None => Err(io::Error::new(io::ErrorKind::NotFound, "the file is missing")),
            };
            let error = match read {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => match again(key)? {
                    None => return Ok(None),
                    Some(found) if found != stored => stored = found,
                    Some(_) => return Err(ReadError::Corrupt(format!("{pointer}: {error}"))),
                },
                io::ErrorKind::InvalidData => return Err(ReadError::Corrupt(format!("{pointer}: {error}"))),
                _ => return Err(error.into()),
            }
        }
    }

    /// Shows a visitor the value for which sled holds `stored` under `key`, unless the key was removed meanwhile.
    pub(super) fn pass(
        &self,
        key: &[u8],
        stored: sled::IVec,
        again: &Ask<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, ReadError> {
        if let Some(Stored::Near(value)) = layout::decode(&stored) {
            return Ok(visit(key, value));
        }
        let value = self.value(key, stored, again)?;
        Ok(value.map_or(ControlFlow::Continue(()), |value| visit(key, &value)))
    }

    fn file(&self, number: u64) -> Option<Arc<File>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(&number).map(Arc::clone)
    }

    /// Makes a file. One that is there was left by a write that failed.
    fn make(&self, number: u64) -> io::Result<Arc<File>> {
        faults::pass("engine::value-create")?;
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(self.path(number))?;
        let file = Arc::new(file);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert(number, Arc::clone(&file));
        Ok(file)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}.{SUFFIX}"))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic while it was held has already ended the process (main installs an aborting hook).
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file is begun anew when it would become longer, in bytes.
fn file_bytes_max() -> u64 {
    sized(FILE_BYTES_MAX, small::VALUE_FILE_BYTES)
}

/// The head of the record at `offset`, and its key.
fn read_head(file: &File, offset: u64) -> io::Result<(Head, Vec<u8>)> {
    let mut bytes = [0; HEAD_BYTES];
    file.read_exact_at(&mut bytes, offset)?;
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the record at {offset} has a damaged head"),
        )
    };
    let head = Head::decode(&bytes);
    // A length that is none is not believed before the checksum says so, and a key is never longer than this.
    if head.key_len as usize > layout::KEY_BYTES_MAX {
        return Err(bad());
    }
    let mut key = vec![0; head.key_len as usize];
    file.read_exact_at(&mut key, offset + HEAD_BYTES as u64)?;
    if head.checksum(&key) != layout::head_checksum(&bytes) {
        return Err(bad());
    }
    Ok((head, key))
}

/// The value that a pointer means.
fn read_value(file: &File, pointer: &Pointer, key_len: usize) -> io::Result<Bytes> {
    let mut value = vec![0; pointer.len as usize];
    file.read_exact_at(&mut value, pointer.offset + (HEAD_BYTES + key_len) as u64)?;
    if crc32c::crc32c(&value) != pointer.checksum {
        let text = "the value fails its checksum";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(value.into())
}

fn number_of(path: &Path) -> Option<u64> {
    let stem = path
        .file_stem()
        .filter(|_| path.extension().is_some_and(|suffix| suffix == SUFFIX))?;
    u64::from_str_radix(stem.to_str()?, 16).ok()
}

fn damaged(what: &str) -> sled::Error {
    sled::Error::Io(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the large values: {what}"),
    ))
}

#[cfg(test)]
mod tests;
