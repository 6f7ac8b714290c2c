//! How segments and records look on disk. Pure: bytes in, bytes out. All numbers are little-endian.
//!
//! ```text
//! segment header, one sector:  magic 8 | format 4 | zero 4 | log id 8 | segment number 8 | capacity 8 | CRC 4 | zeros
//! record, at a multiple of 8:  len 4 | group 4 | tag 2 | holes 2 | CRC of payload 4 | CRC of head 4 |
//!                              payload | zeros | end mark 1
//! ```
//!
//! - `tag`: the caller's kind in 0..=255; the log's own records ([`SEAL`], [`FLOOR`]) lie above.
//! - The CRC of the head covers log id, segment number and offset too, so that a record is valid in one place only.
//! - `group`: offset of the first record written in the same call. A group is written after the one before it was
//!   synced; so a record of a later group proves that everything before that group was once on disk.
//! - `holes`: how many of the sectors' pieces after the head were written as nothing but zeros. More of them than that
//!   on reading means that a sector never arrived; exactly that many means that no sector is missing.
//! - The end mark is not zero, so a record that was written to its end can be told from one cut short.
//!
//! The last two let `tail` tell a torn write from rot even when the record is the last one.

use crate::batch::Record;

/// What a disk writes as a whole or not at all, in bytes.
pub(crate) const SECTOR: u64 = 512;
/// The segment header has a sector of its own, which is never written again.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = SECTOR;
/// Head of a record, in bytes.
pub(crate) const HEAD_BYTES: usize = 20;
/// Records begin at multiples of this, in bytes.
pub(crate) const ALIGNMENT: u64 = 8;
/// Every segment keeps this many bytes free for its seal.
pub(crate) const SEAL_BYTES: u64 = footprint(0);
/// Tag of the record that ends a segment; the next segment is used only when it is on disk.
pub(crate) const SEAL: u16 = 0x100;
/// Tag of the note, before segments are removed, of the oldest that must stay. Payload: its number, 8 bytes.
pub(crate) const FLOOR: u16 = 0x101;
/// The format that this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"KVRMWAL\n";
const END_MARK: u8 = 0xA5;

/// Which segment of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) log_id: u64,
    pub(crate) segment: u64,
}

/// A segment header that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) home: Home,
    pub(crate) capacity: u64,
}

/// Why a segment header is not one that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Magic,
    Version(u32),
    Checksum,
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: u32,
    pub(crate) group: u32,
    pub(crate) tag: u16,
    pub(crate) holes: u16,
    pub(crate) checksum: u32,
}

/// A record that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) head: Head,
    pub(crate) payload: &'a [u8],
}

/// Bytes that a record with a payload of `len` bytes takes in a segment.
pub(crate) const fn footprint(len: u32) -> u64 {
    (HEAD_BYTES as u64 + len as u64 + 1).next_multiple_of(ALIGNMENT)
}

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// How many of the pieces into which sector boundaries cut `body`, which lies at `offset`, are nothing but zeros.
pub(crate) fn holes(body: &[u8], offset: u64) -> u16 {
    let first = ((SECTOR - offset % SECTOR) as usize).min(body.len());
    let (first, rest) = body.split_at(first);
    let pieces = std::iter::once(first).chain(rest.chunks(SECTOR as usize));
    u16::try_from(pieces.filter(|piece| is_zero(piece)).count()).expect("16 MiB have fewer than 2^16 sectors")
}

