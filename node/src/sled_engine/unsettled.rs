//! The batches that sled may still have in memory alone.
//!
//! A write that fails for want of room leaves sled refusing every further one, with its last buffers lost: it has to be
//! opened again. What it was given since it last wrote everything to its files is therefore kept, and given to it once
//! more. That changes nothing where sled has it: batches only set and remove keys, and are given in the same order.
//!
//! Must keep true: a batch is let go only after sled has written it out; an engine that comes back with less than that is
//! noticed, by the last thing that was written before.

use bytes::Bytes;
use kvorum_store::engine::{Batch, Operation};

/// Bytes beyond which sled is asked to write everything out: few enough to hold, enough to make it a rare thing.
pub(super) const UNSETTLED_BYTES_MAX: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    batches: Vec<Batch>,
    /// How many of them sled was given since it was opened.
    given: usize,
    bytes: usize,
    /// The last thing that sled has surely written out, where it was a put.
    witness: Option<(Vec<u8>, Bytes)>,
}

impl Unsettled {
    /// Takes a batch in, behind those that are here.
    pub(super) fn add(&mut self, batch: Batch) {
        self.bytes += batch.bytes();
        self.batches.push(batch);
    }

    /// The next batch that sled has to be given.
    pub(super) fn next(&self) -> Option<&Batch> {
        self.batches.get(self.given)
    }

    /// Sled was given [`Unsettled::next`].
    pub(super) fn gave(&mut self) {
        self.given += 1;
    }

    /// Sled was opened again: it has to be given everything.
    pub(super) fn reopened(&mut self) {
        self.given = 0;
    }

    /// Whether it is time to have everything written out.
    pub(super) fn is_much(&self) -> bool {
        self.bytes > UNSETTLED_BYTES_MAX
    }

    /// Sled has written out what it was given.
    pub(super) fn settled(&mut self) {
        if let Some(last) = self.batches[..self.given].last() {
            self.witness = match last.operations().last() {
                Some(Operation::Put(key, value)) => Some((key.clone(), value.clone())),
                Some(Operation::Delete(_)) | None => None,
            };
        }
        self.batches.drain(..self.given);
        self.given = 0;
        self.bytes = self.batches.iter().map(Batch::bytes).sum();
    }

    /// Everything was removed: nothing is left to give or to hold sled to.
    pub(super) fn cleared(&mut self) {
        *self = Self::default();
    }

    /// The key by which sled is held to what it has written out.
    pub(super) fn witness_key(&self) -> Option<&[u8]> {
        self.witness.as_ref().map(|(key, _)| &key[..])
    }

    /// Whether sled, opened again, may have `found` under [`Unsettled::witness_key`]: the value that was written out, or
    /// what a later batch made of it.
    pub(super) fn may_be(&self, found: Option<&[u8]>) -> bool {
        let Some((witness, settled)) = &self.witness else {
            return true;
        };
        let operations = self.batches.iter().flat_map(Batch::operations);
        let later = operations.filter_map(|operation| match operation {
            Operation::Put(key, value) if key == witness => Some(Some(&value[..])),
            Operation::Delete(key) if key == witness => Some(None),
            Operation::Put(..) | Operation::Delete(_) => None,
        });
        std::iter::once(Some(&settled[..])).chain(later).any(|may| may == found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &str, value: &'static str) -> Batch {
        let mut batch = Batch::default();
        batch.put(b"other".to_vec(), Bytes::from_static(b"first"));
        batch.put(key.into(), Bytes::from_static(value.as_bytes()));
        batch
    }

    #[test]
    fn what_was_not_written_out_is_given_again() {
        let mut unsettled = Unsettled::default();
        for value in ["1", "2", "3"] {
            unsettled.add(batch("at", value));
        }
        let value = |unsettled: &Unsettled| unsettled.next().map(|batch| batch.operations()[1].clone());
        let put = |value: &'static str| Operation::Put(b"at".to_vec(), Bytes::from_static(value.as_bytes()));
        unsettled.gave();
        unsettled.settled();
        unsettled.gave();
        assert_eq!(value(&unsettled), Some(put("3")));
        unsettled.reopened();
        assert_eq!(value(&unsettled), Some(put("2")));
        unsettled.gave();
        unsettled.gave();
        assert_eq!(value(&unsettled), None);
        unsettled.settled();
        assert_eq!(unsettled.bytes, 0);
    }

    #[test]
    fn an_engine_that_has_less_than_it_wrote_is_noticed() {
        let mut unsettled = Unsettled::default();
        assert!(unsettled.may_be(None));
        unsettled.add(batch("at", "1"));
        unsettled.gave();
        unsettled.settled();
        unsettled.add(batch("at", "2"));
        let mut removal = Batch::default();
        removal.delete(b"at".to_vec());
        assert_eq!(unsettled.witness_key(), Some(&b"at"[..]));
        for (found, may) in [(Some("1"), true), (Some("2"), true), (Some("0"), false), (None, false)] {
            assert_eq!(unsettled.may_be(found.map(str::as_bytes)), may, "{found:?}");
        }
        unsettled.add(removal);
        assert!(unsettled.may_be(None));
    }
}
