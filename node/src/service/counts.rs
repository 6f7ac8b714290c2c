//! What a member counts for `/metrics`: numbers that only grow, or go up and down, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvorum_api::mvccpb::event::EventType;
use kvorum_store::{Outcome, Response};

use crate::grpc::counted::Calls;
use crate::metrics::durations::Durations;

/// The counters of one process.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys put, by whatever command.
    pub puts: AtomicU64,
    /// Keys deleted, by whatever command.
    pub deletes: AtomicU64,
    /// Transactions applied, and those that were only read.
    pub transactions: AtomicU64,
    /// Ranges read for clients.
    pub ranges: AtomicU64,
    /// Proposals that wait for their answer.
    pub proposals_pending: AtomicU64,
    /// Proposals whose outcome the client was not told.
    pub proposals_failed: AtomicU64,
    /// Comparisons with other members, all of which held the same.
    pub comparisons_equal: AtomicU64,
    /// Comparisons in which somebody differed.
    pub comparisons_different: AtomicU64,
    /// Calls over gRPC.
    pub calls: Arc<Calls>,
    /// Batches that the engine took.
    pub engine_commits: Durations,
}

impl Counts {
    /// Counts what an applied command did.
    pub fn applied(&self, outcome: &Outcome) {
        for event in &outcome.events {
            match event.r#type() {
                EventType::Put => add(&self.puts),
                EventType::Delete => add(&self.deletes),
            }
        }
        if matches!(outcome.response, Ok(Response::Txn(_))) {
            add(&self.transactions);
        }
    }

    /// Counts a proposal for as long as the answer lives.
    pub fn pending(&self) -> Pending<'_> {
        add(&self.proposals_pending);
        Pending(&self.proposals_pending)
    }
}

/// One more.
pub fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A proposal that waits; no longer when dropped, however that comes about.
pub struct Pending<'a>(&'a AtomicU64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
