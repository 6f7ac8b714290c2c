//! The tree against `BTreeMap`, with frozen copies that later changes must not touch.

use super::{Counted, Keep, Tree};
use proptest::prelude::*;
use std::collections::BTreeMap;

impl Counted for i32 {
    /// In these tests a negative value stands for a tombstone.
    fn is_counted(&self) -> bool {
        *self >= 0
    }
}

type Model = BTreeMap<Vec<u8>, i32>;

fn same(tree: &Tree<i32>, model: &Model) {
    tree.check();
    let all: Vec<_> = tree
        .range(b"", None)
        .map(|(key, value)| (key.to_vec(), *value))
        .collect();
    assert_eq!(
        all,
        model
            .iter()
            .map(|(key, value)| (key.clone(), *value))
            .collect::<Vec<_>>()
    );
}

fn same_range(tree: &Tree<i32>, model: &Model, start: &[u8], end: Option<&[u8]>) {
    let inside = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
    let expected: Vec<_> = model
        .iter()
        .filter(|(key, _)| inside(key))
        .map(|(key, value)| (key.clone(), *value))
        .collect();
    let live: Vec<_> = expected.iter().filter(|(_, value)| *value >= 0).cloned().collect();
    assert_eq!(tree.count(start, end), live.len());
    assert_eq!(
        tree.range(start, end)
            .map(|(key, value)| (key.to_vec(), *value))
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        tree.counted(start, end)
            .map(|(key, value)| (key.to_vec(), *value))
            .collect::<Vec<_>>(),
        live
    );
}

#[derive(Clone, Debug)]
enum Change {
    Set(Vec<u8>, i32),
    Remove(Vec<u8>),
    Freeze,
    Range(Vec<u8>, Option<Vec<u8>>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few letters, so that keys meet again and share prefixes.
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', 0xff]), 0..5)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (key(), -3..10_i32).prop_map(|(key, value)| Change::Set(key, value)),
        4 => key().prop_map(Change::Remove),
        1 => Just(Change::Freeze),
        1 => (key(), prop::option::of(key())).prop_map(|(start, end)| Change::Range(start, end)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_a_btreemap(changes in prop::collection::vec(change(), 1..600)) {
        let (mut tree, mut model) = (Tree::default(), Model::new());
        let mut frozen: Vec<(Tree<i32>, Model)> = Vec::new();
        for change in changes {
            match change {
                Change::Set(key, value) => {
                    tree.upsert(&key, |_, slot| *slot = value);
                    model.insert(key, value);
                }
                Change::Remove(key) => {
                    tree.revise(&key, |_| Keep::No);
                    model.remove(&key);
                }
                Change::Freeze => frozen.push((tree.clone(), model.clone())),
                Change::Range(start, end) => same_range(&tree, &model, &start, end.as_deref()),
            }
        }
        same(&tree, &model);
        for (tree, model) in &frozen {
            same(tree, model);
        }
    }
}

/// A fixed walk over the numbers below 4096 that visits each once, in no helpful order.
fn shuffled() -> impl Iterator<Item = u16> {
    (0..4096_u32).map(|step| (step * 1_693 % 4_096) as u16)
}

#[test]
fn grows_and_shrinks_over_several_levels() {
    let (mut tree, mut model) = (Tree::default(), Model::new());
    for number in shuffled() {
        let value = if number % 3 == 0 { -1 } else { i32::from(number) };
        tree.upsert(&number.to_be_bytes(), |_, slot| *slot = value);
        model.insert(number.to_be_bytes().to_vec(), value);
    }
    same(&tree, &model);
    same_range(&tree, &model, &100_u16.to_be_bytes(), Some(&3_000_u16.to_be_bytes()));
    let whole = tree.clone();
    for number in shuffled() {
        tree.revise(&number.to_be_bytes(), |_| Keep::No);
        if number % 64 == 0 {
            tree.check();
        }
    }
    same(&tree, &Model::new());
    same(&whole, &model);
}

#[test]
fn the_first_live_keys_are_found_behind_many_tombstones() {
    let mut tree = Tree::default();
    for number in 0..100_000_u32 {
        let value = if number < 99_990 { -1 } else { 1 };
        tree.upsert(&number.to_be_bytes(), |_, slot| *slot = value);
    }
    assert_eq!(tree.count(b"", None), 10);
    let found: Vec<_> = tree.counted(b"", None).take(2).map(|(key, _)| key.to_vec()).collect();
    assert_eq!(
        found,
        vec![99_990_u32.to_be_bytes().to_vec(), 99_991_u32.to_be_bytes().to_vec()]
    );
}

#[test]
fn a_changed_value_is_counted_anew() {
    let mut tree = Tree::default();
    tree.upsert(b"k", |_, slot| *slot = 1);
    tree.revise(b"k", |slot| {
        *slot = -1;
        Keep::Yes
    });
    assert_eq!((tree.count(b"", None), tree.range(b"", None).count()), (0, 1));
    tree.revise(b"absent", |_| unreachable!("absent keys are not changed"));
}
