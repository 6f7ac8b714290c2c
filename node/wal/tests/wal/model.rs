//! Random appends, closings, releases and power cuts against a plain `Vec`. A power cut here takes away what it may
//! take: any of the sectors, and everything from any byte on, of the last group, as if its sync had not returned.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use kvorum_wal::Wal;
use proptest::{collection::vec, prelude::*};

use crate::{Record, append, open_in, segment_file, unsynced};

const SECTOR: u64 = 512;

#[derive(Clone, Debug)]
enum Step {
    /// Lengths of payloads, and a byte to fill them with (zero is the hard one).
    Append(Vec<usize>, u8),
    Reopen,
    /// Releases so many of the segments in use.
    Release(u64),
    /// Appends a last group and takes away: the sectors whose bit is not set, and what lies behind this share of it.
    PowerCut(Vec<usize>, u8, u64, f64),
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = || vec(prop_oneof![0..40_usize, 400..900_usize, Just(3539)], 1..6);
    let fill = || prop_oneof![Just(0), any::<u8>()];
    prop_oneof![
        4 => (lengths(), fill()).prop_map(|(lengths, fill)| Step::Append(lengths, fill)),
        1 => Just(Step::Reopen),
        1 => (0..4_u64).prop_map(Step::Release),
        3 => (lengths(), fill(), any::<u64>(), prop_oneof![Just(1.0), 0.0..1.0]).prop_map(|(l, f, s, c)| Step::PowerCut(l, f, s, c)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_vector(steps in vec(step(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let mut model: Vec<Record> = Vec::new();
        let mut floor = 1;
        let mut wal = open_in(dir.path(), unsynced()).unwrap().0;
        for step in steps {
            match step {
                Step::Append(lengths, fill) => model.extend(append(&wal, &payloads(&lengths, fill))),
                Step::Reopen => wal = reopen(wal, dir.path(), &mut model, 0, floor),
                Step::Release(count) => {
                    let live = model.last().map_or(1, |(at, ..)| at.segment);
                    floor = floor.max((floor + count).min(live));
                    wal.release(floor);
                }
                Step::PowerCut(lengths, fill, sectors, share) => {
                    // The note of a release may not be on disk yet; this makes sure of it.
                    append(&wal, &[]);
                    let last = append(&wal, &payloads(&lengths, fill));
                    // A segment is synced before the next is used, so only the last one may be torn.
                    let segment = last.last().unwrap().0.segment;
                    let torn: Vec<_> = last.iter().filter(|(at, ..)| at.segment == segment).collect();
                    let (start, end) = (torn[0].0.offset, end_of(torn[torn.len() - 1]));
                    wal.close();
                    tear(dir.path(), segment, start, end, sectors, share);
                    let unacknowledged = torn.len();
                    model.extend(last);
                    wal = reopen(wal, dir.path(), &mut model, unacknowledged, floor);
                }
            }
        }
        reopen(wal, dir.path(), &mut model, 0, floor);
    }
}

/// Opens again. The log must hold the model from `floor` on; of its last `unacknowledged` records, any prefix.
fn reopen(wal: Wal, dir: &Path, model: &mut Vec<Record>, unacknowledged: usize, floor: u64) -> Wal {
    drop(wal);
    let (wal, seen) = open_in(dir, unsynced()).unwrap();
    let least = model.len() - unacknowledged;
    let start = match seen.first() {
        Some(first) => model
            .iter()
            .position(|record| record == first)
            .expect("a record nobody appended"),
        None => least,
    };
    assert_eq!(seen, model[start..start + seen.len()], "not what was appended");
    assert!(start + seen.len() >= least, "acknowledged records are lost");
    assert!(
        model[..start].iter().all(|(at, ..)| at.segment < floor),
        "records are gone that nobody released"
    );
    model.truncate(start + seen.len());
    let reader = wal.reader();
    for (at, _, payload) in seen {
        // Released segments go as soon as the log is open.
        assert!(at.segment < floor || reader.read(at).unwrap() == payload);
    }
    wal
}

fn payloads(lengths: &[usize], fill: u8) -> Vec<Vec<u8>> {
    lengths.iter().map(|length| vec![fill; *length]).collect()
}

fn end_of((at, ..): &Record) -> u64 {
    at.offset + (20 + u64::from(at.len) + 1).next_multiple_of(8)
}

/// Turns bytes of `start..end` back into the zeros that were there before.
fn tear(dir: &Path, segment: u64, start: u64, end: u64, sectors: u64, share: f64) {
    let path = segment_file(dir, segment);
    let mut bytes = fs::read(&path).unwrap();
    let stop = start + ((end - start) as f64 * share) as u64;
    bytes[stop as usize..end as usize].fill(0);
    for sector in start / SECTOR..end.div_ceil(SECTOR) {
        if sectors >> (sector % 64) & 1 == 0 {
            bytes[start.max(sector * SECTOR) as usize..end.min((sector + 1) * SECTOR) as usize].fill(0);
        }
    }
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}
