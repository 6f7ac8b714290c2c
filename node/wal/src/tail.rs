//! Torn or damaged? Judges the bytes from the first bad record to the end of the last used segment. Pure.
//!
//! A segment is full of zeros before use, and a group of records is written only after the group before it was synced.
//! So a power cut can leave, in the last group alone, sectors that are still zero or a write that stops in the middle,
//! and nothing else. That group was not acknowledged, and may be cut off. Everything else was on disk once: cutting it
//! would lose what was acknowledged, so it is damage.
//!
//! Caveats: a disk that loses a whole sector of the last *acknowledged* group, by turning it into zeros, leaves what a
//! torn write leaves. And a disk whose sectors are torn inside, other than by stopping in the middle, is refused.

use crate::format::{ALIGNMENT, HEAD_BYTES, Head, Home, SECTOR, footprint, holes, is_zero};

/// What the end of a segment is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A write that a crash cut short; everything from the bad record to `until` may be overwritten with zeros.
    Torn {
        /// End of the last byte that is not zero.
        until: u64,
    },
    /// Something that no torn write leaves.
    Damaged(String),
}

/// Judges the segment `image`, whose records are whole up to `bad`, and not all zeros from there on.
pub(crate) fn judge(image: &[u8], home: Home, bad: u64) -> Verdict {
    let rest = &image[bad as usize..];
    let until = bad
        + rest
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last as u64 + 1);
    if let Some(later) = proof(image, home, bad) {
        return Verdict::Damaged(format!(
            "a record here is damaged, not torn: the record at offset {later} was written after it had been synced"
        ));
    }
    let torn = match Head::decode(home, bad, rest) {
        None => head_is_torn(rest, bad, until),
        Some(head) => body_is_torn(rest, bad, until, head),
    };
    match torn {
        true => Verdict::Torn { until },
        false => Verdict::Damaged(
            "the last record is damaged, not torn: no part of it is missing, yet it fails its checksum".to_owned(),
        ),
    }
}

/// The first record behind `bad` whose group began behind `bad`: written when the bad record was already synced.
fn proof(image: &[u8], home: Home, bad: u64) -> Option<u64> {
    let offsets = (bad + ALIGNMENT..image.len() as u64).step_by(ALIGNMENT as usize);
    offsets
        .filter_map(|offset| Some((offset, Head::decode(home, offset, &image[offset as usize..])?)))
        .find(|(_, head)| u64::from(head.group) > bad)
        .map(|(offset, _)| offset)
}

/// Whether the head, which cannot be read, is missing in whole or in one of the two sectors in which it lies, or was
/// not written to its end.
fn head_is_torn(rest: &[u8], bad: u64, until: u64) -> bool {
    let head = &rest[..HEAD_BYTES.min(rest.len())];
    let boundary = ((SECTOR - bad % SECTOR) as usize).min(head.len());
    let (left, right) = head.split_at(boundary);
    is_zero(left) || (!right.is_empty() && is_zero(right)) || until < bad + HEAD_BYTES as u64
}

/// Whether the body lacks a sector or was not written to its end.
fn body_is_torn(rest: &[u8], bad: u64, until: u64, head: Head) -> bool {
    let end = footprint(head.len);
    let body = &rest[HEAD_BYTES..end as usize];
    holes(body, bad + HEAD_BYTES as u64) > head.holes || until < bad + end
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::{Batch, Kind, format::encode_record};

    const HOME: Home = Home { log_id: 7, segment: 3 };

    /// A segment with one group per inner slice, and where each record begins.
    fn segment(groups: &[&[&[u8]]]) -> (Vec<u8>, Vec<u64>) {
        let (mut image, mut starts) = (vec![0; 512], Vec::new());
        for group in groups {
            let start = image.len() as u64;
            for payload in *group {
                let mut batch = Batch::new();
                batch.push(Kind(1), payload.to_vec()).unwrap();
                let offset = image.len() as u64;
                starts.push(offset);
                encode_record(&mut image, HOME, offset, start, &batch.records[0]);
            }
        }
        image.resize(8192, 0);
        (image, starts)
    }

    fn is_torn(image: &[u8], bad: u64) -> bool {
        matches!(judge(image, HOME, bad), Verdict::Torn { .. })
    }

    #[test]
    fn a_flip_is_damage_wherever_it_is() {
        let (image, starts) = segment(&[&[b"first"], &[b"second", &[7; 1500]]]);
        let end = starts[2] + footprint(1500);
        for byte in starts[0]..end {
            let bad = *starts.iter().rfind(|start| **start <= byte).unwrap();
            let mut image = image.clone();
            image[byte as usize] ^= 0x10;
            assert!(!is_torn(&image, bad), "byte {byte}");
        }
    }

    #[test]
    fn a_write_that_stops_in_the_middle_is_torn() {
        let (image, starts) = segment(&[&[b"first"], &[b"second", &[7; 1500]]]);
        let end = starts[2] + footprint(1500);
        for stop in starts[1] + 1..end {
            let bad = if stop <= starts[2] { starts[1] } else { starts[2] };
            let mut image = image.clone();
            image[stop as usize..].fill(0);
            if stop != starts[2] {
                assert!(is_torn(&image, bad), "stops at {stop}");
            }
        }
    }

    #[test_case(1; "first sector of the group")]
    #[test_case(2; "second")]
    #[test_case(3; "third")]
    fn a_missing_sector_is_torn_though_later_ones_are_there(sector: u64) {
        let (mut image, starts) = segment(&[&[&[7; 1400], &[8; 600], b"third"]]);
        image[(sector * 512) as usize..][..512].fill(0);
        assert!(is_torn(&image, starts[0]));
    }

    #[test]
    fn a_sector_missing_from_a_synced_group_is_damage() {
        let (mut image, starts) = segment(&[&[&[7; 1400]], &[b"later"]]);
        image[1024..1536].fill(0);
        let Verdict::Damaged(what) = judge(&image, HOME, starts[0]) else {
            panic!("torn")
        };
        assert!(what.contains(&format!("offset {}", starts[1])), "{what}");
    }

    #[test]
    fn zeros_in_a_payload_are_not_taken_for_missing_sectors() {
        let mut payload = vec![7; 3000];
        payload[..2000].fill(0);
        let (mut image, starts) = segment(&[&[&payload]]);
        image[starts[0] as usize + 2500] ^= 1;
        assert!(!is_torn(&image, starts[0]));
    }

    #[test]
    fn stray_bytes_behind_the_end_are_cut() {
        let (mut image, starts) = segment(&[&[b"first"]]);
        let end = starts[0] + footprint(5);
        image[4000] = 1;
        assert_eq!(judge(&image, HOME, end), Verdict::Torn { until: 4001 });
    }
}
