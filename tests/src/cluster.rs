//! Clusters of real node processes on loopback.
//!
//! Two forms: [`Cluster::plain`] is formed by `--initial-cluster` and speaks plain text, as a developer's first try
//! does; [`Cluster::managed`] is what the operator makes: TLS everywhere, one bootstrap call, learners then voters.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::etcd::Etcd;
use crate::operator::Operator;
use crate::pki::Pki;
use crate::ports;
use crate::process::Process;
use crate::wait::{SETTLE, until};
use crate::web::Web;

mod member;

/// Where members are reached that have no network of their own.
const LOOPBACK: &str = "127.0.0.1";

/// One member's place: its name, ports, folder and, while it runs, its process.
pub struct Member {
    /// Its name, `n0`, `n1`, …
    pub name: String,
    /// Where clients reach it, without the port.
    pub client_address: String,
    /// Where members reach it, without the port.
    pub peer_address: String,
    /// The network namespace that it runs in, if not the machine's.
    pub namespace: Option<PathBuf>,
    /// Port for clients.
    pub client: u16,
    /// Port for members.
    pub peer: u16,
    /// Port for probes and metrics.
    pub metrics: u16,
    /// Holds `data`, `tls`, `identity` and `log`.
    pub folder: PathBuf,
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// The program that it runs, if not the node's release.
    pub program: Option<PathBuf>,
    /// Variables that its process gets besides the test's own.
    pub variables: Vec<(String, String)>,
    /// The process, while there is one.
    pub process: Option<Process>,
}

/// A cluster, gone with all its processes and files when dropped; a failed test keeps the files.
pub struct Cluster {
    /// Its places, running or not.
    pub members: Vec<Member>,
    /// Certificates; `None` in a plain-text cluster.
    pub pki: Option<Pki>,
    /// The client that [`Cluster::at`] uses: an application's certificate, or none.
    pub web: Web,
    folder: TempDir,
}

/// Where a release build leaves `file`.
#[must_use]
pub fn built(file: &str) -> PathBuf {
    target().join("release").join(file)
}

fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/kvorum/target"))
}

/// The node's program.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program() -> PathBuf {
    let path = std::env::var_os("KVORUM_BIN")
        .map(PathBuf::from)
        .unwrap_or_else(|| built("kvorum"));
    assert!(
        path.is_file(),
        "{} is not there; build it with: make binaries",
        path.display()
    );
    path
}

/// The node's program of a debug build, which can be made to fail on purpose (`node/faults`).
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn fallible_program() -> PathBuf {
    let path = std::env::var_os("KVORUM_BIN_FALLIBLE")
        .map(PathBuf::from)
        .unwrap_or_else(|| target().join("debug/kvorum"));
    assert!(
        path.is_file(),
        "{} is not there; tests/scripts/blackbox builds it",
        path.display()
    );
    path
}

