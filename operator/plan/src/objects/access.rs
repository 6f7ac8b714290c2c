//! Who may do what: the members' account, which may do nothing, and the policy on who may talk to members.
//!
//! Peers' port is for members alone. Clients' port and the port for probes are open to all: the first asks for TLS, the
//! second tells no data.

use super::{CLIENT_PORT, METRICS_PORT, PEER_PORT, metadata, selector};
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn service_account(cluster: &Cluster) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(cluster, cluster.name.to_string()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

pub(super) fn network_policy(cluster: &Cluster) -> NetworkPolicy {
    let members = LabelSelector {
        match_labels: Some(selector(cluster)),
        match_expressions: None,
    };
    let from_members = NetworkPolicyPeer {
        pod_selector: Some(members.clone()),
        ..NetworkPolicyPeer::default()
    };
    let rules = vec![
        NetworkPolicyIngressRule {
            from: None,
            ports: Some(vec![port(CLIENT_PORT), port(METRICS_PORT)]),
        },
        NetworkPolicyIngressRule {
            from: Some(vec![from_members]),
            ports: Some(vec![port(PEER_PORT)]),
        },
    ];
    NetworkPolicy {
        metadata: metadata(cluster, cluster.name.to_string()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(members),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(rules),
            egress: None,
        }),
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}
