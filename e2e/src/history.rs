//! What clients did to a store and what they saw, and the question whether one store with one copy of everything could
//! have behaved like that: linearizability, per key.
//!
//! Each key is a register: empty at first, then written, deleted, swapped under a condition and read. An operation whose
//! outcome nobody knows (a timeout, a broken connection) may have happened at any moment after its call, or never; it
//! stays open to the end.
//!
//! The check is `porcupine-rs`, the algorithm of Wing, Gong and Lowe. What this file adds is the model and the care for
//! unknown outcomes: an unknown write that nobody ever saw is left out. That changes no verdict, because such a write
//! can always be put last, and it spares the search what it is worst at.
//!
//! ```
//! use kvorum_e2e::history::{Action, Entry, Outcome, check};
//! use std::time::Duration;
//!
//! let entry = |client, invoked_ns, completed_ns, action, outcome| Entry {
//!     client, key: "k".into(), invoked_ns, completed_ns: Some(completed_ns), action, outcome,
//! };
//! let written = entry(1, 0, 10, Action::Put { value: "a".into() }, Outcome::Written);
//! let stale = entry(2, 20, 30, Action::Get, Outcome::Read { value: None });
//! assert!(!check(&[written, stale], Duration::from_secs(10)).linearizable());
//! ```

use porcupine_rs::{CheckResult, Model, Operation};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// One operation of one client on one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who did it. A client does one thing at a time.
    pub client: u32,
    /// To which key.
    pub key: String,
    /// When it was asked for, in nanoseconds since the run began.
    pub invoked_ns: u64,
    /// When the answer came; none when there was no answer that says what happened.
    pub completed_ns: Option<u64>,
    /// What was asked for.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Read the key.
    Get,
    /// Write this value.
    Put {
        /// The value, best never written twice in one run.
        value: String,
    },
    /// Remove the key.
    Delete,
    /// Write this value if the key holds the expected one, or nothing at all; else read the key.
    Swap {
        /// What the key must hold.
        expected: Option<String>,
        /// What it then holds.
        value: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "got", rename_all = "snake_case")]
pub enum Outcome {
    /// The write, deletion or swap took place.
    Written,
    /// The read found this; so did a swap whose condition did not hold.
    Read {
        /// What the key held, if anything.
        value: Option<String>,
    },
    /// It certainly did not take place.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// The answer of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Keys looked at.
    pub keys: usize,
    /// Operations looked at.
    pub operations: usize,
    /// Keys whose history no single register explains.
    pub broken: Vec<String>,
    /// Keys that could not be decided in the given time.
    pub undecided: Vec<String>,
}

impl Verdict {
    /// Whether every key's history is explained.
    pub fn linearizable(&self) -> bool {
        self.broken.is_empty() && self.undecided.is_empty()
    }
}

/// Checks every key's history, within this much time for all of them together.
pub fn check(entries: &[Entry], limit: Duration) -> Verdict {
    let begun = Instant::now();
    let mut by_key: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        by_key.entry(&entry.key).or_default().push(entry);
    }
    let mut verdict = Verdict {
        keys: by_key.len(),
        operations: entries.len(),
        ..Verdict::default()
    };
    for (key, entries) in by_key {
        let left = limit.saturating_sub(begun.elapsed());
        match porcupine_rs::check_operations_timeout(&operations(&entries), left) {
            CheckResult::Ok => {}
            CheckResult::Illegal => verdict.broken.push(key.to_owned()),
            CheckResult::Unknown => verdict.undecided.push(key.to_owned()),
        }
    }
    verdict
}

/// A register, or nothing. Values are numbered per key, so that states are small and quickly compared.
#[derive(Clone, Debug)]
struct Register;

type Value = Option<u32>;

#[derive(Clone, Debug)]
enum Step {
    Read(Value),
    Write(Value),
    Swap { expected: Value, value: Value },
    SwapPerhaps { expected: Value, value: Value },
    SwapRefused { expected: Value, found: Value },
}

