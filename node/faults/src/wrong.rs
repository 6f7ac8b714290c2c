//! Rules that a node breaks when it is told to, so that the checkers are seen to notice.

/// A rule that is broken. `KVORUM_WRONG` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// `no-sync`: what was written to the log is acknowledged without a sync.
    NoSync,
    /// `no-read-index`: reads that should be linearizable answer from what this member happens to know.
    NoReadIndex,
    /// `no-vote`: the vote is kept in memory alone.
    NoVote,
    /// `event-dropped`: watchers are not told of some changes.
    EventDropped,
    /// `follower-renews`: a follower answers keepalives without asking the leader.
    FollowerRenews,
    /// `out-of-order`: of two commands applied together the second comes first.
    OutOfOrder,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Wrong; 6] = [
        Wrong::NoSync,
        Wrong::NoReadIndex,
        Wrong::NoVote,
        Wrong::EventDropped,
        Wrong::FollowerRenews,
        Wrong::OutOfOrder,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Wrong::NoSync => "no-sync",
            Wrong::NoReadIndex => "no-read-index",
            Wrong::NoVote => "no-vote",
            Wrong::EventDropped => "event-dropped",
            Wrong::FollowerRenews => "follower-renews",
            Wrong::OutOfOrder => "out-of-order",
        }
    }

    /// Whether this process was told to break it.
    #[inline]
    #[must_use]
    pub fn is_asked(self) -> bool {
        crate::wrong_asked() == Some(self)
    }
}
