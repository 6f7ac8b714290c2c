//! Everything that the operator made is deleted, then edited, one after the other: it comes back within seconds, and what
//! somebody else added to it stays. A lost authority is the exception: it is told, not replaced. At rest the operator
//! writes nothing at all.

use crate::audit::Books;
use crate::kvcluster::{KvCluster, text};
use crate::operator;
use crate::world::{Namespace, with_temp_ns};
use anyhow::{Context, Result, ensure};
use kvorum_e2e::client::pause::pause;
use serde_json::{Value, json};
use std::time::Instant;

/// Within what time an object is back.
const BACK_SECONDS_MAX: f64 = 5.0;
/// How long a change of the cluster may take, in seconds; a busy machine included.
const CHANGE_SECONDS_MAX: u64 = 180;
/// How long the operator is watched doing nothing.
const REST_MS: u64 = 60_000;
/// The Secret that must not be replaced.
const AUTHORITY: &str = "demo-client-ca";

/// One object of each kind and purpose: where it is edited, and to what.
fn children() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        ("serviceaccounts", "demo", "/automountServiceAccountToken", json!(true)),
        ("networkpolicies", "demo", "/spec/ingress", json!([])),
        ("poddisruptionbudgets", "demo", "/spec/minAvailable", json!(0)),
        ("services", "demo-peers", "/spec/publishNotReadyAddresses", json!(false)),
        ("services", "demo-client", "/spec/ports/0/port", json!(9999)),
        ("configmaps", "demo-ca", "/data/ca.crt", json!("edited")),
        ("configmaps", "demo-1", "/data/member-id", json!("00000000000000ff")),
        // By this label the operator finds what it made.
        (
            "configmaps",
            "demo-0",
            "/metadata/labels/app.kubernetes.io~1managed-by",
            json!("somebody"),
        ),
        ("secrets", "demo-1-tls", "/data/server.crt", json!("ZWRpdGVk")),
        ("secrets", "demo-client-tls", "/data/tls.crt", json!("ZWRpdGVk")),
        ("secrets", "demo-operator-tls", "/data/tls.key", json!("ZWRpdGVk")),
        (
            "statefulsets",
            "demo-1",
            "/spec/template/spec/terminationGracePeriodSeconds",
            json!(7),
        ),
    ]
}

#[tokio::test]
async fn what_is_deleted_or_edited_comes_back() {
    with_temp_ns("drift", |ns| async move {
        operator::installed(&ns.api).await?;
        let cluster = KvCluster::create(&ns, 3).await?;
        cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
        let mut late = Vec::new();
        for (kind, name, place, edit) in children() {
            let deleted = delete(&ns, kind, name).await?;
            cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
            let edited = change(&ns, kind, name, place, &edit).await?;
            println!("{kind}/{name}: back {deleted:.1} s after its deletion, {edited:.1} s after an edit of {place}");
            late.extend((deleted.max(edited) >= BACK_SECONDS_MAX).then_some(name));
        }
        cluster.await_settled(3, CHANGE_SECONDS_MAX).await?;
        for (kind, name, ..) in children() {
            ensure!(
                has_their_label(&object(&ns, kind, name).await?),
                "{kind}/{name}: the label of somebody else is gone"
            );
        }
        ensure!(
            late.is_empty(),
            "back only after more than {BACK_SECONDS_MAX} s: {late:?}"
        );
        rest(&ns).await
    })
    .await;
}

