//! The older revisions of one key, oldest first.
//!
//! A key that is put a million times between two compactions must not cost a copy of a million entries per put,
//! though every put may find its history shared with a view. So entries lie in shared chunks whose lengths fall
//! geometrically: a push copies at most [`RECENT_MAX`] entries, and chunks are merged like the digits of a counter
//! carry.

use crate::revision::Revision;
use std::sync::Arc;

/// Entries that lie outside the shared chunks and are copied with a shared history.
const RECENT_MAX: usize = 32;

/// One revision of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) revision: Revision,
    /// Whether the key was deleted there.
    pub(crate) deletion: bool,
    /// Bytes of its record in the engine.
    pub(crate) bytes: u32,
}

/// Versions in ascending order; see the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    /// None is empty, and as made, each is at least twice as long as the next; compaction shortens the first.
    chunks: Vec<Arc<[Version]>>,
    recent: Vec<Version>,
}

impl Versions {
    pub(super) fn push(&mut self, version: Version) {
        self.recent.push(version);
        if self.recent.len() < RECENT_MAX {
            return;
        }
        let mut chunk = std::mem::take(&mut self.recent);
        while let Some(last) = self.chunks.pop_if(|last| last.len() < 2 * chunk.len()) {
            chunk = [&last[..], &chunk[..]].concat();
        }
        self.chunks.push(chunk.into());
    }

    /// The last version at or before `main`.
    pub(super) fn latest(&self, main: i64) -> Option<Version> {
        let before = |run: &[Version]| {
            run.partition_point(|version| version.revision.main <= main)
                .checked_sub(1)
        };
        self.runs().rev().find_map(|run| before(run).map(|place| run[place]))
    }

    /// The version of exactly `revision`, and the one after it among these.
    pub(super) fn at_and_after(&self, revision: Revision) -> Option<(Version, Option<Version>)> {
        let mut runs = self.runs();
        while let Some(run) = runs.next() {
            match run.binary_search_by_key(&revision, |version| version.revision) {
                Ok(place) => {
                    let next = run.get(place + 1).or_else(|| runs.next().and_then(<[Version]>::first));
                    return Some((run[place], next.copied()));
                }
                Err(place) if place < run.len() => return None,
                Err(_) => {}
            }
        }
        None
    }

    pub(super) fn first(&self) -> Option<Version> {
        self.runs().next().and_then(<[Version]>::first).copied()
    }

    /// Moves the first versions for which `goes` holds to `dropped`, at most `versions_max`; answers whether more
    /// would go.
    ///
    /// `goes` must hold for a beginning of the versions and for none after it.
    pub(super) fn drop_first(
        &mut self,
        goes: impl Fn(&Version) -> bool,
        versions_max: usize,
        dropped: &mut Vec<Version>,
    ) -> bool {
        let mut left = versions_max;
        let mut cut = |run: &[Version]| {
            let end = run.partition_point(&goes).min(left);
            left -= end;
            dropped.extend_from_slice(&run[..end]);
            end
        };
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for chunk in self.chunks.drain(..) {
            match cut(&chunk) {
                0 => chunks.push(chunk),
                end if end == chunk.len() => {}
                end => chunks.push(chunk[end..].into()),
            }
        }
        self.chunks = chunks;
        let end = cut(&self.recent);
        self.recent.drain(..end);
        self.first().is_some_and(|version| goes(&version))
    }

    /// Every non-empty run of versions, oldest first.
    fn runs(&self) -> impl DoubleEndedIterator<Item = &[Version]> {
        let recent = Some(&self.recent[..]).filter(|recent| !recent.is_empty());
        self.chunks.iter().map(|chunk| &**chunk).chain(recent)
    }
}

#[cfg(test)]
mod tests {
    use super::{RECENT_MAX, Version, Versions};
    use crate::revision::Revision;

    fn version(main: i64) -> Version {
        Version {
            revision: Revision::new(main, 0),
            deletion: main % 10 == 0,
            bytes: 7,
        }
    }

    #[test]
    fn chunks_stay_few_and_lookups_find_every_version() {
        let mut versions = Versions::default();
        for main in 1..=10_000 {
            versions.push(version(2 * main));
        }
        assert!(versions.chunks.len() < 12, "{} chunks", versions.chunks.len());
        assert!(versions.recent.len() < RECENT_MAX);
        assert_eq!(versions.latest(1), None);
        for main in [2, 3, 640, 641, 12_345, 20_000, 99_999] {
            assert_eq!(versions.latest(main).unwrap().revision.main, (main / 2 * 2).min(20_000));
        }
        let (at, after) = versions.at_and_after(Revision::new(640, 0)).unwrap();
        assert_eq!((at, after), (version(640), Some(version(642))));
        assert_eq!(versions.at_and_after(Revision::new(641, 0)), None);
        assert_eq!(versions.at_and_after(Revision::new(20_000, 0)).unwrap().1, None);
    }

    #[test]
    fn a_beginning_is_dropped_in_parts() {
        for last in [0, 2, 63, 64, 65, 199, 200] {
            let mut versions = Versions::default();
            (1..=200).for_each(|main| versions.push(version(main)));
            let mut dropped = Vec::new();
            let goes = |version: &Version| version.revision.main <= last;
            while versions.drop_first(goes, 30, &mut dropped) {
                assert!(dropped.len().is_multiple_of(30), "no part is larger than asked for");
            }
            let expected: Vec<_> = (1..=last).map(version).collect();
            assert_eq!(dropped, expected);
            assert_eq!(versions.first(), (last < 200).then(|| version(last + 1)));
            assert_eq!(versions.latest(200), (last < 200).then(|| version(200)));
        }
    }
}
