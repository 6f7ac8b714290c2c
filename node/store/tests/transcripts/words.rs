//! The words of the scripts: requests from text, and answers as text.
//!
//! Keys and values are text; `\0` stands for the zero byte and `\xff` for the highest one.

use crate::auth;
use bytes::Bytes;
use kvorum_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use kvorum_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::response_op::Response as Part;
use kvorum_api::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use kvorum_api::mvccpb::KeyValue;
use kvorum_store::{Event, Outcome, Refusal, Response};
use std::collections::BTreeMap;
use std::error::Error;

type Parsed<T> = Result<T, Box<dyn Error>>;

/// Bytes of a word.
pub(crate) fn bytes(word: &str) -> Bytes {
    if word == "empty" {
        return Bytes::new();
    }
    let mut out = Vec::new();
    let mut rest = word.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, left) = match rest {
            [b'\\', b'0', left @ ..] => (0, left),
            [b'\\', b'x', b'f', b'f', left @ ..] => (0xff, left),
            _ => (*first, tail),
        };
        out.push(byte);
        rest = left;
    }
    out.into()
}

/// The first word as a number.
pub(crate) fn first(parts: &[&str]) -> Parsed<i64> {
    Ok(parts.first().ok_or("a number is missing")?.parse()?)
}

/// The number of `name=number`.
pub(crate) fn number(parts: &[&str], name: &str) -> Parsed<i64> {
    optional(parts, name)?.ok_or_else(|| format!("{name}= is missing").into())
}

/// The number of `name=number`, if it is there.
pub(crate) fn optional(parts: &[&str], name: &str) -> Parsed<Option<i64>> {
    let value = parts.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    Ok(value.map(str::parse).transpose()?)
}

/// `put key value [lease=id] [prev] [ignore_value] [ignore_lease]`
pub(crate) fn put(parts: &[&str]) -> Parsed<PutRequest> {
    let (words, flags) = split(parts);
    let mut request = PutRequest {
        key: bytes(words.first().ok_or("a put needs a key")?),
        value: words.get(1).map_or(Bytes::new(), |word| bytes(word)),
        ..PutRequest::default()
    };
    for flag in flags {
        match flag {
            "prev" => request.prev_kv = true,
            "ignore_value" => request.ignore_value = true,
            "ignore_lease" => request.ignore_lease = true,
            _ => request.lease = number(&[flag], "lease")?,
        }
    }
    Ok(request)
}

/// `delete key [range end] [prev]`
pub(crate) fn delete(parts: &[&str]) -> Parsed<DeleteRangeRequest> {
    let (words, flags) = split(parts);
    Ok(DeleteRangeRequest {
        key: bytes(words.first().ok_or("a deletion needs a key")?),
        range_end: words.get(1).map_or(Bytes::new(), |word| bytes(word)),
        prev_kv: flags.contains(&"prev"),
    })
}

/// `get key [range end] [rev=] [limit=] [sort=target.order] [keys_only] [count_only] [min_mod=] …`
pub(crate) fn range(parts: &[&str]) -> Parsed<RangeRequest> {
    let (words, flags) = split(parts);
    let mut request = RangeRequest {
        key: bytes(words.first().ok_or("a range needs a key")?),
        range_end: words.get(1).map_or(Bytes::new(), |word| bytes(word)),
        ..RangeRequest::default()
    };
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        match name {
            "keys_only" => request.keys_only = true,
            "count_only" => request.count_only = true,
            "rev" => request.revision = value.parse()?,
            "limit" => request.limit = value.parse()?,
            "min_mod" => request.min_mod_revision = value.parse()?,
            "max_mod" => request.max_mod_revision = value.parse()?,
            "min_create" => request.min_create_revision = value.parse()?,
            "max_create" => request.max_create_revision = value.parse()?,
            "sort" => (request.sort_target, request.sort_order) = sort(value)?,
            other => return Err(format!("a range has no {other}").into()),
        }
    }
    Ok(request)
}

