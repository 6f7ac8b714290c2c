//! Watches: every watcher is told of every change, once, in order, and of each revision as a whole; all are told the same.
//!
//! The watchers of this checker watch all keys from the beginning, each at one member after another. Since every revision
//! changes at least one key, what a watcher is told must be 2, 3, 4, … without a gap, over all its streams. What one
//! watcher was told first about a revision is what all others must be told.
//!
//! Worked example: a response with revisions 5 and 6, then one with 6: the revision was split, or told twice. A response
//! with 8 next: 7 was left out.

use std::collections::BTreeMap;

use super::Violation;

/// The first revision that a key can have.
const FIRST: i64 = 2;

/// One key's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What it then holds; `None`: it is gone.
    pub value: Option<String>,
}

/// What a member tells about one revision.
pub type Told = (i64, Vec<Change>);

/// A key's value and the revision that wrote it.
pub type Held = BTreeMap<String, (String, i64)>;

/// Everything that the watchers of one cluster were told.
#[derive(Default)]
pub struct Watched {
    /// What each revision changed, from [`FIRST`] on.
    truth: Vec<Vec<Change>>,
    /// The last revision that each watcher was told of.
    last: BTreeMap<usize, i64>,
    /// Changes that were compared.
    pub changes: usize,
    /// Responses.
    pub responses: usize,
}

fn place(revision: i64) -> usize {
    usize::try_from(revision - FIRST).unwrap_or(usize::MAX)
}

impl Watched {
    /// The revision from which a watcher is to go on.
    #[must_use]
    pub fn next(&self, watcher: usize) -> i64 {
        self.last.get(&watcher).map_or(1, |last| last + 1)
    }

    /// Takes what one response told a watcher, grouped by revision.
    ///
    /// # Errors
    /// What it may not have said.
    pub fn take(&mut self, watcher: usize, told: Vec<Told>) -> Result<(), Violation> {
        self.responses += 1;
        for (revision, changes) in told {
            let last = self.last.get(&watcher).copied().unwrap_or(FIRST - 1);
            if revision <= last {
                return Err(Violation(format!(
                    "watcher {watcher} is told of revision {revision} after {last}: {changes:?}"
                )));
            }
            if revision > last + 1 {
                return Err(Violation(format!(
                    "watcher {watcher} is told of revision {revision} after {last}: what is between is missing"
                )));
            }
            self.changes += changes.len();
            match self.truth.get(place(revision)) {
                Some(truth) if *truth != changes => {
                    return Err(Violation(format!(
                        "watcher {watcher} is told of revision {revision} {changes:?}, another one {truth:?}"
                    )));
                }
                Some(_) => {}
                None => self.truth.push(changes),
            }
            self.last.insert(watcher, revision);
        }
        Ok(())
    }

    /// Whether all these watchers were told everything up to `revision`; otherwise who was not.
    ///
    /// # Errors
    /// Their last revisions.
    pub fn level(&self, watchers: usize, revision: i64) -> Result<(), String> {
        let last: Vec<i64> = (0..watchers).map(|watcher| self.next(watcher) - 1).collect();
        if last.iter().all(|last| *last >= revision) {
            Ok(())
        } else {
            Err(format!("of {revision} revisions the watchers were told of {last:?}"))
        }
    }

    /// What an acknowledged write changed must have been told, at its revision.
    ///
    /// # Errors
    /// It was not.
    pub fn acknowledged(&self, revision: i64, change: &Change) -> Result<(), Violation> {
        let told = self.truth.get(place(revision));
        if told.is_some_and(|told| told.contains(change)) {
            return Ok(());
        }
        Err(Violation(format!(
            "{change:?} was acknowledged at revision {revision}; watchers were told {told:?}"
        )))
    }

