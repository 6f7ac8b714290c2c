//! The JSON of `/v1` for people: text where etcd has base64, numbers where it has strings.
//!
//! A key or a value that is not UTF-8 comes under a second name with `_base64` at its end, so that plain fields are always
//! readable as they are and nothing is lost. Exactly one of the two names is present for a key, and one for a value.

mod text;
pub mod txn;

use serde::{Deserialize, Serialize};

use crate::{Id, admin::Role, mvccpb, problem::Problem};

pub use text::{NotBase64, Text};

/// Path of single keys (`/v1/kv/{key}`) and of pages (`/v1/kv?prefix=`).
pub const KV_PATH: &str = "/v1/kv";
/// `POST`: [`LeaseWish`] to [`Granted`]; `GET`: [`Leases`]; below it, single leases by id.
pub const LEASES_PATH: &str = "/v1/leases";
/// `GET`: a stream of [`News`].
pub const WATCH_PATH: &str = "/v1/watch";
/// `GET`: [`Cluster`].
pub const CLUSTER_PATH: &str = "/v1/cluster";
/// Pairs on a page when the request names no limit.
pub const PAGE_LIMIT_DEFAULT: u32 = 100;
/// Most pairs on one page; more would hold too much of a member's memory for one answer.
pub const PAGE_LIMIT_MAX: u32 = 10_000;

/// A key with its value: the answer of `GET /v1/kv/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    #[serde(flatten, with = "text::key")]
    pub key: Text,
    /// The value.
    #[serde(flatten, with = "text::value")]
    pub value: Text,
    /// Puts since the key was last absent.
    pub version: i64,
    /// Revision of the first put since the key was last absent.
    pub create_revision: i64,
    /// Revision of the last change; the `ETag`.
    pub mod_revision: i64,
    /// The lease attached, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Id>,
}

impl From<mvccpb::KeyValue> for Entry {
    fn from(pair: mvccpb::KeyValue) -> Self {
        let mvccpb::KeyValue {
            key,
            create_revision,
            mod_revision,
            version,
            value,
            lease,
        } = pair;
        Self {
            key: Text::from(key),
            value: Text::from(value),
            version,
            create_revision,
            mod_revision,
            // A lease id is a positive number on the wire; its bits are what people see in hexadecimal.
            lease: Id::new(lease.cast_unsigned()),
        }
    }
}

/// One page of keys: the answer of `GET /v1/kv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The pairs, in the order of their keys.
    pub kvs: Vec<Entry>,
    /// Keys that match in all, on whatever page.
    pub count: i64,
    /// Revision that the page was read at.
    pub revision: i64,
    /// Path and query of the next page, ready to be asked for; absent on the last page. It keeps the revision, so that the
    /// pages together are one consistent list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer of `PUT /v1/kv/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The key.
    #[serde(flatten, with = "text::key")]
    pub key: Text,
    /// Revision of this write; also the new `ETag`.
    pub mod_revision: i64,
    /// Whether the key was absent before.
    pub created: bool,
}

/// The answer of `DELETE /v1/kv/{key}` and `DELETE /v1/kv?prefix=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Keys deleted.
    pub deleted: i64,
    /// Revision of the store afterwards.
    pub revision: i64,
}

/// The answer of `GET /v1/cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The cluster.
    pub cluster_id: Id,
    /// The member that answered.
    pub answered_by: Id,
    /// Version of that member's software.
    pub version: String,
    /// Whether that member knows a leader and can answer linearizable reads.
    pub healthy: bool,
    /// The leader; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_id: Option<Id>,
    /// The raft term.
    pub term: u64,
    /// Newest revision of the store on that member.
    pub revision: i64,
    /// Oldest revision whose history is kept; zero when nothing was compacted.
    pub compact_revision: i64,
    /// Index of the newest log entry applied on that member.
    pub applied_index: u64,
    /// All members.
    pub members: Vec<ClusterMember>,
}

/// One member in [`Cluster`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMember {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Whether it votes.
    pub role: Role,
    /// Whether it leads.
    pub leader: bool,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// The body of `POST /v1/leases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseWish {
    /// Time to live in seconds; raised to the cluster's minimum.
    pub ttl: i64,
    /// The id; without it one is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
}

/// A lease with its full time: the answer of `POST /v1/leases` and `PUT /v1/leases/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its id.
    pub id: Id,
    /// Time to live in seconds: it must be kept alive more often.
    pub ttl: i64,
}

/// The answer of `GET /v1/leases/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Id and granted time.
    #[serde(flatten)]
    pub lease: Granted,
    /// Seconds left.
    pub remaining: i64,
    /// Keys that go with it.
    pub keys: Vec<LeasedKey>,
}

/// The answer of `GET /v1/leases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// Ids, the next to expire first.
    pub leases: Vec<Id>,
}

/// A key that is attached to a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedKey {
    /// The key.
    #[serde(flatten, with = "text::key")]
    pub key: Text,
}

/// What a watch tells: one event, or one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum News {
    /// A key was written.
    Put {
        /// The key as it is now.
        #[serde(flatten)]
        entry: Entry,
        /// What it was before, where that was asked for, and where there was something that is not forgotten.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Box<Entry>>,
    },
    /// A key was deleted.
    Delete {
        /// The key.
        #[serde(flatten, with = "text::key")]
        key: Text,
        /// Revision of the deletion.
        mod_revision: i64,
        /// As with a put.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Box<Entry>>,
    },
    /// Everything up to this revision was told.
    Progress {
        /// The revision.
        revision: i64,
    },
    /// The watch ends here.
    Error {
        /// Why.
        problem: Problem,
    },
}

/// What can be wrong with a call to `/v1` beyond etcd's own refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The key does not exist.
    KeyNotFound,
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed,
    /// A parameter or a header does not parse, or is unknown.
    Malformed,
    /// No such path.
    UnknownPath,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body is larger than the limit.
    TooLarge,
    /// The member has as many connections as it may.
    TooManyConnections,
}

impl Fault {
    /// The problem document, with a sentence about this case.
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        let (status, code, title) = match self {
            Self::KeyNotFound => (404, "KeyNotFound", "no such key"),
            Self::PreconditionFailed => (412, "PreconditionFailed", "the key is not at the expected revision"),
            Self::Malformed => (400, "Malformed", "the request does not parse"),
            Self::UnknownPath => (404, "UnknownPath", "no such path"),
            Self::MethodNotAllowed => (405, "MethodNotAllowed", "the path has no such method"),
            Self::TooLarge => (413, "TooLarge", "the request is too large"),
            Self::TooManyConnections => (503, "TooManyConnections", "too many connections"),
        };
        Problem::new(status, code, title, detail)
    }
}

#[cfg(test)]
mod tests;
