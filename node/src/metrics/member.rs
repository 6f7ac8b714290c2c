//! A running member's numbers.

use kvorum_api::admin::NodeState;
use kvorum_store::watch::Counts;
use kvorum_wal::{SYNC_BUCKETS, SyncHistogram};

use super::text::Page;
use crate::service::Stats;

/// Writes them all. Taken apart without a rest, so that a new number is not forgotten here.
pub fn write(page: &mut Page, stats: &Stats) {
    let Stats {
        state,
        has_leader,
        leader_changes,
        term,
        last_log_index,
        committed_index,
        applied_index,
        revision,
        compact_revision,
        keys,
        engine_bytes,
        watches: hub,
        watch_events,
        leases,
        wal,
    } = stats;
    let flag = |holds: bool| u8::from(holds);
    page.gauge(
        "etcd_server_has_leader",
        "Whether a leader exists. 1 is existence, 0 is not.",
    )
    .value(flag(*has_leader));
    page.gauge(
        "etcd_server_is_leader",
        "Whether or not this member is a leader. 1 if is, 0 otherwise.",
    )
    .value(flag(*state == NodeState::Leader));
    page.gauge(
        "etcd_server_is_learner",
        "Whether or not this member is a learner. 1 if is, 0 otherwise.",
    )
    .value(flag(*state == NodeState::Learner));
    page.counter(
        "etcd_server_leader_changes_seen_total",
        "The number of leader changes seen.",
    )
    .value(leader_changes);
    page.gauge(
        "etcd_server_proposals_committed_total",
        "The total number of consensus proposals committed.",
    )
    .value(committed_index);
    page.gauge(
        "etcd_server_proposals_applied_total",
        "The total number of consensus proposals applied.",
    )
    .value(applied_index);
    page.gauge("kvorum_raft_term", "The term of this member.").value(term);
    page.gauge(
        "kvorum_raft_last_log_index",
        "Index of the newest entry of this member's log.",
    )
    .value(last_log_index);
    page.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
    )
    .value(engine_bytes);
    page.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.")
        .value(keys);
    page.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.")
        .value(revision);
    page.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction in store.",
    )
    .value(compact_revision);
    watches(page, hub, *watch_events, *leases);
    log(page, wal);
}

fn watches(page: &mut Page, hub: &Counts, sent: u64, leases: usize) {
    page.gauge("kvorum_leases", "Number of leases.").value(leases);
    let Counts {
        streams,
        watchers,
        behind,
        queued_events,
        queued_bytes,
    } = hub;
    page.gauge(
        "etcd_debugging_mvcc_watch_stream_total",
        "Total number of watch streams.",
    )
    .value(streams);
    page.gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.")
        .value(watchers);
    page.gauge(
        "etcd_debugging_mvcc_slow_watcher_total",
        "Total number of unsynced slow watchers.",
    )
    .value(behind);
    page.gauge(
        "etcd_debugging_mvcc_pending_events_total",
        "Total number of pending events to be sent.",
    )
    .value(queued_events);
    page.gauge(
        "kvorum_watch_pending_bytes",
        "Bytes of the events that wait to be sent.",
    )
    .value(queued_bytes);
    page.counter(
        "etcd_debugging_mvcc_events_total",
        "Total number of events sent by this member.",
    )
    .value(sent);
}

fn log(page: &mut Page, wal: &kvorum_wal::Metrics) {
    let kvorum_wal::Metrics {
        records,
        bytes,
        groups,
        syncs,
        segments_made,
        segments_removed,
        backlog_bytes,
        disk_full,
    } = wal;
    let SyncHistogram { buckets, count, total } = syncs;
    let bounds = (0..SYNC_BUCKETS).map(SyncHistogram::bound_seconds);
    page.histogram(
        "etcd_disk_wal_fsync_duration_seconds",
        "The latency distributions of fsync called by WAL.",
        bounds.zip(buckets.iter().copied()),
        *count,
        total.as_secs_f64(),
    );
    page.counter("etcd_disk_wal_write_bytes_total", "Bytes written to the WAL.")
        .value(bytes);
    page.counter("kvorum_wal_records_total", "Records written to the log.")
        .value(records);
    page.counter("kvorum_wal_groups_total", "Groups of records that shared one sync.")
        .value(groups);
    page.counter("kvorum_wal_segments_made_total", "Segments prepared.")
        .value(segments_made);
    page.counter("kvorum_wal_segments_removed_total", "Segments removed.")
        .value(segments_removed);
    page.gauge("kvorum_wal_backlog_bytes", "Bytes that wait for their sync.")
        .value(backlog_bytes);
    page.gauge(
        "kvorum_wal_disk_full",
        "Whether the next segment cannot be prepared for lack of space. 1 if so.",
    )
    .value(u8::from(*disk_full));
}
