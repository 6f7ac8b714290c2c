//! Keys for people: `/v1/kv/{key}` for one, `/v1/kv?prefix=` for many.
//!
//! A key is the rest of the path, percent-decoded: it may hold slashes and any bytes. A value is a body, byte for byte.
//! The `ETag` is the key's mod revision, and `If-Match` and `If-None-Match` become compares of a transaction, so that
//! they hold at the moment of the write.

pub mod conditions;
pub mod many;
pub mod one;

use axum::Router;
use axum::routing::{delete, get, put};
use bytes::Bytes;
use kvorum_api::etcdserverpb::{self as pb, request_op::Request as Operation};
use kvorum_api::plain::KV_PATH;

use super::Edge;
use super::problem::{ProblemResponse, malformed, only};
use super::query::Query;

/// The paths.
pub fn routes() -> Router<Edge> {
    let every_key = get(many::list).merge(delete(many::remove));
    let one_key = get(one::read).merge(put(one::write)).merge(delete(one::remove));
    Router::new()
        .route(KV_PATH, only("GET, HEAD, DELETE", every_key))
        .route(&format!("{KV_PATH}/"), only("GET, HEAD, PUT, DELETE", one_key.clone()))
        .route(&format!("{KV_PATH}/{{*key}}"), only("GET, HEAD, PUT, DELETE", one_key))
}

/// What a request says about reading: `revision` and `serializable`.
struct Reading {
    revision: i64,
    serializable: bool,
}

impl Reading {
    fn take(query: &mut Query) -> Result<Reading, ProblemResponse> {
        let revision = query.parsed("revision", "a number")?.unwrap_or_default();
        if revision < 0 {
            return Err(malformed(
                "the parameter revision must not be negative; without it the newest is read",
            ));
        }
        Ok(Reading {
            revision,
            serializable: query.switch("serializable")?,
        })
    }

    fn range(&self, key: Bytes, range_end: Bytes) -> pb::RangeRequest {
        let Reading { revision, serializable } = *self;
        pb::RangeRequest {
            key,
            range_end,
            revision,
            serializable,
            ..Default::default()
        }
    }
}

fn operation(request: Operation) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// The revision in an answer's header; every answer has one.
fn revision(header: Option<&pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}
