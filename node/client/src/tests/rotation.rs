//! Which endpoint is asked, how often, and what is never sent twice.

use std::time::Duration;

use super::server::{Reply, Server, nobody};
use super::{client, told};
use crate::{Client, Config, Error};
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest, request_op::Request};
use test_case::test_case;

const UNAVAILABLE: &str = r#"{"code":14,"message":"etcdserver: no leader"}"#;

async fn ready() -> Server {
    Server::start(|_| Reply::Json(200, "{}".into())).await
}

fn range_txn() -> TxnRequest {
    let request = Some(Request::RequestRange(RangeRequest::default()));
    TxnRequest {
        success: vec![RequestOp { request }],
        ..TxnRequest::default()
    }
}

#[tokio::test]
async fn even_a_write_goes_on_when_nobody_listens() {
    let ready = ready().await;
    let client = Client::new(Config::plaintext([nobody().await, ready.url()])).unwrap();
    client.put(&PutRequest::default()).await.unwrap();
    client.put(&PutRequest::default()).await.unwrap();
    assert_eq!(ready.seen().len(), 2);
}

#[test_case(|| Reply::Json(503, UNAVAILABLE.into()), "Refused: etcdserver: no leader"; "that cannot serve")]
#[test_case(|| Reply::HangUp, "Broken: the connection to FIRST broke before the answer was complete"; "that hangs up")]
#[tokio::test]
async fn from_a_member(reply: fn() -> Reply, told_by_write: &str) {
    let (first, second) = (Server::start(move |_| reply()).await, ready().await);

    client(&[&first, &second])
        .range(&RangeRequest::default())
        .await
        .unwrap();
    client(&[&first, &second]).txn(&range_txn()).await.unwrap();
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2), "reads go on");

    let writer = client(&[&first, &second]);
    let error = writer.put(&PutRequest::default()).await.unwrap_err();
    assert_eq!(told(&error).replace(&first.url(), "FIRST"), told_by_write);
    assert!(error.is_unavailable() && !error.is_certainly_not_done());
    assert_eq!(
        (first.seen().len(), second.seen().len()),
        (3, 2),
        "a write is sent once"
    );

    writer.put(&PutRequest::default()).await.unwrap();
    assert_eq!(
        (first.seen().len(), second.seen().len()),
        (3, 3),
        "the next write starts at the other member"
    );
}

#[tokio::test]
async fn a_read_leaves_time_for_the_next_member() {
    let (silent, ready) = (Server::start(|_| Reply::Silence).await, ready().await);
    let timeout = Duration::from_secs(2);
    let client = Client::new(Config {
        timeout,
        ..Config::plaintext([silent.url(), ready.url()])
    })
    .unwrap();
    client.range(&RangeRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_write_waits_its_whole_time_and_is_not_repeated() {
    let (silent, ready) = (Server::start(|_| Reply::Silence).await, ready().await);
    let timeout = Duration::from_millis(300);
    let client = Client::new(Config {
        timeout,
        ..Config::plaintext([silent.url(), ready.url()])
    })
    .unwrap();
    let error = client.put(&PutRequest::default()).await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout { .. }) && !error.is_certainly_not_done(),
        "{error:?}"
    );
    assert!(ready.seen().is_empty());
}

#[tokio::test]
async fn rounds_are_bounded_and_outlast_a_short_election() {
    let down = Client::new(Config::plaintext([nobody().await])).unwrap();
    let error = down.range(&RangeRequest::default()).await.unwrap_err();
    assert!(
        error.is_certainly_not_done() && error.chain().contains("refused"),
        "{}",
        error.chain()
    );

    let asked = std::sync::atomic::AtomicU32::new(0);
    let electing = Server::start(
        move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0..3 => Reply::Json(503, UNAVAILABLE.into()),
            _ => Reply::Json(200, "{}".into()),
        },
    )
    .await;
    client(&[&electing]).range(&RangeRequest::default()).await.unwrap();
    assert_eq!(electing.seen().len(), 4);
}
