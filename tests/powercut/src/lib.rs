//! Power cuts for the tests: the journal of what a member did to its files, and what a cut leaves of it.
//!
//! A member runs with the library of `preload` in it, which writes a journal of every change below the data directory
//! and of every sync that returned. After the process was killed, [`cut`] reads the journal and puts the files into a
//! state that a power cut could have left: what no sync covers is kept, lost or torn, each piece by itself, as a seed
//! says.
//!
//! The model of a disk, which must be no kinder than POSIX:
//! 1. A write or a change of length is durable once a sync of that file that began after it has returned.
//! 2. A name (made, moved or removed) is durable once a sync of its folder that began after it has returned. Syncing the
//!    file itself is not enough, nor is syncing a folder whose own name is not durable.
//! 3. Whatever is not durable may be lost, kept or, for a write, torn between sectors, whatever came before or after it.
//!    Only a sector is whole: where a later write to it is there, so are the earlier ones.
//!
//! Nothing here touches a running process, and nothing here is unsafe.

pub mod content;
pub mod cut;
pub mod fate;
pub mod journal;
pub mod names;
pub mod pending;

pub use cut::{Outcome, cut};
pub use fate::Severity;

/// Variable that names the data directory whose files are journalled, as an absolute path without symbolic links.
pub const FOLDER: &str = "POWERCUT_FOLDER";
/// Variable that names the folder beside it, on the same file system, with the journal and what belongs to it.
pub const NOTES: &str = "POWERCUT_NOTES";
/// Variable that, when set, makes every sync return at once and cover nothing.
pub const SYNCS_PRETENDED: &str = "POWERCUT_SYNCS_PRETENDED";
/// Variable that holds which fdatasync of the process, counted from one, fails with EIO.
pub const SYNC_FAILS: &str = "POWERCUT_SYNC_FAILS";

/// Variable that names the file with the nanoseconds, eight bytes with the lowest first, by which the wall clock of the
/// process is ahead of the machine's. It may change while the process runs.
pub const CLOCK: &str = "POWERCUT_CLOCK";

/// In the notes: the journal of one process. The next cannot start before a cut has used it up, because nobody could
/// know whether what its last record announced was done.
pub const JOURNAL: &str = "journal";
/// In the notes: the folder that keeps what was removed, each under its inode's number, so that none is used again.
pub const REMOVED: &str = "removed";
/// In the notes: what the process is to read as the id of this boot of the machine.
pub const BOOT_ID: &str = "boot-id";
/// In the notes: by how many bytes the process may still let files grow, counted from its start. No such file: any.
pub const SPACE: &str = "space";

/// What a disk writes as a whole, in bytes.
pub const SECTOR: u64 = 512;
