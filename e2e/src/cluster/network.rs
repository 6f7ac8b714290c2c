//! The network of the cluster: one bridge on the machine and, for each node, a network namespace joined to it by a
//! cable (a pair of virtual interfaces).
//!
//! Nodes know each other's pod networks by route, so packets between pods never pass the machine's own forwarding rules.
//! No firewall rule is made on the machine.

use super::commands;
use super::topology::{BRIDGE, CABLE_PREFIX, HOST_ADDRESS, NETNS_PREFIX, NODE_NETWORK, NODE_PREFIX, Node};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Refuses to start where the machine already uses the addresses for something else.
pub fn require_free_addresses() -> Result<()> {
    let routes = commands::line(&format!("ip -4 route show to match {HOST_ADDRESS}"))?;
    let foreign = routes
        .lines()
        .find(|route| !route.starts_with("default") && !route.contains(BRIDGE));
    ensure!(
        foreign.is_none(),
        "this machine uses {NODE_NETWORK} for something else: {}",
        foreign.unwrap_or_default()
    );
    Ok(())
}

/// The state folder of the cluster whose bridge is on this machine, if there is one.
pub fn owner() -> Option<PathBuf> {
    let alias = fs::read_to_string(format!("/sys/class/net/{BRIDGE}/ifalias")).ok()?;
    Some(PathBuf::from(alias.trim())).filter(|folder| folder.is_absolute())
}

/// Makes the bridge, which says whose it is, and all nodes' namespaces.
pub fn make(nodes: &[Node], state: &Path) -> Result<()> {
    commands::run(["ip", "link", "add", BRIDGE, "type", "bridge"])?;
    commands::run([
        "ip".as_ref(),
        "link".as_ref(),
        "set".as_ref(),
        BRIDGE.as_ref(),
        "alias".as_ref(),
        state.as_os_str(),
    ])?;
    let mut batch = vec![
        format!("addr add {HOST_ADDRESS}/{NODE_PREFIX} dev {BRIDGE}"),
        format!("link set {BRIDGE} up"),
    ];
    for node in nodes {
        let (cable, netns) = (node.cable(), node.netns());
        batch.push(format!("netns add {netns}"));
        batch.push(format!("link add {cable} type veth peer name eth0 netns {netns}"));
        batch.push(format!("link set {cable} master {BRIDGE} up"));
        batch.push(format!("route add {} via {}", node.pod_network(), node.address()));
    }
    batch
        .iter()
        .try_for_each(|words| commands::line(&format!("ip {words}")).map(drop))?;
    nodes.iter().try_for_each(|node| configure(*node, nodes))
}

/// Addresses and routes inside a node. Written once: pulling the cable keeps them.
fn configure(node: Node, nodes: &[Node]) -> Result<()> {
    let mut batch = vec![
        "link set lo up".to_owned(),
        format!("addr add {}/{NODE_PREFIX} dev eth0", node.address()),
        "link set eth0 up".to_owned(),
        format!("route add default via {HOST_ADDRESS}"),
    ];
    for other in nodes.iter().filter(|other| **other != node) {
        batch.push(format!("route add {} via {}", other.pod_network(), other.address()));
    }
    let netns = node.netns();
    batch
        .iter()
        .try_for_each(|words| commands::line(&format!("ip -n {netns} {words}")).map(drop))?;
    let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/all/forwarding";
    let entered = format!("--net=/run/netns/{netns}");
    commands::run(["nsenter", &entered, "sh", "-ec", forward])
        .with_context(|| format!("{node} cannot forward packets"))?;
    Ok(())
}

/// Pulls a node's cable, or puts it back.
pub fn plug(node: Node, plugged: bool) -> Result<()> {
    let state = if plugged { "up" } else { "down" };
    commands::line(&format!("ip link set {} {state}", node.cable())).map(drop)
}

/// Whether a node's cable is in.
pub fn plugged(node: Node) -> bool {
    let flags = fs::read_to_string(format!("/sys/class/net/{}/flags", node.cable())).unwrap_or_default();
    u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & 1 == 1)
}

/// Interfaces on the machine that carry the cluster's names.
pub fn interfaces() -> Vec<String> {
    names_in("/sys/class/net", |name| {
        name == BRIDGE || name.starts_with(&format!("{CABLE_PREFIX}node"))
    })
}

/// Network namespaces that carry the cluster's names.
pub fn namespaces() -> Vec<String> {
    names_in("/run/netns", |name| name.starts_with(&format!("{NETNS_PREFIX}node")))
}

/// Removes all of it. A cable goes with the namespace its other end lies in.
pub fn remove() -> Result<()> {
    for name in namespaces() {
        commands::run(["ip", "netns", "del", &name])?;
    }
    for name in interfaces() {
        // A cable whose namespace was just removed may vanish between the look and the deletion.
        if let Err(error) = commands::run(["ip", "link", "del", &name]) {
            ensure!(!interfaces().contains(&name), "cannot remove {name}: {error}");
        }
    }
    Ok(())
}

fn names_in(folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.retain(|name| wanted(name));
    names.sort();
    names
}