/// All keys.
pub(crate) fn everything() -> RangeRequest {
    RangeRequest {
        key: bytes("\\0"),
        range_end: bytes("\\0"),
        ..RangeRequest::default()
    }
}

fn sort(text: &str) -> Parsed<(i32, i32)> {
    let (target, order) = text.split_once('.').ok_or("sort=target.order")?;
    let target = match target {
        "key" => SortTarget::Key.into(),
        "version" => SortTarget::Version.into(),
        "create" => SortTarget::Create.into(),
        "mod" => SortTarget::Mod.into(),
        "value" => SortTarget::Value.into(),
        other => other.parse()?,
    };
    let order = match order {
        "none" => SortOrder::None.into(),
        "ascend" => SortOrder::Ascend.into(),
        "descend" => SortOrder::Descend.into(),
        other => other.parse()?,
    };
    Ok((target, order))
}

/// `target key[..end] relation operand`; `unset` for no operand.
pub(crate) fn compare(parts: &[&str]) -> Parsed<Compare> {
    let [target, keys, relation, operand] = parts else {
        return Err("target key relation operand".into());
    };
    let (key, end) = keys.split_once("..").unwrap_or((keys, "empty"));
    let mut compare = Compare {
        key: bytes(key),
        range_end: bytes(end),
        ..Compare::default()
    };
    let set = *operand != "unset";
    let operand_number = || operand.parse::<i64>();
    let (target, union) = match *target {
        "value" => (CompareTarget::Value, set.then(|| TargetUnion::Value(bytes(operand)))),
        "version" if set => (CompareTarget::Version, Some(TargetUnion::Version(operand_number()?))),
        "version" => (CompareTarget::Version, None),
        "create" if set => (
            CompareTarget::Create,
            Some(TargetUnion::CreateRevision(operand_number()?)),
        ),
        "create" => (CompareTarget::Create, None),
        "mod" if set => (CompareTarget::Mod, Some(TargetUnion::ModRevision(operand_number()?))),
        "mod" => (CompareTarget::Mod, None),
        "lease" if set => (CompareTarget::Lease, Some(TargetUnion::Lease(operand_number()?))),
        "lease" => (CompareTarget::Lease, None),
        other => return Err(format!("no compare target {other}").into()),
    };
    compare.set_target(target);
    compare.target_union = union;
    compare.set_result(match *relation {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        other => return Err(format!("no relation {other}").into()),
    });
    Ok(compare)
}

/// An operation of a transaction: `put …`, `delete …`, `get …`, `txn name`, or `nothing`.
pub(crate) fn operation(parts: &[&str], named: &BTreeMap<String, TxnRequest>) -> Parsed<RequestOp> {
    let (kind, rest) = parts.split_first().ok_or("an operation is missing")?;
    let request = match *kind {
        "put" => Some(Request::RequestPut(put(rest)?)),
        "delete" => Some(Request::RequestDeleteRange(delete(rest)?)),
        "get" => Some(Request::RequestRange(range(rest)?)),
        "txn" => {
            let name = rest.first().ok_or("which transaction?")?;
            Some(Request::RequestTxn(
                named.get(*name).ok_or("no such transaction")?.clone(),
            ))
        }
        "nothing" => None,
        other => return Err(format!("no operation {other}").into()),
    };
    Ok(RequestOp { request })
}

/// Keys and values, and options.
fn split<'a>(parts: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    const FLAGS: [&str; 5] = ["prev", "ignore_value", "ignore_lease", "keys_only", "count_only"];
    parts
        .iter()
        .partition(|word| !FLAGS.contains(word) && !word.contains('='))
}

/// An outcome: the answer, then what watchers see.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let answer = match &outcome.response {
        Err(refusal) => refused(*refusal),
        Ok(response) => self::response(response),
    };
    let tokens = outcome.tokens.as_ref().map(auth::tokens).unwrap_or_default();
    answer + &events(&outcome.events) + &tokens
}

