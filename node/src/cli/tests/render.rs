//! Responses as text, in every format.

use bytes::Bytes;
use expect_test::{Expect, expect};
use kvorum_api::etcdserverpb::{
    DeleteRangeResponse, Member, MemberListResponse, PutResponse, RangeResponse, ResponseHeader,
};
use kvorum_api::mvccpb::KeyValue;

use super::parse;
use crate::cli::{Command, Format, del, member, put};

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: u64::MAX,
        member_id: 2,
        revision: 7,
        raft_term: 3,
    })
}

fn kv(key: &'static str, value: &'static [u8], lease: i64) -> KeyValue {
    let (key, value) = (key.into(), Bytes::from_static(value));
    KeyValue {
        key,
        value,
        create_revision: 5,
        mod_revision: 7,
        version: 2,
        lease,
    }
}

fn shown(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap()
}

fn get(line: &str, format: Format) -> String {
    let Ok(Command::Get(get)) = parse(line).map(|program| program.command) else {
        panic!("{line}")
    };
    let kvs = vec![kv("a", b"1\t2", 0), kv("b", b"", 0x1f)];
    shown(
        get.arguments
            .render(
                &RangeResponse {
                    header: header(),
                    kvs,
                    more: true,
                    count: 3,
                },
                format,
            )
            .unwrap(),
    )
}

fn check(actual: &str, expected: Expect) {
    expected.assert_eq(actual);
}

#[test]
fn get_as_lines() {
    check(&get("get a", Format::Simple), expect![["a\n1\t2\nb\n\n"]]);
    check(&get("get a --print-value-only", Format::Simple), expect![["1\t2\n\n"]]);
}

#[test]
fn get_as_json_has_etcdctls_shape() {
    check(
        &get("get a", Format::Json),
        expect![[r#"
            {"header":{"cluster_id":18446744073709551615,"member_id":2,"revision":7,"raft_term":3},"kvs":[{"key":"YQ==","create_revision":5,"mod_revision":7,"version":2,"value":"MQky"},{"key":"Yg==","create_revision":5,"mod_revision":7,"version":2,"lease":31}],"more":true,"count":3}
        "#]],
    );
}

#[test]
fn get_as_yaml() {
    check(
        &get("get a", Format::Yaml),
        expect![[r#"
            header:
              cluster_id: 18446744073709551615
              member_id: 2
              revision: 7
              raft_term: 3
            kvs:
            - key: YQ==
              create_revision: 5
              mod_revision: 7
              version: 2
              value: MQky
            - key: Yg==
              create_revision: 5
              mod_revision: 7
              version: 2
              lease: 31
            more: true
            count: 3
        "#]],
    );
}

#[test]
fn get_as_table() {
    check(
        &get("get a", Format::Table),
        expect![[r#"
            +-----+-------+---------+---------+----------+------------------+
            | KEY | VALUE | VERSION | CREATED | MODIFIED | LEASE            |
            +-----+-------+---------+---------+----------+------------------+
            | a   | 1\t2  | 2       | 5       | 7        |                  |
            | b   |       | 2       | 5       | 7        | 000000000000001f |
            +-----+-------+---------+---------+----------+------------------+
        "#]],
    );
}

#[test]
fn a_missing_key_prints_nothing_and_a_count_its_number() {
    let render = |line: &str| {
        let Ok(Command::Get(get)) = parse(line).map(|program| program.command) else {
            panic!("{line}")
        };
        shown(get.arguments.render(&RangeResponse::default(), Format::Simple).unwrap())
    };
    check(&render("get a"), expect![[""]]);
    check(&render("get a --count-only"), expect![["0\n"]]);
}

#[test]
fn put_and_del() {
    let put = |prev_kv| shown(put::render(&PutResponse { header: None, prev_kv }, Format::Simple).unwrap());
    check(&put(None), expect![["OK\n"]]);
    check(&put(Some(kv("a", b"1", 0))), expect![["OK\na\n1\n"]]);
    let response = DeleteRangeResponse {
        header: None,
        deleted: 1,
        prev_kvs: vec![kv("a", b"1", 0)],
    };
    check(
        &shown(del::render(&response, Format::Simple).unwrap()),
        expect![["1\na\n1\n"]],
    );
    check(
        &shown(del::render(&response, Format::Json).unwrap()),
        expect![[r#"
            {"deleted":1,"prev_kvs":[{"key":"YQ==","create_revision":5,"mod_revision":7,"version":2,"value":"MQ=="}]}
        "#]],
    );
}

#[test]
fn members() {
    let member = Member {
        id: 0xcafe,
        name: "n1".into(),
        peer_ur_ls: vec!["http://a:2380".into()],
        client_ur_ls: vec!["http://a:2379".into(), "http://b:2379".into()],
        is_learner: false,
    };
    let learner = Member {
        id: 1,
        is_learner: true,
        ..Member::default()
    };
    let response = MemberListResponse {
        header: None,
        members: vec![member, learner],
    };
    let render = |format| shown(member::render(&response, format).unwrap());
    check(
        &render(Format::Simple),
        expect![[r#"
            cafe, started, n1, http://a:2380, http://a:2379,http://b:2379, false
            1, unstarted, , , , true
        "#]],
    );
    check(
        &render(Format::Json),
        expect![[r#"
            {"members":[{"ID":51966,"name":"n1","peerURLs":["http://a:2380"],"clientURLs":["http://a:2379","http://b:2379"]},{"ID":1,"isLearner":true}]}
        "#]],
    );
}
