//! The books of a run: every operation with its times, and the figures of each step. Shared by all clients; what is kept
//! under the lock is quick.

use crate::history::{Action, Entry, Outcome, Verdict, check};
use crate::report::{End, Missing, Report, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the check for linearizability may take. The keys of the workload take milliseconds each.
const CHECK_SECONDS_MAX: u64 = 300;

/// The books.
#[derive(Debug)]
pub struct Ledger {
    begun: Instant,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    entries: Vec<Entry>,
    total: Account,
    steps: Vec<Account>,
}

/// A step while it goes on.
#[derive(Debug)]
struct Account {
    step: Step,
    begun_ns: u64,
    last_write_ns: u64,
    closed: bool,
}

impl Account {
    fn open(name: &str, now_ns: u64) -> Account {
        let step = Step {
            name: name.to_owned(),
            ..Step::default()
        };
        Account {
            step,
            begun_ns: now_ns,
            last_write_ns: now_ns,
            closed: false,
        }
    }

    fn note(&mut self, entry: &Entry, error: Option<&str>, now_ns: u64) {
        if self.closed {
            return;
        }
        if let Some(kind) = error {
            *self.step.errors.entry(kind.to_owned()).or_default() += 1;
        }
        match entry.outcome {
            Outcome::Written => {
                self.step.writes += 1;
                self.step.longest_gap_ms = self
                    .step
                    .longest_gap_ms
                    .max(milliseconds(now_ns.saturating_sub(self.last_write_ns)));
                self.last_write_ns = self.last_write_ns.max(now_ns);
            }
            Outcome::Read { .. } => self.step.reads += 1,
            Outcome::Unknown => self.step.unknown += 1,
            Outcome::Refused => {}
        }
        if error.is_none() {
            self.step.slowest_ms = self
                .step
                .slowest_ms
                .max(milliseconds(now_ns.saturating_sub(entry.invoked_ns)));
        }
    }

    fn seen_at(&self, now_ns: u64) -> Step {
        let mut step = self.step.clone();
        if !self.closed {
            step.longest_gap_ms = step
                .longest_gap_ms
                .max(milliseconds(now_ns.saturating_sub(self.last_write_ns)));
            step.seconds = milliseconds(now_ns.saturating_sub(self.begun_ns)) / 1000.0;
        }
        step
    }

    fn close(&mut self, now_ns: u64) {
        self.step = self.seen_at(now_ns);
        self.closed = true;
    }
}

impl Default for Ledger {
    fn default() -> Ledger {
        let pages = Pages {
            entries: Vec::new(),
            total: Account::open("total", 0),
            steps: Vec::new(),
        };
        Ledger {
            begun: Instant::now(),
            pages: Mutex::new(pages),
        }
    }
}

impl Ledger {
    /// Time since the run began, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Writes an operation down; `error` is the kind of its failure.
    pub fn note(&self, entry: Entry, error: Option<&str>) {
        let mut pages = self.pages();
        // The time is taken under the lock, so that writes are in order and no gap is negative.
        let now_ns = self.now_ns();
        pages.total.note(&entry, error, now_ns);
        if let Some(step) = pages.steps.last_mut() {
            step.note(&entry, error, now_ns);
        }
        pages.entries.push(entry);
    }

    /// Ends the step that goes on, if any, and begins one of this name.
    pub fn mark(&self, name: &str) {
        let mut pages = self.pages();
        let now_ns = self.now_ns();
        if let Some(step) = pages.steps.last_mut() {
            step.close(now_ns);
        }
        pages.steps.push(Account::open(name, now_ns));
    }

    /// The figures so far.
    pub fn report(&self) -> Report {
        let pages = self.pages();
        let now_ns = self.now_ns();
        let steps = pages.steps.iter().map(|step| step.seen_at(now_ns)).collect();
        Report {
            total: pages.total.seen_at(now_ns),
            steps,
            end: None,
        }
    }

    /// Stops the clock of all steps: what comes after is not part of the run.
    pub fn close(&self) {
        let mut pages = self.pages();
        let now_ns = self.now_ns();
        pages.total.close(now_ns);
        if let Some(step) = pages.steps.last_mut() {
            step.close(now_ns);
        }
    }

    /// Every key that was used.
    pub fn keys(&self) -> Vec<String> {
        let pages = self.pages();
        let mut keys: Vec<String> = pages.entries.iter().map(|entry| entry.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// All entries, in the order in which they ended.
    pub fn entries(&self) -> Vec<Entry> {
        self.pages().entries.clone()
    }

    /// The verdict over everything, given what each key holds in the end; a key that is absent could not be read.
    pub fn conclude(&self, held: &BTreeMap<String, Option<String>>) -> End {
        let (keys, entries) = (self.keys(), self.entries());
        let unread: Vec<String> = keys.into_iter().filter(|key| !held.contains_key(key)).collect();
        let verdict: Verdict = check(&entries, Duration::from_secs(CHECK_SECONDS_MAX));
        let linearizable = verdict.linearizable() && unread.is_empty();
        End {
            linearizable,
            verdict,
            unread,
            missing: missing(&entries, held),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // The books are consistent between any two statements under the lock.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Acknowledged writes that are gone: what the key holds was written, and acknowledged, before they were even asked for;
/// or the key holds nothing although nobody deleted it.
fn missing(entries: &[Entry], held: &BTreeMap<String, Option<String>>) -> Vec<Missing> {
    let written = |entry: &Entry| match &entry.action {
        Action::Put { value } | Action::Swap { value, .. } => Some(value.clone()),
        Action::Get | Action::Delete => None,
    };
    let mut ended: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let mut deleted: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        if let (Some(value), Outcome::Written, Some(at)) = (written(entry), &entry.outcome, entry.completed_ns) {
            ended.insert((&entry.key, value), at);
        }
        if entry.action == Action::Delete && entry.outcome != Outcome::Refused {
            deleted.insert(&entry.key);
        }
    }
    let gone = |entry: &&Entry| match held.get(&entry.key) {
        None => false,
        Some(None) => !deleted.contains(entry.key.as_str()),
        Some(Some(found)) => ended
            .get(&(&entry.key, found.clone()))
            .is_some_and(|at| *at < entry.invoked_ns),
    };
    let acknowledged = entries.iter().filter(|entry| entry.outcome == Outcome::Written);
    let lost = acknowledged.filter(gone).filter_map(|entry| {
        let found = held.get(&entry.key).cloned().flatten();
        Some(Missing {
            key: entry.key.clone(),
            value: written(entry)?,
            found,
        })
    });
    lost.collect()
}

fn milliseconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: &str, invoked_ns: u64, completed_ns: Option<u64>) -> Entry {
        let outcome = if completed_ns.is_some() {
            Outcome::Written
        } else {
            Outcome::Unknown
        };
        Entry {
            client: 1,
            key: "k".into(),
            invoked_ns,
            completed_ns,
            action: Action::Put { value: value.into() },
            outcome,
        }
    }

    fn lost(entries: &[Entry], held: Option<&str>) -> Vec<String> {
        let held = BTreeMap::from([("k".to_owned(), held.map(String::from))]);
        missing(entries, &held)
            .into_iter()
            .map(|missing| missing.value)
            .collect()
    }

    #[test]
    fn a_later_write_hides_an_earlier_one() {
        let entries = [put("a", 0, Some(1)), put("b", 2, Some(3))];
        assert!(lost(&entries, Some("b")).is_empty());
        assert_eq!(lost(&entries, Some("a")), ["b"]);
        assert_eq!(lost(&entries, None), ["a", "b"]);
    }

    #[test]
    fn an_unknown_write_may_come_late() {
        assert!(lost(&[put("x", 0, None), put("a", 1, Some(2))], Some("x")).is_empty());
    }

    #[test]
    fn a_gap_counts_while_it_is_open() {
        let ledger = Ledger::default();
        ledger.mark("quiet");
        let marked_ns = ledger.now_ns();
        while ledger.now_ns() < marked_ns + 5_000_000 {
            std::thread::yield_now();
        }
        assert!(ledger.report().step("quiet").unwrap().longest_gap_ms >= 5.0);
    }
}
