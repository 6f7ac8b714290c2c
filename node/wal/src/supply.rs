//! The thread that keeps one segment ready ahead of the writer and removes released ones, so that the writer never
//! waits for either.
//!
//! A full disk is not an error here: nothing is lost while the live segment has room, so it is tried again until there
//! is space, and shown in the metrics meanwhile. Every other failure is final.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering::Relaxed},
};
#[cfg(not(feature = "simulation"))]
use std::time::Duration;

use crate::{Failure, directory::Directory, format::Home, log::Log, segment::Segment};

/// How long to wait on a full disk before trying again: space comes back by other hands, and a try costs a few writes.
#[cfg(not(feature = "simulation"))]
const RETRY_DISK_FULL: Duration = Duration::from_secs(1);
const UNPOISONED: &str = "nothing panics while it holds this lock";

/// What the thread and the writer tell each other.
#[derive(Debug)]
pub(crate) struct Supply {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// The next segment, on disk with its directory entry.
    ready: Option<Arc<Segment>>,
    /// Number of the segment to prepare next.
    number: u64,
    /// The oldest segment there is.
    first: u64,
    /// Segments below this are to be removed.
    keep_from: u64,
    disk_full: Option<Failure>,
    failure: Option<Failure>,
    closing: bool,
}

/// What is to be done next.
enum Task {
    Make(u64),
    Remove(u64),
}

impl State {
    /// What there is to do; a segment for which there was no room only when it is to be tried again. Removing comes
    /// first, since it may give the space that making needs.
    fn task(&self, retry: bool) -> Option<Task> {
        if self.first < self.keep_from {
            return Some(Task::Remove(self.first));
        }
        let make = self.ready.is_none() && (self.disk_full.is_none() || retry);
        make.then_some(Task::Make(self.number))
    }
}

impl Supply {
    /// A supply whose next segment is `ready`, or is to be made with `number`; `first` is the oldest segment there is.
    pub(crate) fn new(ready: Option<Arc<Segment>>, number: u64, first: u64, keep_from: u64) -> Supply {
        let state = State {
            ready,
            number,
            first,
            keep_from,
            disk_full: None,
            failure: None,
            closing: false,
        };
        Supply {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        }
    }

    /// The next segment, when it is ready. Gives up on failure, and on a full disk when the log is being closed.
    pub(crate) fn take(&self) -> Result<Arc<Segment>, Failure> {
        let mut state = self.lock();
        loop {
            if let Some(segment) = state.ready.take() {
                state.number = segment.home.segment + 1;
                self.changed.notify_all();
                return Ok(segment);
            }
            match (&state.failure, &state.disk_full) {
                (Some(failure), _) => return Err(failure.clone()),
                (None, Some(full)) if state.closing => return Err(full.clone()),
                (None, _) => state = self.changed.wait(state).expect(UNPOISONED),
            }
        }
    }

    /// Has segments below `before` removed. Their release must be on disk.
    pub(crate) fn remove(&self, before: u64) {
        let mut state = self.lock();
        state.keep_from = state.keep_from.max(before);
        self.changed.notify_all();
    }

    /// The writer is about to finish: it need not wait for space.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// Ends the thread soon.
    #[cfg(not(feature = "simulation"))]
    pub(crate) fn stop(&self) {
        // Under the lock, so that the thread cannot miss it between looking and waiting.
        let state = self.lock();
        self.stop.store(true, Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// Whether the next segment cannot be made for want of space.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.lock().disk_full.is_some()
    }

    /// The thread's work.
    #[cfg(not(feature = "simulation"))]
    pub(crate) fn run(&self, log: &Log, directory: &Directory) {
        while let Some(task) = self.wait() {
            if self.perform(task, log, directory).is_err() {
                return;
            }
        }
    }

    /// All that can be done without waiting.
    #[cfg(feature = "simulation")]
    pub(crate) fn step(&self, log: &Log, directory: &Directory) -> Result<(), Failure> {
        loop {
            let Some(task) = self.lock().task(false) else {
                return Ok(());
            };
            self.perform(task, log, directory)?;
        }
    }

    fn perform(&self, task: Task, log: &Log, directory: &Directory) -> Result<(), Failure> {
        let done = match task {
            Task::Make(number) => self.make(log, directory, number),
            Task::Remove(number) => {
                log.segments_mut().remove(&number);
                log.counters.segments_removed.fetch_add(1, Relaxed);
                self.lock().first = number + 1;
                directory.remove(number)
            }
        };
        done.inspect_err(|failure| {
            self.lock().failure = Some(failure.clone());
            self.changed.notify_all();
            log.fail(failure);
        })
    }

    /// Waits for something to do; `None` when the thread is to stop.
    #[cfg(not(feature = "simulation"))]
    fn wait(&self) -> Option<Task> {
        let mut state = self.lock();
        let mut retry = false;
        loop {
            if self.stop.load(Relaxed) {
                return None;
            }
            if let Some(task) = state.task(retry) {
                return Some(task);
            }
            if state.disk_full.is_some() {
                let (again, timeout) = self.changed.wait_timeout(state, RETRY_DISK_FULL).expect(UNPOISONED);
                (state, retry) = (again, timeout.timed_out());
            } else {
                state = self.changed.wait(state).expect(UNPOISONED);
            }
        }
    }

    fn make(&self, log: &Log, directory: &Directory, number: u64) -> Result<(), Failure> {
        let home = Home {
            log_id: log.id,
            segment: number,
        };
        let made = match directory.make(home, log.segment_bytes, &self.stop) {
            Err(failure) if failure.is_disk_full() => Err(failure),
            other => Ok(other?),
        };
        let mut state = self.lock();
        match made {
            Ok(Some(segment)) => {
                let segment = Arc::new(segment);
                log.segments_mut().insert(number, Arc::clone(&segment));
                log.counters.segments_made.fetch_add(1, Relaxed);
                (state.ready, state.disk_full) = (Some(segment), None);
            }
            Ok(None) => {}
            Err(full) => state.disk_full = Some(full),
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}
