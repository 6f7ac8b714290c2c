//! What a simulated member can be made to do wrong, for the proof that the simulation notices.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use kvorum_files::simulated::dice;
use kvorum_store::watch::Batch;
use openraft::storage::EntryResponder;

use crate::raft::Types;

/// How rare a fault is that would otherwise be seen at once: one of so many chances.
const RARE: u64 = 30;

/// A fault of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A vote is kept in memory alone.
    VoteForgotten = 1,
    /// Linearizable reads answer from local state.
    ReadsAtOnce,
    /// Two entries now and then change places before they are applied.
    AppliedOutOfOrder,
    /// An event now and then is told to nobody.
    EventDropped,
}

static FAULT: AtomicU8 = AtomicU8::new(0);

/// From now on every member does this wrong.
pub fn set(fault: Fault) {
    FAULT.store(fault as u8, Relaxed);
}

/// Whether members do this wrong.
pub(crate) fn is(fault: Fault) -> bool {
    FAULT.load(Relaxed) == fault as u8
}

fn happens(fault: Fault) -> bool {
    is(fault) && dice::below(RARE) == 0
}

/// A batch with its events, if nothing is wrong.
pub(crate) fn with_events(mut batch: Batch) -> Batch {
    if happens(Fault::EventDropped) {
        batch.events.pop();
    }
    batch
}

/// Leaves a batch as it is, if nothing is wrong.
pub(crate) fn in_order(batch: &mut [EntryResponder<Types>]) {
    if let [(first, _), (second, _), ..] = batch
        && is(Fault::AppliedOutOfOrder)
    {
        std::mem::swap(&mut first.payload, &mut second.payload);
        let [(_, first), (_, second), ..] = batch else { return };
        std::mem::swap(first, second);
    }
}
