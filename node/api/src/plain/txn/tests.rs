//! What people write down, and what of it is refused.

use super::*;
use test_case::test_case;

fn parse(json: &str) -> Result<Txn, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn a_whole_transaction_is_read() {
    let txn = parse(
        r#"{"if": [{"key": "a", "exists": false, "version": {"gt": 3}, "value": "x"}, {"prefix_base64": "/w==", "lease": {"ne": "1f"}}],
            "then": [{"put": {"key_base64": "/w==", "value": ""}}, {"get": {"prefix": "", "limit": 2}}],
            "else": [{"delete": {"key": "b"}}, {"txn": {"then": [{"get": {"key": "c"}}]}}]}"#,
    )
    .unwrap();
    let first = &txn.conditions[0];
    assert_eq!(first.keys(), Ok(Keys::One("a".into())));
    let greater = Test {
        relation: Relation::Gt,
        with: 3,
    };
    assert_eq!((first.exists, first.version), (Some(false), Some(greater)));
    assert_eq!(first.values().unwrap()[0].with, "x");
    let second = &txn.conditions[1];
    assert_eq!(second.keys(), Ok(Keys::Prefix(Bytes::from_static(b"\xff"))));
    assert_eq!(second.lease.unwrap().with, Id::new(31).unwrap());
    let Operation::Put(put) = &txn.then[0] else {
        panic!("{txn:?}")
    };
    assert_eq!(
        (put.key(), put.value()),
        (Ok(Bytes::from_static(b"\xff")), Ok(Bytes::new()))
    );
    assert!(matches!(&txn.otherwise[1], Operation::Txn(inner) if inner.then.len() == 1));
}

#[test_case(r#"{"iff": []}"#, "unknown field `iff`, expected one of `if`, `then`, `else`"; "unknown field")]
#[test_case(r#"{"then": [{"set": {}}]}"#, "unknown variant `set`, expected one of `put`, `get`, `delete`, `txn`"; "unknown operation")]
#[test_case(r#"{"if": [{"key": "a", "version": {"ge": 1}}]}"#, "unknown variant `ge`, expected one of `eq`, `ne`, `gt`, `lt`"; "unknown relation")]
#[test_case(r#"{"if": [{"key": "a", "version": "1"}]}"#, "invalid type: string \"1\", expected i64"; "a number as text")]
#[test_case(r#"{"then": [{"put": {"key": "a", "value": "b", "ttl": 1}}]}"#, "unknown field `ttl`"; "unknown field of an operation")]
fn what_is_not_known_is_refused(json: &str, expected: &str) {
    let error = parse(json).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test_case(r#"{}"#, "a condition needs exactly one of key, key_base64, prefix and prefix_base64"; "none")]
#[test_case(r#"{"key": "a", "prefix": "b"}"#, "a condition needs exactly one of key, key_base64, prefix and prefix_base64"; "two")]
#[test_case(r#"{"key_base64": "?"}"#, "key_base64: not base64 (standard alphabet, with padding)"; "no base64")]
fn conditions_name_their_keys_once(json: &str, expected: &str) {
    let condition: Condition = serde_json::from_str(json).unwrap();
    assert_eq!(condition.keys().unwrap_err().to_string(), expected);
}

#[test_case(r#"{"key": "a"}"#, "put needs exactly one of value and value_base64"; "no value")]
#[test_case(r#"{"key": "a", "value": "b", "value_base64": ""}"#, "put needs exactly one of value and value_base64"; "two values")]
fn puts_have_one_value(json: &str, expected: &str) {
    let put: Put = serde_json::from_str(json).unwrap();
    assert_eq!(put.value().unwrap_err().to_string(), expected);
}

#[test]
fn a_put_names_no_prefix() {
    let error = serde_json::from_str::<Put>(r#"{"prefix": "a", "value": ""}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `prefix`"), "{error}");
    let put: Put = serde_json::from_str(r#"{"value": ""}"#).unwrap();
    assert_eq!(
        put.key().unwrap_err().to_string(),
        "put needs exactly one of key, key_base64"
    );
}
