//! Reads a whole log and says what it is: every segment in order, every record handed over, and at the end whether the
//! log is whole, torn or damaged. Changes nothing; `recovery` acts on it, and [`inspect`](crate::inspect) only tells.
//!
//! What it must keep true:
//! 1. Segments are numbered without a gap, and the oldest is not younger than the floor noted before the last removal.
//! 2. Every segment but the last used one ends with a seal, and behind a seal there is another segment; behind the end of
//!    a segment there are zeros only, and later segments (prepared ahead) are empty.
//! 3. Nothing is skipped: whatever is not a record, zeros or a torn end is refused, with its file and offset.

use std::sync::Arc;

use crate::{
    Cut, Inspected, Kind, OpenError, Position, SegmentState,
    directory::Directory,
    format::{self, FLOOR, SEAL, SEGMENT_HEADER_BYTES, footprint, is_zero},
    segment::Segment,
    tail::{Verdict, judge},
};

/// The caller's `replay`, with its error made one type.
pub(crate) type Replay<'a> = &'a mut dyn FnMut(Position, Kind, &[u8]) -> Result<(), Refused>;
/// The caller's error.
pub(crate) type Refused = Box<dyn std::error::Error + Send + Sync>;

/// A log that can be opened.
pub(crate) struct Survey {
    /// All segments, oldest first.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// How many of them are in use; the others were prepared ahead and are empty.
    pub(crate) used: usize,
    /// Where the last one used ends.
    pub(crate) end: End,
    /// What the last one used holds.
    pub(crate) image: Vec<u8>,
    /// Records handed over.
    pub(crate) records: u64,
    /// Segments below this may be removed.
    pub(crate) floor: u64,
    /// The torn end, which may be overwritten with zeros.
    pub(crate) cut: Option<Cut>,
}

impl Survey {
    /// The last segment in use.
    pub(crate) fn last(&self) -> &Arc<Segment> {
        &self.segments[self.used - 1]
    }
}

/// Where the records of a segment end, and how.
pub(crate) struct End {
    pub(crate) offset: u64,
    /// Start of the last group.
    pub(crate) group: u64,
    pub(crate) closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Sealed,
    /// Zeros.
    Open,
    /// Something that is not a record.
    Bad(&'static str),
}

/// Reads `segments`, of which there is at least one. What was read before a refusal is in `walked`.
pub(crate) fn survey(
    directory: &Directory,
    segments: Vec<Arc<Segment>>,
    walked: &mut Vec<Inspected>,
    replay: Replay<'_>,
) -> Result<Survey, OpenError> {
    let mut scan = Scan {
        replay,
        walked,
        records: 0,
        floor: 1,
    };
    let mut used = 0;
    let (end, image) = loop {
        let image = segments[used].image()?;
        let end = scan.segment(&segments[used], &image)?;
        used += 1;
        // A sealed segment is followed by another; unless that one is still empty, it was the last one used.
        if end.closing == Closing::Sealed && !is_last_used(&segments, used)? {
            continue;
        }
        break (end, image);
    };
    let last = &segments[used - 1];
    check_rest(last, &end, &segments[used..])?;
    if end.closing == Closing::Sealed && used == segments.len() {
        return Err(OpenError::Damaged {
            file: directory.file(last.home.segment + 1),
            offset: 0,
            what: format!(
                "this segment is missing: it was there before segment {} was sealed",
                last.home.segment
            ),
        });
    }
    scan.prepared(&segments[used..]);
    let first = segments[0].home.segment;
    if first > scan.floor {
        let what = format!(
            "the log begins here, but the segments from {} on were never released",
            scan.floor
        );
        return Err(damaged(&segments[0], 0, what));
    }
    let cut = torn(last, &end, &image)?;
    Ok(Survey {
        records: scan.records,
        floor: scan.floor,
        segments,
        used,
        end,
        image,
        cut,
    })
}

/// Opens every segment and checks the numbers, which are in order; `log_id` is demanded if known.
pub(crate) fn open_segments(
    directory: &Directory,
    numbers: &[u64],
    log_id: Option<u64>,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for &number in numbers {
        let log_id = log_id.or(segments.first().map(|first| first.home.log_id));
        if let Some(last) = segments.last().filter(|last| last.home.segment + 1 != number) {
            let missing = last.home.segment + 1;
            let what = format!("this segment is missing, but segment {number} is there");
            return Err(OpenError::Damaged {
                file: directory.file(missing),
                offset: 0,
                what,
            });
        }
        segments.push(Arc::new(directory.segment(number, log_id)?));
    }
    Ok(segments)
}

fn is_last_used(segments: &[Arc<Segment>], used: usize) -> Result<bool, OpenError> {
    match segments.get(used) {
        None => Ok(true),
        Some(next) => Ok(next.is_unused()?),
    }
}

/// Refuses when a segment that should be empty is not.
fn check_rest(last: &Segment, end: &End, rest: &[Arc<Segment>]) -> Result<(), OpenError> {
    for segment in rest {
        if segment.is_unused()? {
            continue;
        }
        let later = format!("though segment {} was used after it", segment.home.segment);
        return Err(match end.closing {
            Closing::Bad(what) => damaged(last, end.offset, format!("{what}, {later}")),
            Closing::Open => damaged(last, end.offset, format!("records or the seal are missing, {later}")),
            Closing::Sealed => damaged(&rest[0], SEGMENT_HEADER_BYTES, format!("the segment is empty, {later}")),
        });
    }
    Ok(())
}

/// The torn end of the last segment in use, if it has one.
fn torn(last: &Segment, end: &End, image: &[u8]) -> Result<Option<Cut>, OpenError> {
    match end.closing {
        Closing::Sealed | Closing::Open => Ok(None),
        Closing::Bad(_) => match judge(image, last.home, end.offset) {
            Verdict::Damaged(what) => Err(damaged(last, end.offset, what)),
            Verdict::Torn { until } => Ok(Some(Cut {
                segment: last.home.segment,
                offset: end.offset,
                bytes: until - end.offset,
            })),
        },
    }
}

/// The walk over all records.
struct Scan<'a> {
    replay: Replay<'a>,
    walked: &'a mut Vec<Inspected>,
    records: u64,
    floor: u64,
}

