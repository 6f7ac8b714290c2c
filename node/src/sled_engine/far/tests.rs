//! Large values through the engine: there as long as they are wanted, gone when they are not, never wrong.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kvorum_store::engine::{Batch, Engine, EngineError};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use super::super::{Believed, Distrust, SledEngine, look};
use super::{FILE_BYTES_MAX, NEAR_BYTES_MAX, VALUES};

const LOG: u64 = 0xa1;
const LARGE: usize = 30 << 10;

fn open(dir: &Path) -> (SledEngine, Result<Believed, Distrust>) {
    SledEngine::open(dir, LOG, look(dir, LOG).unwrap()).unwrap()
}

fn put(engine: &SledEngine, key: &str, value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(key.into(), Bytes::copy_from_slice(value));
    engine.write(batch).unwrap();
}

/// As a kill leaves it.
fn kill(engine: SledEngine) {
    engine.vouch().unwrap();
    engine.flush().unwrap();
    drop(engine);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join(VALUES))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_unstable();
    files
}

fn all(engine: &SledEngine) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    let visited = engine.scan(&[0]..&[0xff, 0xff], &mut |key, value| {
        pairs.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    });
    visited.unwrap();
    pairs
}

#[test]
fn values_of_every_size_read_back_after_a_kill_and_after_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, NEAR_BYTES_MAX, NEAR_BYTES_MAX + 1, LARGE, 3 << 20];
    let (mut engine, _) = open(dir.path());
    let mut expected = BTreeMap::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let value = vec![u8::try_from(number).unwrap(); size];
        put(&engine, &format!("k{number}"), &value);
        expected.insert(format!("k{number}").into_bytes(), value);
    }
    let count = files(dir.path()).len();
    assert_eq!(count, 2, "one that is too long has a file of its own");
    for clean in [false, true, false] {
        assert_eq!(all(&engine), expected);
        for (key, value) in &expected {
            assert_eq!(engine.get(key).unwrap().as_deref(), Some(&value[..]));
        }
        match clean {
            true => engine.close_clean(None).unwrap(),
            false => engine
                .vouch()
                .and_then(|()| engine.flush().map_err(std::io::Error::other))
                .unwrap(),
        }
        drop(engine);
        let trust;
        (engine, trust) = open(dir.path());
        assert!(trust.is_ok(), "{trust:?}");
    }
    assert_eq!(files(dir.path()).len(), count);
    engine.clear().unwrap();
    assert_eq!((all(&engine).len(), files(dir.path()).len()), (0, 0));
    put(&engine, "again", &[7; LARGE]);
    assert_eq!(engine.get(b"again").unwrap().unwrap().len(), LARGE);
}

#[test]
fn what_nobody_wants_is_removed_and_the_rest_stays() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, _) = open(dir.path());
    let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let (mut most, mut written) = (0, 0);
    for round in 0..400 {
        let mut batch = Batch::default();
        for _ in 0..random.random_range(1..6) {
            let key = format!("k{}", random.random_range(0..150)).into_bytes();
            if random.random_range(0..5) == 0 {
                batch.delete(key.clone());
                expected.remove(&key);
            } else {
                let mut value = vec![0; random.random_range(0..24 << 10)];
                random.fill_bytes(&mut value);
                written += value.len() as u64;
                batch.put(key.clone(), Bytes::from(value.clone()));
                expected.insert(key, value);
            }
        }
        engine.write(batch).unwrap();
        let wanted: u64 = expected
            .iter()
            .map(|(key, value)| (16 + key.len() + value.len()) as u64)
            .sum();
        let bytes = engine.far.bytes();
        most = most.max(bytes);
        assert!(bytes <= 2 * wanted + 2 * FILE_BYTES_MAX, "{bytes} bytes for {wanted}");
        if round % 90 == 89 {
            kill(engine);
            let trust;
            (engine, trust) = open(dir.path());
            assert_eq!(trust, Ok(Believed::SameBoot));
            assert!(all(&engine) == expected, "after {round} batches");
        }
    }
    println!("{written} bytes written, {most} at most");
    assert!(engine.far.bytes() < written, "something was removed");
    let mut rest = Batch::default();
    for key in expected.keys().skip(1) {
        rest.delete(key.clone());
    }
    engine.write(rest).unwrap();
    let (key, value) = expected.pop_first().unwrap();
    assert_eq!(all(&engine), BTreeMap::from([(key, value)]));
    assert!(files(dir.path()).len() <= 2, "{:?}", files(dir.path()));
}

