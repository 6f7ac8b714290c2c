//! The store handle: what is visible when, what reaches the engine in which order, and what views keep.

use crate::testing::{Bench, compact, delete, everything, put};
use crate::{
    Batch, Engine, EngineError, LogPosition, MemoryEngine, OpenError, Options, ReadError, Reader, Refusal, Store, View,
    Writes,
};
use bytes::Bytes;
use kvorum_api::etcdserverpb::RangeRequest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn position(index: u64) -> LogPosition {
    LogPosition {
        term: 1,
        node: 1,
        index,
    }
}

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}

#[test]
fn handles_can_be_sent_to_other_threads() {
    is_send::<Store>();
    is_send::<Writes>();
    is_send::<Reader>();
    is_sync::<Reader>();
    is_send::<View>();
    is_sync::<View>();
}

#[test]
fn a_batch_becomes_visible_at_once() {
    let mut bench = Bench::new();
    let reader = bench.store.reader();
    for index in 1..=3 {
        bench
            .store
            .apply(position(index), &put("k", &index.to_string()))
            .unwrap();
        assert_eq!((reader.revision(), reader.range(&everything()).unwrap().count), (1, 0));
    }
    // Taking writes shows nothing either.
    let writes = bench.store.take_writes().unwrap();
    writes.commit().unwrap();
    assert_eq!(reader.revision(), 1);
    bench.store.publish();
    assert_eq!((reader.revision(), reader.range(&everything()).unwrap().count), (4, 1));
    assert_eq!(reader.recent_hash(3).is_some(), reader.recent_hash(4).is_some());
    assert_eq!(reader.recent_hash(4), Some(reader.hash().1));
    assert_eq!(reader.recent_hash(5), None);
}

#[test]
fn the_engine_gets_position_and_membership_with_the_data() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut store = Store::open(Arc::clone(&engine)).unwrap();
    assert_eq!(store.applied(), None, "the first entry of a log has index zero");
    store.note(position(0), Some(Bytes::from_static(b"one")));
    store.apply(position(1), &put("k", "1")).unwrap();
    let first = store.take_writes().unwrap();
    store.note(position(2), Some(Bytes::from_static(b"two")));
    store.apply(position(3), &put("k", "2")).unwrap();
    let second = store.take_writes().unwrap();
    assert!(store.take_writes().is_none(), "nothing is told twice");
    first.commit().unwrap();
    let reopened = Store::open(Arc::clone(&engine)).unwrap();
    assert_eq!((reopened.applied(), reopened.revision()), (Some(position(1)), 2));
    assert_eq!(reopened.membership().as_deref(), Some(&b"one"[..]));
    second.commit().unwrap();
    let reopened = Store::open(engine).unwrap();
    assert_eq!((reopened.applied(), reopened.revision()), (Some(position(3)), 3));
    assert_eq!(reopened.membership().as_deref(), Some(&b"two"[..]));
}

#[test]
fn an_entry_that_changes_nothing_still_moves_the_position() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut store = Store::open(Arc::clone(&engine)).unwrap();
    store.apply(position(5), &delete("absent")).unwrap();
    assert_eq!(
        store.apply(position(6), &compact(9)).unwrap().response,
        Err(Refusal::FutureRevision)
    );
    store.take_writes().unwrap().commit().unwrap();
    assert_eq!(Store::open(engine).unwrap().applied(), Some(position(6)));
}

#[test]
fn batches_out_of_order_are_refused() {
    let mut bench = Bench::new();
    bench.apply(put("k", "1"));
    let first = bench.store.take_writes().unwrap();
    bench.apply(put("k", "2"));
    let second = bench.store.take_writes().unwrap();
    assert!(matches!(
        second.commit(),
        Err(EngineError::OutOfOrder { given: 1, expected: 0 })
    ));
    first.commit().unwrap();
}

