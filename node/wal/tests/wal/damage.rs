//! The log on a bad day: every way of damaging a file ends in a repair that loses nothing acknowledged, or in a refusal
//! that says where and what to do. A refusal changes nothing.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use kvorum_wal::{Cut, OpenError, Options, ReadError, SegmentState};
use tempfile::TempDir;
use test_case::test_case;

use crate::{Record, append, copy, inspect_in, listing, open_in, payload, segment_file, unsynced};

/// A closed log of some segments; every record was acknowledged, each in a group of its own.
fn mk_log(records: usize) -> (TempDir, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), unsynced()).unwrap();
    let model = (0..records).flat_map(|i| append(&wal, &[payload(i, 150)])).collect();
    (dir, model)
}

fn footprint(record: &Record) -> u64 {
    (20 + u64::from(record.0.len) + 1).next_multiple_of(8)
}

fn overwrite(dir: &Path, segment: u64, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(segment_file(dir, segment)).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

fn flip(dir: &Path, segment: u64, offset: u64, mask: u8) {
    let path = segment_file(dir, segment);
    let byte = fs::read(&path).unwrap()[offset as usize];
    overwrite(dir, segment, offset, &[byte ^ mask]);
}

/// Opening must be refused at `offset` of `segment`, change nothing, and say what to do.
fn refused_at(dir: &Path, segment: u64, offset: u64, context: &str) {
    let before: Vec<_> = listing(dir)
        .iter()
        .map(|name| fs::read(dir.join(name)).unwrap())
        .collect();
    let foretold = inspect_in(dir).0.outcome;
    let error = open_in(dir, unsynced())
        .err()
        .unwrap_or_else(|| panic!("{context}: opened"));
    let foretold = foretold.map_err(|error| error.to_string());
    assert_eq!(foretold, Err(error.to_string()), "{context}: what was foretold");
    let OpenError::Damaged { file, offset: at, .. } = &error else {
        panic!("{context}: {error}")
    };
    assert_eq!((file, *at), (&segment_file(dir, segment), offset), "{context}: {error}");
    let message = error.to_string();
    assert!(
        message.contains(&format!("offset {offset}")) && message.contains("restore"),
        "{context}: {message}"
    );
    let after: Vec<_> = listing(dir)
        .iter()
        .map(|name| fs::read(dir.join(name)).unwrap())
        .collect();
    assert!(before == after, "{context}: a refusal changed something");
}

#[test]
fn a_last_record_cut_short_at_any_byte_is_cut_off_and_nothing_else() {
    let (dir, model) = mk_log(9);
    let last = model.last().unwrap();
    let end = last.0.offset + footprint(last);
    for cut in last.0.offset..end {
        let dir = copy(dir.path());
        overwrite(dir.path(), last.0.segment, cut, &vec![0; (end - cut) as usize]);
        let before = fs::read(segment_file(dir.path(), last.0.segment)).unwrap();
        let (foretold, looked_at) = inspect_in(dir.path());
        let foretold = foretold.outcome.unwrap();
        let after = fs::read(segment_file(dir.path(), last.0.segment)).unwrap();
        assert!(before == after, "cut at {cut}: looking changed something");
        let (wal, seen) = open_in(dir.path(), unsynced()).unwrap();
        assert_eq!((&foretold, &looked_at), (wal.recovery(), &seen), "cut at {cut}");
        assert_eq!(seen, model[..8], "cut at {cut}");
        let expected = (cut > last.0.offset).then_some((last.0.segment, last.0.offset));
        assert_eq!(
            wal.recovery().cut.map(|Cut { segment, offset, .. }| (segment, offset)),
            expected,
            "cut at {cut}"
        );
        // What comes next is found again, and nothing stale behind it.
        let mut model = model[..8].to_vec();
        model.extend(append(&wal, &[payload(99, 20)]));
        drop(wal);
        assert_eq!(open_in(dir.path(), unsynced()).unwrap().1, model, "cut at {cut}");
    }
}

#[test]
fn a_flip_in_any_byte_of_the_last_record_is_refused() {
    let (dir, model) = mk_log(9);
    let last = model.last().unwrap();
    for byte in last.0.offset..last.0.offset + footprint(last) {
        let dir = copy(dir.path());
        flip(dir.path(), last.0.segment, byte, 0x40);
        refused_at(dir.path(), last.0.segment, last.0.offset, &format!("byte {byte}"));
    }
}

#[test]
fn a_file_truncated_anywhere_is_refused() {
    let (dir, model) = mk_log(9);
    let last = model.last().unwrap().0.segment;
    let full = fs::metadata(segment_file(dir.path(), last)).unwrap().len();
    for length in (0..full).step_by(53) {
        let dir = copy(dir.path());
        OpenOptions::new()
            .write(true)
            .open(segment_file(dir.path(), last))
            .unwrap()
            .set_len(length)
            .unwrap();
        refused_at(dir.path(), last, length, &format!("{length} bytes"));
    }
}

#[test]
fn damage_before_the_last_record_is_refused_with_its_place() {
    let (dir, model) = mk_log(60);
    let segments = model.last().unwrap().0.segment;
    assert!(segments >= 3);
    for record in &model[..model.len() - 1] {
        let at = record.0;
        for byte in [0, 4, 8, 10, 12, 16, 30, footprint(record) - 1] {
            let dir = copy(dir.path());
            flip(dir.path(), at.segment, at.offset + byte, 1);
            refused_at(dir.path(), at.segment, at.offset, &format!("{at:?} byte {byte}"));
        }
        let dir = copy(dir.path());
        overwrite(dir.path(), at.segment, at.offset, &vec![0; footprint(record) as usize]);
        refused_at(dir.path(), at.segment, at.offset, &format!("{at:?} zeroed"));
    }
}

#[test]
fn a_reader_notices_damage_too() {
    let (dir, model) = mk_log(9);
    let (wal, _) = open_in(dir.path(), unsynced()).unwrap();
    flip(dir.path(), model[2].0.segment, model[2].0.offset + 40, 1);
    let reader = wal.reader();
    assert_eq!(reader.read(model[1].0).unwrap(), model[1].2);
    assert!(matches!(reader.read(model[2].0), Err(ReadError::Damaged { offset, .. }) if offset == model[2].0.offset));
    let mut shifted = model[3].0;
    shifted.offset += 8;
    assert!(matches!(reader.read(shifted), Err(ReadError::Damaged { .. })));
    let mut shorter = model[3].0;
    shorter.len -= 1;
    assert!(matches!(reader.read(shorter), Err(ReadError::Damaged { .. })));
    let mut outside = model[3].0;
    outside.offset = u64::MAX - 7;
    assert!(matches!(reader.read(outside), Err(ReadError::Damaged { .. })));
}

#[test]
fn a_missing_segment_is_refused() {
    let (dir, model) = mk_log(60);
    let last = model.last().unwrap().0.segment;
    // The last one too, though only the seal before it tells.
    for missing in 1..=last {
        let dir = copy(dir.path());
        fs::remove_file(segment_file(dir.path(), missing)).unwrap();
        // Without the first, the log looks as if it had been released; but no note says so.
        let reported = if missing == 1 { 2 } else { missing };
        refused_at(dir.path(), reported, 0, &format!("segment {missing}"));
    }
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let ((dir, model), (other, _)) = (mk_log(60), mk_log(60));
    for number in 1..=model.last().unwrap().0.segment {
        let dir = copy(dir.path());
        fs::copy(segment_file(other.path(), number), segment_file(dir.path(), number)).unwrap();
        let refused = open_in(dir.path(), unsynced()).unwrap_err();
        assert!(
            matches!(refused, OpenError::Foreign { .. }),
            "segment {number}: {refused}"
        );
    }
    let refused = open_in(
        dir.path(),
        Options {
            log_id: Some(1),
            ..unsynced()
        },
    )
    .unwrap_err();
    assert!(matches!(&refused, OpenError::Foreign { expected: 1, .. }), "{refused}");
}

#[test]
fn a_segment_under_another_number_is_refused() {
    let (dir, _) = mk_log(60);
    fs::copy(segment_file(dir.path(), 2), segment_file(dir.path(), 3)).unwrap();
    refused_at(dir.path(), 3, 0, "segment 2 as 3");
}

#[test]
fn an_old_copy_of_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_in(dir.path(), unsynced()).unwrap();
    let model: Vec<_> = (0..3).flat_map(|i| append(&wal, &[payload(i, 150)])).collect();
    let old = fs::read(segment_file(dir.path(), 1)).unwrap();
    (3..60).for_each(|i| drop(append(&wal, &[payload(i, 150)])));
    wal.close();
    fs::write(segment_file(dir.path(), 1), old).unwrap();
    let end = model[2].0.offset + footprint(&model[2]);
    refused_at(dir.path(), 1, end, "old segment 1");
}

