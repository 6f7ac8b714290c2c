//! The thread that carries applied state to the engine, behind the answers to clients.
//!
//! Must keep true: batches reach the engine in the order they were applied, each with the position it brings the engine
//! to; an engine that fails ends the process (one that has no room on the disk waits for it); what waits is bounded
//! ([`PENDING_BYTES_MAX`]), since a slow engine must slow the writers down rather than fill the memory.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use kvorum_store::Store;
use kvorum_store::engine::EngineError;

use crate::fatal;
use crate::service::counts::Counts;
use crate::telemetry::in_full;

/// Bytes applied but not yet in the engine beyond which applying waits.
pub const PENDING_BYTES_MAX: usize = 128 << 20;

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Wish {
    #[default]
    Nothing,
    Write,
    Stop,
}

/// A handle to the thread.
pub struct EngineWriter {
    signal: Arc<(Mutex<Wish>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EngineWriter {
    /// Starts the thread for `store`; how long each batch takes is counted.
    pub fn start(store: Arc<Mutex<Store>>, counts: Arc<Counts>) -> Self {
        let signal = Arc::new((Mutex::new(Wish::default()), Condvar::new()));
        let seen = Arc::clone(&signal);
        let thread = thread::Builder::new()
            .name("engine".into())
            .spawn(move || run(&store, &seen, &counts))
            .expect("the system gives a process its first threads");
        Self {
            signal,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// Says that something was applied.
    pub fn wake(&self) {
        self.wish(Wish::Write);
    }

    /// Whether the thread still writes: it ends early where there is no room on the disk and the process is being stopped.
    pub fn writes(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Writes what is left and ends the thread.
    pub fn stop(&self) {
        self.wish(Wish::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            fatal::die("the engine thread panicked");
        }
    }

    fn wish(&self, wish: Wish) {
        let mut current = self.signal.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != Wish::Stop {
            *current = wish;
        }
        self.signal.1.notify_one();
    }
}

fn run(store: &Mutex<Store>, signal: &(Mutex<Wish>, Condvar), counts: &Counts) {
    loop {
        let wish = {
            let mut wish = signal.0.lock().unwrap_or_else(PoisonError::into_inner);
            while *wish == Wish::Nothing {
                wish = signal.1.wait(wish).unwrap_or_else(PoisonError::into_inner);
            }
            let taken = *wish;
            if taken == Wish::Write {
                *wish = Wish::Nothing;
            }
            taken
        };
        if drain(store, counts).is_break() || wish == Wish::Stop {
            return;
        }
    }
}

/// Writes what is there; breaks where nothing more will be written.
fn drain(store: &Mutex<Store>, counts: &Counts) -> ControlFlow<()> {
    loop {
        let writes = store.lock().unwrap_or_else(PoisonError::into_inner).take_writes();
        let Some(writes) = writes else {
            return ControlFlow::Continue(());
        };
        let begun = Instant::now();
        match writes.commit() {
            Ok(()) => {}
            // The process is being stopped: the log has what the engine lacks.
            Err(error @ EngineError::NoRoom { .. }) => {
                tracing::warn!("the engine lacks what was applied last: {}", in_full(&error));
                return ControlFlow::Break(());
            }
            Err(error) => fatal::die(format_args!("the engine failed: {}", in_full(&error))),
        }
        counts.engine_commits.add(begun.elapsed());
    }
}
