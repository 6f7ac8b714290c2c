//! Everything that the node does to its disk fails once, at every failpoint and in every way that matters: an error, no
//! space, the end of the process before it, half a write. What was acknowledged is there afterwards, with the same ids and
//! no term from before, also after a power cut that takes back whatever was never synced.
//!
//! The members are debug builds with failpoints (`node/faults`) and small sizes, on disks whose power can be cut. What is
//! expected of each failpoint is in `cases`; an ordinary run draws one way for each, `KVORUM_FAILURES_ALL` runs all.

mod cases;
mod commands;
mod member;
mod transfer;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvorum_faults::FAILPOINTS;
use kvorum_tests::seed;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::runtime::Handle;

use cases::{CASES, Case, Stage};

/// Clusters at once: each is one process that mostly waits.
const AT_ONCE: usize = 6;

/// How a failpoint fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// An error of the disk.
    Error,
    /// No space.
    NoSpace,
    /// Half is written, then an error.
    Short,
    /// The process ends before.
    Die,
    /// Half is written, then the process ends.
    Torn,
}

impl Way {
    /// The word that the node knows it by.
    fn word(self) -> &'static str {
        match self {
            Way::Error => "EIO",
            Way::NoSpace => "ENOSPC",
            Way::Short => "short",
            Way::Die => "die",
            Way::Torn => "torn",
        }
    }
}

/// What a member does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// It ends, and its last line names file and reason.
    Ends,
    /// It goes on, at once or when there is room again.
    GoesOn,
    /// It was ended.
    Dies,
    /// It is stopped in order, and says that the engine will be rebuilt.
    Stops,
    /// The command fails, and names file and reason.
    Refuses,
}

/// One line of the table.
struct Row {
    case: &'static Case,
    way: Way,
    reaction: Reaction,
    outcome: String,
    took: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            case,
            way,
            reaction,
            outcome,
            took,
        } = self;
        let (way, reaction) = (way.word(), format!("{reaction:?}"));
        let stage = format!("{:?}", case.stage);
        let took = took.as_secs_f32();
        write!(
            formatter,
            "{:<26} {way:<7} {stage:<9} {reaction:<9} {took:>4.1} s  {outcome}",
            case.failpoint
        )
    }
}

/// The cases of this run: for each failpoint of each stage one way, or all of them.
fn drawn(random: &mut StdRng) -> Vec<(&'static Case, Way)> {
    let all = std::env::var_os("KVORUM_FAILURES_ALL").is_some();
    let mut drawn = Vec::new();
    for case in CASES {
        let ways = case.ways();
        match all {
            true => drawn.extend(ways.into_iter().map(|way| (case, way))),
            false => drawn.extend(ways.choose(random).map(|way| (case, *way))),
        }
    }
    drawn
}

/// Runs one case to its end, on a thread that may wait.
fn run(case: &'static Case, way: Way, seed: u64) -> Row {
    let began = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let outcome = Handle::current().block_on(async {
        match case.stage {
            Stage::Saving | Stage::Restoring => commands::fails(case, way).await,
            Stage::Receiving => transfer::fails(case, way, &mut random).await,
            Stage::Founding | Stage::Load | Stage::Restart | Stage::Stop => member::fails(case, way, &mut random).await,
        }
    });
    Row {
        case,
        way,
        reaction: case.reaction(way),
        outcome,
        took: began.elapsed(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failpoint_fails_and_nothing_acknowledged_is_lost() {
    let (mut random, seed) = seed::generator("failures");
    let drawn = drawn(&mut random);
    let count = drawn.len();
    let waiting = Arc::new(Mutex::new(drawn.into_iter().enumerate()));
    let began = Instant::now();
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let waiting = Arc::clone(&waiting);
            tokio::task::spawn_blocking(move || {
                let (mut rows, mut failed) = (Vec::new(), Vec::new());
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some((number, (case, way))) = next else {
                        return (rows, failed);
                    };
                    let seed = seed ^ (number as u64) << 32;
                    // So that one failure does not hide the others.
                    match std::panic::catch_unwind(|| run(case, way, seed)) {
                        Ok(row) => rows.push(row),
                        Err(_) => failed.push(format!("{} {}", case.failpoint, way.word())),
                    }
                }
            })
        })
        .collect();
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for worker in workers {
        let (some, bad) = worker.await.unwrap();
        rows.extend(some);
        failed.extend(bad);
    }
    rows.sort_by_key(|row| row.case.failpoint);
    for row in &rows {
        println!("{row}");
    }
    println!(
        "{} of {count} cases held in {:?}, seed {seed}",
        rows.len(),
        began.elapsed()
    );
    assert!(failed.is_empty(), "seed {seed}: {failed:#?}");
}

#[test]
fn every_failpoint_has_a_case() {
    let known: BTreeSet<&str> = FAILPOINTS.iter().copied().collect();
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.failpoint).collect();
    assert_eq!(known, cases);
    assert_eq!(known.len(), FAILPOINTS.len(), "each is listed once");
}
