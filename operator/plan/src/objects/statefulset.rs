//! The StatefulSet of one member: one pod, one volume, restarted only by us.
//!
//! `OnDelete`, so that a changed template touches no pod by itself; the rollout deletes pods one at a time and tells them
//! apart by the hash in `kvorum.dev/template-hash`. Pods meet the restricted pod security standard. Liveness asks only
//! whether the process moves, never whether there is a quorum: a restart does not bring a quorum back.

use super::{CLIENT_PORT, MEMBER, METRICS_PORT, PEER_PORT, TEMPLATE_HASH, config, labels, metadata, selector};
use crate::cluster::Cluster;
use crate::names::{ClusterId, Slot};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    SeccompProfile, SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
    VolumeResourceRequirements, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kvorum_crd::cluster::ClientAuth;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The account that nodes run as.
const USER: i64 = 65_532;
/// How long a node may take to hand leadership over and close its log, in seconds.
const GRACE_SECONDS: i64 = 30;
/// How long a start may take, in seconds: reading back a large log, or receiving a snapshot.
const START_SECONDS: i32 = 600;
/// Files of the leaf may be read by the node's group only.
const SECRET_MODE: i32 = 0o440;
/// Characters of the template's hash; 64 bits are plenty to tell two templates apart.
const HASH_CHARS: usize = 16;

const DATA: &str = "/var/lib/kvorum";
const IDENTITY: &str = "/etc/kvorum/identity";
const TLS: &str = "/etc/kvorum/tls";

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
        spec: Some(pod(cluster, slot)),
    }
}

fn hash(template: &PodTemplateSpec) -> String {
    let json = serde_json::to_vec(template).expect("a pod template has only string keys, so it is always JSON");
    let mut digits = hex::encode(Sha256::digest(json));
    digits.truncate(HASH_CHARS);
    digits
}

fn pod(cluster: &Cluster, slot: Slot) -> PodSpec {
    let wanted = &cluster.pod;
    let some = |list: &Vec<_>| (!list.is_empty()).then(|| list.clone());
    PodSpec {
        service_account_name: Some(cluster.name.to_string()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(cluster, slot)],
        volumes: Some(volumes(cluster, slot)),
        image_pull_secrets: some(&cluster.image_pull_secrets),
        node_selector: (!wanted.node_selector.is_empty()).then(|| wanted.node_selector.clone()),
        tolerations: (!wanted.tolerations.is_empty()).then(|| wanted.tolerations.clone()),
        affinity: Some(wanted.affinity.clone().unwrap_or_else(|| apart(cluster))),
        topology_spread_constraints: Some(spread(cluster)),
        priority_class_name: wanted.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

fn container(cluster: &Cluster, slot: Slot) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "kvorum".to_owned(),
        image: Some(cluster.image.clone()),
        image_pull_policy: Some(cluster.image_pull_policy.as_str().to_owned()),
        command: Some(vec!["/usr/local/bin/kvorum".to_owned()]),
        args: Some(args(cluster, slot)),
        ports: Some(vec![
            port("client", CLIENT_PORT),
            port("peer", PEER_PORT),
            port("metrics", METRICS_PORT),
        ]),
        resources: cluster.resources.clone(),
        startup_probe: Some(probe("/livez", 1, START_SECONDS)),
        readiness_probe: Some(probe("/readyz", 1, 3)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                add: None,
                drop: Some(vec!["ALL".to_owned()]),
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            mount("data", DATA, false),
            mount("identity", IDENTITY, true),
            mount("tls", TLS, true),
        ]),
        ..Container::default()
    }
}

fn args(cluster: &Cluster, slot: Slot) -> Vec<String> {
    let pairs = [
        ("name", cluster.name.member(slot)),
        ("data-dir", format!("{DATA}/data")),
        ("identity-dir", IDENTITY.to_owned()),
        ("listen-client-urls", format!("https://0.0.0.0:{CLIENT_PORT}")),
        ("advertise-client-urls", cluster.client_url(slot)),
        ("listen-peer-urls", format!("https://0.0.0.0:{PEER_PORT}")),
        ("initial-advertise-peer-urls", cluster.peer_url(slot)),
        ("listen-metrics-urls", format!("http://0.0.0.0:{METRICS_PORT}")),
        ("cert-file", format!("{TLS}/server.crt")),
        ("key-file", format!("{TLS}/server.key")),
        ("trusted-ca-file", format!("{TLS}/client-ca.crt")),
        ("peer-cert-file", format!("{TLS}/peer.crt")),
        ("peer-key-file", format!("{TLS}/peer.key")),
        ("peer-trusted-ca-file", format!("{TLS}/peer-ca.crt")),
        ("initial-cluster-state", "managed".to_owned()),
    ];
    let mut args = vec!["serve".to_owned()];
    args.extend(pairs.into_iter().map(|(flag, value)| format!("--{flag}={value}")));
    match cluster.client_auth {
        ClientAuth::Required => args.push("--client-cert-auth".to_owned()),
        ClientAuth::Optional => {}
    }
    args
}

/// A probe on the plain port: every so many seconds, and so many failures in a row before it counts.
fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(METRICS_PORT.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn volumes(cluster: &Cluster, slot: Slot) -> Vec<Volume> {
    vec![
        Volume {
            name: "identity".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: cluster.name.member(slot),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "tls".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(cluster.name.member_tls(slot)),
                default_mode: Some(SECRET_MODE),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ]
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

/// Members on different Kubernetes nodes, if that can be had.
fn apart(cluster: &Cluster) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_labels: Some(selector(cluster)),
            match_expressions: None,
        }),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..PodAffinityTerm::default()
    };
    let weighted = WeightedPodAffinityTerm {
        weight: 100,
        pod_affinity_term: term,
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![weighted]),
            required_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    }
}

/// What the user asks for, or else over zones, if that can be had.
fn spread(cluster: &Cluster) -> Vec<TopologySpreadConstraint> {
    let members = || {
        Some(LabelSelector {
            match_labels: Some(selector(cluster)),
            match_expressions: None,
        })
    };
    let asked = &cluster.pod.topology_spread_constraints;
    if asked.is_empty() {
        return vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "topology.kubernetes.io/zone".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: members(),
            ..TopologySpreadConstraint::default()
        }];
    }
    let complete = |constraint: &TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: constraint.label_selector.clone().or_else(members),
        ..constraint.clone()
    };
    asked.iter().map(complete).collect()
}
