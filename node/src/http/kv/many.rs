//! Many keys: a page of those with a prefix, and the deletion of all of them.

use axum::Json;
use axum::extract::State;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::Uri;
use kvorum_api::etcdserverpb::{self as pb, request_op::Request as Operation, response_op};
use kvorum_api::plain::{Deleted, Entry, KV_PATH, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page};
use kvorum_api::range::{first_key, prefix_end};

use super::{Reading, operation, revision};
use crate::http::Edge;
use crate::http::problem::{ProblemResponse, malformed};
use crate::http::query::{self, Query};
use crate::service::Caller;

type Answer<T> = Result<T, ProblemResponse>;

/// What `GET /v1/kv` asks for.
struct Asked {
    prefix: Bytes,
    after: Option<Bytes>,
    limit: u32,
    reading: Reading,
}

/// `GET /v1/kv?prefix=&limit=&after=&revision=&serializable`.
pub async fn list(State(edge): State<Edge>, caller: Caller, uri: Uri) -> Answer<Json<Page>> {
    let asked = Asked::of(&uri)?;
    // One transaction, so that the count of all and the pairs of this page belong to one revision.
    let mut count = asked.reading.range(first_key(&asked.prefix), prefix_end(&asked.prefix));
    count.count_only = true;
    let mut pairs = asked.reading.range(asked.start(), prefix_end(&asked.prefix));
    pairs.limit = i64::from(asked.limit);
    let success = vec![
        operation(Operation::RequestRange(count)),
        operation(Operation::RequestRange(pairs)),
    ];
    let answer = edge
        .service
        .txn(
            &caller,
            pb::TxnRequest {
                success,
                ..Default::default()
            },
        )
        .await?;
    let revision = match asked.reading.revision {
        0 => revision(answer.header.as_ref()),
        asked => asked,
    };
    let mut ranges = answer
        .responses
        .into_iter()
        .filter_map(|response| match response.response {
            Some(response_op::Response::ResponseRange(range)) => Some(range),
            _ => None,
        });
    let (count, pairs) = (
        ranges.next().unwrap_or_default().count,
        ranges.next().unwrap_or_default(),
    );
    let last = pairs.kvs.last().filter(|_| pairs.more).map(|pair| pair.key.clone());
    let next = last.map(|last| asked.next(&last, revision));
    Ok(Json(Page {
        kvs: pairs.kvs.into_iter().map(Entry::from).collect(),
        count,
        revision,
        next,
    }))
}

/// `DELETE /v1/kv?prefix=`. The prefix must be named, even where it is empty and means everything.
pub async fn remove(State(edge): State<Edge>, caller: Caller, uri: Uri) -> Answer<Json<Deleted>> {
    let mut query = Query::parse(uri.query());
    let prefix = query.bytes("prefix")?;
    query.finish()?;
    let prefix = prefix.ok_or_else(|| malformed("the parameter prefix is needed; empty means every key"))?;
    let (key, range_end) = (first_key(&prefix), prefix_end(&prefix));
    let answer = edge
        .service
        .delete_range(
            &caller,
            pb::DeleteRangeRequest {
                key,
                range_end,
                ..Default::default()
            },
        )
        .await?;
    Ok(Json(Deleted {
        deleted: answer.deleted,
        revision: revision(answer.header.as_ref()),
    }))
}

impl Asked {
    fn of(uri: &Uri) -> Answer<Asked> {
        let mut query = Query::parse(uri.query());
        let prefix = query.bytes("prefix")?.unwrap_or_default();
        let after = query.bytes("after")?;
        let limit = query.parsed("limit", "a number")?.unwrap_or(PAGE_LIMIT_DEFAULT);
        let reading = Reading::take(&mut query)?;
        query.finish()?;
        if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
            return Err(malformed(format!(
                "the parameter limit must be between 1 and {PAGE_LIMIT_MAX}"
            )));
        }
        Ok(Asked {
            prefix,
            after,
            limit,
            reading,
        })
    }

    /// The first key of this page: the prefix itself, or what follows the last key of the page before.
    fn start(&self) -> Bytes {
        match self.after.as_ref().filter(|after| **after >= self.prefix) {
            Some(after) => following(after),
            None => first_key(&self.prefix),
        }
    }

    fn next(&self, last: &[u8], revision: i64) -> String {
        let (prefix, after) = (query::encode(&self.prefix), query::encode(last));
        let serializable = if self.reading.serializable { "&serializable" } else { "" };
        format!(
            "{KV_PATH}?prefix={prefix}&limit={}&after={after}&revision={revision}{serializable}",
            self.limit
        )
    }
}

/// The smallest key after `key`.
fn following(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test]
    fn pages_follow_each_other() {
        let asked = Asked::of(&"/v1/kv?prefix=p/&limit=2".parse().unwrap()).unwrap();
        assert_eq!(asked.start(), "p/");
        let next = asked.next(b"p/a b\xff", 7);
        assert_eq!(next, "/v1/kv?prefix=p/&limit=2&after=p/a%20b%FF&revision=7");
        let asked = Asked::of(&next.parse().unwrap()).unwrap();
        assert_eq!(asked.start(), &b"p/a b\xff\0"[..]);
        assert_eq!((asked.limit, asked.reading.revision), (2, 7));
    }

    #[test_case("limit=0"; "zero")]
    #[test_case("limit=10001"; "too many")]
    #[test_case("limit=-1"; "negative")]
    fn limits(query: &str) {
        assert!(Asked::of(&format!("/v1/kv?{query}").parse().unwrap()).is_err());
    }
}
