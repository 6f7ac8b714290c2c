//! How a state machine breaks its rules when a test asks it to (`kvorum_faults::Wrong`). Nothing of this is in a release.

use kvorum_faults::Wrong;
use kvorum_store::Event;
use openraft::EntryPayload;
use openraft::storage::EntryResponder;

use super::Types;

/// Of so many entries the events of one are dropped.
const DROPPED_OF: u64 = 20;

/// Drops the events of some entries.
#[inline]
pub(super) fn drop_some(index: u64, events: &mut Vec<Event>) {
    if Wrong::EventDropped.is_asked() && index.is_multiple_of(DROPPED_OF) {
        events.clear();
    }
}

/// Turns commands around that are applied together, where nobody waits for their answers.
#[inline]
pub(super) fn turn_around(batch: &mut [EntryResponder<Types>]) {
    if !Wrong::OutOfOrder.is_asked() {
        return;
    }
    for pair in batch.chunks_exact_mut(2) {
        if let [(first, None), (second, None)] = pair
            && let (EntryPayload::Normal(one), EntryPayload::Normal(other)) = (&mut first.payload, &mut second.payload)
        {
            std::mem::swap(one, other);
        }
    }
}
