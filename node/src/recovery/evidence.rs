//! What the parts of a disk say of each other: whether log, snapshot and state can be of one member at one time. Pure.
//!
//! A member has its vote on disk before it takes an entry of that term, and after an orderly stop its log reaches at
//! least as far as its state. So a state beyond the log, or of a term that the log knows nothing of, says that an older
//! log was put back, or a part of it taken away. Going on would lose what was acknowledged, and the member might vote
//! twice in a term.
//!
//! Caveats: an old copy of the whole directory contradicts nothing, and neither does, after a kill, an old last segment
//! of a member of several: no member can know of these by itself.

use crate::raft::{EntryId, Vote};

/// What the log says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnds {
    /// The last entry forgotten.
    pub purged: Option<EntryId>,
    /// The last entry, or the last forgotten one.
    pub last: Option<EntryId>,
    /// The vote.
    pub vote: Option<Vote>,
}

/// Term and index of an entry, in words.
pub(crate) fn words(id: EntryId) -> String {
    format!("entry {} of term {}", id.index(), **id.committed_leader_id())
}

/// How `state`, which was applied, contradicts the log; `None` when it does not. `snapshot` is the newest one.
/// `log_was_first` says that nothing in `state` but the snapshot can have been applied before it was in the log: after an
/// orderly stop, and in a cluster of one.
pub(crate) fn contradiction(
    log: &LogEnds,
    snapshot: Option<EntryId>,
    state: Option<EntryId>,
    log_was_first: bool,
) -> Option<String> {
    let at = state.max(snapshot)?;
    let vote = log.vote.map_or(0, |vote| vote.leader_id.term);
    if **at.committed_leader_id() > vote {
        let voted = match log.vote {
            Some(_) => format!("its last vote is of term {vote}"),
            None => "it has no vote".to_owned(),
        };
        return Some(format!("{voted}, but the state on this disk stands at {}", words(at)));
    }
    if log_was_first && state > log.last.max(snapshot) {
        let end = log.last.map_or_else(
            || "it is empty".to_owned(),
            |last| format!("it ends at {}", words(last)),
        );
        return Some(format!("{end}, but the state on this disk stands at {}", words(at)));
    }
    None
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;
    use crate::raft::entry_id;

    type At = Option<(u64, u64)>;

    #[test_case(None, None, None, None, true => false; "a new member")]
    #[test_case(Some(1), Some((1, 9)), None, Some((1, 9)), true => false; "an orderly stop")]
    #[test_case(Some(2), Some((1, 9)), None, Some((1, 5)), true => false; "the log is ahead")]
    #[test_case(Some(1), Some((1, 9)), Some((1, 50)), Some((1, 50)), true => false; "a snapshot just taken in, the log not yet cut")]
    #[test_case(Some(1), Some((1, 9)), None, Some((1, 10)), false => false; "killed, others had the entry first")]
    #[test_case(Some(1), Some((1, 9)), None, Some((1, 10)), true => true; "an older log after an orderly stop")]
    #[test_case(Some(1), None, None, Some((1, 10)), true => true; "an empty log")]
    #[test_case(Some(1), Some((1, 9)), Some((1, 50)), Some((1, 51)), true => true; "an older log beside a snapshot")]
    #[test_case(Some(1), Some((1, 9)), None, Some((2, 10)), false => true; "a log from before the term")]
    #[test_case(Some(1), Some((1, 9)), Some((2, 10)), None, false => true; "a snapshot of a later term")]
    #[test_case(None, Some((1, 9)), None, Some((1, 9)), false => true; "a log without its vote")]
    fn contradicts(vote: Option<u64>, last: At, snapshot: At, state: At, first: bool) -> bool {
        let id = |at: At| at.map(|(term, index)| entry_id(term, index));
        let log = LogEnds {
            purged: None,
            last: id(last),
            vote: vote.map(|term| Vote::new(term, 1)),
        };
        contradiction(&log, id(snapshot), id(state), first).is_some()
    }
}
