//! openraft's settings, each with its reason. Times are milliseconds.
//!
//! Must keep true: heartbeats come well within the election timeout, and a snapshot never lets the log be purged so far
//! that an ordinary follower would need a snapshot (openraft issue 2116: a follower that starts while the leader purges
//! can be stranded when few entries are kept).

use kvorum_faults::{sized, small};
use openraft::{Config, SnapshotPolicy};

/// Entries kept in the log behind a snapshot, so that a member that was away for a moment catches up from the log. Large
/// ones are bounded by their bytes before (`log_length`).
pub const ENTRIES_KEPT_BEHIND_SNAPSHOT: u64 = 50_000;
/// Applied entries that gather before a purge: one purge record per this many entries keeps the log cheap.
const PURGE_BATCH_ENTRIES: u64 = 5_000;
/// Entries in one message to a follower; the log store also bounds the bytes.
const ENTRIES_PER_MESSAGE_MAX: u64 = 1_024;

/// Timing of heartbeats and elections.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between heartbeats of the leader, in milliseconds.
    pub heartbeat_ms: u64,
    /// Silence after which a follower stands for election, in milliseconds.
    pub election_ms: u64,
}

/// Builds openraft's configuration.
///
/// # Errors
/// The timing contradicts itself (the heartbeat must be shorter than the election timeout).
pub fn config(timing: Timing) -> Result<Config, String> {
    let config = Config {
        cluster_name: "kvorum".into(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.election_ms,
        election_timeout_max: timing.election_ms * 2,
        max_payload_entries: ENTRIES_PER_MESSAGE_MAX,
        // Snapshots are triggered by bytes, not by a count of entries (`log_length`).
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: sized(ENTRIES_KEPT_BEHIND_SNAPSHOT, small::ENTRIES_KEPT),
        purge_batch_size: sized(PURGE_BATCH_ENTRIES, small::PURGE_ENTRIES),
        // Followers write while the leader writes, instead of after it: one sync of latency instead of two.
        broadcast_submitted_on_append: Some(true),
        // A member that was cut off must not end the term of a healthy leader when it comes back.
        enable_pre_vote: Some(true),
        // A leader that was killed may have lost entries that its followers keep: leading on in the same term, it would
        // give their places to others, and the members would differ for ever. It stands for election in a new term.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    #[cfg(feature = "simulation")]
    let config = crate::simulation::settings::consensus(config);
    config.validate().map_err(|error| error.to_string())
}
