//! Snapshots: one consistent image of the store as a stream.
//!
//! ```text
//! magic        8 bytes  "KVRMSNAP"
//! frame …               the header, then chunks of leases, records, users, roles and alarms, then an empty frame
//! sha-256     32 bytes  of everything before
//!
//! frame  =  length u32 · crc-32c of the payload u32 · payload
//! header =  protocol buffer: format, counters, position, membership
//! chunk  =  (key length u32 · value length u32 · key · value)…, with the engine's own keys, ascending
//! ```
//! All numbers are big-endian. The stream is written from a frozen [`View`], so writes go on meanwhile; it holds no
//! garbage, so equal states at equal positions give equal bytes. Both directions need memory for one chunk, whatever
//! the size of the state. Every chunk is checked before it is believed, and the whole at the end; until then the
//! engine is marked as unfinished.

mod copy;
mod frame;
mod input;
mod output;

use crate::engine::EngineError;
use crate::keyspace::Meta;
use crate::revision::LogPosition;
use bytes::Bytes;
pub use copy::copy;
pub use input::{peek, read, sound, verify};
pub use output::write;
use prost::Message;
use std::io;

const MAGIC: &[u8; 8] = b"KVRMSNAP";

/// Format of the stream; a reader refuses any other.
const FORMAT: u32 = 1;

/// A chunk is written when it has reached this size.
const CHUNK_BYTES: usize = 256 << 10;

/// Longest frame that is believed; a chunk may exceed [`CHUNK_BYTES`] by one record.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// Length of the hash that a snapshot ends with.
pub const HASH_BYTES: usize = 32;

/// What a snapshot holds, from its header and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The last log entry that the state contains.
    pub applied: Option<LogPosition>,
    /// The membership noted last, opaque.
    pub membership: Option<Bytes>,
    /// Revision of the store.
    pub revision: i64,
    /// The revision below which there is no history; -1 if it was never compacted.
    pub compacted: i64,
    /// Number of entries: records, leases, users, roles, alarms.
    pub entries: u64,
    /// SHA-256 of the stream.
    pub sha256: [u8; HASH_BYTES],
}

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The stream failed.
    #[error("the stream of the snapshot failed")]
    Stream(#[from] io::Error),
    /// The stream is not a snapshot, was damaged, or ends early.
    #[error("the snapshot is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Where in the stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Written by a build with another format.
    #[error("the snapshot has format {found}, and this build reads format {known}")]
    Format {
        /// What was found.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine took the snapshot, but what it holds cannot be opened.
    #[error("the state cannot be opened after the snapshot was read")]
    Open(#[from] crate::OpenError),
    /// The view's state was replaced by another snapshot meanwhile.
    #[error("the state was replaced while its snapshot was being written")]
    Replaced,
}

/// The first frame.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, optional, tag = "2")]
    meta: Option<Meta>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    membership: Option<Bytes>,
}

impl Header {
    fn summary(&self, entries: u64, sha256: [u8; HASH_BYTES]) -> Summary {
        let meta = self.meta.unwrap_or_default();
        Summary {
            applied: meta.position.map(Into::into),
            membership: self.membership.clone(),
            revision: meta.revision,
            compacted: meta.compacted,
            entries,
            sha256,
        }
    }
}

#[cfg(test)]
mod tests;
