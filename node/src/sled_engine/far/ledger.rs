//! How long the files of large values are, and how much of each is wanted. Pure.
//!
//! Must keep true: the files take at most about twice what is wanted of them, and the newest file on top, as long as each
//! batch is followed by as much rewriting as it made garbage.

use std::collections::BTreeMap;

use super::layout::Extent;

/// A file of which less than one part in so many is wanted is rewritten.
const WANTED_PART: u64 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) files: BTreeMap<u64, Extent>,
    /// The file that is appended to.
    pub(super) current: Option<u64>,
    /// No file has a higher number; none is given twice.
    pub(super) newest: u64,
    /// The file that is being rewritten, and how far it was looked through.
    rewriting: Option<(u64, u64)>,
}

impl Ledger {
    /// Whether anything in any file is wanted.
    pub(super) fn has_wanted(&self) -> bool {
        self.files.values().any(|extent| extent.wanted > 0)
    }

    /// Where the current file ends.
    pub(super) fn end(&self) -> u64 {
        let extent = self.current.and_then(|number| self.files.get(&number));
        extent.map_or(0, |extent| extent.bytes)
    }

    /// A new file is appended to from now on.
    pub(super) fn begin(&mut self, number: u64) {
        self.files.insert(number, Extent::default());
        (self.current, self.newest) = (Some(number), number);
    }

    /// The current file has grown.
    pub(super) fn grew(&mut self, bytes: u64) {
        if let Some(extent) = self.current.and_then(|number| self.files.get_mut(&number)) {
            extent.bytes += bytes;
        }
    }

    /// Takes over what is wanted now; answers how much is not wanted any more that was before.
    pub(super) fn settle(&mut self, wanted: &BTreeMap<u64, u64>) -> u64 {
        let mut garbage = 0;
        for (number, wanted) in wanted {
            if let Some(extent) = self.files.get_mut(number) {
                garbage += extent.wanted.saturating_sub(*wanted);
                extent.wanted = *wanted;
            }
        }
        garbage
    }

    /// Files in which nothing is wanted, but for the current one.
    pub(super) fn emptied(&self) -> impl Iterator<Item = u64> {
        let unwanted = self.files.iter().filter(|(_, extent)| extent.wanted == 0);
        unwanted
            .map(|(number, _)| *number)
            .filter(|number| Some(*number) != self.current)
    }

    /// A file was removed.
    pub(super) fn removed(&mut self, number: u64) {
        self.files.remove(&number);
        self.current = self.current.filter(|current| *current != number);
        self.rewriting = self.rewriting.filter(|(rewriting, _)| *rewriting != number);
    }

    /// The file to rewrite, and from where on: the one that was begun, or the one with the most garbage.
    pub(super) fn candidate(&mut self) -> Option<(u64, u64)> {
        if self.rewriting.is_none() {
            let candidates = self.files.iter().filter(|(number, extent)| {
                Some(**number) != self.current && extent.wanted > 0 && extent.wanted < extent.bytes / WANTED_PART
            });
            let most = candidates.max_by_key(|(_, extent)| extent.bytes - extent.wanted);
            self.rewriting = most.map(|(number, _)| (*number, 0));
        }
        self.rewriting
    }

    /// A file was looked through up to an offset. False where all of it was and something in it is still wanted.
    pub(super) fn rewrote(&mut self, number: u64, offset: u64) -> bool {
        let extent = self.files.get(&number).copied().unwrap_or_default();
        let done = offset >= extent.bytes || extent.wanted == 0;
        self.rewriting = (!done).then_some((number, offset));
        !done || extent.wanted == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(files: &[(u64, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, (bytes, wanted)) in (1..).zip(files) {
            ledger.begin(number);
            ledger.grew(*bytes);
            ledger.settle(&[(number, *wanted)].into());
        }
        ledger
    }

    #[test]
    fn the_file_with_the_most_garbage_is_rewritten_to_its_end() {
        let mut ledger = ledger(&[(100, 40), (100, 50), (200, 90), (50, 0), (100, 1)]);
        assert_eq!(ledger.emptied().collect::<Vec<_>>(), [4]);
        assert_eq!(ledger.candidate(), Some((3, 0)));
        assert!(ledger.rewrote(3, 120));
        // Whatever becomes garbage meanwhile.
        assert_eq!(ledger.settle(&[(1, 1), (3, 30)].into()), 99);
        assert_eq!(ledger.candidate(), Some((3, 120)));
        ledger.settle(&[(3, 0)].into());
        assert!(ledger.rewrote(3, 200));
        assert_eq!(ledger.candidate(), Some((1, 0)));
        ledger.removed(1);
        assert_eq!(ledger.candidate(), None, "neither half a file nor the current one");
    }

    #[test]
    fn a_file_that_was_looked_through_in_vain_is_noticed() {
        let mut ledger = ledger(&[(100, 10), (1, 1)]);
        assert_eq!(ledger.candidate(), Some((1, 0)));
        assert!(!ledger.rewrote(1, 100));
    }
}
