//! Counters that never lock: the writer adds, anybody takes a [`Metrics`] snapshot.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets of the sync histogram: etcd's, so that its dashboards fit. Bucket `i` counts syncs of at most 0.001·2^i s.
pub const SYNC_BUCKETS: usize = 14;

/// A snapshot of what the log has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Records on disk.
    pub records: u64,
    /// Bytes written, framing included.
    pub bytes: u64,
    /// Groups committed: the smaller next to `records`, the more shared each sync.
    pub groups: u64,
    /// Syncs of live segments and how long they took.
    pub syncs: SyncHistogram,
    /// Segments prepared.
    pub segments_made: u64,
    /// Segments removed after a release.
    pub segments_removed: u64,
    /// Bytes that wait for their sync now.
    pub backlog_bytes: u64,
    /// Whether the next segment cannot be prepared because the disk is full. The live one may still have room.
    pub disk_full: bool,
}

/// How long syncs took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncHistogram {
    /// Not cumulative: `buckets[i]` counts those above the bound of `i - 1` and at most at the bound of `i`.
    pub buckets: [u64; SYNC_BUCKETS],
    /// All syncs, including those slower than the last bound.
    pub count: u64,
    /// Their sum.
    pub total: Duration,
}

impl SyncHistogram {
    /// Upper bound of bucket `i`, in seconds.
    pub fn bound_seconds(i: usize) -> f64 {
        0.001 * 2f64.powi(i32::try_from(i).expect("there are 14 buckets"))
    }
}

/// The live counters behind [`Metrics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) segments_made: AtomicU64,
    pub(crate) segments_removed: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BUCKETS],
    sync_count: AtomicU64,
    sync_nanos: AtomicU64,
}

impl Counters {
    /// Counts one sync of a live segment.
    pub(crate) fn count_sync(&self, took: Duration) {
        let bucket = (0..SYNC_BUCKETS).find(|&i| took <= Duration::from_millis(1 << i));
        if let Some(i) = bucket {
            self.sync_buckets[i].fetch_add(1, Relaxed);
        }
        self.sync_count.fetch_add(1, Relaxed);
        self.sync_nanos
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What was counted so far; the two gauges are the caller's to fill.
    pub(crate) fn snapshot(&self, backlog_bytes: u64, disk_full: bool) -> Metrics {
        Metrics {
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            groups: self.groups.load(Relaxed),
            syncs: SyncHistogram {
                buckets: std::array::from_fn(|i| self.sync_buckets[i].load(Relaxed)),
                count: self.sync_count.load(Relaxed),
                total: Duration::from_nanos(self.sync_nanos.load(Relaxed)),
            },
            segments_made: self.segments_made.load(Relaxed),
            segments_removed: self.segments_removed.load(Relaxed),
            backlog_bytes,
            disk_full,
        }
    }
}
