//! Writes the status of a `KvCluster` when, and only when, it differs from the one that is there.
//!
//! What it must keep true: the comparison is of meaning (typed values), so nothing is written at rest; the field manager
//! is one of its own, so that spec and status never get into each other's way; an intent is written with the
//! resourceVersion of what was planned from, so that a decision taken on an old view is refused.
//!
//! Deliberately not here: what the status says (the planner).

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use kvorum_crd::{KvCluster, KvClusterStatus};
use serde_json::json;

use crate::metrics::Metrics;

/// The name under which the API server remembers that the status is ours.
pub const FIELD_MANAGER: &str = "kvorum-operator-status";

/// Whether the API server must still have the version of the resource that was planned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It must: the status carries a decision.
    PlannedFrom,
    /// It need not: the status only tells what was seen.
    Anything,
}

/// Writes `status` unless `resource` carries it already. Says whether it wrote.
///
/// # Errors
/// The API server refused; with [`Guard::PlannedFrom`] also when the resource has changed since (409).
pub async fn write(
    client: &Client,
    resource: &KvCluster,
    status: &KvClusterStatus,
    guard: Guard,
    metrics: &Metrics,
) -> kube::Result<bool> {
    if resource.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let mut metadata = json!({"name": resource.name_any(), "uid": resource.uid()});
    if guard == Guard::PlannedFrom {
        metadata["resourceVersion"] = json!(resource.resource_version());
    }
    let patch = json!({
        "apiVersion": "kvorum.dev/v1alpha1",
        "kind": "KvCluster",
        "metadata": metadata,
        "status": status,
    });
    let api: Api<KvCluster> = Api::namespaced(client.clone(), &resource.namespace().unwrap_or_default());
    metrics.write("status");
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&resource.name_any(), &params, &Patch::Apply(&patch))
        .await?;
    Ok(true)
}