#[tokio::test]
async fn a_lost_authority_is_told_and_not_replaced() {
    with_temp_ns("authority", |ns| async move {
        operator::installed(&ns.api).await?;
        let cluster = KvCluster::create(&ns, 1).await?;
        cluster.await_settled(1, CHANGE_SECONDS_MAX).await?;
        let mut kept = object(&ns, "secrets", AUTHORITY).await?;
        let published = object(&ns, "configmaps", "demo-ca").await?;
        ns.kubectl(&["delete", "secret", AUTHORITY]).await?;
        for kind in ["TLSReady", "ActionRequired"] {
            let told = || async {
                let condition = cluster.condition(kind).await?;
                Ok(condition.filter(|it| it["reason"] == "AuthorityLost"))
            };
            let told = ns.await_some(&format!("{kind} to say so"), 30, told).await?;
            println!("{kind}={}: {}", told["status"], told["message"]);
            ensure!(
                text(&told["message"]).starts_with(&format!("Secret {AUTHORITY} is lost: restore it from a backup")),
                "{told}"
            );
            ensure!(
                told["status"] == if kind == "TLSReady" { "False" } else { "True" },
                "{told}"
            );
        }
        ensure!(ns.get("secrets", AUTHORITY).await?.is_none(), "it was made anew");
        ensure!(
            object(&ns, "configmaps", "demo-ca").await?["data"] == published["data"],
            "another authority was published"
        );
        // Restored from the backup, as the sentence says.
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            kept["metadata"].as_object_mut().context("no metadata")?.remove(field);
        }
        ns.apply(&kept.to_string()).await?;
        cluster.await_settled(1, CHANGE_SECONDS_MAX).await.map(drop)
    })
    .await;
}

/// Deletes an object; says after how many seconds another one was there.
async fn delete(ns: &Namespace, kind: &str, name: &str) -> Result<f64> {
    let before = object(ns, kind, name).await?;
    let begun = Instant::now();
    ns.kubectl(&["delete", kind, name, "--wait=false"]).await?;
    let back = || async {
        let now = ns.get(kind, name).await?;
        Ok(now.is_some_and(|now| {
            now["metadata"]["uid"] != before["metadata"]["uid"] && now["metadata"]["deletionTimestamp"].is_null()
        }))
    };
    ns.await_condition(&format!("{kind}/{name} to be back"), 60, back)
        .await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Edits an object, and gives it a label that is nobody else's business; says after how many seconds the edit was undone.
async fn change(ns: &Namespace, kind: &str, name: &str, place: &str, edit: &Value) -> Result<f64> {
    ns.kubectl(&["label", kind, name, "example.com/theirs=stays"]).await?;
    let patch = json!([{"op": "replace", "path": place, "value": edit}]).to_string();
    let begun = Instant::now();
    ns.kubectl(&["patch", kind, name, "--type=json", "-p", &patch]).await?;
    let undone = || async {
        let now = object(ns, kind, name).await?;
        let found = now.pointer(place);
        Ok(found.is_some_and(|found| found != edit && !found.is_null()))
    };
    ns.await_condition(&format!("the edit of {kind}/{name} to be undone"), 60, undone)
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(
        has_their_label(&object(ns, kind, name).await?),
        "{kind}/{name}: the label of somebody else is gone"
    );
    Ok(seconds)
}

/// Watches the operator for a minute in which nothing happens.
async fn rest(ns: &Namespace) -> Result<()> {
    let counted = operator::writes_counted(&ns.api).await?;
    let books = Books::open()?;
    pause(REST_MS).await;
    let writes = operator::writes_counted(&ns.api).await? - counted;
    if let Some(books) = books {
        let all = books.operators_writes()?;
        let (leases, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(what, _)| what.contains(" leases "));
        println!(
            "at rest for {} s: {others:?}, and for its election {leases:?}",
            REST_MS / 1000
        );
        ensure!(others.is_empty(), "writes at rest: {others:?}");
        ensure!(
            !leases.is_empty(),
            "not even the Lease was renewed: these are not the right books"
        );
    }
    ensure!(writes == 0, "{writes} writes at rest, by the operator's own count");
    Ok(())
}

async fn object(ns: &Namespace, kind: &str, name: &str) -> Result<Value> {
    ns.get(kind, name)
        .await?
        .with_context(|| format!("{kind}/{name} is not there"))
}

fn has_their_label(object: &Value) -> bool {
    object["metadata"]["labels"]["example.com/theirs"] == "stays"
}
