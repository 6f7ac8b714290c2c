//! The API server has the store forget its history, and lives with what is forgotten: a list that was begun before is told
//! that its revision expired, a new one is whole, and the store itself refuses the old revision.
//!
//! The cluster on this machine compacts every five seconds; elsewhere it is every five minutes as a rule.

use crate::api::{Api, own_layout, path_of};
use crate::world::with_temp_ns;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kvorum_e2e::cluster::topology::ETCD_PORT;
use serde_json::{Value, json};
use std::time::Instant;

/// Two compactions in a cluster with the API server's own interval, and some.
const COMPACTED_SECONDS_MAX: u64 = 660;
/// How often the object is changed, so that there is history to forget.
const CHANGES: u64 = 20;

#[tokio::test]
async fn old_revisions_are_forgotten_and_new_ones_are_not() {
    with_temp_ns("compaction", |ns| async move {
        let path = path_of("configmaps", &ns.name);
        for name in ["first", "second"] {
            ns.kubectl(&["create", "configmap", name, "--from-literal=count=0"])
                .await?;
        }
        let page = ns.api.get(&format!("{path}?limit=1")).await?.context("no list")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (revision, next) = (
            text(&page["metadata"]["resourceVersion"]),
            text(&page["metadata"]["continue"]),
        );
        ensure!(!next.is_empty(), "two objects fit on a page of one: {page}");
        for count in 1..=CHANGES {
            let change = json!({"data": {"count": count.to_string()}}).to_string();
            ns.kubectl(&["patch", "configmap", "first", "--type=merge", "--patch", &change])
                .await?;
        }

        let begun = Instant::now();
        let rest = format!("{path}?limit=1&continue={next}");
        let exact = format!("{path}?resourceVersion={revision}&resourceVersionMatch=Exact");
        for old in [&rest, &exact] {
            ns.await_condition("the old revision to expire", COMPACTED_SECONDS_MAX, || {
                expired(&ns.api, old)
            })
            .await?;
        }
        println!("revision {revision} expired after {:.1?}", begun.elapsed());
        if own_layout()?.is_some() {
            let said = ask_store(revision.parse()?).await?;
            ensure!(
                said["message"] == "etcdserver: mvcc: required revision has been compacted",
                "the store says {said}"
            );
            println!("the store says {}", said["message"]);
        }

        let first = ns.get("configmaps", "first").await?.context("the object is gone")?;
        let last = CHANGES.to_string();
        ensure!(first["data"]["count"] == last.as_str(), "it is {first}");
        let names: Vec<Value> = ns.list("configmaps", "").await?;
        ensure!(names.len() >= 2, "{} objects are left", names.len());
        Ok(())
    })
    .await;
}

/// Whether the API server refuses a list because its revision is forgotten. Any other refusal is an error.
async fn expired(api: &Api, path: &str) -> Result<bool> {
    let (status, body) = api.ask(Method::GET, path, 20).await?;
    if status.is_success() {
        return Ok(false);
    }
    let said: Value = serde_json::from_slice(&body)?;
    ensure!(
        status == StatusCode::GONE && said["reason"] == "Expired",
        "{path}: {status}: {said}"
    );
    Ok(true)
}

/// What the store of the cluster on this machine says to a read of this revision.
async fn ask_store(revision: i64) -> Result<Value> {
    let request = Request::post(format!("http://127.0.0.1:{ETCD_PORT}/v3/kv/range"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(
            json!({"key": "YQ==", "revision": revision}).to_string(),
        )))?;
    let response = Client::builder(TokioExecutor::new())
        .build_http()
        .request(request)
        .await?;
    Ok(serde_json::from_slice(
        &response.into_body().collect().await?.to_bytes(),
    )?)
}
