//! The tables against what etcd 3.7.3 declares and answers.

use super::*;
use expect_test::expect_file;
use test_case::test_case;

/// The whole table, so that a change of any text, code or status shows up in review.
#[test]
fn table_of_refusals() {
    let mut table = String::new();
    for refusal in Refusal::ALL {
        let (code, status) = (refusal.grpc_code(), refusal.http_status());
        table += &format!("{:<30}{code:>3} {status}  {}\n", refusal.name(), refusal.message());
    }
    expect_file!["testdata/refusals.txt"].assert_eq(&table);
}

#[test]
fn texts_and_names_are_unique_and_found_again() {
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::from_message(refusal.message()), Some(*refusal));
        let name = refusal.name();
        assert!(name.starts_with(|letter: char| letter.is_ascii_uppercase()), "{name}");
        assert_eq!(
            Refusal::ALL.iter().filter(|other| other.name() == name).count(),
            1,
            "{name}"
        );
    }
    assert_eq!(Refusal::from_message("etcdserver: something else"), None);
}

#[test_case(0, None; "no error is no code")]
#[test_case(5, Some(Code::NotFound); "known")]
#[test_case(17, None; "past the end")]
fn codes_by_number(number: i32, expected: Option<Code>) {
    assert_eq!(Code::from_number(number), expected);
}

#[test]
fn every_code_is_its_own_number() {
    for (index, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(code.number(), index as i32 + 1);
        assert_eq!(Code::from_number(code.number()), Some(code));
    }
}

#[test]
fn body_has_the_new_shape_and_the_legacy_extra() {
    let body = Failure::from(Refusal::EmptyKey).json_body();
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"error":"etcdserver: key is not provided","code":3,"message":"etcdserver: key is not provided"}"#
    );
}

#[test]
fn body_without_the_legacy_extra_is_read() {
    let body: Body<'_> = serde_json::from_str(r#"{"code":14,"message":"etcdserver: no leader","details":[]}"#).unwrap();
    assert_eq!((body.code, body.message.as_ref()), (14, "etcdserver: no leader"));
}

#[test]
fn stream_error_is_one_object() {
    let failure = Failure::from(Refusal::NoLeader);
    let line = serde_json::to_string(&StreamError::new(&failure)).unwrap();
    assert_eq!(line, r#"{"error":{"code":14,"message":"etcdserver: no leader"}}"#);
}