impl SegmentHeader {
    /// The header's sector.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut sector = [0; SEGMENT_HEADER_BYTES as usize];
        sector[..8].copy_from_slice(&MAGIC);
        sector[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        sector[16..24].copy_from_slice(&self.home.log_id.to_le_bytes());
        sector[24..32].copy_from_slice(&self.home.segment.to_le_bytes());
        sector[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        let checksum = crc32c::crc32c(&sector[..40]);
        sector[40..44].copy_from_slice(&checksum.to_le_bytes());
        sector
    }

    /// Reads a header back.
    pub(crate) fn decode(sector: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Result<SegmentHeader, HeaderFault> {
        if sector[..8] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let header = SegmentHeader {
            home: Home {
                log_id: u64_at(sector, 16),
                segment: u64_at(sector, 24),
            },
            capacity: u64_at(sector, 32),
        };
        match u32_at(sector, 8) {
            FORMAT if header.encode() == *sector => Ok(header),
            FORMAT => Err(HeaderFault::Checksum),
            // The checksum's place is the same in every format, so that a flipped bit is not taken for a new version.
            other if u32_at(sector, 40) == crc32c::crc32c(&sector[..40]) => Err(HeaderFault::Version(other)),
            _ => Err(HeaderFault::Checksum),
        }
    }
}

impl Head {
    /// The head as it lies at `offset` of `home`.
    pub(crate) fn encode(&self, home: Home, offset: u64) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.group.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.tag.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.holes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.checksum.to_le_bytes());
        let mut bound = [0; 40];
        bound[..8].copy_from_slice(&home.log_id.to_le_bytes());
        bound[8..16].copy_from_slice(&home.segment.to_le_bytes());
        bound[16..24].copy_from_slice(&offset.to_le_bytes());
        bound[24..].copy_from_slice(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc32c::crc32c(&bound).to_le_bytes());
        bytes
    }

    /// The head that lies at `offset` of `home`, if `bytes` begin with one that belongs there and fits.
    pub(crate) fn decode(home: Home, offset: u64, bytes: &[u8]) -> Option<Head> {
        let raw = bytes.get(..HEAD_BYTES)?;
        let head = Head {
            len: u32_at(raw, 0),
            group: u32_at(raw, 4),
            tag: u16::from_le_bytes([raw[8], raw[9]]),
            holes: u16::from_le_bytes([raw[10], raw[11]]),
            checksum: u32_at(raw, 12),
        };
        // Cheap questions first: recovery asks this at every multiple of 8 behind a bad record.
        let group = u64::from(head.group);
        let plausible = (SEGMENT_HEADER_BYTES..=offset).contains(&group) && footprint(head.len) <= bytes.len() as u64;
        (plausible && head.encode(home, offset) == raw).then_some(head)
    }
}

/// Appends a record to `out` as it will lie at `offset` of `home`.
pub(crate) fn encode_record(out: &mut Vec<u8>, home: Home, offset: u64, group: u64, record: &Record) {
    let start = out.len();
    let len = u32::try_from(record.payload.len()).expect("a batch bounds the payload");
    out.extend_from_slice(&[0; HEAD_BYTES]);
    out.extend_from_slice(&record.payload);
    out.resize(start + footprint(len) as usize - 1, 0);
    out.push(END_MARK);
    let head = Head {
        len,
        group: u32::try_from(group).expect("options bound a segment to 1 GiB"),
        tag: record.tag,
        holes: holes(&out[start + HEAD_BYTES..], offset + HEAD_BYTES as u64),
        checksum: record.checksum,
    };
    out[start..start + HEAD_BYTES].copy_from_slice(&head.encode(home, offset));
}

