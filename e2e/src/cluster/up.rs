//! Brings the cluster up. A cluster that is already there and well is left alone; what a crash left half-way is cleaned
//! away first. Every wait has a bound and a name.

use super::authority::{ADMIN, Authority, identities};
use super::commands;
use super::components::CLUSTER;
use super::layout::Layout;
use super::process::Recorded;
use super::programs;
use super::record::Record;
use super::settings;
use super::site::Site;
use super::store::StoreKind;
use super::toolchain;
use super::topology::{ETCD_PORT, HOST_ADDRESS, Node};
use super::wait::Progress;
use super::{down, network, nodes, status, tunables};
use crate::images;
use anyhow::{Context, Result, anyhow, ensure};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// How long the API server may take to be ready: ten times what it takes on an idle machine.
const API_SECONDS_MAX: u64 = 90;
/// How long nodes may take to be ready after that.
const NODES_SECONDS_MAX: u64 = 90;
/// `statfs` type of an overlay, on which another overlay cannot stand.
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;
/// Services, roles and storage classes of the cluster's own.
const BASE: &str = include_str!("base.yaml");

/// Makes sure that a cluster of this many nodes runs, on this store if one is named. Returns whether it had to be started.
pub fn up(count: u8, store: Option<StoreKind>, progress: &Progress) -> Result<bool> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a cluster on this machine needs root; or set KUBECONFIG to use another"
    );
    toolchain::require_packages(progress)?;
    let site = Site::of_this_machine()?;
    toolchain::build(&site.cache, &CLUSTER.iter().collect::<Vec<_>>(), progress)?;
    let _lock = toolchain::hold(&site.cache.lock("cluster"))?;
    down::require_own(&site)?;
    let nodes = Node::first(count);
    if status::healthy(&site, &nodes, store) {
        return Ok(false);
    }
    if down::anything(&site) {
        progress.say("an earlier cluster is not well, or another one: removing it first");
        down::down(&site, progress)?;
    }
    let mut record = Record {
        nodes: count,
        store: store.unwrap_or_default(),
        ..Record::default()
    };
    if let Err(error) = bring_up(&site, &nodes, &mut record, progress) {
        return Err(error.context("the cluster does not come up; `kvorum-e2e down` removes what there is of it"));
    }
    Ok(true)
}

fn bring_up(site: &Site, nodes: &[Node], record: &mut Record, progress: &Progress) -> Result<()> {
    network::require_free_addresses()?;
    prepare(site, nodes, record).context("cannot prepare the machine")?;
    progress.say("network, control groups and certificates are made");
    start_control_plane(site, record)?;
    let mut started = Vec::new();
    for node in nodes {
        started.push((*node, nodes::boot(site, record, *node)?));
    }
    let pause = images::pause_archive(site)?;
    for (node, holder) in &started {
        nodes::await_containerd(site, *node, *holder, progress)?;
        images::import_archive(site, *holder, &pause)?;
    }
    progress.say("containerd runs on every node");
    await_api(site, record, progress)?;
    progress.say("the API server is ready");
    for program in programs::controllers(&site.programs, &site.layout) {
        site.start(record, &program)?;
    }
    for (node, holder) in &started {
        nodes::start_agents(site, record, *node, *holder)?;
    }
    apply_base(site, progress)?;
    for program in programs::services(&site.programs, &site.layout) {
        site.start(record, &program)?;
    }
    await_nodes(site, nodes, progress)?;
    await_services(site, record, progress)?;
    record.complete = true;
    record.write(&site.layout)
}

fn prepare(site: &Site, nodes: &[Node], record: &mut Record) -> Result<()> {
    let layout = &site.layout;
    let folders = [
        layout.pki(),
        layout.settings(),
        layout.logs(),
        layout.etcd(),
        layout.volumes(),
        layout.root().join("kubeconfig"),
    ];
    folders.iter().try_for_each(fs::create_dir_all)?;
    fs::set_permissions(layout.root(), fs::Permissions::from_mode(0o711))?;
    fs::write(
        layout.marker(),
        "Made by kvorum-e2e; `kvorum-e2e down` removes this folder.\n",
    )?;
    record.write(layout)?;
    make_folder_outside(Path::new("/var/lib/cni"), layout, record)?;
    tunables::set(layout, record)?;
    site.cgroups.prepare(nodes)?;
    network::make(nodes, layout.root())?;
    write_certificates(layout, nodes)?;
    fs::write(layout.settings().join("Corefile"), settings::corefile(layout))?;
    fs::write(layout.settings().join("audit-policy.json"), settings::audit_policy())?;
    fs::write(layout.settings().join("base.yaml"), BASE)?;
    let snapshotter = snapshotter(layout.root())?;
    nodes.iter().try_for_each(|node| write_node(site, *node, snapshotter))
}

