//! The clients: each does one operation after the other, on a few keys that all of them fight over. Keys are used for a
//! while and then left, so that no history grows too long to be checked; at the end every one of them is read back.

use super::dice::Dice;
use super::ledger::Ledger;
use super::wire::{Address, Wire};
use crate::history::{Action, Entry, Outcome};
use crate::report::Report;
use anyhow::Result;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How a failed client waits before it tries again: long enough not to burn a processor, short beside any gap that
/// matters.
const RETRY_PAUSE_MS: u64 = 10;
/// How often a key is asked for at the end before it counts as unread; with the pause below, some 30 s.
const READ_BACK_ATTEMPTS_MAX: u32 = 150;
/// The pause between those.
const READ_BACK_PAUSE_MS: u64 = 200;

/// What the clients do.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// How many clients at once
    #[arg(long, env = "KVORUM_WORKERS", default_value_t = 8)]
    pub workers: u32,
    /// How many keys are in use at any time
    #[arg(long, env = "KVORUM_KEYS", default_value_t = 5)]
    pub keys: u64,
    /// How many operations a set of keys sees before the next set's turn
    #[arg(long, env = "KVORUM_OPERATIONS_PER_SET", default_value_t = 1000)]
    pub operations_per_set: u64,
    /// Pause of each client after each operation, in milliseconds
    #[arg(long, env = "KVORUM_PAUSE_MS", default_value_t = 0)]
    pub pause_ms: u64,
    /// What the keys begin with; nobody else may write below it
    #[arg(long, env = "KVORUM_PREFIX", default_value = "workload/")]
    pub prefix: String,
    /// Where to write the history, one operation a line
    #[arg(long, env = "KVORUM_HISTORY")]
    pub history: Option<PathBuf>,
}

/// A run that goes on.
#[derive(Debug)]
pub struct Workload {
    address: Address,
    plan: Plan,
    /// Its books.
    pub ledger: Ledger,
    operations: AtomicU64,
    stopped: AtomicBool,
    stop: Notify,
}

impl Workload {
    /// A run that has not begun.
    pub fn new(address: Address, plan: Plan) -> Arc<Workload> {
        let (operations, stopped, stop) = (AtomicU64::new(0), AtomicBool::new(false), Notify::new());
        Arc::new(Workload {
            address,
            plan,
            ledger: Ledger::default(),
            operations,
            stopped,
            stop,
        })
    }

    /// Lets the clients finish what they are doing, and end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stop.notify_waiters();
        self.stop.notify_one();
    }

    /// Runs the clients until somebody stops them, then reads everything back and gives the verdict.
    pub async fn run(self: &Arc<Workload>) -> Result<Report> {
        let mut clients = JoinSet::new();
        for number in 1..=self.plan.workers {
            let workload = Arc::clone(self);
            clients.spawn(async move { workload.client(number).await });
        }
        self.stop.notified().await;
        while clients.join_next().await.is_some() {}
        self.ledger.close();
        let held = self.read_back().await;
        let workload = Arc::clone(self);
        let report = tokio::task::spawn_blocking(move || {
            let end = workload.ledger.conclude(&held);
            Report {
                end: Some(end),
                ..workload.ledger.report()
            }
        });
        let report = report.await?;
        self.write_history()?;
        Ok(report)
    }

    async fn client(&self, number: u32) {
        let mut wire = Wire::new(self.address.clone());
        let mut dice = Dice::new(u64::from(number));
        let mut last_seen: BTreeMap<u64, Option<String>> = BTreeMap::new();
        while !self.stopped.load(Ordering::Acquire) {
            let turn = self.operations.fetch_add(1, Ordering::Relaxed);
            let key = turn / self.plan.operations_per_set.max(1) * self.plan.keys + dice.roll(self.plan.keys.max(1));
            let value = format!("{number}-{turn}");
            let action = match dice.roll(10) {
                0..5 => Action::Put { value },
                5..8 => Action::Get,
                _ => Action::Swap {
                    expected: last_seen.get(&key).cloned().flatten(),
                    value,
                },
            };
            let outcome = self.perform(&mut wire, number, &self.key(key), action.clone()).await;
            let failed = matches!(outcome, Outcome::Refused | Outcome::Unknown);
            if let Some(seen) = seen(&action, outcome) {
                // Keys of earlier sets are never asked for again.
                last_seen.retain(|known, _| *known + self.plan.keys >= key);
                last_seen.insert(key, seen);
            }
            let pause = if failed {
                self.plan.pause_ms.max(RETRY_PAUSE_MS)
            } else {
                self.plan.pause_ms
            };
            if pause > 0 {
                super::pause::pause(pause).await;
            }
        }
    }

    async fn perform(&self, wire: &mut Wire, client: u32, key: &str, action: Action) -> Outcome {
        let invoked_ns = self.ledger.now_ns();
        let (outcome, error) = match wire.perform(key, &action).await {
            Ok(outcome) => (outcome, None),
            Err(failure) => (failure.outcome(), Some(failure.kind)),
        };
        let completed_ns = (outcome != Outcome::Unknown).then(|| self.ledger.now_ns());
        let entry = Entry {
            client,
            key: key.to_owned(),
            invoked_ns,
            completed_ns,
            action,
            outcome: outcome.clone(),
        };
        self.ledger.note(entry, error.as_deref());
        outcome
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number:08}", self.plan.prefix)
    }

    /// Reads every key. The reads are part of the history, so what they find must fit the rest.
    async fn read_back(self: &Arc<Workload>) -> BTreeMap<String, Option<String>> {
        let mut shares: Vec<Vec<String>> = vec![Vec::new(); usize::try_from(self.plan.workers.max(1)).unwrap_or(1)];
        let count = shares.len();
        for (place, key) in self.ledger.keys().into_iter().enumerate() {
            shares[place % count].push(key);
        }
        let mut readers = JoinSet::new();
        for (number, share) in (self.plan.workers + 1..).zip(shares) {
            let workload = Arc::clone(self);
            readers.spawn(async move { workload.read_share(number, share).await });
        }
        readers.join_all().await.into_iter().flatten().collect()
    }

    async fn read_share(&self, number: u32, keys: Vec<String>) -> Vec<(String, Option<String>)> {
        let mut wire = Wire::new(self.address.clone());
        let mut held = Vec::new();
        for key in keys {
            for _ in 0..READ_BACK_ATTEMPTS_MAX {
                if let Outcome::Read { value } = self.perform(&mut wire, number, &key, Action::Get).await {
                    held.push((key, value));
                    break;
                }
                super::pause::pause(READ_BACK_PAUSE_MS).await;
            }
        }
        held
    }

    fn write_history(&self) -> Result<()> {
        let Some(path) = &self.plan.history else {
            return Ok(());
        };
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for entry in self.ledger.entries() {
            serde_json::to_writer(&mut file, &entry)?;
            file.write_all(b"\n")?;
        }
        Ok(file.flush()?)
    }
}

/// What a client knows of a key after an operation, if that taught it anything.
fn seen(action: &Action, outcome: Outcome) -> Option<Option<String>> {
    match (action, outcome) {
        (Action::Put { value } | Action::Swap { value, .. }, Outcome::Written) => Some(Some(value.clone())),
        (Action::Delete, Outcome::Written) => Some(None),
        (_, Outcome::Read { value }) => Some(value),
        (_, Outcome::Refused | Outcome::Unknown) | (Action::Get, Outcome::Written) => None,
    }
}
