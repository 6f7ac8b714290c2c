//! Snapshot files: made from a frozen view while writes go on, sent to members that lag, and the base of recovery.
//!
//! A snapshot is one file `<term>-<index>.snap` in the format of [`kvorum_store::snapshot`]. It is written under a
//! temporary name, synced, renamed, and the directory synced, so that a name that ends in `.snap` is always whole.
//!
//! Must keep true: at least the newest whole snapshot stays; older ones and temporary files are removed; a received
//! file replaces nothing before it was verified to its last byte.

use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvorum_faults as faults;
use kvorum_files::{self as fs, File};
use kvorum_store::snapshot::{SnapshotError, Summary};
use openraft::alias::SnapshotMetaOf;

use super::transfer::Incoming;
use super::{EntryId, StoredMembership, Types, entry_id};
use crate::disk;
use crate::recovery::evidence::words;

const SUFFIX: &str = "snap";
const TEMPORARY: &str = "tmp";
/// Name of a snapshot of the state before the first entry.
const EMPTY: &str = "empty";
/// Large writes keep the system calls few; memory is bounded by it.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes that a snapshot leaves free: the log's next segment is half a step away.
const SPARE_BYTES: u64 = 32 << 20;

/// Position and membership of a snapshot.
pub type Meta = SnapshotMetaOf<Types>;

/// A snapshot that openraft hands around: an open file, which stays readable when a newer one replaces it.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The open file.
    pub file: Arc<File>,
}

impl SnapshotFile {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        match File::open(&path) {
            Ok(file) => Ok(Self {
                path,
                file: Arc::new(file),
            }),
            Err(error) => Err(disk::naming(&path, &error)),
        }
    }

    /// A reader from the first byte on, independent of other readers of the file, and of what is put in its place.
    pub fn reader(&self) -> impl io::Read + use<> {
        let positioned = Positioned {
            file: Arc::clone(&self.file),
            offset: 0,
        };
        BufReader::with_capacity(BUFFER_BYTES, positioned)
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// The directory of snapshot files.
#[derive(Debug)]
pub struct SnapshotDir {
    dir: PathBuf,
    next_temporary: AtomicU64,
    incoming: Incoming,
}

impl SnapshotDir {
    /// Opens `dir`, creating it, and removes what an interrupted write left.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(dir: &Path) -> io::Result<Self> {
        faults::pass("snapshot::folder-create")?;
        fs::create_dir_all(dir)?;
        // Its own name lies in its parent. Without this a power cut could take the folder with every snapshot in it, after
        // the log has forgotten the entries.
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            faults::pass("snapshot::parent-sync")?;
            File::open(parent)?.sync_all()?;
        }
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if is_temporary(&path) {
                faults::pass("snapshot::unfinished-remove")?;
                fs::remove_file(path)?;
            }
        }
        let incoming = Incoming::default();
        incoming.forget_up_to(dir, list(dir)?.into_iter().map(|(id, _)| id).max().flatten())?;
        // Who was here before may have died between a rename and this; the log may be cut short because of that name.
        faults::pass("snapshot::directory-sync")?;
        File::open(dir)?.sync_all()?;
        Ok(Self {
            dir: dir.to_owned(),
            next_temporary: AtomicU64::new(0),
            incoming,
        })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose turn it is to receive one.
    pub fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// The newest whole snapshot and its position.
    ///
    /// # Errors
    /// What the file system says.
    pub fn newest(&self) -> io::Result<Option<(Option<EntryId>, SnapshotFile)>> {
        loop {
            let Some((id, path)) = list(&self.dir)?.into_iter().max_by_key(|(id, _)| *id) else {
                return Ok(None);
            };
            match SnapshotFile::open(path) {
                // A newer one has taken its place between the two looks.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return Ok(Some((id, opened?))),
            }
        }
    }

    /// A new temporary file, for a snapshot that is being received or written.
    ///
    /// # Errors
    /// What the file system says.
    pub fn temporary(&self) -> io::Result<(PathBuf, File)> {
        faults::pass("snapshot::create").map_err(at(&self.dir))?;
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number}.{TEMPORARY}"));
        let mut options = File::options();
        let file = options.create(true).truncate(true).read(true).write(true).open(&path);
        let file = file.map_err(at(&path))?;
        Ok((path, file))
    }

    /// Makes a snapshot of `view` durable and removes older ones.
    ///
    /// # Errors
    /// What the file system or the engine says.
    pub fn write(&self, id: Option<EntryId>, view: &kvorum_store::View) -> io::Result<SnapshotFile> {
        let (path, file) = self.temporary()?;
        let written = write_to(&file, view).map_err(at(&path));
        let written = written.and_then(|()| self.keep(id, &path, &file));
        if written.is_err() {
            // Only to give the room back: what stays is removed when the folder is opened next.
            let _ = faults::pass("snapshot::discard").and_then(|()| fs::remove_file(&path));
        }
        let written = written?;
        self.incoming.forget_up_to(&self.dir, id)?;
        Ok(written)
    }

    /// Whether there is room for a snapshot of about `bytes`, with some to spare: the last room on a disk is the log's.
    ///
    /// # Errors
    /// There is not.
    pub fn demand_room(&self, bytes: u64) -> io::Result<()> {
        let needed = bytes.saturating_add(SPARE_BYTES);
        match disk::volume(&self.dir) {
            Some(volume) if volume.free < needed => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{} bytes are free, and about {needed} are needed", volume.free),
            )),
            _ => Ok(()),
        }
    }

    /// Gives a whole temporary file its name, durably, and removes older snapshots.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, id: Option<EntryId>, temporary: &Path, file: &File) -> io::Result<SnapshotFile> {
        let synced = faults::pass("snapshot::sync").and_then(|()| file.sync_data());
        synced.map_err(at(temporary))?;
        let path = self.dir.join(name_of(id));
        let renamed = faults::pass("snapshot::rename").and_then(|()| fs::rename(temporary, &path));
        renamed.map_err(at(temporary))?;
        let folder = faults::pass("snapshot::directory-sync").and_then(|()| File::open(&self.dir));
        folder.and_then(|folder| folder.sync_all()).map_err(at(&self.dir))?;
        for (older, path) in list(&self.dir)? {
            if older < id {
                let removed = faults::pass("snapshot::remove").and_then(|()| fs::remove_file(&path));
                removed.map_err(at(&path))?;
            }
        }
        SnapshotFile::open(path)
    }
}

