//! The index in memory: every key with the revisions at which it changed, and no values.
//!
//! A persistent tree (see [`crate::tree`]), so a frozen view of it costs one pointer. What is known of a key's newest
//! state (create revision, version, lease, hash) lies beside it, so that puts, compares, counts and `keys_only` need
//! no record.
//!
//! ```text
//! put k=1, put k=2, delete k, put k=3   at 2, 3, 4, 5:
//!     older  [2, 3, 4†]     newest  5 { create 5, version 1 }
//! visible at 3 → 3;  at 4 → nothing (†)
//! compacting to 4 keeps 4†, because watchers may still start there; to 5 drops all older
//! ```
//! Unlike etcd's, a key's history is not cut into generations: a deletion is an entry like the others, marked.

mod history;
mod versions;

use crate::tree::{Cursor, Keep, Key, Tree};
pub(crate) use history::{Change, History, Left, Newest};
use std::sync::Arc;
pub(crate) use versions::Version;

/// Keys between two bounds, as etcd's requests spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    /// One key.
    Key(&'a [u8]),
    /// From a key on.
    From(&'a [u8]),
    /// From a key on, before another.
    Between(&'a [u8], &'a [u8]),
}

impl<'a> Span<'a> {
    /// The span of a `key` and a `range_end`: empty is the key alone, one zero byte is everything from the key on.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::Key(key),
            [0] => Self::From(key),
            end => Self::Between(key, end),
        }
    }
}

/// All keys; see the module. Cloning freezes it.
#[derive(Clone, Default)]
pub(crate) struct Index {
    keys: Tree<Arc<History>>,
}

impl Index {
    /// The history of a key, deleted or not.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&History> {
        self.keys.get(key).map(|history| &**history)
    }

    /// The newest state of a key that is there.
    pub(crate) fn live(&self, key: &[u8]) -> Option<&Newest> {
        self.get(key).map(History::newest).filter(|newest| newest.is_live())
    }

    /// Records a change of a key; answers what was the newest state before, live or not, and the shared key.
    pub(crate) fn record(&mut self, key: &[u8], change: impl FnOnce(Option<&Newest>) -> Newest) -> Change {
        self.keys
            .upsert(key, |key, history| Arc::make_mut(history).record(key, change))
    }

    /// Forgets at most `versions_max` versions that nobody may ask for once history before `compacted` is gone, and
    /// hands them to `dropped`.
    pub(crate) fn compact(
        &mut self,
        key: &[u8],
        compacted: i64,
        versions_max: usize,
        dropped: &mut Vec<Version>,
    ) -> Left {
        let Some(history) = self.get(key) else {
            return Left::Nothing;
        };
        if !history.has_garbage(compacted) {
            // Looked at first, because changing a key copies what views share.
            return history.left(compacted);
        }
        let mut left = Left::Nothing;
        self.keys.revise(key, |history| {
            let history = Arc::make_mut(history);
            left = history.compact(compacted, versions_max, dropped);
            if history.is_empty() { Keep::No } else { Keep::Yes }
        });
        left
    }

    /// Number of live keys in a span.
    pub(crate) fn count(&self, span: Span<'_>) -> usize {
        match span {
            Span::Key(key) => usize::from(self.live(key).is_some()),
            Span::From(start) => self.keys.count(start, None),
            Span::Between(start, end) => self.keys.count(start, Some(end)),
        }
    }

    /// Live keys of a span in order.
    pub(crate) fn live_keys<'a>(&'a self, span: Span<'a>) -> impl Iterator<Item = (&'a Key, &'a History)> {
        self.walk(span, Tree::counted)
            .filter(|(_, history)| history.newest().is_live())
    }

    /// Every key of a span in order, deleted ones as well.
    pub(crate) fn all_keys<'a>(&'a self, span: Span<'a>) -> impl Iterator<Item = (&'a Key, &'a History)> {
        self.walk(span, Tree::range)
    }

    fn walk<'a>(&'a self, span: Span<'a>, over: Walk<'a>) -> impl Iterator<Item = (&'a Key, &'a History)> {
        let (start, end, only) = match span {
            Span::Key(key) => (key, None, Some(key)),
            Span::From(start) => (start, None, None),
            Span::Between(start, end) => (start, Some(end), None),
        };
        over(&self.keys, start, end)
            .take_while(move |(key, _)| only.is_none_or(|only| &***key == only))
            .map(|(key, history)| (key, &**history))
    }
}

/// One of the tree's two ways to walk a range.
type Walk<'a> = fn(&'a Tree<Arc<History>>, &[u8], Option<&'a [u8]>) -> Cursor<'a, Arc<History>>;

#[cfg(test)]
mod tests;
