//! What the facts mean, and what a node would do. Pure; it follows `recovery` step by step, with the same evidence.

use std::path::Path;

use kvorum_store::snapshot::SnapshotError;
use kvorum_wal::{OpenError, Recovery, SegmentState};

use super::look::{Facts, SnapshotFact};
use super::report::{Engine, Finding, Log, Report, Segment, Severity, Snapshot, Who};
use crate::identity::IdentityError;
use crate::identity::file::{FILE_NAME, Found};
use crate::raft::{EntryId, entry_id, transfer};
use crate::recovery::evidence::{contradiction, words};
use crate::recovery::{ENGINE, LOG, SNAPSHOTS};
use crate::sled_engine::{Believed, Distrust};
use crate::telemetry::in_full;

/// The way back for a member whose disk is lost.
const REJOIN: &str = "remove this member and let it join again with an empty disk, or restore from a snapshot; do not delete \
                      or mend single files";

/// Findings under construction.
struct Findings<'a> {
    data_dir: &'a Path,
    list: Vec<Finding>,
}

/// What the node would go on from.
enum Base {
    /// Nobody: a new member.
    Fresh,
    /// The engine as it is.
    Engine,
    /// The newest snapshot, and the log.
    Snapshot(String),
    /// The log alone.
    Log,
}

/// Decides what it all means.
pub(super) fn judge(facts: Facts) -> Report {
    let mut findings = Findings {
        data_dir: &facts.data_dir,
        list: Vec::new(),
    };
    identity(&facts, &mut findings);
    log(&facts, &mut findings);
    let base = base(&facts, &mut findings);
    for path in facts.log.unfinished.iter().chain(&facts.leftovers) {
        let (what, next) = match transfer::is_partial(path) {
            true => (
                "the beginning of a snapshot that another member sends",
                "a node goes on from there when it is sent again, or removes it",
            ),
            false => (
                "an interrupted write left this; it holds nothing",
                "a node removes it, or writes over it",
            ),
        };
        findings.add(Severity::Note, path, None, what, next);
    }
    for path in &facts.strangers {
        let what = "this is none of a node's files";
        findings.add(
            Severity::Note,
            path,
            None,
            what,
            "a node leaves it alone; see whose it is",
        );
    }
    let mut list = findings.list;
    list.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let starts = list.iter().all(|finding| finding.severity != Severity::Refusal);
    Report {
        data_dir: facts.data_dir.display().to_string(),
        starts,
        at_start: at_start(starts, &base, torn_bytes(&facts)),
        identity: who(&facts),
        log: log_report(&facts),
        snapshots: facts
            .snapshots
            .iter()
            .map(|fact| snapshot_report(&facts, fact))
            .collect(),
        engine: engine_report(&facts),
        findings: list,
    }
}

fn identity(facts: &Facts, findings: &mut Findings<'_>) {
    let file = facts.data_dir.join(FILE_NAME);
    match &facts.identity {
        Ok(Found::Nothing | Found::Identity(_)) => {}
        Ok(Found::Strangers(name)) => findings.refuse(
            &file,
            None,
            &format!("it is missing, though {name} is here"),
            "a node joins nothing and says so; put back the directory whole as it was, or empty it and let the member join again",
        ),
        Err(IdentityError::Damaged { path, offset, what }) => {
            findings.refuse(path, Some(*offset as u64), what, REJOIN);
        }
        Err(error @ IdentityError::Io { path, .. }) => {
            findings.refuse(path, None, &in_full(error), "let the node's user read it");
        }
    }
}

fn log(facts: &Facts, findings: &mut Findings<'_>) {
    let error = match &facts.log.outcome {
        Ok(Recovery { cut: Some(cut), .. }) => {
            let file = facts.log.segments.iter().find(|segment| segment.number == cut.segment);
            let file = file.map_or_else(|| facts.data_dir.join(LOG), |segment| segment.file.clone());
            let what = format!(
                "a crash cut a write short, of which {} bytes are there; nothing in it was acknowledged",
                cut.bytes
            );
            return findings.add(Severity::Repair, &file, Some(cut.offset), &what, "a node cuts it off");
        }
        Ok(Recovery { cut: None, .. }) => return,
        Err(error) => error,
    };
    match error {
        OpenError::Missing(_) if facts.may_be_new || is_fresh(facts) => {}
        OpenError::Missing(dir) => {
            findings.refuse(
                dir,
                None,
                "there is no log, though this member has one",
                &format!("see whether the disk is mounted; if the log is lost, {REJOIN}"),
            );
        }
        OpenError::Damaged { file, offset, what } => findings.refuse(file, Some(*offset), what, REJOIN),
        OpenError::Replay { file, offset, reason } => {
            findings.refuse(
                file,
                Some(*offset),
                &format!("the record is whole, but {reason}"),
                REJOIN,
            );
        }
        OpenError::Foreign { file, expected, found } => {
            let what = format!("it belongs to log {found:016x}, and this member's is {expected:016x}");
            findings.refuse(file, Some(0), &what, "put back this member's own directory, whole");
        }
        OpenError::Version { file, found, known } => {
            let what = format!("it has log format {found}, and this version of Kvorum reads format {known}");
            findings.refuse(file, Some(0), &what, "use the version that wrote it");
        }
        OpenError::Io(failure) => {
            findings.refuse(&failure.path, None, &in_full(failure), "let the node's user read it")
        }
        OpenError::InUse(path) => findings.refuse(path, None, "a node holds it", "stop the node first"),
        OpenError::Options(reason) => findings.refuse(&facts.data_dir.join(LOG), None, reason, REJOIN),
    }
}