#[test]
fn records_behind_an_empty_segment_are_refused() {
    let (dir, model) = mk_log(60);
    let last = model.last().unwrap().0.segment;
    let file = segment_file(dir.path(), last - 1);
    let length = fs::metadata(&file).unwrap().len() - 512;
    overwrite(dir.path(), last - 1, 512, &vec![0; length as usize]);
    refused_at(dir.path(), last - 1, 512, "emptied");
}

#[test_case(&[] ; "empty file")]
#[test_case(b"not a log at all" ; "text")]
fn a_file_that_is_no_segment_is_refused(content: &[u8]) {
    let (dir, _) = mk_log(9);
    fs::write(segment_file(dir.path(), 1), content).unwrap();
    refused_at(dir.path(), 1, content.len() as u64, "no segment");
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let (dir, _) = mk_log(9);
    let path = segment_file(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let refused = open_in(dir.path(), unsynced()).unwrap_err();
    assert!(
        matches!(refused, OpenError::Version { found: 2, known: 1, .. }),
        "{refused}"
    );
}

#[test]
fn unfinished_preparations_are_removed_and_strange_names_refused() {
    let (dir, model) = mk_log(9);
    fs::write(dir.path().join("00000000000000000009.wal.new"), b"half").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    assert_eq!(open_in(dir.path(), unsynced()).unwrap().1, model);
    assert!(
        !listing(dir.path())
            .iter()
            .any(|name| name.starts_with("00000000000000000009"))
    );
    fs::write(dir.path().join("7.wal"), b"").unwrap();
    let refused = open_in(dir.path(), unsynced()).unwrap_err();
    assert!(
        matches!(&refused, OpenError::Damaged { file, .. } if file.ends_with("7.wal")),
        "{refused}"
    );
}

#[test]
fn a_lost_end_of_the_log_is_refused() {
    let (dir, model) = mk_log(60);
    let last = model.last().unwrap().0.segment;
    // With it all that was prepared behind it, so that no gap in the numbers tells.
    for name in listing(dir.path()) {
        if name.as_str() >= segment_file(Path::new(""), last).to_str().unwrap() {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
    }
    refused_at(dir.path(), last, 0, "the end of the log");
}

#[test]
fn looking_at_a_log_tells_of_every_segment_and_changes_nothing() {
    let (dir, model) = mk_log(60);
    let last = model.last().unwrap().0.segment;
    fs::write(dir.path().join("00000000000000000009.wal.new"), b"half").unwrap();
    let names = listing(dir.path());
    let (found, seen) = inspect_in(dir.path());
    assert_eq!((seen, listing(dir.path())), (model.clone(), names));
    assert_eq!(found.unfinished, [dir.path().join("00000000000000000009.wal.new")]);
    for segment in &found.segments {
        let records: Vec<_> = model
            .iter()
            .filter(|record| record.0.segment == segment.number)
            .collect();
        assert_eq!(segment.records, records.len() as u64);
        let expected = match segment.number {
            number if number < last => SegmentState::Sealed,
            number if number == last => SegmentState::Open,
            _ => SegmentState::Prepared,
        };
        assert_eq!(segment.state, expected, "{segment:?}");
    }
    let numbers: Vec<_> = found.segments.iter().map(|segment| segment.number).collect();
    assert!(numbers.len() as u64 >= last && numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn what_could_be_read_before_the_damage_is_told() {
    let (dir, model) = mk_log(60);
    let bad = model.len() / 2;
    flip(dir.path(), model[bad].0.segment, model[bad].0.offset + 30, 1);
    let (found, seen) = inspect_in(dir.path());
    assert_eq!(seen, model[..bad]);
    let broken = found.segments.last().unwrap();
    assert_eq!(
        (broken.number, broken.used_bytes),
        (model[bad].0.segment, model[bad].0.offset)
    );
    assert_eq!(broken.state, SegmentState::Broken);
    assert!(matches!(found.outcome, Err(OpenError::Damaged { .. })), "{found:?}");
}

#[test]
fn a_log_in_use_is_not_looked_at_and_neither_is_none() {
    let (dir, _) = mk_log(9);
    let (wal, _) = open_in(dir.path(), unsynced()).unwrap();
    assert!(matches!(inspect_in(dir.path()).0.outcome, Err(OpenError::InUse(_))));
    wal.close();
    assert!(inspect_in(dir.path()).0.outcome.is_ok());
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(inspect_in(empty.path()).0.outcome, Err(OpenError::Missing(_))));
    assert!(matches!(
        inspect_in(&empty.path().join("none")).0.outcome,
        Err(OpenError::Missing(_))
    ));
    assert!(listing(empty.path()).is_empty());
}
