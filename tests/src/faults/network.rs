//! A network of its own for each cluster: a namespace per member, joined by a bridge in a namespace of its own, and one
//! cable from each member to this process for clients, which no fault touches.
//!
//! Must keep true: two tests at once never meet, because a slot is locked as long as its owner lives; whatever an owner
//! that was killed left in a slot is removed by the next; a network is gone when its value is, after a panic too. Rules
//! are made inside of the namespaces alone, never on the machine.
//!
//! It needs root, `ip`, `tc` and `nft`. The kernel needs no network emulator: lost packets are `numgen`, late ones wait in
//! a token bucket.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::links::Links;
use crate::cluster::Cluster;
use crate::pki::Pki;

/// Networks that may exist at once on a machine.
const SLOTS: u32 = 64;
/// Where members find each other, inside of their namespaces.
const PEERS: &str = "peers";
/// Where clients find a member.
const CLIENTS: &str = "clients";

/// What makes a network.
const PROGRAMS: [&str; 4] = ["ip", "tc", "nft", "nsenter"];

/// Whether networks can be made here; says so where they cannot.
///
/// # Panics
/// In CI, when they cannot.
#[must_use]
pub fn possible() -> bool {
    let here = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &&str| std::env::split_paths(&here).any(|folder| folder.join(program).is_file());
    if rustix::process::geteuid().is_root() && PROGRAMS.iter().all(is_there) {
        return true;
    }
    let text = format!("networks that can be parted need root and {PROGRAMS:?}");
    assert!(std::env::var_os("CI").is_none(), "{text}");
    println!("SKIPPED: {text}");
    false
}

/// A network for some members, whole at first; gone when dropped.
pub struct Network {
    slot: u32,
    count: usize,
    addresses: Vec<String>,
    /// Held as long as the slot is ours.
    _lock: File,
}

