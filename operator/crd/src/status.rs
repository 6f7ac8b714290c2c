//! `KvCluster`'s status: what was seen, what was decided, and the few facts that must survive a crash of the operator.
//!
//! It must hold no fast-changing number (indexes and lags are metrics), so that a cluster at rest is never written.
//! `clusterId` and `bootstrap` are intent: they are written *before* the world is changed, which is what makes bootstrap
//! happen once.

// `KubeSchema` repeats each struct inside a function, where `pub` cannot be reached.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Observed state of a `KvCluster`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KvClusterStatus {
    /// The generation of the spec that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The cluster's identity, 16 hexadecimal digits, chosen once, before anything was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The one bootstrap of this cluster: decided before it is done, completed when the member was seen to lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// What is true of the cluster, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The members, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<MemberStatus>,
    /// How many members there are: voters and learners.
    #[serde(default)]
    pub replicas: i32,
    /// How many members are ready voters.
    #[serde(default)]
    pub ready_members: i32,
    /// Ready members of wanted members, such as `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Name of the member that leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The lowest version that a member runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Selects the members' pods; for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// The one bootstrap of a cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Name of the member that the cluster begins with.
    pub member_name: String,
    /// Its id, 16 hexadecimal digits.
    pub member_id: String,
    /// Whether the cluster was seen to exist since.
    pub phase: BootstrapPhase,
}

/// How far the bootstrap is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootstrapPhase {
    /// Decided; the call may or may not have been made.
    Intended,
    /// The cluster exists; there will never be another bootstrap.
    Completed,
}

/// One member as last seen.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Name of the member and of its StatefulSet.
    pub name: String,
    /// The member's id, 16 hexadecimal digits; empty until it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its part in the membership.
    pub role: MemberRole,
    /// The version it runs, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it votes, answers and serves.
    pub ready: bool,
    /// In one word why it is not ready, such as `IdentityMissing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A member's part in the membership.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MemberRole {
    /// Its pod is wanted, but it has not been added yet.
    Joining,
    /// It receives the log and does not vote.
    Learner,
    /// It votes.
    Voter,
    /// It is no member any more; what is left of it is being cleared away.
    Removed,
}
