//! The JSON that people see.

use super::*;
use bytes::Bytes;
use expect_test::expect;

fn entry(key: &'static [u8], value: &'static [u8], lease: i64) -> Entry {
    let (key, value) = (Bytes::from_static(key), Bytes::from_static(value));
    Entry::from(mvccpb::KeyValue {
        key,
        value,
        version: 2,
        create_revision: 5,
        mod_revision: 7,
        lease,
    })
}

#[test]
fn text_stays_text() {
    let entry = entry(b"greeting", "gr\u{fc}\u{df} \"Gott\"".as_bytes(), 0);
    let json = serde_json::to_string(&entry).unwrap();
    expect![[r#"{"key":"greeting","value":"grüß \"Gott\"","version":2,"create_revision":5,"mod_revision":7}"#]]
        .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
}

#[test]
fn other_bytes_are_base64() {
    let entry = entry(b"\xff", b"\x00\xfe", 0x1234);
    let json = serde_json::to_string(&entry).unwrap();
    expect![[r#"{"key_base64":"/w==","value_base64":"AP4=","version":2,"create_revision":5,"mod_revision":7,"lease":"0000000000001234"}"#]]
        .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
}

#[test]
fn both_names_at_once_are_refused() {
    let json = r#"{"key":"a","key_base64":"YQ==","mod_revision":1,"created":true}"#;
    assert!(
        serde_json::from_str::<Written>(json)
            .unwrap_err()
            .to_string()
            .contains("not both")
    );
    assert!(serde_json::from_str::<Written>(r#"{"mod_revision":1,"created":true}"#).is_err());
}

#[test]
fn page_without_next_is_the_last() {
    let page = Page {
        kvs: vec![entry(b"a", b"1", 0)],
        count: 1,
        revision: 7,
        next: None,
    };
    let json = serde_json::to_string(&page).unwrap();
    assert!(!json.contains("next"));
    assert_eq!(serde_json::from_str::<Page>(&json).unwrap(), page);
}

#[test]
fn missing_key_is_a_problem() {
    let problem = Fault::KeyNotFound.problem("There is no key \"a\".");
    assert_eq!((problem.status, problem.code.as_str()), (404, "KeyNotFound"));
}
