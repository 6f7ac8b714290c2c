//! What the process is at this moment: starting, a stranger to its cluster, a member, or stopping.
//!
//! There is one writer, `server`; the edges look each time they are asked, so that a probe never answers from an old
//! picture.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kvorum_api::Id;
use kvorum_api::admin::{NodeState, NodeStatus};

use crate::VERSION;
use crate::service::Service;
use crate::tls::Tls;

/// What the process is.
#[derive(Clone)]
pub enum Situation {
    /// Reading its disk.
    Starting,
    /// Up, but it joins nothing.
    Outside(Arc<Stranger>),
    /// A running member, even where it has not been taken into a cluster yet.
    Member(Service),
    /// On its way out: what is under way is finished, nothing new should come.
    Stopping,
}

/// A process that joins nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its `--name`.
    pub name: String,
    /// The member it is, or is expected to be.
    pub member_id: Id,
    /// The cluster it is expected to belong to.
    pub cluster_id: Option<Id>,
    /// `Waiting`, `IdentityMissing` or `IdentityMismatch`.
    pub state: NodeState,
    /// The sentence that says why.
    pub reason: String,
}

impl Stranger {
    /// What the operator is told.
    #[must_use]
    pub fn status(&self, tls: &Tls) -> NodeStatus {
        NodeStatus {
            name: self.name.clone(),
            member_id: self.member_id,
            cluster_id: self.cluster_id,
            state: self.state,
            reason: Some(self.reason.clone()),
            version: VERSION.to_owned(),
            term: 0,
            leader_id: None,
            last_log_index: 0,
            applied_index: 0,
            committed_index: 0,
            members: Vec::new(),
            certificates: tls.certificates(),
            fencing_epoch: 0,
        }
    }
}

/// The situation, as everybody sees it.
#[derive(Clone)]
pub struct Situations(Arc<ArcSwap<Situation>>);

impl Default for Situations {
    fn default() -> Situations {
        Situations(Arc::new(ArcSwap::from_pointee(Situation::Starting)))
    }
}

impl Situations {
    /// What the process is now.
    #[must_use]
    pub fn now(&self) -> Arc<Situation> {
        self.0.load_full()
    }

    /// From here on everybody sees `situation`.
    pub fn enter(&self, situation: Situation) {
        self.0.store(Arc::new(situation));
    }
}
