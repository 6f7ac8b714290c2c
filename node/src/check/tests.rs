//! The damage table: every file of a member's data directory, damaged in every way that matters, after an orderly stop and
//! after a kill. Each case ends in a start that has everything acknowledged, or in a refusal that says where and what to do
//! and says it again the next time; and the check foretells which, without changing anything.

mod disk;

use std::fs;
use std::path::Path;

use super::{CheckError, Report, Severity, check};
use crate::recovery::recover;
use disk::{Disk, Stop};

/// What is to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It starts, and there is nothing to say but notes.
    Starts,
    /// It starts, and puts something right.
    Repairs,
    /// It refuses.
    Refuses,
    /// It refuses, since its engine goes beyond its log. How far that goes the check does not know after a kill.
    Surprises,
}

use Outcome::{Refuses, Repairs, Starts, Surprises};

/// A way of damaging a disk: what it is called, what it does, and what is to come of it after an orderly stop and after a
/// kill.
type Case = (&'static str, fn(&Disk), Outcome, Outcome);

const IDENTITY: &str = "identity";
const DATABASE: &str = "engine/sled/db";
const TRUST: &str = "engine/trust";

const CASES: &[Case] = &[
    ("nothing", |_| (), Starts, Starts),
    ("identity: missing", |disk| disk.remove(IDENTITY), Refuses, Refuses),
    ("identity: empty", |disk| disk.write(IDENTITY, b""), Refuses, Refuses),
    (
        "identity: cut after its second line",
        |disk| disk.cut(IDENTITY, 43),
        Refuses,
        Refuses,
    ),
    (
        "identity: cut inside a line",
        |disk| disk.cut(IDENTITY, 50),
        Refuses,
        Refuses,
    ),
    (
        "identity: bit in its heading",
        |disk| disk.flip(IDENTITY, 3),
        Refuses,
        Refuses,
    ),
    (
        "identity: bit in the member",
        |disk| disk.flip(IDENTITY, 58),
        Refuses,
        Refuses,
    ),
    (
        "identity: bit in its checksum",
        |disk| disk.flip_end(IDENTITY, 3),
        Refuses,
        Refuses,
    ),
    (
        "identity: another version",
        |disk| disk.write(IDENTITY, b"kvorum identity 2\n"),
        Refuses,
        Refuses,
    ),
    (
        "identity: another member's",
        |disk| disk.take(IDENTITY),
        Refuses,
        Refuses,
    ),
    (
        "identity: an old copy, from before the log",
        Disk::old_identity,
        Starts,
        Starts,
    ),
    ("log: folder missing", |disk| disk.remove("wal"), Refuses, Refuses),
    (
        "log: segment missing",
        |disk| disk.remove(disk.segment()),
        Refuses,
        Refuses,
    ),
    (
        "log: segment empty",
        |disk| disk.write(disk.segment(), b""),
        Refuses,
        Refuses,
    ),
    (
        "log: segment cut inside its header",
        |disk| disk.cut(disk.segment(), 100),
        Refuses,
        Refuses,
    ),
    (
        "log: segment cut after its header",
        |disk| disk.cut(disk.segment(), 512),
        Refuses,
        Refuses,
    ),
    (
        "log: segment cut at a record",
        |disk| disk.cut(disk.segment(), disk.record(10)),
        Refuses,
        Refuses,
    ),
    (
        "log: segment cut inside a record",
        |disk| disk.cut(disk.segment(), disk.record(10) + 25),
        Refuses,
        Refuses,
    ),
    (
        "log: segment cut behind its records",
        |disk| disk.cut(disk.segment(), 1 << 20),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the magic",
        |disk| disk.flip(disk.segment(), 2),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the header",
        |disk| disk.flip(disk.segment(), 20),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the header's checksum",
        |disk| disk.flip(disk.segment(), 41),
        Refuses,
        Refuses,
    ),
    ("log: newer format", Disk::newer_segment, Refuses, Refuses),
    (
        "log: bit in the length of the first record",
        |disk| disk.flip(disk.segment(), 512),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the length, middle",
        |disk| disk.flip(disk.segment(), disk.record(10)),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the group, middle",
        |disk| disk.flip(disk.segment(), disk.record(10) + 4),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the checksum, middle",
        |disk| disk.flip(disk.segment(), disk.record(10) + 12),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the head's checksum, middle",
        |disk| disk.flip(disk.segment(), disk.record(10) + 16),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the payload, middle",
        |disk| disk.flip(disk.segment(), disk.record(10) + 25),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the length, last record",
        |disk| disk.flip(disk.segment(), disk.last_record()),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the checksum, last record",
        |disk| disk.flip(disk.segment(), disk.last_record() + 12),
        Refuses,
        Refuses,
    ),
    (
        "log: bit in the payload, last record",
        |disk| disk.flip(disk.segment(), disk.last_record() + 25),
        Refuses,
        Refuses,
    ),
    (
        "log: bit behind the end",
        |disk| disk.flip(disk.segment(), 3 << 20),
        Repairs,
        Repairs,
    ),
    (
        "log: last write torn, not acknowledged",
        |disk| disk.zero(disk.segment(), disk.last_record() + 30),
        Repairs,
        Repairs,
    ),
    (
        "log: last write gone, not acknowledged",
        |disk| disk.zero(disk.segment(), disk.last_record()),
        Starts,
        Starts,
    ),
    (
        "log: acknowledged records zeroed",
        |disk| disk.zero(disk.segment(), disk.record(30)),
        Refuses,
        Surprises,
    ),
    ("log: an old copy of the segment", Disk::old_log, Refuses, Surprises),
    (
        "log: another member's segment",
        |disk| disk.take(disk.segment()),
        Refuses,
        Refuses,
    ),
    (
        "log: another member's folder",
        |disk| disk.take("wal"),
        Refuses,
        Refuses,
    ),
    (
        "log: a strange name",
        |disk| disk.write("wal/7.wal", b""),
        Refuses,
        Refuses,
    ),
    (
        "log: an unfinished segment",
        |disk| disk.write("wal/00000000000000000009.wal.new", b"half"),
        Starts,
        Starts,
    ),
    (
        "snapshot: missing",
        |disk| disk.remove(disk.snapshot()),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: empty",
        |disk| disk.write(disk.snapshot(), b""),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: cut in its header",
        |disk| disk.cut(disk.snapshot(), 12),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: cut in a chunk",
        |disk| disk.cut(disk.snapshot(), 200),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: cut in its hash",
        |disk| disk.cut_end(disk.snapshot(), 5),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: bit in the magic",
        |disk| disk.flip(disk.snapshot(), 1),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: bit in the header",
        |disk| disk.flip(disk.snapshot(), 20),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: bit in a chunk",
        |disk| disk.flip(disk.snapshot(), 200),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: bit in its hash",
        |disk| disk.flip_end(disk.snapshot(), 5),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: more behind its end",
        |disk| disk.append(disk.snapshot(), b"more"),
        Repairs,
        Repairs,
    ),
    (
        "snapshot: an older one under its name",
        Disk::older_snapshot,
        Repairs,
        Repairs,
    ),
    (
        "snapshot: bit in a chunk, and no engine",
        |disk| {
            disk.flip(disk.snapshot(), 200);
            disk.remove("engine");
        },
        Refuses,
        Refuses,
    ),
    (
        "snapshot: missing, and no engine",
        |disk| {
            disk.remove(disk.snapshot());
            disk.remove("engine");
        },
        Refuses,
        Refuses,
    ),
    (
        "snapshot: an older one under its name, and no engine",
        |disk| {
            disk.older_snapshot();
            disk.remove("engine");
        },
        Refuses,
        Refuses,
    ),
    (
        "snapshot: an unfinished one",
        |disk| disk.write("snap/0.tmp", b"half"),
        Starts,
        Starts,
    ),
    (
        "snapshot: a strange name",
        |disk| disk.write("snap/old.snap", b"?"),
        Starts,
        Starts,
    ),
    ("engine: folder missing", |disk| disk.remove("engine"), Starts, Starts),
    ("engine: marker missing", |disk| disk.remove(TRUST), Repairs, Repairs),
    ("engine: marker empty", |disk| disk.write(TRUST, b""), Repairs, Repairs),
    (
        "engine: bit in the marker",
        |disk| disk.flip(TRUST, 25),
        Repairs,
        Repairs,
    ),
    (
        "engine: marker of an earlier version",
        |disk| disk.write(TRUST, b"clean"),
        Repairs,
        Repairs,
    ),
    (
        "engine: another member's folder",
        |disk| disk.take("engine"),
        Repairs,
        Repairs,
    ),
    ("engine: an old copy of the folder", Disk::old_engine, Starts, Starts),
    (
        "engine: database missing",
        |disk| disk.remove("engine/sled"),
        Starts,
        Starts,
    ),
];

/// Damage to sled's own files, which only a marker of an orderly stop can tell for sure.
const AFTER_AN_ORDERLY_STOP: &[Case] = &[
    (
        "engine: database file missing",
        |disk| disk.remove(DATABASE),
        Repairs,
        Repairs,
    ),
    (
        "engine: database file empty",
        |disk| disk.write(DATABASE, b""),
        Repairs,
        Repairs,
    ),
    (
        "engine: database file cut",
        |disk| disk.cut(DATABASE, 1000),
        Repairs,
        Repairs,
    ),
    (
        "engine: bit in the database, begin",
        |disk| disk.flip(DATABASE, 10),
        Repairs,
        Repairs,
    ),
    (
        "engine: bit in the database, middle",
        |disk| disk.flip(DATABASE, 5000),
        Repairs,
        Repairs,
    ),
    (
        "engine: another file in the database",
        |disk| disk.write("engine/sled/snap.0", b"?"),
        Repairs,
        Repairs,
    ),
    (
        "engine: another member's database file",
        |disk| disk.take(DATABASE),
        Repairs,
        Repairs,
    ),
];

#[test]
fn damage_after_an_orderly_stop() {
    let disk = Disk::lived(Stop::Orderly);
    let table: Vec<String> = CASES
        .iter()
        .chain(AFTER_AN_ORDERLY_STOP)
        .map(|(name, damage, outcome, _)| case(&disk, name, *damage, *outcome))
        .collect();
    println!("after an orderly stop:\n{}", table.join("\n"));
}

#[test]
fn damage_after_a_kill() {
    let disk = Disk::lived(Stop::Killed);
    let table: Vec<String> = CASES
        .iter()
        .map(|(name, damage, _, outcome)| case(&disk, name, *damage, *outcome))
        .collect();
    println!("after a kill:\n{}", table.join("\n"));
}

/// Damages a copy of the disk, checks it, starts on it, and compares; the line of the table.
fn case(disk: &Disk, name: &str, damage: fn(&Disk), expected: Outcome) -> String {
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
    format!("  {name:<52} {:<8} {told}", format!("{expected:?}").to_lowercase())
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
