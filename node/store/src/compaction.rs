//! Forgetting history, in bounded slices.
//!
//! Compacting to revision C makes reads below C refused, at once. What nobody can ask for any more, *garbage*, goes
//! later: a record that was replaced at n is garbage once n ≤ C. So the store keeps a queue of (n, key), in order of
//! n, one entry per replaced record and per deletion, and compaction costs as much as there is garbage, whatever the
//! number of keys (etcd walks its whole index). Rebuilding the state from the records rebuilds the queue, so half a
//! compaction goes on where it was.
//!
//! A deletion at exactly C stays until the next compaction, because a watch may start at C (as etcd does since 3.6).

use crate::index::{Index, Left, Version};
use crate::tree::Key;
use std::collections::VecDeque;

/// Queue entries looked at for one batch of writes. Most have something to delete; those of a key that was put often
/// find it gone already, and cost a lookup.
const SLICE_ENTRIES_MAX: usize = 500;

/// Records deleted with one batch of writes, so that even a single key with a long history is worked off in parts: a
/// few milliseconds of the engine between two commands.
const SLICE_RECORDS_MAX: usize = 500;

/// What can be forgotten, and from which revision on.
#[derive(Default)]
pub(crate) struct Garbage {
    /// Revision that made a record of the key unneeded, and the key; ascending.
    queue: VecDeque<(i64, Key)>,
    /// Keys of which a deletion at exactly `held_at` was kept.
    held: Vec<Key>,
    held_at: i64,
}

impl Garbage {
    /// Says that at `main` a record of `key` was replaced, or that the key was deleted.
    pub(crate) fn add(&mut self, main: i64, key: Key) {
        self.queue.push_back((main, key));
    }

    /// Whether anything is to be deleted when history before `compacted` is gone.
    pub(crate) fn is_due(&self, compacted: i64) -> bool {
        self.queue.front().is_some_and(|(main, _)| *main <= compacted)
            || (!self.held.is_empty() && self.held_at < compacted)
    }

    /// Takes a slice of garbage out of the index; answers the records to delete.
    pub(crate) fn slice(&mut self, index: &mut Index, compacted: i64) -> Vec<Version> {
        if self.held_at < compacted {
            let held_at = self.held_at;
            for key in self.held.drain(..).rev() {
                self.queue.push_front((held_at, key));
            }
        }
        let mut dropped = Vec::new();
        for _ in 0..SLICE_ENTRIES_MAX {
            let room = SLICE_RECORDS_MAX.saturating_sub(dropped.len());
            if room == 0 {
                break;
            }
            let Some((main, key)) = self.queue.pop_front_if(|(main, _)| *main <= compacted) else {
                break;
            };
            match index.compact(&key, compacted, room, &mut dropped) {
                Left::Nothing => {}
                Left::Garbage => self.queue.push_front((main, key)),
                Left::Deletion => {
                    self.held_at = compacted;
                    self.held.push(key);
                }
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::{Garbage, SLICE_ENTRIES_MAX, SLICE_RECORDS_MAX};
    use crate::index::{Index, Newest};
    use crate::revision::Revision;

    fn change(index: &mut Index, garbage: &mut Garbage, key: &[u8], main: i64, version: i64) {
        let revision = Revision::new(main, 0);
        let change = index.record(key, |_| Newest {
            revision,
            version,
            ..Newest::default()
        });
        if change.before.is_some() || version == 0 {
            garbage.add(main, change.key);
        }
    }

    fn all(index: &mut Index, garbage: &mut Garbage, compacted: i64) -> Vec<i64> {
        let mut dropped = Vec::new();
        while garbage.is_due(compacted) {
            dropped.extend(
                garbage
                    .slice(index, compacted)
                    .iter()
                    .map(|version| version.revision.main),
            );
        }
        dropped
    }

    #[test]
    fn a_deletion_at_the_compacted_revision_goes_with_the_next() {
        let (mut index, mut garbage) = (Index::default(), Garbage::default());
        change(&mut index, &mut garbage, b"k", 2, 1);
        change(&mut index, &mut garbage, b"k", 3, 0);
        assert_eq!(all(&mut index, &mut garbage, 2), [] as [i64; 0]);
        assert_eq!(all(&mut index, &mut garbage, 3), [2]);
        assert!(!garbage.is_due(3));
        assert_eq!(all(&mut index, &mut garbage, 4), [3]);
        assert!(index.get(b"k").is_none());
    }

    #[test]
    fn a_key_put_again_after_its_deletion_was_held_is_whole() {
        let (mut index, mut garbage) = (Index::default(), Garbage::default());
        change(&mut index, &mut garbage, b"k", 2, 1);
        change(&mut index, &mut garbage, b"k", 3, 0);
        assert_eq!(all(&mut index, &mut garbage, 3), [2]);
        change(&mut index, &mut garbage, b"k", 4, 1);
        assert_eq!(all(&mut index, &mut garbage, 4), [3]);
        assert!(index.live(b"k").is_some());
    }

    #[test]
    fn slices_are_bounded() {
        let (mut index, mut garbage) = (Index::default(), Garbage::default());
        let last = 3 * SLICE_RECORDS_MAX as i64 + 2;
        for main in 2..=last {
            change(&mut index, &mut garbage, b"k", main, main - 1);
        }
        let mut slices = 0;
        while garbage.is_due(last) {
            let dropped = garbage.slice(&mut index, last);
            assert!(dropped.len() <= SLICE_RECORDS_MAX);
            slices += 1;
        }
        assert!(
            slices >= 3 && slices <= 3 + last as usize / SLICE_ENTRIES_MAX + 1,
            "{slices} slices"
        );
        assert_eq!(index.get(b"k").unwrap().visible(last), Some(Revision::new(last, 0)));
        assert_eq!(index.get(b"k").unwrap().visible(last - 1), None);
    }
}
