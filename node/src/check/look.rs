//! Opens and reads what there is, and notes it. Decides nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kvorum_store::snapshot::{SnapshotError, Summary};
use kvorum_wal::{Inspection, OpenError};

use super::CheckError;
use crate::identity::file::{self, FILE_NAME, Found};
use crate::identity::{Identity, IdentityError};
use crate::raft::EntryId;
use crate::raft::log_index::LogIndex;
use crate::raft::log_records::{self, Record};
use crate::raft::log_store::{self, ReplayRecordError};
use crate::raft::snapshots::{self, SnapshotFile};
use crate::raft::transfer;
use crate::recovery::{ENGINE, LOG, SNAPSHOTS, may_be_new};
use crate::sled_engine::{self, Believed, Distrust};

/// Everything that is known of a data directory.
pub(super) struct Facts {
    pub(super) data_dir: PathBuf,
    pub(super) identity: Result<Found, IdentityError>,
    /// Whether a node may make a log where there is none.
    pub(super) may_be_new: bool,
    pub(super) log: Inspection,
    pub(super) index: LogIndex,
    pub(super) tally: Tally,
    pub(super) snapshots: Vec<SnapshotFact>,
    pub(super) engine: io::Result<Result<Believed, Distrust>>,
    pub(super) leftovers: Vec<PathBuf>,
    pub(super) strangers: Vec<PathBuf>,
}

/// Records by kind.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) entries: u64,
    pub(super) votes: u64,
    pub(super) commits: u64,
    pub(super) truncations: u64,
    pub(super) purges: u64,
}

/// A snapshot file, and what reading it to the end gave.
pub(super) struct SnapshotFact {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) id: Option<EntryId>,
    pub(super) read: Result<Summary, SnapshotError>,
}

/// Tells how far it is.
struct Meter<'a> {
    done: u64,
    all: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

/// Looks at everything.
pub(super) fn look(data_dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Facts, CheckError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CheckError::Unreadable { path, source }
    };
    let top = names(data_dir).map_err(unreadable(data_dir))?;
    let snap = data_dir.join(SNAPSHOTS);
    let files = names_if_there(&snap).map_err(unreadable(&snap))?;
    let mut meter = Meter {
        done: 0,
        all: size(&data_dir.join(LOG)) + size(&snap) + size(&data_dir.join(ENGINE)),
        tell: progress,
    };
    let identity = file::find(data_dir);
    let known = match &identity {
        Ok(Found::Identity(identity)) => Some(identity.clone()),
        Ok(Found::Nothing | Found::Strangers(_)) | Err(_) => None,
    };
    let (mut index, mut tally) = (LogIndex::default(), Tally::default());
    let mut log = read_log(data_dir, known.as_ref(), &mut index, &mut tally, &mut meter);
    log.outcome = log.outcome.and_then(|recovery| {
        log_store::settled(&data_dir.join(LOG), &index)?;
        Ok(recovery)
    });
    if let Err(OpenError::InUse(_)) = &log.outcome {
        let path = data_dir.to_owned();
        return Err(CheckError::InUse { path });
    }
    let found = snapshots::list(&snap).map_err(unreadable(&snap))?;
    let mut snapshots: Vec<_> = found
        .into_iter()
        .map(|(id, path)| read_snapshot(id, path, &mut meter))
        .collect();
    snapshots.sort_by_key(|snapshot| snapshot.id);
    // The log's own id, where the identity does not name it yet: the node will take it for this member's.
    let own = log.outcome.as_ref().map_or(0, |recovery| recovery.log_id);
    let log_id = known.as_ref().and_then(|identity| identity.log_id).unwrap_or(own);
    let engine = sled_engine::look(&data_dir.join(ENGINE), log_id);
    meter.advance(size(&data_dir.join(ENGINE)));
    let (leftovers, strangers) = sort(top, files);
    Ok(Facts {
        may_be_new: known.as_ref().is_some_and(|identity| may_be_new(data_dir, identity)),
        data_dir: data_dir.to_owned(),
        identity,
        log,
        index,
        tally,
        snapshots,
        engine,
        leftovers,
        strangers,
    })
}

/// Reads every record.
fn read_log(
    data_dir: &Path,
    known: Option<&Identity>,
    index: &mut LogIndex,
    tally: &mut Tally,
    meter: &mut Meter<'_>,
) -> Inspection {
    let (mut segment, mut offset) = (0, 0);
    let log_id = known.and_then(|identity| identity.log_id);
    kvorum_wal::inspect(&data_dir.join(LOG), log_id, |position, kind, payload: &[u8]| {
        let before = if position.segment == segment { offset } else { 0 };
        (segment, offset) = (position.segment, position.offset);
        meter.advance(offset - before);
        let record = log_records::decode(kind, payload)?;
        tally.count(&record);
        index.replay(position, record)?;
        Ok::<(), ReplayRecordError>(())
    })
}

fn read_snapshot(id: Option<EntryId>, path: PathBuf, meter: &mut Meter<'_>) -> SnapshotFact {
    let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let read = SnapshotFile::open(path.clone())
        .map_err(SnapshotError::Stream)
        .and_then(|file| snapshots::verify(id, &file, &mut |count| meter.advance(count)));
    SnapshotFact { path, bytes, id, read }
}

/// What an interrupted write left, and what is none of a node's files.
fn sort(top: Vec<PathBuf>, snapshots: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let name = |path: &Path| {
        path.file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let (mut leftovers, mut strangers) = (Vec::new(), Vec::new());
    for path in top {
        match name(&path).as_str() {
            FILE_NAME | LOG | SNAPSHOTS | ENGINE | "lost+found" => {}
            file::UNFINISHED_NAME => leftovers.push(path),
            _ => strangers.push(path),
        }
    }
    for path in snapshots {
        match snapshots::is_temporary(&path) || transfer::is_partial(&path) {
            true => leftovers.push(path),
            false if snapshots::position_of(&path).is_none() => strangers.push(path),
            false => {}
        }
    }
    (leftovers, strangers)
}

fn names(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn names_if_there(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match names(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Bytes in the files below a folder, for the progress alone: what cannot be asked counts nothing.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

impl Meter<'_> {
    fn advance(&mut self, bytes: u64) {
        self.done = self.all.min(self.done + bytes);
        (self.tell)(self.done, self.all);
    }
}

impl Tally {
    fn count(&mut self, record: &Record) {
        let counter = match record {
            Record::Entry(_) => &mut self.entries,
            Record::Vote(_) => &mut self.votes,
            Record::Committed(_) => &mut self.commits,
            Record::TruncateFrom(_) => &mut self.truncations,
            Record::Purge(_) => &mut self.purges,
        };
        *counter += 1;
    }
}
