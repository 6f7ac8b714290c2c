//! What goes to and comes from each other member, for `/metrics`.
//!
//! Must keep true: nothing on the way of a message waits here for more than a look into a small map; a member that was
//! removed is no longer told of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::metrics::durations::Durations;
use crate::metrics::text::Page;

/// Upper bound of the quickest round trips, and how many bounds follow, each twice the one before: etcd's.
const ROUND_TRIP_MIN: Duration = Duration::from_micros(100);
const ROUND_TRIP_BUCKETS: usize = 16;

/// One other member.
#[derive(Debug)]
pub struct PeerCount {
    /// Bytes sent, TLS not included.
    pub sent_bytes: AtomicU64,
    /// Bytes received, TLS not included.
    pub received_bytes: AtomicU64,
    /// Dials that failed.
    pub failures: AtomicU64,
    /// From a heartbeat to its answer.
    pub round_trips: Durations,
    /// Bytes of snapshots sent.
    pub snapshot_bytes: AtomicU64,
    /// Snapshots that it has taken up.
    pub snapshots_sent: AtomicU64,
    /// Attempts at sending one that broke off or were refused.
    pub snapshots_failed: AtomicU64,
    /// Attempts that went on where another had broken off.
    pub snapshots_resumed: AtomicU64,
}

impl Default for PeerCount {
    fn default() -> Self {
        Self {
            sent_bytes: AtomicU64::default(),
            received_bytes: AtomicU64::default(),
            failures: AtomicU64::default(),
            round_trips: Durations::new(ROUND_TRIP_MIN, ROUND_TRIP_BUCKETS),
            snapshot_bytes: AtomicU64::default(),
            snapshots_sent: AtomicU64::default(),
            snapshots_failed: AtomicU64::default(),
            snapshots_resumed: AtomicU64::default(),
        }
    }
}

/// All other members, by id.
#[derive(Debug, Default)]
pub struct PeerCounts(Mutex<BTreeMap<u64, Arc<PeerCount>>>);

impl PeerCounts {
    /// The numbers of one member.
    pub fn of(&self, id: u64) -> Arc<PeerCount> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(id).or_default())
    }

    /// Writes the families, for the members with these ids.
    pub fn write(&self, page: &mut Page, ids: &[u64]) {
        let peers: Vec<(String, Arc<PeerCount>)> = ids.iter().map(|id| (format!("{id:x}"), self.of(*id))).collect();
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sent = page.counter(
            "etcd_network_peer_sent_bytes_total",
            "The total number of bytes sent to peers.",
        );
        for (id, peer) in &peers {
            sent = sent.with(&[("To", id)], now(&peer.sent_bytes));
        }
        let mut received = page.counter(
            "etcd_network_peer_received_bytes_total",
            "The total number of bytes received from peers.",
        );
        for (id, peer) in &peers {
            received = received.with(&[("From", id)], now(&peer.received_bytes));
        }
        let mut failures = page.counter(
            "etcd_network_peer_sent_failures_total",
            "The total number of send failures to peers.",
        );
        for (id, peer) in &peers {
            failures = failures.with(&[("To", id)], now(&peer.failures));
        }
        snapshots(page, &peers);
        let mut trips = page.histogram(
            "etcd_network_peer_round_trip_time_seconds",
            "Round-Trip-Time histogram between peers.",
        );
        for (id, peer) in &peers {
            trips = trips.distribution(&[("To", id)], &peer.round_trips.distribution());
        }
    }
}

/// What a family tells of one member.
type Number = fn(&PeerCount) -> &AtomicU64;

fn snapshots(page: &mut Page, peers: &[(String, Arc<PeerCount>)]) {
    let families: [(&str, &str, Number); 4] = [
        (
            "etcd_network_snapshot_send_success",
            "Total number of successful snapshot sends.",
            |peer| &peer.snapshots_sent,
        ),
        (
            "etcd_network_snapshot_send_failures",
            "Total number of snapshot send failures.",
            |peer| &peer.snapshots_failed,
        ),
        (
            "kvorum_network_snapshot_resumed_total",
            "Attempts at sending a snapshot that went on where another had broken off.",
            |peer| &peer.snapshots_resumed,
        ),
        (
            "kvorum_network_snapshot_sent_bytes_total",
            "Bytes of snapshots sent to peers.",
            |peer| &peer.snapshot_bytes,
        ),
    ];
    for (name, help, number) in families {
        let mut family = page.counter(name, help);
        for (id, peer) in peers {
            family = family.with(&[("To", id)], number(peer).load(Ordering::Relaxed));
        }
    }
}
