//! What was done and checked, counted by kind.

use std::collections::BTreeMap;
use std::time::Duration;

use kvorum_tests::checks::holders::Held;
use kvorum_tests::checks::watched::Watched;
use kvorum_tests::faults::act::Counts;
use kvorum_tests::history::Recorder;

/// Sums over all rounds of a run.
#[derive(Default)]
pub(super) struct Report {
    /// Faults by kind.
    pub(super) faults: Counts,
    /// How often a watch was resumed at another member.
    pub(super) resumed: usize,
    operations: BTreeMap<&'static str, usize>,
    rounds: usize,
    faulted: Duration,
    longest_write_gap: Duration,
    leases: Held,
    transactions: (usize, usize),
    changes: usize,
    revisions: usize,
    terms: (usize, usize),
}

impl Report {
    pub(super) fn history(&mut self, recorder: &Recorder, lasted: Duration) {
        for (kind, count) in recorder.kinds() {
            *self.operations.entry(kind).or_default() += count;
        }
        self.rounds += 1;
        self.faulted += lasted;
        self.longest_write_gap = self.longest_write_gap.max(recorder.longest_write_gap());
    }

    /// How long histories were recorded under faults.
    pub(super) fn faulted(&self) -> Duration {
        self.faulted
    }

    pub(super) fn leases(&mut self, held: Held) {
        self.leases.ended += held.ended;
        self.leases.renewals += held.renewals;
        self.leases.latest = self.leases.latest.max(held.latest);
    }

    pub(super) fn transactions(&mut self, (writes, reads): (usize, usize)) {
        self.transactions.0 += writes;
        self.transactions.1 += reads;
    }

    pub(super) fn watched(&mut self, watched: &Watched) {
        self.changes += watched.changes;
        self.revisions += watched.revisions();
    }

    pub(super) fn terms(&mut self, (answers, led): (usize, usize)) {
        self.terms.0 += answers;
        self.terms.1 += led;
    }

    /// Prints it all; to be called only after every check has passed.
    pub(super) fn print(&self, name: &str, members: usize, seed: u64) {
        let row = |what: &str, value: String| println!("| {what:<44} | {value:>12} |");
        println!("{name}: {members} members, seed {seed}");
        row("rounds, each a history of its own", self.rounds.to_string());
        row(
            "faulted history",
            format!("{:.1} min", self.faulted.as_secs_f64() / 60.0),
        );
        for (kind, count) in &self.operations {
            row(&format!("linearizable: {kind}"), count.to_string());
        }
        row(
            "linearizable: transactions of three keys",
            self.transactions.0.to_string(),
        );
        row("linearizable: reads of three keys", self.transactions.1.to_string());
        row("watch: revisions", self.revisions.to_string());
        row("watch: changes told, all watchers", self.changes.to_string());
        row("watch: resumed at another member", self.resumed.to_string());
        row("lease: seen to their end", self.leases.ended.to_string());
        row("lease: renewals", self.leases.renewals.to_string());
        row(
            "lease: longest over its time, faults within",
            format!("{:.1?}", self.leases.latest),
        );
        row("terms: answers", self.terms.0.to_string());
        row("terms: with a leader", self.terms.1.to_string());
        row("state: equal at all members, times", self.rounds.to_string());
        for (kind, count) in &self.faults.kinds {
            row(&format!("fault: {kind:?}"), count.to_string());
        }
        row("fault: killed inside of another", self.faults.killed_inside.to_string());
        row("faults in all", self.faults.total().to_string());
        row(
            "longest time without an acknowledged write",
            format!("{:.1?}", self.longest_write_gap),
        );
        row("violations", "0".to_owned());
    }
}
