//! The log on a good day: round trips, rotation, reopening, release, group commit, back-pressure.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use kvorum_wal::{AppendError, Batch, Kind, OpenError, Options, PAYLOAD_BYTES_MAX, ReadError, TooLarge};

use crate::{PATIENCE, Record, append, listing, open_in, options, payload, wait_until};

#[test]
fn a_new_log_is_made_and_empty() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("wal");
    let (wal, seen) = open_in(&dir, options()).unwrap();
    assert!(wal.recovery().created && seen.is_empty());
    let id = wal.recovery().log_id;
    drop(wal);
    let (wal, seen) = open_in(
        &dir,
        Options {
            log_id: Some(id),
            create: false,
            ..options()
        },
    )
    .unwrap();
    assert!(!wal.recovery().created && seen.is_empty());
}

#[test]
fn no_log_is_made_where_one_should_be() {
    let dir = tempfile::tempdir().unwrap();
    for dir in [dir.path().to_owned(), dir.path().join("wal")] {
        let refused = open_in(
            &dir,
            Options {
                create: false,
                ..options()
            },
        )
        .unwrap_err();
        assert!(matches!(refused, OpenError::Missing(at) if at == dir));
    }
}

#[test]
fn kinds_and_payloads_come_back_in_order_and_by_position() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), options()).unwrap();
    let mut batch = Batch::new();
    let payloads: [&[u8]; 4] = [b"", b"a", &[0; 700], &[255; 33]];
    for (i, payload) in payloads.iter().enumerate() {
        batch.push(Kind([0, 1, 128, 255][i]), payload.to_vec()).unwrap();
    }
    let (done, written) = mpsc::channel();
    let positions = wal.append(batch, move |result| done.send(result).unwrap()).unwrap();
    written.recv_timeout(PATIENCE).unwrap().unwrap();
    let reader = wal.reader();
    for (at, payload) in positions.iter().zip(payloads) {
        assert_eq!(reader.read(*at).unwrap(), payload);
    }
    wal.close();
    assert_eq!(
        reader.read(positions[2]).unwrap(),
        payloads[2],
        "a reader outlives the log"
    );
    let (_wal, seen) = open_in(dir.path(), options()).unwrap();
    let kinds: Vec<u8> = seen.iter().map(|(_, kind, _)| kind.0).collect();
    assert_eq!(kinds, [0, 1, 128, 255]);
    assert_eq!(seen.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), positions);
    assert_eq!(
        seen.iter().map(|(.., payload)| &payload[..]).collect::<Vec<_>>(),
        payloads
    );
}

#[test]
fn many_small_segments_and_many_openings() {
    let dir = tempfile::tempdir().unwrap();
    let mut model: Vec<Record> = Vec::new();
    for round in 0..8 {
        let (wal, seen) = open_in(dir.path(), options()).unwrap();
        assert_eq!(seen, model, "round {round}");
        for i in 0..10 {
            model.extend(append(&wal, &[payload(i, 300), payload(i, 10 * i), payload(i, 500)]));
        }
        let reader = wal.reader();
        for (at, _, payload) in &model {
            assert_eq!(reader.read(*at).unwrap(), payload);
        }
    }
    assert!(model.last().unwrap().0.segment > 15);
}

#[test]
fn a_batch_larger_than_a_segment_is_spread_at_records() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), options()).unwrap();
    let batch: Vec<_> = (0..40).map(|i| payload(i, 900)).collect();
    let model = append(&wal, &batch);
    assert!(model.last().unwrap().0.segment >= 10);
    drop(wal);
    assert_eq!(open_in(dir.path(), options()).unwrap().1, model);
}

#[test]
fn a_record_fills_a_segment_but_never_more() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), options()).unwrap();
    // Header 512, seal 24, and the framing of the record itself, 24 with its end mark.
    let most = 4096 - 512 - 24 - 21;
    let model = append(&wal, &[vec![7; most]]);
    let mut batch = Batch::new();
    batch.push(Kind(1), vec![7; most + 1]).unwrap();
    let refused = wal.append(batch, |_| panic!("called though refused")).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge(TooLarge { .. })), "{refused}");
    let too_large = Batch::new().push(Kind(1), vec![0; PAYLOAD_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(too_large.bytes, PAYLOAD_BYTES_MAX as u64 + 1);
    drop(wal);
    assert_eq!(open_in(dir.path(), options()).unwrap().1, model);
}

#[test]
fn the_largest_record_goes_through_segments_of_the_default_size() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = || Options::new(options().fatal);
    let (wal, _) = open_in(dir.path(), defaults()).unwrap();
    let model = append(&wal, &[payload(1, PAYLOAD_BYTES_MAX), payload(2, 5)]);
    assert_eq!(model[0].0.segment, 2, "the first segment is too small for it");
    drop(wal);
    assert!(open_in(dir.path(), defaults()).unwrap().1 == model);
}

#[test]
fn released_segments_go_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), options()).unwrap();
    let model: Vec<_> = (0..40).flat_map(|i| append(&wal, &[payload(i, 900)])).collect();
    let (oldest, live) = (model[0].0, model.last().unwrap().0.segment);
    let begins_with = |number: u64| listing(dir.path())[0] == format!("{number:020}.wal");
    wal.release(5);
    wait_until("segments below 5 are removed", || begins_with(5));
    assert!(matches!(wal.reader().read(oldest), Err(ReadError::Gone(1))));
    assert_eq!(wal.metrics().segments_removed, 4);
    drop(wal);
    let (wal, seen) = open_in(dir.path(), options()).unwrap();
    let kept: Vec<_> = model.iter().filter(|(at, ..)| at.segment >= 5).cloned().collect();
    assert_eq!(seen, kept);
    // Beyond the live segment: that one stays. Closing does not wait for the removal; the next opening sees to it.
    wal.release(u64::MAX);
    drop(wal);
    let (_wal, seen) = open_in(dir.path(), options()).unwrap();
    assert_eq!(seen.last(), kept.last());
    wait_until("all but the live segment are removed", || begins_with(live));
}