impl Cluster {
    /// An empty place for members.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn empty(pki: Option<Pki>) -> Cluster {
        let folder = tempfile::Builder::new()
            .prefix("kvorum-test-")
            .tempdir()
            .expect("a temporary folder");
        let web = match &pki {
            None => Web::new(None, None),
            Some(pki) => Web::new(Some(&pki.clients.cert), Some(&pki.application())),
        };
        Cluster {
            members: Vec::new(),
            pki,
            web,
            folder,
        }
    }

    /// `count` members in plain text, formed by `--initial-cluster`, answering when this returns.
    pub async fn plain(count: usize) -> Cluster {
        Cluster::plain_with(count, &[]).await
    }

    /// As [`Cluster::plain`], with more flags for every member.
    pub async fn plain_with(count: usize, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::founders(count, flags);
        for index in 0..count {
            cluster.start(index);
        }
        cluster.ready().await;
        cluster
    }

    /// `count` members in plain text that are to form a cluster by `--initial-cluster`; none of them runs yet.
    #[must_use]
    pub fn founders(count: usize, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::empty(None);
        for index in 0..count {
            cluster.place(&format!("n{index}"));
        }
        cluster.found(flags);
        cluster
    }

    /// Gives every member the command line with which all of them form a cluster.
    pub(crate) fn found(&mut self, flags: &[&str]) {
        let initial: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}=http://{}:{}", member.name, member.peer_address, member.peer))
            .collect();
        let token = format!("test-{:016x}", rand::random::<u64>());
        for member in &mut self.members {
            member.arguments = member.common("http");
            let more = [
                "--initial-cluster",
                &initial.join(","),
                "--initial-cluster-state",
                "new",
            ];
            member.arguments.extend(more.map(str::to_owned));
            member
                .arguments
                .extend(["--initial-cluster-token".to_owned(), token.clone()]);
            member.arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        }
    }

    /// Adds a place for a member that waits to be added to this plain-text cluster; not running.
    ///
    /// # Panics
    /// When the cluster has no member yet.
    pub fn joining(&mut self, name: &str) -> usize {
        let index = self.place(name);
        let token = self.members[0].argument("--initial-cluster-token").clone();
        let member = &mut self.members[index];
        member.arguments = member.common("http");
        let more = ["--initial-cluster-state", "existing", "--initial-cluster-token", &token];
        member.arguments.extend(more.map(str::to_owned));
        index
    }

    /// `count` members over TLS, made as the operator makes them, answering when this returns.
    pub async fn managed(count: usize) -> Cluster {
        let id = rand::random::<u64>() >> 1 | 1;
        let mut cluster = Cluster::empty(Some(Pki::new(id)));
        for index in 0..count {
            cluster.managed_place(&format!("n{index}"));
            cluster.start(index);
        }
        cluster.taken_in().await;
        cluster
    }

    /// Makes a cluster of members that run and wait for the operator, answering when this returns.
    pub(crate) async fn taken_in(&self) {
        let operator = self.operator();
        operator.bootstrap(self, 0).await;
        for index in 1..self.members.len() {
            operator.join(self, index).await;
        }
        self.ready().await;
    }

    /// Adds a place for a member, not running, without its command line.
    pub fn place(&mut self, name: &str) -> usize {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(folder.join("data")).expect("the temporary folder can be written");
        self.members.push(Member {
            name: name.to_owned(),
            client_address: LOOPBACK.to_owned(),
            peer_address: LOOPBACK.to_owned(),
            namespace: None,
            client: ports::free(),
            peer: ports::free(),
            metrics: ports::free(),
            folder,
            arguments: Vec::new(),
            program: None,
            variables: Vec::new(),
            process: None,
        });
        self.members.len() - 1
    }

    /// Adds a place for a member that waits for the operator, with certificates of this cluster; not running.
    ///
    /// # Panics
    /// In a cluster without certificates.
    pub fn managed_place(&mut self, name: &str) -> usize {
        let index = self.place(name);
        self.manage(index);
        index
    }

    /// Gives the member at a place certificates, and the command line of one that waits for the operator.
    pub(crate) fn manage(&mut self, index: usize) {
        let pki = self.pki.as_ref().expect("a managed cluster has certificates");
        let member = &mut self.members[index];
        let name = &member.name;
        member.write_certificates(&pki.server(name), &pki.peer(name), &pki.clients.cert, &pki.peers.cert);
        member.write("identity", "cluster-id", &pki.cluster);
        member.arguments = member.common("https");
        let tls = member.folder.join("tls");
        for (flag, file) in [
            ("--cert-file", "server.crt"),
            ("--key-file", "server.key"),
            ("--trusted-ca-file", "client-ca.crt"),
            ("--peer-cert-file", "peer.crt"),
            ("--peer-key-file", "peer.key"),
            ("--peer-trusted-ca-file", "peer-ca.crt"),
        ] {
            member
                .arguments
                .extend([flag.to_owned(), tls.join(file).display().to_string()]);
        }
        let identity = member.folder.join("identity").display().to_string();
        member.arguments.extend(["--identity-dir".to_owned(), identity]);
        member
            .arguments
            .extend(["--initial-cluster-state", "managed"].map(str::to_owned));
    }

    /// Starts a member's process.
    pub fn start(&mut self, index: usize) {
        let member = &mut self.members[index];
        assert!(member.process.is_none(), "{} runs already", member.name);
        let log = member.folder.join("log");
        let (program, arguments) = member.command();
        member.process = Some(Process::start_with(&program, &arguments, &member.variables, &log));
    }

    /// Ends a member's process at once, as a crash does.
    pub fn kill(&mut self, index: usize) {
        self.members[index].process.take().expect("it runs").kill();
    }

    /// Ends several members' processes at one moment, as a power cut of a whole room does.
    pub fn kill_together(&mut self, members: &[usize]) {
        for index in members {
            let process = self.members[*index].process.as_ref().expect("it runs");
            process.signal(Signal::KILL);
        }
        for index in members {
            self.kill(*index);
        }
    }

    /// Ends a member's process in order; the exit code.
    pub async fn stop(&mut self, index: usize) -> Option<i32> {
        let mut process = self.members[index].process.take().expect("it runs");
        process.stop().await.code()
    }

    /// Asks several members' processes to end, all at one moment, and waits until they have.
    pub async fn stop_together(&mut self, members: &[usize]) {
        for index in members {
            let process = self.members[*index].process.as_ref().expect("it runs");
            process.signal(Signal::TERM);
        }
        for index in members {
            let mut process = self.members[*index].process.take().expect("it runs");
            process.gone(SETTLE).await;
        }
    }

    /// Stops a member's time: it neither runs nor closes its connections.
    pub fn pause(&self, index: usize) {
        self.members[index]
            .process
            .as_ref()
            .expect("it runs")
            .signal(Signal::STOP);
    }

    /// Lets a paused member go on.
    pub fn resume(&self, index: usize) {
        self.members[index]
            .process
            .as_ref()
            .expect("it runs")
            .signal(Signal::CONT);
    }

    /// Empties a member's disk; it must not run.
    pub fn wipe(&mut self, index: usize) {
        let member = &self.members[index];
        assert!(member.process.is_none(), "{} still runs", member.name);
        std::fs::remove_dir_all(member.folder.join("data")).expect("its data can be removed");
        std::fs::create_dir_all(member.folder.join("data")).expect("its folder can be made");
    }

    /// etcd's API at one member.
    #[must_use]
    pub fn at(&self, index: usize) -> Etcd {
        Etcd::new(self.web.clone(), self.url(index))
    }

    /// etcd's API at every member.
    #[must_use]
    pub fn everywhere(&self) -> Vec<Etcd> {
        (0..self.members.len()).map(|index| self.at(index)).collect()
    }

    /// A member's client URL.
    #[must_use]
    pub fn url(&self, index: usize) -> String {
        let scheme = if self.pki.is_some() { "https" } else { "http" };
        let member = &self.members[index];
        format!("{scheme}://{}:{}", member.client_address, member.client)
    }

    /// A member's URL for probes and metrics.
    #[must_use]
    pub fn metrics_url(&self, index: usize) -> String {
        let member = &self.members[index];
        format!("http://{}:{}", member.client_address, member.metrics)
    }

    /// One who may make admin calls.
    ///
    /// # Panics
    /// In a cluster without certificates.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(self.pki.as_ref().expect("a managed cluster has certificates"))
    }

    /// Waits until every running member serves a linearizable read.
    pub async fn ready(&self) {
        let started = Instant::now();
        for (index, member) in self
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.process.is_some())
        {
            until(&format!("{} to be ready", member.name), SETTLE, || self.is_ready(index)).await;
        }
        println!("{} member(s) ready after {:?}", self.members.len(), started.elapsed());
    }

    /// Waits until the list of members says where clients reach each: members tell each other after they are ready.
    pub async fn published(&self) {
        until("every member to have client URLs", SETTLE, || async {
            let list = self.at(0).ask("cluster/member/list", &json!({})).await;
            let list = list.map_err(|error| format!("{error:#}"))?;
            let members = list["members"].as_array().cloned().unwrap_or_default();
            let whole = members.len() == self.members.len() && members.iter().all(|own| own["clientURLs"].is_array());
            if whole { Ok(()) } else { Err(list.to_string()) }
        })
        .await;
    }

    /// Whether one member serves a linearizable read now; otherwise why not.
    ///
    /// # Errors
    /// Its own words.
    pub async fn is_ready(&self, index: usize) -> Result<(), String> {
        match self.web.get(&format!("{}/readyz", self.metrics_url(index))).await {
            Ok(reply) if reply.status == 200 => Ok(()),
            Ok(reply) => Err(format!("{}: {}", reply.status, reply.text().trim())),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Waits until a running member says that it leads and none says that another does; which one. Members that know
    /// no leader, because they wait to be taken in, have no say.
    pub async fn leader(&self) -> usize {
        until("a leader", SETTLE, || self.leader_now()).await
    }

    async fn leader_now(&self) -> Result<usize, String> {
        let running = (0..self.members.len()).filter(|index| self.members[*index].process.is_some());
        let mut leads = None;
        let mut said = Vec::new();
        for index in running {
            let quick = Etcd::new(self.web.clone().within(Duration::from_secs(1)), self.url(index));
            match quick.who().await {
                Ok((own, leader)) if leader != 0 => {
                    said.push(leader);
                    leads = if own == leader { Some(index) } else { leads };
                }
                _ => {}
            }
        }
        let agreed = said.windows(2).all(|pair| pair[0] == pair[1]);
        leads
            .filter(|_| agreed)
            .ok_or_else(|| format!("leaders named by the members: {said:x?}"))
    }

    /// Some running member that does not lead.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        let running = (0..self.members.len()).filter(|index| self.members[*index].process.is_some());
        running
            .into_iter()
            .find(|index| *index != leader)
            .expect("more than one member runs")
    }
}

impl Drop for Cluster {
    /// Keeps everything that a failed test left: logs, data and certificates.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            println!("what the cluster left is in {}", self.folder.path().display());
        }
    }
}
