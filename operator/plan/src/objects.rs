//! Everything that shall exist for one cluster, in one bundle.
//!
//! The hands take `Objects` apart without a rest pattern and apply every field, in the order of the fields (certificates
//! before the StatefulSets that mount them). What is owned by the cluster, labelled as ours and not in the bundle is an
//! orphan and is deleted, with three exceptions: volume claims, Secrets, and StatefulSets. Those are reached by
//! `Step::Discard` alone, which looks at the live membership first.
//!
//! Private keys cannot be planned. What is planned is which authority and which leaf must exist, with which names and for
//! how long, and whether the one that exists will do; the hands only draw the keys.

pub mod access;
pub mod budget;
pub mod certificates;
pub mod config;
mod pod;
pub mod services;
pub mod statefulset;

use crate::cluster::Cluster;
use crate::names::{ClusterId, Slot};
use crate::view::View;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kvorum_crd::cluster::Reclaim;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Port for clients: TLS, etcd's API, plain JSON and admin calls.
pub const CLIENT_PORT: u16 = 2379;
/// Port for peers: mutual TLS.
pub const PEER_PORT: u16 = 2380;
/// Port for probes and metrics: plain, no data.
pub const METRICS_PORT: u16 = 2381;

/// Annotation with the hash of the pod template that we rendered, on the template and so on its pods.
pub const TEMPLATE_HASH: &str = "kvorum.dev/template-hash";
/// Annotation with the cluster's id, on volume claims and on the authorities' Secrets.
pub const CLUSTER_ID: &str = "kvorum.dev/cluster-id";
/// Label with a member's name.
pub const MEMBER: &str = "kvorum.dev/member";

/// Everything that shall exist for one cluster, in the order in which it is applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objects {
    /// The members' account, which can do nothing.
    pub service_account: ServiceAccount,
    /// Who may talk to members.
    pub network_policy: NetworkPolicy,
    /// How many pods may be evicted at once.
    pub disruption_budget: PodDisruptionBudget,
    /// The headless Service through which members find each other.
    pub peer_service: Service,
    /// The Service that clients use.
    pub client_service: Service,
    /// The two authorities.
    pub authorities: Vec<Authority>,
    /// The certificates that they sign.
    pub leaves: Vec<Leaf>,
    /// The ConfigMap in which the client authority is published; the hands fill in its key `ca.crt`.
    pub published_ca: ConfigMap,
    /// Per slot, its ConfigMap and its StatefulSet.
    pub members: BTreeMap<Slot, MemberObjects>,
    /// Volume claims whose owner must change, so that they go or stay with the cluster as the spec says.
    pub claims: Vec<ClaimChange>,
}

/// What shall exist for one slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberObjects {
    /// Its identity, as the operator knows it.
    pub config: ConfigMap,
    /// The StatefulSet of its one pod.
    pub statefulset: StatefulSet,
}

/// A volume claim whose owner must change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimChange {
    /// The claim.
    pub name: String,
    /// For the precondition.
    pub uid: String,
    /// The owner that it shall have; `None` takes ours away.
    pub owner: Option<OwnerReference>,
}

/// A certificate authority that must exist in a Secret (`tls.crt`, `tls.key`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    /// Name of the Secret.
    pub secret: String,
    /// What it signs.
    pub kind: AuthorityKind,
    /// For the annotation `kvorum.dev/cluster-id` and the common name.
    pub cluster_id: ClusterId,
    /// Validity of a new one.
    pub days: u32,
    /// Whether the Secret is owned by the resource and goes with it.
    pub owned: bool,
    /// Whether it must be made now.
    pub action: Action,
}

/// What an authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum AuthorityKind {
    /// Port 2379 and client certificates.
    Client,
    /// Port 2380.
    Peer,
}

/// Certificates that must exist in one Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    /// Name of the Secret.
    pub secret: String,
    /// For whom.
    pub kind: LeafKind,
    /// Common name.
    pub common_name: String,
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ips: BTreeSet<String>,
    /// The URI, which is the identity.
    pub uri: Option<String>,
    /// Validity of a new one.
    pub days: u32,
    /// Whether it must be made now.
    pub action: Action,
}

/// For whom a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LeafKind {
    /// A member: keys `server.crt`, `server.key` (client authority), `peer.crt`, `peer.key` (peer authority),
    /// `client-ca.crt`, `peer-ca.crt`.
    Member(Slot),
    /// Applications: keys `tls.crt`, `tls.key` (client authority), `ca.crt`.
    Application,
    /// The operator itself: the same keys.
    Operator,
}

