//! History as events, for watchers that start in the past.

use super::View;
use crate::engine::EngineError;
use crate::keyspace::record_key;
use crate::outcome::ReadError;
use crate::record;
use crate::revision::Revision;
use crate::shared::Records;
use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_api::mvccpb::Event;

/// A part of history: whole revisions only.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The revision to go on from; above the view's own when the end was reached.
    pub next: i64,
}

impl View {
    /// What happened from a revision on, up to the view's own: about `records_max` events of about `bytes_max` bytes
    /// together, and never part of a revision.
    ///
    /// Refused when history from there is gone. Starting at the compacted revision itself is allowed, as in etcd.
    pub fn replay(&self, from: i64, records_max: usize, bytes_max: usize) -> Result<Replay, ReadError> {
        if from < self.compacted() {
            return Err(Refusal::Compacted.into());
        }
        let last = self.revision();
        if from > last {
            return Ok(Replay {
                events: Vec::new(),
                next: from,
            });
        }
        let (first, records_max) = (Revision::new(from, 0), records_max.max(1));
        let Records { mut records, cut } = self.shared.replay(first, last, records_max, bytes_max)?;
        if cut {
            self.complete_last(&mut records)?;
        }
        if self.is_replaced() {
            return Err(ReadError::Replaced);
        }
        let next = match records.last() {
            Some((revision, _)) if cut => revision.main + 1,
            _ => last + 1,
        };
        let mut events = Vec::with_capacity(records.len());
        for (revision, record) in &records {
            let (kind, pair) = record::decode(&record_key(*revision), record)?;
            // At the compacted revision itself compaction may be anywhere on its way; what it will delete is never
            // shown.
            if revision.main > self.compacted() || self.needs(&pair.key, *revision) {
                events.push(record::event(kind, pair));
            }
        }
        Ok(Replay { events, next })
    }

    /// Adds what is missing of the last revision of `records`.
    fn complete_last(&self, records: &mut Vec<(Revision, Bytes)>) -> Result<(), EngineError> {
        let Some(&(Revision { main, sub }, _)) = records.last() else {
            return Ok(());
        };
        // One revision is never split, however many changes one transaction made; the request's size bounds it.
        let rest = self
            .shared
            .replay(Revision::new(main, sub.saturating_add(1)), main, usize::MAX, usize::MAX)?;
        records.extend(rest.records);
        Ok(())
    }

    /// Whether a read of this view, or a watch from its compacted revision, can ask for a record.
    pub(crate) fn needs(&self, key: &[u8], revision: Revision) -> bool {
        self.state
            .index
            .get(key)
            .is_some_and(|history| history.needs(revision, self.state.compacted))
    }
}
