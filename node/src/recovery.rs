//! What to believe at start: log, snapshot and engine, in one place.
//!
//! The log and the snapshot are the truth. The engine is believed where its marker says so (`sled_engine`) and where it
//! stands neither before the newest snapshot nor before what the log has forgotten; otherwise it is rebuilt from the
//! snapshot. Consensus then replays the log from where the engine stands.
//!
//! Must keep true: what was acknowledged is in the log or in the snapshot, whatever happened to the engine; what
//! contradicts itself is refused, never guessed at, and refused again the next time. A log is made once in the life of a
//! member, and the identity names it from then on. A snapshot that the log relies on is whole when a start is over: where
//! it is not, and the engine has what was in it, another is written.

pub(crate) mod evidence;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use kvorum_faults::{sized, small};
use kvorum_store::engine::Engine;
use kvorum_store::{OpenError, Store};
use thiserror::Error;

use crate::background;
use crate::disk;
use crate::fatal;
use crate::identity::{self, Identity, IdentityError};
use crate::raft::log_store::LogStore;
use crate::raft::snapshots::{self, SnapshotDir, SnapshotFile};
use crate::raft::{EntryId, StoredMembership, entry_id};
#[cfg(feature = "simulation")]
use crate::simulation::engine::{self as sled_engine, SledEngine};
use crate::sled_engine::Believed;
#[cfg(not(feature = "simulation"))]
use crate::sled_engine::{self, SledEngine};
use crate::telemetry::in_full;
use evidence::{LogEnds, contradiction, words};

/// Folder of the log in the data directory.
pub(crate) const LOG: &str = "wal";
/// Folder of the snapshots in the data directory.
pub(crate) const SNAPSHOTS: &str = "snap";
/// Folder of the engine in the data directory.
pub(crate) const ENGINE: &str = "engine";

/// What to do about a disk that cannot be recovered.
pub(crate) const NEXT_STEP: &str = "Nothing that counts was changed. Remove this member and let it join again with an \
                                    empty disk, or restore from a snapshot";

/// Bytes that must be free before a start touches anything: what the engine needs to be opened, and the log.
const ROOM_BYTES_MIN: u64 = 16 << 20;

/// The recovered parts of a member.
pub struct Recovered {
    /// The Raft log.
    pub log: LogStore,
    /// The engine under the store.
    pub engine: Arc<SledEngine>,
    /// The store at the position the engine had reached.
    pub store: Store,
    /// The snapshot files.
    pub snapshots: SnapshotDir,
}

/// Why a disk could not be recovered.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The log is damaged, in use or unreadable.
    #[error(transparent)]
    Log(#[from] kvorum_wal::OpenError),
    /// The engine could not be opened, even empty.
    #[error(transparent)]
    Engine(#[from] sled_engine::OpenError),
    /// The store in the engine could not be read.
    #[error("the state in {}: {reason}", path.display())]
    Store {
        /// The engine's directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A snapshot could not be read.
    #[error("{}: {reason}. {NEXT_STEP}", path.display())]
    Snapshot {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log begins after everything else ends.
    #[error(
        "{}: the newest snapshot is missing: the log begins after {}, and nothing here has what was before. {NEXT_STEP}",
        dir.display(), words(*purged)
    )]
    SnapshotMissing {
        /// The last entry that the log forgot.
        purged: EntryId,
        /// Where the snapshot should be.
        dir: PathBuf,
    },
    /// Log and state cannot be of one member at one time.
    #[error("the log in {}: {reason}: an older log was put back, or a part of it was taken away. {NEXT_STEP}", dir.display())]
    Contradiction {
        /// The log.
        dir: PathBuf,
        /// What contradicts what.
        reason: String,
    },
    /// The identity could not be given the name of the log.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The file system refused.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl RecoveryError {
    /// Whether it is for want of room on the disk, which may come back.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Log(kvorum_wal::OpenError::Io(failure)) => disk::is_full(&failure.source),
            Self::Engine(error) => error.is_full(),
            Self::Io { source, .. } => disk::is_full(source),
            Self::Log(_)
            | Self::Store { .. }
            | Self::Snapshot { .. }
            | Self::SnapshotMissing { .. }
            | Self::Contradiction { .. }
            | Self::Identity(_) => false,
        }
    }
}

