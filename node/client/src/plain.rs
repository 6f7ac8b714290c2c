//! The plain JSON of `/v1`.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use kvorum_api::Id;
use kvorum_api::plain::{CLUSTER_PATH, Cluster, Deleted, Entry, KV_PATH, Page, Written};
use kvorum_api::problem::Problem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::de::DeserializeOwned;

use crate::etcd::{excerpt, foreign};
use crate::transport::{Answer, Call};
use crate::{Client, Error, Repeat};

/// Bytes of a key that are written with a percent sign: all but those that a URL never touches. The slash is among them,
/// so that a key is always one segment of the path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a write expects of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Expected {
    /// Nothing.
    #[default]
    Anything,
    /// That it does not exist.
    Absent,
    /// That its last change has this revision.
    Revision(i64),
}

/// Which page of keys to read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PageQuery {
    /// The beginning that the keys share; empty for every key.
    pub prefix: Vec<u8>,
    /// Most pairs on the page; the server has a default and a maximum.
    pub limit: Option<u32>,
    /// Start after this key.
    pub after: Option<Vec<u8>>,
    /// Revision to read at; the newest when absent.
    pub revision: Option<i64>,
    /// Allow a stale answer from the member asked.
    pub serializable: bool,
}

impl Client {
    /// A key with its value; `None` when it does not exist.
    ///
    /// # Errors
    /// Any [`Error`]; refusals are [`Error::Problem`].
    pub async fn kv_get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        match self.plain(Call::new(Method::GET, key_path(key)), Repeat::Freely).await {
            Ok(entry) => Ok(Some(entry)),
            Err(Error::Problem { problem, .. }) if problem.code == "KeyNotFound" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One page of keys.
    ///
    /// # Errors
    /// As [`Client::kv_get`].
    pub async fn kv_page(&self, query: &PageQuery) -> Result<Page, Error> {
        self.plain(
            Call::new(Method::GET, format!("{KV_PATH}?{}", query.encode())),
            Repeat::Freely,
        )
        .await
    }

    /// The page that [`Page::next`] of another one names.
    ///
    /// # Errors
    /// As [`Client::kv_get`].
    pub async fn kv_next(&self, next: &str) -> Result<Page, Error> {
        self.plain(Call::new(Method::GET, next), Repeat::Freely).await
    }

    /// Writes a key, if it is as expected. A lease detaches with every write that names none.
    ///
    /// # Errors
    /// As [`Client::kv_get`], with the code `PreconditionFailed` when the key is not as expected; the write may have
    /// happened unless [`Error::is_certainly_not_done`].
    pub async fn kv_put(
        &self,
        key: &[u8],
        value: impl Into<Bytes>,
        expected: Expected,
        lease: Option<Id>,
    ) -> Result<Written, Error> {
        let lease = lease.map(|lease| format!("?lease={lease}")).unwrap_or_default();
        let mut call = Call::new(Method::PUT, key_path(key) + &lease);
        call.body = value.into();
        expect(&mut call, expected);
        self.plain(call, Repeat::IfNotDone).await
    }

    /// Deletes a key, if it is as expected.
    ///
    /// # Errors
    /// As [`Client::kv_put`].
    pub async fn kv_delete(&self, key: &[u8], expected: Expected) -> Result<Deleted, Error> {
        let mut call = Call::new(Method::DELETE, key_path(key));
        expect(&mut call, expected);
        self.plain(call, Repeat::IfNotDone).await
    }

    /// Deletes every key that begins like this.
    ///
    /// # Errors
    /// As [`Client::kv_put`].
    pub async fn kv_delete_prefix(&self, prefix: &[u8]) -> Result<Deleted, Error> {
        let path = format!("{KV_PATH}?prefix={}", percent_encode(prefix, ESCAPED));
        self.plain(Call::new(Method::DELETE, path), Repeat::IfNotDone).await
    }

    /// The cluster as one of its members sees it.
    ///
    /// # Errors
    /// As [`Client::kv_get`].
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        self.plain(Call::new(Method::GET, CLUSTER_PATH), Repeat::Freely).await
    }

    async fn plain<A: DeserializeOwned>(&self, call: Call, repeat: Repeat) -> Result<A, Error> {
        self.rotation
            .send(&self.transport, &call, repeat, |answer| read(answer))
            .await
    }
}

impl PageQuery {
    fn encode(&self) -> String {
        let mut pairs = vec![format!("prefix={}", percent_encode(&self.prefix, ESCAPED))];
        pairs.extend(self.limit.map(|limit| format!("limit={limit}")));
        pairs.extend(
            self.after
                .as_ref()
                .map(|after| format!("after={}", percent_encode(after, ESCAPED))),
        );
        pairs.extend(self.revision.map(|revision| format!("revision={revision}")));
        pairs.extend(self.serializable.then(|| "serializable=true".to_owned()));
        pairs.join("&")
    }
}

fn key_path(key: &[u8]) -> String {
    format!("{KV_PATH}/{}", percent_encode(key, ESCAPED))
}

fn expect(call: &mut Call, expected: Expected) {
    match expected {
        Expected::Anything => {}
        Expected::Absent => {
            call.headers
                .insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        Expected::Revision(revision) => {
            let tag = format!("\"{revision}\"")
                .parse()
                .expect("digits and quotes are a header value");
            call.headers.insert(header::IF_MATCH, tag);
        }
    }
}

/// Reads an answer of `/v1`: JSON, or a problem document.
pub(crate) fn read<A: DeserializeOwned>(answer: Answer) -> Result<A, Error> {
    if (200..300).contains(&answer.status) {
        return serde_json::from_slice(&answer.body).map_err(|error| foreign(answer, error.to_string()));
    }
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) => Err(Error::Problem {
            endpoint: answer.endpoint,
            problem: Box::new(problem),
        }),
        Err(_) => {
            let excerpt = excerpt(&answer.body);
            Err(foreign(answer, excerpt))
        }
    }
}
