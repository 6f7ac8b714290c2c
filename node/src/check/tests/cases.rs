//! The damage table itself: what is done to a disk, and what is to come of it.

use super::disk::Disk;

/// What is to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
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
pub(super) type Case = (&'static str, fn(&Disk), Outcome, Outcome);

const IDENTITY: &str = "identity";
const DATABASE: &str = "engine/sled/db";
const VALUES: &str = "engine/values/0000000000000001.far";
const TRUST: &str = "engine/trust";

/// Damage that is told after any stop.
pub(super) const CASES: &[Case] = &[
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
        "snapshot: the beginning of one that was being received",
        |disk| disk.write("snap/00000000000000000009-00000000000000000009-00.partial", b"KVRMSNAP"),
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
    // After a kill nobody knows before the engine is read, which then is rebuilt.
    (
        "engine: large values missing",
        |disk| disk.remove("engine/values"),
        Repairs,
        Starts,
    ),
    (
        "engine: large values cut",
        |disk| disk.cut(VALUES, 1000),
        Repairs,
        Starts,
    ),
    (
        "engine: bit in a large value",
        |disk| disk.flip(VALUES, 1000),
        Repairs,
        Starts,
    ),
];

/// Damage to sled's own files, which only a marker of an orderly stop can tell for sure.
pub(super) const AFTER_AN_ORDERLY_STOP: &[Case] = &[
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