/// For `map_err`: says which file it was. Consensus tells an error's words alone.
fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn write_to(file: &File, view: &kvorum_store::View) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, faults::Through::new("snapshot::write", file));
    kvorum_store::snapshot::write(view, &mut writer).map_err(|error| match error {
        SnapshotError::Stream(error) => error,
        other => io::Error::other(other),
    })?;
    io::Write::flush(&mut writer)
}

/// The snapshots in `dir` and the positions in their names; none where there is no such directory.
///
/// # Errors
/// What the file system says.
pub fn list(dir: &Path) -> io::Result<Vec<(Option<EntryId>, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if let Some(id) = position_of(&path) {
            found.push((id, path));
        }
    }
    Ok(found)
}

/// Whether an interrupted write left this file.
pub fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == TEMPORARY)
}

/// A position as file names tell it.
pub fn stem_of(id: Option<EntryId>) -> String {
    match id {
        Some(id) => format!("{:020}-{:020}", **id.committed_leader_id(), id.index()),
        None => EMPTY.to_owned(),
    }
}

fn name_of(id: Option<EntryId>) -> String {
    format!("{}.{SUFFIX}", stem_of(id))
}

/// The position in a snapshot's name; `None` for other files.
pub fn position_of(path: &Path) -> Option<Option<EntryId>> {
    if path.extension()? != SUFFIX {
        return None;
    }
    position_in(path.file_stem()?.to_str()?)
}

/// What [`stem_of`] made; `None` for other words.
pub fn position_in(stem: &str) -> Option<Option<EntryId>> {
    if stem == EMPTY {
        return Some(None);
    }
    let (term, index) = stem.split_once('-')?;
    Some(Some(entry_id(term.parse().ok()?, index.parse().ok()?)))
}

/// Reads a snapshot from its first byte to its last: it is whole, it ends where the file does, and its name tells the
/// position of the state in it. `read` is told of every piece, in bytes.
///
/// # Errors
/// It is not so, and where.
pub fn verify(id: Option<EntryId>, file: &SnapshotFile, read: &mut dyn FnMut(u64)) -> Result<Summary, SnapshotError> {
    let mut reader = Counted {
        reader: file.reader(),
        bytes: 0,
        read,
    };
    let summary = kvorum_store::snapshot::verify(&mut reader)?;
    let damaged = |offset, reason: String| Err(SnapshotError::Damaged { offset, reason });
    let end = reader.bytes;
    if io::copy(&mut reader, &mut io::sink())? > 0 {
        return damaged(end, "there is more behind its end".to_owned());
    }
    let at = summary.applied.map(|at| entry_id(at.term, at.index));
    if at != id {
        let name = |id: Option<EntryId>| id.map_or_else(|| "no entry".to_owned(), words);
        return damaged(
            0,
            format!(
                "its name says that it ends at {}, but it ends at {}",
                name(id),
                name(at)
            ),
        );
    }
    Ok(summary)
}

/// Reads a file without the cursor that all its readers share.
struct Positioned {
    file: Arc<File>,
    offset: u64,
}

impl io::Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Counts what is read.
struct Counted<'a, R> {
    reader: R,
    bytes: u64,
    read: &'a mut dyn FnMut(u64),
}

impl<R: io::Read> io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes += count as u64;
        (self.read)(count as u64);
        Ok(count)
    }
}

/// openraft's description of a snapshot at `last` with `membership`.
pub fn meta(last: Option<EntryId>, membership: StoredMembership) -> Meta {
    Meta {
        last_log_id: last,
        last_membership: membership,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Consensus takes an error here for the end of the member.
    #[test]
    fn there_is_a_newest_while_newer_ones_take_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::open(dir.path()).unwrap();
        let keep = |index| {
            let (path, file) = snapshots.temporary().unwrap();
            snapshots.keep(Some(entry_id(1, index)), &path, &file).unwrap();
        };
        keep(0);
        std::thread::scope(|scope| {
            let keeping = scope.spawn(|| (1..300).for_each(keep));
            let mut last = None;
            while !keeping.is_finished() {
                let (id, _) = snapshots.newest().unwrap().expect("there is one");
                assert!(id >= last, "{id:?} after {last:?}");
                last = id;
            }
        });
    }
}