/// Finds out whether there is room for a start.
///
/// # Errors
/// There is none, or the folder cannot be written.
pub fn demand_room(data_dir: &Path) -> Result<(), RecoveryError> {
    disk::try_room(data_dir, ROOM_BYTES_MIN).map_err(|source| RecoveryError::Io {
        path: data_dir.to_owned(),
        source,
    })
}

/// Recovers what lies in `data_dir` of the member with this identity; a new member finds nothing and starts empty.
///
/// # Errors
/// The disk contradicts itself or cannot be read.
pub fn recover(data_dir: &Path, identity: &Identity) -> Result<Recovered, RecoveryError> {
    let started = Instant::now();
    let log = open_log(data_dir, identity)?;
    let snapshot_dir = data_dir.join(SNAPSHOTS);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| RecoveryError::Io { path, source }
    };
    let snapshots = SnapshotDir::open(&snapshot_dir).map_err(at(&snapshot_dir))?;
    let newest = snapshots.newest().map_err(at(&snapshot_dir))?;
    let engine_dir = data_dir.join(ENGINE);
    let log_id = log.wal().recovery().log_id;
    let disk = Disk {
        log_dir: data_dir.join(LOG),
        ends: log.ends(),
        snapshots: &snapshots,
        snapshot_dir,
        newest,
    };
    // Before the engine is touched: a refusal must leave what gave rise to it.
    let trust = sled_engine::look(&engine_dir, log_id).map_err(at(&engine_dir))?;
    if let Ok(Believed::Clean { applied }) = trust {
        disk.agrees(applied.map(|(term, index)| entry_id(term, index)), true)?;
    }
    let (engine, trust) = SledEngine::open(&engine_dir, log_id, trust)?;
    let engine = Arc::new(engine);
    let (store, rebuilt) = disk.store(&engine, &engine_dir, trust.is_ok())?;
    match engine.vouch() {
        Err(error) if disk::is_full(&error) => tracing::warn!("the engine will be rebuilt at the next start: {error}"),
        vouched => vouched.map_err(at(&engine_dir))?,
    }
    let engine_said = trust
        .as_ref()
        .map_or_else(ToString::to_string, |believed| format!("{believed:?}"));
    tracing::info!(
        believed = trust.is_ok(),
        engine = engine_said,
        rebuilt_from_snapshot = rebuilt,
        applied = store.applied().map_or(0, |at| at.index),
        log_from = disk.ends.purged.map_or(0, |id| id.index() + 1),
        log_to = disk.ends.last.map_or(0, |id| id.index()),
        log_cut = ?log.wal().recovery().cut,
        elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "recovered the disk",
    );
    Ok(Recovered {
        log,
        engine,
        store,
        snapshots,
    })
}

/// Opens the log that the identity names. A log is made only where there can have been none; the identity then names it.
fn open_log(data_dir: &Path, identity: &Identity) -> Result<LogStore, RecoveryError> {
    let mut options = kvorum_wal::Options::new(Arc::new(|failure: &kvorum_wal::Failure| {
        fatal::die(format_args!("{failure}: {}", failure.source));
    }));
    options.segment_bytes = sized(options.segment_bytes, small::SEGMENT_BYTES);
    options.first_segment_bytes = sized(options.first_segment_bytes, small::FIRST_SEGMENT_BYTES);
    options.log_id = identity.log_id;
    options.create = may_be_new(data_dir, identity);
    #[cfg(feature = "simulation")]
    crate::simulation::settings::log(&mut options);
    let log = LogStore::open(&data_dir.join(LOG), options)?;
    if identity.log_id.is_none() {
        let log_id = Some(log.wal().recovery().log_id);
        let named = Identity {
            log_id,
            ..identity.clone()
        };
        identity::file::write(data_dir, &named)?;
    }
    Ok(log)
}

/// Whether this may be a member without a log: snapshots and engine come after it, and so does its name in the identity.
pub(crate) fn may_be_new(data_dir: &Path, identity: &Identity) -> bool {
    identity.log_id.is_none()
        && ![SNAPSHOTS, ENGINE]
            .iter()
            .any(|name| kvorum_files::exists(&data_dir.join(name)))
}

/// What the engine is held against.
struct Disk<'a> {
    log_dir: PathBuf,
    ends: LogEnds,
    snapshots: &'a SnapshotDir,
    snapshot_dir: PathBuf,
    newest: Option<(Option<EntryId>, SnapshotFile)>,
}

