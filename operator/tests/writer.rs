//! What reaches the API server when an object is made as wanted: nothing at rest, one apply when it was edited, and
//! deletions that name the very object. The API server here is a function that records what it is asked.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::client::Body;
use kvorum_operator::apply::Writer;
use kvorum_operator::leader::Candidate;
use kvorum_operator::leader::election::Timing;
use kvorum_operator::metrics::Metrics;
use serde_json::{Value, json};

/// One call as it arrived: method, path with query, body.
type Call = (Method, String, Value);

/// An API server that answers with what `answer` makes of each call.
fn server(answer: impl Fn(&Call) -> (StatusCode, Value) + Send + Sync + 'static) -> (Client, Arc<Mutex<Vec<Call>>>) {
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (recorded, answer) = (calls.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (recorded, answer) = (recorded.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let call = (
                parts.method,
                parts.uri.to_string(),
                serde_json::from_slice(&bytes).unwrap_or_default(),
            );
            let (status, body) = answer(&call);
            recorded.lock().unwrap().push(call);
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }
    });
    (Client::new(service, "ns"), calls)
}

fn config(value: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some("demo".into()),
        namespace: Some("ns".into()),
        ..ObjectMeta::default()
    };
    ConfigMap {
        metadata,
        data: Some(BTreeMap::from([("key".into(), value.into())])),
        ..ConfigMap::default()
    }
}

/// What the API server holds after `wanted` was applied: the object as it was sent.
async fn applied(wanted: ConfigMap) -> ConfigMap {
    let (client, calls) = server(|call| (StatusCode::OK, call.2.clone()));
    let metrics = Metrics::default();
    assert!(
        Writer {
            client,
            namespace: "ns",
            metrics: &metrics
        }
        .ensure(None, wanted)
        .await
        .unwrap()
    );
    let (method, path, body) = calls.lock().unwrap()[0].clone();
    assert_eq!(method, Method::PATCH);
    assert!(path.starts_with("/api/v1/namespaces/ns/configmaps/demo?"), "{path}");
    assert!(
        path.contains("fieldManager=kvorum-operator") && path.contains("force=true"),
        "{path}"
    );
    serde_json::from_value(body).unwrap()
}

/// How many calls are made when `live` is there and `wanted` is wanted.
async fn calls_for(live: &ConfigMap, wanted: ConfigMap) -> usize {
    let (client, calls) = server(|call| (StatusCode::OK, call.2.clone()));
    let metrics = Metrics::default();
    Writer {
        client,
        namespace: "ns",
        metrics: &metrics,
    }
    .ensure(Some(live), wanted)
    .await
    .unwrap();
    calls.lock().unwrap().len()
}

#[tokio::test]
async fn nothing_is_written_at_rest() {
    let mut live = applied(config("a")).await;
    assert_eq!(calls_for(&live, config("a")).await, 0);
    // What others add is no reason to write.
    live.metadata.labels = Some(BTreeMap::from([("theirs".into(), "stays".into())]));
    live.data.as_mut().unwrap().insert("theirs".into(), "stays".into());
    assert_eq!(calls_for(&live, config("a")).await, 0);
}

#[tokio::test]
async fn an_edit_of_ours_a_new_wish_and_a_dropped_wish_are_written() {
    let live = applied(config("a")).await;
    let mut edited = live.clone();
    edited.data.as_mut().unwrap().insert("key".into(), "edited".into());
    assert_eq!(calls_for(&edited, config("a")).await, 1);
    assert_eq!(calls_for(&live, config("b")).await, 1);
    // The live object says all that is still wanted; only the digest tells that something is wanted no more.
    let dropped = ConfigMap {
        data: None,
        ..config("a")
    };
    assert_eq!(calls_for(&live, dropped).await, 1);
}

/// A Service with a port of this number, called `client`.
fn service(port: i32) -> Service {
    let service = json!({"metadata": {"name": "demo", "namespace": "ns", "resourceVersion": "7"},
        "spec": {"type": "ClusterIP", "ports": [{"name": "client", "port": port}]}});
    serde_json::from_value(service).unwrap()
}

#[tokio::test]
async fn an_edited_key_of_a_list_is_overwritten_where_apply_would_only_add_beside_it() {
    // The edited element is somebody else's to the API server, and two of one name are invalid.
    let invalid = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid", "message": "Duplicate value"});
    let cleared = AtomicBool::new(false);
    let (client, calls) = server(move |(_, path, body)| {
        let apply = path.contains("force=true");
        if !apply {
            cleared.store(true, Ordering::Relaxed);
        }
        if cleared.load(Ordering::Relaxed) {
            (StatusCode::OK, body.clone())
        } else {
            (StatusCode::UNPROCESSABLE_ENTITY, invalid.clone())
        }
    });
    let metrics = Metrics::default();
    let writer = Writer {
        client,
        namespace: "ns",
        metrics: &metrics,
    };
    assert!(writer.ensure(Some(&service(9999)), service(2379)).await.unwrap());
    let calls = calls.lock().unwrap();
    let [_, (method, path, body), (_, last, _)] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!(*method, Method::PATCH);
    assert!(path.contains("fieldManager=kvorum-operator"), "{path}");
    let lists = json!({"metadata": {"resourceVersion": "7"}, "spec": {"ports": [{"name": "client", "port": 2379}]}});
    assert_eq!(*body, lists);
    assert!(last.contains("force=true"), "{last}");
}

