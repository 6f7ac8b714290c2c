//! Where things lie on disk: one state folder per cluster, one cache folder per user. Paths only, no reading or writing.

use super::topology::Node;
use std::env;
use std::path::{Path, PathBuf};

/// The state folder of the cluster and everything in it. `down` removes the folder whole.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The folder from `KVORUM_STATE`, or the usual one.
    pub fn from_environment() -> Layout {
        Layout::at(env::var_os("KVORUM_STATE").map_or_else(|| PathBuf::from("/var/lib/kvorum-e2e"), PathBuf::from))
    }

    /// The layout of a certain folder.
    pub fn at(root: PathBuf) -> Layout {
        Layout { root }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file that says this folder is ours to remove.
    pub fn marker(&self) -> PathBuf {
        self.root.join("kvorum-e2e.state")
    }

    /// What runs, with process ids, and what was changed on the machine.
    pub fn record(&self) -> PathBuf {
        self.root.join("record.json")
    }

    /// Certificates and keys.
    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// A certificate and its key, by the name of its owner.
    pub fn pair(&self, owner: &str) -> (PathBuf, PathBuf) {
        (
            self.pki().join(format!("{owner}.crt")),
            self.pki().join(format!("{owner}.key")),
        )
    }

    /// The certificate of the authority that everybody trusts.
    pub fn ca(&self) -> PathBuf {
        self.pki().join("ca.crt")
    }

    /// How a program or a user reaches the API server; the user's own is called `admin`.
    pub fn kubeconfig(&self, owner: &str) -> PathBuf {
        self.root.join("kubeconfig").join(format!("{owner}.yaml"))
    }

    /// Configuration files of the control plane.
    pub fn settings(&self) -> PathBuf {
        self.root.join("settings")
    }

    /// What the programs write to their standard output and error.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// A program's log.
    pub fn log(&self, program: &str) -> PathBuf {
        self.logs().join(format!("{program}.log"))
    }

    /// etcd's data.
    pub fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    /// Folders handed out as persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Everything of one node.
    pub fn node(&self, node: Node) -> NodeLayout {
        NodeLayout {
            root: self.root.join("nodes").join(node.name()),
        }
    }
}

/// A node's part of the state folder: what a real node would keep on its disk.
#[derive(Clone, Debug)]
pub struct NodeLayout {
    root: PathBuf,
}

impl NodeLayout {
    /// containerd's images and snapshots.
    pub fn containerd(&self) -> PathBuf {
        self.root.join("containerd")
    }

    /// kubelet's folder.
    pub fn kubelet(&self) -> PathBuf {
        self.root.join("kubelet")
    }

    /// Seen by the node's programs as `/var/log`.
    pub fn var_log(&self) -> PathBuf {
        self.root.join("var-log")
    }

    /// Seen by the node's programs as `/var/lib/cni`.
    pub fn var_lib_cni(&self) -> PathBuf {
        self.root.join("var-lib-cni")
    }

    /// Configuration files.
    pub fn settings(&self) -> PathBuf {
        self.root.join("settings")
    }

    /// The folder of network configurations that containerd reads.
    pub fn network(&self) -> PathBuf {
        self.settings().join("net.d")
    }
}

/// The cache of built programs and images, shared by all clones of one user.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The folder from `KVORUM_CACHE`, or the usual one in the home folder.
    pub fn from_environment() -> Cache {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/kvorum");
        Cache {
            root: env::var_os("KVORUM_CACHE").map_or_else(home, PathBuf::from),
        }
    }

    /// Where the programs of a component lie, by the component's name and fingerprint.
    pub fn programs(&self, component: &str, fingerprint: &str) -> PathBuf {
        self.root
            .join("kubernetes/bin")
            .join(format!("{component}-{fingerprint}"))
    }

    /// What the Go toolchain said while it built a component.
    pub fn build_log(&self, component: &str) -> PathBuf {
        self.root.join("kubernetes/logs").join(format!("{component}.log"))
    }

    /// Assembled images, as tar files.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Held by whoever changes the cluster or the cache, so that two never do so at once.
    pub fn lock(&self, what: &str) -> PathBuf {
        self.root.join(format!("{what}.lock"))
    }
}
