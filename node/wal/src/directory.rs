//! The directory of a log: held by one process at a time, and synced after every file made, renamed or removed.

use std::{
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use kvorum_faults as faults;
use kvorum_files::{self as fs, DirBuilder, File, OpenOptions};

use crate::{
    Failure, OpenError,
    format::{Home, SegmentHeader},
    segment::Segment,
};

/// A new segment is written and synced in steps of this many bytes, so that the live segment's syncs never wait behind
/// a whole segment of zeros, and a stop never waits for it.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
const SUFFIX: &str = ".wal";
const SUFFIX_TEMPORARY: &str = ".wal.new";

/// A directory, locked for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    handle: File,
    access: Access,
}

/// What may be done to a directory and its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing is changed.
    Read,
    /// The directory is made when `create`; only tests do not sync.
    Write { create: bool, sync: bool },
}

/// The files of a log.
pub(crate) struct Listing {
    /// Numbers of the segments, in order.
    pub(crate) numbers: Vec<u64>,
    /// What an interrupted preparation left.
    pub(crate) unfinished: Vec<PathBuf>,
}

impl Directory {
    /// Opens and locks `path`.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Directory, OpenError> {
        if let Access::Write { create: true, .. } = access {
            match faults::pass("wal::directory-create").and_then(|()| DirBuilder::new().mode(0o700).create(path)) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Failure::of("make the log's directory", path)(error).into());
                }
                _ => {}
            }
        }
        let handle = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => OpenError::Missing(path.to_owned()),
            _ => Failure::of("open the log's directory", path)(error).into(),
        })?;
        match fs::lock(&handle) {
            Ok(()) => Ok(Directory {
                path: path.to_owned(),
                handle,
                access,
            }),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(OpenError::InUse(path.to_owned())),
            Err(error) => Err(Failure::of("lock the log's directory", path)(error).into()),
        }
    }

    /// What is here. Names that the log does not know and that do not look like its own are none of its business.
    pub(crate) fn list(&self) -> Result<Listing, OpenError> {
        let unreadable = || Failure::of("list the log's directory", &self.path);
        let (mut numbers, mut unfinished) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path).map_err(unreadable())? {
            let name = entry.map_err(unreadable())?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(SUFFIX_TEMPORARY) {
                unfinished.push(self.path.join(&*name));
            } else if let Some(stem) = name.strip_suffix(SUFFIX) {
                let number = stem
                    .parse()
                    .ok()
                    .filter(|number| *number > 0 && self.file(*number).ends_with(&*name));
                numbers.push(number.ok_or_else(|| OpenError::Damaged {
                    file: self.path.join(&*name),
                    offset: 0,
                    what: "the file's name is not one that the log gives".to_owned(),
                })?);
            }
        }
        numbers.sort_unstable();
        unfinished.sort_unstable();
        Ok(Listing { numbers, unfinished })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of segment `number`.
    pub(crate) fn file(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}{SUFFIX}"))
    }

    /// Opens a segment that is there.
    pub(crate) fn segment(&self, number: u64, log_id: Option<u64>) -> Result<Segment, OpenError> {
        Segment::open(&self.file(number), number, log_id, self.access)
    }

    /// Makes a segment of zeros: under a temporary name, synced, renamed, the directory synced. `None` when `stop` was
    /// set meanwhile.
    pub(crate) fn make(&self, home: Home, capacity: u64, stop: &AtomicBool) -> Result<Option<Segment>, Failure> {
        let header = SegmentHeader { home, capacity };
        let path = self.file(home.segment);
        let temporary = self.path.join(format!("{:020}{SUFFIX_TEMPORARY}", home.segment));
        let filled = self
            .fill(&temporary, header, stop)
            .map_err(Failure::of("prepare the segment", &temporary));
        let Ok(Some(file)) = filled else {
            // Only to give the space back: what stays is removed when the log is opened next.
            let _ = faults::pass("wal::segment-discard").and_then(|()| fs::remove_file(&temporary));
            return filled.map(|_| None);
        };
        faults::pass("wal::segment-rename")
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(Failure::of("rename the prepared segment", &temporary))?;
        self.sync()?;
        Ok(Some(Segment::new(header, path, file, self.syncs())))
    }

    /// Makes a segment while the caller waits.
    pub(crate) fn make_now(&self, home: Home, capacity: u64) -> Result<Segment, Failure> {
        let made = self.make(home, capacity, &AtomicBool::new(false))?;
        Ok(made.expect("only `stop` ends the making early, and nobody sets it"))
    }

    /// Removes a segment and syncs the directory, so that of several the oldest is always gone first.
    pub(crate) fn remove(&self, number: u64) -> Result<(), Failure> {
        let path = self.file(number);
        match faults::pass("wal::segment-remove").and_then(|()| fs::remove_file(&path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::of("remove the released segment", &path)(error))
            }
            _ => self.sync(),
        }
    }

    /// Makes the directory's own entry last; for a new log.
    pub(crate) fn sync_parent(&self) -> Result<(), Failure> {
        let parent = fs::canonicalize(&self.path).map_err(Failure::of("find the log's directory", &self.path))?;
        let parent = parent.parent().unwrap_or(&self.path);
        let open = faults::pass("wal::parent-sync").and_then(|()| File::open(parent));
        let synced = open.and_then(|handle| if self.syncs() { handle.sync_all() } else { Ok(()) });
        synced.map_err(Failure::of("fsync the directory", parent))
    }

    fn syncs(&self) -> bool {
        matches!(self.access, Access::Write { sync: true, .. })
    }

    /// Makes the names of its files last.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        if self.syncs() {
            faults::pass("wal::directory-sync")
                .and_then(|()| self.handle.sync_all())
                .map_err(Failure::of("fsync the log's directory", &self.path))?;
        }
        Ok(())
    }

    fn fill(&self, path: &Path, header: SegmentHeader, stop: &AtomicBool) -> io::Result<Option<File>> {
        faults::pass("wal::segment-create")?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let zeros = vec![0; usize::try_from(STEP_BYTES.min(header.capacity)).expect("a few MiB")];
        let mut offset = 0;
        while offset < header.capacity {
            if stop.load(Relaxed) {
                return Ok(None);
            }
            let step = (header.capacity - offset).min(STEP_BYTES);
            let some = &zeros[..step as usize];
            faults::write("wal::segment-fill", some, |some| file.write_all_at(some, offset))?;
            offset += step;
            if self.syncs() {
                faults::pass("wal::segment-fill-sync")?;
                file.sync_data()?;
            }
        }
        faults::write("wal::segment-header", &header.encode(), |bytes| {
            file.write_all_at(bytes, 0)
        })?;
        if self.syncs() {
            faults::pass("wal::segment-header-sync")?;
            file.sync_all()?;
        }
        Ok(Some(file))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Said in so many words, since closing is not enough while a process that is just being started by this one
        // still has its copy of the handle. There is nothing to do about an error: the end of the process unlocks too.
        let _ = fs::unlock(&self.handle);
    }
}
