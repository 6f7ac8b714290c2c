//! Looks at one cluster: its objects in the API server and its members, and gives the planner its picture.
//!
//! What it must keep true: a member that could not be asked is a value, never an error, and never delays the others; all
//! members are asked at once. What the API server could not tell is an error, since a plan on half a view is none.
//!
//! Deliberately not here: what it means.

pub mod live;
pub mod members;
pub mod seen;

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kvorum_client::Endpoint;
use kvorum_crd::KvCluster;
use kvorum_plan::Cluster;
use kvorum_plan::names::{MemberId, Slot};
use kvorum_plan::observed::{Answer, Node, NodeState, Observed, Progress, SlotSeen};

use self::live::Live;
use self::members::Members;
use crate::certs;
use crate::certs::OperatorIdentity;
use crate::controller::Context;

/// Why a cluster could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The API server did not tell what there is.
    #[error("the API server did not tell what there is: {0}")]
    Api(#[from] kube::Error),
    /// The operating system gave no randomness for the planner.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// One cluster as it was found in this pass.
pub struct World {
    /// What the API server has of it.
    pub live: Live,
    /// The planner's picture.
    pub observed: Observed,
    /// The way to its members; `None` until the operator has a certificate.
    pub members: Option<Members>,
}

/// Looks at a cluster.
///
/// # Errors
/// The API server did not answer all questions.
pub async fn observe(context: &Context, cluster: &Cluster, resource: &KvCluster) -> Result<World, ObserveError> {
    let authorities = [cluster.name.client_ca(), cluster.name.peer_ca()];
    let live = Live::read(&context.client, &cluster.namespace, cluster.name.as_str(), &authorities).await?;
    let identity = live
        .secrets
        .get(&cluster.name.operator_tls())
        .and_then(OperatorIdentity::read);
    let members = context.connections.members(cluster, identity.as_ref());
    let mut slots = seen::slots(&cluster.name, &resource.metadata, &live);
    let mut progress = None;
    if let Some(members) = &members {
        ask_all(members, cluster, &live, &mut slots).await;
        progress = ask_leader(members, cluster, &slots).await;
        let epochs = members.fencing_epochs();
        context.leadership.remembered_elsewhere(epochs);
    }
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(ObserveError::Randomness)?;
    let observed = Observed {
        now: Timestamp::now(),
        seed: u64::from_le_bytes(seed),
        status: resource.status.clone().unwrap_or_default(),
        slots,
        progress,
        certificates: certs::seen::certificates(&live.secrets, &authorities),
    };
    Ok(World {
        live,
        observed,
        members,
    })
}

/// Asks every node whose pod runs.
async fn ask_all(members: &Members, cluster: &Cluster, live: &Live, slots: &mut BTreeMap<Slot, SlotSeen>) {
    let running = slots
        .iter_mut()
        .filter(|(slot, _)| live.pods.get(&cluster.name.pod(**slot)).is_some_and(runs));
    let asked = running.map(|(slot, seen)| async move { seen.node = members.ask(cluster, *slot).await });
    join_all(asked).await;
}

/// Whether a pod has an address to ask.
fn runs(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status.is_some_and(|status| status.phase.as_deref() == Some("Running") && status.pod_ip.is_some())
}

/// How far the members are, as the leader knows it.
async fn ask_leader(members: &Members, cluster: &Cluster, slots: &BTreeMap<Slot, SlotSeen>) -> Option<Progress> {
    let (slot, _) = leader(slots)?;
    let last_log_index = members.last_log_index(slot)?;
    let told = members.progress(cluster, slot).await?;
    let matched = told
        .into_iter()
        .filter_map(|one| Some((MemberId::new(one.member_id.get())?, one.matched_index)));
    Some(Progress {
        last_log_index,
        matched: matched.collect(),
    })
}

/// The node that leads: of several that believe so, the one with the highest term.
#[must_use]
pub fn leader(slots: &BTreeMap<Slot, SlotSeen>) -> Option<(Slot, &Answer)> {
    let answers = slots
        .iter()
        .filter_map(|(slot, seen)| Some((*slot, seen.node.answer()?)));
    answers
        .filter(|(_, answer)| answer.state == NodeState::Leader)
        .max_by_key(|(_, answer)| answer.term)
}

/// Whether a node served a linearizable read when it was asked.
#[must_use]
pub fn serves(node: &Node) -> bool {
    node.answer().is_some_and(|answer| answer.linearizable_read)
}

/// The client endpoint of a slot's node.
#[must_use]
pub fn endpoint(cluster: &Cluster, slot: Slot) -> Option<Endpoint> {
    Endpoint::parse(&cluster.client_url(slot), "https").ok()
}
