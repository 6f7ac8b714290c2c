//! What came of one seed, as one line that many can be added up from.

use std::collections::BTreeMap;
use std::fmt;

/// What came of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The seed.
    pub(crate) seed: u64,
    /// Of all events, in their order.
    pub(crate) digest: u64,
    /// How often what happened.
    pub(crate) counts: BTreeMap<String, u64>,
    /// What must not have happened.
    pub(crate) violations: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "violation: {violation}")?;
        }
        if !self.violations.is_empty() {
            writeln!(f, "again: KVORUM_SEED={} tests/scripts/simulation", self.seed)?;
        }
        write!(f, "seed={} digest={:016x}", self.seed, self.digest)?;
        for (name, count) in &self.counts {
            write!(f, " {name}={count}")?;
        }
        write!(f, " violations={}", self.violations.len())
    }
}

/// The counts in such a line.
pub(crate) fn counts(line: &str) -> BTreeMap<String, u64> {
    let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| !["seed", "digest"].contains(name))
        .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
        .collect()
}