#[test]
#[should_panic(expected = "was given to a store that is at")]
fn an_entry_is_never_applied_twice() {
    let mut bench = Bench::new();
    bench.store.apply(position(3), &put("k", "1")).unwrap();
    drop(bench.store.apply(position(3), &put("k", "1")));
}

#[test]
fn records_are_found_pending_cached_and_stored() {
    let engine = Arc::new(MemoryEngine::default());
    let mut store = Store::open_with(engine, Options { cache_bytes_max: 500 }).unwrap();
    let reader = store.reader();
    for index in 1..=100 {
        store
            .apply(position(index), &put(&format!("{index:03}"), &index.to_string()))
            .unwrap();
    }
    store.publish();
    let pending = reader.range(&everything()).unwrap();
    assert_eq!(pending.kvs.len(), 100);
    assert!(reader.pending_bytes() > 0);
    store.take_writes().unwrap().commit().unwrap();
    assert_eq!(reader.pending_bytes(), 0);
    assert_eq!(reader.range(&everything()).unwrap(), pending);
    let one = RangeRequest {
        key: "001".into(),
        ..RangeRequest::default()
    };
    assert_eq!(reader.range(&one).unwrap(), reader.range(&one).unwrap());
}

#[test]
fn a_lost_record_is_an_error_that_names_it() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut store = Store::open_with(Arc::clone(&engine), Options { cache_bytes_max: 0 }).unwrap();
    store.apply(position(1), &put("k", "1")).unwrap();
    store.publish();
    store.take_writes().unwrap().commit().unwrap();
    let mut batch = Batch::default();
    batch.delete(crate::keyspace::record_key(crate::Revision::new(2, 0)));
    engine.write(batch).unwrap();
    let error = store.reader().range(&everything()).unwrap_err();
    assert!(
        matches!(error, ReadError::Engine(EngineError::Missing { .. })),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the record of revision 2.0 is missing from the engine"
    );
}

#[test]
fn a_foreign_or_newer_engine_is_refused() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut batch = Batch::default();
    batch.put(b"\x20stray".to_vec(), Bytes::new());
    engine.write(batch).unwrap();
    assert!(matches!(
        Store::open(Arc::clone(&engine)),
        Err(OpenError::Engine(EngineError::Corrupt { .. }))
    ));
    engine.clear().unwrap();
    let mut batch = Batch::default();
    let meta = crate::keyspace::Meta {
        format: 9,
        ..Default::default()
    };
    batch.put(crate::keyspace::META.to_vec(), meta.to_bytes());
    engine.write(batch).unwrap();
    assert!(matches!(
        Store::open(engine),
        Err(OpenError::Format { found: 9, known: 1 })
    ));
}

#[test]
fn a_record_that_the_counters_do_not_cover_is_refused() {
    let mut bench = Bench::new();
    bench.apply(put("k", "1"));
    bench.settle();
    let engine = bench.store.engine();
    let record = engine
        .get(&crate::keyspace::record_key(crate::Revision::new(2, 0)))
        .unwrap()
        .unwrap();
    let mut batch = Batch::default();
    batch.put(crate::keyspace::record_key(crate::Revision::new(3, 0)), record);
    engine.write(batch).unwrap();
    assert!(matches!(
        Store::open(engine),
        Err(OpenError::Engine(EngineError::Corrupt { .. }))
    ));
}

#[test]
fn a_view_keeps_its_history_until_it_is_dropped() {
    let mut bench = Bench::new();
    for round in 0..10 {
        bench.apply(put("k", &round.to_string()));
    }
    let view = bench.store.reader().view();
    bench.apply(compact(11));
    bench.apply(delete("k"));
    bench.apply(compact(12));
    bench.settle();
    assert!(bench.store.is_compacting());
    for revision in 2..=11 {
        let value = view.get(b"k", revision).unwrap().unwrap().value;
        assert_eq!(value, (revision - 2).to_string());
    }
    assert_eq!(view.replay(2, 100, usize::MAX).unwrap().events.len(), 10);
    drop(view);
    bench.settle();
    assert!(!bench.store.is_compacting());
    assert!(matches!(
        bench.store.reader().view().get(b"k", 11),
        Err(ReadError::Refused(Refusal::Compacted))
    ));
}