/// Runs a program to its end with `input`; what it printed.
///
/// # Panics
/// When it fails, with what it said.
fn run(line: &str, input: &str) -> String {
    try_run(line, input).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn try_run(line: &str, input: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let mut child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    // What cannot be written is told by the program's own failure.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The first slot that nobody has, and its lock.
fn take_slot() -> (u32, File) {
    for slot in 0..SLOTS {
        let path = std::env::temp_dir().join(format!("kvorum-faults-{slot}.lock"));
        let file = File::options().create(true).append(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if file.try_lock().is_ok() {
            return (slot, file);
        }
    }
    panic!("{SLOTS} networks exist already");
}

impl Network {
    /// A whole network for `count` members.
    ///
    /// # Panics
    /// When it cannot be made: no root, or a program is missing.
    #[must_use]
    pub fn new(count: usize) -> Network {
        let (slot, lock) = take_slot();
        let network = Network {
            slot,
            count,
            addresses: (0..count).map(|member| format!("10.99.0.{}", member + 1)).collect(),
            _lock: lock,
        };
        network.remove();
        network.make();
        network
    }

    fn make(&self) {
        let hub = self.hub();
        run(&format!("ip netns add {hub}"), "");
        run(&format!("ip -n {hub} link add hub type bridge"), "");
        run(&format!("ip -n {hub} link set hub up"), "");
        for member in 0..self.count {
            let (inside, cable) = (self.inside(member), self.cable(member));
            run(&format!("ip netns add {inside}"), "");
            let outer = format!(
                "link add {cable} type veth peer name {CLIENTS} netns {inside}\n\
                 addr add {}/30 dev {cable}\nlink set {cable} up\n",
                self.machine_address(member)
            );
            run("ip -batch -", &outer);
            let middle = format!(
                "link add p{member} type veth peer name {PEERS} netns {inside}\n\
                 link set p{member} master hub up\n"
            );
            run(&format!("ip -n {hub} -batch -"), &middle);
            let inner = format!(
                "link set lo up\naddr add {}/30 dev {CLIENTS}\nlink set {CLIENTS} up\n\
                 addr add {}/24 dev {PEERS}\nlink set {PEERS} up\n",
                self.client_address(member),
                self.addresses[member]
            );
            run(&format!("ip -n {inside} -batch -"), &inner);
        }
    }

    /// Makes the network between members be as said.
    pub fn be(&self, links: &Links) {
        for member in 0..self.count {
            let inside = self.inside(member);
            let enter = format!("nsenter --net=/run/netns/{inside}");
            run(
                &format!("{enter} nft -f -"),
                &links.rules(member, &self.addresses, PEERS),
            );
            match links.queue(member) {
                Some(queue) => drop(run(
                    &format!("tc -n {inside} qdisc replace dev {PEERS} root {queue}"),
                    "",
                )),
                // There may be none to remove.
                None => drop(try_run(&format!("tc -n {inside} qdisc del dev {PEERS} root"), "")),
            }
        }
    }

    /// Where clients find a member.
    #[must_use]
    pub fn client_address(&self, member: usize) -> String {
        format!("198.18.{}.{}", self.slot, 4 * member + 2)
    }

    /// The namespace that a member runs in.
    #[must_use]
    pub fn namespace(&self, member: usize) -> PathBuf {
        PathBuf::from("/run/netns").join(self.inside(member))
    }

    fn machine_address(&self, member: usize) -> String {
        format!("198.18.{}.{}", self.slot, 4 * member + 1)
    }

    fn hub(&self) -> String {
        format!("kvf{}", self.slot)
    }

    fn inside(&self, member: usize) -> String {
        format!("kvf{}-{member}", self.slot)
    }

    fn cable(&self, member: usize) -> String {
        format!("kvf{}c{member}", self.slot)
    }

    /// Removes whatever carries the names of this slot, and ends what still runs in it.
    fn remove(&self) {
        let listed = try_run("ip netns list", "").unwrap_or_default();
        let names = listed.lines().filter_map(|line| line.split_whitespace().next());
        let hub = self.hub();
        for name in names.filter(|name| **name == hub || name.starts_with(&format!("{hub}-"))) {
            let left = try_run(&format!("ip netns pids {name}"), "").unwrap_or_default();
            for pid in left.lines().filter_map(|line| line.trim().parse().ok()) {
                // It may end by itself at this moment.
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
            let _ = try_run(&format!("ip netns del {name}"), "");
        }
        let devices = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        for device in devices {
            let device = device.file_name().to_string_lossy().into_owned();
            if device.starts_with(&format!("{hub}c")) {
                // A cable goes with the namespace of its other end.
                let _ = try_run(&format!("ip link del {device}"), "");
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Cluster {
    /// `count` members in plain text, formed by `--initial-cluster`, each in its namespace of `network` and with a clock
    /// that can jump; answering when this returns.
    pub async fn plain_in(network: &Network) -> Cluster {
        let mut cluster = Cluster::empty(None);
        cluster.settle(network);
        cluster.found(&["--allow-insecure-listen"]);
        for index in 0..network.count {
            cluster.start(index);
        }
        cluster.ready().await;
        cluster
    }

    /// As [`Cluster::plain_in`], over TLS and made as the operator makes them.
    pub async fn managed_in(network: &Network) -> Cluster {
        let clients = (0..network.count).map(|member| network.client_address(member));
        let addresses = clients.chain(network.addresses.iter().cloned()).collect();
        let id = rand::random::<u64>() >> 1 | 1;
        let mut cluster = Cluster::empty(Some(Pki::at(id, addresses)));
        cluster.settle(network);
        for index in 0..network.count {
            cluster.manage(index);
            cluster.start(index);
        }
        cluster.taken_in().await;
        cluster
    }

    fn settle(&mut self, network: &Network) {
        for index in 0..network.count {
            self.place(&format!("n{index}"));
            let member = &mut self.members[index];
            member.client_address = network.client_address(index);
            member.peer_address.clone_from(&network.addresses[index]);
            member.namespace = Some(network.namespace(index));
            member.unsteady_clock();
        }
    }
}
