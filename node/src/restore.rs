//! A data directory for a new cluster, made of a backup: what `kvorum snapshot restore` does.
//!
//! ```text
//! <data-dir>/identity             the member, of the new cluster
//! <data-dir>/snap/<position>.snap the state of the backup, with the founders of the new cluster as its members
//! <data-dir>/wal/                 no entry; says that everything up to the position was forgotten, and the vote
//! ```
//! Every founder is given the same state at the same position, so that they agree before they have spoken: none of them
//! needs anything from another, and the first of them that is elected goes on from there.
//!
//! Must keep true:
//! 1. Under the name asked for there is a whole, synced directory or what was there before. Everything is written beside
//!    it, and renamed at the end; what a crash leaves has another name, and the next attempt removes it.
//! 2. The new cluster is another one: a token from which the members of the backup come is refused, so no member of the old
//!    cluster can ever speak to one of the new.
//! 3. The backup was checked to its last byte before anything gets the final name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kvorum_api::Id;
use kvorum_faults as faults;
use kvorum_store::snapshot::{self, SnapshotError};
use openraft::storage::RaftLogStorage as _;
use thiserror::Error;

use crate::config::Founding;
use crate::fatal;
use crate::identity::{Identity, IdentityError, file};
use crate::raft::log_store::LogStore;
use crate::raft::snapshots::SnapshotDir;
use crate::raft::{EntryId, MemberNode, Membership, StoredMembership, Vote, entry_id};
use crate::recovery::{LOG, SNAPSHOTS};
use crate::service::backup;

/// What is added to the directory's name while it is unfinished.
const UNFINISHED: &str = ".restoring";
/// Large reads and writes keep the system calls few.
const BUFFER_BYTES: usize = 256 << 10;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The revision of the store.
    pub revision: i64,
    /// Keys of all revisions kept, leases, users, roles and alarms, together.
    pub entries: u64,
    /// The new cluster.
    pub cluster_id: Id,
    /// This member of it.
    pub member_id: Id,
}

