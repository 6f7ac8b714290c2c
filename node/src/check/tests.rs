//! The damage table: every file of a member's data directory, damaged in every way that matters, after an orderly stop and
//! after a kill. Each case ends in a start that has everything acknowledged, or in a refusal that says where and what to do
//! and says it again the next time; and the check foretells which, without changing anything.

mod cases;
mod disk;
mod segments;

use std::fs;
use std::path::Path;

use super::{CheckError, Report, Severity, check};
use crate::recovery::recover;
use cases::Outcome::{self, Refuses, Repairs, Starts, Surprises};
use cases::{AFTER_AN_ORDERLY_STOP, CASES};
use disk::{Disk, Stop};

#[test]
fn damage_after_an_orderly_stop() {
    let disk = Disk::lived(Stop::Orderly);
    let table: Vec<String> = CASES
        .iter()
        .chain(AFTER_AN_ORDERLY_STOP)
        .map(|(name, damage, outcome, _)| case(&disk, name, damage, *outcome))
        .collect();
    println!("after an orderly stop:\n{HEAD}\n{}", table.join("\n"));
}

#[test]
fn damage_after_a_kill() {
    let disk = Disk::lived(Stop::Killed);
    let table: Vec<String> = CASES
        .iter()
        .map(|(name, damage, _, outcome)| case(&disk, name, damage, *outcome))
        .collect();
    println!("after a kill:\n{HEAD}\n{}", table.join("\n"));
}

/// Above the lines of a table.
const HEAD: &str = "| file | case | outcome | what the node says |\n|---|---|---|---|";

/// Damages a copy of the disk, checks it, starts on it, and compares; the line of the table.
fn case(disk: &Disk, name: &str, damage: &dyn Fn(&Disk), expected: Outcome) -> String {
    let disk = disk.copy();
    damage(&disk);
    let before = disk.listing();
    let report = check(disk.path(), &mut |_, _| ()).unwrap();
    assert_eq!(disk.listing(), before, "{name}: the check changed something");
    let known = if expected == Surprises { Starts } else { expected };
    assert_eq!(foretold(&report), known, "{name}: {report:#?}");
    let told = match start(&disk) {
        Ok(()) => {
            assert!(
                matches!(expected, Starts | Repairs),
                "{name}: it started, though the check said: {report:#?}"
            );
            report.at_start.clone()
        }
        Err(refusal) => {
            assert_eq!(
                report.starts,
                expected == Surprises,
                "{name}: {refusal}, though the check said: {report:#?}"
            );
            if expected == Refuses {
                refused(name, &report, &refusal);
            }
            let again = start(&disk).expect_err("a refusal is for ever");
            assert_eq!(again, refusal, "{name}: the second time");
            refusal
        }
    };
    let (file, what) = name.split_once(": ").unwrap_or(("none", name));
    let told = told.replace(&disk.path().display().to_string(), "…");
    let outcome = format!("{expected:?}").to_lowercase();
    format!("| {file:<20} | {what:<44} | {outcome:<9} | {told} |")
}

/// What the check says will come.
fn foretold(report: &Report) -> Outcome {
    match report.findings.first().map(|finding| finding.severity) {
        None | Some(Severity::Note) => Starts,
        Some(Severity::Repair) => Repairs,
        Some(Severity::Refusal) => Refuses,
    }
}

/// A refusal says where and what to do, and the check says the same beforehand.
fn refused(name: &str, report: &Report, refusal: &str) {
    let finding = &report.findings[0];
    assert!(
        refusal.contains(finding.file.as_str()),
        "{name}: {refusal} against {finding:?}"
    );
    if let Some(offset) = finding.offset.filter(|offset| *offset > 0) {
        assert!(
            refusal.contains(&offset.to_string()),
            "{name}: {refusal} against {finding:?}"
        );
    }
    assert!(
        !finding.what.is_empty() && !finding.next_step.is_empty(),
        "{name}: {finding:?}"
    );
    let steps = ["join again", "use the version", "put back", "belong to another"];
    assert!(
        steps.iter().any(|step| refusal.contains(step)),
        "{name}: no next step: {refusal}"
    );
}

/// Starts as a node does: the identity, then the rest. What it started with must be all that was acknowledged.
fn start(disk: &Disk) -> Result<(), String> {
    let identity = disk.settle_identity()?;
    let recovered = recover(disk.path(), &identity).map_err(|error| crate::telemetry::in_full(&error))?;
    disk.holds_everything(recovered);
    Ok(())
}

#[test]
fn a_directory_that_a_node_holds_is_not_checked() {
    let disk = Disk::lived(Stop::Orderly);
    let identity = disk.settle_identity().unwrap();
    let recovered = recover(disk.path(), &identity).unwrap();
    let error = check(disk.path(), &mut |_, _| ()).unwrap_err();
    assert!(
        matches!(&error, CheckError::InUse { path } if path == disk.path()),
        "{error}"
    );
    drop(recovered);
    assert!(check(disk.path(), &mut |_, _| ()).unwrap().starts);
}

#[test]
fn an_empty_directory_is_a_new_members_and_one_that_is_not_there_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let report = check(dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!(
        (report.starts, report.at_start.as_str()),
        (true, "a node would start as a new member")
    );
    assert_eq!(report.findings, []);
    let error = check(&dir.path().join("none"), &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, CheckError::Unreadable { .. }), "{error}");
    fs::write(dir.path().join("note"), "?").unwrap();
    assert!(!check(dir.path(), &mut |_, _| ()).unwrap().starts);
}

#[test]
fn what_is_there_is_told() {
    let disk = Disk::lived(Stop::Orderly);
    let mut last = (0, 0);
    let report = check(disk.path(), &mut |done, all| {
        assert!(done >= last.0 && done <= all, "{done} of {all}");
        last = (done, all);
    })
    .unwrap();
    let log = &report.log;
    assert_eq!(
        (log.first_index, log.purged_index, log.last_index),
        (Some(11), Some(10), Some(disk::UNACKNOWLEDGED))
    );
    assert_eq!(
        (log.vote_term, log.last_term, log.entries),
        (Some(3), Some(3), disk::UNACKNOWLEDGED + 1)
    );
    assert_eq!(
        (report.snapshots.len(), report.snapshots[0].index),
        (1, Some(disk::SNAPSHOT))
    );
    assert_eq!(
        (report.engine.believed, report.engine.applied_index),
        (true, Some(disk::LAST))
    );
    let file = Path::new("wal").join("00000000000000000001.wal");
    assert_eq!(Path::new(&log.segments[0].file), file);
}
