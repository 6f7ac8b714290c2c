//! Black-box tests of the log: real files in a temporary directory, public interface only.
//!
//! Shared here: how tests open a log, append and wait, and look at what a log replays.

#![allow(
    clippy::unwrap_used,
    reason = "the lint knows test functions, but not what they share"
)]

mod damage;
mod everyday;
mod failing_disk;
mod kill;
mod model;

use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use kvorum_wal::{Batch, Inspection, Kind, OpenError, Options, Position, Wal, inspect, open};

/// Nothing here takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record as it was replayed or appended.
type Record = (Position, Kind, Vec<u8>);

/// Small segments; a failing disk fails the test.
fn options() -> Options {
    let fatal = Arc::new(|failure: &kvorum_wal::Failure| panic!("{failure}"));
    Options {
        segment_bytes: 4096,
        first_segment_bytes: 2048,
        ..Options::new(fatal)
    }
}

/// Like `options`, for tests that open a log hundreds of times and cut no power.
fn unsynced() -> Options {
    Options {
        sync: false,
        ..options()
    }
}

/// Opens, and collects what is replayed.
fn open_in(dir: &Path, options: Options) -> Result<(Wal, Vec<Record>), OpenError> {
    let mut seen = Vec::new();
    let wal = open(dir, options, |at, kind, payload| {
        seen.push((at, kind, payload.to_vec()));
        Ok::<_, Infallible>(())
    })?;
    Ok((wal, seen))
}

/// Looks at a log without opening it, and collects what is replayed.
fn inspect_in(dir: &Path) -> (Inspection, Vec<Record>) {
    let mut seen = Vec::new();
    let found = inspect(dir, None, |at, kind, payload| {
        seen.push((at, kind, payload.to_vec()));
        Ok::<_, Infallible>(())
    });
    (found, seen)
}

/// Appends a batch of records of kind 1 and waits until it is on disk.
fn append(wal: &Wal, payloads: &[Vec<u8>]) -> Vec<Record> {
    let mut batch = Batch::new();
    for payload in payloads {
        batch.push(Kind(1), payload.clone()).unwrap();
    }
    let (done, written) = mpsc::channel();
    let positions = wal.append(batch, move |result| done.send(result).unwrap()).unwrap();
    written.recv_timeout(PATIENCE).unwrap().unwrap();
    positions
        .into_iter()
        .zip(payloads)
        .map(|(at, payload)| (at, Kind(1), payload.clone()))
        .collect()
}

/// Waits for something that another thread is about to make true.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        thread::yield_now();
    }
}

/// A payload that says which one it is.
fn payload(i: usize, len: usize) -> Vec<u8> {
    let mut payload = format!("record {i} ").into_bytes();
    payload.resize(len.max(payload.len()), b'.');
    payload
}

/// The file of a segment.
fn segment_file(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

/// Names of the files in `dir`, in order.
fn listing(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Copies the files of `from` into a new directory.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in listing(from) {
        fs::copy(from.join(&name), to.path().join(&name)).unwrap();
    }
    to
}