/// A mount needs a folder to lie on; one that is made for it is written down, to be removed.
fn make_folder_outside(folder: &Path, layout: &Layout, record: &mut Record) -> Result<()> {
    if !folder.exists() {
        record.folders.push(folder.to_owned());
        record.write(layout)?;
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

fn write_certificates(layout: &Layout, nodes: &[Node]) -> Result<()> {
    let authority = Authority::new()?;
    let (ca, ca_key) = layout.pair("ca");
    fs::write(ca, &authority.pair.certificate)?;
    write_secret(&ca_key, &authority.pair.key)?;
    for identity in identities(nodes) {
        let (certificate, key) = layout.pair(&identity.owner);
        let pair = authority.leaf(&identity)?;
        fs::write(&certificate, &pair.certificate)?;
        write_secret(&key, &pair.key)?;
        let access = if identity.owner == ADMIN {
            let (ca, leaf) = (authority.pair.certificate.as_bytes(), pair.certificate.as_bytes());
            settings::portable_kubeconfig(ca, leaf, pair.key.as_bytes())
        } else {
            settings::kubeconfig(layout, &identity.owner)
        };
        write_secret(&layout.kubeconfig(&identity.owner), &access)?;
    }
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

fn write_node(site: &Site, node: Node, snapshotter: &str) -> Result<()> {
    let home = site.layout.node(node);
    let folders = [
        home.containerd(),
        home.kubelet(),
        home.var_log(),
        home.var_lib_cni(),
        home.network(),
    ];
    folders.iter().try_for_each(fs::create_dir_all)?;
    let files = [
        (
            "containerd.toml",
            settings::containerd(&site.programs, &home, snapshotter),
        ),
        ("kubelet.json", settings::kubelet(&site.layout, node)),
        ("resolv.conf", settings::resolver()),
        ("net.d/10-pods.conflist", settings::pod_network(node)),
    ];
    Ok(files
        .iter()
        .try_for_each(|(name, text)| fs::write(home.settings().join(name), text))?)
}

fn snapshotter(folder: &Path) -> Result<&'static str> {
    let kind = rustix::fs::statfs(folder)?.f_type;
    Ok(if u64::try_from(kind) == Ok(OVERLAYFS_MAGIC) {
        "native"
    } else {
        "overlayfs"
    })
}

fn start_control_plane(site: &Site, record: &mut Record) -> Result<()> {
    let store = record.store.program(&site.programs, &site.layout)?;
    site.start(record, &store)?;
    // The API server gives up when its store is not there yet, and tries again only after seconds.
    let port: SocketAddr = ([127, 0, 0, 1], ETCD_PORT).into();
    let open = || Ok(TcpStream::connect_timeout(&port, Duration::from_secs(1)).ok());
    await_program(site, record, &Progress::quiet(), &store.name, 30, open)?;
    site.start(record, &programs::api_server(&site.programs, &site.layout))?;
    Ok(())
}

fn await_api(site: &Site, record: &Record, progress: &Progress) -> Result<()> {
    let ready = || commands::output(site.kubectl().args(["get", "--raw", "/readyz"])).map(Some);
    await_program(site, record, progress, "kube-apiserver", API_SECONDS_MAX, ready)
}

/// Waits for what a program brings about. One that has ended brings nothing about: no reason to wait on.
fn await_program<T>(
    site: &Site,
    record: &Record,
    progress: &Progress,
    name: &str,
    seconds: u64,
    mut question: impl FnMut() -> Result<Option<T>>,
) -> Result<()> {
    let waited = progress.wait_for(name, seconds, || {
        match record.processes.get(name).is_some_and(Recorded::alive) {
            true => Ok(question()?.map(|_| Ok(()))),
            false => Ok(Some(Err(anyhow!("{name} has ended")))),
        }
    });
    waited.flatten().with_context(|| site.tail(name))
}

fn apply_base(site: &Site, progress: &Progress) -> Result<()> {
    let file = site.layout.settings().join("base.yaml");
    let apply = || commands::output(site.kubectl().args(["apply", "--server-side", "-f"]).arg(&file)).map(Some);
    progress.wait_for("the storage classes and roles", 30, apply).map(drop)
}

fn await_nodes(site: &Site, nodes: &[Node], progress: &Progress) -> Result<()> {
    let ready = || {
        Ok(status::ready_nodes(site)?
            .is_superset(&nodes.iter().map(|node| node.name()).collect())
            .then_some(()))
    };
    let waited = progress.wait_for("the nodes", NODES_SECONDS_MAX, ready);
    waited.with_context(|| site.tail(&format!("kubelet-{}", nodes[0])))?;
    progress.say(&format!("{} nodes are ready", nodes.len()));
    Ok(())
}

/// The last things a first pod needs: its service account, and names.
fn await_services(site: &Site, record: &Record, progress: &Progress) -> Result<()> {
    let account = || {
        let found =
            commands::output(
                site.kubectl()
                    .args(["get", "serviceaccount", "default", "-n", "default", "-o", "name"]),
            );
        Ok(found.ok())
    };
    progress.wait_for("the default service account", 60, account)?;
    let port: SocketAddr = format!("{HOST_ADDRESS}:53").parse()?;
    let open = || Ok(TcpStream::connect_timeout(&port, Duration::from_secs(1)).ok());
    await_program(site, record, progress, "coredns", 60, open)?;
    let ended: Vec<&String> = record
        .processes
        .iter()
        .filter(|(_, it)| !it.alive())
        .map(|(name, _)| name)
        .collect();
    ensure!(
        ended.is_empty(),
        "ended: {ended:?}; {}",
        site.tail(ended.first().map_or("", |name| name.as_str()))
    );
    Ok(())
}
