//! Snapshots: whole, damaged in every byte, cut anywhere, and taken while the store goes on.

use super::output::BYTES_PER_READ;
use super::{SnapshotError, Summary, copy, read, verify, write};
use crate::auth::UserAdd;
use crate::engine::Visit;
use crate::testing::{Bench, compact, delete, grant, put};
use crate::{AuthCommand, Batch, Command, Engine, EngineError, MemoryEngine, OpenError, Store, Who};
use bytes::Bytes;
use kvorum_api::etcdserverpb::alarm_request::AlarmAction;
use kvorum_api::etcdserverpb::{AlarmRequest, AlarmType, AuthRoleAddRequest};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use test_case::test_case;

fn image(store: &Store) -> (Vec<u8>, Summary) {
    let mut image = Vec::new();
    let summary = write(&store.reader().view(), &mut image).unwrap();
    (image, summary)
}

/// A store with history, garbage, a lease and records on both sides of the engine.
fn lived_in() -> Bench {
    let mut bench = Bench::new();
    let at = bench.next();
    bench.store.note(at, Some(Bytes::from_static(b"members")));
    bench.apply(grant(7, 10));
    for round in 0..20 {
        bench.apply(put(&format!("key {}", round % 7), &format!("value {round}")));
    }
    bench.apply(Command::Auth(AuthCommand::UserAdd(UserAdd {
        name: "root".into(),
        password_hash: "hash".into(),
        no_password: false,
    })));
    bench.apply(Command::Auth(AuthCommand::RoleAdd(AuthRoleAddRequest {
        name: "role".into(),
    })));
    bench.apply(nospace(AlarmAction::Activate, 0xfeed_0000_0000_0001));
    bench.settle();
    bench.apply(nospace(AlarmAction::Deactivate, 0xfeed_0000_0000_0001));
    bench.apply(nospace(AlarmAction::Activate, 9));
    bench.apply(delete("key 3"));
    bench.apply(compact(12));
    bench.apply(nospace(AlarmAction::Deactivate, 9));
    bench.apply(put("last", "pending"));
    bench.apply(nospace(AlarmAction::Activate, 8));
    bench
}

fn nospace(action: AlarmAction, member_id: u64) -> Command {
    Command::Alarm(AlarmRequest {
        action: action.into(),
        member_id,
        alarm: AlarmType::Nospace.into(),
    })
}

#[test]
fn a_copy_differs_in_its_membership_alone() {
    let bench = lived_in();
    let (image, written) = image(&bench.store);
    let mut copied = Vec::new();
    let summary = copy(&mut &image[..], &mut copied, Bytes::from_static(b"others")).unwrap();
    assert_eq!(verify(&mut &copied[..]).unwrap(), summary);
    let expected = Summary {
        membership: Some(Bytes::from_static(b"others")),
        sha256: summary.sha256,
        ..written
    };
    assert_eq!(summary, expected);
    let mut again = Vec::new();
    copy(&mut &copied[..], &mut again, Bytes::from_static(b"members")).unwrap();
    assert_eq!(again, image, "with its own membership it is the same, byte for byte");
}

#[test]
fn a_copy_of_what_is_damaged_or_cut_is_no_snapshot() {
    let (image, _) = image(&lived_in().store);
    for place in (0..image.len()).step_by(7) {
        let mut damaged = image.clone();
        damaged[place] ^= 1;
        for source in [&damaged[..], &image[..place]] {
            let mut copied = Vec::new();
            assert!(copy(&mut &*source, &mut copied, Bytes::new()).is_err(), "byte {place}");
            assert!(verify(&mut &copied[..]).is_err(), "byte {place}");
        }
    }
}

