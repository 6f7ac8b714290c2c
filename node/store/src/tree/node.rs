//! The nodes of the tree, and the two ways of changing one: see the parent module for what must stay true.

use super::{FANOUT, Keep};
use std::sync::Arc;

/// A key, shared between its leaf, the separators above and whoever else remembers it.
pub(crate) type Key = Arc<[u8]>;

/// A value that the tree counts or not, by what is in it.
pub(crate) trait Counted {
    /// Whether the value counts.
    fn is_counted(&self) -> bool;
}

/// A leaf with values, or an inner node with children.
#[derive(Clone)]
pub(super) enum Node<V> {
    Leaf(Leaf<V>),
    Inner(Inner<V>),
}

#[derive(Clone)]
pub(super) struct Leaf<V> {
    pub(super) keys: Vec<Key>,
    pub(super) values: Vec<V>,
    counted: usize,
}

#[derive(Clone)]
pub(super) struct Inner<V> {
    /// A lower bound of each child's keys; the first child's is not looked at.
    separators: Vec<Key>,
    pub(super) children: Vec<Arc<Node<V>>>,
    counted: usize,
}

/// The right part of a node that grew too large, and the lower bound of its keys.
pub(super) struct Split<V> {
    separator: Key,
    right: Arc<Node<V>>,
}

impl<V> Node<V> {
    pub(super) fn empty() -> Self {
        Self::Leaf(Leaf {
            keys: Vec::new(),
            values: Vec::new(),
            counted: 0,
        })
    }

    /// Number of counted values at or below this node.
    pub(super) fn counted(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.counted,
            Self::Inner(inner) => inner.counted,
        }
    }

    fn members(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.keys.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }
}

impl<V> Inner<V> {
    /// The child in which a key lies, if anywhere.
    pub(super) fn child(&self, key: &[u8]) -> usize {
        self.separators[1..].partition_point(|separator| &**separator <= key)
    }
}

impl<V: Counted> Leaf<V> {
    /// Where a key is, or where it belongs.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.binary_search_by(|own| (**own).cmp(key))
    }
}

impl<V: Counted + Clone> Node<V> {
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => return leaf.search(key).ok().map(|place| &leaf.values[place]),
                Self::Inner(inner) => node = &inner.children[inner.child(key)],
            }
        }
    }

    /// Number of counted values with a smaller key.
    pub(super) fn rank(&self, key: &[u8]) -> usize {
        let mut before = 0;
        let mut node = self;
        loop {
            match node {
                Self::Leaf(leaf) => {
                    let place = leaf.search(key).unwrap_or_else(|place| place);
                    return before + leaf.values[..place].iter().filter(|value| value.is_counted()).count();
                }
                Self::Inner(inner) => {
                    let child = inner.child(key);
                    before += inner.children[..child]
                        .iter()
                        .map(|child| child.counted())
                        .sum::<usize>();
                    node = &inner.children[child];
                }
            }
        }
    }

    /// Puts a new root above a root that was split.
    pub(super) fn grow(root: &mut Arc<Self>, split: Split<V>) {
        let left = Arc::clone(root);
        let counted = left.counted() + split.right.counted();
        // The first separator is never compared; the empty key is a bound of everything.
        let separators = vec![Key::from(&[][..]), split.separator];
        *root = Arc::new(Self::Inner(Inner {
            separators,
            children: vec![left, split.right],
            counted,
        }));
    }

    /// Drops roots with a single child.
    pub(super) fn shrink(root: &mut Arc<Self>) {
        while let Self::Inner(inner) = &**root
            && let [only] = &inner.children[..]
        {
            *root = Arc::clone(only);
        }
    }
}

/// Changes or inserts the value of `key` below `node`; the second part is there when the node had to be split.
pub(super) fn upsert<V, R>(
    node: &mut Arc<Node<V>>,
    key: &[u8],
    change: impl FnOnce(&Key, &mut V) -> R,
) -> (R, Option<Split<V>>)
where
    V: Counted + Clone + Default,
{
    match Arc::make_mut(node) {
        Node::Leaf(leaf) => {
            let answer = leaf.upsert(key, change);
            (answer, (leaf.keys.len() > FANOUT).then(|| leaf.split()))
        }
        Node::Inner(inner) => {
            let place = inner.child(key);
            let before = inner.children[place].counted();
            let (answer, split) = upsert(&mut inner.children[place], key, change);
            let beside = split.as_ref().map_or(0, |split| split.right.counted());
            inner.counted = inner.counted + inner.children[place].counted() + beside - before;
            if let Some(split) = split {
                inner.separators.insert(place + 1, split.separator);
                inner.children.insert(place + 1, split.right);
            }
            (answer, (inner.children.len() > FANOUT).then(|| inner.split()))
        }
    }
}

/// Changes the value of `key`, which is present, and removes it if it is not to be kept.
pub(super) fn revise<V: Counted + Clone>(node: &mut Arc<Node<V>>, key: &[u8], change: impl FnOnce(&mut V) -> Keep) {
    match Arc::make_mut(node) {
        Node::Leaf(leaf) => leaf.revise(key, change),
        Node::Inner(inner) => {
            let place = inner.child(key);
            let before = inner.children[place].counted();
            revise(&mut inner.children[place], key, change);
            inner.counted = inner.counted + inner.children[place].counted() - before;
            inner.mend(place);
        }
    }
}

