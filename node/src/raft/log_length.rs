//! How long the log may become: when a snapshot is due, and how much of the log stays behind it. Pure.
//!
//! A snapshot costs as much as the state is large, so it waits until as much was logged: its cost stays a constant share
//! of the cost of writing. What is held against the log is the last snapshot, not the engine: where every write makes a
//! new key the engine grows as fast as the log, and the log would never catch up with it.
//!
//! Behind a snapshot the log keeps some entries for members that were away for a moment: so many as `settings` says, and
//! so many bytes as is said here, whichever is less. A large state is dear to send, so more is kept of its log. A member
//! that is sent the state meanwhile finds the log behind it as long as less is written than half of the state.
//!
//! Must keep true: with a state of S bytes, the log takes at most about 1.5 S, or 256 MiB, and what is written while a
//! snapshot is.

use kvorum_faults::{sized, small};

/// Log that no snapshot covers below which none is taken, however small the state is, in bytes: two segments.
pub const UNCOVERED_BYTES_MIN: u64 = 128 << 20;
/// Log that is kept behind a snapshot, however small the state is, in bytes: a second or two of the fastest writing.
pub const KEPT_BYTES_MIN: u64 = 128 << 20;
/// And at least this part of the snapshot.
const KEPT_PART: u64 = 2;

/// Whether a snapshot is due: `uncovered` bytes of log came behind the last one, which has `last` bytes, and there are
/// `records` bytes of keys and history now. Where history was compacted the next snapshot is cheaper than the last.
#[must_use]
pub fn is_snapshot_due(uncovered: u64, last: u64, records: u64) -> bool {
    let due = last.min(records).max(UNCOVERED_BYTES_MIN);
    uncovered >= sized(due, small::SNAPSHOT_LOG_BYTES)
}

/// Bytes of entries kept behind a snapshot of `snapshot` bytes.
#[must_use]
pub fn kept_bytes_max(snapshot: u64) -> u64 {
    KEPT_BYTES_MIN.max(snapshot / KEPT_PART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test_case(0, 0, 0 => false; "nothing was written")]
    #[test_case(127 * MIB, 0, 127 * MIB => false; "the first, too early")]
    #[test_case(128 * MIB, 0, 128 * MIB => true; "the first")]
    #[test_case(128 * MIB, 0, 10 * GIB => true; "the first of a state that came otherwise")]
    #[test_case(128 * MIB, MIB, MIB => true; "a small state that is overwritten")]
    #[test_case(GIB - 1, GIB, 2 * GIB => false; "each write made a new key, not yet")]
    #[test_case(GIB, GIB, 2 * GIB => true; "each write made a new key")]
    #[test_case(GIB, 10 * GIB, GIB => true; "history was compacted")]
    #[test_case(128 * MIB, 10 * GIB, MIB => true; "next to all was deleted")]
    #[test_case(u64::MAX, u64::MAX, u64::MAX => true; "the largest figures")]
    fn a_snapshot_is_due(uncovered: u64, last: u64, records: u64) -> bool {
        is_snapshot_due(uncovered, last, records)
    }

    #[test_case(0 => 128 * MIB)]
    #[test_case(256 * MIB => 128 * MIB)]
    #[test_case(GIB => 512 * MIB)]
    fn kept(snapshot: u64) -> u64 {
        kept_bytes_max(snapshot)
    }

    #[test]
    fn the_log_is_bounded_however_much_is_written() {
        let (mut records, mut last, mut uncovered, mut taken) = (0_u64, 0, 0, 0);
        // Every write makes a new key, of 1 MiB.
        for _ in 0..100 << 10 {
            (records, uncovered) = (records + MIB, uncovered + MIB);
            assert!(uncovered <= records.max(UNCOVERED_BYTES_MIN));
            if is_snapshot_due(uncovered, last, records) {
                (last, uncovered, taken) = (records, 0, taken + 1);
            }
        }
        assert_eq!(taken, 10, "each time the state has doubled");
    }
}
