//! A persistent, counted map: an ordered B+tree whose copies are frozen views.
//!
//! Cloning a [`Tree`] copies one pointer. The writer then changes its copy in place where it alone holds a node, and
//! copies only the nodes on the path where a view still holds them. So a reader may keep a view for as long as it
//! likes and never waits, and a burst of writes between two views copies each node at most once.
//!
//! Each inner node carries how many *counted* values (live keys, for the index) lie below it, so that "how many" and
//! "the first ten" cost O(log n + answer), tombstones in between or not.
//!
//! What must stay true (checked by `check` in the tests after every change):
//! 1. All leaves are equally deep; keys ascend; every separator is at most the first key of its child and above the
//!    last key of the child before.
//! 2. `counted` of a node is the number of counted values below it.
//! 3. No node but the root is empty; none has more than [`FANOUT`] members; two neighbours hold more than [`FANOUT`]
//!    together, or would, had their last removal touched them: a removal merges with a neighbour that fits.

mod cursor;
mod node;

pub(crate) use cursor::Cursor;
use node::Node;
pub(crate) use node::{Counted, Key};
use std::sync::Arc;

/// Most members of a node. A put copies one leaf that a view shares and counts a reference for each of its members,
/// most of them not in the processor's cache: with 16 instead of 32 a put among a million keys took a quarter less
/// time.
pub(crate) const FANOUT: usize = 16;

/// The map; see the module.
pub(crate) struct Tree<V> {
    root: Arc<Node<V>>,
}

impl<V> Clone for Tree<V> {
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::empty()),
        }
    }
}

impl<V: Counted + Clone> Tree<V> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        self.root.get(key)
    }

    /// Changes the value of a key, which begins as the default where the key is absent.
    pub(crate) fn upsert<R>(&mut self, key: &[u8], change: impl FnOnce(&Key, &mut V) -> R) -> R
    where
        V: Default,
    {
        let (answer, split) = node::upsert(&mut self.root, key, change);
        if let Some(right) = split {
            Node::grow(&mut self.root, right);
        }
        answer
    }

    /// Changes the value of a present key, and removes it when `change` answers that it is not to be kept.
    pub(crate) fn revise(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> Keep) {
        if self.get(key).is_none() {
            // Looked for first, so that asking for an absent key copies nothing.
            return;
        }
        node::revise(&mut self.root, key, change);
        Node::shrink(&mut self.root);
    }

    /// Number of counted values from `start` on, before `end` if there is one.
    pub(crate) fn count(&self, start: &[u8], end: Option<&[u8]>) -> usize {
        let upper = end.map_or(self.root.counted(), |end| self.root.rank(end));
        upper.saturating_sub(self.root.rank(start))
    }

    /// Every key from `start` on, before `end` if there is one, in order.
    pub(crate) fn range<'a>(&'a self, start: &[u8], end: Option<&'a [u8]>) -> Cursor<'a, V> {
        Cursor::new(&self.root, start, end, false)
    }

    /// Like [`Tree::range`], but only counted values; whole subtrees without any are skipped.
    pub(crate) fn counted<'a>(&'a self, start: &[u8], end: Option<&'a [u8]>) -> Cursor<'a, V> {
        Cursor::new(&self.root, start, end, true)
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.root.check(true);
    }
}

/// Whether a value stays after [`Tree::revise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Yes,
    No,
}

#[cfg(test)]
mod tests;