#[test]
fn concurrent_appends_share_syncs_and_keep_their_order() {
    const THREADS: usize = 8;
    const APPENDS: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(
        dir.path(),
        Options {
            segment_bytes: 65536,
            ..options()
        },
    )
    .unwrap();
    let (done, written) = mpsc::channel();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (wal, done) = (&wal, done.clone());
            scope.spawn(move || {
                for i in 0..APPENDS {
                    let mut batch = Batch::new();
                    batch.push(Kind(thread as u8), payload(i, 40)).unwrap();
                    let done = done.clone();
                    wal.append(batch, move |result| done.send(result.is_ok()).unwrap())
                        .unwrap();
                }
            });
        }
    });
    drop(done);
    assert_eq!(written.iter().filter(|ok| *ok).count(), THREADS * APPENDS);
    let metrics = wal.metrics();
    assert_eq!(metrics.records, (THREADS * APPENDS) as u64);
    assert!(metrics.syncs.count < metrics.records / 2, "{metrics:?}");
    assert_eq!(
        metrics.syncs.buckets.iter().sum::<u64>(),
        metrics.syncs.count,
        "{metrics:?}"
    );
    assert_eq!(metrics.backlog_bytes, 0);
    drop(wal);
    let (_wal, seen) = open_in(dir.path(), options()).unwrap();
    let mut by_thread: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    for (_, kind, payload) in seen {
        by_thread.entry(kind.0).or_default().push(payload);
    }
    let each: Vec<_> = (0..APPENDS).map(|i| payload(i, 40)).collect();
    assert!(by_thread.len() == THREADS && by_thread.values().all(|payloads| *payloads == each));
}

#[test]
fn what_waits_is_readable_bounded_and_acknowledged_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(
        dir.path(),
        Options {
            queue_bytes_max: 1500,
            ..options()
        },
    )
    .unwrap();
    let wal = Arc::new(wal);
    let (order, done) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    // The first `done` holds the writer, so that everything behind it waits.
    let first = order.clone();
    let hold = move |_| {
        first.send(0).unwrap();
        gate.recv_timeout(PATIENCE).unwrap();
    };
    wal.append(batch(0), hold).unwrap();
    assert_eq!(done.recv_timeout(PATIENCE), Ok(0));
    let mut waiting = Vec::new();
    for i in 1..=2 {
        let order = order.clone();
        waiting.extend(wal.append(batch(i), move |_| order.send(i).unwrap()).unwrap());
    }
    assert_eq!(wal.metrics().records, 1);
    assert_eq!(wal.reader().read(waiting[1]).unwrap(), payload(2, 600));
    let blocked = {
        let wal = Arc::clone(&wal);
        thread::spawn(move || wal.append(batch(3), move |_| order.send(3).unwrap()).unwrap())
    };
    assert!(done.recv_timeout(Duration::from_millis(50)).is_err());
    assert!(!blocked.is_finished(), "the queue takes more than its bound");
    go.send(()).unwrap();
    blocked.join().unwrap();
    assert_eq!(done.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
}

fn batch(i: usize) -> Batch {
    let mut batch = Batch::new();
    batch.push(Kind(1), payload(i, 600)).unwrap();
    batch
}

#[test]
fn two_never_open_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), options()).unwrap();
    let refused = open_in(dir.path(), options()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    wal.close();
    assert!(matches!(wal.append(Batch::new(), |_| ()), Err(AppendError::Closed)));
    open_in(dir.path(), options()).unwrap();
}

#[test]
fn a_replay_that_refuses_stops_the_opening_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), options()).unwrap();
    let model = append(&wal, &[payload(1, 10), payload(2, 10)]);
    drop(wal);
    let refused = kvorum_wal::open(dir.path(), options(), |at, _, _| match at == model[1].0 {
        true => Err("no such thing"),
        false => Ok(()),
    });
    assert!(matches!(refused, Err(OpenError::Replay { offset, .. }) if offset == model[1].0.offset));
}

#[test]
fn the_last_handle_may_go_inside_a_done() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Arc::new(open_in(dir.path(), options()).unwrap().0);
    let (done, closed) = mpsc::channel();
    let held = Arc::clone(&wal);
    let (go, gate) = mpsc::channel::<()>();
    let last = move |_| {
        gate.recv_timeout(PATIENCE).unwrap();
        drop(held);
        done.send(()).unwrap();
    };
    wal.append(batch(1), last).unwrap();
    drop(wal);
    go.send(()).unwrap();
    closed.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn options_beyond_their_bounds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [0, 512, 4097, 2 << 30] {
        let refused = open_in(
            dir.path(),
            Options {
                segment_bytes: bytes,
                ..options()
            },
        )
        .unwrap_err();
        assert!(matches!(refused, OpenError::Options(_)), "{refused}");
    }
    assert!(listing(dir.path()).is_empty());
}

#[test]
fn a_segment_prepared_in_another_size_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Vec::new();
    for segment_bytes in [4096, 8192, 2048, 8192] {
        let (wal, seen) = open_in(
            dir.path(),
            Options {
                segment_bytes,
                ..options()
            },
        )
        .unwrap();
        assert_eq!(seen, model);
        model.extend((0..10).flat_map(|i| append(&wal, &[payload(i, 900)])));
    }
}
