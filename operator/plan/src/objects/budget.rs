//! How many pods may be evicted at once.
//!
//! It must keep true: at any time a quorum of voters is available. Pods carry no label for their role, since a label would
//! lag behind it; instead every ready pod that does not vote raises the number that must stay. `minAvailable`, never
//! `maxUnavailable`: the latter counts from what the controller expects and drifts while members come and go.
//!
//! A cluster of one has nothing to protect by it: it would only keep its Kubernetes node from ever being drained.

use super::{metadata, selector};
use crate::names::Slot;
use crate::observed::Role;
use crate::view::{View, quorum};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeSet;

pub(super) fn build(view: &View<'_>, slots: &BTreeSet<Slot>) -> PodDisruptionBudget {
    let cluster = view.cluster;
    PodDisruptionBudget {
        metadata: metadata(cluster, cluster.name.to_string()),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(min_available(view, slots))),
            max_unavailable: None,
            selector: Some(LabelSelector {
                match_labels: Some(selector(cluster)),
                match_expressions: None,
            }),
            // A pod that is not ready serves nobody; refusing to evict it would only hold up the drain of its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        status: None,
    }
}

fn min_available(view: &View<'_>, slots: &BTreeSet<Slot>) -> i32 {
    let wanted = view.cluster.replicas.get() as usize;
    let voters = match view.voter_count() {
        0 => wanted,
        voters => voters,
    };
    if wanted == 1 && voters == 1 {
        return 0;
    }
    let idle = |slot: &&Slot| {
        let votes = view.member(**slot).is_some_and(|member| member.role == Role::Voter);
        !votes && view.pod(**slot).is_some_and(|pod| pod.ready_since.is_some())
    };
    let must_stay = quorum(voters) + slots.iter().filter(idle).count();
    i32::try_from(must_stay).unwrap_or(i32::MAX)
}
