//! Looking at a log without changing anything, for those who ask what [`open`](crate::open) would do.
//!
//! Must keep true: it reads with the same code as `open`, so that both say the same; it writes nothing and removes
//! nothing; and it looks only while nobody else has the log open.

use std::path::{Path, PathBuf};

use crate::{
    Kind, OpenError, Position, Recovery,
    directory::{Access, Directory, Listing},
    format::SEGMENT_HEADER_BYTES,
    segment::Segment,
    survey::{Closing, Refused, Replay, open_segments, survey},
};

/// What lies in the directory of a log.
#[derive(Debug)]
pub struct Inspection {
    /// The segments as far as they were read, oldest first.
    pub segments: Vec<Inspected>,
    /// Files that an interrupted preparation left; `open` removes them. They hold nothing.
    pub unfinished: Vec<PathBuf>,
    /// What `open` would do: what it would find and cut, or the error with which it would refuse.
    pub outcome: Result<Recovery, OpenError>,
}

/// One segment, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub file: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Where its records end, in bytes.
    pub used_bytes: u64,
    /// Records of the caller's kinds that are whole and were handed over.
    pub records: u64,
    /// What it is.
    pub state: SegmentState,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Full, and ended with a seal.
    Sealed,
    /// The one that is appended to.
    Open,
    /// Prepared ahead, and empty.
    Prepared,
    /// Its records end with something that is not a record: torn or damaged, as the outcome says.
    Broken,
}

impl Inspected {
    /// A segment of which nothing was read but the header.
    pub(crate) fn unread(segment: &Segment) -> Self {
        Self {
            number: segment.home.segment,
            file: segment.path.clone(),
            bytes: segment.capacity,
            used_bytes: SEGMENT_HEADER_BYTES,
            records: 0,
            state: SegmentState::Broken,
        }
    }
}

/// Reads the log in `dir`, handing every record to `replay` in order, and says what `open` would do with the same `log_id`
/// and without leave to make a new log. The log is held while it is read.
pub fn inspect<E: Into<Refused>>(
    dir: &Path,
    log_id: Option<u64>,
    mut replay: impl FnMut(Position, Kind, &[u8]) -> Result<(), E>,
) -> Inspection {
    let mut inspection = Inspection {
        segments: Vec::new(),
        unfinished: Vec::new(),
        outcome: Err(OpenError::Missing(dir.to_owned())),
    };
    let outcome = read(dir, log_id, &mut inspection, &mut |at, kind, payload| {
        replay(at, kind, payload).map_err(Into::into)
    });
    inspection.outcome = outcome;
    inspection
}

fn read(dir: &Path, log_id: Option<u64>, found: &mut Inspection, replay: Replay<'_>) -> Result<Recovery, OpenError> {
    let directory = Directory::open(dir, Access::Read)?;
    let Listing { numbers, unfinished } = directory.list()?;
    found.unfinished = unfinished;
    let segments = open_segments(&directory, &numbers, log_id)?;
    if segments.is_empty() {
        return Err(OpenError::Missing(dir.to_owned()));
    }
    let survey = survey(&directory, segments, &mut found.segments, replay)?;
    let last = survey.last().home;
    let next = u64::from(survey.end.closing == Closing::Sealed);
    Ok(Recovery {
        log_id: last.log_id,
        created: false,
        first_segment: survey.segments[0].home.segment,
        last_segment: last.segment + next,
        records: survey.records,
        cut: survey.cut,
    })
}
