//! Sizes with which a few hundred small writes change segments, take snapshots and forget entries.

/// A segment of the log, in bytes: a second of the tests' load fills some of them.
pub const SEGMENT_BYTES: u64 = 64 << 10;
/// The first segment, in bytes.
pub const FIRST_SEGMENT_BYTES: u64 = 16 << 10;
/// Log between two snapshots, in bytes: more than a segment, so that one is given back each time.
pub const SNAPSHOT_LOG_BYTES: u64 = 100 << 10;
/// Time between two looks whether a snapshot is due, in milliseconds.
pub const SNAPSHOT_CHECK_MS: u64 = 50;
/// Bytes of a snapshot on its way between two syncs.
pub const TRANSFER_SYNC_BYTES: u64 = 4 << 10;
/// A value that is no longer lies in sled, in bytes: most of the tests' values lie beside it.
pub const NEAR_BYTES: u64 = 16;
/// A file of such values, in bytes: a new one is begun every few dozen writes.
pub const VALUE_FILE_BYTES: u64 = 8 << 10;
/// Entries kept behind a snapshot.
pub const ENTRIES_KEPT: u64 = 100;
/// Entries that gather before a purge.
pub const PURGE_ENTRIES: u64 = 50;
