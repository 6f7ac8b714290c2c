//! What to believe at start: log, snapshot and engine, in one place.
//!
//! The log and the snapshot are the truth. The engine is believed where its marker says so (`sled_engine`) and where it
//! stands neither before the newest snapshot nor before what the log has forgotten; otherwise it is rebuilt from the
//! snapshot. Consensus then replays the log from where the engine stands.
//!
//! Must keep true: what was acknowledged is in the log or in the snapshot, whatever happened to the engine; what
//! contradicts itself is refused, never guessed at.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use kvorum_store::Store;
use kvorum_store::engine::Engine;
use thiserror::Error;

use crate::fatal;
use crate::raft::EntryId;
use crate::raft::entry_id;
use crate::raft::log_store::LogStore;
use crate::raft::snapshots::SnapshotDir;
use crate::sled_engine::{self, SledEngine, Trust};

/// Folder of the log in the data directory.
pub(crate) const LOG: &str = "wal";
/// Folder of the snapshots in the data directory.
pub(crate) const SNAPSHOTS: &str = "snap";
const ENGINE: &str = "engine";

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
    #[error("{}: {reason}", path.display())]
    Snapshot {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log begins after everything else ends.
    #[error(
        "the log begins after entry {purged} but the newest snapshot in {} ends before it: a snapshot was removed. \
         Let this member join again with an empty disk, or restore from a backup", dir.display()
    )]
    SnapshotMissing {
        /// The last entry that the log forgot.
        purged: EntryId,
        /// Where the snapshot should be.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Recovers what lies in `data_dir`; a new member finds nothing and starts empty.
///
/// # Errors
/// The disk contradicts itself or cannot be read.
pub fn recover(data_dir: &Path) -> Result<Recovered, RecoveryError> {
    let started = Instant::now();
    let options = kvorum_wal::Options::new(Arc::new(|failure: &kvorum_wal::Failure| {
        fatal::die(format_args!("{failure}: {}", failure.source));
    }));
    let log = LogStore::open(&data_dir.join(LOG), options)?;
    let snapshot_dir = data_dir.join(SNAPSHOTS);
    let snapshots = SnapshotDir::open(&snapshot_dir).map_err(|source| RecoveryError::Io {
        path: snapshot_dir.clone(),
        source,
    })?;
    let engine_dir = data_dir.join(ENGINE);
    let (engine, trust) = SledEngine::open(&engine_dir)?;
    let engine = Arc::new(engine);
    let (purged, last) = log.bounds();
    let (store, rebuilt) = store(&engine, &engine_dir, &snapshots, &snapshot_dir, purged)?;
    tracing::info!(
        believed = trust == Trust::Believed,
        rebuilt_from_snapshot = rebuilt,
        applied = store.applied().map_or(0, |at| at.index),
        log_from = purged.map_or(0, |id| id.index() + 1),
        log_to = last.map_or(0, |id| id.index()),
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

/// The store, rebuilt from the newest snapshot where the engine is behind it. Tells whether it was.
fn store(
    engine: &Arc<SledEngine>,
    engine_dir: &Path,
    snapshots: &SnapshotDir,
    snapshot_dir: &Path,
    purged: Option<EntryId>,
) -> Result<(Store, bool), RecoveryError> {
    let bad_store = |reason: String| RecoveryError::Store {
        path: engine_dir.to_owned(),
        reason,
    };
    let mut store = match Store::open(Arc::clone(engine) as Arc<dyn Engine>) {
        Ok(store) => store,
        Err(error) => {
            // The engine is never the truth: what cannot be read is rebuilt, and said.
            tracing::warn!("the state in {} is rebuilt: {error}", engine_dir.display());
            engine.clear().map_err(|error| bad_store(error.to_string()))?;
            Store::open(Arc::clone(engine) as Arc<dyn Engine>).map_err(|error| bad_store(error.to_string()))?
        }
    };
    let newest = snapshots.newest().map_err(|source| RecoveryError::Io {
        path: snapshot_dir.to_owned(),
        source,
    })?;
    let applied = store.applied().map(|at| entry_id(at.term, at.index));
    let mut rebuilt = false;
    if let Some((id, file)) = newest
        && id > applied
    {
        let bad = |reason: String| RecoveryError::Snapshot {
            path: file.path.clone(),
            reason,
        };
        let mut reader = file.reader().map_err(|error| bad(error.to_string()))?;
        store.install(&mut reader).map_err(|error| bad(error.to_string()))?;
        store.publish();
        rebuilt = true;
    }
    let applied = store.applied().map(|at| entry_id(at.term, at.index));
    match purged {
        Some(purged) if applied < Some(purged) => Err(RecoveryError::SnapshotMissing {
            purged,
            dir: snapshot_dir.to_owned(),
        }),
        _ => Ok((store, rebuilt)),
    }
}
