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
    use test_case::test_case;

    #[test_case("crds"; "for everybody")]
    #[test_case("charts/kvorum-operator/files"; "the chart's copy")]
    fn checked_in_file_is_what_the_types_say(folder: &str) {
        let path = format!("{}/../../{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&path).unwrap();
        let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, [KVCLUSTERS_FILE], "{folder}");
        let checked_in = std::fs::read_to_string(format!("{path}/{KVCLUSTERS_FILE}")).unwrap();
        assert!(
            checked_in == kvclusters().unwrap(),
            "{folder}/{KVCLUSTERS_FILE} differs from the Rust types; run make crds"
        );
    }
}
