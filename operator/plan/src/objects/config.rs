//! ConfigMaps: what each member must know of its own identity, and the client authority for all to read.
//!
//! `member-id` is the second of the three guards against a member that comes up empty and takes itself for new: a node
//! whose disk is empty while this key names an id refuses to start as a new one. So it must keep true: the key holds the
//! id of a slot's disk from before the slot is added until it is no member any more, and is empty for a slot whose disk may
//! be new.

use super::{CLUSTER_ID, MEMBER, metadata};
use crate::cluster::Cluster;
use crate::names::{ClusterId, MemberId, Slot};
use crate::observed::{Node, NodeState};
use crate::view::View;
use k8s_openapi::api::core::v1::ConfigMap;
use kvorum_crd::status::MemberRole;
use std::collections::BTreeMap;

/// The identity of a slot's member, mounted at `/etc/kvorum/identity`.
pub(super) fn identity(view: &View<'_>, cluster_id: ClusterId, slot: Slot) -> ConfigMap {
    let name = view.cluster.name.member(slot);
    let member_id = member_id(view, slot).map(|id| id.to_string()).unwrap_or_default();
    let mut metadata = metadata(view.cluster, name.clone());
    metadata.labels.get_or_insert_default().insert(MEMBER.to_owned(), name);
    ConfigMap {
        metadata,
        data: Some(BTreeMap::from([
            ("cluster-id".to_owned(), cluster_id.to_string()),
            ("member-id".to_owned(), member_id),
        ])),
        ..ConfigMap::default()
    }
}

/// The id that a slot's disk must carry, once that is known.
fn member_id(view: &View<'_>, slot: Slot) -> Option<MemberId> {
    // Before the bootstrap is known to have happened no disk holds anything, and the first member must be free to begin.
    if !view.completed() {
        return None;
    }
    if let Some(member) = view.member(slot) {
        return Some(member.id);
    }
    let seen = view.slot(slot)?;
    match &seen.node {
        Node::Answered(answer) => (answer.state == NodeState::Waiting).then_some(answer.member_id),
        // It drew an id earlier, which the status remembers; without a volume that id is gone.
        Node::Silent(_) => {
            seen.claim.as_ref().filter(|claim| !claim.deleting)?;
            let name = view.cluster.name.member(slot);
            let joining = |m: &&kvorum_crd::status::MemberStatus| m.name == name && m.role == MemberRole::Joining;
            view.seen
                .status
                .members
                .iter()
                .find(joining)?
                .id
                .as_deref()?
                .parse()
                .ok()
        }
    }
}

/// The ConfigMap that publishes the client authority; the hands add its key `ca.crt`.
pub(super) fn published_ca(cluster: &Cluster) -> ConfigMap {
    ConfigMap {
        metadata: metadata(cluster, cluster.name.published_ca()),
        ..ConfigMap::default()
    }
}

/// The annotation that ties a kept object to its cluster.
pub(super) fn cluster_annotation(cluster_id: ClusterId) -> BTreeMap<String, String> {
    BTreeMap::from([(CLUSTER_ID.to_owned(), cluster_id.to_string())])
}
