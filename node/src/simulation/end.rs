//! The end of a simulated process: the task ends at once, and whoever runs the cluster ends the rest.
//!
//! Until then, for at most a tick of simulated time, other tasks of the member run on. Clients inside it are not believed
//! any more; what it sends, it might have sent before.

use std::fmt::Display;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

static REASONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Why processes ended since this was asked last.
pub fn reasons() -> Vec<String> {
    std::mem::take(&mut REASONS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Ends the task; not as a panic, which would be a fault of the program.
pub(crate) fn end(reason: &impl Display) -> ! {
    let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    reasons.push(reason.to_string());
    drop(reasons);
    resume_unwind(Box::new("the simulated process ended"))
}
