//! The two Services: one by which members find each other, one that clients use.

use super::{CLIENT_PORT, METRICS_PORT, PEER_PORT, metadata, selector};
use crate::cluster::Cluster;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Headless, and with the addresses of pods that are not ready, since members become ready only by finding each other.
pub(super) fn peers(cluster: &Cluster) -> Service {
    Service {
        metadata: metadata(cluster, cluster.name.peer_service()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(cluster)),
            ports: Some(vec![
                port("client", CLIENT_PORT),
                port("peer", PEER_PORT),
                port("metrics", METRICS_PORT),
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Only pods that are ready: any of them answers reads and writes.
pub(super) fn clients(cluster: &Cluster) -> Service {
    Service {
        metadata: metadata(cluster, cluster.name.client_service()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector(cluster)),
            ports: Some(vec![port("client", CLIENT_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        target_port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
