//! What a run of the workload comes to: the figures that a scenario asks for while it goes on, and the verdict at its
//! end. Plain data, JSON on the wire.

use crate::history::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run so far, or a whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The whole run as one step.
    pub total: Step,
    /// The steps that the scenario named with `/mark?name=…`, in order. The last one is still going on.
    pub steps: Vec<Step>,
    /// How it ended; none while it goes on.
    pub end: Option<End>,
}

/// A stretch of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What the scenario called it.
    pub name: String,
    /// How long it took, or has taken so far, in seconds.
    pub seconds: f64,
    /// Writes, and swaps that took place, that were acknowledged.
    pub writes: u64,
    /// Reads, and swaps refused, that were answered.
    pub reads: u64,
    /// Operations of which nobody knows what came of them.
    pub unknown: u64,
    /// Operations that failed, by kind; the unknown ones are among them.
    pub errors: BTreeMap<String, u64>,
    /// The longest time without any acknowledged write, in milliseconds. A time that is still open counts, and of one
    /// that began before the step its part within the step.
    pub longest_gap_ms: f64,
    /// The slowest answered operation, in milliseconds.
    pub slowest_ms: f64,
}

/// What was found at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Whether every key's history is linearizable, and every key could be read back.
    pub linearizable: bool,
    /// The check's answer.
    pub verdict: Verdict,
    /// Keys that could not be read back.
    pub unread: Vec<String>,
    /// Acknowledged writes that are gone: the key holds something that was there before them.
    pub missing: Vec<Missing>,
}

/// An acknowledged write that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The key written.
    pub key: String,
    /// The value acknowledged.
    pub value: String,
    /// What the key held at the end.
    pub found: Option<String>,
}

impl Report {
    /// The step of this name; of several, the last.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.name == name)
    }
}
