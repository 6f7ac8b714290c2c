//! From what is wanted and what was seen to the objects and the one next step.

pub mod cluster;
pub mod names;
pub mod objects;
pub mod observed;
pub mod rollout;
pub mod step;
pub mod validate;

pub use cluster::{Cluster, Settings};
pub use objects::Objects;
pub use observed::Observed;
pub use step::{Intent, Reason, Step};

use crate::names::{ClusterId, Slot};
use crate::validate::Refusal;
use kvorum_crd::KvClusterStatus;
use serde::Serialize;
use std::time::Duration;

/// What one pass shall do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What shall exist; `None` as long as the cluster has no id, or when the spec was refused: then nothing is applied
    /// and nothing is an orphan.
    pub objects: Option<Objects>,
    /// The one thing to do, after the objects were applied.
    pub step: Step,
    /// When to look again, unless a watch says so earlier. Zero: at once.
    pub requeue_after: Duration,
    /// The status to write, if it differs from the one that is there.
    pub status: KvClusterStatus,
    /// What to tell, one per decision.
    pub events: Vec<Event>,
}

/// Decides what to do about a cluster as it was seen. Total: there is no input for which it fails.
#[must_use]
pub fn plan(cluster: &Cluster, observed: &Observed) -> Plan {
    let mut status = observed.status.clone();
    status.observed_generation = Some(cluster.generation);
    let step = match (&status.cluster_id, ClusterId::new(observed.seed)) {
        (None, Some(id)) => Step::PersistIntent(Intent::ClusterId(id)),
        (None, None) | (Some(_), _) => Step::Wait(Reason::Starting(cluster.replicas.slots().collect())),
    };
    Plan {
        objects: None,
        step,
        requeue_after: Duration::from_secs(1),
        status,
        events: Vec::new(),
    }
}

/// The plan for a resource whose spec was refused: say so, touch nothing.
#[must_use]
pub fn refuse(generation: i64, refusal: &Refusal, observed: &Observed) -> Plan {
    let mut status = observed.status.clone();
    status.observed_generation = Some(generation);
    let note = refusal.to_string();
    let event = Event {
        severity: Severity::Warning,
        reason: "InvalidSpec",
        action: "Refuse",
        note,
        slot: None,
    };
    Plan {
        objects: None,
        step: Step::Wait(Reason::Settled),
        requeue_after: Duration::from_secs(60),
        status,
        events: vec![event],
    }
}

/// An event on the `KvCluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Whether it is a warning.
    pub severity: Severity,
    /// CamelCase, one word.
    pub reason: &'static str,
    /// What the operator did: a verb.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
    /// The slot whose pod it is about, if it is about one.
    pub slot: Option<Slot>,
}

/// Weight of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Severity {
    /// As planned.
    Normal,
    /// Something is wrong.
    Warning,
}