#[test]
fn a_snapshot_gives_the_same_store() {
    let bench = lived_in();
    let (image, written) = image(&bench.store);
    assert_eq!(verify(&mut &image[..]).unwrap(), written);
    assert_eq!(written.applied, bench.store.applied());
    assert_eq!(written.membership.as_deref(), Some(&b"members"[..]));
    assert_eq!((written.revision, written.compacted), (bench.store.revision(), 12));
    let engine = Arc::new(MemoryEngine::default());
    assert_eq!(read(&mut &image[..], &*engine).unwrap(), written);
    let copy = Store::open(engine).unwrap();
    assert_eq!(
        (copy.hash(), copy.revision(), copy.applied()),
        (bench.store.hash(), written.revision, written.applied)
    );
    assert_eq!(copy.membership(), bench.store.membership());
    assert_eq!(copy.reader().lease_leases(), bench.store.reader().lease_leases());
    assert_eq!(copy.reader().auth_hash(), bench.store.reader().auth_hash());
    assert_eq!(copy.reader().roles(&Who::Nobody).unwrap(), ["role"]);
    let alarms = copy.reader().alarms(AlarmType::None);
    assert_eq!(alarms.iter().map(|alarm| alarm.member_id).collect::<Vec<_>>(), [8]);
    assert!(!copy.is_compacting(), "garbage does not travel");
}

#[test]
fn equal_states_give_equal_bytes_however_far_compaction_is() {
    let mut bench = lived_in();
    assert!(bench.store.is_compacting());
    let before = image(&bench.store);
    bench.settle();
    assert!(!bench.store.is_compacting());
    assert_eq!(image(&bench.store), before);
}

#[test]
fn any_damaged_byte_is_found() {
    let (image, _) = image(&lived_in().store);
    for place in 0..image.len() {
        let mut damaged = image.clone();
        damaged[place] ^= 0x10;
        let engine = MemoryEngine::default();
        assert!(verify(&mut &damaged[..]).is_err(), "byte {place}");
        assert!(read(&mut &damaged[..], &engine).is_err(), "byte {place}");
        assert!(
            crate::keyspace::Meta::load(&engine).unwrap().is_none(),
            "byte {place}: counters were written"
        );
    }
}

#[test]
fn a_cut_stream_leaves_an_engine_that_does_not_open() {
    let (image, _) = image(&lived_in().store);
    for length in (0..image.len()).step_by(7) {
        let engine = Arc::new(MemoryEngine::default());
        let error = read(&mut &image[..length], &*engine).unwrap_err();
        let SnapshotError::Damaged { offset, .. } = &error else {
            panic!("cut at {length}: {error}")
        };
        // The place where the piece begins that is not there, or where a piece breaks off.
        assert!(*offset <= length as u64, "cut at {length}: {error}");
        match Store::open(engine.clone()) {
            Err(OpenError::Unfinished) => {}
            // The header did not arrive, so nothing was touched.
            Ok(store) => assert_eq!(store.revision(), 1),
            Err(error) => panic!("cut at {length}: {error}"),
        }
        read(&mut &image[..], &*engine).unwrap();
        assert!(Store::open(engine).is_ok(), "a whole one can be read over half of one");
    }
}

