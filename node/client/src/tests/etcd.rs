//! etcd's calls: what goes out and how answers are read.

use super::server::{Reply, Server};
use super::{client, told};
use crate::{Client, Config, Error};
use kvorum_api::error::{Code, Refusal};
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest};
use test_case::test_case;

#[tokio::test]
async fn range_goes_out_and_comes_back() {
    let server = Server::start(|_| {
        let kv = r#"{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}"#;
        Reply::Json(
            200,
            format!(r#"{{"header":{{"revision":"2"}},"kvs":[{kv}],"count":"1","later":true}}"#),
        )
    })
    .await;
    let request = RangeRequest {
        key: "foo".into(),
        limit: 3,
        ..RangeRequest::default()
    };
    let response = client(&[&server]).range(&request).await.unwrap();
    assert_eq!((response.kvs[0].value.as_ref(), response.count), (b"bar".as_slice(), 1));
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v3/kv/range");
    assert_eq!(seen[0].body, r#"{"key":"Zm9v","limit":"3"}"#);
}

#[tokio::test]
async fn token_is_sent() {
    let server = Server::start(|_| Reply::Json(200, "{}".into())).await;
    let config = Config {
        token: Some("secret.1".into()),
        ..Config::plaintext([server.url()])
    };
    Client::new(config).unwrap().member_list().await.unwrap();
    assert_eq!(server.seen()[0].headers["authorization"], "secret.1");
}

#[test_case(400, r#"{"error":"x","code":3,"message":"etcdserver: key is not provided"}"#, "Refused: etcdserver: key is not provided"; "new shape")]
#[test_case(400, r#"{"error":"etcdserver: key is not provided","code":3}"#, "Refused: etcdserver: key is not provided"; "old shape")]
#[test_case(404, "404 page not found", "Foreign: SERVER answered with HTTP 404 and a body that is not understood: 404 page not found"; "no JSON")]
#[test_case(200, "[]", "Foreign: SERVER answered with HTTP 200 and a body that is not understood: invalid type: sequence, expected an object (etcdserverpb.PutResponse) at line 1 column 0"; "JSON of something else")]
#[tokio::test]
async fn refusals(status: u16, body: &'static str, expected: &str) {
    let server = Server::start(move |_| Reply::Json(status, body.into())).await;
    let error = client(&[&server]).put(&PutRequest::default()).await.unwrap_err();
    assert_eq!(told(&error).replace(&server.url(), "SERVER"), expected);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn refusal_keeps_code_and_name() {
    let body = r#"{"code":11,"message":"etcdserver: mvcc: required revision has been compacted"}"#;
    let server = Server::start(move |_| Reply::Json(400, body.into())).await;
    let error = client(&[&server]).range(&RangeRequest::default()).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Refused {
            code: Code::OutOfRange,
            ..
        }
    ));
    assert_eq!(error.refusal(), Some(Refusal::Compacted));
    assert!(error.is_certainly_not_done());
}

#[tokio::test]
async fn permission_denied_is_healthy() {
    let body = r#"{"code":7,"message":"etcdserver: permission denied"}"#;
    let server = Server::start(move |_| Reply::Json(403, body.into())).await;
    let client = client(&[&server]);
    client.health(&client.endpoints()[0]).await.unwrap();
}
