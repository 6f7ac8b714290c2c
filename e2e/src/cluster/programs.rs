//! The programs that make up a running cluster: each with its arguments, the place it runs in and its environment.
//! Pure; `up` and `nodes` start them.

use super::cgroups;
use super::layout::Layout;
use super::settings::CONTAINERD_SOCKET;
use super::toolchain::Programs;
use super::topology::{API_PORT, DOMAIN, ETCD_PORT, HOST_ADDRESS, Node, POD_NETWORK, SERVICE_NETWORK};
use std::path::Path;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the machine itself.
    Control,
    /// In a node's network, before the node has its own view of the disk.
    Network(Node),
    /// On a node, whose holder has this process id.
    Inside(Node, u32),
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in this cluster.
    pub name: String,
    /// Where it runs.
    pub place: Place,
    /// The program and its arguments, as its place sees them.
    pub command: Vec<String>,
}

impl Program {
    /// The program and its arguments as the machine has to start them.
    pub fn started(&self) -> Vec<String> {
        let entry = match self.place {
            Place::Control => Vec::new(),
            Place::Network(node) => {
                let entry = format!(
                    "nsenter --net=/run/netns/{} unshare --mount --uts --propagation private",
                    node.netns()
                );
                entry.split(' ').map(String::from).collect()
            }
            Place::Inside(_, holder) => format!("nsenter --target {holder} --net --mount --uts --")
                .split(' ')
                .map(String::from)
                .collect(),
        };
        entry.into_iter().chain(self.command.iter().cloned()).collect()
    }

    /// The control group it is counted in.
    pub fn group(&self) -> String {
        match self.place {
            Place::Control => cgroups::control(),
            Place::Network(node) | Place::Inside(node, _) => cgroups::daemons(node),
        }
    }
}

/// Names of a node's programs, in the order in which they start.
pub fn node_programs(node: Node) -> [String; 4] {
    ["holder", "containerd", "kubelet", "kube-proxy"].map(|program| format!("{program}-{node}"))
}

/// The API server.
pub fn api_server(programs: &Programs, layout: &Layout) -> Program {
    let (certificate, key) = layout.pair("kube-apiserver");
    let (account, account_key) = layout.pair("service-account");
    let (admin, admin_key) = layout.pair(super::authority::ADMIN);
    control(
        programs,
        "kube-apiserver",
        &[
            ("etcd-servers", &format!("http://127.0.0.1:{ETCD_PORT}")),
            // Not every five minutes: a scenario waits until history is forgotten.
            ("etcd-compaction-interval", "5s"),
            ("bind-address", HOST_ADDRESS),
            ("advertise-address", HOST_ADDRESS),
            ("secure-port", &API_PORT.to_string()),
            ("tls-cert-file", &shown(&certificate)),
            ("tls-private-key-file", &shown(&key)),
            ("client-ca-file", &shown(&layout.ca())),
            ("kubelet-client-certificate", &shown(&admin)),
            ("kubelet-client-key", &shown(&admin_key)),
            ("kubelet-certificate-authority", &shown(&layout.ca())),
            // Nodes' names are known to nobody but Kubernetes.
            ("kubelet-preferred-address-types", "InternalIP"),
            ("authorization-mode", "Node,RBAC"),
            ("enable-admission-plugins", "NodeRestriction"),
            ("service-cluster-ip-range", SERVICE_NETWORK),
            (
                "service-account-issuer",
                &format!("https://kubernetes.default.svc.{DOMAIN}"),
            ),
            ("service-account-key-file", &shown(&account)),
            ("service-account-signing-key-file", &shown(&account_key)),
            // The machine has no service addresses, so webhooks are called at their pods' own.
            ("enable-aggregator-routing", "true"),
            (
                "audit-policy-file",
                &shown(&layout.settings().join("audit-policy.json")),
            ),
            ("audit-log-path", &shown(&layout.log("audit"))),
            ("audit-log-maxsize", "200"),
            ("audit-log-maxbackup", "1"),
            ("profiling", "false"),
        ],
    )
}

/// Kubernetes' own controllers and its scheduler.
pub fn controllers(programs: &Programs, layout: &Layout) -> Vec<Program> {
    let ((_, ca_key), (_, account_key)) = (layout.pair("ca"), layout.pair("service-account"));
    let access = |owner: &str| shown(&layout.kubeconfig(owner));
    vec![
        control(
            programs,
            "kube-controller-manager",
            &[
                ("kubeconfig", &access("kube-controller-manager")),
                ("use-service-account-credentials", "true"),
                ("service-account-private-key-file", &shown(&account_key)),
                ("root-ca-file", &shown(&layout.ca())),
                ("cluster-signing-cert-file", &shown(&layout.ca())),
                ("cluster-signing-key-file", &shown(&ca_key)),
                ("leader-elect", "false"),
                // A node counts as lost after 20 s without a sign of life, not 50: scenarios wait for it.
                ("node-monitor-grace-period", "20s"),
                ("secure-port", "0"),
            ],
        ),
        control(
            programs,
            "kube-scheduler",
            &[
                ("kubeconfig", &access("kube-scheduler")),
                ("leader-elect", "false"),
                ("secure-port", "0"),
            ],
        ),
    ]
}

