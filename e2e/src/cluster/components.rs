//! The programs of the cluster and how each is built from its pinned Go module. Values only; `toolchain` builds.
//!
//! The module files are compiled into this program, so that it knows what it needs wherever it is run from, and so that
//! a component's fingerprint is the hash of exactly what it was built from.

use sha2::{Digest, Sha256};

/// A Go module in this crate's folder that yields one or more programs.
#[derive(Debug)]
pub struct Component {
    /// Its name and its folder's name.
    pub name: &'static str,
    /// Whether it needs a C compiler.
    pub cgo: bool,
    /// Go build tags.
    pub tags: &'static str,
    /// Flags for Go's linker, beyond those that leave symbols out.
    pub link: &'static str,
    /// What to build: `tool` for the module's tools, `.` for the package in its folder.
    pub target: &'static str,
    /// Programs that come out, and the further names each is called by.
    pub programs: &'static [(&'static str, &'static [&'static str])],
    /// Minutes a cold build takes on two cores, for whoever waits.
    pub minutes: f32,
    /// Its files: path in the module's folder, and content.
    pub files: &'static [(&'static str, &'static str)],
}

macro_rules! module {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../", $folder, "/", $file)))),+]
    };
}

const PLAIN: Component = Component {
    name: "",
    cgo: false,
    tags: "",
    link: "",
    target: "tool",
    programs: &[],
    minutes: 0.1,
    files: &[],
};

/// What a cluster on this machine needs, the quick builds first.
pub const CLUSTER: &[Component] = &[
    Component {
        name: "pause",
        target: ".",
        programs: &[("pause", &[])],
        files: module!("pause": "go.mod", "main.go"),
        ..PLAIN
    },
    Component {
        name: "cni",
        programs: &[("ptp", &[]), ("host-local", &[])],
        files: module!("cni": "go.mod", "go.sum"),
        ..PLAIN
    },
    Component {
        name: "runc",
        cgo: true,
        tags: "seccomp",
        programs: &[("runc", &[])],
        minutes: 0.5,
        files: module!("runc": "go.mod", "go.sum"),
        ..PLAIN
    },
    Component {
        name: "containerd",
        tags: "no_btrfs no_devmapper no_zfs",
        programs: &[("containerd", &[]), ("containerd-shim-runc-v2", &[]), ("ctr", &[])],
        minutes: 1.5,
        files: module!("containerd": "go.mod", "go.sum"),
        ..PLAIN
    },
    Component {
        name: "etcd",
        programs: &[("server", &["etcd"]), ("etcdctl", &[])],
        minutes: 1.0,
        files: module!("etcd": "go.mod", "go.sum"),
        ..PLAIN
    },
    KUBE,
];

/// Kubernetes itself: one program with many names. Without the version stamp it would call itself v0.0.0.
pub const KUBE: Component = Component {
    name: "kube",
    link: "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 \
           -X k8s.io/component-base/version.gitMinor=36",
    target: ".",
    programs: &[(
        "kube",
        &[
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kube-volumes",
            "kubelet",
            "kubectl",
            "coredns",
            "helm",
        ],
    )],
    minutes: 6.0,
    files: module!("kube": "go.mod", "go.sum", "dns.go", "helm.go", "main.go", "volumes.go"),
    ..PLAIN
};

/// Pushes images to a registry; needed only for a cluster that is not on this machine.
pub const CRANE: Component = Component {
    name: "crane",
    programs: &[("crane", &[])],
    minutes: 0.3,
    files: module!("crane": "go.mod", "go.sum"),
    ..PLAIN
};

impl Component {
    /// What tells this build from any other: a hash of the module's files and of how it is built.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.arguments("") {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        for (path, content) in self.files {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update(content.as_bytes());
            hash.update([0]);
        }
        hex::encode(&hash.finalize()[..6])
    }

    /// The arguments of `go` that build it into a folder. What the linker would leave out is not made in the first place.
    pub fn arguments(&self, output: &str) -> Vec<String> {
        let link = format!("-s -w {}", self.link);
        [
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-gcflags=all=-dwarf=false",
            "-tags",
            self.tags,
            "-ldflags",
            link.trim_end(),
            "-o",
            output,
        ]
        .into_iter()
        .chain([self.target])
        .map(String::from)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_differ() {
        let mut all: Vec<String> = CLUSTER.iter().chain([&CRANE]).map(Component::fingerprint).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), CLUSTER.len() + 1);
    }

    #[test]
    fn arguments_of_containerd() {
        let containerd = CLUSTER.iter().find(|component| component.name == "containerd").unwrap();
        let expected = "build -trimpath -buildvcs=false -gcflags=all=-dwarf=false -tags no_btrfs no_devmapper no_zfs \
                        -ldflags -s -w -o /out/ tool";
        assert_eq!(containerd.arguments("/out/").join(" "), expected);
    }
}
