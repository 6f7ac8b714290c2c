//! What a leaf certificate must say: for a member towards clients, for a member towards its peers, for the operator and
//! for applications.
//!
//! What it must keep true: the names are a pure function of the cluster's names, so that two passes ask for the same
//! certificate; the URI SAN carries the cluster id, by which peers and the admin API tell a stranger.
//!
//! Deliberately not here: keys, validity, signatures (`certs::authority`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI; Kvorum's identities.
    Uri(String),
}

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Proves a server and, towards another server, a client: members.
    ServerAndClient,
    /// Proves a client only.
    Client,
}

/// A leaf that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The subject's common name; for application certificates the user that the store sees.
    pub common_name: String,
    /// All subject alternative names.
    pub names: BTreeSet<Name>,
    /// What it is good for.
    pub usage: Usage,
}

/// The names of one cluster that its certificates need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNames {
    /// The cluster id as it appears in URI SANs: 16 lower-case hex digits.
    pub cluster_id: String,
    /// The `KvCluster`'s namespace.
    pub namespace: String,
    /// The headless Service.
    pub headless: String,
    /// The client Service.
    pub client_service: String,
    /// The DNS domain of the Kubernetes cluster, `cluster.local` as a rule.
    pub domain: String,
}

impl ClusterNames {
    /// What a member shows to clients on 2379. `extra` are further names that the user asked for.
    #[must_use]
    pub fn server(&self, member: &str, pod: &str, extra: &[String]) -> Request {
        let mut names = self.pod_names(member, pod);
        names.extend(self.service_forms(&self.headless));
        names.extend(self.service_forms(&self.client_service));
        names.extend(loopback());
        names.extend(
            extra
                .iter()
                .map(|name| name.parse().map_or_else(|_| Name::Dns(name.clone()), Name::Ip)),
        );
        Request {
            common_name: member.to_owned(),
            names,
            usage: Usage::ServerAndClient,
        }
    }

    /// What a member shows to its peers on 2380, both when it is called and when it calls.
    #[must_use]
    pub fn peer(&self, member: &str, pod: &str) -> Request {
        let mut names = self.pod_names(member, pod);
        names.extend(loopback());
        Request {
            common_name: member.to_owned(),
            names,
            usage: Usage::ServerAndClient,
        }
    }

    /// The operator's own client certificate, which the admin API demands.
    #[must_use]
    pub fn operator(&self) -> Request {
        let names = BTreeSet::from([self.identity("operator")]);
        Request {
            common_name: "kvorum-operator".to_owned(),
            names,
            usage: Usage::Client,
        }
    }

    /// The client certificate that applications mount. It has a name and no identity in the cluster.
    #[must_use]
    pub fn application(&self, cluster: &str) -> Request {
        Request {
            common_name: format!("{cluster}-client"),
            names: BTreeSet::new(),
            usage: Usage::Client,
        }
    }

    fn identity(&self, who: &str) -> Name {
        Name::Uri(format!("kvorum://{}/{who}", self.cluster_id))
    }

    fn pod_names(&self, member: &str, pod: &str) -> BTreeSet<Name> {
        let short = format!("{pod}.{}.{}.svc", self.headless, self.namespace);
        BTreeSet::from([
            Name::Dns(format!("{short}.{}", self.domain)),
            Name::Dns(short),
            Name::Dns(format!("{pod}.{}", self.headless)),
            self.identity(member),
        ])
    }

    /// A Service from its short name, good inside the namespace, up to its full name.
    fn service_forms(&self, service: &str) -> [Name; 4] {
        let namespaced = format!("{service}.{}", self.namespace);
        [
            Name::Dns(service.to_owned()),
            Name::Dns(format!("{namespaced}.svc")),
            Name::Dns(format!("{namespaced}.svc.{}", self.domain)),
            Name::Dns(namespaced),
        ]
    }
}

fn loopback() -> [Name; 3] {
    [
        Name::Dns("localhost".to_owned()),
        Name::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Name::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use expect_test::expect;

    pub(crate) fn demo() -> ClusterNames {
        ClusterNames {
            cluster_id: "00000000000000ab".to_owned(),
            namespace: "ns".to_owned(),
            headless: "demo-peers".to_owned(),
            client_service: "demo-client".to_owned(),
            domain: "cluster.local".to_owned(),
        }
    }

    fn listed(request: &Request) -> String {
        let names = request.names.iter().map(|name| match name {
            Name::Dns(dns) => format!("\n  dns {dns}"),
            Name::Ip(ip) => format!("\n  ip {ip}"),
            Name::Uri(uri) => format!("\n  uri {uri}"),
        });
        format!(
            "{} {:?}{}\n",
            request.common_name,
            request.usage,
            names.collect::<String>()
        )
    }

    #[test]
    fn every_kind_of_leaf() {
        let names = demo();
        let extra = ["kv.example.org".to_owned(), "10.0.0.7".to_owned()];
        let all = [
            names.server("demo-0", "demo-0-0", &extra),
            names.peer("demo-0", "demo-0-0"),
            names.operator(),
            names.application("demo"),
        ];
        expect![[r#"
            demo-0 ServerAndClient
              dns demo-0-0.demo-peers
              dns demo-0-0.demo-peers.ns.svc
              dns demo-0-0.demo-peers.ns.svc.cluster.local
              dns demo-client
              dns demo-client.ns
              dns demo-client.ns.svc
              dns demo-client.ns.svc.cluster.local
              dns demo-peers
              dns demo-peers.ns
              dns demo-peers.ns.svc
              dns demo-peers.ns.svc.cluster.local
              dns kv.example.org
              dns localhost
              ip 10.0.0.7
              ip 127.0.0.1
              ip ::1
              uri kvorum://00000000000000ab/demo-0
            demo-0 ServerAndClient
              dns demo-0-0.demo-peers
              dns demo-0-0.demo-peers.ns.svc
              dns demo-0-0.demo-peers.ns.svc.cluster.local
              dns localhost
              ip 127.0.0.1
              ip ::1
              uri kvorum://00000000000000ab/demo-0
            kvorum-operator Client
              uri kvorum://00000000000000ab/operator
            demo-client Client
        "#]]
        .assert_eq(&all.iter().map(listed).collect::<String>());
    }
}
