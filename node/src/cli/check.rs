//! `kvorum check`: a data directory to a report; `crate::check` looks and decides.
//!
//! Must keep true: exit code 0 says that a node would start and lose nothing, 1 that it would not.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::output::{self, Text, line};
use super::table::Table;
use super::with::{Connector, With};
use super::{Failure, Format};
use crate::check::{self, CheckError, Finding, Report, Severity};

pub(super) const EXAMPLES: &str = "\
Examples:
  kvorum check --data-dir /var/lib/kvorum
                                        reads every record and says what a node would do with them
  kvorum check --data-dir /var/lib/kvorum -o json | jq '.findings'
                                        for programs

Stop the node first; a directory that a node holds is refused. Nothing is changed, and no cluster is needed. What it says
is of this disk alone: what the node's flags, its certificates and the operator expect of it is not known here.

Exit code 0: a node would start and lose nothing; what it would put right is said. 1: it would refuse to start; every
fault is said with its file, the place in it and what to do. 2: the directory cannot be read.";

/// Nothing is said of the progress before this time has passed.
const QUIET: Duration = Duration::from_secs(2);
/// The progress is told this often.
const EVERY: Duration = Duration::from_secs(1);

/// Arguments of `check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// The member's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

pub(super) fn run(with: With<Check>, connector: &Connector) -> Result<(), Failure> {
    let With { arguments, global } = with;
    let format = global.or(connector.before.clone()).write_out.unwrap_or_default();
    let (started, mut told) = (Instant::now(), None);
    let mut progress = |bytes: u64, all: u64| {
        if started.elapsed() >= QUIET && told.is_none_or(|told: Instant| told.elapsed() >= EVERY) {
            told = Some(Instant::now());
            tell(bytes, all);
        }
    };
    let report = check::check(&arguments.data_dir, &mut progress)?;
    output::print(&render(&report, format)?)?;
    match report.starts {
        true => Ok(()),
        false => Err(Failure::Refused(report.at_start)),
    }
}

/// Says how far it is. That nobody can be told is no reason to stop.
fn tell(bytes: u64, all: u64) {
    let mut stderr = std::io::stderr();
    let end = if stderr.is_terminal() { '\r' } else { '\n' };
    let _ = write!(
        stderr,
        "{bytes} of {all} bytes read ({} %){end}",
        bytes * 100 / all.max(1)
    );
}

pub(super) fn render(report: &Report, format: Format) -> Result<Text, Failure> {
    let table = || {
        let mut table = Table::new(["FINDING", "FILE", "OFFSET", "WHAT", "NEXT STEP"]);
        for finding in &report.findings {
            let offset = finding.offset.map_or_else(String::new, |offset| offset.to_string());
            table.row([
                finding.severity.word().to_owned(),
                finding.file.clone(),
                offset,
                finding.what.clone(),
                finding.next_step.clone(),
            ]);
        }
        if report.findings.is_empty() {
            table.row(["none", "", "", &report.at_start, ""].map(str::to_owned));
        }
        table
    };
    output::render(format, report, table, |text| {
        for words in [identity(report), log(report), snapshots(report), engine(report)].concat() {
            line(text, words.as_bytes());
        }
        for finding in &report.findings {
            line(text, sentence(finding).as_bytes());
        }
        line(text, format!("{}.", report.at_start).as_bytes());
    })
}

fn identity(report: &Report) -> Vec<String> {
    let words = match &report.identity {
        None => "identity: none that can be read".to_owned(),
        Some(who) => {
            let cluster = who.cluster_id.as_ref();
            let cluster = cluster.map_or_else(|| "no cluster yet".to_owned(), |id| format!("cluster {id}"));
            format!("identity: member {} ({}) of {cluster}", who.member_id, who.name)
        }
    };
    vec![words]
}

fn log(report: &Report) -> Vec<String> {
    let log = &report.log;
    let mut lines = vec![format!(
        "log: {} segments; records: {} entries, {} votes, {} commits, {} truncations, {} purges",
        log.segments.len(),
        log.entries,
        log.votes,
        log.commits,
        log.truncations,
        log.purges
    )];
    let held = match (log.first_index, log.last_index) {
        (Some(first), Some(last)) => format!("holds entries {first} to {last}, term {}", log.last_term.unwrap_or(0)),
        _ => "holds no entry".to_owned(),
    };
    let purged = log
        .purged_index
        .map_or_else(String::new, |index| format!("; forgot up to {index}"));
    let vote = log.vote_term.zip(log.voted_for.as_ref());
    let vote = vote.map_or_else(
        || "no vote".to_owned(),
        |(term, who)| format!("vote for {who} in term {term}"),
    );
    lines.push(format!("  {held}{purged}; {vote}"));
    for segment in &log.segments {
        lines.push(format!(
            "  {}: {}, {} records, {} of {} bytes used",
            segment.file, segment.state, segment.records, segment.used_bytes, segment.bytes
        ));
    }
    lines
}

fn snapshots(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("snapshots: {}", report.snapshots.len())];
    for snapshot in &report.snapshots {
        let state = match (snapshot.revision, snapshot.entries) {
            (Some(revision), Some(entries)) => format!("whole, revision {revision}, {entries} entries"),
            _ => "not whole".to_owned(),
        };
        lines.push(format!("  {}: {state}, {} bytes", snapshot.file, snapshot.bytes));
    }
    lines
}

fn engine(report: &Report) -> Vec<String> {
    let engine = &report.engine;
    let verdict = if engine.believed {
        "believed"
    } else {
        "would be rebuilt"
    };
    let applied = engine
        .applied_index
        .map_or_else(String::new, |index| format!("; stands at entry {index}"));
    vec![format!("engine: {verdict}: {}{applied}", engine.because)]
}

/// A finding on one line.
fn sentence(finding: &Finding) -> String {
    let Finding {
        severity,
        file,
        offset,
        what,
        next_step,
    } = finding;
    let place = offset.map_or_else(|| file.clone(), |offset| format!("{file}, offset {offset}"));
    let next = match severity {
        Severity::Note | Severity::Repair => next_step.clone(),
        Severity::Refusal => format!("what to do: {next_step}"),
    };
    format!("{}: {place}: {what}; {next}", severity.word())
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Unreadable { path, source } => Failure::File { path, source },
            error @ CheckError::InUse { .. } => Failure::Refused(error.to_string()),
        }
    }
}
