//! `KvCluster`: what a user asks for.
//!
//! Every field has an effect or is refused. Rules are CEL in the schema, so that the API server refuses a bad spec with a
//! sentence before the operator ever sees it; `kvorum-plan` parses the same spec once more into types that cannot be wrong.

// `KubeSchema` repeats each struct inside a function, where `pub` cannot be reached.
#![allow(unreachable_pub)]

use crate::schema;
use crate::status::KvClusterStatus;
use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Versions of Kvorum that this operator knows how to run; the CEL rule on `spec.version` names the same ones.
pub const KNOWN_VERSIONS: &[&str] = &["0.1.0"];
/// Member counts that may be asked for: odd, because an even one tolerates no more failures than the odd one below it.
pub const KNOWN_REPLICAS: &[i32] = &[1, 3, 5, 7];
/// Longest `metadata.name`, in characters. A StatefulSet stamps its pods with the label `<set>-<hash of 10>`, at most 63
/// characters; that leaves 52 for `<name>-<slot>`, and 40 keeps room for longer slots.
pub const NAME_CHARS_MAX: usize = 40;

/// Desired state of a replicated key-value store.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kvorum.dev",
    version = "v1alpha1",
    kind = "KvCluster",
    plural = "kvclusters",
    shortname = "kvc",
    category = "all",
    namespaced,
    derive = "PartialEq",
    status = "KvClusterStatus",
    doc = "A strongly consistent, replicated, encrypted key-value store that speaks etcd's v3 API and plain HTTP JSON.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.summary",
        description = "Ready members of wanted members."
    ),
    printcolumn(
        name = "Leader",
        type_ = "string",
        json_path = ".status.leader",
        description = "The member that leads."
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "The lowest version that a member runs."
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why the cluster is ready or not."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name must be at most 40 characters, start with a lower-case letter and hold only lower-case letters, digits and '-' (pods and certificates are named after it)"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct KvClusterSpec {
    /// How many members vote: 1, 3, 5 or 7. Members are added as learners and promoted once they have caught up, and
    /// removed one at a time, the highest-numbered first.
    #[serde(default = "KvClusterSpec::default_replicas")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5, 7]").message(
        "replicas must be 1, 3, 5 or 7: an even number tolerates no more failures than the odd number below it"
    ))]
    pub replicas: i32,

    /// The version of Kvorum to run.
    #[serde(default = "KvClusterSpec::default_version")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self in ['0.1.0']").message(
        "version must be one that this operator knows: 0.1.0"
    ))]
    pub version: String,

    /// A container image to run instead of the one that belongs to `version`, for a private registry or a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^ \\t\\n]+$')").message(
        "image must be a reference without spaces, such as registry.example.com/kvorum:0.1.0; leave it out for the default image"
    ))]
    pub image: Option<String>,

    /// When the kubelet pulls the image.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// Secrets with credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::pull_secrets")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// The volume that each member keeps its data on.
    #[serde(default)]
    pub storage: Storage,

    /// CPU and memory of each member. A change restarts members one at a time, the leader last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Encryption. Traffic is always encrypted; this says what is asked of clients.
    #[serde(default)]
    pub tls: Tls,

    /// Where members run and how their pods are marked. A change restarts members one at a time, the leader last.
    #[serde(default)]
    pub pod: Pod,
}

impl KvClusterSpec {
    fn default_replicas() -> i32 {
        3
    }

    fn default_version() -> String {
        "0.1.0".to_owned()
    }
}

/// When the kubelet pulls the image.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// At every start of a pod.
    Always,
    /// Only when the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: the image must be on the node.
    Never,
}

impl ImagePullPolicy {
    /// The word that a container spec uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The volume that each member keeps its data on.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName)").message(
    "storage.storageClassName cannot be added or removed later: volumes cannot move between classes; create a new cluster and copy the data"
))]
pub struct Storage {
    /// Size of each member's volume, such as 10Gi.
    #[serde(default = "Storage::default_size")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(
        validation = Rule::new("self.matches('^[1-9][0-9]*(Mi|Gi|Ti|M|G|T)$')").message(
            "storage.size must be a whole number with a unit, such as 512Mi, 10Gi or 1Ti"
        ),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0").message(
            "storage.size cannot shrink: a volume can only ever grow; create a new cluster and copy the data"
        ),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) <= 0").message(
            "storage.size cannot grow yet: this version of the operator does not expand volumes; create a new cluster and copy the data"
        )
    )]
    pub size: String,

    /// The storage class of the volumes; the cluster's default class when left out. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "storage.storageClassName cannot be changed: volumes cannot move between classes; create a new cluster and copy the data"
    ))]
    pub storage_class_name: Option<String>,

    /// What becomes of the volumes when the KvCluster is deleted. A member that is scaled away takes its volume along in
    /// either case: its data is a copy of what the others hold, and its identity may never be used again.
    #[serde(default)]
    pub reclaim: Reclaim,
}

impl Storage {
    fn default_size() -> String {
        "1Gi".to_owned()
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: Self::default_size(),
            storage_class_name: None,
            reclaim: Reclaim::default(),
        }
    }
}

/// What becomes of the volumes when the KvCluster is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reclaim {
    /// Volumes and certificate authorities stay; a KvCluster of the same name resumes with them.
    #[default]
    Retain,
    /// Volumes are deleted with the KvCluster.
    Delete,
}

/// CPU and memory of each member.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for a member, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// What a member may use at most, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Encryption between clients and members.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Whether clients must show a certificate signed by the cluster's client authority. A change restarts members one at
    /// a time. Calls that change the cluster itself always demand the operator's own certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// Whether clients must show a certificate.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuth {
    /// A certificate is checked when shown, but not demanded.
    #[default]
    Optional,
    /// A client without a certificate is refused.
    Required,
}

/// Where members run and how their pods are marked.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Labels for the members' pods, beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::strings")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('app.kubernetes.io/') && !k.startsWith('kvorum.dev/'))").message(
        "pod.labels may hold any label but app.kubernetes.io/… and kvorum.dev/…, by which the operator finds its pods"
    ))]
    pub labels: BTreeMap<String, String>,
    /// Annotations for the members' pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::strings")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('kvorum.dev/'))").message(
        "pod.annotations may hold any annotation but kvorum.dev/…, in which the operator keeps what it did"
    ))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a Kubernetes node must have to run a member.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::strings")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that members tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the members' pods, instead of the default that keeps members on different Kubernetes nodes if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::affinity")]
    pub affinity: Option<Affinity>,
    /// How members spread over zones and the like, instead of the default that spreads them over zones if it can. A
    /// constraint without `labelSelector` counts this cluster's members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::spread_constraints")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class of the members' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}
