//! The CRD's CEL rules, evaluated without an API server: what is refused, and with which sentence.
//!
//! Types, enums and lengths are the API server's to check and are not looked at here; `e2e` dry-runs bad specs against a
//! real one.

// Whole files of tests: here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]

use kube::core::cel::{validate_cel, validate_cel_update};
use kvorum_crd::KvCluster;
use serde_json::{Value, json};
use test_case::test_case;

fn resource(name: &str, spec: Value) -> KvCluster {
    KvCluster::new(name, serde_json::from_value(spec).unwrap())
}

fn refusal(result: Result<(), impl std::fmt::Display>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test_case(json!({}); "all defaults")]
#[test_case(json!({"replicas": 7, "storage": {"size": "512Mi", "storageClassName": "fast", "reclaim": "Delete"}}); "storage")]
#[test_case(json!({"image": "registry.example.com:5000/kvorum@sha256:00ff"}); "an image by digest")]
#[test_case(json!({"pod": {"labels": {"team": "a"}, "annotations": {"x/y": "z"}}}); "labels of one's own")]
fn accepted(spec: Value) {
    assert_eq!(refusal(validate_cel(&resource("demo", spec))), "");
}

#[test_case(json!({"replicas": 2}), "replicas must be 1, 3, 5 or 7"; "even")]
#[test_case(json!({"replicas": 0}), "replicas must be 1, 3, 5 or 7"; "none")]
#[test_case(json!({"replicas": 9}), "replicas must be 1, 3, 5 or 7"; "too many")]
#[test_case(json!({"version": "3.5.0"}), "version must be one that this operator knows: 0.1.0"; "version")]
#[test_case(json!({"image": "kvorum 0.1.0"}), "image must be a reference without spaces"; "image")]
#[test_case(json!({"storage": {"size": "10"}}), "storage.size must be a whole number with a unit"; "no unit")]
#[test_case(json!({"storage": {"size": "-1Gi"}}), "storage.size must be a whole number with a unit"; "negative")]
#[test_case(json!({"pod": {"labels": {"kvorum.dev/member": "x"}}}), "pod.labels may hold any label but"; "a label of ours")]
#[test_case(json!({"pod": {"labels": {"app.kubernetes.io/name": "x"}}}), "pod.labels may hold any label but"; "the name label")]
#[test_case(json!({"pod": {"annotations": {"kvorum.dev/x": "x"}}}), "pod.annotations may hold any annotation but"; "an annotation of ours")]
fn refused(spec: Value, sentence: &str) {
    let said = refusal(validate_cel(&resource("demo", spec)));
    assert!(said.contains(sentence), "{said:?}");
}

#[test_case("abcdefghijabcdefghijabcdefghijabcdefghij", ""; "40 characters")]
#[test_case("abcdefghijabcdefghijabcdefghijabcdefghijk", "metadata.name must be at most 40 characters"; "41 characters")]
#[test_case("1demo", "metadata.name must be at most 40 characters"; "a digit first")]
#[test_case("de.mo", "metadata.name must be at most 40 characters"; "a dot")]
fn names(name: &str, sentence: &str) {
    let said = refusal(validate_cel(&resource(name, json!({}))));
    assert!(
        said.contains(sentence) && said.is_empty() == sentence.is_empty(),
        "{said:?}"
    );
}

#[test_case(json!({"storage": {"size": "1Gi"}}), json!({"storage": {"size": "1Gi"}}), ""; "unchanged")]
#[test_case(json!({"storage": {"size": "1Gi"}}), json!({"storage": {"size": "1024Mi"}}), ""; "the same in other words")]
#[test_case(json!({"storage": {"size": "2Gi"}}), json!({"storage": {"size": "1Gi"}}), "storage.size cannot shrink"; "shrinking")]
#[test_case(json!({"storage": {"size": "1Gi"}}), json!({"storage": {"size": "2Gi"}}), "storage.size cannot grow yet"; "growing")]
#[test_case(json!({"storage": {"storageClassName": "a"}}), json!({"storage": {"storageClassName": "b"}}), "storage.storageClassName cannot be changed"; "another class")]
#[test_case(json!({}), json!({"storage": {"storageClassName": "b"}}), "storage.storageClassName cannot be added or removed"; "a class added")]
#[test_case(json!({"storage": {"storageClassName": "a"}}), json!({}), "storage.storageClassName cannot be added or removed"; "a class removed")]
#[test_case(json!({"replicas": 3}), json!({"replicas": 5, "storage": {"reclaim": "Delete"}}), ""; "what may change")]
fn changes(old: Value, new: Value, sentence: &str) {
    let said = refusal(validate_cel_update(&resource("demo", new), &resource("demo", old)));
    assert!(
        said.contains(sentence) && said.is_empty() == sentence.is_empty(),
        "{said:?}"
    );
}

#[test]
fn every_field_of_the_spec_is_described() {
    let crd = serde_yaml::from_str::<Value>(&kvorum_crd::generate::kvclusters().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    for part in ["spec", "status"] {
        let fields = schema[part]["properties"].as_object().unwrap();
        for (name, field) in fields {
            assert!(field["description"].is_string(), "{part}.{name} has no description");
        }
    }
}

#[test]
fn the_versions_in_the_rule_are_those_we_know() {
    for version in kvorum_crd::cluster::KNOWN_VERSIONS {
        assert_eq!(
            refusal(validate_cel(&resource("demo", json!({"version": version})))),
            ""
        );
    }
    for replicas in kvorum_crd::cluster::KNOWN_REPLICAS {
        assert_eq!(
            refusal(validate_cel(&resource("demo", json!({"replicas": replicas})))),
            ""
        );
    }
}
