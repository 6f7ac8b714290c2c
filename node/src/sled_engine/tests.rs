//! The engine's promises, and when it is believed.

use super::*;

const LOG: u64 = 0xa1;

#[test]
fn sled_keeps_the_engines_promises() {
    let mut dirs = Vec::new();
    kvorum_store::engine::conformance::check(&mut || {
        let dir = tempfile::tempdir().unwrap();
        let (engine, trust) = SledEngine::open(dir.path(), LOG, look(dir.path(), LOG).unwrap()).unwrap();
        assert_eq!(trust, Err(Distrust::Nothing));
        dirs.push(dir);
        Box::new(engine)
    });
}

fn write_one(dir: &Path) -> SledEngine {
    let (engine, _) = SledEngine::open(dir, LOG, look(dir, LOG).unwrap()).unwrap();
    let mut batch = Batch::default();
    batch.put(b"key".to_vec(), Bytes::from_static(b"value"));
    engine.write(batch).unwrap();
    engine
}

/// Opened again: why it is believed or not, and whether what was written is there.
fn again(dir: &Path, log_id: u64) -> (Result<Believed, Distrust>, bool) {
    let foretold = look(dir, log_id).unwrap();
    let (engine, trust) = SledEngine::open(dir, log_id, foretold.clone()).unwrap();
    assert_eq!(foretold, trust);
    (trust, engine.get(b"key").unwrap().is_some())
}

#[test]
fn a_clean_close_is_believed_and_said_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let applied = Some((3, 41));
    write_one(dir.path()).close_clean(applied).unwrap();
    assert_eq!(again(dir.path(), LOG), (Ok(Believed::Clean { applied }), true));
    // The one before was never vouched for, as when it panics while it is read.
    assert_eq!(again(dir.path(), LOG), (Err(Distrust::Unmarked), false));
}

#[test]
fn after_a_kill_it_is_believed_within_the_same_boot_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = write_one(dir.path());
    engine.vouch().unwrap();
    engine.flush().unwrap();
    drop(engine);
    assert_eq!(again(dir.path(), LOG), (Ok(Believed::SameBoot), true));
    let engine = write_one(dir.path());
    engine.mark(State::Boot("another".into())).unwrap();
    drop(engine);
    assert_eq!(again(dir.path(), LOG), (Err(Distrust::AnotherBoot), false));
}

#[test]
fn another_members_engine_and_a_changed_one_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    write_one(dir.path()).close_clean(None).unwrap();
    assert_eq!(again(dir.path(), 2), (Err(Distrust::Foreign(LOG)), false));
    write_one(dir.path()).close_clean(None).unwrap();
    let path = dir.path().join(DATABASE).join("db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let changed = Distrust::Changed("sled/db was changed since it was closed".into());
    assert_eq!(again(dir.path(), LOG), (Err(changed), false));
    write_one(dir.path()).close_clean(None).unwrap();
    fs::write(dir.path().join(trust::MARKER), "clean").unwrap();
    assert!(matches!(again(dir.path(), LOG), (Err(Distrust::Marker(_)), false)));
}

fn put(key: &'static str, value: &'static str) -> Batch {
    let mut batch = Batch::default();
    batch.put(key.into(), Bytes::from_static(value.as_bytes()));
    batch
}

/// As after a write that failed for want of room, when there is room again.
fn reopen(engine: &SledEngine) -> Result<(), EngineError> {
    let times = engine.opened().times;
    engine.open_again(times, &room::closed())
}

#[test]
fn an_engine_opened_again_has_everything_and_is_believed_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = write_one(dir.path());
    engine.vouch().unwrap();
    engine.write(put("at", "1")).unwrap();
    engine.write_out().unwrap();
    engine.unsettled().settled();
    // Nobody wrote this out, and sled comes back without it.
    engine.unsettled().add(put("at", "2"));
    reopen(&engine).unwrap();
    assert!(!engine.waits_for_room());
    assert_eq!(engine.get(b"at").unwrap(), Some(Bytes::from_static(b"2")));
    assert_eq!(engine.get(b"key").unwrap(), Some(Bytes::from_static(b"value")));
    // Whoever meets the failure later finds it mended.
    engine.open_again(1, &room::closed()).unwrap();
    assert_eq!(engine.opened().times, 2);
    drop(engine);
    assert_eq!(look(dir.path(), LOG).unwrap(), Ok(Believed::SameBoot));
}

#[test]
fn an_engine_that_lost_what_it_had_written_out_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let engine = write_one(dir.path());
    engine.vouch().unwrap();
    engine.unsettled().settled();
    engine.ask(|database| database.remove("key")).unwrap();
    let error = reopen(&engine).unwrap_err();
    assert!(matches!(error, EngineError::Failed { .. }), "{error}");
    drop(engine);
    assert_eq!(look(dir.path(), LOG).unwrap(), Err(Distrust::Unmarked));
}

#[test]
fn whoever_waits_for_room_is_let_go_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let engine = write_one(dir.path());
    // No disk has so much.
    let wait = |engine: &SledEngine| engine.room.wait(u64::MAX, "too little is left");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&engine));
        while !engine.waits_for_room() {
            std::thread::yield_now();
        }
        engine.give_up();
        assert!(waiting.join().unwrap().is_err());
    });
    assert!(wait(&engine).is_err());
    let error = reopen(&engine).unwrap_err();
    assert!(matches!(error, EngineError::NoRoom { .. }), "{error}");
}
