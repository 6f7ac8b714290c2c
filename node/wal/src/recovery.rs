//! From a directory to a log that can go on: acts on what `survey` found. Refuses unless the only thing wrong is a torn
//! end, which it cuts.
//!
//! What it must keep true: a refusal changes nothing; and what was replayed is on disk when it returns. A process that
//! died may have left its last group in the page cache alone, even after a sync that failed; so that group is written
//! and synced again, and so are the names of the segments.

use std::{collections::BTreeMap, sync::Arc};

use kvorum_files as fs;

use kvorum_faults as faults;

use crate::{
    Failure, OpenError, Options,
    directory::{Directory, Listing},
    format::{Home, SEGMENT_HEADER_BYTES},
    queue::Cursor,
    segment::Segment,
    survey::{Closing, Replay, Survey, open_segments, survey},
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
    let Listing { numbers, unfinished } = directory.list()?;
    let segments = open_segments(directory, &numbers, options.log_id)?;
    let survey = match segments.is_empty() {
        true => None,
        false => Some(survey(directory, segments, &mut Vec::new(), replay)?),
    };
    for path in unfinished {
        faults::pass("wal::unfinished-remove")
            .and_then(|()| fs::remove_file(&path))
            .map_err(Failure::of("remove the unfinished segment", &path))?;
    }
    let mut recovered = match survey {
        None => create(directory, options)?,
        Some(survey) => {
            // Who was here before may have died between a rename and this.
            directory.sync()?;
            go_on(survey)?
        }
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

/// Settles the end and finds the segment that is written next.
fn go_on(survey: Survey) -> Result<Recovered, OpenError> {
    settle(&survey)?;
    let last = survey.last();
    let log_id = last.home.log_id;
    let (live, offset) = match survey.end.closing {
        Closing::Sealed => (Arc::clone(&survey.segments[survey.used]), SEGMENT_HEADER_BYTES),
        Closing::Open | Closing::Bad(_) => (Arc::clone(last), survey.end.offset),
    };
    let number = live.home.segment;
    let next = Cursor {
        segment: number,
        offset,
        capacity: live.capacity,
    };
    let recovery = Recovery {
        log_id,
        created: false,
        first_segment: survey.segments[0].home.segment,
        last_segment: number,
        records: survey.records,
        cut: survey.cut,
    };
    let mut segments: BTreeMap<_, _> = survey
        .segments
        .into_iter()
        .map(|segment| (segment.home.segment, segment))
        .collect();
    let ready = segments.get(&(number + 1)).map(Arc::clone);
    segments.insert(number, live);
    Ok(Recovered {
        recovery,
        segments,
        next,
        ready,
        floor: survey.floor,
    })
}

/// Cuts a torn end, writes the last group again and syncs.
fn settle(survey: &Survey) -> Result<(), OpenError> {
    let (last, end) = (survey.last(), &survey.end);
    let mut tail = survey.image[end.group as usize..end.offset as usize].to_vec();
    if let Some(cut) = survey.cut {
        tail.resize(tail.len() + cut.bytes as usize, 0);
    }
    if !tail.is_empty() {
        last.write(&tail, end.group)?;
    }
    Ok(last.sync()?)
}
