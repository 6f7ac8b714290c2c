//! `kill -9` under load: a second process appends and says what was acknowledged, and is killed; every number it said
//! must be there, in order, and nothing else but what came next. The second process is this test binary again.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use kvorum_wal::{Batch, Kind, Options};

use crate::{open_in, options};

/// Names the directory to the second process.
const DIRECTORY: &str = "KVORUM_WAL_TEST_DIRECTORY";
/// Enough to be killed before, during and after writes, syncs and rotations.
const ROUNDS: usize = 25;

/// A short queue, so that groups are small and rotations many.
fn busy() -> Options {
    Options {
        segment_bytes: 16 * 1024,
        queue_bytes_max: 8 * 1024,
        ..options()
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        // Killed after more and more acknowledgements, at no particular moment.
        acknowledged = kill_after(dir.path(), 1 + 37 * round).max(acknowledged);
        let (wal, seen) = open_in(dir.path(), busy()).unwrap();
        let numbers: Vec<u64> = seen.iter().map(|(_, _, payload)| number(payload)).collect();
        let expected: Vec<u64> = (numbers.first().copied().unwrap_or(0)..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "round {round}: a gap");
        assert!(
            numbers.last().is_some_and(|last| *last >= acknowledged),
            "round {round}: {acknowledged} is lost"
        );
        // Older segments may be released, and go while we look.
        let live = wal.recovery().last_segment;
        for (at, _, payload) in seen.iter().filter(|(at, ..)| at.segment + 5 >= live) {
            assert_eq!(wal.reader().read(*at).unwrap(), payload, "round {round}");
        }
    }
}

/// Runs the second process until it has said `count` numbers, kills it, and returns the highest it ever said.
fn kill_after(dir: &Path, count: usize) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::appends_until_killed", "--exact", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let highest = said.by_ref().take(count).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died is still in the pipe.
    said.last().unwrap_or(highest)
}

/// The second process: does nothing unless it was told a directory.
#[test]
fn appends_until_killed() {
    let Ok(dir) = env::var(DIRECTORY) else { return };
    let (wal, seen) = open_in(Path::new(&dir), busy()).unwrap();
    let first = seen.last().map_or(0, |(_, _, payload)| number(payload) + 1);
    let next = seen.len();
    for i in first.. {
        let mut batch = Batch::new();
        let mut payload = i.to_le_bytes().to_vec();
        payload.resize(8 + (i as usize * 61 + next) % 900, i as u8);
        batch.push(Kind(1), payload).unwrap();
        let say = move |result: Result<(), _>| {
            result.unwrap();
            // One write for the line: half of one would be a number never acknowledged.
            std::io::stdout()
                .write_all(format!("acknowledged {i}\n").as_bytes())
                .unwrap();
        };
        let positions = wal.append(batch, say).unwrap();
        // Keep the log short, and have releases interrupted too.
        if i % 100 == 0 {
            wal.release(positions[0].segment.saturating_sub(5));
        }
    }
}

fn number(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[..8].try_into().unwrap())
}
