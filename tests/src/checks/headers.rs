//! Headers: what an answer says of its member and of the store is not older than what was known when it was asked for.
//!
//! 1. The revision under a linearizable answer is at least the highest one that any answer from any member had shown
//!    before. This holds over all keys together, where histories are searched key by key.
//! 2. A member's term does not go back.
//!
//! Worked example: a put is acknowledged at revision 9, then a read of another key is asked for and answered under
//! revision 8: the read was served by a member that did not know of the put.

use std::collections::BTreeMap;

use super::Violation;

/// What was known at some moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    revision: i64,
    terms: BTreeMap<u64, u64>,
}

/// What an answer's header says.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Who answered.
    pub member: u64,
    /// The member's term.
    pub term: u64,
    /// The store's revision.
    pub revision: i64,
}

impl Known {
    /// Takes an answer that was asked for when `before` was known.
    ///
    /// # Errors
    /// It is older than that.
    pub fn take(&mut self, before: &Known, header: Header) -> Result<(), Violation> {
        let Header { member, term, revision } = header;
        self.revision = self.revision.max(revision);
        let newest = self.terms.entry(member).or_default();
        *newest = term.max(*newest);
        if revision < before.revision {
            return Err(Violation(format!(
                "member {member:x} answers under revision {revision}; {} was known before it was asked",
                before.revision
            )));
        }
        match before.terms.get(&member) {
            Some(known) if term < *known => Err(Violation(format!(
                "member {member:x} answers in term {term}, and was in {known} before it was asked"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(member: u64, term: u64, revision: i64) -> Header {
        Header { member, term, revision }
    }

    #[test]
    fn answers_that_overlap_may_come_in_any_order() {
        let mut known = Known::default();
        let before = known.clone();
        known.take(&before, header(1, 4, 9)).unwrap();
        known.take(&before, header(1, 3, 8)).unwrap();
        let later = known.clone();
        known.take(&later, header(1, 4, 9)).unwrap();
        known.take(&later, header(2, 3, 10)).unwrap();
    }

    #[test]
    fn an_old_revision_is_seen_whoever_answers() {
        let mut known = Known::default();
        known.take(&Known::default(), header(1, 4, 9)).unwrap();
        let later = known.clone();
        assert!(known.take(&later, header(1, 4, 8)).is_err());
        assert!(known.take(&later, header(2, 4, 8)).is_err());
    }

    #[test]
    fn a_term_that_goes_back_is_seen() {
        let mut known = Known::default();
        known.take(&Known::default(), header(1, 4, 9)).unwrap();
        let later = known.clone();
        assert!(known.take(&later, header(1, 3, 9)).is_err());
    }
}
