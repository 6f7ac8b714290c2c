//! Simulated clusters among the quick tests: some seeds, one of them twice, and each deliberate fault noticed.
//!
//! `KVORUM_SIMULATION_SEEDS` runs more of them; for thousands there is `tests/scripts/simulation`, which builds for speed.

#![allow(clippy::print_stdout, reason = "by which seed a fault was noticed is worth knowing")]

mod disk;

use std::process::Command;

use kvorum_tests::seed;

/// Clusters of an ordinary run: the same ones each time, so that it tells of the change under test. Others are tried by
/// `tests/scripts/simulation`.
const SEEDS: usize = 5;
/// A deliberate fault must be noticed by this seed, counted from one; each was by the second when this was written.
const NOTICED_BY: u64 = 15;

/// Runs the program; whether it was good, and what it said.
fn run(arguments: &[&str]) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_kvorum-simulation"))
        .args(arguments)
        .output();
    let ran = ran.expect("the program was built with this test");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn clusters_keep_their_promises() {
    let count = seed::count("KVORUM_SIMULATION_SEEDS", SEEDS);
    let (good, said) = run(&["many", "1", &count.to_string()]);
    println!("{said}");
    assert!(good, "{said}");
}

#[test]
fn a_seed_gives_the_whole_run() {
    let last = |said: String| said.lines().last().unwrap_or_default().to_owned();
    let [first, second] = [run(&["one", "3"]), run(&["one", "3"])];
    assert!(first.0, "{}", first.1);
    let [first, second] = [last(first.1), last(second.1)];
    assert!(first.contains(" digest="), "{first}");
    assert_eq!(first, second);
    assert_ne!(
        digest(&first),
        digest(&last(run(&["one", "4"]).1)),
        "a digest tells two runs apart"
    );
}

fn digest(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with("digest="))
}

/// Seeds are tried until one notices.
fn is_noticed(fault: &str) {
    for seed in 1..=NOTICED_BY {
        let (good, said) = run(&["one", &seed.to_string(), fault]);
        if !good {
            let first = said.lines().find(|line| line.starts_with("violation: "));
            println!("{fault}: seed {seed}: {}", first.expect("a failed run says why"));
            return;
        }
    }
    panic!("{fault} was not noticed by {NOTICED_BY} seeds");
}

#[test]
fn syncs_that_are_pretended_are_noticed() {
    is_noticed("no-sync");
}

#[test]
fn a_forgotten_vote_is_noticed() {
    is_noticed("vote-forgotten");
}

#[test]
fn reads_without_a_read_index_are_noticed() {
    is_noticed("reads-at-once");
}

#[test]
fn entries_out_of_order_are_noticed() {
    is_noticed("applied-out-of-order");
}

#[test]
fn a_dropped_event_is_noticed() {
    is_noticed("event-dropped");
}
