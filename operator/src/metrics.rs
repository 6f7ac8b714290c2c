//! The operator's own figures, in Prometheus' text format. All names are in this file.
//!
//! What it must keep true: label values come from closed enums (variant names), so that the number of series is
//! bounded; counting never fails and never blocks for longer than it takes to add a number.
//!
//! Deliberately not here: figures about clusters (the nodes export their own), serving them (`metrics::server`).

pub mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of a pass's duration, in seconds. A pass at rest takes tens of milliseconds; a silent
/// member costs its timeout of two seconds.
const DURATION_BUCKETS_S: [f64; 8] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Everything the operator counts.
#[derive(Debug, Default)]
pub struct Metrics {
    passes: AtomicU64,
    failures: Counters,
    steps: Counters,
    waits: Counters,
    writes: Counters,
    certificates: Counters,
    durations: Mutex<Histogram>,
}

/// Counters that differ in one label.
#[derive(Debug, Default)]
struct Counters(Mutex<BTreeMap<&'static str, u64>>);

#[derive(Debug, Default)]
struct Histogram {
    buckets: [u64; DURATION_BUCKETS_S.len()],
    count: u64,
    sum: Duration,
}

impl Metrics {
    /// A pass over one cluster ended after `took`; `failure` names the error's variant, if it failed.
    pub fn pass(&self, took: Duration, failure: Option<&'static str>) {
        self.passes.fetch_add(1, Ordering::Relaxed);
        if let Some(variant) = failure {
            self.failures.add(variant);
        }
        let mut durations = self.durations.lock().expect("no code panics while it holds this lock");
        durations.add(took);
    }

    /// A step of this kind was carried out.
    pub fn step(&self, kind: &'static str) {
        self.steps.add(kind);
    }

    /// A pass ended waiting for this reason.
    pub fn wait(&self, reason: &'static str) {
        self.waits.add(reason);
    }

    /// The API server was asked to write (`verb`: apply, delete, status, event).
    pub fn write(&self, verb: &'static str) {
        self.writes.add(verb);
    }

    /// A certificate was issued, for this reason.
    pub fn certificate(&self, why: &'static str) {
        self.certificates.add(why);
    }

    /// The whole in Prometheus' text format. `leader`: whether this replica leads.
    #[must_use]
    pub fn render(&self, leader: bool) -> String {
        let mut page = Page::default();
        page.head("kvorum_operator_leader", "gauge", "1 while this replica leads.");
        page.line("kvorum_operator_leader", "", &u8::from(leader).to_string());
        page.head("kvorum_operator_reconcile_total", "counter", "Passes over a KvCluster.");
        page.line(
            "kvorum_operator_reconcile_total",
            "",
            &self.passes.load(Ordering::Relaxed).to_string(),
        );
        page.counters(
            "kvorum_operator_reconcile_errors_total",
            "Passes that failed, by what went wrong.",
            "error",
            &self.failures,
        );
        page.counters(
            "kvorum_operator_steps_total",
            "Steps carried out, by kind.",
            "step",
            &self.steps,
        );
        page.counters(
            "kvorum_operator_waits_total",
            "Passes that ended waiting, by reason.",
            "reason",
            &self.waits,
        );
        page.counters(
            "kvorum_operator_writes_total",
            "Writes to the API server, by verb.",
            "verb",
            &self.writes,
        );
        page.counters(
            "kvorum_operator_certificates_issued_total",
            "Certificates issued, by reason.",
            "reason",
            &self.certificates,
        );
        page.durations(&self.durations.lock().expect("no code panics while it holds this lock"));
        page.0
    }
}

impl Counters {
    fn add(&self, label: &'static str) {
        let mut counts = self.0.lock().expect("no code panics while it holds this lock");
        *counts.entry(label).or_default() += 1;
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        for (bound, bucket) in DURATION_BUCKETS_S.iter().zip(&mut self.buckets) {
            *bucket += u64::from(took.as_secs_f64() <= *bound);
        }
        self.count += 1;
        self.sum += took;
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: &str) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, counters: &Counters) {
        self.head(name, "counter", help);
        for (value, count) in counters
            .0
            .lock()
            .expect("no code panics while it holds this lock")
            .iter()
        {
            self.line(name, &format!("{{{label}=\"{value}\"}}"), &count.to_string());
        }
    }

    fn durations(&mut self, durations: &Histogram) {
        let name = "kvorum_operator_reconcile_duration_seconds";
        self.head(name, "histogram", "How long a pass over a KvCluster took.");
        for (bound, count) in DURATION_BUCKETS_S.iter().zip(durations.buckets) {
            self.line(
                &format!("{name}_bucket"),
                &format!("{{le=\"{bound}\"}}"),
                &count.to_string(),
            );
        }
        self.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", &durations.count.to_string());
        self.line(&format!("{name}_sum"), "", &durations.sum.as_secs_f64().to_string());
        self.line(&format!("{name}_count"), "", &durations.count.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_page() {
        let metrics = Metrics::default();
        metrics.pass(Duration::from_millis(250), None);
        metrics.pass(Duration::from_secs(2), Some("Observe"));
        metrics.step("Bootstrap");
        metrics.write("apply");
        let expected = expect![[r#"
            # HELP kvorum_operator_leader 1 while this replica leads.
            # TYPE kvorum_operator_leader gauge
            kvorum_operator_leader 1
            # HELP kvorum_operator_reconcile_total Passes over a KvCluster.
            # TYPE kvorum_operator_reconcile_total counter
            kvorum_operator_reconcile_total 2
            # HELP kvorum_operator_reconcile_errors_total Passes that failed, by what went wrong.
            # TYPE kvorum_operator_reconcile_errors_total counter
            kvorum_operator_reconcile_errors_total{error="Observe"} 1
            # HELP kvorum_operator_steps_total Steps carried out, by kind.
            # TYPE kvorum_operator_steps_total counter
            kvorum_operator_steps_total{step="Bootstrap"} 1
            # HELP kvorum_operator_waits_total Passes that ended waiting, by reason.
            # TYPE kvorum_operator_waits_total counter
            # HELP kvorum_operator_writes_total Writes to the API server, by verb.
            # TYPE kvorum_operator_writes_total counter
            kvorum_operator_writes_total{verb="apply"} 1
            # HELP kvorum_operator_certificates_issued_total Certificates issued, by reason.
            # TYPE kvorum_operator_certificates_issued_total counter
            # HELP kvorum_operator_reconcile_duration_seconds How long a pass over a KvCluster took.
            # TYPE kvorum_operator_reconcile_duration_seconds histogram
            kvorum_operator_reconcile_duration_seconds_bucket{le="0.01"} 0
            kvorum_operator_reconcile_duration_seconds_bucket{le="0.03"} 0
            kvorum_operator_reconcile_duration_seconds_bucket{le="0.1"} 0
            kvorum_operator_reconcile_duration_seconds_bucket{le="0.3"} 1
            kvorum_operator_reconcile_duration_seconds_bucket{le="1"} 1
            kvorum_operator_reconcile_duration_seconds_bucket{le="3"} 2
            kvorum_operator_reconcile_duration_seconds_bucket{le="10"} 2
            kvorum_operator_reconcile_duration_seconds_bucket{le="30"} 2
            kvorum_operator_reconcile_duration_seconds_bucket{le="+Inf"} 2
            kvorum_operator_reconcile_duration_seconds_sum 2.25
            kvorum_operator_reconcile_duration_seconds_count 2
        "#]];
        expected.assert_eq(&metrics.render(true));
    }
}
