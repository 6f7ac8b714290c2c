//! Specs that make no sense: the API server itself refuses them, with a sentence that says what is allowed, and nothing is
//! made of them.

use crate::operator;
use crate::world::{Namespace, with_temp_ns};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Specs that are refused when they are new, and a part of the sentence.
fn new_specs() -> Vec<(&'static str, Value, &'static str)> {
    let long = "a-name-that-leaves-no-room-for-its-pods-x";
    vec![
        ("demo", json!({"replicas": 2}), "replicas must be 1, 3, 5 or 7"),
        ("demo", json!({"replicas": 0}), "replicas must be 1, 3, 5 or 7"),
        ("demo", json!({"replicas": -3}), "replicas must be 1, 3, 5 or 7"),
        ("demo", json!({"replicas": 9}), "replicas must be 1, 3, 5 or 7"),
        (
            "demo",
            json!({"version": "9.9.9"}),
            "version must be one that this operator knows: 0.1.0",
        ),
        (
            "demo",
            json!({"storage": {"size": "10"}}),
            "storage.size must be a whole number with a unit",
        ),
        (
            "demo",
            json!({"storage": {"size": "0Gi"}}),
            "storage.size must be a whole number with a unit",
        ),
        (
            "demo",
            json!({"image": "two words"}),
            "image must be a reference without spaces",
        ),
        (
            "demo",
            json!({"storage": {"reclaim": "Shred"}}),
            r#"supported values: "Retain", "Delete""#,
        ),
        (
            "demo",
            json!({"tls": {"clientAuth": "Maybe"}}),
            r#"supported values: "Optional", "Required""#,
        ),
        (
            "demo",
            json!({"pod": {"labels": {"kvorum.dev/member": "x"}}}),
            "pod.labels may hold any label but",
        ),
        (
            "demo",
            json!({"pod": {"annotations": {"kvorum.dev/template-hash": "x"}}}),
            "pod.annotations may hold any annotation but",
        ),
        (
            "demo",
            json!({"replica": 3}),
            ".spec.replica: field not declared in schema",
        ),
        (long, json!({}), "metadata.name must be at most 40 characters"),
        ("0demo", json!({}), "start with a lower-case letter"),
        ("de.mo", json!({}), "hold only lower-case letters, digits and '-'"),
    ]
}

/// Changes that are refused of a cluster of three with 2Gi on the class `standard`, and a part of the sentence.
fn changes() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"replicas": 4}), "replicas must be 1, 3, 5 or 7"),
        (json!({"storage": {"size": "1Gi"}}), "storage.size cannot shrink"),
        (json!({"storage": {"size": "3Gi"}}), "storage.size cannot grow yet"),
        (
            json!({"storage": {"storageClassName": "local"}}),
            "storage.storageClassName cannot be changed",
        ),
        (
            json!({"storage": {"storageClassName": null}}),
            "storage.storageClassName cannot be added or removed",
        ),
        (
            json!({"version": "0.0.9"}),
            "version must be one that this operator knows",
        ),
    ]
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    with_temp_ns("refused", |ns| async move {
        operator::installed(&ns.api).await?;
        for (name, spec, sentence) in new_specs() {
            expect_refusal(&spec, sentence, ns.apply(&manifest(name, &spec)).await)?;
        }
        ensure!(
            ns.list("kvclusters", "").await?.is_empty(),
            "something that was refused is there"
        );
        // Paused at birth by a class that nobody serves: this scenario is about words, and needs no pods.
        let sound = json!({"storage": {"size": "2Gi", "storageClassName": "standard"}, "pod": {"nodeSelector": {"none": "such"}}});
        ns.apply(&manifest("sound", &sound)).await?;
        for (spec, sentence) in changes() {
            let patch = json!({"spec": spec}).to_string();
            let changed = ns.kubectl(&["patch", "kvc", "sound", "--type=merge", "-p", &patch]).await;
            expect_refusal(&spec, sentence, changed.map(drop))?;
        }
        let scaled = ns.kubectl(&["scale", "kvc", "sound", "--replicas=4"]).await;
        expect_refusal(&json!("scale to 4"), "replicas must be 1, 3, 5 or 7", scaled.map(drop))?;
        nothing_changed(&ns, &sound).await
    })
    .await;
}

async fn nothing_changed(ns: &Namespace, spec: &Value) -> Result<()> {
    let kept = ns.get("kvclusters", "sound").await?.unwrap_or_default();
    ensure!(kept["metadata"]["generation"] == 1, "the spec has changed: {kept}");
    ensure!(
        kept["spec"]["storage"]["size"] == spec["storage"]["size"] && kept["spec"]["replicas"] == 3,
        "the spec has changed: {kept}"
    );
    Ok(())
}

fn manifest(name: &str, spec: &Value) -> String {
    let metadata = json!({"name": name});
    json!({"apiVersion": "kvorum.dev/v1alpha1", "kind": "KvCluster", "metadata": metadata, "spec": spec}).to_string()
}

fn expect_refusal(spec: &Value, sentence: &str, outcome: Result<()>) -> Result<()> {
    let Err(refusal) = outcome else {
        anyhow::bail!("{spec} was accepted");
    };
    let refusal = format!("{refusal:#}");
    ensure!(
        refusal.contains(sentence),
        "{spec} was refused without saying {sentence:?}: {refusal}"
    );
    let told = refusal.lines().find(|line| line.contains(sentence)).unwrap_or_default();
    println!("{spec}: {}", &told[told.find(sentence).unwrap_or_default()..]);
    Ok(())
}
