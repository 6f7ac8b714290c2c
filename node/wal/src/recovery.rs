//! From a directory to a log that can go on: reads every segment in order, hands every record over, and decides by
//! what it finds. Refuses unless the only thing wrong is a torn end (`tail`), which it cuts.
//!
//! What it must keep true:
//! 1. Segments are numbered without a gap, and the oldest is not younger than the floor noted before the last removal.
//! 2. Every segment but the last used one ends with a seal; behind the end of a segment there are zeros only, and later
//!    segments (prepared ahead) are empty.
//! 3. What was replayed is on disk when it returns. A process that died may have left its last group in the page cache
//!    alone, even after a sync that failed; so that group is written and synced again.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Kind, OpenError, Options, Position,
    directory::Directory,
    format::{self, FLOOR, Home, SEAL, SEGMENT_HEADER_BYTES, footprint, is_zero},
    queue::Cursor,
    segment::Segment,
    tail::{Verdict, judge},
};

/// What [`open`](crate::open) found and did; for the one line that the caller logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The log's identity.
    pub log_id: u64,
    /// Whether the log was made just now.
    pub created: bool,
    /// Oldest segment.
    pub first_segment: u64,
    /// Newest segment that is in use.
    pub last_segment: u64,
    /// Records replayed.
    pub records: u64,
    /// The torn end that was cut off, if there was one. It held nothing that was acknowledged.
    pub cut: Option<Cut>,
}

/// A torn end that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Segment.
    pub segment: u64,
    /// Where the cut is, in bytes.
    pub offset: u64,
    /// How many bytes were overwritten with zeros.
    pub bytes: u64,
}

/// The caller's `replay`, with its error made one type.
pub(crate) type Replay<'a> = &'a mut dyn FnMut(Position, Kind, &[u8]) -> Result<(), Refused>;
/// The caller's error.
pub(crate) type Refused = Box<dyn std::error::Error + Send + Sync>;

/// Everything with which a log goes on.
pub(crate) struct Recovered {
    pub(crate) recovery: Recovery,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    pub(crate) next: Cursor,
    pub(crate) ready: Option<Arc<Segment>>,
    /// Segments below this may be removed.
    pub(crate) floor: u64,
}

/// Recovers the log in `directory`, or makes a new one.
pub(crate) fn recover(directory: &Directory, options: &Options, replay: Replay<'_>) -> Result<Recovered, OpenError> {
    let segments = open_segments(directory, options)?;
    let mut recovered = match segments.is_empty() {
        true => create(directory, options)?,
        false => read(directory, options, segments, replay)?,
    };
    let (last, ready) = (recovered.recovery.last_segment, recovered.ready.take());
    // Of what was prepared ahead, one segment of the right size is of use. The others hold nothing: newest first.
    recovered.ready = ready.filter(|segment| segment.capacity == options.segment_bytes);
    let keep = last + u64::from(recovered.ready.is_some());
    for (number, segment) in recovered.segments.split_off(&(keep + 1)).into_iter().rev() {
        drop(segment);
        directory.remove(number)?;
    }
    Ok(recovered)
}

