//! Histories of concurrent operations, and the check that they are linearizable.
//!
//! Each key is a register that knows its value and the revision that wrote it; keys are checked apart, which
//! linearizability allows. An operation whose outcome nobody knows (its connection broke, its member was killed) may
//! take effect at any time after its call, or never: it is given an end after everything else, and at that place it is
//! always acceptable. Reads without an answer say nothing and are left out.
//!
//! The model demands more than values: revisions must rise, and a read must show the revision of the write it shows.
//!
//! Worked example: put 1 (0..10), put 2 (5..15), read gives 1 (20..25). Both orders of the puts are possible while they
//! overlap, and the read decides for "2, then 1"; a second read that gives 2 has no place left, and the history fails.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, LinearizationInfo, Model, Operation};

use crate::checks::Violations;
use crate::checks::headers::{Header, Known};

mod saved;

/// How long the search may take. Histories here are searched in milliseconds; one that needs this long has too many
/// unknown outcomes to be judged, and that is a failure of the test.
const SEARCH: Duration = Duration::from_secs(120);

/// What was asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this value.
    Put(u64),
    /// Remove the key.
    Delete,
    /// Read it.
    Get,
    /// Write `value` if the key holds `expected` (`None`: does not exist).
    Swap {
        /// What the key must hold.
        expected: Option<u64>,
        /// What it then holds.
        value: u64,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, or a failure that leaves open whether the action took effect.
    Unknown,
    /// It is written, at this revision.
    Put(i64),
    /// It is removed at this revision, or (`None`) there was nothing to remove.
    Deleted(Option<i64>),
    /// The value and its revision, if there is one.
    Found(Option<(u64, i64)>),
    /// Whether the swap happened, and at which revision.
    Swapped(Option<i64>),
}

/// One operation on one key.
#[derive(Clone, Debug)]
pub struct Step {
    /// The key's number.
    pub key: u32,
    /// What was asked.
    pub action: Action,
    /// What came back.
    pub answer: Answer,
}

/// A key: what it holds and which revision wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    value: Option<u64>,
    /// The revision that wrote `value` if `exact`; otherwise a revision before it.
    revision: i64,
    exact: bool,
}

impl State {
    fn written(value: Option<u64>, revision: i64) -> State {
        State {
            value,
            revision,
            exact: true,
        }
    }

    fn written_somewhen(&self, value: Option<u64>) -> State {
        State {
            value,
            revision: self.revision,
            exact: false,
        }
    }
}

/// The register that each key is.
#[derive(Clone, Debug)]
pub struct Register;

impl Model for Register {
    type State = State;
    type Op = Step;
    type Metadata = ();

    fn init() -> State {
        State::written(None, 0)
    }

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut keys: BTreeMap<u32, Vec<Operation<Self>>> = BTreeMap::new();
        for operation in history {
            keys.entry(operation.op.key).or_default().push(operation.clone());
        }
        keys.into_values().collect()
    }

    fn step(state: &State, op: &Step) -> (bool, State) {
        let refused = (false, state.clone());
        match (&op.action, &op.answer) {
            (Action::Put(value), Answer::Unknown) => (true, state.written_somewhen(Some(*value))),
            (Action::Delete, Answer::Unknown) if state.value.is_some() => (true, state.written_somewhen(None)),
            (Action::Swap { expected, value }, Answer::Unknown) if state.value == *expected => {
                (true, state.written_somewhen(Some(*value)))
            }
            (_, Answer::Unknown) => (true, state.clone()),
            (Action::Put(value), Answer::Put(at)) => (*at > state.revision, State::written(Some(*value), *at)),
            (Action::Delete, Answer::Deleted(None)) => (state.value.is_none(), state.clone()),
            (Action::Delete, Answer::Deleted(Some(at))) => {
                (state.value.is_some() && *at > state.revision, State::written(None, *at))
            }
            (Action::Get, Answer::Found(None)) => (state.value.is_none(), state.clone()),
            (Action::Get, Answer::Found(Some((value, at)))) => {
                let revision = if state.exact {
                    *at == state.revision
                } else {
                    *at > state.revision
                };
                (
                    state.value == Some(*value) && revision,
                    State::written(Some(*value), *at),
                )
            }
            (Action::Swap { expected, .. }, Answer::Swapped(None)) => (state.value != *expected, state.clone()),
            (Action::Swap { expected, value }, Answer::Swapped(Some(at))) => (
                state.value == *expected && *at > state.revision,
                State::written(Some(*value), *at),
            ),
            _ => refused,
        }
    }

    fn describe_operation(op: &Step) -> String {
        format!("k{} {:?} -> {:?}", op.key, op.action, op.answer)
    }
}

/// Collects the operations of all clients of one run.
pub struct Recorder {
    start: Instant,
    seed: u64,
    operations: Mutex<Vec<Operation<Register>>>,
    failures: Mutex<BTreeMap<String, usize>>,
    known: Mutex<Known>,
    violations: Violations,
}