impl Scan<'_> {
    /// Walks over one segment, up to its end or the first thing that is not a record.
    fn segment(&mut self, segment: &Segment, image: &[u8]) -> Result<End, OpenError> {
        self.walked.push(Inspected::unread(segment));
        let end = self.records_of(segment, image)?;
        if let Some(walked) = self.walked.last_mut() {
            walked.state = match end.closing {
                Closing::Sealed => SegmentState::Sealed,
                Closing::Open => SegmentState::Open,
                Closing::Bad(_) => SegmentState::Broken,
            };
        }
        Ok(end)
    }

    fn records_of(&mut self, segment: &Segment, image: &[u8]) -> Result<End, OpenError> {
        let home = segment.home;
        let mut end = End {
            offset: SEGMENT_HEADER_BYTES,
            group: SEGMENT_HEADER_BYTES,
            closing: Closing::Open,
        };
        loop {
            let rest = &image[end.offset as usize..];
            let found = match format::decode_record(home, end.offset, rest) {
                Ok(found) => found,
                Err(_) if is_zero(rest) => return Ok(end),
                Err(what) => {
                    return Ok(End {
                        closing: Closing::Bad(what),
                        ..end
                    });
                }
            };
            let group = u64::from(found.head.group);
            if group != end.group && group != end.offset {
                return Err(damaged(
                    segment,
                    end.offset,
                    format!("the record names a group that began at {group}"),
                ));
            }
            let at = Position {
                segment: home.segment,
                offset: end.offset,
                len: found.head.len,
            };
            (end.offset, end.group) = (at.offset + footprint(at.len), group);
            match (found.head.tag, <[u8; 8]>::try_from(found.payload)) {
                (SEAL, _) if is_zero(&image[end.offset as usize..]) => {
                    return Ok(End {
                        closing: Closing::Sealed,
                        ..end
                    });
                }
                (SEAL, _) => {
                    return Err(damaged(
                        segment,
                        end.offset,
                        "there are bytes behind the seal".to_owned(),
                    ));
                }
                (FLOOR, Ok(number)) => self.floor = self.floor.max(u64::from_le_bytes(number)),
                (tag, _) => self.record(segment, at, tag, found.payload)?,
            }
            if let Some(walked) = self.walked.last_mut() {
                walked.used_bytes = end.offset;
            }
        }
    }

    fn record(&mut self, segment: &Segment, at: Position, tag: u16, payload: &[u8]) -> Result<(), OpenError> {
        let Ok(kind) = u8::try_from(tag) else {
            return Err(damaged(
                segment,
                at.offset,
                format!("the record has tag {tag}, which this version does not know"),
            ));
        };
        (self.replay)(at, Kind(kind), payload).map_err(|reason| OpenError::Replay {
            file: segment.path.clone(),
            offset: at.offset,
            reason,
        })?;
        self.records += 1;
        if let Some(walked) = self.walked.last_mut() {
            walked.records += 1;
        }
        Ok(())
    }

    /// Notes the segments that were prepared ahead.
    fn prepared(&mut self, segments: &[Arc<Segment>]) {
        let prepared = segments.iter().map(|segment| Inspected {
            state: SegmentState::Prepared,
            ..Inspected::unread(segment)
        });
        self.walked.extend(prepared);
    }
}

fn damaged(segment: &Segment, offset: u64, what: String) -> OpenError {
    OpenError::Damaged {
        file: segment.path.clone(),
        offset,
        what,
    }
}