impl Model for Register {
    type State = Value;
    type Op = Step;
    type Metadata = ();

    fn init() -> Value {
        None
    }

    fn step(state: &Value, step: &Step) -> (bool, Value) {
        match step {
            Step::Read(value) => (state == value, *state),
            Step::Write(value) => (true, *value),
            Step::Swap { expected, value } => (state == expected, *value),
            Step::SwapPerhaps { expected, value } if state == expected => (true, *value),
            Step::SwapPerhaps { .. } => (true, *state),
            Step::SwapRefused { expected, found } => (state == found && state != expected, *state),
        }
    }
}

/// One key's values: their numbers, and those that somebody saw.
struct Values<'a> {
    numbers: HashMap<&'a str, u32>,
    seen: HashSet<&'a str>,
}

impl<'a> Values<'a> {
    fn of(entries: &[&'a Entry]) -> Values<'a> {
        let mut values = Values {
            numbers: HashMap::new(),
            seen: HashSet::new(),
        };
        for entry in entries {
            let (expected, written) = match &entry.action {
                Action::Get | Action::Delete => (None, None),
                Action::Put { value } => (None, Some(value)),
                Action::Swap { expected, value } => (expected.as_ref(), Some(value)),
            };
            let read = match &entry.outcome {
                Outcome::Read { value } => value.as_ref(),
                // A swap that took place saw what it expected.
                Outcome::Written => expected,
                Outcome::Refused | Outcome::Unknown => None,
            };
            values.seen.extend(read.map(String::as_str));
            for value in [expected, written, read].into_iter().flatten() {
                let next = u32::try_from(values.numbers.len()).expect("fewer than four billion values fit into memory");
                values.numbers.entry(value).or_insert(next);
            }
        }
        values
    }

    fn number(&self, value: Option<&String>) -> Value {
        value.and_then(|value| self.numbers.get(value.as_str()).copied())
    }

    /// What an entry says about its key; nothing when it cannot matter.
    fn step(&self, entry: &Entry) -> Option<Step> {
        let unseen = |value: &String| entry.outcome == Outcome::Unknown && !self.seen.contains(value.as_str());
        let step = match (&entry.action, &entry.outcome) {
            (_, Outcome::Refused) | (Action::Get, Outcome::Unknown | Outcome::Written) => return None,
            (Action::Put { value } | Action::Swap { value, .. }, _) if unseen(value) => return None,
            (Action::Get, Outcome::Read { value }) => Step::Read(self.number(value.as_ref())),
            (Action::Delete, _) => Step::Write(None),
            (Action::Put { value }, _) => Step::Write(self.number(Some(value))),
            (Action::Swap { expected, value }, outcome) => {
                let (expected, value) = (self.number(expected.as_ref()), self.number(Some(value)));
                match outcome {
                    Outcome::Written => Step::Swap { expected, value },
                    Outcome::Read { value: found } => Step::SwapRefused {
                        expected,
                        found: self.number(found.as_ref()),
                    },
                    Outcome::Unknown | Outcome::Refused => Step::SwapPerhaps { expected, value },
                }
            }
        };
        Some(step)
    }
}

/// One key's entries in the checker's words.
fn operations(entries: &[&Entry]) -> Vec<Operation<Register>> {
    let values = Values::of(entries);
    let operation = |entry: &&Entry| {
        let known = entry.completed_ns.filter(|_| entry.outcome != Outcome::Unknown);
        Some(Operation {
            client_id: Some(entry.client),
            call_time: nanoseconds(entry.invoked_ns),
            return_time: known.map_or(i64::MAX, nanoseconds),
            op: values.step(entry)?,
            metadata: None,
        })
    };
    entries.iter().filter_map(operation).collect()
}

fn nanoseconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    /// Reads a history: `client from-to action`, where `to` may be missing; `w a` writes, `r a` reads, `r -` finds
    /// nothing, `d` deletes, `s a b` swaps, `s a b =c` finds c instead.
    fn history(text: &str) -> Vec<Entry> {
        text.split("; ").map(entry).collect()
    }

    fn entry(line: &str) -> Entry {
        let words: Vec<&str> = line.split(' ').collect();
        let (from, to) = words[1].split_once('-').unwrap();
        let value = |word: &str| (word != "-").then(|| word.to_owned());
        let (action, done) = match words[2..] {
            ["r", found] => (Action::Get, Outcome::Read { value: value(found) }),
            ["w", text] => (Action::Put { value: text.into() }, Outcome::Written),
            ["d"] => (Action::Delete, Outcome::Written),
            ["s", expected, text] => (
                Action::Swap {
                    expected: value(expected),
                    value: text.into(),
                },
                Outcome::Written,
            ),
            ["s", expected, text, found] => {
                let found = Outcome::Read {
                    value: value(&found[1..]),
                };
                (
                    Action::Swap {
                        expected: value(expected),
                        value: text.into(),
                    },
                    found,
                )
            }
            _ => panic!("{line}"),
        };
        Entry {
            client: words[0].parse().unwrap(),
            key: "k".into(),
            invoked_ns: from.parse().unwrap(),
            completed_ns: to.parse().ok(),
            action,
            outcome: if to.is_empty() { Outcome::Unknown } else { done },
        }
    }

    #[test_case("1 0-9 w a; 2 10-19 r a" => true; "read what was written")]
    #[test_case("1 0-9 w a; 2 10-19 r -" => false; "a lost write")]
    #[test_case("1 0-9 w a; 1 10-19 w b; 2 20-29 r a" => false; "a stale read")]
    #[test_case("1 0-9 w a; 2 5-19 w b; 3 20-29 r a" => true; "overlapping writes in either order")]
    #[test_case("1 0-9 w a; 2 10-20 r a; 3 10-20 r -" => false; "two reads disagree")]
    #[test_case("1 0-9 w a; 1 10- w b; 2 20-29 r a; 2 30-39 r b" => true; "an unknown write takes effect late")]
    #[test_case("1 0-9 w a; 1 10- w b; 2 20-29 r b; 2 30-39 r a" => false; "an unknown write is undone")]
    #[test_case("1 0-9 w a; 1 10- w b; 2 20-29 r a" => true; "an unknown write never happens")]
    #[test_case("1 0-9 w a; 2 10-19 s a b; 3 20-29 r b" => true; "a swap")]
    #[test_case("1 0-9 w a; 2 10-19 s a b; 3 12-19 s a c" => false; "two swaps of the same value")]
    #[test_case("1 0-9 w a; 2 10-19 s x b =a" => true; "a swap whose condition does not hold")]
    #[test_case("1 0-9 w a; 2 10-19 s a b =a" => false; "a swap refused for no reason")]
    #[test_case("1 0-9 w a; 2 10- s a b; 3 20-29 r b" => true; "an unknown swap happens")]
    #[test_case("1 0-9 w a; 2 10- s x b; 3 20-29 r b" => false; "an unknown swap that could not happen")]
    #[test_case("1 0-9 s - a; 1 10-19 d; 2 20-29 r -" => true; "made and deleted")]
    fn linearizable(text: &str) -> bool {
        check(&history(text), Duration::from_secs(10)).linearizable()
    }

    #[test]
    fn keys_are_independent() {
        let mut entries = history("1 0-9 w a; 2 10-19 r a");
        entries[1].key = "other".into();
        let verdict = check(&entries, Duration::from_secs(10));
        assert_eq!((verdict.keys, verdict.broken), (2, vec!["other".to_owned()]));
    }

    #[test]
    fn a_line_of_json() {
        let line = serde_json::to_string(&entry("1 5- s a b")).unwrap();
        let expected = r#"{"client":1,"key":"k","invoked_ns":5,"completed_ns":null,"action":{"do":"swap","expected":"a","value":"b"},"outcome":{"got":"unknown"}}"#;
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry("1 5- s a b"));
    }
}
