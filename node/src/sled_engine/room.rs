//! Waiting for room on the disk, from threads that may wait.
//!
//! Must keep true: a wait ends when there is room or when the engine is being closed; what it waits for is said once, and
//! so is its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::disk;

/// How often is looked: room comes back by other hands, and a look costs a few writes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The room that the engine needs.
#[derive(Debug)]
pub(super) struct Room {
    dir: PathBuf,
    waiting: AtomicBool,
    closing: Mutex<bool>,
    changed: Condvar,
}

/// The engine is being closed, and there is still no room.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct GivenUp(String);

impl Room {
    /// The room on the volume of `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            waiting: AtomicBool::new(false),
            closing: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether so many bytes are free, by the system's figure.
    pub(super) fn has(&self, bytes: u64) -> bool {
        disk::volume(&self.dir).is_none_or(|volume| volume.free >= bytes)
    }

    /// Waits until `bytes` can be written, for want of which `reason` was met.
    pub(super) fn wait(&self, bytes: u64, reason: &str) -> Result<(), GivenUp> {
        if !self.waiting.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "no room on the disk of {}: {reason}. What was applied waits in memory until there is",
                self.dir.display()
            );
        }
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        while !*closing {
            let (again, _) = self
                .changed
                .wait_timeout(closing, LOOK_EVERY)
                .unwrap_or_else(PoisonError::into_inner);
            closing = again;
            if disk::try_room(&self.dir, bytes).is_ok() {
                return Ok(());
            }
        }
        Err(GivenUp(reason.to_owned()))
    }

    /// Says that what waited was written.
    pub(super) fn found(&self) {
        if self.waiting.swap(false, Ordering::Relaxed) {
            tracing::info!(
                "there is room on the disk of {} again: the engine is level",
                self.dir.display()
            );
        }
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        *self.closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// The longest that sled may take to write out what it was given, or to close. There are failures after which it does
/// neither, ever.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What `act` gives, which it does on a thread of its own.
///
/// # Errors
/// It takes longer than [`ANSWER_TIME_MAX`]. The thread is left alone.
pub(super) fn bounded<T: Send + 'static>(act: impl FnOnce() -> sled::Result<T> + Send + 'static) -> sled::Result<T> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("engine wait".into()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(act());
    })?;
    receiver.recv_timeout(ANSWER_TIME_MAX).unwrap_or_else(|_| {
        let text = format!("sled has not answered for {} s", ANSWER_TIME_MAX.as_secs());
        Err(sled::Error::ReportableBug(text))
    })
}

/// Whether sled, which fails for want of room, knows that it must take nothing more and can be closed: then it gives a
/// copy of the error that it keeps, without the system's number. Where it gives the system's own, a large value could not
/// be written, and sled would wait for it for ever.
pub(super) fn may_be_reopened(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if disk::is_full(error) && error.raw_os_error().is_none())
}

/// Whether sled fails for want of room.
pub(super) fn is_full(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if disk::is_full(error))
}

/// What is said where nothing could be asked, because the database is closed until there is room.
pub(super) fn closed() -> sled::Error {
    sled::Error::Io(io::Error::new(
        io::ErrorKind::StorageFull,
        "the database is closed until there is room",
    ))
}

/// Waits in `wait`, which blocks, without holding up the tasks of this thread.
pub(super) fn blocking<T>(wait: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}
