//! Who this disk belongs to, and whether this process may use it.
//!
//! What must stay true:
//! 1. A member id is written to disk, synced with its directory, before anyone hears of it; it never changes.
//! 2. A disk that lost its identity is never given a new one while somebody still counts on the old: a member that
//!    forgot its vote could vote twice in a term. Such a member stays up, says so, and joins nothing.
//! 3. [`decide`] is the only place that weighs what the disk says against what the operator says. It is pure.
//!
//! What this file does not do: it serves nothing and joins nothing; `server` acts on the decision.

pub mod expected;
pub mod file;

use kvorum_api::Id;

pub use expected::Expected;
pub use file::{Found, IdentityError};

/// Who a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to; `None` until the operator has said so (state `Waiting`).
    pub cluster_id: Option<Id>,
    /// Drawn at the first start.
    pub member_id: Id,
    /// Its `--name` at the first start.
    pub name: String,
    /// The log that was made for it; `None` until there is one. From then on a disk without this very log is refused.
    pub log_id: Option<u64>,
}

/// What a process may do with its data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The directory is empty and nobody expects otherwise: draw an identity and write it.
    Fresh {
        /// The cluster to write down, where it is already known.
        cluster_id: Option<Id>,
    },
    /// The directory belongs to this member: carry on. The cluster id is filled in if only the operator knew it.
    Known(Identity),
    /// Join nothing, and say why.
    Refused(Refused),
}

/// Why a process joins nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A known member's disk is empty.
    IdentityMissing {
        /// A sentence for status, event and log.
        reason: String,
    },
    /// The disk, the certificate or the operator speak of different members or clusters.
    IdentityMismatch {
        /// A sentence for status, event and log.
        reason: String,
    },
}

impl Refused {
    /// The sentence for status, event and log.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Refused::IdentityMissing { reason } | Refused::IdentityMismatch { reason } => reason,
        }
    }
}

/// Weighs what the disk holds against what is expected of member `name`.
#[must_use]
pub fn decide(found: &Found, expected: &Expected, name: &str) -> Decision {
    if let Some(reason) = expected.contradiction(name) {
        return mismatch(reason);
    }
    let cluster_id = expected.cluster_id();
    match (found, expected.member_id) {
        (Found::Nothing, None) => Decision::Fresh { cluster_id },
        (Found::Nothing, Some(member)) => Decision::Refused(Refused::IdentityMissing {
            reason: format!("the data directory is empty, but this is known to be member {member}"),
        }),
        (Found::Strangers(file), _) => mismatch(format!(
            "the data directory holds {file} but no identity file; it may belong to another member. Put back the whole \
             directory as it was, or empty it and let this member join again"
        )),
        (Found::Identity(identity), member) => weigh(identity, member, cluster_id, name),
    }
}

fn weigh(found: &Identity, member_id: Option<Id>, cluster_id: Option<Id>, name: &str) -> Decision {
    if let Some(expected) = member_id.filter(|expected| *expected != found.member_id) {
        return mismatch(format!(
            "the disk belongs to member {}, but member {expected} is expected",
            found.member_id
        ));
    }
    if let (Some(on_disk), Some(expected)) = (found.cluster_id, cluster_id)
        && on_disk != expected
    {
        return mismatch(format!(
            "the disk belongs to cluster {on_disk}, but cluster {expected} is expected"
        ));
    }
    if found.name != name {
        return mismatch(format!(
            "the disk belongs to member {:?}, but this is {name:?}",
            found.name
        ));
    }
    Decision::Known(Identity {
        cluster_id: found.cluster_id.or(cluster_id),
        ..found.clone()
    })
}

fn mismatch(reason: String) -> Decision {
    Decision::Refused(Refused::IdentityMismatch { reason })
}

/// Draws a new member id.
///
/// # Errors
/// The system has no randomness to give.
pub fn draw_member_id() -> Result<Id, getrandom::Error> {
    getrandom::u64().map(id_from_random)
}

/// Makes an id of any number: below 2^63, so that it also fits signed types elsewhere, and never zero, which etcd's
/// messages use for "nobody".
pub(crate) fn id_from_random(number: u64) -> Id {
    let low = number & (u64::MAX >> 1);
    Id::new(low.max(1)).expect("between 1 and 2^63 - 1")
}

#[cfg(test)]
mod tests;
