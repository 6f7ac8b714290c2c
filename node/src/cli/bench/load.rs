//! Many clients at once, each with one request under way, until there are no more or somebody interrupts.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::Failure;
use super::channels::{Channels, Speaker, told};
use super::flags::{Plan, Until};
use super::interrupt::Interrupt;
use super::keys::Dice;
use super::latency::Tally;
use super::pace::Pace;
use super::workload::{KINDS, Kind, Workload};

/// How often a person who looks on is told how far it is.
const PROGRESS_TIME: Duration = Duration::from_millis(500);
/// What a client waits after an error, so that nobody who is down already is hammered.
const ERROR_TIME: Duration = Duration::from_millis(10);
/// Clients that write the keys before a run, if it has fewer itself: one alone waits for the disk most of the time.
const FILLING_CLIENTS: u32 = 64;

/// A run.
pub(super) struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Plan,
    workload: Workload,
    pace: Pace,
    origin: Instant,
    next: AtomicU64,
    done: AtomicU64,
    stop: CancellationToken,
    interrupted: AtomicBool,
    tallies: [Mutex<Tally>; KINDS],
}

impl Load {
    pub(super) fn new(plan: &Plan, workload: &Workload) -> Self {
        let shared = Shared {
            plan: plan.clone(),
            workload: workload.clone(),
            pace: Pace::new(plan.rate, plan.until),
            origin: Instant::now(),
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stop: CancellationToken::new(),
            interrupted: AtomicBool::new(false),
            tallies: Default::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What times in values count from.
    pub(super) fn origin(&self) -> Instant {
        self.shared.origin
    }

    /// What came of the requests of a kind.
    pub(super) fn tally(&self, kind: Kind) -> Tally {
        lock(&self.shared.tallies[kind as usize]).clone()
    }

    pub(super) fn was_interrupted(&self) -> bool {
        self.shared.interrupted.load(Ordering::Relaxed)
    }

    /// Runs to the end; the time it took.
    pub(super) async fn run(&self, channels: &Channels) -> Result<Duration, Failure> {
        let mut interrupt = Interrupt::new()?;
        let seed = getrandom::u64().map_err(|error| Failure::Runtime(std::io::Error::other(error.to_string())))?;
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for client in 0..self.shared.plan.clients {
            let dice = Dice::new(seed ^ u64::from(client));
            clients.spawn(work(Arc::clone(&self.shared), channels.of(client), dice, start));
        }
        let mut ticks = tokio::time::interval(PROGRESS_TIME);
        loop {
            tokio::select! {
                ended = clients.join_next() => match ended {
                    Some(ended) => ended.map_err(|error| Failure::Runtime(error.into()))?,
                    None => break,
                },
                _ = ticks.tick() => self.progress(start.elapsed(), '\r')?,
                () = interrupt.heard() => {
                    self.shared.interrupted.store(true, Ordering::Relaxed);
                    self.shared.stop.cancel();
                }
            }
        }
        let time = start.elapsed();
        self.progress(time, '\n')?;
        Ok(time)
    }

    /// Says how far it is, where a person looks on.
    fn progress(&self, time: Duration, end: char) -> Result<(), Failure> {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let done = self.shared.done.load(Ordering::Relaxed);
            let rate = done as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE);
            let of = match self.shared.plan.until {
                Until::Total(total) => format!("{done} of {total} requests ({} %)", done * 100 / total),
                Until::Elapsed(all) => format!(
                    "{:.0} of {:.0} s, {done} requests",
                    time.as_secs_f64(),
                    all.as_secs_f64()
                ),
            };
            write!(stderr, "{of}, {rate:.0}/s   {end}")?;
        }
        Ok(())
    }
}

/// Writes every key once.
pub(super) async fn fill(plan: &Plan, channels: &Channels) -> Result<(), Failure> {
    let plan = Plan {
        clients: plan.clients.max(FILLING_CLIENTS),
        until: Until::Total(plan.keys.count()),
        rate: 0,
        keys: plan.keys.in_order(),
        ..plan.clone()
    };
    let load = Load::new(&plan, &Workload::Put);
    load.run(channels).await?;
    if load.was_interrupted() {
        return Err(Failure::Refused(
            "interrupted while the keys to read were written".to_owned(),
        ));
    }
    let tally = load.tally(Kind::Put);
    match tally.errors().next() {
        Some((text, count)) => Err(Failure::Refused(format!(
            "{count} of the keys to read could not be written: {text}"
        ))),
        None => Ok(()),
    }
}

/// One client.
async fn work(shared: Arc<Shared>, mut speaker: Speaker, mut dice: Dice, start: Instant) {
    let value = dice.bytes(shared.plan.val_size);
    while !shared.stop.is_cancelled() {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(due) = shared.pace.due(number, start.elapsed()) else {
            return;
        };
        let due = tokio::time::sleep_until((start + due).into());
        if shared.stop.run_until_cancelled(due).await.is_none() {
            return;
        }
        let ask = shared
            .workload
            .request(number, &shared.plan.keys, &value, shared.origin.elapsed(), &mut dice);
        let tally = &shared.tallies[ask.kind() as usize];
        let sent = Instant::now();
        let answer = speaker.ask(ask).await;
        let latency = sent.elapsed();
        shared.done.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(()) => lock(tally).latencies.record(latency),
            Err(status) => {
                lock(tally).failed(&told(&status), 1);
                tokio::time::sleep(ERROR_TIME).await;
            }
        }
    }
}

/// What is behind the lock stays whole even if a holder panicked: it only counts.
pub(super) fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