/// What a node would go on from, and what of it is not as it should be.
fn base(facts: &Facts, findings: &mut Findings<'_>) -> Base {
    if is_fresh(facts) {
        return Base::Fresh;
    }
    let engine_dir = facts.data_dir.join(ENGINE);
    let (believed, applied) = match &facts.engine {
        Err(error) => {
            findings.refuse(&engine_dir, None, &error.to_string(), "let the node's user read it");
            return Base::Log;
        }
        Ok(Err(distrust)) => {
            let severity = match distrust {
                Distrust::Nothing => Severity::Note,
                _ => Severity::Repair,
            };
            let what = format!("the engine is not believed: {distrust}");
            findings.add(
                severity,
                &engine_dir,
                None,
                &what,
                "a node rebuilds it from snapshot and log",
            );
            (false, None)
        }
        Ok(Ok(Believed::SameBoot)) => (true, None),
        Ok(Ok(Believed::Clean { applied })) => (true, Some(applied.map(|(term, index)| entry_id(term, index)))),
    };
    if facts.log.outcome.is_err() && !facts.may_be_new {
        // Refused already, and what the log would need is not known.
        return Base::Log;
    }
    let ends = facts.index.ends();
    let newest = facts.snapshots.last();
    let position = newest.and_then(|snapshot| snapshot.id);
    if let Some(reason) = contradiction(&ends, position, applied.flatten(), applied.is_some()) {
        let what = format!("{reason}: an older log was put back, or a part of it was taken away");
        findings.refuse(&facts.data_dir.join(LOG), None, &what, REJOIN);
    }
    // Where it is not known how far an engine goes, it goes as far as it must, or the node says that it does not.
    let needed = match applied {
        _ if !believed => true,
        Some(applied) => applied < position.max(ends.purged),
        None => false,
    };
    snapshots(facts, needed, findings);
    if let Some(purged) = ends.purged.filter(|purged| position < Some(*purged)) {
        let what = format!("the newest snapshot is missing: the log begins after {}", words(purged));
        findings.base(&facts.data_dir.join(SNAPSHOTS), None, &what, needed);
    }
    match newest {
        _ if !needed => Base::Engine,
        Some(newest) => Base::Snapshot(findings.relative(&newest.path)),
        None => Base::Log,
    }
}

/// What is wrong with the snapshots; the newest is the one that counts.
fn snapshots(facts: &Facts, needed: bool, findings: &mut Findings<'_>) {
    for (place, snapshot) in facts.snapshots.iter().enumerate() {
        let Err(error) = &snapshot.read else { continue };
        let (offset, what) = match error {
            SnapshotError::Damaged { offset, reason } => (Some(*offset), reason.clone()),
            error => (None, in_full(error)),
        };
        if place + 1 == facts.snapshots.len() {
            findings.base(&snapshot.path, offset, &what, needed);
        } else {
            let next = "a node has no need of it, and removes it with the next snapshot";
            findings.add(Severity::Note, &snapshot.path, offset, &what, next);
        }
    }
}

/// Whether there is nothing here but, at most, a name: a node starts as a new member, unless others expect a known one.
fn is_fresh(facts: &Facts) -> bool {
    match &facts.identity {
        Ok(Found::Nothing) => true,
        Ok(Found::Identity(_)) => facts.may_be_new && matches!(facts.log.outcome, Err(OpenError::Missing(_))),
        Ok(Found::Strangers(_)) | Err(_) => false,
    }
}

fn at_start(starts: bool, base: &Base, torn_bytes: u64) -> String {
    if !starts {
        return "a node would refuse to start".to_owned();
    }
    let cut = if torn_bytes > 0 {
        "cut off the torn end of the log and "
    } else {
        ""
    };
    match base {
        Base::Fresh => "a node would start as a new member".to_owned(),
        Base::Engine => format!("a node would {cut}go on from the engine and the log"),
        Base::Snapshot(file) => format!("a node would {cut}rebuild the engine from {file} and the log"),
        Base::Log => format!("a node would {cut}rebuild the engine from the log"),
    }
}

