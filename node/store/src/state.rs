//! Everything that a view freezes: the index, the leases and the counters, without the values.
//!
//! Cloning costs a few pointers. The writer owns one state and changes it; a view owns another that never changes.

use crate::alarm::Alarms;
use crate::auth::Auth;
use crate::hash::Fingerprint;
use crate::index::Index;
use crate::keyspace::{FORMAT, Meta};
use crate::lease::Leases;
use crate::revision::{LogPosition, Revision};
use bytes::Bytes;
use std::sync::Arc;

/// The compacted revision of a store that was never compacted; below zero, so that compacting to zero is once
/// possible.
pub(crate) const NEVER_COMPACTED: i64 = -1;

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) leases: Leases,
    pub(crate) revision: i64,
    /// Reads below this revision are refused.
    pub(crate) compacted: i64,
    pub(crate) hash: Fingerprint,
    /// The last log entry that this state contains.
    pub(crate) position: Option<LogPosition>,
    /// What the node last noted as membership.
    pub(crate) membership: Option<Bytes>,
    /// The newest fencing epoch seen.
    pub(crate) fence: u64,
    /// The latest time that any command carried.
    pub(crate) clock_ms: u64,
    /// Users and roles. Shared with views, and copied when they change, which is seldom.
    pub(crate) auth: Arc<Auth>,
    /// The alarms that stand.
    pub(crate) alarms: Arc<Alarms>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            index: Index::default(),
            leases: Leases::default(),
            revision: Revision::INITIAL_MAIN,
            compacted: NEVER_COMPACTED,
            hash: Fingerprint::default(),
            position: None,
            membership: None,
            fence: 0,
            clock_ms: 0,
            auth: Arc::default(),
            alarms: Arc::default(),
        }
    }
}

impl State {
    /// The counters, as they are stored.
    pub(crate) fn meta(&self) -> Meta {
        Meta {
            format: FORMAT,
            position: self.position.map(Into::into),
            revision: self.revision,
            compacted: self.compacted,
            fence: self.fence,
            clock_ms: self.clock_ms,
        }
    }

    /// An empty state with stored counters.
    pub(crate) fn with_meta(meta: &Meta) -> Self {
        let Meta {
            format: _,
            position,
            revision,
            compacted,
            fence,
            clock_ms,
        } = *meta;
        Self {
            position: position.map(Into::into),
            revision,
            compacted,
            fence,
            clock_ms,
            ..Self::default()
        }
    }
}
