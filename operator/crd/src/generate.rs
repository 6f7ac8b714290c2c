//! The CRDs as YAML, as they are checked in under `crds/`.

use crate::KvCluster;
use kube::CustomResourceExt;

/// File name, below `crds/`, of the one CRD.
pub const KVCLUSTERS_FILE: &str = "kvclusters.kvorum.dev.yaml";

const HEADER: &str = "# Generated from operator/crd by `make crds`; edit the Rust types, not this file.\n";

/// The CRD of `KvCluster` as YAML.
///
/// # Errors
/// Only when a schema cannot be written as YAML, which no schema of ours does.
pub fn kvclusters() -> Result<String, serde_yaml::Error> {
    Ok(format!("{HEADER}{}", serde_yaml::to_string(&KvCluster::crd())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_in_file_is_what_the_types_say() {
        let path = format!("{}/../../crds/{KVCLUSTERS_FILE}", env!("CARGO_MANIFEST_DIR"));
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == kvclusters().unwrap(),
            "crds/{KVCLUSTERS_FILE} differs from the Rust types; run `cargo run -p kvorum-crd --bin crdgen -- crds`"
        );
    }
}
