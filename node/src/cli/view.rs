//! Responses as etcdctl prints them in JSON: numbers are numbers, bytes are base64, nothing that is zero.
//!
//! That differs from the JSON on the wire, where 64-bit numbers are strings; scripts written for etcdctl expect this one.

use base64_simd::STANDARD;
use kvorum_api::{etcdserverpb as pb, mvccpb};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Fields whose texts in the JSON on the wire are numbers.
const NUMBERS: [&str; 31] = [
    "ID",
    "TTL",
    "authRevision",
    "cluster_id",
    "compact_revision",
    "count",
    "create_revision",
    "dbSize",
    "dbSizeInUse",
    "dbSizeQuota",
    "deleted",
    "grantedTTL",
    "hash_revision",
    "leader",
    "lease",
    "memberID",
    "member_id",
    "mod_revision",
    "raftAppliedIndex",
    "raftIndex",
    "raftTerm",
    "raft_term",
    "remaining_TTL",
    "remaining_bytes",
    "rev",
    "revision",
    "start_revision",
    "targetID",
    "total_bytes",
    "version",
    "watch_id",
];

/// Any message, as people and scripts get it: the names of the wire, but numbers as numbers.
pub(super) fn plain(message: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(message).unwrap_or_default();
    numbers(&mut value);
    value
}

fn numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let number = field
                    .as_str()
                    .filter(|_| NUMBERS.contains(&name.as_str()))
                    .and_then(number);
                match number {
                    Some(number) => *field = number,
                    None => numbers(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn number(text: &str) -> Option<Value> {
    let signed = text.parse::<i64>().map(Value::from);
    signed.or_else(|_| text.parse::<u64>().map(Value::from)).ok()
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode_to_string(bytes))
}

#[derive(Serialize)]
pub(super) struct Header {
    #[serde(skip_serializing_if = "is_zero")]
    cluster_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    member_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    revision: i64,
    #[serde(skip_serializing_if = "is_zero")]
    raft_term: u64,
}

fn header(header: Option<&pb::ResponseHeader>) -> Option<Header> {
    header.map(
        |&pb::ResponseHeader {
             cluster_id,
             member_id,
             revision,
             raft_term,
         }| Header {
            cluster_id,
            member_id,
            revision,
            raft_term,
        },
    )
}

#[derive(Serialize)]
pub(super) struct Pair<'a> {
    #[serde(serialize_with = "base64")]
    key: &'a [u8],
    #[serde(skip_serializing_if = "is_zero")]
    create_revision: i64,
    #[serde(skip_serializing_if = "is_zero")]
    mod_revision: i64,
    #[serde(skip_serializing_if = "is_zero")]
    version: i64,
    #[serde(serialize_with = "base64", skip_serializing_if = "<[u8]>::is_empty")]
    value: &'a [u8],
    #[serde(skip_serializing_if = "is_zero")]
    lease: i64,
}

impl<'a> From<&'a mvccpb::KeyValue> for Pair<'a> {
    fn from(pair: &'a mvccpb::KeyValue) -> Self {
        let mvccpb::KeyValue {
            key,
            create_revision,
            mod_revision,
            version,
            value,
            lease,
        } = pair;
        Self {
            key,
            create_revision: *create_revision,
            mod_revision: *mod_revision,
            version: *version,
            value,
            lease: *lease,
        }
    }
}

fn pairs(kvs: &[mvccpb::KeyValue]) -> Vec<Pair<'_>> {
    kvs.iter().map(Pair::from).collect()
}

#[derive(Serialize)]
pub(super) struct Range<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kvs: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more: bool,
    #[serde(skip_serializing_if = "is_zero")]
    count: i64,
}

impl<'a> From<&'a pb::RangeResponse> for Range<'a> {
    fn from(response: &'a pb::RangeResponse) -> Self {
        let pb::RangeResponse {
            header: head,
            kvs,
            more,
            count,
        } = response;
        Self {
            header: header(head.as_ref()),
            kvs: pairs(kvs),
            more: *more,
            count: *count,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Put<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_kv: Option<Pair<'a>>,
}

impl<'a> From<&'a pb::PutResponse> for Put<'a> {
    fn from(response: &'a pb::PutResponse) -> Self {
        let pb::PutResponse { header: head, prev_kv } = response;
        Self {
            header: header(head.as_ref()),
            prev_kv: prev_kv.as_ref().map(Pair::from),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Del<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "is_zero")]
    deleted: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prev_kvs: Vec<Pair<'a>>,
}

impl<'a> From<&'a pb::DeleteRangeResponse> for Del<'a> {
    fn from(response: &'a pb::DeleteRangeResponse) -> Self {
        let pb::DeleteRangeResponse {
            header: head,
            deleted,
            prev_kvs,
        } = response;
        Self {
            header: header(head.as_ref()),
            deleted: *deleted,
            prev_kvs: pairs(prev_kvs),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Members<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "peerURLs", skip_serializing_if = "<[String]>::is_empty")]
    peer_urls: &'a [String],
    #[serde(rename = "clientURLs", skip_serializing_if = "<[String]>::is_empty")]
    client_urls: &'a [String],
    #[serde(rename = "isLearner", skip_serializing_if = "is_zero")]
    is_learner: bool,
}

impl<'a> From<&'a pb::MemberListResponse> for Members<'a> {
    fn from(response: &'a pb::MemberListResponse) -> Self {
        let members = response.members.iter().map(|member| {
            let pb::Member {
                id,
                name,
                peer_ur_ls,
                client_ur_ls,
                is_learner,
            } = member;
            Member {
                id: *id,
                name,
                peer_urls: peer_ur_ls,
                client_urls: client_ur_ls,
                is_learner: *is_learner,
            }
        });
        Self {
            header: header(response.header.as_ref()),
            members: members.collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct EndpointStatus<'a> {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "Status")]
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    db_size: i64,
    #[serde(skip_serializing_if = "is_zero")]
    leader: u64,
    #[serde(skip_serializing_if = "is_zero")]
    raft_index: u64,
    #[serde(skip_serializing_if = "is_zero")]
    raft_term: u64,
    #[serde(skip_serializing_if = "is_zero")]
    raft_applied_index: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    errors: &'a [String],
    #[serde(skip_serializing_if = "is_zero")]
    db_size_in_use: i64,
    #[serde(skip_serializing_if = "is_zero")]
    is_learner: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    storage_version: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    db_size_quota: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    downgrade_info: Option<DowngradeInfo<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DowngradeInfo<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    enabled: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    target_version: &'a str,
}

impl<'a> EndpointStatus<'a> {
    pub(super) fn new(endpoint: &kvorum_client::Endpoint, response: &'a pb::StatusResponse) -> Self {
        let status = Status {
            header: header(response.header.as_ref()),
            version: &response.version,
            db_size: response.db_size,
            leader: response.leader,
            raft_index: response.raft_index,
            raft_term: response.raft_term,
            raft_applied_index: response.raft_applied_index,
            errors: &response.errors,
            db_size_in_use: response.db_size_in_use,
            is_learner: response.is_learner,
            storage_version: &response.storage_version,
            db_size_quota: response.db_size_quota,
            downgrade_info: response.downgrade_info.as_ref().map(|info| DowngradeInfo {
                enabled: info.enabled,
                target_version: &info.target_version,
            }),
        };
        Self {
            endpoint: endpoint.to_string(),
            status,
        }
    }
}

/// Whether an endpoint answers.
#[derive(Serialize)]
pub(super) struct Health {
    pub(super) endpoint: String,
    pub(super) health: bool,
    pub(super) took: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) error: String,
}
