//! The configuration files of the programs, as text. Pure: each function takes names and paths and returns a file's
//! content; `up` writes them.

use super::layout::{Layout, NodeLayout};
use super::toolchain::Programs;
use super::topology::{DOMAIN, HOST_ADDRESS, Node, api_url};
use crate::images::PAUSE;
use serde_json::{Value, json};
use std::path::Path;

/// containerd's socket, as its node sees it.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The name of the pods' network; results of it are filed under this name.
const POD_NETWORK_NAME: &str = "kvorum-e2e";

/// Access to the API server for one owner of a certificate.
pub fn kubeconfig(layout: &Layout, owner: &str) -> String {
    let (certificate, key) = layout.pair(owner);
    let name = "kvorum-e2e";
    pretty(&json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": api_url(), "certificate-authority": layout.ca()}}],
        "users": [{"name": owner, "user": {"client-certificate": certificate, "client-key": key}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": owner}}],
    }))
}

/// The user's own access: everything inline, so that the file may be copied anywhere.
pub fn portable_kubeconfig(ca: &[u8], certificate: &[u8], key: &[u8]) -> String {
    let name = "kvorum-e2e";
    pretty(&json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": api_url(), "certificate-authority-data": base64(ca)}}],
        "users": [{"name": "admin", "user": {"client-certificate-data": base64(certificate), "client-key-data": base64(key)}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "admin"}}],
    }))
}

/// containerd on one node. `snapshotter` is `overlayfs`, or `native` where the disk does not bear overlays.
pub fn containerd(programs: &Programs, node: &NodeLayout, snapshotter: &str) -> String {
    let (root, net, search) = (shown(&node.containerd()), shown(&node.network()), programs.path("ptp"));
    let plugins = shown(search.parent().unwrap_or(Path::new("/")));
    let runc = shown(&programs.path("runc"));
    format!(
        r#"version = 3
root = "{root}"
state = "/run/containerd"

[grpc]
  address = "{CONTAINERD_SOCKET}"

[ttrpc]
  address = "{CONTAINERD_SOCKET}.ttrpc"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{snapshotter}"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # The machine may lack the right to lower a process's score.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{net}"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      Root = "/run/runc"
      SystemdCgroup = false
"#
    )
}

/// The pods' network on one node: each pod hangs on the node by a cable of its own, so every packet passes the node's
/// address translation, those between two pods of the node as well.
pub fn pod_network(node: Node) -> String {
    pretty(&json!({
        "cniVersion": "1.0.0", "name": POD_NETWORK_NAME,
        "plugins": [{
            "type": "ptp", "ipMasq": false,
            "ipam": {
                "type": "host-local", "dataDir": "/var/lib/cni/networks",
                "ranges": [[{"subnet": node.pod_network()}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    }))
}

/// kubelet on one node.
pub fn kubelet(layout: &Layout, node: Node) -> String {
    let (certificate, key) = layout.pair(&format!("kubelet-{node}"));
    let home = layout.node(node);
    pretty(&json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": node.address(), "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": layout.ca()},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": certificate, "tlsPrivateKeyFile": key,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}", node.cgroup()),
        "failCgroupV1": false, "failSwapOn": false, "oomScoreAdj": 0, "makeIPTablesUtilChains": false,
        "clusterDomain": DOMAIN, "clusterDNS": [HOST_ADDRESS], "resolvConf": home.settings().join("resolv.conf"),
        "volumePluginDir": home.kubelet().join("plugins"), "staticPodPath": "",
        "nodeStatusUpdateFrequency": "4s", "nodeLeaseDurationSeconds": 12,
        "maxPods": 60, "registryPullQPS": 0, "eventRecordQPS": 0, "serializeImagePulls": false,
        // Images cannot be fetched again, and the machine's disk is not ours to judge.
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "logging": {"verbosity": 1},
    }))
}

/// What pods that ask for the node's own name resolution get.
pub fn resolver() -> String {
    format!("nameserver {HOST_ADDRESS}\n")
}

/// The cluster's DNS. Names outside the cluster do not exist here: no scenario may depend on the outside.
pub fn corefile(layout: &Layout) -> String {
    let kubeconfig = shown(&layout.kubeconfig("coredns"));
    format!(
        "{DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {HOST_ADDRESS}
    errors
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig} kvorum-e2e
        ttl 5
    }}
}}
.:53 {{
    bind {HOST_ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"
    )
}

/// What the API server writes down: every change, by whom, and with which outcome; never a body.
pub fn audit_policy() -> String {
    pretty(&json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {"level": "None", "userGroups": ["system:nodes"]},
            {"level": "Metadata"},
        ],
    }))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value always has a text") + "\n"
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Base64 of a few kilobytes, once per cluster: no reason for a crate.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("" => "")]
    #[test_case("f" => "Zg==")]
    #[test_case("fo" => "Zm8=")]
    #[test_case("foo" => "Zm9v")]
    #[test_case("foobar" => "Zm9vYmFy")]
    fn base64_of_the_standard(text: &str) -> String {
        base64(text.as_bytes())
    }

    #[test]
    fn the_corefile_serves_the_bridge_alone() {
        assert!(corefile(&Layout::at("/state".into())).contains("bind 172.30.0.1\n"));
    }
}
