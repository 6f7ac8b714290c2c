//! From the raw resource to `Cluster`: the only place where a spec can be refused.
//!
//! The CRD's CEL rules refuse the same things earlier; this is for resources that were stored before a rule existed, and
//! it is where the spec becomes typed.

use crate::cluster::{Cluster, Pod, Replicas, Settings, Storage};
use crate::names::{BadName, ClusterName};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kvorum_crd::cluster::{KNOWN_REPLICAS, KNOWN_VERSIONS};
use kvorum_crd::{KvCluster, cluster as crd};

/// Why a spec was refused, as a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name does not fit.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The API server always sets these.
    #[error("the resource has no {0}, which the API server sets")]
    Incomplete(&'static str),
    /// An even or unknown number.
    #[error(
        "replicas must be 1, 3, 5 or 7, not {0}: an even number tolerates no more failures than the odd number below it"
    )]
    Replicas(i32),
    /// A version that this operator does not know.
    #[error("version must be one that this operator knows ({known}), not {asked:?}", known = KNOWN_VERSIONS.join(", "))]
    Version {
        /// What was asked for.
        asked: String,
    },
    /// A size that is no size.
    #[error("storage.size must be a whole number with a unit, such as 512Mi, 10Gi or 1Ti, not {0:?}")]
    Size(String),
}

impl Cluster {
    /// Validates a resource.
    ///
    /// # Errors
    /// When the spec makes no sense; the message says what is allowed.
    pub fn parse(resource: &KvCluster, settings: &Settings) -> Result<Self, Refusal> {
        let spec = &resource.spec;
        let metadata = &resource.metadata;
        if !KNOWN_VERSIONS.contains(&spec.version.as_str()) {
            return Err(Refusal::Version {
                asked: spec.version.clone(),
            });
        }
        let default_image = || settings.node_image.replace("{version}", &spec.version);
        Ok(Self {
            name: ClusterName::new(metadata.name.as_deref().ok_or(Refusal::Incomplete("name"))?)?,
            namespace: metadata.namespace.clone().ok_or(Refusal::Incomplete("namespace"))?,
            uid: metadata.uid.clone().ok_or(Refusal::Incomplete("uid"))?,
            generation: metadata.generation.unwrap_or_default(),
            cluster_domain: settings.cluster_domain.clone(),
            replicas: replicas(spec.replicas)?,
            version: spec.version.clone(),
            image: spec.image.clone().unwrap_or_else(default_image),
            image_pull_policy: spec.image_pull_policy,
            image_pull_secrets: spec.image_pull_secrets.clone(),
            storage: storage(&spec.storage)?,
            resources: spec.resources.as_ref().map(resources),
            client_auth: spec.tls.client_auth,
            pod: pod(&spec.pod),
        })
    }
}

fn replicas(asked: i32) -> Result<Replicas, Refusal> {
    match u32::try_from(asked) {
        Ok(number) if KNOWN_REPLICAS.contains(&asked) => Ok(Replicas(number)),
        Ok(_) | Err(_) => Err(Refusal::Replicas(asked)),
    }
}

fn storage(asked: &crd::Storage) -> Result<Storage, Refusal> {
    let size = &asked.size;
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if !number || !["Mi", "Gi", "Ti", "M", "G", "T"].contains(&&size[digits.len()..]) {
        return Err(Refusal::Size(size.clone()));
    }
    Ok(Storage {
        size: Quantity(size.clone()),
        class: asked.storage_class_name.clone(),
        reclaim: asked.reclaim,
    })
}

fn resources(asked: &crd::Resources) -> ResourceRequirements {
    let some = |map: &std::collections::BTreeMap<String, Quantity>| (!map.is_empty()).then(|| map.clone());
    ResourceRequirements {
        claims: None,
        limits: some(&asked.limits),
        requests: some(&asked.requests),
    }
}

fn pod(asked: &crd::Pod) -> Pod {
    Pod {
        labels: asked.labels.clone(),
        annotations: asked.annotations.clone(),
        node_selector: asked.node_selector.clone(),
        tolerations: asked.tolerations.clone(),
        affinity: asked.affinity.clone(),
        topology_spread_constraints: asked.topology_spread_constraints.clone(),
        priority_class_name: asked.priority_class_name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn resource(spec: serde_json::Value) -> KvCluster {
        let mut resource = KvCluster::new("demo", serde_json::from_value(spec).unwrap());
        resource.metadata.namespace = Some("ns".to_owned());
        resource.metadata.uid = Some("uid".to_owned());
        resource
    }

    #[test]
    fn an_empty_spec_is_a_cluster_of_three() {
        let cluster = Cluster::parse(&resource(serde_json::json!({})), &Settings::default()).unwrap();
        assert_eq!(cluster.replicas, Replicas(3));
        assert_eq!(cluster.image, "registry.kvorum.dev/kvorum:0.1.0");
        assert_eq!(cluster.storage.size, Quantity("1Gi".to_owned()));
    }

    #[test_case(serde_json::json!({}), "mirror.example:5000/kv:0.1.0"; "the operator's, with the version put in")]
    #[test_case(serde_json::json!({"image": "own/kv@sha256:00ff"}), "own/kv@sha256:00ff"; "the cluster's own")]
    fn images(spec: serde_json::Value, image: &str) {
        let settings = Settings {
            node_image: "mirror.example:5000/kv:{version}".to_owned(),
            ..Settings::default()
        };
        assert_eq!(Cluster::parse(&resource(spec), &settings).unwrap().image, image);
    }

    #[test_case(serde_json::json!({"replicas": 2}), "replicas must be 1, 3, 5 or 7, not 2"; "even")]
    #[test_case(serde_json::json!({"replicas": -1}), "replicas must be 1, 3, 5 or 7, not -1"; "negative")]
    #[test_case(serde_json::json!({"version": "9"}), "version must be one that this operator knows (0.1.0), not \"9\""; "version")]
    #[test_case(serde_json::json!({"storage": {"size": "10"}}), "storage.size must be a whole number with a unit"; "no unit")]
    #[test_case(serde_json::json!({"storage": {"size": "0Gi"}}), "storage.size must be a whole number with a unit"; "zero")]
    #[test_case(serde_json::json!({"storage": {"size": "1.5Gi"}}), "storage.size must be a whole number with a unit"; "fraction")]
    fn refusals(spec: serde_json::Value, sentence: &str) {
        let refusal = Cluster::parse(&resource(spec), &Settings::default()).unwrap_err();
        assert!(refusal.to_string().starts_with(sentence), "{refusal}");
    }
}
