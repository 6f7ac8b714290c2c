//! Names and addresses of the cluster: who exists, and where. Pure arithmetic on a node's number.
//!
//! ```text
//! bridge kvorum0 172.30.0.1/24 ── on the machine: etcd (loopback), API server :6443, controllers, scheduler, DNS :53
//!    ├─ netns kvorum-node1  172.30.0.11   pods 10.244.1.0/24
//!    ├─ netns kvorum-node2  172.30.0.12   pods 10.244.2.0/24
//!    └─ netns kvorum-node3  172.30.0.13   pods 10.244.3.0/24
//! ```

use std::fmt;

/// The bridge that joins the machine and the nodes.
pub const BRIDGE: &str = "kvorum0";
/// The machine's address on the bridge: API server and cluster DNS listen here.
pub const HOST_ADDRESS: &str = "172.30.0.1";
/// The bridge's network; refused at start when the machine routes it elsewhere.
pub const NODE_NETWORK: &str = "172.30.0.0/24";
/// Prefix length of [`NODE_NETWORK`].
pub const NODE_PREFIX: u8 = 24;
/// All pods' addresses.
pub const POD_NETWORK: &str = "10.244.0.0/16";
/// Cluster addresses of Services; the first of them is the API server's.
pub const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// The cluster address of the Service `kubernetes`.
pub const API_SERVICE_ADDRESS: &str = "10.96.0.1";
/// The port of the API server on [`HOST_ADDRESS`].
pub const API_PORT: u16 = 6443;
/// etcd's client port on loopback: out of the way of the etcd and Kvorum processes that other tests start.
pub const ETCD_PORT: u16 = 32379;
/// etcd's peer port on loopback; a single member never uses it, but etcd insists on one.
pub const ETCD_PEER_PORT: u16 = 32380;
/// The port of the store's metrics on loopback.
pub const STORE_METRICS_PORT: u16 = 32381;
/// The domain under which Services are found.
pub const DOMAIN: &str = "cluster.local";
/// The folder, in every control group hierarchy, that holds all processes of the cluster.
pub const CGROUP: &str = "kvorum-e2e";
/// What the names of the nodes' network namespaces begin with.
pub const NETNS_PREFIX: &str = "kvorum-";
/// What the names of the machine's ends of the nodes' cables begin with.
pub const CABLE_PREFIX: &str = "kv-";
/// The most nodes one cluster can have: the number is one digit of their addresses.
pub const NODES_MAX: u8 = 9;

/// One node, known by its number from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(u8);

impl Node {
    /// The nodes of a cluster of this many, of which there are at least one and at most [`NODES_MAX`].
    pub fn first(count: u8) -> Vec<Node> {
        (1..=count.clamp(1, NODES_MAX)).map(Node).collect()
    }

    /// The node of this name, if it is a node's name.
    pub fn named(name: &str) -> Option<Node> {
        let number: u8 = name.strip_prefix("node")?.parse().ok()?;
        (1..=NODES_MAX).contains(&number).then_some(Node(number))
    }

    /// Its number, from 1 on.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name in Kubernetes.
    pub fn name(self) -> String {
        format!("node{}", self.0)
    }

    /// Its address on the bridge.
    pub fn address(self) -> String {
        format!("172.30.0.1{}", self.0)
    }

    /// The addresses of its pods.
    pub fn pod_network(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    /// Its network namespace.
    pub fn netns(self) -> String {
        format!("{NETNS_PREFIX}{}", self.name())
    }

    /// The machine's end of the cable that joins it to the bridge.
    pub fn cable(self) -> String {
        format!("{CABLE_PREFIX}{}", self.name())
    }

    /// Its folder in every control group hierarchy, below the hierarchy's root.
    pub fn cgroup(self) -> String {
        format!("{CGROUP}/{}", self.name())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Where the API server is reached, from the machine, the nodes and the pods alike.
pub fn api_url() -> String {
    format!("https://{HOST_ADDRESS}:{API_PORT}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("node1" => Some(1))]
    #[test_case("node9" => Some(9))]
    #[test_case("node0" => None)]
    #[test_case("node10" => None)]
    #[test_case("demo" => None)]
    fn names(name: &str) -> Option<u8> {
        Node::named(name).map(Node::number)
    }

    #[test]
    fn addresses() {
        let node = Node::first(3)[1];
        assert_eq!(node.address(), "172.30.0.12");
        assert_eq!(node.pod_network(), "10.244.2.0/24");
        // A network interface's name has at most 15 characters.
        assert!(node.cable().len() <= 15);
    }
}