#[tokio::test]
async fn what_is_invalid_for_other_reasons_fails() {
    let invalid = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid", "message": "field is immutable"});
    let (client, calls) = server(move |_| (StatusCode::UNPROCESSABLE_ENTITY, invalid.clone()));
    let metrics = Metrics::default();
    let writer = Writer {
        client,
        namespace: "ns",
        metrics: &metrics,
    };
    // No list differs.
    assert!(writer.ensure(Some(&config("a")), config("b")).await.is_err());
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_deletion_names_the_very_object_and_one_that_is_gone_is_no_failure() {
    for (status, fine) in [
        (StatusCode::OK, true),
        (StatusCode::NOT_FOUND, true),
        (StatusCode::CONFLICT, true),
        (StatusCode::FORBIDDEN, false),
    ] {
        let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": status.as_u16(), "reason": "", "message": ""});
        let (client, calls) = server(move |_| (status, answer.clone()));
        let metrics = Metrics::default();
        let mut live = config("a");
        live.metadata.uid = Some("uid-1".into());
        live.metadata.resource_version = Some("7".into());
        let deleted = Writer {
            client,
            namespace: "ns",
            metrics: &metrics,
        }
        .delete(&live)
        .await;
        assert_eq!(deleted.is_ok(), fine, "{status}");
        let (method, _, body) = calls.lock().unwrap()[0].clone();
        assert_eq!(method, Method::DELETE);
        assert_eq!(body["preconditions"], json!({"uid": "uid-1", "resourceVersion": "7"}));
    }
}

#[tokio::test]
async fn a_creation_never_overwrites() {
    let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409, "reason": "AlreadyExists", "message": ""});
    let (client, calls) = server(move |_| (StatusCode::CONFLICT, answer.clone()));
    let metrics = Metrics::default();
    assert!(
        Writer {
            client,
            namespace: "ns",
            metrics: &metrics
        }
        .create(config("a"))
        .await
        .is_err()
    );
    assert_eq!(calls.lock().unwrap()[0].0, Method::POST);
}

/// A Lease as an API server keeps it: replaced only by a writer that has seen its latest version.
fn lease_server() -> Client {
    let kept: Mutex<Option<(u64, Value)>> = Mutex::new(None);
    let (client, _) = server(move |(method, _, body)| {
        let mut kept = kept.lock().unwrap();
        let versioned = |version: u64, mut body: Value| {
            body["metadata"]["resourceVersion"] = json!(version.to_string());
            (version, body)
        };
        let refused = |code: u16, reason: &str| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": ""});
            (StatusCode::from_u16(code).unwrap(), status)
        };
        let seen = body["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|version| version.parse().ok());
        match (method.as_str(), &*kept) {
            ("GET", Some((_, lease))) => return (StatusCode::OK, lease.clone()),
            ("GET", None) => return refused(404, "NotFound"),
            ("POST", None) => *kept = Some(versioned(1, body.clone())),
            ("PUT", Some((version, _))) if seen == Some(*version) => *kept = Some(versioned(version + 1, body.clone())),
            _ => return refused(409, "Conflict"),
        }
        (StatusCode::OK, kept.as_ref().unwrap().1.clone())
    });
    client
}

fn candidate(client: &Client, name: &str) -> Candidate {
    let timing = Timing {
        lease: std::time::Duration::from_secs(1),
        renew_deadline: std::time::Duration::from_millis(600),
        retry: std::time::Duration::from_millis(50),
    };
    Candidate::new(
        kube::Api::namespaced(client.clone(), "ns"),
        "kvorum-operator",
        name,
        timing,
    )
}

#[tokio::test]
async fn leadership_passes_on_by_release_and_by_silence_with_a_higher_epoch_each_time() {
    let client = lease_server();
    let (mut a, mut b, mut c) = (
        candidate(&client, "a"),
        candidate(&client, "b"),
        candidate(&client, "c"),
    );
    a.acquire().await;
    assert_eq!(a.leadership().epoch(), Some(1));
    // Released: the next one need not wait for the lease to run out.
    a.release().await;
    assert!(!a.leadership().leads());
    b.acquire().await;
    assert_eq!(b.leadership().epoch(), Some(2));
    // Silent: `b` stops renewing, and `c` takes over after the lease's duration.
    c.acquire().await;
    assert!(
        !b.leadership().leads(),
        "the old leader has stopped acting before the new one starts"
    );
    assert_eq!(c.leadership().epoch(), Some(3));
    // `b` wakes up: it must learn that it lost, and not win the lease back.
    b.keep().await;
    assert_eq!((b.leadership().epoch(), c.leadership().leads()), (None, true));
}
