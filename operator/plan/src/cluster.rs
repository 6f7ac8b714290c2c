//! The validated cluster: what the spec asks for, in types that cannot be wrong.
//!
//! After `Cluster::parse` (in `validate.rs`) nothing re-checks the spec, and building objects cannot fail.

use crate::names::{ClusterName, Slot};
use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kvorum_crd::cluster::{ClientAuth, ImagePullPolicy, Reclaim};
use std::collections::BTreeMap;

/// The image that belongs to a version of Kvorum; `{version}` stands for that.
pub const DEFAULT_NODE_IMAGE: &str = "registry.kvorum.dev/kvorum:{version}";

/// What the operator itself is set up with; the same for all clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the node for clusters that name none; `{version}` stands for theirs.
    pub node_image: String,
    /// The DNS domain of the Kubernetes cluster, such as `cluster.local`.
    pub cluster_domain: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_image: DEFAULT_NODE_IMAGE.to_owned(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// A validated `KvCluster`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its namespace.
    pub namespace: String,
    /// Its uid, for owner references.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// The DNS domain of the Kubernetes cluster.
    pub cluster_domain: String,
    /// How many members vote.
    pub replicas: Replicas,
    /// The version to run.
    pub version: String,
    /// The image to run.
    pub image: String,
    /// When it is pulled.
    pub image_pull_policy: ImagePullPolicy,
    /// With which credentials.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The members' volumes.
    pub storage: Storage,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
    /// Where members run and how their pods are marked.
    pub pod: Pod,
}

/// An odd number of voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replicas(pub(crate) u32);

impl Replicas {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The slots that shall vote: 0 up to the number.
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (0..self.0).map(Slot)
    }

    /// Whether this slot shall vote.
    #[must_use]
    pub fn wants(self, slot: Slot) -> bool {
        slot.0 < self.0
    }
}

/// The members' volumes.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Size of each.
    pub size: Quantity,
    /// Their class; the default one when `None`.
    pub class: Option<String>,
    /// What becomes of them with the cluster.
    pub reclaim: Reclaim,
}

/// Where members run and how their pods are marked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Labels beside our own.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside our own.
    pub annotations: BTreeMap<String, String>,
    /// Labels that a Kubernetes node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    pub tolerations: Vec<Toleration>,
    /// Affinity instead of the default.
    pub affinity: Option<Affinity>,
    /// Spreading instead of the default.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class.
    pub priority_class_name: Option<String>,
}

impl Cluster {
    /// DNS name of a slot's pod within the Kubernetes cluster, without the cluster's domain.
    #[must_use]
    pub fn host(&self, slot: Slot) -> String {
        format!(
            "{}.{}.{}.svc",
            self.name.pod(slot),
            self.name.peer_service(),
            self.namespace
        )
    }

    /// URL of a slot's client port.
    #[must_use]
    pub fn client_url(&self, slot: Slot) -> String {
        format!("https://{}:{}", self.host(slot), crate::objects::CLIENT_PORT)
    }

    /// URL of a slot's peer port.
    #[must_use]
    pub fn peer_url(&self, slot: Slot) -> String {
        format!("https://{}:{}", self.host(slot), crate::objects::PEER_PORT)
    }
}
