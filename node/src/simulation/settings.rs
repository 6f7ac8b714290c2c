//! Sizes small enough that a simulated minute meets what a real member meets in days: new segments, purged entries,
//! members that need a snapshot.

use openraft::Config;

/// Of a segment, in bytes.
const SEGMENT_BYTES: u64 = 32 << 10;
/// Of a log's first segment, in bytes.
const FIRST_SEGMENT_BYTES: u64 = 8 << 10;
/// Entries kept behind a snapshot.
const ENTRIES_KEPT: u64 = 16;
/// Entries that gather before a purge.
const PURGE_BATCH_ENTRIES: u64 = 4;

/// A log of small segments.
pub(crate) fn log(options: &mut kvorum_wal::Options) {
    options.segment_bytes = SEGMENT_BYTES;
    options.first_segment_bytes = FIRST_SEGMENT_BYTES;
}

/// Consensus that keeps little.
pub(crate) fn consensus(config: Config) -> Config {
    Config {
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        purge_batch_size: PURGE_BATCH_ENTRIES,
        ..config
    }
}