impl Recorder {
    /// Of a run whose clients draw from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Recorder {
        Recorder {
            start: Instant::now(),
            seed,
            operations: Mutex::new(Vec::new()),
            failures: Mutex::new(BTreeMap::new()),
            known: Mutex::default(),
            violations: Violations::default(),
        }
    }

    /// The time now, on the run's own clock, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Adds an operation that was called at `called` and has just been answered.
    pub fn add(&self, client: u32, called: i64, step: Step) {
        self.add_at(client, called, self.now(), step);
    }

    /// As [`Recorder::add`], for a run with a clock of its own: answered at `answered`.
    pub fn add_at(&self, client: u32, called: i64, answered: i64, step: Step) {
        let open = step.answer == Answer::Unknown;
        if open && step.action == Action::Get {
            return;
        }
        let returned = if open { i64::MAX } else { answered };
        let operation = Operation {
            client_id: Some(client),
            call_time: called,
            return_time: returned,
            op: step,
            metadata: None,
        };
        self.operations
            .lock()
            .expect("no client panicked while it held this")
            .push(operation);
    }

    /// What the headers of all answers so far say together.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known
            .lock()
            .expect("no client panicked while it held this")
            .clone()
    }

    /// Takes the header of a linearizable answer that was asked for when `before` was known.
    pub fn header(&self, before: &Known, header: Header) {
        let mut known = self.known.lock().expect("no client panicked while it held this");
        self.violations.note("headers", known.take(before, header));
    }

    /// What the headers of answers contradicted.
    #[must_use]
    pub fn header_violations(&self) -> Vec<String> {
        self.violations.found()
    }

    /// Counts a failure by its kind, so that what clients had to bear is printed beside the verdict.
    pub fn failed(&self, kind: &str) {
        let mut failures = self.failures.lock().expect("no client panicked while it held this");
        *failures.entry(kind.to_owned()).or_default() += 1;
    }

    /// The kinds of failures that were counted.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.failures
            .lock()
            .expect("no client panicked while it held this")
            .keys()
            .cloned()
            .collect()
    }

    /// Everything recorded.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation<Register>> {
        self.operations
            .lock()
            .expect("no client panicked while it held this")
            .clone()
    }

    /// The longest time in which no write was acknowledged, between the first and the last one.
    #[must_use]
    pub fn longest_write_gap(&self) -> Duration {
        let mut times: Vec<i64> = self
            .operations()
            .iter()
            .filter(|operation| matches!(operation.op.answer, Answer::Put(_)))
            .map(|operation| operation.return_time)
            .collect();
        times.sort_unstable();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        Duration::from_nanos(u64::try_from(longest).unwrap_or_default())
    }

    /// How many operations there were of each kind, those of unknown outcome apart.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for operation in self.operations() {
            let kind = match (&operation.op.action, &operation.op.answer) {
                (_, Answer::Unknown) => "of unknown outcome",
                (Action::Put(_), _) => "put",
                (Action::Delete, _) => "delete",
                (Action::Get, _) => "get",
                (Action::Swap { .. }, _) => "txn",
            };
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// What was acknowledged to have changed something: revision, key and, unless it was removed, value.
    #[must_use]
    pub fn changes(&self) -> Vec<(i64, u32, Option<u64>)> {
        let changed = |operation: &Operation<Register>| match (&operation.op.action, &operation.op.answer) {
            (Action::Put(value), Answer::Put(at)) | (Action::Swap { value, .. }, Answer::Swapped(Some(at))) => {
                Some((*at, operation.op.key, Some(*value)))
            }
            (Action::Delete, Answer::Deleted(Some(at))) => Some((*at, operation.op.key, None)),
            _ => None,
        };
        self.operations().iter().filter_map(changed).collect()
    }

    /// Keeps the history and its picture, because something else was found while it was made; where, in words.
    #[must_use]
    pub fn keep(&self, name: &str) -> String {
        let operations = self.operations();
        let (_, info) = search(&operations);
        saved::save(name, self.seed, &operations, &info)
    }

    /// Whether the history is linearizable.
    ///
    /// # Panics
    /// When the search did not end.
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        let (result, _) = search(&self.operations());
        assert!(result != CheckResult::Unknown, "the search did not end");
        result == CheckResult::Ok
    }

    /// Checks the whole history and prints what it was made of.
    ///
    /// # Panics
    /// When it is not linearizable or an answer's header was old, with the paths of a picture and of the history; when the
    /// search did not end.
    pub fn check(&self, name: &str) {
        let operations = self.operations();
        let open = operations
            .iter()
            .filter(|operation| operation.op.answer == Answer::Unknown)
            .count();
        let started = Instant::now();
        let (result, info) = search(&operations);
        println!(
            "{name}: {} operations ({open} of unknown outcome), longest write gap {:?}: {result:?} in {:?}",
            operations.len(),
            self.longest_write_gap(),
            started.elapsed()
        );
        for (kind, count) in self
            .failures
            .lock()
            .expect("no client panicked while it held this")
            .iter()
        {
            println!("{name}: {count} x {kind}");
        }
        let found = self.violations.found();
        assert!(
            result == CheckResult::Ok && found.is_empty(),
            "{name}: {result:?} {found:#?}; {}",
            saved::save(name, self.seed, &operations, &info)
        );
    }
}

/// Looks for an order in which the operations could have taken effect, one by one.
fn search(operations: &[Operation<Register>]) -> (CheckResult, LinearizationInfo<Register>) {
    let started = Instant::now();
    let (result, info) = porcupine_rs::check_operations_info_timeout(operations, SEARCH);
    // The checker calls what it had no time to search illegal.
    let ended = started.elapsed() < SEARCH;
    (if ended { result } else { CheckResult::Unknown }, info)
}

#[cfg(test)]
mod tests;