/// The record with which `bytes`, read at `offset` of `home`, begin; or what is wrong with it.
pub(crate) fn decode_record(home: Home, offset: u64, bytes: &[u8]) -> Result<Found<'_>, &'static str> {
    let head = Head::decode(home, offset, bytes).ok_or("no record begins here: its head fails its checksum")?;
    let (payload, rest) = bytes[HEAD_BYTES..footprint(head.len) as usize].split_at(head.len as usize);
    if crc32c::crc32c(payload) != head.checksum {
        return Err("the record fails its checksum");
    }
    let (end, padding) = rest.split_last().expect("a footprint has room for the end mark");
    if *end != END_MARK || !is_zero(padding) {
        return Err("the record's padding is damaged");
    }
    Ok(Found { head, payload })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Kind};

    const HOME: Home = Home { log_id: 7, segment: 3 };

    fn record(payload: &[u8]) -> Vec<u8> {
        let mut batch = Batch::new();
        batch.push(Kind(9), payload.to_vec()).unwrap();
        let mut out = Vec::new();
        encode_record(&mut out, HOME, 1024, 1024, &batch.records[0]);
        out
    }

    #[test]
    fn a_record_reads_back_and_is_aligned() {
        for len in 0..70 {
            let payload = vec![b'x'; len];
            let bytes = record(&payload);
            assert_eq!(bytes.len() as u64, footprint(len as u32));
            assert_eq!(bytes.len() % ALIGNMENT as usize, 0);
            let found = decode_record(HOME, 1024, &bytes).unwrap();
            assert_eq!((found.payload, found.head.tag), (&payload[..], 9));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = record(b"some payload");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(HOME, 1024, &bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_is_valid_in_one_place_only() {
        let bytes = record(b"some payload");
        assert!(decode_record(HOME, 1032, &bytes).is_err());
        assert!(decode_record(Home { segment: 4, ..HOME }, 1024, &bytes).is_err());
        assert!(decode_record(Home { log_id: 8, ..HOME }, 1024, &bytes).is_err());
    }

    #[test]
    fn holes_are_counted_by_sector() {
        assert_eq!(holes(&[0; 2048], 0), 4);
        assert_eq!(holes(&[0; 2048], 8), 5);
        assert_eq!(holes(&[1; 2048], 8), 0);
        let mut body = vec![0; 2048];
        body[600] = 1;
        assert_eq!(holes(&body, 512), 3);
    }

    #[test]
    fn a_segment_header_reads_back_or_says_why_not() {
        let header = SegmentHeader {
            home: HOME,
            capacity: 4096,
        };
        let sector = header.encode();
        assert_eq!(SegmentHeader::decode(&sector), Ok(header));
        let mut newer = sector;
        newer[8] = 2;
        assert_eq!(SegmentHeader::decode(&newer), Err(HeaderFault::Checksum));
        let checksum = crc32c::crc32c(&newer[..40]);
        newer[40..44].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&newer), Err(HeaderFault::Version(2)));
        for bit in 0..sector.len() * 8 {
            let mut bad = sector;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn fuzz_a_record_is_the_one_that_was_written_or_an_error() {
        let good = record(b"some payload of a record, longer than a sector's remainder");
        let inputs = kvorum_fuzz::mutated(vec![good.clone()]);
        kvorum_fuzz::run("records in a segment", 5_000, inputs, |bytes| {
            match decode_record(HOME, 1024, &bytes) {
                Ok(found) => assert_eq!(bytes[..footprint(found.head.len) as usize], good),
                Err(reason) => assert!(!reason.is_empty()),
            }
        });
        // With a head that is right about a payload that is not: any length, any group.
        let head = (
            proptest::prelude::any::<(u32, u32, u16, u16, u32)>(),
            kvorum_fuzz::bytes(64),
        );
        kvorum_fuzz::run(
            "heads that lie",
            5_000,
            head,
            |((len, group, tag, holes, checksum), rest)| {
                let head = Head {
                    len,
                    group,
                    tag,
                    holes,
                    checksum,
                };
                let bytes = [&head.encode(HOME, 1024)[..], &rest].concat();
                assert!(
                    decode_record(HOME, 1024, &bytes).is_err() || crc32c::crc32c(&rest[..len as usize]) == checksum
                );
            },
        );
    }

    #[test]
    fn fuzz_a_segment_header_is_the_one_that_was_written_or_an_error() {
        let header = SegmentHeader {
            home: HOME,
            capacity: 4096,
        };
        let inputs = kvorum_fuzz::mutated(vec![header.encode()[..48].to_vec()]);
        kvorum_fuzz::run("segment headers", 5_000, inputs, |mut bytes| {
            bytes.resize(SEGMENT_HEADER_BYTES as usize, 0);
            let sector = bytes.try_into().unwrap();
            if let Ok(found) = SegmentHeader::decode(&sector) {
                assert_eq!(found, header);
            }
        });
    }
}
