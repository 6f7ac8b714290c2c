//! What can go wrong, one enum per operation. Messages that a person will read say where and what to do next.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::PAYLOAD_BYTES_MAX;

/// What to do about a damaged log; the end of every message that reports one.
const NEXT_STEP: &str = "Nothing was changed. Check the disk; then remove this member and let it join again with an \
                         empty disk, or restore from a snapshot. Do not delete single files of the log";

/// Why a log could not be opened. No record on disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict the bounds.
    #[error("log options: {0}")]
    Options(String),
    /// Another process has the log open.
    #[error("the log in {} is in use by another process; stop it first: two writers would destroy the log", .0.display())]
    InUse(PathBuf),
    /// The directory holds no log and [`Options::create`](crate::Options::create) is off.
    #[error("there is no log in {}, though this member should have one: is the disk mounted? {NEXT_STEP}", .0.display())]
    Missing(PathBuf),
    /// A file belongs to another log.
    #[error("{} belongs to log {found:016x}, not to {expected:016x}: a file or folder from elsewhere. {NEXT_STEP}", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Log id expected.
        expected: u64,
        /// Log id found.
        found: u64,
    },
    /// A file is of a format this version does not know.
    #[error("{} has log format {found}; this version of Kvorum reads format {known}: use the version that wrote it", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// Something in the log is not as it was written. Records before `offset` may have been replayed.
    #[error("{}, offset {offset}: {what}. {NEXT_STEP}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The `replay` callback refused a record.
    #[error("{}, offset {offset}: the record is whole but was refused: {reason}. {NEXT_STEP}", file.display())]
    Replay {
        /// The file.
        file: PathBuf,
        /// Offset of the record, in bytes.
        offset: u64,
        /// The callback's error.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] Failure),
}

/// Something that the operating system refused. After a failed write or sync the log takes nothing more; what was not
/// acknowledged may or may not be on disk.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: cannot {action}", path.display())]
pub struct Failure {
    /// File or directory.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// The system's error.
    pub source: Arc<io::Error>,
}

impl Failure {
    /// For `map_err`: what was tried, on which file.
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
        move |source| Failure {
            path: path.to_owned(),
            action,
            source: Arc::new(source),
        }
    }

    /// Whether it is for want of space, which may come back.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// Why a batch was not taken. Its `done` is not called.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A write or sync failed earlier.
    #[error("the log failed earlier")]
    Failed(#[from] Failure),
    /// A record does not fit into a segment of this log.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// A payload beyond what a record may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {bytes} bytes; this log takes at most {max} (and never more than {PAYLOAD_BYTES_MAX})")]
pub struct TooLarge {
    /// Length of the payload.
    pub bytes: u64,
    /// The most this log takes.
    pub max: u64,
}

/// Why a record could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The segment is not there: released, or never was.
    #[error("segment {0} is not in the log (any more)")]
    Gone(u64),
    /// What lies there is not the record that was written. The caller should end the process.
    #[error("{}, offset {offset}: {what}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The operating system refused to read.
    #[error("{}: cannot read at offset {offset}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
}
