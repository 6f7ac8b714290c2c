//! One node's life: switched on, killed, switched on again, cut off, joined.

use super::commands;
use super::programs;
use super::record::{Absence, Record};
use super::site::Site;
use super::wait::Progress;
use super::{network, topology::Node};
use anyhow::{Context, Result, anyhow, ensure};
use std::path::PathBuf;

/// How long containerd may take to answer.
const CONTAINERD_SECONDS_MAX: u64 = 60;

/// Starts a node's holder and its containerd; returns the holder's process id.
pub fn boot(site: &Site, record: &mut Record, node: Node) -> Result<u32> {
    let holder = site.start(record, &programs::holder(&site.programs, &site.layout, node))?;
    let ready = PathBuf::from(format!("/proc/{}/root/run/ready", holder.pid));
    let found = || match holder.alive() {
        false => Ok(Some(Err(anyhow!("the holder of {node} has ended")))),
        true => Ok(ready.exists().then_some(Ok(()))),
    };
    let waited = Progress::quiet().wait_for("a node's view of the disk", 10, found);
    waited.flatten().with_context(|| site.tail(&holder.name))?;
    site.start(
        record,
        &programs::containerd(&site.programs, &site.layout, node, holder.pid),
    )?;
    Ok(holder.pid)
}

/// Waits until containerd answers.
pub fn await_containerd(site: &Site, node: Node, holder: u32, progress: &Progress) -> Result<()> {
    let answers = || commands::run(programs::ctr(&site.programs, holder, &["version"])).map(Some);
    let waited = progress.wait_for(&format!("containerd on {node}"), CONTAINERD_SECONDS_MAX, answers);
    waited
        .with_context(|| site.tail(&format!("containerd-{node}")))
        .map(drop)
}

/// Starts kubelet and kube-proxy.
pub fn start_agents(site: &Site, record: &mut Record, node: Node, holder: u32) -> Result<()> {
    for program in programs::node_agents(&site.programs, &site.layout, node, holder) {
        site.start(record, &program)?;
    }
    Ok(())
}

/// The process that holds a running node together.
pub fn holder(record: &Record, node: Node) -> Result<u32> {
    let holder = record
        .processes
        .get(&format!("holder-{node}"))
        .filter(|holder| holder.alive());
    holder
        .map(|holder| holder.pid)
        .with_context(|| format!("{node} does not run"))
}

/// The holders of all nodes that run.
pub fn holders(record: &Record) -> Vec<(Node, u32)> {
    Node::first(record.nodes)
        .into_iter()
        .filter_map(|node| Some((node, holder(record, node).ok()?)))
        .collect()
}

/// Switches a node off as a power failure does: every process of it, pods included, ends at once and its cable is dead.
pub fn kill(site: &Site, node: Node) -> Result<()> {
    let mut record = running(site, node)?;
    record.absent.insert(node.name(), Absence::Killed);
    record.write(&site.layout)?;
    network::plug(node, false)?;
    site.cgroups.kill(&node.cgroup()).map(drop)
}

/// Switches a killed node on again and waits until it is ready.
pub fn start(site: &Site, node: Node, progress: &Progress) -> Result<()> {
    let mut record = running(site, node)?;
    // What is left of a node that ran half is not to be mixed with its next life.
    site.cgroups.kill(&node.cgroup())?;
    network::plug(node, true)?;
    let holder = boot(site, &mut record, node)?;
    await_containerd(site, node, holder, progress)?;
    let last_sign = sign_of_life(site, node)?;
    start_agents(site, &mut record, node, holder)?;
    record.absent.remove(&node.name());
    record.write(&site.layout)?;
    // Kubernetes may not have noticed yet that the node was away, so being called ready proves nothing by itself.
    let ready = || {
        let fresh = sign_of_life(site, node)? != last_sign;
        Ok((fresh && super::status::ready_nodes(site)?.contains(&node.name())).then_some(()))
    };
    progress.wait_for(&format!("{node} to be ready"), 90, ready)
}

/// When Kubernetes last heard of a node.
fn sign_of_life(site: &Site, node: Node) -> Result<String> {
    let mut command = site.kubectl();
    command.args([
        "get",
        "lease",
        "-n",
        "kube-node-lease",
        &node.name(),
        "-o",
        "jsonpath={.spec.renewTime}",
    ]);
    commands::output(&mut command)
}

/// Pulls a node's cable; all its processes go on.
pub fn cut(site: &Site, node: Node) -> Result<()> {
    let mut record = running(site, node)?;
    record.absent.insert(node.name(), Absence::Cut);
    record.write(&site.layout)?;
    network::plug(node, false)
}

/// Puts the cable back.
pub fn join(site: &Site, node: Node) -> Result<()> {
    let mut record = running(site, node)?;
    network::plug(node, true)?;
    record.absent.remove(&node.name());
    record.write(&site.layout)
}

fn running(site: &Site, node: Node) -> Result<Record> {
    let record = Record::read(&site.layout).context("no cluster runs here")?;
    ensure!(
        node.number() <= record.nodes,
        "{node} is not one of the cluster's {} nodes",
        record.nodes
    );
    Ok(record)
}
