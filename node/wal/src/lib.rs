//! Kvorum's write-ahead log: bytes that survive a power cut, in the order in which they were handed over.
//!
//! A log is a directory of *segments*: files of fixed size, written full of zeros and synced before they are used,
//! because a fdatasync into such a file has no metadata to flush. A *record* is a kind, which only the caller
//! understands, and a payload. Many callers append at once; one thread takes everything that waits, writes it with one
//! call, syncs once, and then tells each caller (group commit).
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc};
//! use kvorum_wal::{Batch, Kind, Options, Position, open};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fatal = Arc::new(|_: &kvorum_wal::Failure| std::process::exit(1));
//! let replay = |_at: Position, _kind: Kind, _payload: &[u8]| Ok::<(), std::io::Error>(());
//! let wal = open(Path::new("data/wal"), Options::new(fatal), replay)?;
//! let mut batch = Batch::new();
//! batch.push(Kind(1), b"entry".to_vec())?;
//! let positions = wal.append(batch, |written| assert!(written.is_ok()))?;
//! assert_eq!(&wal.reader().read(positions[0])?[..], b"entry");
//! # Ok(()) }
//! ```
//!
//! # What it must keep true
//!
//! 1. A record whose `done` was called with `Ok` is there after any crash, or [`open`] refuses; it is never skipped.
//! 2. What [`open`] replays is a prefix of what was appended (less the segments released), and is on disk by the time
//!    it returns, even if the process that wrote it died before its sync.
//! 3. Of a batch that was not acknowledged any prefix of its records may be there after a crash. A batch is not atomic.
//! 4. A failed write or sync is never retried: see [`Options::fatal`].
//! 5. A record is bound to its log, segment and offset: bytes of another log, of an old segment or from elsewhere in
//!    the same one never pass for live.
//!
//! # What it does not do
//!
//! It gives records no meaning, keeps no index and holds no cache beyond what waits to be written. It does not repair
//! rot: it says where it is and stops. It cannot know that somebody put an old copy of its last segment, or of the
//! whole directory, in its place; nor tell a disk that loses a whole synced sector at the very end from a torn write.

mod batch;
mod directory;
mod error;
mod format;
mod inspect;
mod log;
mod metrics;
mod options;
mod queue;
mod reader;
mod recovery;
mod segment;
#[cfg(feature = "simulation")]
mod steps;
mod supply;
mod survey;
mod tail;
#[cfg(not(feature = "simulation"))]
mod threads;
mod wal;
mod writer;

pub use batch::{Batch, Kind, PAYLOAD_BYTES_MAX, Position};
pub use error::{AppendError, Failure, OpenError, ReadError, TooLarge};
pub use inspect::{Inspected, Inspection, SegmentState, inspect};
pub use metrics::{Metrics, SYNC_BUCKETS, SyncHistogram};
pub use options::{Fatal, Options};
pub use reader::Reader;
pub use recovery::{Cut, Recovery};
pub use wal::{Wal, open};
