//! The engine's writer of a simulated member, which has no threads: a task that carries applied state to the engine some
//! time after it was applied, so that reads meet what is not there yet.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvorum_files::simulated::dice;
use kvorum_store::Store;

use crate::fatal;
use crate::service::counts::Counts;
use crate::telemetry::in_full;

/// Bytes applied but not yet in the engine beyond which applying waits: little, so that it happens.
pub const PENDING_BYTES_MAX: usize = 4 << 10;
/// The engine is behind for less than this, in milliseconds.
const BEHIND_MS: u64 = 30;

/// As the handle to the thread.
pub struct EngineWriter {
    store: Arc<Mutex<Store>>,
    scheduled: Arc<AtomicBool>,
}

impl EngineWriter {
    /// Nothing runs yet.
    pub fn start(store: Arc<Mutex<Store>>, _counts: Arc<Counts>) -> Self {
        Self {
            store,
            scheduled: Arc::default(),
        }
    }

    /// Says that something was applied.
    pub fn wake(&self) {
        if self.scheduled.swap(true, Relaxed) {
            return;
        }
        let (store, scheduled) = (Arc::clone(&self.store), Arc::clone(&self.scheduled));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(dice::below(BEHIND_MS))).await;
            scheduled.store(false, Relaxed);
            drain(&store);
        });
    }

    /// Always.
    pub fn writes(&self) -> bool {
        true
    }

    /// Writes what is left.
    pub fn stop(&self) {
        drain(&self.store);
    }
}

fn drain(store: &Mutex<Store>) {
    let next = || store.lock().unwrap_or_else(PoisonError::into_inner).take_writes();
    while let Some(writes) = next() {
        if let Err(error) = writes.commit() {
            fatal::die(format_args!("the engine failed: {}", in_full(&error)));
        }
    }
}
