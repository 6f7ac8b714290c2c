//! An index over ranges: which of them contain a key?
//!
//! A balanced search tree of the ranges by start and end (an AVL tree), in which every node knows the latest end below
//! it. A search leaves out whole branches that end too early or begin too late, so it costs about the logarithm of the
//! number of different ranges for each range found. Equal ranges share a node: a thousand watchers of one prefix are
//! one node with a thousand members.

use super::range::{End, KeyRange};
use std::cmp::Ordering;
use std::collections::BTreeSet;

type Link = Option<Box<Node>>;

/// Ranges, each with its members.
#[derive(Default)]
pub(super) struct Intervals {
    root: Link,
}

struct Node {
    range: KeyRange,
    members: BTreeSet<usize>,
    /// The latest end of this node and all below it.
    latest: End,
    height: u8,
    left: Link,
    right: Link,
}

impl Intervals {
    /// Adds a member to a range.
    pub(super) fn insert(&mut self, range: &KeyRange, member: usize) {
        self.root = Some(insert(self.root.take(), range, member));
    }

    /// Takes a member out of a range; one that is not there is no matter.
    pub(super) fn remove(&mut self, range: &KeyRange, member: usize) {
        self.root = remove(self.root.take(), range, member);
    }

    /// Calls `found` with each member of each range that contains a key.
    pub(super) fn visit(&self, key: &[u8], found: &mut impl FnMut(usize)) {
        visit(&self.root, key, found);
    }

    /// Number of different ranges; checks the tree on the way.
    #[cfg(test)]
    pub(super) fn verified_len(&self) -> usize {
        verify(&self.root)
    }
}

fn order(left: &KeyRange, right: &KeyRange) -> Ordering {
    left.start.cmp(&right.start).then_with(|| left.end.cmp(&right.end))
}

fn visit(link: &Link, key: &[u8], found: &mut impl FnMut(usize)) {
    let Some(node) = link else { return };
    if !node.latest.is_above(key) {
        return;
    }
    visit(&node.left, key, found);
    if *node.range.start > *key {
        return;
    }
    if node.range.end.is_above(key) {
        node.members.iter().for_each(|member| found(*member));
    }
    visit(&node.right, key, found);
}

fn insert(link: Link, range: &KeyRange, member: usize) -> Box<Node> {
    let Some(mut node) = link else {
        return Box::new(Node {
            range: range.clone(),
            members: BTreeSet::from([member]),
            latest: range.end.clone(),
            height: 1,
            left: None,
            right: None,
        });
    };
    match order(range, &node.range) {
        Ordering::Less => node.left = Some(insert(node.left.take(), range, member)),
        Ordering::Greater => node.right = Some(insert(node.right.take(), range, member)),
        Ordering::Equal => {
            node.members.insert(member);
            return node;
        }
    }
    balanced(node)
}

fn remove(link: Link, range: &KeyRange, member: usize) -> Link {
    let mut node = link?;
    match order(range, &node.range) {
        Ordering::Less => node.left = remove(node.left.take(), range, member),
        Ordering::Greater => node.right = remove(node.right.take(), range, member),
        Ordering::Equal => {
            node.members.remove(&member);
            if node.members.is_empty() {
                return joined(node.left.take(), node.right.take());
            }
        }
    }
    Some(balanced(node))
}

/// One tree of two, all of whose left side lies before the right.
fn joined(left: Link, right: Link) -> Link {
    let Some(right) = right else { return left };
    let (mut first, rest) = without_first(right);
    first.left = left;
    first.right = rest;
    Some(balanced(first))
}

/// The first node of a tree, alone, and the rest.
fn without_first(mut node: Box<Node>) -> (Box<Node>, Link) {
    match node.left.take() {
        Some(left) => {
            let (first, rest) = without_first(left);
            node.left = rest;
            (first, Some(balanced(node)))
        }
        None => {
            let rest = node.right.take();
            (node, rest)
        }
    }
}

fn height(link: &Link) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

/// Works out again what a node knows of those below it.
fn measure(node: &mut Node) {
    node.height = 1 + height(&node.left).max(height(&node.right));
    let mut latest = &node.range.end;
    for below in [&node.left, &node.right].into_iter().flatten() {
        latest = latest.max(&below.latest);
    }
    node.latest = latest.clone();
}

