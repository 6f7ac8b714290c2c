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
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, LinearizationInfo, Model, Operation};

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
    operations: Mutex<Vec<Operation<Register>>>,
    failures: Mutex<BTreeMap<String, usize>>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            start: Instant::now(),
            operations: Mutex::new(Vec::new()),
            failures: Mutex::new(BTreeMap::new()),
        }
    }
}

impl Recorder {
    /// The time now, on the run's own clock, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Adds an operation that was called at `called` and has just been answered.
    pub fn add(&self, client: u32, called: i64, step: Step) {
        let open = step.answer == Answer::Unknown;
        if open && step.action == Action::Get {
            return;
        }
        let returned = if open { i64::MAX } else { self.now() };
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

    /// Checks the whole history and prints what it was made of.
    ///
    /// # Panics
    /// When it is not linearizable, with the path of a picture of it; when the search did not end.
    pub fn check(&self, name: &str) {
        let operations = self.operations();
        let open = operations
            .iter()
            .filter(|operation| operation.op.answer == Answer::Unknown)
            .count();
        let started = Instant::now();
        let (mut result, info) = porcupine_rs::check_operations_info_timeout(&operations, SEARCH);
        if started.elapsed() >= SEARCH {
            // The checker calls what it had no time to search illegal.
            result = CheckResult::Unknown;
        }
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
        assert!(
            result == CheckResult::Ok,
            "{name}: {result:?}; picture: {}",
            picture(name, &info)
        );
    }
}

/// Writes the picture of a failed history where it outlives the test.
fn picture(name: &str, info: &LinearizationInfo<Register>) -> String {
    let path: PathBuf = std::env::temp_dir().join(format!("kvorum-{name}-{}.html", std::process::id()));
    match porcupine_rs::visualize_path(info, &path) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("not written: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history out of `(call, return, action, answer)`; a return of zero is "never".
    fn verdict(steps: &[(i64, i64, Action, Answer)]) -> CheckResult {
        let operations: Vec<Operation<Register>> = steps
            .iter()
            .map(|(called, returned, action, answer)| Operation {
                client_id: None,
                call_time: *called,
                return_time: if *returned == 0 { i64::MAX } else { *returned },
                op: Step {
                    key: 0,
                    action: action.clone(),
                    answer: answer.clone(),
                },
                metadata: None,
            })
            .collect();
        porcupine_rs::check_operations_timeout(&operations, SEARCH)
    }

    fn put(value: u64) -> Action {
        Action::Put(value)
    }

    fn found(value: u64, revision: i64) -> Answer {
        Answer::Found(Some((value, revision)))
    }

    #[test]
    fn overlapping_writes_may_take_either_order_but_only_one() {
        let puts = [(0, 10, put(1), Answer::Put(3)), (5, 15, put(2), Answer::Put(2))];
        let one = [&puts[..], &[(20, 25, Action::Get, found(1, 3))]].concat();
        assert_eq!(verdict(&one), CheckResult::Ok);
        let both = [&one[..], &[(30, 35, Action::Get, found(2, 2))]].concat();
        assert_eq!(verdict(&both), CheckResult::Illegal);
    }

    #[test]
    fn a_stale_read_is_seen() {
        let history = [
            (0, 1, put(1), Answer::Put(2)),
            (2, 3, put(2), Answer::Put(3)),
            (4, 5, Action::Get, found(1, 2)),
        ];
        assert_eq!(verdict(&history), CheckResult::Illegal);
    }

    #[test]
    fn a_lost_write_is_seen() {
        let history = [(0, 1, put(1), Answer::Put(2)), (2, 3, Action::Get, Answer::Found(None))];
        assert_eq!(verdict(&history), CheckResult::Illegal);
    }

    #[test]
    fn an_unknown_write_may_happen_late_or_never() {
        let open = (0, 0, put(7), Answer::Unknown);
        let late = [
            open.clone(),
            (1, 2, Action::Get, Answer::Found(None)),
            (3, 4, Action::Get, found(7, 2)),
        ];
        assert_eq!(verdict(&late), CheckResult::Ok);
        let never = [open.clone(), (1, 2, Action::Get, Answer::Found(None))];
        assert_eq!(verdict(&never), CheckResult::Ok);
        let undone = [
            open,
            (1, 2, Action::Get, found(7, 2)),
            (3, 4, Action::Get, Answer::Found(None)),
        ];
        assert_eq!(verdict(&undone), CheckResult::Illegal);
    }

    #[test]
    fn a_swap_that_saw_another_value_is_seen() {
        let swap = Action::Swap {
            expected: Some(1),
            value: 2,
        };
        let good = [
            (0, 1, put(1), Answer::Put(2)),
            (2, 3, swap.clone(), Answer::Swapped(Some(3))),
        ];
        assert_eq!(verdict(&good), CheckResult::Ok);
        let blind = [(0, 1, put(5), Answer::Put(2)), (2, 3, swap, Answer::Swapped(Some(3)))];
        assert_eq!(verdict(&blind), CheckResult::Illegal);
    }

    #[test]
    fn a_revision_that_does_not_rise_is_seen() {
        let history = [(0, 1, put(1), Answer::Put(5)), (2, 3, put(2), Answer::Put(4))];
        assert_eq!(verdict(&history), CheckResult::Illegal);
    }
}