/// Whether a certificate must be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The one that exists will do.
    Keep,
    /// It must be made.
    Make(Cause),
}

/// Why a certificate must be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// There is none.
    Absent,
    /// The authority that signed it is not the present one.
    OtherAuthority,
    /// It names other hosts or another identity than it should.
    OtherNames,
    /// Two thirds of its life are over.
    Ageing,
}

/// Labels by which the cluster's pods are found; they never change.
#[must_use]
pub fn selector(cluster: &Cluster) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (format!("app.kubernetes.io/{key}"), value.to_owned());
    BTreeMap::from([
        label("name", "kvorum"),
        label("instance", cluster.name.as_str()),
        label("component", "member"),
    ])
}

/// Labels of everything that we make.
#[must_use]
pub fn labels(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "kvorum-operator".to_owned());
    labels
}

/// The reference by which an object goes with its `KvCluster`.
#[must_use]
pub fn owner(cluster: &Cluster) -> OwnerReference {
    OwnerReference {
        api_version: "kvorum.dev/v1alpha1".to_owned(),
        kind: "KvCluster".to_owned(),
        name: cluster.name.to_string(),
        uid: cluster.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Metadata of an object that goes with its `KvCluster`. For Secrets, which the hands make, too.
#[must_use]
pub fn metadata(cluster: &Cluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels(cluster)),
        owner_references: Some(vec![owner(cluster)]),
        ..ObjectMeta::default()
    }
}

/// Builds the bundle. Cannot fail: everything that could was refused before.
pub(crate) fn bundle(view: &View<'_>, cluster_id: ClusterId) -> Objects {
    let cluster = view.cluster;
    let slots = bundled_slots(view);
    let revision = statefulset::revision(cluster);
    let member = |slot: &Slot| {
        let config = config::identity(view, cluster_id, *slot);
        (
            *slot,
            MemberObjects {
                config,
                statefulset: statefulset::build(cluster, cluster_id, *slot, &revision),
            },
        )
    };
    let authorities = certificates::authorities(view, cluster_id);
    Objects {
        service_account: access::service_account(cluster),
        network_policy: access::network_policy(cluster),
        disruption_budget: budget::build(view, &slots),
        peer_service: services::peers(cluster),
        client_service: services::clients(cluster),
        leaves: certificates::leaves(view, cluster_id, &slots),
        authorities,
        published_ca: config::published_ca(cluster),
        members: slots.iter().map(member).collect(),
        claims: claim_changes(view, cluster_id),
    }
}

/// The slots whose StatefulSet shall be there: those wanted, those of members, those that stand until they are discarded,
/// and, until the cluster is known to exist, those with a volume that was kept. A slot whose volume is on its way out
/// waits until it is gone, so that a new pod never takes up an old volume.
fn bundled_slots(view: &View<'_>) -> BTreeSet<Slot> {
    let belongs = |slot: &Slot| {
        let seen = view.slot(*slot);
        let claim = seen.and_then(|seen| seen.claim.as_ref());
        let stands = seen
            .and_then(|seen| seen.statefulset.as_ref())
            .is_some_and(|set| !set.deleting);
        let member = view.member(*slot).is_some();
        let kept = claim.is_some_and(|claim| claim.kept && claim.cluster_id == view.cluster_id);
        let leaving = claim.is_some_and(|claim| claim.deleting);
        let wanted = view.cluster.replicas.wants(*slot) || (kept && !view.completed());
        member || stands || (wanted && !leaving)
    };
    view.slots().into_iter().filter(belongs).collect()
}

fn claim_changes(view: &View<'_>, cluster_id: ClusterId) -> Vec<ClaimChange> {
    let owned = match view.cluster.storage.reclaim {
        Reclaim::Retain => false,
        Reclaim::Delete => true,
    };
    let change = |(slot, seen): (&Slot, &crate::observed::SlotSeen)| {
        let claim = seen.claim.as_ref()?;
        let differs = claim.cluster_id == Some(cluster_id) && !claim.deleting && claim.owned != owned;
        differs.then(|| ClaimChange {
            name: view.cluster.name.claim(*slot),
            uid: claim.uid.clone(),
            owner: owned.then(|| owner(view.cluster)),
        })
    };
    view.seen.slots.iter().filter_map(change).collect()
}
