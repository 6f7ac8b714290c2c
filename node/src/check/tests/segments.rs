//! The damage table of a log of several segments: each damage to the first, to one in the middle and to the last, and a
//! cut at every record and inside of it. None is a torn write, so none is repaired.

use super::cases::Outcome::Refuses;
use super::disk::Disk;
use super::{HEAD, case};

/// A damage to a segment: what it is called, and what it does to the file, in which a record in the middle lies at an
/// offset.
type Damage = (&'static str, fn(&Disk, &str, usize));

/// Where the first record lies.
const HEADER_BYTES: usize = 512;

const DAMAGES: &[Damage] = &[
    ("missing", |disk, file, _| disk.remove(file)),
    ("empty", |disk, file, _| disk.write(file, b"")),
    ("no segment at all", |disk, file, _| disk.write(file, b"not a log")),
    ("cut inside its header", |disk, file, _| disk.cut(file, 100)),
    ("cut after its header", |disk, file, _| disk.cut(file, HEADER_BYTES)),
    ("bit in the magic", |disk, file, _| disk.flip(file, 2)),
    ("bit in the header", |disk, file, _| disk.flip(file, 20)),
    ("bit in the header's checksum", |disk, file, _| disk.flip(file, 41)),
    ("newer format", |disk, file, _| disk.newer(file)),
    ("bit in a record's length", |disk, file, at| disk.flip(file, at)),
    ("bit in a record's group", |disk, file, at| disk.flip(file, at + 4)),
    ("bit in a record's checksum", |disk, file, at| disk.flip(file, at + 12)),
    ("bit in the checksum of a record's head", |disk, file, at| {
        disk.flip(file, at + 16)
    }),
    ("bit in a record's payload", |disk, file, at| disk.flip(file, at + 25)),
    ("an old copy, from before its records", |disk, file, _| {
        disk.zero(file, HEADER_BYTES)
    }),
    ("another member's", |disk, file, _| disk.take(file)),
];

#[test]
fn damage_to_each_of_several_segments() {
    let disk = Disk::of_segments();
    let segments = disk.records();
    assert!(segments.len() >= 3, "{segments:?}");
    let places = [
        ("first", 0),
        ("middle", segments.len() / 2),
        ("last", segments.len() - 1),
    ];
    let mut table = Vec::new();
    for (place, number) in places {
        let (file, records) = &segments[number];
        let middle = records[records.len() / 2];
        for (what, damage) in DAMAGES {
            let name = format!("{place} segment: {what}");
            table.push(case(&disk, &name, &|disk| damage(disk, file, middle), Refuses));
        }
        for (count, at) in records.iter().enumerate() {
            for (what, length) in [("at", *at), ("inside", at + 21)] {
                let name = format!("{place} segment: cut {what} record {count}");
                table.push(case(&disk, &name, &|disk| disk.cut(file, length), Refuses));
            }
        }
    }
    println!("{HEAD}\n{}", table.join("\n"));
}