    /// What all changes up to `revision` together leave must be what a read at it gives.
    ///
    /// # Errors
    /// The first key that differs.
    pub fn adds_up(&self, revision: i64, read: &Held) -> Result<(), Violation> {
        let mut held = Held::new();
        for (number, changes) in (FIRST..=revision).zip(&self.truth) {
            for Change { key, value } in changes {
                match value {
                    Some(value) => held.insert(key.clone(), (value.clone(), number)),
                    None => held.remove(key),
                };
            }
        }
        let differs = held
            .keys()
            .chain(read.keys())
            .find(|key| held.get(*key) != read.get(*key));
        match differs {
            None => Ok(()),
            Some(key) => Err(Violation(format!(
                "at revision {revision} {key} is {:?} by what was watched, {:?} by a read",
                held.get(key),
                read.get(key)
            ))),
        }
    }

    /// How many revisions were told.
    #[must_use]
    pub fn revisions(&self) -> usize {
        self.truth.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change {
            key: key.to_owned(),
            value: Some(value.to_owned()),
        }
    }

    fn told(revisions: &[i64]) -> Vec<Told> {
        let one = |revision: &i64| (*revision, vec![put("k", &revision.to_string())]);
        revisions.iter().map(one).collect()
    }

    #[test]
    fn whole_streams_that_agree_are_good() {
        let mut watched = Watched::default();
        assert_eq!(watched.next(0), 1);
        watched.take(0, told(&[2, 3])).unwrap();
        watched.take(1, told(&[2])).unwrap();
        watched.take(0, told(&[4])).unwrap();
        assert_eq!((watched.next(0), watched.next(1)), (5, 3));
        assert!(watched.level(2, 4).is_err());
        watched.take(1, told(&[3, 4])).unwrap();
        watched.level(2, 4).unwrap();
        watched.acknowledged(3, &put("k", "3")).unwrap();
        let read = Held::from([("k".to_owned(), ("4".to_owned(), 4))]);
        watched.adds_up(4, &read).unwrap();
    }

    #[test]
    fn a_change_that_is_left_out_is_seen() {
        let mut watched = Watched::default();
        watched.take(0, told(&[2, 3])).unwrap();
        let violation = watched.take(0, told(&[5])).unwrap_err();
        assert!(violation.0.contains("missing"), "{violation}");
        let mut fresh = Watched::default();
        assert!(
            fresh.take(0, told(&[3])).is_err(),
            "the very first one is not left out either"
        );
    }

    #[test]
    fn a_change_told_twice_a_split_revision_and_a_wrong_order_are_seen() {
        let mut watched = Watched::default();
        watched.take(0, told(&[2, 3])).unwrap();
        assert!(watched.take(0, told(&[3])).is_err());
        let mut split = Watched::default();
        split.take(0, vec![(2, vec![put("a", "1")])]).unwrap();
        assert!(split.take(0, vec![(2, vec![put("b", "1")])]).is_err());
        let mut order = Watched::default();
        assert!(order.take(0, told(&[3, 2])).is_err());
    }

    #[test]
    fn members_that_tell_different_things_are_seen() {
        let mut watched = Watched::default();
        watched.take(0, vec![(2, vec![put("a", "1"), put("b", "1")])]).unwrap();
        assert!(watched.take(1, vec![(2, vec![put("a", "1")])]).is_err());
        assert!(watched.take(2, vec![(2, vec![put("a", "1"), put("b", "2")])]).is_err());
    }

    #[test]
    fn an_acknowledged_write_that_nobody_is_told_of_is_seen() {
        let mut watched = Watched::default();
        watched.take(0, told(&[2, 3])).unwrap();
        assert!(watched.acknowledged(3, &put("k", "2")).is_err());
        assert!(watched.acknowledged(4, &put("k", "4")).is_err());
    }

    #[test]
    fn a_read_that_differs_from_what_was_told_is_seen() {
        let mut watched = Watched::default();
        watched.take(0, vec![(2, vec![put("a", "1")])]).unwrap();
        let gone = Change {
            key: "a".to_owned(),
            value: None,
        };
        watched.take(0, vec![(3, vec![gone])]).unwrap();
        watched.adds_up(3, &Held::new()).unwrap();
        let read = Held::from([("a".to_owned(), ("1".to_owned(), 2))]);
        watched.adds_up(2, &read).unwrap();
        assert!(watched.adds_up(3, &read).is_err());
    }
}