impl Disk<'_> {
    /// Whether log and state can be of one member.
    fn agrees(&self, state: Option<EntryId>, log_was_first: bool) -> Result<(), RecoveryError> {
        let snapshot = self.newest.as_ref().and_then(|(id, _)| *id);
        match contradiction(&self.ends, snapshot, state, log_was_first) {
            None => Ok(()),
            Some(reason) => Err(RecoveryError::Contradiction {
                dir: self.log_dir.clone(),
                reason,
            }),
        }
    }

    /// The store, rebuilt from the newest snapshot where the engine is behind it. Tells whether it was.
    fn store(
        &self,
        engine: &Arc<SledEngine>,
        engine_dir: &Path,
        believed: bool,
    ) -> Result<(Store, bool), RecoveryError> {
        // While a believed engine is read, the snapshot is, since it will hardly be needed and must be whole all the same.
        let beside = self.newest.as_ref().filter(|_| believed);
        let verify = || beside.map(|(id, file)| snapshots::verify(*id, file, &mut |_| ()));
        let (store, verified) = background::both(|| open_store(engine, engine_dir), verify);
        let mut store = store?;
        let mut rebuilt = false;
        let mut lost = None;
        match &self.newest {
            Some((id, file)) if *id > applied(&store) => {
                let bad = |reason| RecoveryError::Snapshot {
                    path: file.path.clone(),
                    reason,
                };
                // Whole before it replaces anything: what the engine holds may be all there is.
                snapshots::verify(*id, file, &mut |_| ()).map_err(|error| bad(in_full(&error)))?;
                store
                    .install(&mut file.reader())
                    .map_err(|error| bad(in_full(&error)))?;
                store.publish();
                rebuilt = true;
            }
            Some((id, file)) => {
                let verified = verified.unwrap_or_else(|| snapshots::verify(*id, file, &mut |_| ()));
                lost = verified.err().map(|error| in_full(&error));
            }
            None => {}
        }
        let state = applied(&store);
        if let Err(refused) = self.agrees(state, is_alone(&store)) {
            // The engine was read and makes sense; it must be here to refuse the next time too.
            engine.vouch().map_err(|source| RecoveryError::Io {
                path: engine_dir.to_owned(),
                source,
            })?;
            return Err(refused);
        }
        self.keep_base(&store, lost)?;
        Ok((store, rebuilt))
    }

    /// Makes sure that what the log has forgotten is in a whole snapshot. `lost` is what is wrong with the newest.
    fn keep_base(&self, store: &Store, lost: Option<String>) -> Result<(), RecoveryError> {
        let state = applied(store);
        let newest = self.newest.as_ref().and_then(|(id, _)| *id);
        if let Some(purged) = self.ends.purged
            && state < Some(purged)
        {
            return Err(RecoveryError::SnapshotMissing {
                purged,
                dir: self.snapshot_dir.clone(),
            });
        }
        let missing = || (newest < self.ends.purged).then(|| "it is missing".to_owned());
        let Some(reason) = lost.or_else(missing) else {
            return Ok(());
        };
        let failed = |source| RecoveryError::Io {
            path: self.snapshot_dir.clone(),
            source,
        };
        let written = self.snapshots.write(state, &store.reader().view()).map_err(failed)?;
        tracing::warn!(
            "the newest snapshot was not whole: {reason}. The engine has all that was in it; {} was written instead",
            written.path.display()
        );
        Ok(())
    }
}

fn applied(store: &Store) -> Option<EntryId> {
    store.applied().map(|at| entry_id(at.term, at.index))
}

/// Whether the member of this state makes a majority by itself, so that nothing is applied before it is in its own log.
fn is_alone(store: &Store) -> bool {
    let members = store.membership();
    let members = members.and_then(|bytes| postcard::from_bytes::<StoredMembership>(&bytes).ok());
    members.is_some_and(|members| members.membership().voter_ids().count() == 1)
}

/// The store in the engine. The engine is never the truth: what cannot be read is rebuilt, and said.
fn open_store(engine: &Arc<SledEngine>, dir: &Path) -> Result<Store, RecoveryError> {
    let open = || Store::open(Arc::clone(engine) as Arc<dyn Engine>);
    let bad = |error: &dyn std::error::Error| RecoveryError::Store {
        path: dir.to_owned(),
        reason: in_full(error),
    };
    open().or_else(|error: OpenError| {
        tracing::warn!("the state in {} is rebuilt: {}", dir.display(), in_full(&error));
        engine.clear().map_err(|error| bad(&error))?;
        open().map_err(|error| bad(&error))
    })
}
