//! A disk in memory, one for each simulated member, whose power can be cut between any two operations.
//!
//! The rules, which are those of a file system that promises no more than POSIX does:
//! 1. What was written is there for everybody at once, and on disk only after a sync of the file. What was not synced may
//!    at a cut be there, be lost, or be there in some of its sectors, each write for itself.
//! 2. A name that was made, changed or removed is on disk only after a sync of its directory. Of what was not synced the
//!    oldest changes of a directory may be there, the later ones not.
//! 3. An open file stays readable and writable when it is renamed or removed.
//! 4. The operation at which the power goes fails, and so does every later one, until the power is back.
//!
//! Which disk a file lies on, the first part of its path says: `/m1/wal` lies on the disk `m1`. What a cut leaves is drawn
//! from [`dice`], so that a seed gives it again.
//!
//! Caveats: room never ends here, and a sync never fails but by a cut: the real disks of `tests/powercut` do both.

pub mod dice;
pub mod disk;
pub mod names;
pub mod open;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use disk::Disk;

/// All disks of this process, by name.
static DISKS: Mutex<BTreeMap<String, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// The disk of this name, which is made when it is asked for first.
pub fn disk(name: &str) -> Arc<Disk> {
    let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(disks.entry(name.to_owned()).or_default())
}

/// The disk that `path` lies on.
fn disk_of(path: &Path) -> io::Result<Arc<Disk>> {
    let mut parts = path.components().skip(1);
    let first = parts.next().ok_or_else(|| not_found(path))?;
    Ok(disk(&first.as_os_str().to_string_lossy()))
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}
