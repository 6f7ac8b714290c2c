//! The suite that every engine must pass; an engine's own crate calls [`check`] in a test.
//!
//! Each property opens a fresh engine, so that one failure does not hide another.

use super::{Batch, Engine};
use bytes::Bytes;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};

/// Batches written while another thread looks for a torn one; enough that a missing lock shows in practice.
const ATOMICITY_ROUNDS: u32 = 500;

/// Runs every property against fresh engines made by `open`.
///
/// # Panics
/// When a property does not hold; the message says which.
pub fn check(open: &mut dyn FnMut() -> Box<dyn Engine>) {
    absent_keys_read_as_none(&*open());
    later_operations_win_in_a_batch(&*open());
    scans_are_ordered_and_half_open(&*open());
    a_break_ends_the_scan(&*open());
    clear_forgets_everything(&*open());
    batches_are_never_seen_in_half(&*open());
}

fn put(engine: &dyn Engine, pairs: &[(&[u8], &[u8])]) {
    let mut batch = Batch::default();
    for (key, value) in pairs {
        batch.put(key.to_vec(), Bytes::copy_from_slice(value));
    }
    engine.write(batch).expect("a batch of puts is written");
}

fn keys(engine: &dyn Engine, range: Range<&[u8]>) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    let visited = engine.scan(range, &mut |key, _| {
        seen.push(key.to_vec());
        ControlFlow::Continue(())
    });
    visited.expect("a scan succeeds");
    seen
}

fn absent_keys_read_as_none(engine: &dyn Engine) {
    assert_eq!(engine.get(b"k").expect("get"), None, "a fresh engine has a key");
    assert!(keys(engine, b"\x00"..b"\xff").is_empty(), "a fresh engine is not empty");
    put(engine, &[(b"k", b"")]);
    assert_eq!(
        engine.get(b"k").expect("get"),
        Some(Bytes::new()),
        "an empty value is not an absent one"
    );
    assert_eq!(engine.get(b"").expect("get"), None, "the empty key was never set");
}

fn later_operations_win_in_a_batch(engine: &dyn Engine) {
    put(engine, &[(b"old", b"1")]);
    let mut batch = Batch::default();
    batch.put(b"a".to_vec(), Bytes::from_static(b"1"));
    batch.put(b"a".to_vec(), Bytes::from_static(b"2"));
    batch.put(b"b".to_vec(), Bytes::from_static(b"1"));
    batch.delete(b"b".to_vec());
    batch.delete(b"old".to_vec());
    batch.delete(b"absent".to_vec());
    batch.put(b"old".to_vec(), Bytes::from_static(b"2"));
    engine.write(batch).expect("a mixed batch is written");
    assert_eq!(
        engine.get(b"a").expect("get").as_deref(),
        Some(&b"2"[..]),
        "the later put wins"
    );
    assert_eq!(engine.get(b"b").expect("get"), None, "a delete after a put wins");
    assert_eq!(
        engine.get(b"old").expect("get").as_deref(),
        Some(&b"2"[..]),
        "a put after a delete wins"
    );
    engine.write(Batch::default()).expect("an empty batch is no error");
    engine.flush().expect("flush");
}

fn scans_are_ordered_and_half_open(engine: &dyn Engine) {
    put(
        engine,
        &[
            (b"b", b""),
            (b"\xff", b""),
            (b"a\x00", b""),
            (b"a", b""),
            (b"a\xff", b""),
            (b"c", b""),
        ],
    );
    let expected: Vec<Vec<u8>> = [&b"a"[..], b"a\x00", b"a\xff", b"b"]
        .iter()
        .map(|key| key.to_vec())
        .collect();
    assert_eq!(
        keys(engine, b"a"..b"c"),
        expected,
        "bytes decide the order; the end is excluded"
    );
    assert!(keys(engine, b"c"..b"c").is_empty(), "an empty range");
    assert!(
        keys(engine, b"c"..b"a").is_empty(),
        "a reversed range is empty, not an error"
    );
}

fn a_break_ends_the_scan(engine: &dyn Engine) {
    put(engine, &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
    let mut seen = Vec::new();
    let visited = engine.scan(b"a"..b"z", &mut |key, value| {
        seen.push((key.to_vec(), value.to_vec()));
        if seen.len() == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    visited.expect("a broken scan is no error");
    assert_eq!(
        seen,
        vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]
    );
}

fn clear_forgets_everything(engine: &dyn Engine) {
    put(engine, &[(b"a", b"1"), (b"b", b"2")]);
    engine.clear().expect("clear");
    assert!(keys(engine, b"\x00"..b"\xff").is_empty(), "a cleared engine is empty");
    put(engine, &[(b"a", b"3")]);
    assert_eq!(
        engine.get(b"a").expect("get").as_deref(),
        Some(&b"3"[..]),
        "a cleared engine can be written"
    );
}

fn batches_are_never_seen_in_half(engine: &dyn Engine) {
    put(engine, &[(b"x", b"\0\0\0\0"), (b"y", b"\0\0\0\0")]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ATOMICITY_ROUNDS {
                let value = round.to_be_bytes();
                put(engine, &[(b"x", &value), (b"y", &value)]);
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            // `x` is read first and only grows, so whoever sees it in `x` must find at least that in `y`.
            let x = engine.get(b"x").expect("get").expect("x was set");
            let y = engine.get(b"y").expect("get").expect("y was set");
            assert!(y >= x, "half of a batch was seen: x {x:?}, y {y:?}");
        }
    });
}