/// What Kubernetes leaves to others: volumes and names. They need roles that are not Kubernetes' own.
pub fn services(programs: &Programs, layout: &Layout) -> Vec<Program> {
    let access = shown(&layout.kubeconfig("kube-volumes"));
    vec![
        control(
            programs,
            "kube-volumes",
            &[("kubeconfig", &access), ("folder", &shown(&layout.volumes()))],
        ),
        Program {
            name: "coredns".to_owned(),
            place: Place::Control,
            command: vec![
                shown(&programs.path("coredns")),
                "-conf".to_owned(),
                shown(&layout.settings().join("Corefile")),
            ],
        },
    ]
}

/// The process that is a node: it holds the node's view of the disk, in which `/run`, `/var/log` and the network
/// plugins' notes are the node's own. Every mount made on the node lives in that view and dies with it.
pub fn holder(programs: &Programs, layout: &Layout, node: Node) -> Program {
    let (log, cni) = (layout.node(node).var_log(), layout.node(node).var_lib_cni());
    let script = [
        "mount --make-rshared /".to_owned(),
        format!("mount --bind '{}' /var/log", log.display()),
        format!("mount --bind '{}' /var/lib/cni", cni.display()),
        "mount -t tmpfs -o mode=0755 tmpfs /run".to_owned(),
        format!("hostname {node}"),
        "touch /run/ready".to_owned(),
        format!("exec '{}'", programs.path("pause").display()),
    ];
    let command = ["/bin/sh".to_owned(), "-ec".to_owned(), script.join("\n")];
    Program {
        name: format!("holder-{node}"),
        place: Place::Network(node),
        command: command.into(),
    }
}

/// containerd on a node.
pub fn containerd(programs: &Programs, layout: &Layout, node: Node, holder: u32) -> Program {
    let config = shown(&layout.node(node).settings().join("containerd.toml"));
    inside(
        programs,
        "containerd",
        node,
        holder,
        &[("config", &config), ("log-level", "warn")],
    )
}

/// kubelet and kube-proxy on a node.
pub fn node_agents(programs: &Programs, layout: &Layout, node: Node, holder: u32) -> [Program; 2] {
    let home = layout.node(node);
    let zone = format!("topology.kubernetes.io/zone=zone-{}", node.number());
    let kubelet = inside(
        programs,
        "kubelet",
        node,
        holder,
        &[
            ("config", &shown(&home.settings().join("kubelet.json"))),
            ("kubeconfig", &shown(&layout.kubeconfig(&format!("kubelet-{node}")))),
            ("hostname-override", &node.name()),
            ("node-ip", &node.address()),
            ("node-labels", &zone),
            ("root-dir", &shown(&home.kubelet())),
            ("cert-dir", &shown(&home.kubelet().join("pki"))),
        ],
    );
    let proxy = inside(
        programs,
        "kube-proxy",
        node,
        holder,
        &[
            ("kubeconfig", &shown(&layout.kubeconfig("kube-proxy"))),
            ("hostname-override", &node.name()),
            ("proxy-mode", "nftables"),
            ("cluster-cidr", POD_NETWORK),
            ("oom-score-adj", "0"),
            // These settings belong to the machine, which may not let a network namespace change them.
            ("conntrack-max-per-core", "0"),
            ("conntrack-min", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
        ],
    );
    [kubelet, proxy]
}

/// `ctr` on a node, for the images Kubernetes sees.
pub fn ctr(programs: &Programs, holder: u32, arguments: &[&str]) -> Vec<String> {
    let entry = format!("nsenter --target {holder} --net --mount --uts --");
    let mut words: Vec<String> = entry.split(' ').map(String::from).collect();
    words.push(shown(&programs.path("ctr")));
    words.extend(["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"].map(String::from));
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    words
}

/// What every program finds in its environment.
pub fn environment(programs: &Programs, layout: &Layout) -> Vec<(String, String)> {
    vec![
        ("PATH".to_owned(), programs.search_path()),
        ("HOME".to_owned(), shown(layout.root())),
        ("TMPDIR".to_owned(), "/tmp".to_owned()),
    ]
}

fn control(programs: &Programs, name: &str, flags: &[(&str, &str)]) -> Program {
    Program {
        name: name.to_owned(),
        place: Place::Control,
        command: command(programs, name, flags),
    }
}

fn inside(programs: &Programs, name: &str, node: Node, holder: u32, flags: &[(&str, &str)]) -> Program {
    Program {
        name: format!("{name}-{node}"),
        place: Place::Inside(node, holder),
        command: command(programs, name, flags),
    }
}

fn command(programs: &Programs, name: &str, flags: &[(&str, &str)]) -> Vec<String> {
    let flags = flags.iter().map(|(name, value)| format!("--{name}={value}"));
    std::iter::once(shown(&programs.path(name))).chain(flags).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_program_enters_its_node_first() {
        let node = Node::first(1)[0];
        let program = Program {
            name: "p".into(),
            place: Place::Inside(node, 7),
            command: vec!["/p".into(), "--x".into()],
        };
        assert_eq!(
            program.started().join(" "),
            "nsenter --target 7 --net --mount --uts -- /p --x"
        );
        assert_eq!(program.group(), "kvorum-e2e/node1/daemons");
    }
}
