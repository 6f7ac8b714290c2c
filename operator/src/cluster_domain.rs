//! The DNS domain of the Kubernetes cluster, read from the resolver configuration that the kubelet gives every pod.
//!
//! What it must keep true: without a telling line the usual `cluster.local` is taken, never nothing.
//!
//! Deliberately not here: any look-up over the network.

use std::path::Path;

/// The domain of nearly all clusters.
pub const USUAL: &str = "cluster.local";
/// Where the kubelet writes a pod's resolver configuration.
const RESOLVER_FILE: &str = "/etc/resolv.conf";

/// The domain as this pod's resolver configuration tells it.
#[must_use]
pub fn detect() -> String {
    let text = std::fs::read_to_string(Path::new(RESOLVER_FILE)).unwrap_or_default();
    parse(&text).unwrap_or_else(|| USUAL.to_owned())
}

/// Finds `svc.<domain>` among the search domains: the kubelet writes `<ns>.svc.<domain> svc.<domain> <domain>`.
fn parse(resolver: &str) -> Option<String> {
    let searches = resolver.lines().filter_map(|line| line.trim().strip_prefix("search"));
    let mut domains = searches.flat_map(str::split_whitespace);
    domains
        .find_map(|domain| domain.strip_prefix("svc."))
        .map(|domain| domain.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;
    use test_case::test_case;

    #[test_case("search ns.svc.kube.example svc.kube.example kube.example\nnameserver 10.0.0.1\n" => Some("kube.example".into()); "a pod")]
    #[test_case("nameserver 10.0.0.1\nsearch corp.example\n" => None; "a host")]
    #[test_case("" => None; "nothing")]
    #[test_case("search\tns.svc.cluster.local svc.cluster.local. cluster.local" => Some("cluster.local".into()); "tab and dot")]
    fn domains(resolver: &str) -> Option<String> {
        parse(resolver)
    }
}