/// Opens every segment and checks the numbers.
fn open_segments(directory: &Directory, options: &Options) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for number in directory.numbers()? {
        let log_id = options.log_id.or(segments.first().map(|first| first.home.log_id));
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

fn create(directory: &Directory, options: &Options) -> Result<Recovered, OpenError> {
    if !options.create {
        return Err(OpenError::Missing(directory.path().to_owned()));
    }
    let log_id = match options.log_id {
        Some(given) => given,
        None => getrandom::u64().map_err(|error| OpenError::Options(format!("no random log id: {error}")))?,
    };
    let home = Home { log_id, segment: 1 };
    let segment = directory.make_now(home, options.first_segment_bytes)?;
    directory.sync_parent()?;
    let recovery = Recovery {
        log_id,
        created: true,
        first_segment: 1,
        last_segment: 1,
        records: 0,
        cut: None,
    };
    let next = Cursor {
        segment: 1,
        offset: SEGMENT_HEADER_BYTES,
        capacity: segment.capacity,
    };
    Ok(Recovered {
        recovery,
        segments: BTreeMap::from([(1, Arc::new(segment))]),
        next,
        ready: None,
        floor: 1,
    })
}

fn read(
    directory: &Directory,
    options: &Options,
    segments: Vec<Arc<Segment>>,
    replay: Replay<'_>,
) -> Result<Recovered, OpenError> {
    let mut scan = Scan {
        replay,
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
    let first = segments[0].home.segment;
    if first > scan.floor {
        let what = format!(
            "the log begins here, but the segments from {} on were never released",
            scan.floor
        );
        return Err(OpenError::Damaged {
            file: segments[0].path.clone(),
            offset: 0,
            what,
        });
    }
    let cut = settle(last, &end, &image)?;
    let log_id = last.home.log_id;
    let (live, offset) = match end.closing {
        Closing::Sealed => (
            next_of(directory, options, last, segments.get(used))?,
            SEGMENT_HEADER_BYTES,
        ),
        Closing::Open | Closing::Bad(_) => (Arc::clone(last), end.offset),
    };
    let number = live.home.segment;
    let next = Cursor {
        segment: number,
        offset,
        capacity: live.capacity,
    };
    let mut segments: BTreeMap<_, _> = segments
        .into_iter()
        .map(|segment| (segment.home.segment, segment))
        .collect();
    let ready = segments.get(&(number + 1)).map(Arc::clone);
    segments.insert(number, live);
    let (records, floor) = (scan.records, scan.floor);
    let recovery = Recovery {
        log_id,
        created: false,
        first_segment: first,
        last_segment: number,
        records,
        cut,
    };
    Ok(Recovered {
        recovery,
        segments,
        next,
        ready,
        floor,
    })
}

fn is_last_used(segments: &[Arc<Segment>], used: usize) -> Result<bool, OpenError> {
    match segments.get(used) {
        None => Ok(true),
        Some(next) => Ok(next.is_unused()?),
    }
}

/// The live segment after one that is sealed: prepared ahead, or made now.
fn next_of(
    directory: &Directory,
    options: &Options,
    last: &Segment,
    prepared: Option<&Arc<Segment>>,
) -> Result<Arc<Segment>, OpenError> {
    match prepared {
        Some(segment) => Ok(Arc::clone(segment)),
        None => {
            let home = Home {
                segment: last.home.segment + 1,
                ..last.home
            };
            Ok(Arc::new(directory.make_now(home, options.segment_bytes)?))
        }
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

/// Cuts a torn end, writes the last group again and syncs.
fn settle(last: &Segment, end: &End, image: &[u8]) -> Result<Option<Cut>, OpenError> {
    let mut tail = image[end.group as usize..end.offset as usize].to_vec();
    let cut = match end.closing {
        Closing::Sealed | Closing::Open => None,
        Closing::Bad(_) => match judge(image, last.home, end.offset) {
            Verdict::Damaged(what) => return Err(damaged(last, end.offset, what)),
            Verdict::Torn { until } => {
                let bytes = until - end.offset;
                tail.resize(tail.len() + bytes as usize, 0);
                Some(Cut {
                    segment: last.home.segment,
                    offset: end.offset,
                    bytes,
                })
            }
        },
    };
    if !tail.is_empty() {
        last.write(&tail, end.group)?;
    }
    last.sync()?;
    Ok(cut)
}

/// Where the records of a segment end, and how.
struct End {
    offset: u64,
    /// Start of the last group.
    group: u64,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Sealed,
    /// Zeros.
    Open,
    /// Something that is not a record.
    Bad(&'static str),
}

/// The walk over all records.
struct Scan<'a> {
    replay: Replay<'a>,
    records: u64,
    floor: u64,
}

impl Scan<'_> {
    /// Walks over one segment, up to its end or the first thing that is not a record.
    fn segment(&mut self, segment: &Segment, image: &[u8]) -> Result<End, OpenError> {
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
        self.records += 1;
        (self.replay)(at, Kind(kind), payload).map_err(|source| OpenError::Replay {
            file: segment.path.clone(),
            offset: at.offset,
            source,
        })
    }
}

fn damaged(segment: &Segment, offset: u64, what: String) -> OpenError {
    OpenError::Damaged {
        file: segment.path.clone(),
        offset,
        what,
    }
}
