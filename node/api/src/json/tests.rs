//! The mapping, on bodies in the shapes that etcd 3.7.3 writes and accepts.

use super::*;
use crate::{authpb, etcdserverpb::*, mvccpb, v3electionpb};
use bytes::Bytes;
use test_case::test_case;

/// Decoded and encoded again; an error as its message.
fn again<M: DeserializeOwned + Default + Serialize>(json: &str) -> String {
    match decode::<M>(json.as_bytes()) {
        Ok(message) => String::from_utf8(encode(&message)).unwrap(),
        Err(failure) => {
            assert_eq!(failure.code, Code::InvalidArgument);
            failure.message.into_owned()
        }
    }
}

/// In the shape of etcd's answers, without the spaces that it puts in at random.
#[test_case(again::<RangeResponse>, r#"{"header":{"cluster_id":"12585971608760269493","member_id":"13847567121247652255","revision":"2","raft_term":"2"},"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],"more":true,"count":"3"}"#; "range")]
#[test_case(again::<PutResponse>, r#"{"header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"4"},"prev_kv":{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy","lease":"7587862094654432"}}"#; "put")]
#[test_case(again::<TxnResponse>, r#"{"header":{"revision":"3"},"succeeded":true,"responses":[{"response_range":{"header":{"revision":"3"},"kvs":[{"key":"Zm9v"}]}},{"response_delete_range":{"header":{"revision":"3"},"deleted":"1"}},{"response_txn":{}}]}"#; "txn")]
#[test_case(again::<WatchResponse>, r#"{"header":{"revision":"5"},"watch_id":"-1","canceled":true,"compact_revision":"4","cancel_reason":"why","events":[{"kv":{"key":"YQ=="}},{"type":"DELETE","kv":{"key":"YQ==","mod_revision":"6"},"prev_kv":{"key":"YQ=="}}]}"#; "watch")]
#[test_case(again::<MemberListResponse>, r#"{"header":{"cluster_id":"1"},"members":[{"ID":"10276657743932975437","name":"n1","peerURLs":["http://a:2380"],"clientURLs":["http://a:2379"],"isLearner":true}]}"#; "members")]
#[test_case(again::<StatusResponse>, r#"{"version":"3.7.3","dbSize":"20480","leader":"1","raftIndex":"8","raftTerm":"2","raftAppliedIndex":"8","errors":["x"],"dbSizeInUse":"16384","isLearner":true,"storageVersion":"3.7.0","dbSizeQuota":"2147483648","downgradeInfo":{"enabled":true,"targetVersion":"3.6.0"}}"#; "status")]
#[test_case(again::<HashKvResponse>, r#"{"hash":4294967295,"compact_revision":"-1","hash_revision":"9"}"#; "hash is a number")]
#[test_case(again::<LeaseTimeToLiveResponse>, r#"{"ID":"1","TTL":"-1","grantedTTL":"2","keys":["YQ==","Yg=="]}"#; "lease")]
#[test_case(again::<AlarmResponse>, r#"{"alarms":[{"memberID":"3","alarm":"NOSPACE"},{"memberID":"4","alarm":"CORRUPT"}]}"#; "alarms")]
#[test_case(again::<AuthRoleGetResponse>, r#"{"perm":[{"permType":"READWRITE","key":"YQ==","range_end":"AA=="}]}"#; "role")]
#[test_case(again::<AuthUserAddRequest>, r#"{"name":"u","options":{"no_password":true},"hashedPassword":"x"}"#; "user")]
#[test_case(again::<v3electionpb::CampaignResponse>, r#"{"leader":{"name":"YQ==","key":"Yg==","rev":"3","lease":"4"}}"#; "election")]
#[test_case(again::<Compare>, r#"{"result":"NOT_EQUAL","target":"LEASE","key":"YQ==","lease":"0","range_end":"AA=="}"#; "zero in a oneof is written")]
#[test_case(again::<DefragmentResponse>, "{}"; "nothing")]
fn the_same_comes_out(again: fn(&str) -> String, json: &str) {
    assert_eq!(again(json), json);
}

