//! What a running member takes of its machine, as the system tells it.

use std::fs;
use std::path::Path;

use crate::cluster::Member;

/// One look at one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// What its files take, in bytes.
    pub disk_bytes: u64,
}

impl Footprint {
    /// Of a member that runs.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn of(member: &Member) -> Footprint {
        let process = member.process.as_ref().expect("it runs");
        Footprint {
            memory_bytes: process.resident_mib() << 20,
            descriptors: process.descriptors() as u64,
            disk_bytes: size(&member.folder.join("data")),
        }
    }
}

/// Files come and go while they are counted; those that are gone take nothing.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}
