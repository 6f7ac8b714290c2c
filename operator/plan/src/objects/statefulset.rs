//! The StatefulSet of one member: one pod, one volume, restarted only by us.
//!
//! `OnDelete`, so that a changed template touches no pod by itself; the rollout deletes pods one at a time and tells them
//! apart by the hash in `kvorum.dev/template-hash`.

use super::{MEMBER, TEMPLATE_HASH, config, labels, metadata, pod, selector};
use crate::cluster::Cluster;
use crate::names::{ClusterId, Slot};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Characters of the template's hash; 64 bits are plenty to tell two templates apart.
const HASH_CHARS: usize = 16;
/// What all pod templates of a cluster have in common, as a hash. Templates of two slots differ by the slot's number alone,
/// so one hash, taken of the first slot's, tells the old template from the new for all of them.
pub(super) fn revision(cluster: &Cluster) -> String {
    hash(&template(cluster, Slot(0)))
}

/// The StatefulSet of one slot, its template stamped with the cluster's `revision`.
pub(super) fn build(cluster: &Cluster, cluster_id: ClusterId, slot: Slot, revision: &str) -> StatefulSet {
    let mut template = template(cluster, slot);
    let annotations = template
        .metadata
        .get_or_insert_default()
        .annotations
        .get_or_insert_default();
    annotations.insert(TEMPLATE_HASH.to_owned(), revision.to_owned());
    let name = cluster.name.member(slot);
    let mut metadata = metadata(cluster, name.clone());
    metadata.labels.get_or_insert_default().insert(MEMBER.to_owned(), name);
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(cluster.name.peer_service()),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            selector: member_selector(cluster, slot),
            template,
            volume_claim_templates: Some(vec![claim(cluster, cluster_id, slot)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The hash that a StatefulSet of ours carries in its template.
pub(crate) fn template_hash(set: &StatefulSet) -> Option<&String> {
    set.spec
        .as_ref()?
        .template
        .metadata
        .as_ref()?
        .annotations
        .as_ref()?
        .get(TEMPLATE_HASH)
}

fn member_selector(cluster: &Cluster, slot: Slot) -> LabelSelector {
    let mut labels = selector(cluster);
    labels.insert(MEMBER.to_owned(), cluster.name.member(slot));
    LabelSelector {
        match_labels: Some(labels),
        match_expressions: None,
    }
}

fn template(cluster: &Cluster, slot: Slot) -> PodTemplateSpec {
    let mut labels: BTreeMap<String, String> = cluster.pod.labels.clone();
    labels.extend(self::labels(cluster));
    labels.insert(MEMBER.to_owned(), cluster.name.member(slot));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(cluster.pod.annotations.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod::spec(cluster, slot)),
    }
}

fn hash(template: &PodTemplateSpec) -> String {
    let json = serde_json::to_vec(template).expect("a pod template has only string keys, so it is always JSON");
    let mut digits = hex::encode(Sha256::digest(json));
    digits.truncate(HASH_CHARS);
    digits
}
fn claim(cluster: &Cluster, cluster_id: ClusterId, slot: Slot) -> PersistentVolumeClaim {
    let mut labels = labels(cluster);
    labels.insert(MEMBER.to_owned(), cluster.name.member(slot));
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".to_owned()),
            labels: Some(labels),
            annotations: Some(config::cluster_annotation(cluster_id)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: cluster.storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                limits: None,
                requests: Some(BTreeMap::from([("storage".to_owned(), cluster.storage.size.clone())])),
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
