//! Walking a range of the tree in key order, with or without the values that do not count.

use super::node::{Counted, Inner, Key, Leaf, Node};

/// An iterator over keys and values of one range; see [`super::Tree::range`].
pub(crate) struct Cursor<'a, V> {
    /// Inner nodes above the current leaf, each with the child to visit next.
    above: Vec<(&'a Inner<V>, usize)>,
    leaf: Option<(&'a Leaf<V>, usize)>,
    end: Option<&'a [u8]>,
    counted_only: bool,
}

impl<'a, V: Counted + Clone> Cursor<'a, V> {
    pub(super) fn new(root: &'a Node<V>, start: &[u8], end: Option<&'a [u8]>, counted_only: bool) -> Self {
        let mut cursor = Self {
            above: Vec::new(),
            leaf: None,
            end,
            counted_only,
        };
        let mut node = root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    cursor.leaf = Some((leaf, leaf.search(start).unwrap_or_else(|place| place)));
                    return cursor;
                }
                Node::Inner(inner) => {
                    let child = inner.child(start);
                    cursor.above.push((inner, child + 1));
                    node = &inner.children[child];
                }
            }
        }
    }

    /// Moves to the next leaf that may hold something to show.
    fn advance(&mut self) -> Option<(&'a Leaf<V>, usize)> {
        loop {
            let (inner, next) = self.above.last_mut()?;
            let Some(child) = inner.children.get(*next) else {
                self.above.pop();
                continue;
            };
            *next += 1;
            if self.counted_only && child.counted() == 0 {
                continue;
            }
            match &**child {
                Node::Leaf(leaf) => return Some((leaf, 0)),
                Node::Inner(inner) => self.above.push((inner, 0)),
            }
        }
    }
}

impl<'a, V: Counted + Clone> Iterator for Cursor<'a, V> {
    type Item = (&'a Key, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (leaf, place) = self.leaf?;
            let Some(key) = leaf.keys.get(place) else {
                self.leaf = self.advance();
                continue;
            };
            if self.end.is_some_and(|end| &**key >= end) {
                self.leaf = None;
                return None;
            }
            self.leaf = Some((leaf, place + 1));
            let value = &leaf.values[place];
            if !self.counted_only || value.is_counted() {
                return Some((key, value));
            }
        }
    }
}