#[test]
fn reading_is_never_torn_while_the_store_writes_and_compacts() {
    let engine = Arc::new(MemoryEngine::default());
    let mut store = Store::open_with(engine, Options { cache_bytes_max: 2_000 }).unwrap();
    let reader = store.reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| read_until(&reader, &done));
        }
        let mut index = 0;
        for round in 0..400 {
            // Every batch sets all keys to the same value, so a torn read shows.
            for key in 0..20 {
                index += 1;
                store
                    .apply(position(index), &put(&format!("k{key}"), &round.to_string()))
                    .unwrap();
            }
            index += 1;
            store.apply(position(index), &compact(store.revision())).unwrap();
            store.publish();
            store.take_writes().unwrap().commit().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(reader.range(&everything()).unwrap().count, 20);
}

fn read_until(reader: &Reader, done: &AtomicBool) {
    let mut last = 0;
    while !done.load(Ordering::Acquire) {
        let answer = reader.range(&everything()).unwrap();
        let revision = answer.header.unwrap().revision;
        assert!(revision >= last, "revisions do not go back");
        last = revision;
        let Some(first) = answer.kvs.first() else { continue };
        assert_eq!(answer.kvs.len(), 20);
        assert!(
            answer.kvs.iter().all(|pair| pair.value == first.value),
            "half of a batch was seen"
        );
    }
}

#[test]
fn a_restart_replays_from_the_position_it_has() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let command = |index: u64| match index % 5 {
        3 => delete(&format!("k{}", index % 7)),
        4 => compact(i64::try_from(index / 3).unwrap()),
        _ => put(&format!("k{}", index % 7), &index.to_string()),
    };
    let mut store = Store::open(Arc::clone(&engine)).unwrap();
    let mut outcomes = Vec::new();
    for index in 1..=200 {
        outcomes.push(store.apply(position(index), &command(index)).unwrap());
        store.publish();
        if index % 30 == 0 {
            store.take_writes().unwrap().commit().unwrap();
        }
    }
    let (hash, revision) = (store.hash(), store.revision());
    drop(store);
    // The process is gone, and with it what was applied after entry 180.
    let mut store = Store::open(engine).unwrap();
    assert_eq!(store.applied(), Some(position(180)));
    for index in 181..=200 {
        let outcome = store.apply(position(index), &command(index)).unwrap();
        assert_eq!(outcome, outcomes[index as usize - 1], "entry {index}");
    }
    assert_eq!((store.hash(), store.revision()), (hash, revision));
}

#[test]
fn half_a_compaction_goes_on_after_a_restart() {
    let mut bench = Bench::new();
    for round in 0..6_000 {
        bench.apply(put(&format!("k{}", round % 3_000), &round.to_string()));
    }
    bench.settle();
    bench.apply(compact(6_001));
    bench.store.take_writes().unwrap().commit().unwrap();
    assert!(bench.store.is_compacting(), "one slice does not do it");
    let mut store = Store::open(bench.store.engine()).unwrap();
    assert!(store.is_compacting());
    assert_eq!(store.hash(), bench.store.hash());
    while let Some(writes) = store.take_writes() {
        writes.commit().unwrap();
    }
    assert!(!store.is_compacting());
    let view = store.reader().view();
    assert_eq!(view.range(&everything()).unwrap().count, 3_000);
    assert_eq!(view.hash_at(6_001).unwrap(), store.hash());
    let mut records = 0;
    let counted = store.engine().scan(crate::keyspace::RECORDS, &mut |_, _| {
        records += 1;
        std::ops::ControlFlow::Continue(())
    });
    counted.unwrap();
    assert_eq!(records, 3_000, "one record per live key is left");
}
