//! Many seeds, each in a process of its own, as many at once as there are processors.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use crate::outcome;

/// After so many seeds it is told how far it is.
const TELL_EVERY: u64 = 500;

#[derive(Default)]
struct Sums {
    counts: BTreeMap<String, u64>,
    failed: Vec<u64>,
    done: u64,
}

/// Runs `count` seeds from `from` on; whether all were good.
pub(crate) fn run(from: u64, count: u64) -> anyhow::Result<bool> {
    let program = std::env::current_exe()?;
    let processors = thread::available_parallelism()?.get();
    let (next, sums, begun) = (AtomicU64::new(from), Mutex::new(Sums::default()), Instant::now());
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let ran = Command::new(&program).args(["one", &seed.to_string()]).output();
                    take(&sums, seed, ran, begun, count);
                }
            });
        }
    });
    let sums = sums.into_inner().expect("no thread panicked");
    tell(&sums, begun, processors);
    if let Some(first) = sums.failed.first() {
        println!(
            "failed: {:?}; again: KVORUM_SEED={first} tests/scripts/simulation",
            sums.failed
        );
    }
    Ok(sums.failed.is_empty() && sums.done == count)
}

fn take(sums: &Mutex<Sums>, seed: u64, ran: std::io::Result<std::process::Output>, begun: Instant, count: u64) {
    let (good, said) = match ran {
        Ok(output) => (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        ),
        Err(error) => (false, error.to_string()),
    };
    let mut sums = sums.lock().expect("no thread panicked");
    sums.done += 1;
    if !good {
        println!("--- seed {seed} failed:\n{said}---");
        sums.failed.push(seed);
    }
    let last = said.lines().rfind(|line| line.starts_with("seed=")).unwrap_or_default();
    for (name, number) in outcome::counts(last) {
        *sums.counts.entry(name).or_default() += number;
    }
    if sums.done.is_multiple_of(TELL_EVERY) {
        println!(
            "{} of {count} seeds, {} failed, {:.0?}",
            sums.done,
            sums.failed.len(),
            begun.elapsed()
        );
    }
}

fn tell(sums: &Sums, begun: Instant, processors: usize) {
    let seconds = begun.elapsed().as_secs_f64();
    let per_seed = seconds * processors as f64 / sums.done.max(1) as f64;
    println!(
        "{} seeds in {seconds:.1} s on {processors} processors: {per_seed:.2} s for each",
        sums.done
    );
    for (name, count) in &sums.counts {
        println!("{count:>12}  {name}");
    }
}
