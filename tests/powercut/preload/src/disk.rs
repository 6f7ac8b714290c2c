//! The watched folder: journals what is done to it, and fails where it is told to.

mod contents;
mod names;

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use kvorum_powercut::journal::Record;
use kvorum_powercut::{BOOT_ID, FOLDER, JOURNAL, NOTES, REMOVED, SPACE, SYNC_FAILS, SYNCS_PRETENDED};
use libc::{AT_FDCWD, c_int};

use crate::kernel::{self, Answer, Status, die};
use crate::spot::{self, Spot};

/// Descriptors above this cannot be watched; a process that opens so many files there ends.
const DESCRIPTORS_MAX: usize = 1 << 16;

/// Linux names each boot of the machine here. After a power cut it is another one.
const KERNEL_BOOT_ID: &CStr = c"/proc/sys/kernel/random/boot_id";

/// Whether a descriptor was opened on something below the folder. It may have been closed since, where the C library
/// does so by itself, so the kernel is asked again what it is.
static WATCHED: [AtomicBool; DESCRIPTORS_MAX] = [const { AtomicBool::new(false) }; DESCRIPTORS_MAX];

/// What the variables ask for.
pub(crate) struct Disk {
    folder: Vec<u8>,
    removed: Vec<u8>,
    boot_id: CString,
    space: CString,
    journal: c_int,
    syncs_pretended: bool,
    sync_fails: Option<u64>,
    counts: Mutex<Counts>,
}

/// What was counted so far.
#[derive(Default)]
struct Counts {
    syncs: u64,
    data_syncs: u64,
    grown: u64,
}

/// The watched folder; `None` in a process that was not told of one.
pub(crate) fn disk() -> Option<&'static Disk> {
    static DISK: OnceLock<Option<Disk>> = OnceLock::new();
    DISK.get_or_init(Disk::from_environment).as_ref()
}

/// The watched folder, if the descriptor may be of something in it.
pub(crate) fn watched(fd: c_int) -> Option<&'static Disk> {
    let is = usize::try_from(fd).ok().and_then(|fd| WATCHED.get(fd))?;
    is.load(Ordering::Acquire).then(disk)?
}

/// Notes whether a descriptor is of something in the folder.
pub(crate) fn watch(fd: c_int, is: bool) {
    match usize::try_from(fd).ok().and_then(|fd| WATCHED.get(fd)) {
        Some(flag) => flag.store(is, Ordering::Release),
        None if is => die("too many descriptors to watch them all"),
        None => {}
    }
}

impl Disk {
    fn from_environment() -> Option<Disk> {
        let text = |name: &str| std::env::var_os(name).map(OsStringExt::into_vec);
        let (folder, notes) = (text(FOLDER)?, text(NOTES)?);
        let noted = |name: &str| CString::new([&notes[..], b"/", name.as_bytes()].concat()).unwrap_or_default();
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        let Ok(journal) = kernel::open(AT_FDCWD, &noted(JOURNAL), flags, 0o600) else {
            die("the journal cannot be made; one from before must be used up by a cut first");
        };
        let sync_fails = text(SYNC_FAILS).map(|count| match String::from_utf8_lossy(&count).parse() {
            Ok(count) => count,
            Err(_) => die("which sync is to fail must be a number"),
        });
        Some(Disk {
            folder,
            removed: noted(REMOVED).into_bytes(),
            boot_id: noted(BOOT_ID),
            space: noted(SPACE),
            journal,
            syncs_pretended: text(SYNCS_PRETENDED).is_some(),
            sync_fails,
            counts: Mutex::default(),
        })
    }

    /// The spot that a path means, if it lies below the folder.
    pub(crate) fn spot(&self, from: c_int, path: &CStr) -> Option<Spot> {
        spot::find(&self.folder, from, path)
    }

    /// What the process opens when it asks for `path`.
    pub(crate) fn instead_of<'a>(&'a self, path: &'a CStr) -> &'a CStr {
        if path == KERNEL_BOOT_ID { &self.boot_id } else { path }
    }

    /// Ends the process if `path` lies below the folder: `call` cannot be journalled.
    pub(crate) fn refuse(&self, call: &str, from: c_int, path: &CStr) {
        if self.spot(from, path).is_some() {
            die(&format!("{call} of {} cannot be journalled", path.to_string_lossy()));
        }
    }

    /// The lock over record and effect. A panic here ends the process, so it is never poisoned.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends to the journal; the lock is held.
    fn note(&self, record: &Record) {
        let bytes = record.encode();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match kernel::write(self.journal, rest) {
                Ok(done) => rest = &rest[done..],
                Err(libc::EINTR) => {}
                Err(error) => die(&format!("the journal cannot be written: error {error}")),
            }
        }
    }

    /// Makes the change that was just noted; notes that it was not made if it fails.
    fn effect<T>(&self, change: impl FnOnce() -> Answer<T>) -> Answer<T> {
        let done = change();
        if done.is_err() {
            self.note(&Record::Short { bytes: 0 });
        }
        done
    }
}

/// What an open descriptor is, if it is a file whose bytes are journalled.
fn file(fd: c_int) -> Option<Status> {
    kernel::status(fd).ok().filter(|status| status.regular)
}
