//! The index against a list of everything that happened.

use super::{Index, Left, Newest, Span, Version};
use crate::revision::Revision;
use proptest::prelude::*;

fn put(index: &mut Index, key: &[u8], main: i64) {
    index.record(key, |before| {
        let before = before.filter(|before| before.is_live());
        let version = before.map_or(0, |before| before.version) + 1;
        Newest {
            revision: Revision::new(main, 0),
            create: before.map_or(main, |before| before.create),
            version,
            ..Newest::default()
        }
    });
}

fn delete(index: &mut Index, key: &[u8], main: i64) {
    index.record(key, |_| Newest::deletion(Revision::new(main, 0), 7));
}

/// Keys of a span at a revision, with the revision of what is visible there.
fn at(index: &Index, span: Span<'_>, main: i64) -> Vec<(Vec<u8>, i64)> {
    let visible = |(key, history): (&crate::tree::Key, &super::History)| {
        history.visible(main).map(|revision| (key.to_vec(), revision.main))
    };
    index.all_keys(span).filter_map(visible).collect()
}

#[test]
fn spans_as_requests_spell_them() {
    assert_eq!(Span::new(b"a", b""), Span::Key(b"a"));
    assert_eq!(Span::new(b"a", b"\0"), Span::From(b"a"));
    assert_eq!(Span::new(b"a", b"c"), Span::Between(b"a", b"c"));
    let mut index = Index::default();
    for (main, key) in [b"a", b"b", b"c"].iter().enumerate() {
        put(&mut index, &key[..], main as i64 + 2);
    }
    for (span, expected) in [
        (Span::Key(b"b"), 1),
        (Span::Key(b"bb"), 0),
        (Span::From(b"b"), 2),
        (Span::Between(b"a", b"c"), 2),
        (Span::Between(b"c", b"a"), 0),
    ] {
        assert_eq!(index.count(span), expected, "{span:?}");
        assert_eq!(index.live_keys(span).count(), expected, "{span:?}");
    }
}

#[test]
fn a_deletion_hides_the_key_and_a_put_begins_anew() {
    let mut index = Index::default();
    put(&mut index, b"k", 2);
    put(&mut index, b"k", 3);
    delete(&mut index, b"k", 4);
    let frozen = index.clone();
    put(&mut index, b"k", 5);
    assert_eq!(
        index.live(b"k").map(|newest| (newest.create, newest.version)),
        Some((5, 1))
    );
    assert_eq!(frozen.live(b"k"), None);
    assert_eq!((frozen.count(Span::From(b"")), index.count(Span::From(b""))), (0, 1));
    let seen: Vec<_> = (1..7)
        .map(|main| index.get(b"k").unwrap().visible(main).map(|revision| revision.main))
        .collect();
    assert_eq!(seen, [None, Some(2), Some(3), None, Some(5), Some(5)]);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete(u8),
    Compact(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..6_u8).prop_map(Step::Put),
        3 => (0..6_u8).prop_map(Step::Delete),
        1 => any::<u8>().prop_map(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn history_is_kept_from_the_compacted_revision_on(steps in prop::collection::vec(step(), 1..200)) {
        let mut index = Index::default();
        let (mut now, mut compacted) = (1_i64, 0_i64);
        // What was visible at each revision, remembered when it was the newest.
        let mut remembered = vec![Vec::new(); 2];
        let mut records: Vec<(u8, i64)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(key) => { now += 1; put(&mut index, &[key], now); records.push((key, now)); }
                Step::Delete(key) if index.live(&[key]).is_some() => {
                    now += 1;
                    delete(&mut index, &[key], now);
                    records.push((key, now));
                }
                Step::Delete(_) => {}
                Step::Compact(share) => {
                    compacted = compacted.max(now * i64::from(share) / 255);
                    for key in 0..6 {
                        let needed: Vec<_> = records.iter().filter(|(own, _)| *own == key)
                            .filter(|(_, main)| index.get(&[key]).is_some_and(|history| history.needs(Revision::new(*main, 0), compacted)))
                            .copied().collect();
                        let mut dropped: Vec<Version> = Vec::new();
                        while index.compact(&[key], compacted, 3, &mut dropped) == Left::Garbage {}
                        let gone: Vec<_> = dropped.iter().map(|version| (key, version.revision.main)).collect();
                        records.retain(|record| !gone.contains(record));
                        let left: Vec<_> = records.iter().filter(|(own, _)| *own == key).copied().collect();
                        prop_assert_eq!(left, needed, "what is kept is what is needed");
                    }
                }
            }
            remembered.resize(now as usize + 1, Vec::new());
            remembered[now as usize] = at(&index, Span::From(b""), now);
            for main in compacted..=now {
                prop_assert_eq!(&at(&index, Span::From(b""), main), &remembered[main as usize], "at {} after {}", main, now);
            }
            prop_assert_eq!(index.count(Span::From(b"")), remembered[now as usize].len());
        }
    }
}
