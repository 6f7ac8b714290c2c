//! The end of the process when going on would be wrong: a failed disk, a broken invariant, a fatal error of consensus.
//!
//! Must keep true: the reason is the last line of the log, and the exit code tells it from an orderly stop.

use std::fmt::Display;

/// Exit code of a process that stopped itself.
pub const EXIT_CODE: i32 = 70;

/// Logs `reason` and ends the process at once, without any clean-up: what is on disk is what recovery will read.
pub fn die(reason: impl Display) -> ! {
    tracing::error!("stopping at once: {reason}");
    #[cfg(feature = "simulation")]
    crate::simulation::end::end(&reason);
    #[cfg(not(feature = "simulation"))]
    std::process::exit(EXIT_CODE);
}
