//! Looking at a member's data directory while no node runs on it: what is there, whether it is whole, and what a node would
//! do with it at its start. This is what `kvorum check` does.
//!
//! `look` opens files and reads them to the end, with the readers of the node itself; `judge` decides what it means, and
//! opens nothing. Must keep true: nothing is changed; every fault names its file, the place in it and what to do; what is
//! foretold is what a node does then.
//!
//! What it does not know: what the operator, the certificates and the flags of the node expect of this member; and how far
//! an engine goes that was not closed in order, since sled cannot be opened without changing it.

mod judge;
mod look;
mod report;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use report::{Engine, Finding, Log, Report, Segment, Severity, Snapshot, Who};

/// Why a directory could not be looked at.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A node runs on it.
    #[error(
        "a node holds {}; stop it first: a directory that is being written to cannot be checked",
        path.display()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// It is not there, or cannot be listed.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Looks at `data_dir` and says what is there and what a node would do. `progress` is told bytes read and bytes in all, now
/// and then.
///
/// # Errors
/// The directory could not be looked at; whatever is wrong in it is in the report instead.
pub fn check(data_dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, CheckError> {
    Ok(judge::judge(look::look(data_dir, progress)?))
}

#[cfg(test)]
mod tests;
