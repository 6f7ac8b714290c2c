//! What no client can see of simulated members: whom each voted for, and how many snapshots were taken up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::raft::Vote;

static VOTES: Mutex<BTreeMap<(u64, u64), u64>> = Mutex::new(BTreeMap::new());
static TWICE: Mutex<Vec<String>> = Mutex::new(Vec::new());
static INSTALLED: AtomicU64 = AtomicU64::new(0);

/// A member, known by its log, has this vote on disk and is about to give it. One that its disk did not take before the
/// power went was given to nobody.
pub(crate) fn voted(log_id: u64, vote: &Vote) {
    // That it follows another leader than the one it voted for is no second vote.
    if vote.committed {
        return;
    }
    let (term, node) = (vote.leader_id.term, vote.leader_id.voted_for);
    let mut votes = VOTES.lock().unwrap_or_else(PoisonError::into_inner);
    let first = *votes.entry((log_id, term)).or_insert(node);
    if first != node {
        let text = format!("the member with log {log_id:x} votes in term {term} for {first} and for {node}");
        TWICE.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// A snapshot of another member was taken up.
pub(crate) fn installed() {
    INSTALLED.fetch_add(1, Relaxed);
}

/// Who voted twice in a term.
pub fn voted_twice() -> Vec<String> {
    TWICE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Votes, and snapshots of other members that were taken up.
pub fn counts() -> (u64, u64) {
    let votes = VOTES.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
    (votes, INSTALLED.load(Relaxed))
}
