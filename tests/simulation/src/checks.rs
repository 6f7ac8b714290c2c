//! What must be true of a run; the checkers are those of the tests with real members.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kvorum::simulation::ledger;
use kvorum_tests::checks::watched::Change;

use crate::member::{Plan, name};
use crate::record::{Record, Report};

/// A report that is older than this says nothing of now.
const FRESH: Duration = Duration::from_secs(2);

/// Whether all members say the same of now, and all watchers were told everything.
///
/// # Errors
/// Why not.
pub(crate) fn agree(record: &Record, members: usize, now: Duration) -> Result<Report, String> {
    let reports = record.reports().clone();
    let mut agreed: Option<Report> = None;
    for member in 0..members {
        let report = reports
            .get(&member)
            .ok_or_else(|| format!("{} never answered", name(member)))?;
        let at = Duration::from_nanos(report.at.unsigned_abs());
        if at + FRESH < now {
            return Err(format!("{} answered last at {at:?}", name(member)));
        }
        match &agreed {
            Some(first) if first.revision != report.revision => {
                return Err(format!(
                    "{} is at {}, another at {}",
                    name(member),
                    report.revision,
                    first.revision
                ));
            }
            Some(_) => {}
            None => agreed = Some(report.clone()),
        }
    }
    let agreed = agreed.ok_or("there is no member")?;
    record.watched().level(members, agreed.revision)?;
    Ok(agreed)
}

/// Everything that is checked at the end. `calm`: all agreed.
pub(crate) fn all(record: &Record, plan: &Plan, calm: bool) {
    for text in ledger::voted_twice() {
        record.wrong("votes", text);
    }
    if calm {
        states(record, plan.members);
        watches(record, plan.members);
    }
    let linearizable = catch_unwind(AssertUnwindSafe(|| record.recorder.is_linearizable()));
    if linearizable.unwrap_or_default() {
        return;
    }
    let kept = record.recorder.keep("simulation");
    record.wrong(
        "history",
        format!("no order of the operations explains what clients saw; {kept}"),
    );
}

/// The same state at the same revision, on every member.
fn states(record: &Record, members: usize) {
    let reports = record.reports().clone();
    for member in 1..members {
        let (Some(first), Some(other)) = (reports.get(&0), reports.get(&member)) else {
            continue;
        };
        if (&first.hash, &first.held) != (&other.hash, &other.held) {
            let text = format!(
                "at revision {} {} and {} differ: {} and {}",
                first.revision,
                name(0),
                name(member),
                first.hash,
                other.hash
            );
            record.wrong("states", text);
        }
    }
}

/// What was told adds up to what there is; what was acknowledged, and what was read anywhere, was told.
fn watches(record: &Record, members: usize) {
    let watched = record.watched();
    let Some(report) = record.reports().get(&(members - 1)).cloned() else {
        return;
    };
    record
        .violations
        .note("watch", watched.adds_up(report.revision, &report.held));
    for (revision, key, value) in record.recorder.changes() {
        let change = Change {
            key: format!("k{key}"),
            value: value.map(|value| value.to_string()),
        };
        record
            .violations
            .note("acknowledged", watched.acknowledged(revision, &change));
    }
    for read in record.careless().iter() {
        let change = Change {
            key: read.key.clone(),
            value: Some(read.value.clone()),
        };
        record
            .violations
            .note("serializable", watched.acknowledged(read.revision, &change));
    }
}