/// The same tree, with sides whose heights differ by one at most; they differed by two at most before.
fn balanced(mut node: Box<Node>) -> Box<Node> {
    let (left, right) = (height(&node.left), height(&node.right));
    if left > right + 1 {
        let below = node.left.take().expect("a side with a height has a node");
        let below = if height(&below.right) > height(&below.left) {
            turned_left(below)
        } else {
            below
        };
        node.left = Some(below);
        return turned_right(node);
    }
    if right > left + 1 {
        let below = node.right.take().expect("a side with a height has a node");
        let below = if height(&below.left) > height(&below.right) {
            turned_right(below)
        } else {
            below
        };
        node.right = Some(below);
        return turned_left(node);
    }
    measure(&mut node);
    node
}

/// The right child becomes the top.
fn turned_left(mut node: Box<Node>) -> Box<Node> {
    let Some(mut top) = node.right.take() else { return node };
    node.right = top.left.take();
    measure(&mut node);
    top.left = Some(node);
    measure(&mut top);
    top
}

/// The left child becomes the top.
fn turned_right(mut node: Box<Node>) -> Box<Node> {
    let Some(mut top) = node.left.take() else { return node };
    node.left = top.right.take();
    measure(&mut node);
    top.right = Some(node);
    measure(&mut top);
    top
}

#[cfg(test)]
fn verify(link: &Link) -> usize {
    let Some(node) = link else { return 0 };
    let (left, right) = (height(&node.left), height(&node.right));
    assert!(left.abs_diff(right) <= 1, "a side is too high");
    assert_eq!(node.height, 1 + left.max(right));
    let mut latest = node.range.end.clone();
    for below in [&node.left, &node.right].into_iter().flatten() {
        latest = latest.max(below.latest.clone());
    }
    assert_eq!(node.latest, latest);
    if let Some(below) = &node.left {
        assert_eq!(order(&below.range, &node.range), Ordering::Less);
    }
    if let Some(below) = &node.right {
        assert_eq!(order(&below.range, &node.range), Ordering::Greater);
    }
    1 + verify(&node.left) + verify(&node.right)
}

#[cfg(test)]
mod tests {
    use super::Intervals;
    use crate::watch::KeyRange;
    use proptest::prelude::*;

    fn range() -> impl Strategy<Value = KeyRange> {
        let key = || prop::collection::vec(0..4_u8, 0..3);
        (key(), key()).prop_filter_map("an empty range", |(key, end)| KeyRange::of_watch(&key, &end).ok())
    }

    fn found(intervals: &Intervals, key: &[u8]) -> Vec<usize> {
        let mut members = Vec::new();
        intervals.visit(key, &mut |member| members.push(member));
        members.sort_unstable();
        members
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn an_index_finds_what_a_walk_over_all_finds(
            ranges in prop::collection::vec(range(), 1..120),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
            key in prop::collection::vec(0..4_u8, 1..4),
        ) {
            let mut intervals = Intervals::default();
            let mut left: Vec<_> = ranges.iter().enumerate().collect();
            for (member, range) in &left {
                intervals.insert(range, *member);
                intervals.verified_len();
            }
            for index in &removed {
                if left.is_empty() {
                    break;
                }
                let (member, range) = left.swap_remove(index.index(left.len()));
                intervals.remove(range, member);
                intervals.verified_len();
            }
            let mut expected: Vec<_> = left.iter().filter(|(_, range)| range.contains(&key)).map(|(member, _)| *member).collect();
            expected.sort_unstable();
            prop_assert_eq!(found(&intervals, &key), expected);
        }
    }

    #[test]
    fn equal_ranges_share_a_node_and_vanish_with_the_last_member() {
        let mut intervals = Intervals::default();
        let range = KeyRange::of_watch(b"a", b"b").unwrap();
        for member in 0..1_000 {
            intervals.insert(&range, member);
        }
        assert_eq!(intervals.verified_len(), 1);
        assert_eq!(found(&intervals, b"ab").len(), 1_000);
        for member in 0..1_000 {
            intervals.remove(&range, member);
        }
        assert_eq!(intervals.verified_len(), 0);
    }
}