#[test]
fn what_a_kill_left_behind_the_last_value_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = open(dir.path());
    put(&engine, "a", &[1; LARGE]);
    kill(engine);
    let file = files(dir.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [&whole[..], b"half of a record"].concat()).unwrap();
    fs::write(dir.path().join(VALUES).join("00000000000000ff.far"), "in vain").unwrap();
    let (engine, trust) = open(dir.path());
    assert_eq!(trust, Ok(Believed::SameBoot));
    assert_eq!(fs::read(&file).unwrap(), whole);
    assert_eq!(files(dir.path()), [file]);
    put(&engine, "b", &[2; LARGE]);
    assert_eq!(engine.get(b"a").unwrap().unwrap(), vec![1; LARGE]);
    assert_eq!(engine.get(b"b").unwrap().unwrap(), vec![2; LARGE]);
}

#[test]
fn a_damaged_value_is_told_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = open(dir.path());
    put(&engine, "a", &[1; LARGE]);
    let file = files(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[LARGE / 2] ^= 1;
    fs::write(&file, bytes).unwrap();
    let told = engine.get(b"a").unwrap_err();
    assert!(
        matches!(&told, EngineError::Corrupt { key, .. } if key == "61"),
        "{told}"
    );
    let scanned = engine.scan(b"a"..b"b", &mut |_, _| panic!("a damaged value was shown"));
    assert!(matches!(scanned, Err(EngineError::Corrupt { .. })));
}

#[test]
fn an_engine_whose_values_are_cut_or_gone_is_rebuilt() {
    let cut = |file: &Path| fs::File::options().write(true).open(file).unwrap().set_len(9).unwrap();
    let remove = |file: &Path| fs::remove_file(file).unwrap();
    for damage in [&cut as &dyn Fn(&Path), &remove] {
        let dir = tempfile::tempdir().unwrap();
        let (engine, _) = open(dir.path());
        put(&engine, "a", &[1; LARGE]);
        kill(engine);
        damage(&files(dir.path())[0]);
        let (engine, trust) = open(dir.path());
        assert!(matches!(trust, Err(Distrust::Unopened(_))), "{trust:?}");
        assert_eq!((engine.get(b"a").unwrap(), files(dir.path()).len()), (None, 0));
    }
}

#[test]
fn an_engine_of_the_version_before_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = open(dir.path());
    put(&engine, "a", b"1");
    kill(engine);
    let marker = dir.path().join("trust");
    let text = fs::read_to_string(&marker)
        .unwrap()
        .replace("kvorum engine 2", "kvorum engine 1");
    let body = text.split("crc32c").next().unwrap();
    fs::write(
        &marker,
        format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes())),
    )
    .unwrap();
    let (engine, trust) = open(dir.path());
    assert!(matches!(trust, Err(Distrust::Marker(_))), "{trust:?}");
    assert_eq!(engine.get(b"a").unwrap(), None);
}

#[test]
fn an_engine_that_was_opened_again_has_its_large_values() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = open(dir.path());
    put(&engine, "a", &[1; LARGE]);
    engine.flush().unwrap();
    engine.unsettled().settled();
    let mut batch = Batch::default();
    batch.put(b"b".to_vec(), Bytes::from(vec![2; LARGE]));
    // Nobody wrote this out, and sled comes back without it.
    engine.unsettled().add(batch);
    let times = engine.opened().times;
    engine.open_again(times, &super::super::room::closed()).unwrap();
    assert_eq!(engine.get(b"a").unwrap().unwrap(), vec![1; LARGE]);
    assert_eq!(engine.get(b"b").unwrap().unwrap(), vec![2; LARGE]);
}