/// A refusal.
pub(crate) fn refused(refusal: Refusal) -> String {
    format!("refused: {refusal}\n")
}

/// Events, one per line.
pub(crate) fn events(events: &[Event]) -> String {
    let line = |event: &Event| {
        assert!(event.prev_kv.is_none());
        let kind = event.r#type().as_str_name().to_ascii_lowercase();
        format!("event {kind} {}\n", pair(event.kv.as_ref().unwrap()))
    };
    events.iter().map(line).collect()
}

/// The answer to a range, each line after `indent`.
pub(crate) fn range_response(response: &RangeResponse, indent: &str) -> String {
    let more = if response.more { " more" } else { "" };
    let mut text = format!(
        "{indent}range at {} count {}{more}\n",
        revision(&response.header),
        response.count
    );
    for own in &response.kvs {
        text += &format!("{indent}  {}\n", pair(own));
    }
    text
}

fn response(response: &Response) -> String {
    match response {
        Response::Put(put) => part(&Part::ResponsePut(put.clone()), ""),
        Response::DeleteRange(deletion) => part(&Part::ResponseDeleteRange(deletion.clone()), ""),
        Response::Txn(txn) => txn_response(txn, ""),
        Response::Compact(compaction) => format!("compacted at {}\n", revision(&compaction.header)),
        Response::LeaseGrant(grant) => {
            format!(
                "granted {} for {} s at {}\n",
                grant.id,
                grant.ttl,
                revision(&grant.header)
            )
        }
        Response::LeaseRevoke(revocation) => format!("revoked at {}\n", revision(&revocation.header)),
        Response::LeaseCheckpoint { ttls } => format!("checkpointed {ttls:?}\n"),
        Response::Fence(fencing) => format!("{fencing:?}\n"),
        Response::Auth => "done\n".into(),
        Response::Authenticated { index: _ } => "authenticated\n".into(),
        Response::Alarm(response) => auth::alarms(&response.alarms),
    }
}

fn txn_response(response: &TxnResponse, indent: &str) -> String {
    let verdict = if response.succeeded { "then" } else { "else" };
    let mut text = format!("{indent}{verdict} at {}\n", revision(&response.header));
    for operation in &response.responses {
        text += &part(operation.response.as_ref().unwrap(), &format!("{indent}  "));
    }
    text
}

fn part(response: &Part, indent: &str) -> String {
    match response {
        Part::ResponseRange(range) => range_response(range, indent),
        Part::ResponseTxn(txn) => txn_response(txn, indent),
        Part::ResponsePut(put) => {
            let prev = put
                .prev_kv
                .as_ref()
                .map_or(String::new(), |own| format!(" was {}", pair(own)));
            format!("{indent}put at {}{prev}\n", revision(&put.header))
        }
        Part::ResponseDeleteRange(deletion) => {
            let mut text = format!(
                "{indent}deleted {} at {}\n",
                deletion.deleted,
                revision(&deletion.header)
            );
            for own in &deletion.prev_kvs {
                text += &format!("{indent}  was {}\n", pair(own));
            }
            text
        }
    }
}

fn revision(header: &Option<kvorum_api::etcdserverpb::ResponseHeader>) -> i64 {
    let header = header.as_ref().unwrap();
    assert_eq!(
        (header.cluster_id, header.member_id, header.raft_term),
        (0, 0, 0),
        "the node fills these"
    );
    header.revision
}

fn pair(pair: &KeyValue) -> String {
    let KeyValue {
        key,
        create_revision,
        mod_revision,
        version,
        value,
        lease,
    } = pair;
    let lease = if *lease == 0 {
        String::new()
    } else {
        format!(" lease {lease}")
    };
    let (key, value) = (key.escape_ascii(), value.escape_ascii());
    format!("{key}={value} create {create_revision} mod {mod_revision} version {version}{lease}")
}
