//! Many objects: what the store under the API server must do for Kubernetes itself. Lists in chunks are complete and at one
//! revision, a watch tells every change once and in order, and the API server calls itself ready.
//!
//! `KVORUM_OBJECTS` says how many; with the store swapped (`kvorum-e2e up --store kvorum`) it is Kvorum that is tested.

use crate::api::{Api, path_of};
use crate::world::{number, with_temp_ns};
use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Objects in an ordinary run.
const OBJECTS: u64 = 400;
/// Objects on one page of a list.
const PAGE: usize = 150;
/// Calls under way at once.
const CALLERS: usize = 16;
/// How long the watch may take to tell what was done.
const WATCH_MAX: Duration = Duration::from_secs(120);

#[tokio::test]
async fn lists_are_whole_and_watches_complete() {
    with_temp_ns("many", |ns| async move {
        let count = usize::try_from(number("KVORUM_OBJECTS", OBJECTS)?)?;
        let path = path_of("configmaps", &ns.name);
        let before = ns.api.get(&path).await?.context("no list")?;
        let from = before["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let watch = format!("{path}?watch=1&resourceVersion={from}&labelSelector=many%3Dyes");
        let watching = ns.api.send(Method::GET, &watch, Default::default()).await?;
        ensure!(watching.status().is_success(), "{watch}: {}", watching.status());
        let told = tokio::spawn(tell(watching.into_body(), 2 * count));

        let begun = Instant::now();
        let numbers: Vec<usize> = (0..count).collect();
        let made = numbers.chunks(count.div_ceil(CALLERS)).map(|numbers| {
            let (api, path, numbers) = (ns.api.clone(), path.clone(), numbers.to_vec());
            tokio::spawn(async move { make(&api, &path, &numbers).await })
        });
        for made in made.collect::<Vec<_>>() {
            made.await??;
        }
        println!("{count} objects made in {:.1?}", begun.elapsed());

        let begun = Instant::now();
        let names = list(&ns.api, &path).await?;
        ensure!(names.len() == count, "{} of {count} are listed", names.len());
        println!("listed in chunks of {PAGE} in {:.1?}", begun.elapsed());

        let (status, body) = ns
            .api
            .ask(Method::DELETE, &format!("{path}?labelSelector=many%3Dyes"), 120)
            .await?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        let told = tokio::time::timeout(WATCH_MAX, told)
            .await
            .context("the watch does not tell everything")???;
        check(&told, count)?;
        println!("the watch told {} changes, each once and in order", told.len());

        let (status, body) = ns.api.ask(Method::GET, "readyz", 20).await?;
        ensure!(
            status.is_success() && body == "ok",
            "readyz: {status} {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    })
    .await;
}

async fn make(api: &Api, path: &str, numbers: &[usize]) -> Result<()> {
    for number in numbers {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": format!("many-{number:05}"), "labels": {"many": "yes"}},
            "data": {"number": number.to_string()},
        });
        api.create(path, &object).await?;
    }
    Ok(())
}

/// All names, read page by page; every page is at the revision of the first.
async fn list(api: &Api, path: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut next = String::new();
    let mut revision: Option<String> = None;
    loop {
        let url = format!("{path}?labelSelector=many%3Dyes&limit={PAGE}&continue={next}");
        let page = api.get(&url).await?.context("no list")?;
        let at = page["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ensure!(
            revision.get_or_insert(at.clone()) == &at,
            "the pages are at {revision:?} and at {at}"
        );
        for item in page["items"].as_array().into_iter().flatten() {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            ensure!(names.last().is_none_or(|last| *last < name), "{name} is out of order");
            names.insert(name);
        }
        next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(names);
        }
    }
}

/// A change that a watch told: its kind, the object's name and its revision.
type Told = (String, String, u64);

/// The first `count` changes that a watch tells.
async fn tell(mut body: Incoming, count: usize) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    let mut buffer = BytesMut::new();
    while told.len() < count {
        let frame = body.frame().await.context("the watch ended")??;
        if let Ok(data) = frame.into_data() {
            buffer.extend_from_slice(&data);
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end + 1);
            told.extend(change(&serde_json::from_slice(&line)?)?);
        }
    }
    Ok(told)
}

fn change(event: &Value) -> Result<Option<Told>> {
    let (kind, metadata) = (event["type"].as_str().unwrap_or_default(), &event["object"]["metadata"]);
    ensure!(kind != "ERROR", "the watch says {event}");
    if kind == "BOOKMARK" {
        return Ok(None);
    }
    let revision = metadata["resourceVersion"].as_str().unwrap_or_default().parse()?;
    let name = metadata["name"].as_str().unwrap_or_default();
    Ok(Some((kind.to_owned(), name.to_owned(), revision)))
}

fn check(told: &[Told], count: usize) -> Result<()> {
    let rising = told.windows(2).all(|pair| pair[0].2 < pair[1].2);
    ensure!(rising, "revisions do not rise");
    for kind in ["ADDED", "DELETED"] {
        let names: BTreeSet<&str> = told
            .iter()
            .filter(|(told, ..)| told == kind)
            .map(|(_, name, _)| name.as_str())
            .collect();
        ensure!(names.len() == count, "{} of {count} were told as {kind}", names.len());
    }
    Ok(())
}