#[test_case(b"", "at byte 0: it is cut short here" ; "empty")]
#[test_case(b"KVRMSNOT and so on", "not a snapshot" ; "other magic")]
#[test_case(b"KVRMSNAP\xff\xff\xff\xff\0\0\0\0", "a frame of 4294967295 bytes" ; "absurd length")]
#[test_case(b"KVRMSNAP\0\0\0\x02\xa5\x53\xb7\xb8\x08\x63", "checksum" ; "wrong checksum")]
fn what_is_no_snapshot_is_refused(bytes: &[u8], reason: &str) {
    let error = verify(&mut &bytes[..]).unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn another_format_is_refused_by_name() {
    let header = super::Header {
        format: 2,
        ..super::Header::default()
    };
    let mut image = Vec::new();
    let mut output = super::frame::Output::begin(&mut image).unwrap();
    output.frame(&prost::Message::encode_to_vec(&header)).unwrap();
    output.end().unwrap();
    assert!(matches!(
        verify(&mut &image[..]),
        Err(SnapshotError::Format { found: 2, known: 1 })
    ));
}

#[test]
fn a_view_is_written_as_it_was_while_the_store_goes_on() {
    let mut bench = lived_in();
    let before = image(&bench.store);
    let view = bench.store.reader().view();
    for round in 0..50 {
        bench.apply(put(&format!("key {}", round % 9), "later"));
        bench.apply(compact(bench.store.revision()));
        bench.settle();
    }
    let mut late = Vec::new();
    let summary = write(&view, &mut late).unwrap();
    assert_eq!((late, summary), before);
    drop(view);
    bench.settle();
    assert!(
        !bench.store.is_compacting(),
        "the view held compaction back no longer than it lived"
    );
}

#[test]
fn installing_keeps_readers_and_passes_over_old_writes() {
    let source = lived_in();
    let (image, _) = image(&source.store);
    let mut bench = Bench::new();
    bench.apply(put("other", "state"));
    let reader = bench.store.reader();
    let view = reader.view();
    let overtaken = bench.store.take_writes().unwrap();
    bench.store.install(&mut &image[..]).unwrap();
    overtaken.commit().unwrap();
    assert_eq!(reader.hash(), (source.store.revision(), source.store.hash()));
    assert!(matches!(write(&view, &mut Vec::new()), Err(SnapshotError::Replaced)));
    let mut again = Vec::new();
    write(&reader.view(), &mut again).unwrap();
    assert!(again == image);
    assert_eq!(
        bench
            .store
            .engine()
            .get(&crate::keyspace::record_key(crate::Revision::new(2, 0)))
            .unwrap(),
        None
    );
    // The store goes on from there.
    bench.store.note(
        crate::LogPosition {
            term: 9,
            node: 1,
            index: 1_000,
        },
        None,
    );
    bench.settle();
    let engine = bench.store.engine();
    assert_eq!(Store::open(engine).unwrap().hash(), source.store.hash());
}

#[test]
fn a_failed_install_can_be_repeated() {
    let source = lived_in();
    let (image, _) = image(&source.store);
    let mut bench = Bench::new();
    bench.apply(put("other", "state"));
    bench.store.install(&mut &image[..image.len() - 1]).unwrap_err();
    assert!(matches!(Store::open(bench.store.engine()), Err(OpenError::Unfinished)));
    bench.store.install(&mut &image[..]).unwrap();
    assert_eq!(bench.store.hash(), source.store.hash());
    assert!(write(&bench.store.reader().view(), &mut Vec::new()).is_ok());
}

/// Remembers the most bytes that one scan gave.
#[derive(Default)]
struct Scanned {
    engine: MemoryEngine,
    most: AtomicUsize,
}

impl Engine for Scanned {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let mut bytes = 0;
        let scanned = self.engine.scan(range, &mut |key, value| {
            bytes += value.len();
            visit(key, value)
        });
        self.most.fetch_max(bytes, Ordering::Relaxed);
        scanned
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.engine.write(batch)
    }

    fn clear(&self) -> Result<(), EngineError> {
        self.engine.clear()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.engine.flush()
    }
}

#[test]
fn large_values_are_read_a_few_at_a_time() {
    let engine = Arc::new(Scanned::default());
    let store = Store::open(Arc::clone(&engine) as Arc<dyn Engine>).unwrap();
    let mut bench = Bench::on(store);
    let value = "x".repeat(256 << 10);
    for key in 0..64 {
        bench.apply(put(&key.to_string(), &value));
    }
    bench.settle();
    let (whole, summary) = image(&bench.store);
    assert_eq!(summary.entries, 64);
    assert_eq!(verify(&mut &whole[..]).unwrap(), summary);
    let most = engine.most.load(Ordering::Relaxed);
    assert!(most <= BYTES_PER_READ + (257 << 10), "{most} bytes at once");
}