/// Why nothing was restored. What was there before is untouched.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged, cut, or something else.
    #[error("{} is no whole snapshot", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SnapshotError,
    },
    /// What follows the image in the file is not what a backup ends with.
    #[error("{} is no whole snapshot: {reason}", path.display())]
    End {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The snapshot names no members, so that it cannot be told whose it is.
    #[error("{} does not say which members it comes from", path.display())]
    Nobodys {
        /// The file.
        path: PathBuf,
    },
    /// The token is that of the cluster the snapshot comes from.
    #[error(
        "--initial-cluster-token: the snapshot comes from a cluster with this token (its member {name:?}). A restored \
         cluster is a new one and must not be mistaken for the old: choose another token"
    )]
    SameCluster {
        /// A member of the old cluster.
        name: String,
    },
    /// There is something in the way.
    #[error("{} is not empty; restore into a new directory", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory has no name of its own.
    #[error("{} is no directory that can be made", path.display())]
    Nameless {
        /// The data directory.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The identity could not be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log could not be made.
    #[error(transparent)]
    Log(#[from] kvorum_wal::OpenError),
}

/// Makes `data_dir` of the snapshot in `source`. `progress` is told bytes read and bytes in all, now and then.
///
/// # Errors
/// Nothing was restored, and why.
pub async fn restore(
    source: &Path,
    data_dir: &Path,
    founding: &Founding,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    refuse_full(data_dir)?;
    let name = data_dir.file_name().ok_or_else(|| RestoreError::Nameless {
        path: data_dir.to_owned(),
    })?;
    let mut unfinished = name.to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = data_dir.with_file_name(unfinished);
    let failed = unwritable(&unfinished);
    match faults::pass("restore::clear").and_then(|()| fs::remove_dir_all(&unfinished)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let written = write(source, &unfinished, founding, progress).await;
    let moved = written.and_then(|restored| {
        faults::pass("restore::rename").map_err(unwritable(data_dir))?;
        fs::rename(&unfinished, data_dir).map_err(unwritable(data_dir))?;
        let parent = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        faults::pass("restore::parent-sync").map_err(unwritable(parent))?;
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(unwritable(parent))?;
        Ok(restored)
    });
    if moved.is_err() {
        // What is left is of no use; that it cannot be removed is less than why it failed, and the next attempt tries again.
        let _ = faults::pass("restore::discard").and_then(|()| fs::remove_dir_all(&unfinished));
    }
    moved
}

/// Writes all of it into a directory that is not there yet.
async fn write(
    source: &Path,
    target: &Path,
    founding: &Founding,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let mut backup = Backup::open(source)?;
    let at = backup.whose(founding)?;
    faults::pass("restore::folder-create").map_err(unwritable(target))?;
    fs::create_dir_all(target).map_err(unwritable(target))?;
    let dir = target.join(SNAPSHOTS);
    let snapshots = SnapshotDir::open(&dir).map_err(unwritable(&dir))?;
    let (path, file) = snapshots.temporary().map_err(unwritable(&dir))?;
    let members = members(founding, at)?;
    let summary = backup.copy(&path, &file, members, progress)?;
    snapshots.keep(Some(at), &path, &file).map_err(unwritable(&path))?;
    let own = founding.own.id;
    let log_id = forget_all(&target.join(LOG), at, own).await?;
    let identity = Identity {
        cluster_id: Some(founding.cluster_id),
        member_id: own,
        name: founding.own.name.clone(),
        log_id: Some(log_id),
    };
    // Last, as it is what makes the directory somebody's. It syncs the directory as well.
    file::write(target, &identity)?;
    Ok(Restored {
        revision: summary.revision,
        entries: summary.entries,
        cluster_id: founding.cluster_id,
        member_id: own,
    })
}

/// A log that begins after `at`, of a member that has taken part in the term of `at` and voted for nobody but itself; its
/// id.
async fn forget_all(dir: &Path, at: EntryId, own: Id) -> Result<u64, RestoreError> {
    let options = kvorum_wal::Options::new(Arc::new(|failure: &kvorum_wal::Failure| {
        fatal::die(format_args!("{failure}: {}", failure.source));
    }));
    let mut log = LogStore::open(dir, options)?;
    let failed = unwritable(dir);
    let vote = Vote::new(**at.committed_leader_id(), own.get());
    log.save_vote(&vote).await.map_err(&failed)?;
    log.purge(at).await.map_err(&failed)?;
    log.wal().close();
    Ok(log.wal().recovery().log_id)
}

/// The founders as the members at `at`, all of them voters, encoded as the state machine keeps them.
fn members(founding: &Founding, at: EntryId) -> Result<Bytes, RestoreError> {
    let nodes: BTreeMap<u64, MemberNode> = founding
        .members
        .iter()
        .map(|member| (member.id.get(), MemberNode::from(member)))
        .collect();
    let voters = nodes.keys().copied().collect();
    let membership = Membership::new(vec![voters], nodes).expect("every voter is among the nodes");
    let stored = StoredMembership::new(Some(at), membership);
    Ok(postcard::to_stdvec(&stored)
        .expect("a membership always serializes")
        .into())
}

/// A snapshot file: a backup as `kvorum snapshot save` writes it, or the bare image that members keep.
struct Backup<'a> {
    path: &'a Path,
    file: File,
    bytes: u64,
}

impl<'a> Backup<'a> {
    fn open(path: &'a Path) -> Result<Self, RestoreError> {
        let unreadable = |source| RestoreError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        Ok(Self { path, file, bytes })
    }

    /// The position of the snapshot, if it does not come from the cluster that is to be founded.
    fn whose(&mut self, founding: &Founding) -> Result<EntryId, RestoreError> {
        let (at, members) = snapshot::peek(&mut BufReader::new(&self.file)).map_err(|error| self.damaged(error))?;
        self.file.rewind().map_err(|source| self.unreadable(source))?;
        let nobodys = || RestoreError::Nobodys {
            path: self.path.to_owned(),
        };
        let (at, members) = at.zip(members).ok_or_else(nobodys)?;
        let members: StoredMembership = postcard::from_bytes(&members).map_err(|_| nobodys())?;
        let mut nodes = members.membership().nodes().peekable();
        nodes.peek().ok_or_else(nobodys)?;
        for (id, node) in nodes {
            if Id::new(*id).is_some_and(|id| founding.knows(id, &node.name, &node.peer_urls)) {
                return Err(RestoreError::SameCluster {
                    name: node.name.clone(),
                });
            }
        }
        Ok(entry_id(at.term, at.index))
    }

    /// Copies the image, checks it and what follows it.
    fn copy(
        &self,
        path: &Path,
        target: &kvorum_files::File,
        members: Bytes,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<snapshot::Summary, RestoreError> {
        let counted = Counted {
            file: &self.file,
            read: 0,
            all: self.bytes,
            progress,
        };
        let mut reader = backup::Reader::new(BufReader::with_capacity(BUFFER_BYTES, counted));
        let target = Target {
            file: faults::Through::new("restore::write", target),
            failed: false,
        };
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, target);
        let copied = snapshot::copy(&mut reader, &mut writer, members);
        let summary = copied.map_err(|error| match error {
            SnapshotError::Stream(source) if writer.get_ref().failed => unwritable(path)(source),
            error => self.damaged(error),
        })?;
        reader.end().map_err(|error| match error {
            backup::EndError::Read(source) => self.unreadable(source),
            backup::EndError::Wrong(reason) => RestoreError::End {
                path: self.path.to_owned(),
                reason: reason.to_owned(),
            },
        })?;
        Ok(summary)
    }

    fn damaged(&self, source: SnapshotError) -> RestoreError {
        RestoreError::Damaged {
            path: self.path.to_owned(),
            source,
        }
    }

    fn unreadable(&self, source: io::Error) -> RestoreError {
        RestoreError::Unreadable {
            path: self.path.to_owned(),
            source,
        }
    }
}

/// Remembers whether writing failed: a copy does not say which of its ends did.
struct Target<'a> {
    file: faults::Through<&'a kvorum_files::File>,
    failed: bool,
}

impl Target<'_> {
    fn noted<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        self.failed |= outcome.is_err();
        outcome
    }
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        self.noted(flushed)
    }
}

/// Tells how much was read.
struct Counted<'a> {
    file: &'a File,
    read: u64,
    all: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read += count as u64;
        if count > 0 {
            (self.progress)(self.read, self.all);
        }
        Ok(count)
    }
}

/// A directory that is not there, or is empty, may be made.
fn refuse_full(data_dir: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(data_dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RestoreError::NotEmpty {
            path: data_dir.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(unwritable(data_dir)(source)),
    }
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::Unwritable {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
