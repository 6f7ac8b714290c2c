//! What happened to one key.

use super::versions::{Version, Versions};
use crate::hash::Fingerprint;
use crate::revision::Revision;
use crate::tree::{Counted, Key};
use std::sync::Arc;

/// The newest state of a key. A deletion has version zero, and with it no create revision, lease
/// or hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) revision: Revision,
    pub(crate) create: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
    pub(crate) hash: Fingerprint,
    /// Bytes of its record in the engine.
    pub(crate) bytes: u32,
}

impl Newest {
    /// The state that a deletion leaves.
    pub(crate) fn deletion(revision: Revision, bytes: u32) -> Self {
        Self {
            revision,
            bytes,
            ..Self::default()
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.version > 0
    }
}

/// What [`super::Index::record`] replaced.
pub(crate) struct Change {
    pub(crate) key: Key,
    /// The newest state before, a deletion included; `None` for a key without history.
    pub(crate) before: Option<Newest>,
}

/// What a compaction leaves for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// More of the same: the call's bound was reached.
    Garbage,
    /// A deletion at the compacted revision, which the next compaction drops.
    Deletion,
}

/// Every revision of one key that was not compacted away, the newest with its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    older: Versions,
    /// Of revision zero while there is no history at all.
    newest: Newest,
}

impl Counted for Arc<History> {
    fn is_counted(&self) -> bool {
        self.newest.is_live()
    }
}

impl History {
    pub(crate) fn newest(&self) -> &Newest {
        &self.newest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newest.revision == Revision::default()
    }

    pub(super) fn record(&mut self, key: &Key, change: impl FnOnce(Option<&Newest>) -> Newest) -> Change {
        let before = (!self.is_empty()).then_some(self.newest);
        let next = change(before.as_ref());
        assert!(
            next.revision > self.newest.revision,
            "the history of a key only grows at its end"
        );
        if let Some(before) = before {
            self.older.push(Version {
                revision: before.revision,
                deletion: !before.is_live(),
                bytes: before.bytes,
            });
        }
        self.newest = next;
        Change {
            key: Arc::clone(key),
            before,
        }
    }

    /// The record that a read at `main` sees, if the key was there.
    pub(crate) fn visible(&self, main: i64) -> Option<Revision> {
        let version = if !self.is_empty() && self.newest.revision.main <= main {
            self.newest_version()
        } else {
            self.older.latest(main)?
        };
        (!version.deletion).then_some(version.revision)
    }

    /// Whether a read at `compacted` or later, or a watch from there, can ask for the record of `revision`.
    pub(crate) fn needs(&self, revision: Revision, compacted: i64) -> bool {
        let next = if revision == self.newest.revision {
            None
        } else {
            match self.older.at_and_after(revision) {
                Some((_, next)) => Some(next.map_or(self.newest.revision, |version| version.revision)),
                None => return false,
            }
        };
        if next.is_some_and(|next| next.main <= compacted) {
            return false;
        }
        let deletion = if next.is_none() {
            !self.newest.is_live()
        } else {
            self.older
                .at_and_after(revision)
                .is_some_and(|(version, _)| version.deletion)
        };
        !deletion || revision.main >= compacted
    }

    /// Whether anything may be forgotten when history before `compacted` is gone.
    pub(super) fn has_garbage(&self, compacted: i64) -> bool {
        self.first().is_some_and(|first| !self.needs(first.revision, compacted))
    }

    /// Forgets at most `versions_max` of what nobody may ask for, oldest first.
    pub(super) fn compact(&mut self, compacted: i64, versions_max: usize, dropped: &mut Vec<Version>) -> Left {
        let newest = self.newest_version();
        let hidden = newest.revision.main <= compacted;
        // The version that a read at `compacted` sees; when that is the newest, everything older goes.
        let kept = if hidden {
            Some(newest)
        } else {
            self.older.latest(compacted)
        };
        let Some(kept) = kept else { return Left::Nothing };
        // A deletion at the very revision stays, for watchers that start there.
        let with_kept = kept.deletion && kept.revision.main < compacted;
        let goes =
            |version: &Version| version.revision < kept.revision || (with_kept && version.revision == kept.revision);
        if self.older.drop_first(goes, versions_max, dropped) {
            return Left::Garbage;
        }
        if hidden && with_kept {
            dropped.push(newest);
            self.newest = Newest::default();
        }
        self.left(compacted)
    }

    /// What is left of a history without garbage.
    pub(super) fn left(&self, compacted: i64) -> Left {
        let held = self
            .first()
            .is_some_and(|first| first.deletion && first.revision.main <= compacted);
        if held { Left::Deletion } else { Left::Nothing }
    }

    fn first(&self) -> Option<Version> {
        self.older.first().or((!self.is_empty()).then(|| self.newest_version()))
    }

    fn newest_version(&self) -> Version {
        Version {
            revision: self.newest.revision,
            deletion: !self.newest.is_live(),
            bytes: self.newest.bytes,
        }
    }
}
