//! Revisions and log positions: the two counters of the store.
//!
//! A revision numbers states of the key space as clients see them; a log position numbers entries of the replicated
//! log. They move separately: an entry that changes no key moves the position alone.

use std::fmt;

/// The point in the store's history where one change of one key happened.
///
/// All changes of one command share `main`; `sub` orders them. Ordering is by `main`, then `sub`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Revision of the whole store, as clients see it. The first change has 2, as in etcd.
    pub main: i64,
    /// Place of the change within its command, from zero.
    pub sub: u32,
}

impl Revision {
    /// The revision of an empty store.
    pub const INITIAL_MAIN: i64 = 1;

    /// A revision from its parts.
    #[must_use]
    pub const fn new(main: i64, sub: u32) -> Self {
        Self { main, sub }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.main, self.sub)
    }
}

/// The place of one entry in the replicated log: which leader wrote it, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// Member id of that leader.
    pub node: u64,
    /// Index of the entry; the first entry of a log has zero.
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{:016x}-{}", self.term, self.node, self.index)
    }
}
