//! The state of the cluster, for people (`status`), for programs (`status -o json`) and for `up`, which asks whether
//! there is anything to do.

use super::commands;
use super::process::Recorded;
use super::programs::node_programs;
use super::record::{Absence, Record};
use super::site::Site;
use super::store::StoreKind;
use super::topology::Node;
use super::{network, programs};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

/// The state of a cluster on this machine.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether every program runs and every node is ready, but for nodes that are absent on purpose.
    pub healthy: bool,
    /// What keeps the API server's state.
    pub store: StoreKind,
    /// How the API server is reached.
    pub kubeconfig: PathBuf,
    /// The control plane's programs.
    pub control_plane: Vec<ProgramStatus>,
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
}

/// One program.
#[derive(Debug, Serialize)]
pub struct ProgramStatus {
    /// Its name.
    pub name: String,
    /// Its process id, if it ever started.
    pub pid: Option<u32>,
    /// Whether that very process still runs.
    pub alive: bool,
}

/// One node.
#[derive(Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether Kubernetes calls it ready.
    pub ready: bool,
    /// Whether its cable is in.
    pub plugged: bool,
    /// Why it is absent on purpose, if it is.
    pub absent: Option<Absence>,
    /// Its programs.
    pub programs: Vec<ProgramStatus>,
}

/// Looks at the cluster. None where there is none.
pub fn status(site: &Site) -> Option<Status> {
    let record = Record::read(&site.layout)?;
    let ready = ready_nodes(site).unwrap_or_default();
    let program = |name: &str| {
        let process = record.processes.get(name);
        ProgramStatus {
            name: name.to_owned(),
            pid: process.map(|it| it.pid),
            alive: process.is_some_and(Recorded::alive),
        }
    };
    let control_plane: Vec<ProgramStatus> = control_programs(site, record.store)
        .iter()
        .map(|name| program(name))
        .collect();
    let node = |node: Node| NodeStatus {
        name: node.name(),
        address: node.address(),
        ready: ready.contains(&node.name()),
        plugged: network::plugged(node),
        absent: record.absent.get(&node.name()).copied(),
        programs: node_programs(node).iter().map(|name| program(name)).collect(),
    };
    let nodes: Vec<NodeStatus> = Node::first(record.nodes).into_iter().map(node).collect();
    let healthy = record.complete
        && control_plane.iter().all(|it| it.alive)
        && nodes.iter().all(|it| it.absent.is_some() || it.well());
    Some(Status {
        healthy,
        store: record.store,
        kubeconfig: site.layout.kubeconfig(super::authority::ADMIN),
        control_plane,
        nodes,
    })
}

/// Whether a cluster of just these nodes, on this store if one is named, is well, with none of them absent.
pub fn healthy(site: &Site, nodes: &[Node], store: Option<StoreKind>) -> bool {
    let same = |status: &Status| {
        store.is_none_or(|store| status.store == store)
            && status.nodes.len() == nodes.len()
            && status.nodes.iter().all(NodeStatus::well)
    };
    status(site).is_some_and(|status| status.healthy && same(&status))
}

/// Names of the nodes that Kubernetes calls ready.
pub fn ready_nodes(site: &Site) -> Result<BTreeSet<String>> {
    const QUERY: &str =
        r#"jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
    let text = commands::output(
        site.kubectl()
            .args(["get", "nodes", "--request-timeout=5s", "-o", QUERY]),
    )?;
    Ok(text
        .lines()
        .filter_map(|line| line.strip_suffix(" True"))
        .map(String::from)
        .collect())
}

fn control_programs(site: &Site, store: StoreKind) -> Vec<String> {
    let all = [
        programs::controllers(&site.programs, &site.layout),
        programs::services(&site.programs, &site.layout),
    ];
    let names = all.into_iter().flatten().map(|program| program.name);
    [store.name(), "kube-apiserver"]
        .map(String::from)
        .into_iter()
        .chain(names)
        .collect()
}

impl NodeStatus {
    fn well(&self) -> bool {
        self.ready && self.plugged && self.absent.is_none() && self.programs.iter().all(|program| program.alive)
    }
}

impl Status {
    /// For people.
    pub fn describe(&self) -> String {
        let mut text = format!("cluster: {}\n", if self.healthy { "healthy" } else { "NOT healthy" });
        let _ = writeln!(text, "control plane: {}", describe_programs(&self.control_plane));
        for node in &self.nodes {
            let ready = if node.ready { "ready" } else { "not ready" };
            let absent = match node.absent {
                Some(Absence::Killed) => ", killed on purpose",
                Some(Absence::Cut) => ", cut off on purpose",
                None => "",
            };
            let _ = writeln!(
                text,
                "{} {}: {ready}{absent}; {}",
                node.name,
                node.address,
                describe_programs(&node.programs)
            );
        }
        let _ = writeln!(text, "export KUBECONFIG={}", self.kubeconfig.display());
        text
    }
}

fn describe_programs(programs: &[ProgramStatus]) -> String {
    let describe = |it: &ProgramStatus| match (it.alive, it.pid) {
        (true, Some(pid)) => format!("{} ({pid})", it.name),
        (_, Some(_)) => format!("{} HAS ENDED", it.name),
        (_, None) => format!("{} was never started", it.name),
    };
    programs.iter().map(describe).collect::<Vec<_>>().join(", ")
}
