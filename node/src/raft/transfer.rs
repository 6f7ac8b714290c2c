//! How a snapshot comes to a member that lags, and goes on where it broke.
//!
//! ```text
//! sender   → Head { vote, meta, content }      which snapshot, by the hash of all its bytes
//! receiver → Held(n)                           so much of it is here and checked; the rest, please
//! sender   → the bytes from n to the end
//! receiver → Held(n) …                         meanwhile, and while it verifies and installs
//! receiver → Installed(response), or Refused(why)
//! ```
//!
//! What is called the same is the same, byte for byte, whoever made it: equal states give equal snapshots, and the hash
//! tells those apart that are not equal. So a transfer goes on with another leader, after a restart of either side, and
//! while the sender has a newer snapshot already: it reads the file that it has open.
//!
//! Must keep true: no more than a piece of the file is in memory on either side; nothing is replaced before all of it is
//! here and verified; each side ends a transfer in which it hears nothing for [`SILENCE_MAX`]; a receiver works on one
//! transfer at a time, the latest.

mod partial;
mod receive;
mod send;

#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use openraft::alias::VoteOf;
use openraft::raft::SnapshotResponse;
use serde::{Deserialize, Serialize};

use super::Types;
use super::snapshots::{Meta, SnapshotFile};

pub use partial::{Incoming, is_partial};
pub use receive::receive;
pub use send::{Pace, send};

/// Bytes read, sent and written at a time: all that is in memory of a snapshot, beside what the system keeps.
const PIECE_BYTES: usize = 256 << 10;
/// Between two signs of life of a receiver.
const SIGN: Duration = Duration::from_secs(1);
/// Silence after which a transfer counts as broken: some signs of life, and longer than a disk takes to sync a few MiB.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The first frame of a snapshot's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The leader's vote.
    pub vote: VoteOf<Types>,
    /// Position and membership.
    pub meta: Meta,
    /// Which bytes.
    pub content: Content,
}

/// Names the bytes of a snapshot: two files of the same content are equal to the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// The hash of everything before it, which a snapshot ends with.
    pub sha256: [u8; kvorum_store::snapshot::HASH_BYTES],
}

/// What a receiver says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is alive, and looks at what it has.
    Wait,
    /// It has so many bytes from the beginning on.
    Held(u64),
    /// It has taken up the snapshot, or did not need it.
    Installed(SnapshotResponse<Types>),
    /// It cannot take it now.
    Refused(String),
}

impl Content {
    /// What `file` says that it holds. Whether it does, `verify` tells.
    ///
    /// # Errors
    /// It is too short for a snapshot, or cannot be read.
    pub fn of(file: &SnapshotFile) -> io::Result<Content> {
        let bytes = file.bytes()?;
        let mut sha256 = [0; kvorum_store::snapshot::HASH_BYTES];
        let at = bytes
            .checked_sub(sha256.len() as u64)
            .ok_or_else(|| io::Error::other(format!("a snapshot of {bytes} bytes is none")))?;
        file.file.read_exact_at(&mut sha256, at)?;
        Ok(Content { bytes, sha256 })
    }
}