impl<V: Counted + Clone> Leaf<V> {
    fn upsert<R>(&mut self, key: &[u8], change: impl FnOnce(&Key, &mut V) -> R) -> R
    where
        V: Default,
    {
        let place = self.search(key).unwrap_or_else(|place| {
            self.keys.insert(place, Key::from(key));
            self.values.insert(place, V::default());
            // The default may count or not; what is added here is taken off below.
            self.counted += usize::from(self.values[place].is_counted());
            place
        });
        let before = usize::from(self.values[place].is_counted());
        let answer = change(&self.keys[place], &mut self.values[place]);
        self.counted = self.counted + usize::from(self.values[place].is_counted()) - before;
        answer
    }

    fn revise(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> Keep) {
        let Ok(place) = self.search(key) else { return };
        let before = usize::from(self.values[place].is_counted());
        let keep = change(&mut self.values[place]);
        let after = if keep == Keep::Yes {
            usize::from(self.values[place].is_counted())
        } else {
            0
        };
        self.counted = self.counted + after - before;
        if keep == Keep::No {
            self.keys.remove(place);
            self.values.remove(place);
        }
    }

    fn split(&mut self) -> Split<V> {
        let middle = self.keys.len() / 2;
        let keys = self.keys.split_off(middle);
        let values = self.values.split_off(middle);
        let counted = values.iter().filter(|value| value.is_counted()).count();
        self.counted -= counted;
        let separator = Arc::clone(&keys[0]);
        Split {
            separator,
            right: Arc::new(Node::Leaf(Self { keys, values, counted })),
        }
    }
}

impl<V: Counted + Clone> Inner<V> {
    fn split(&mut self) -> Split<V> {
        let middle = self.children.len() / 2;
        let separators = self.separators.split_off(middle);
        let children = self.children.split_off(middle);
        let counted = children.iter().map(|child| child.counted()).sum();
        self.counted -= counted;
        let separator = Arc::clone(&separators[0]);
        Split {
            separator,
            right: Arc::new(Node::Inner(Self {
                separators,
                children,
                counted,
            })),
        }
    }

    /// After a removal below the child at `place`: drops it when empty, or merges it with a neighbour that fits.
    fn mend(&mut self, place: usize) {
        let members = self.children[place].members();
        if members == 0 {
            self.children.remove(place);
            self.separators.remove(place);
            return;
        }
        if members > FANOUT / 2 {
            return;
        }
        let fits = |left: usize| {
            left + 1 < self.children.len()
                && self.children[left].members() + self.children[left + 1].members() <= FANOUT
        };
        if fits(place) {
            self.merge(place);
        } else if place > 0 && fits(place - 1) {
            self.merge(place - 1);
        }
    }

    /// Appends the child after `left` to the child at `left`.
    fn merge(&mut self, left: usize) {
        let separator = self.separators.remove(left + 1);
        let right = Arc::unwrap_or_clone(self.children.remove(left + 1));
        match (Arc::make_mut(&mut self.children[left]), right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                left.keys.extend(right.keys);
                left.values.extend(right.values);
                left.counted += right.counted;
            }
            (Node::Inner(left), Node::Inner(mut right)) => {
                // Below the first child of `right` keys may be smaller than its own unused separator.
                right.separators[0] = separator;
                left.separators.extend(right.separators);
                left.children.extend(right.children);
                left.counted += right.counted;
            }
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {
                unreachable!("all leaves of the tree are equally deep")
            }
        }
    }
}

#[cfg(test)]
impl<V: Counted + Clone> Node<V> {
    /// Asserts the module's invariants below this node; answers its depth.
    pub(super) fn check(&self, root: bool) -> usize {
        assert!(self.members() <= FANOUT, "too many members");
        assert!(root || self.members() > 0, "an empty node");
        match self {
            Self::Leaf(leaf) => {
                assert!(leaf.keys.is_sorted_by(|a, b| a < b), "keys ascend");
                assert_eq!(
                    leaf.counted,
                    leaf.values.iter().filter(|value| value.is_counted()).count()
                );
                1
            }
            Self::Inner(inner) => {
                assert_eq!(inner.separators.len(), inner.children.len());
                assert_eq!(
                    inner.counted,
                    inner.children.iter().map(|child| child.counted()).sum::<usize>()
                );
                for (place, child) in inner.children.iter().enumerate().skip(1) {
                    assert!(
                        inner.children[place - 1].edge(false) < inner.separators[place],
                        "separator above the left"
                    );
                    assert!(
                        inner.separators[place] <= child.edge(true),
                        "separator at most the first of the right"
                    );
                }
                let depths: Vec<_> = inner.children.iter().map(|child| child.check(false)).collect();
                assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "leaves equally deep");
                depths[0] + 1
            }
        }
    }

    fn edge(&self, first: bool) -> Key {
        match self {
            Self::Leaf(leaf) => Arc::clone(if first {
                &leaf.keys[0]
            } else {
                leaf.keys.last().unwrap()
            }),
            Self::Inner(inner) => {
                if first {
                    inner.children[0].edge(true)
                } else {
                    inner.children.last().unwrap().edge(false)
                }
            }
        }
    }
}