#[test_case(r#"{"rangeEnd":"Yg==","sortOrder":"DESCEND","countOnly":true}"#, r#"{"range_end":"Yg==","sort_order":"DESCEND","count_only":true}"#; "lowerCamelCase names")]
#[test_case(r#"{"limit":5,"revision":"6"}"#, r#"{"limit":"5","revision":"6"}"#; "numbers and strings")]
#[test_case(r#"{"limit":1e3,"revision":"7.0"}"#, r#"{"limit":"1000","revision":"7"}"#; "whole numbers in other forms")]
#[test_case(r#"{"limit":"-9223372036854775808"}"#, r#"{"limit":"-9223372036854775808"}"#; "smallest number")]
#[test_case(r#"{"key":null,"limit":null,"serializable":null,"sort_order":null}"#, "{}"; "null is unset")]
#[test_case(r#"{"key":"Zm-_"}"#, r#"{"key":"Zm+/"}"#; "URL-safe base64")]
#[test_case(r#"{"key":"Zm9"}"#, r#"{"key":"Zm8="}"#; "stray bits")]
#[test_case(r#"{"nobody":{"knows":[1,{}]},"limit":1}"#, r#"{"limit":"1"}"#; "unknown fields")]
#[test_case(r#"{"sort_order":"SIDEWAYS","limit":1}"#, r#"{"limit":"1"}"#; "unknown name of an enum")]
#[test_case(r#"{"sort_order":2,"sort_target":9}"#, r#"{"sort_order":"DESCEND","sort_target":9}"#; "numbers of enums, known and unknown")]
#[test_case(r#"{"sort_order":2.0}"#, r#"{"sort_order":"DESCEND"}"#; "whole number of an enum in another form")]
#[test_case(r#"{"sort_order":1.5}"#, "invalid value: floating point `1.5`, expected the name or the number of an enum's value at line 1 column 17"; "half an enum")]
#[test_case(r#"{"key":null,"key":"YQ=="}"#, "duplicate field `key` at line 1 column 17"; "null counts as given")]
#[test_case("", "{}"; "empty body")]
#[test_case(" \n", "{}"; "blank body")]
#[test_case(r#"{"limit":1} rubbish"#, r#"{"limit":"1"}"#; "trailing rubbish")]
#[test_case(r#"{"limit":1.5}"#, "invalid value: floating point `1.5`, expected a whole number, or one in a string at line 1 column 12"; "half a number")]
#[test_case(r#"{"limit":"05"}"#, "invalid value: string \"05\", expected a whole number, or one in a string at line 1 column 13"; "leading zero")]
#[test_case(r#"{"limit":" 5"}"#, "invalid value: string \" 5\", expected a whole number, or one in a string at line 1 column 13"; "space in a number")]
#[test_case(r#"{"limit":9223372036854775808}"#, "9223372036854775808 is out of range at line 1 column 29"; "number too large")]
#[test_case(r#"{"serializable":"true"}"#, "invalid type: string \"true\", expected a boolean at line 1 column 22"; "text for a boolean")]
#[test_case(r#"{"key":"Zm9vZ"}"#, "invalid value: string \"Zm9vZ\", expected bytes in base64 at line 1 column 14"; "bad base64")]
#[test_case(r#"{"key":"YQ==","key":"Yg=="}"#, "duplicate field `key` at line 1 column 19"; "field given twice")]
#[test_case(r#"{"range_end":"","rangeEnd":""}"#, "duplicate field `range_end` at line 1 column 26"; "field given under both names")]
#[test_case("[1]", "invalid type: sequence, expected an object (etcdserverpb.RangeRequest) at line 1 column 0"; "not an object")]
#[test_case(r#"{"key""#, "EOF while parsing an object at line 1 column 6"; "cut short")]
fn range_requests(json: &str, expected: &str) {
    assert_eq!(again::<RangeRequest>(json), expected);
}

#[test_case(r#"{"success":[{"requestPut":{"key":"YQ=="}},{}]}"#, r#"{"success":[{"request_put":{"key":"YQ=="}},{}]}"#; "oneof by its other name")]
#[test_case(r#"{"success":[{"request_put":null,"request_range":{}}]}"#, r#"{"success":[{"request_range":{}}]}"#; "null member of a oneof")]
#[test_case(r#"{"success":[{"request_put":{},"request_range":{}}]}"#, "only one of the alternatives of a oneof can be set at line 1 column 49"; "two members of a oneof")]
#[test_case(r#"{"success":null,"compare":[]}"#, "{}"; "null list")]
#[test_case(r#"{"success":[null]}"#, "invalid type: null, expected an object (etcdserverpb.RequestOp) at line 1 column 16"; "null in a list")]
#[test_case(r#"{"compare":[{"target":"VALUE","value":"","createRevision":null}]}"#, r#"{"compare":[{"target":"VALUE","value":""}]}"#; "empty value in a oneof is set")]
fn transactions(json: &str, expected: &str) {
    assert_eq!(again::<TxnRequest>(json), expected);
}

#[test]
fn unknown_names_are_left_out_of_lists() {
    let json = again::<WatchRequest>(r#"{"create_request":{"filters":["NOPUT","NOTHING","NODELETE",7]}}"#);
    assert_eq!(json, r#"{"create_request":{"filters":["NOPUT","NODELETE",7]}}"#);
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let depth = 5_000;
    let json = r#"{"success":[{"request_txn":"#.repeat(depth);
    assert!(again::<TxnRequest>(&json).starts_with("recursion limit exceeded"));
}

#[test]
fn streams_of_requests_are_read_one_after_the_other() {
    let body = br#"{"create_request":{"key":"YQ=="}} {"progress_request":{}}{"cancel_request":{"watch_id":"1"}}"#;
    let requests: Result<Vec<WatchRequest>, _> = serde_json::Deserializer::from_slice(body).into_iter().collect();
    assert_eq!(requests.unwrap().len(), 3);
}

#[test]
fn both_wire_forms_carry_the_same() {
    use prost::Message as _;
    let permission = authpb::Permission {
        perm_type: 2,
        key: Bytes::from_static(b"a"),
        range_end: Bytes::new(),
    };
    assert_eq!(permission.encode_to_vec(), [0x08, 0x02, 0x12, 0x01, b'a']);
    assert_eq!(
        again::<authpb::Permission>(r#"{"permType":"READWRITE","key":"YQ=="}"#).as_bytes(),
        encode(&permission)
    );
    let event = mvccpb::Event {
        r#type: mvccpb::event::EventType::Delete.into(),
        kv: None,
        prev_kv: None,
    };
    assert_eq!(mvccpb::Event::decode(event.encode_to_vec().as_slice()).unwrap(), event);
}
