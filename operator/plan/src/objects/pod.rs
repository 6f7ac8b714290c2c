//! The pod of one member: how the node is started, probed and placed.
//!
//! Pods meet the restricted pod security standard. Liveness asks only whether the process moves, never whether there is a
//! quorum: a restart does not bring a quorum back.

use super::{CLIENT_PORT, METRICS_PORT, PEER_PORT, selector};
use crate::cluster::Cluster;
use crate::names::Slot;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, PodAffinityTerm,
    PodAntiAffinity, PodSecurityContext, PodSpec, Probe, SeccompProfile, SecretVolumeSource, SecurityContext,
    TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kvorum_crd::cluster::ClientAuth;

/// The account that nodes run as.
const USER: i64 = 65_532;
/// How long a node may take to hand leadership over and close its log, in seconds.
const GRACE_SECONDS: i64 = 30;
/// How long a start may take, in seconds: reading back a large log, or receiving a snapshot.
const START_SECONDS: i32 = 600;
/// Files of the leaf may be read by the node's group only.
const SECRET_MODE: i32 = 0o440;

const DATA: &str = "/var/lib/kvorum";
const IDENTITY: &str = "/etc/kvorum/identity";
const TLS: &str = "/etc/kvorum/tls";

/// What the pod of a slot runs.
pub(super) fn spec(cluster: &Cluster, slot: Slot) -> PodSpec {
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
