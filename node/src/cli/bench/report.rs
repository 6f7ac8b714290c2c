//! What came of a run, for people and for programs.

use std::time::Duration;

use serde::Serialize;

use super::super::table::Table;
use super::super::{Failure, Format, output};
use super::channels::Channels;
use super::flags::Plan;
use super::latency::Tally;

/// A run and its figures.
#[derive(Serialize)]
pub(super) struct Report {
    benchmark: &'static str,
    clients: u32,
    connections: usize,
    endpoints: usize,
    seconds: f64,
    pub(super) interrupted: bool,
    operations: Vec<Operation>,
    #[serde(rename = "keysRemoved")]
    pub(super) removed: i64,
}

/// The figures of one kind of request, or of events.
#[derive(Serialize)]
struct Operation {
    name: &'static str,
    /// Answered, well or not.
    requests: u64,
    errors: u64,
    /// Of those that were answered well.
    #[serde(rename = "perSecond")]
    per_second: f64,
    #[serde(rename = "latencyMs")]
    latency: Latency,
    #[serde(rename = "errorTexts")]
    error_texts: Vec<ErrorText>,
}

/// In milliseconds, of what was answered well; all zero where nothing was.
#[derive(Serialize)]
struct Latency {
    average: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct ErrorText {
    text: String,
    count: u64,
}

impl Report {
    pub(super) fn new(benchmark: &'static str, plan: &Plan, channels: &Channels) -> Self {
        Self {
            benchmark,
            clients: plan.clients,
            connections: channels.count(),
            endpoints: channels.endpoints,
            seconds: 0.0,
            interrupted: false,
            operations: Vec::new(),
            removed: 0,
        }
    }

    /// Adds what came of one kind of request in this time.
    pub(super) fn add(&mut self, name: &'static str, tally: Tally, time: Duration) {
        self.seconds = time.as_secs_f64();
        self.operations.push(Operation::new(name, &tally, time));
    }

    pub(super) fn render(&self, format: Format) -> Result<output::Text, Failure> {
        output::render(format, self, || self.table(), |text| self.simple(text))
    }

    /// An error if any request failed.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let requests: u64 = self.operations.iter().map(|operation| operation.requests).sum();
        match self.operations.iter().map(|operation| operation.errors).sum::<u64>() {
            0 => Ok(()),
            errors => Err(Failure::Refused(format!("{errors} of {requests} failed"))),
        }
    }

    fn simple(&self, text: &mut output::Text) {
        let cut = if self.interrupted { ", interrupted" } else { "" };
        let head = format!(
            "{}: {:.3} s, {} clients, {} connections, {} endpoints{cut}",
            self.benchmark, self.seconds, self.clients, self.connections, self.endpoints
        );
        output::line(text, head.as_bytes());
        for operation in &self.operations {
            for line in operation.lines() {
                output::line(text, line.as_bytes());
            }
        }
        let removed = format!("{} keys removed", self.removed);
        output::line(text, removed.as_bytes());
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            "OPERATION",
            "REQUESTS",
            "ERRORS",
            "PER SECOND",
            "AVERAGE MS",
            "P50",
            "P90",
            "P99",
            "P99.9",
            "MAX",
        ]);
        for operation in &self.operations {
            let Latency {
                average,
                p50,
                p90,
                p99,
                p999,
                max,
            } = operation.latency;
            let [average, p50, p90, p99, p999, max] =
                [average, p50, p90, p99, p999, max].map(|milliseconds| format!("{milliseconds:.3}"));
            table.row([
                operation.name.to_owned(),
                operation.requests.to_string(),
                operation.errors.to_string(),
                format!("{:.1}", operation.per_second),
                average,
                p50,
                p90,
                p99,
                p999,
                max,
            ]);
        }
        table
    }
}

impl Operation {
    fn new(name: &'static str, tally: &Tally, time: Duration) -> Self {
        let errors = tally.error_count();
        let latencies = &tally.latencies;
        let latency = Latency {
            average: milliseconds(latencies.average()),
            p50: milliseconds(latencies.percentile(500)),
            p90: milliseconds(latencies.percentile(900)),
            p99: milliseconds(latencies.percentile(990)),
            p999: milliseconds(latencies.percentile(999)),
            max: milliseconds(latencies.longest()),
        };
        let error_texts = tally.errors().map(|(text, count)| ErrorText {
            text: text.to_owned(),
            count,
        });
        Self {
            name,
            requests: tally.succeeded() + errors,
            errors,
            per_second: tally.succeeded() as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE),
            latency,
            error_texts: error_texts.collect(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let Latency {
            average,
            p50,
            p90,
            p99,
            p999,
            max,
        } = self.latency;
        let mut lines = vec![
            format!(
                "{}: {} in all, {} errors, {:.1} per second",
                self.name, self.requests, self.errors, self.per_second
            ),
            format!(
                "  latency in ms: average {average:.3}, p50 {p50:.3}, p90 {p90:.3}, p99 {p99:.3}, p99.9 {p999:.3}, max {max:.3}"
            ),
        ];
        let errors = self.error_texts.iter();
        lines.extend(errors.map(|error| format!("  {} times: {}", error.count, error.text)));
        lines
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_every_format_and_errors_make_a_failure() {
        let mut tally = Tally::default();
        for _ in 0..4 {
            tally.latencies.record(Duration::from_millis(2));
        }
        tally.failed("Unavailable: gone", 1);
        let mut report = Report {
            benchmark: "put",
            clients: 2,
            connections: 1,
            endpoints: 1,
            seconds: 0.0,
            interrupted: false,
            operations: Vec::new(),
            removed: 3,
        };
        assert!(report.verdict().is_ok());
        report.add("put", tally, Duration::from_secs(2));
        let text = |format| String::from_utf8(report.render(format).unwrap()).unwrap();
        assert_eq!(
            text(Format::Simple),
            "put: 2.000 s, 2 clients, 1 connections, 1 endpoints\n\
             put: 5 in all, 1 errors, 2.0 per second\n\
             \x20 latency in ms: average 2.000, p50 2.000, p90 2.000, p99 2.000, p99.9 2.000, max 2.000\n\
             \x20 1 times: Unavailable: gone\n\
             3 keys removed\n"
        );
        let json = text(Format::Json);
        for part in [
            r#""perSecond":2.0"#,
            r#""p999":2.0"#,
            r#""errorTexts":[{"text":"Unavailable: gone","count":1}]"#,
            r#""keysRemoved":3"#,
        ] {
            assert!(json.contains(part), "{part}: {json}");
        }
        assert!(text(Format::Yaml).contains("requests: 5") && text(Format::Table).contains("| put "));
        assert_eq!(report.verdict().unwrap_err().message().unwrap(), "1 of 5 failed");
    }
}
