//! Runs simulated clusters: one, of the seed that is given, or many, each in a process of its own.
//!
//! ```text
//! kvorum-simulation one SEED [FAULT]       one cluster; the last line tells what happened
//! kvorum-simulation many FROM COUNT        as many as there are seeds, spread over the processors
//! ```
//!
//! Must keep true: a seed gives the whole run, bit for bit; a process runs one cluster, so that nothing of another one,
//! not even a counter in a library, is left to it.
//!
//! What is real in such a cluster and what is not, `docs/decisions/0017-a-simulated-cluster.md` tells.

#![allow(clippy::print_stdout, reason = "what was found is the program's answer")]

mod checks;
mod clients;
mod cluster;
mod faults;
mod lease;
mod links;
mod member;
mod outcome;
mod pool;
mod record;
mod watcher;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

/// The simulation runs on a thread of its own, whose hash maps draw their keys after the seed was loaded.
const STACK_BYTES: usize = 64 << 20;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, name: &str| -> anyhow::Result<u64> {
        let text = arguments.get(at).with_context(|| format!("{name} is missing"))?;
        text.parse().with_context(|| format!("{name}: {text}"))
    };
    let good = match arguments.first().map(String::as_str) {
        Some("one") => one(number(1, "the seed")?, arguments.get(2).map(String::as_str))?,
        Some("many") => pool::run(number(1, "the first seed")?, number(2, "the count")?)?,
        _ => bail!("one SEED [FAULT], or many FROM COUNT"),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(seed: u64, fault: Option<&str>) -> anyhow::Result<bool> {
    let fault = fault.map(faults::Deliberate::parse).transpose()?;
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_ansi(false)
            .without_time()
            .init();
    }
    kvorum_dice::load(seed);
    let running = std::thread::Builder::new().stack_size(STACK_BYTES);
    let running = running.spawn(move || cluster::run(seed, fault))?;
    let Ok(outcome) = running.join() else {
        println!("seed={seed}: the simulation itself panicked");
        return Ok(false);
    };
    println!("{outcome}");
    Ok(outcome.violations.is_empty())
}
