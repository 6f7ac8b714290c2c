//! A running member's numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use kvorum_api::admin::NodeState;
use kvorum_api::etcdserverpb::AlarmMember;
use kvorum_store::watch::Counts as Watches;
use kvorum_wal::{SYNC_BUCKETS, SyncHistogram};

use super::text::{Distribution, Page};
use crate::disk::Volume;
use crate::service::Stats;
use crate::service::counts::Counts;
use crate::service::disk::DiskStats;

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
        record_bytes,
        quota_bytes,
        disk,
        alarms,
        counts,
        others,
        peers,
        wal,
    } = stats;
    role(page, state, *has_leader);
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
    space(page, *record_bytes, *quota_bytes, alarms);
    room(page, disk);
    work(page, counts);
    peers.write(page, others);
    history(page, *keys, *revision, *compact_revision);
    watches(page, hub, *watch_events, *leases);
    log(page, wal);
}

fn role(page: &mut Page, state: &NodeState, has_leader: bool) {
    let flag = |holds: bool| u8::from(holds);
    page.gauge(
        "etcd_server_has_leader",
        "Whether a leader exists. 1 is existence, 0 is not.",
    )
    .value(flag(has_leader));
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
}

fn history(page: &mut Page, keys: usize, revision: i64, compact_revision: i64) {
    page.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.")
        .value(keys);
    page.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.")
        .value(revision);
    page.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction in store.",
    )
    .value(compact_revision);
}

fn space(page: &mut Page, record_bytes: u64, quota_bytes: Option<u64>, alarms: &[AlarmMember]) {
    page.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
    )
    .value(record_bytes);
    page.gauge(
        "etcd_server_quota_backend_bytes",
        "Current backend storage quota size in bytes.",
    )
    .value(quota_bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string()));
    let mut standing = page.gauge(
        "etcd_debugging_server_alarms",
        "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label with type of this alarm",
    );
    for alarm in alarms {
        let (id, kind) = (format!("{:x}", alarm.member_id), alarm.alarm());
        standing = standing.with(&[("server_id", &id), ("alarm_type", kind.as_str_name())], 1);
    }
}

fn room(page: &mut Page, disk: &DiskStats) {
    let DiskStats {
        volume,
        reserve_bytes,
        scarce,
    } = disk;
    if let Some(Volume { total, free }) = volume {
        page.gauge("kvorum_disk_total_bytes", "Size of the volume of the data directory.")
            .value(total);
        page.gauge(
            "kvorum_disk_free_bytes",
            "Bytes that this member may still take of the volume of the data directory.",
        )
        .value(free);
    }
    page.gauge(
        "kvorum_disk_reserve_bytes",
        "Bytes of free disk below which writes are refused.",
    )
    .value(reserve_bytes);
    page.gauge(
        "kvorum_disk_full",
        "Whether writes are refused for want of room on this member's disk. 1 if so.",
    )
    .value(u8::from(*scarce));
}

fn work(page: &mut Page, counts: &Counts) {
    let Counts {
        puts,
        deletes,
        transactions,
        ranges,
        proposals_pending,
        proposals_failed,
        comparisons_equal,
        comparisons_different,
        calls,
        engine_commits,
    } = counts;
    let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.counter("etcd_mvcc_put_total", "Total number of puts seen by this member.")
        .value(now(puts));
    page.counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member.")
        .value(now(deletes));
    page.counter("etcd_mvcc_txn_total", "Total number of txns seen by this member.")
        .value(now(transactions));
    page.counter("etcd_mvcc_range_total", "Total number of ranges seen by this member.")
        .value(now(ranges));
    page.gauge(
        "etcd_server_proposals_pending",
        "The current number of pending proposals to commit.",
    )
    .value(now(proposals_pending));
    page.counter(
        "etcd_server_proposals_failed_total",
        "The total number of failed proposals seen.",
    )
    .value(now(proposals_failed));
    page.counter(
        "kvorum_state_comparisons_total",
        "Comparisons of what this leader holds with what the other members hold.",
    )
    .with(&[("outcome", "equal")], now(comparisons_equal))
    .with(&[("outcome", "different")], now(comparisons_different));
    calls.write(page);
    page.histogram(
        "etcd_disk_backend_commit_duration_seconds",
        "The latency distributions of commit called by backend.",
    )
    .distribution(&[], &engine_commits.distribution());
}

fn watches(page: &mut Page, hub: &Watches, sent: u64, leases: usize) {
    page.gauge("kvorum_leases", "Number of leases.").value(leases);
    let Watches {
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
    let syncs = Distribution {
        buckets: bounds.zip(buckets.iter().copied()).collect(),
        count: *count,
        sum: total.as_secs_f64(),
    };
    page.histogram(
        "etcd_disk_wal_fsync_duration_seconds",
        "The latency distributions of fsync called by WAL.",
    )
    .distribution(&[], &syncs);
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
