//! The system's files, and the three calls for which the standard library has no name or another one.

use std::io;
use std::path::Path;

pub use std::fs::{
    DirBuilder, DirEntry, File, Metadata, OpenOptions, ReadDir, canonicalize, create_dir_all, read_dir, read_to_string,
    remove_file, rename,
};

use rustix::fs::{FlockOperation, flock};

/// Whether there is something of this name.
#[must_use]
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Locks an open file or directory for this process alone.
///
/// # Errors
/// `WouldBlock` when another process has it; what the system says otherwise.
pub fn lock(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Unlocks it: closing is not enough while a process that is just being started still has its copy of the handle.
///
/// # Errors
/// What the system says.
pub fn unlock(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

/// All of the volume that `dir` lies on, and what a process like this one may still take of it, in bytes; `None` where the
/// system does not tell.
#[must_use]
pub fn room(dir: &Path) -> Option<(u64, u64)> {
    let told = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    Some((bytes(told.f_blocks), bytes(told.f_bavail)))
}