fn torn_bytes(facts: &Facts) -> u64 {
    let cut = facts.log.outcome.as_ref().ok().and_then(|recovery| recovery.cut);
    cut.map_or(0, |cut| cut.bytes)
}

fn who(facts: &Facts) -> Option<Who> {
    match &facts.identity {
        Ok(Found::Identity(identity)) => Some(Who {
            cluster_id: identity.cluster_id.map(|id| id.to_string()),
            member_id: identity.member_id.to_string(),
            name: identity.name.clone(),
        }),
        Ok(Found::Nothing | Found::Strangers(_)) | Err(_) => None,
    }
}

fn log_report(facts: &Facts) -> Log {
    let (ends, tally) = (facts.index.ends(), &facts.tally);
    let index = |id: Option<EntryId>| id.map(|id| id.index());
    let segments = facts.log.segments.iter().map(|segment| Segment {
        file: relative(&facts.data_dir, &segment.file),
        bytes: segment.bytes,
        used_bytes: segment.used_bytes,
        records: segment.records,
        state: match segment.state {
            SegmentState::Sealed => "sealed",
            SegmentState::Open => "open",
            SegmentState::Prepared => "prepared",
            SegmentState::Broken if torn_bytes(facts) > 0 => "torn",
            SegmentState::Broken => "broken",
        },
    });
    Log {
        log_id: facts
            .log
            .outcome
            .as_ref()
            .ok()
            .map(|recovery| format!("{:016x}", recovery.log_id)),
        segments: segments.collect(),
        entries: tally.entries,
        votes: tally.votes,
        commits: tally.commits,
        truncations: tally.truncations,
        purges: tally.purges,
        first_index: index(facts.index.first()),
        last_index: index(ends.last),
        last_term: ends.last.map(|id| **id.committed_leader_id()),
        purged_index: index(ends.purged),
        committed_index: index(facts.index.committed()),
        vote_term: ends.vote.map(|vote| vote.leader_id.term),
        voted_for: ends.vote.map(|vote| format!("{:016x}", vote.leader_id.voted_for)),
        torn_bytes: torn_bytes(facts),
    }
}

fn snapshot_report(facts: &Facts, fact: &SnapshotFact) -> Snapshot {
    let summary = fact.read.as_ref().ok();
    Snapshot {
        file: relative(&facts.data_dir, &fact.path),
        bytes: fact.bytes,
        whole: summary.is_some(),
        index: fact.id.map(|id| id.index()),
        term: fact.id.map(|id| **id.committed_leader_id()),
        revision: summary.map(|summary| summary.revision),
        entries: summary.map(|summary| summary.entries),
        sha256: summary.map(|summary| hex::encode(summary.sha256)),
    }
}

fn engine_report(facts: &Facts) -> Engine {
    let because = |because: String| Engine {
        because,
        ..Engine::default()
    };
    match &facts.engine {
        Err(error) => because(error.to_string()),
        Ok(Err(distrust)) => because(distrust.to_string()),
        Ok(Ok(Believed::SameBoot)) => Engine {
            believed: true,
            ..because(
                "the machine was not booted since it was written; how far it goes a node alone can tell".to_owned(),
            )
        },
        Ok(Ok(Believed::Clean { applied })) => Engine {
            believed: true,
            because: "it was closed in order, and every file is as it was".to_owned(),
            applied_index: applied.map(|(_, index)| index),
        },
    }
}

fn relative(data_dir: &Path, path: &Path) -> String {
    path.strip_prefix(data_dir).unwrap_or(path).display().to_string()
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, path: &Path, offset: Option<u64>, what: &str, next_step: &str) {
        self.list.push(Finding {
            severity,
            file: self.relative(path),
            offset,
            what: what.to_owned(),
            next_step: next_step.to_owned(),
        });
    }

    fn refuse(&mut self, path: &Path, offset: Option<u64>, what: &str, next_step: &str) {
        self.add(Severity::Refusal, path, offset, what, next_step);
    }

    /// Something wrong with the snapshot on which the log stands, which is `needed` or not.
    fn base(&mut self, path: &Path, offset: Option<u64>, what: &str, needed: bool) {
        match needed {
            true => self.refuse(path, offset, what, REJOIN),
            false => {
                let next = "a node writes another from the engine, which has all that was in it";
                self.add(Severity::Repair, path, offset, what, next);
            }
        }
    }

    fn relative(&self, path: &Path) -> String {
        relative(self.data_dir, path)
    }
}
