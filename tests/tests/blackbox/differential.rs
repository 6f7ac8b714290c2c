//! The same random requests to a real etcd and to Kvorum, over JSON and over gRPC: every answer equal, field by field; and
//! in the end, what a watcher is told of all that happened.
//!
//! Left out of the comparison: ids and terms in headers, which name who answered; the `error` field, an extra for
//! clients older than 3.6; the text of refusals that quote etcd's own JSON parser (none of these requests does); how
//! much of a lease is left, and in which order its keys are told, which is random in etcd.

use kvorum_api::etcdserverpb::WatchCreateRequest;
use kvorum_api::json::encode;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, number};
use kvorum_tests::grpc::{Watching, plain};
use kvorum_tests::reference::Reference;
use kvorum_tests::requests::Requests;
use kvorum_tests::{rpc, seed};
use rand::Rng;
use serde_json::{Value, json};
use tonic::transport::Channel;

/// Requests in an ordinary run, each sent to both sides.
const REQUESTS: usize = 3_000;

/// Times that etcd may end itself, in an ordinary run and in a long one.
const SESSIONS_MAX: usize = 40;

/// Differences printed before the test gives up.
const DIFFERENCES_MAX: usize = 5;

/// One side: a member's API over both wires.
struct Member {
    json: Etcd,
    grpc: Channel,
}

impl Member {
    fn new(json: Etcd, url: &str) -> Member {
        let grpc = plain(url);
        Member { json, grpc }
    }

    /// What it answers, without what may rightly differ.
    ///
    /// # Errors
    /// It is gone.
    async fn answer(&self, wire: Wire, path: &str, body: &Value) -> anyhow::Result<Value> {
        match wire {
            Wire::Json => {
                let reply = self.json.call(path, body).await?;
                Ok(json!({"status": reply.status, "body": normal(reply.json())}))
            }
            Wire::Grpc => match rpc::call(&self.grpc, path, body).await {
                Ok(answer) => Ok(json!({"status": 200, "body": normal(answer)})),
                // None of its own refusals: the connection is broken.
                Err(status) if std::error::Error::source(&status).is_some() => Err(status.into()),
                Err(status) => Ok(json!({"code": i32::from(status.code()), "message": status.message()})),
            },
        }
    }
}

/// How a request is sent.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Json,
    Grpc,
}

/// An answer without what may rightly differ.
fn normal(mut body: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::Object(header)) = map.get_mut("header") {
                    header.retain(|field, _| field == "revision");
                }
                map.remove("error");
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut body);
    if let Value::Object(map) = &mut body
        && map.contains_key("grantedTTL")
    {
        map.remove("TTL");
        if let Some(Value::Array(keys)) = map.get_mut("keys") {
            keys.sort_by_key(ToString::to_string);
        }
    }
    body
}

/// How a comparison went.
#[derive(Default)]
struct Tally {
    sent: usize,
    over_grpc: usize,
    refused: usize,
    events: usize,
    sessions: usize,
    differences: Vec<String>,
}

/// Sends requests to both sides until `count` are sent or etcd is gone.
async fn session(etcd: &Member, sides: &[Member], requests: &mut Requests, count: usize, tally: &mut Tally) {
    let mut first_revision = 2;
    while tally.sent < count {
        let (path, body) = requests.draw();
        let side = &sides[requests.random.random_range(0..sides.len())];
        let wire = if requests.random.random_range(0..3) == 0 {
            Wire::Grpc
        } else {
            Wire::Json
        };
        tally.sent += 1;
        tally.over_grpc += usize::from(matches!(wire, Wire::Grpc));
        let theirs = match etcd.answer(wire, path, &body).await {
            Ok(theirs) => theirs,
            Err(error) => {
                // etcd 3.7.3 ends itself now and then ("range failed to find revision pair"), after transactions that
                // change a key more than once and a compaction. Ours has to answer what it could not.
                println!("etcd is gone at request {}: {path} {body}: {error:#}", tally.sent);
                side.answer(wire, path, &body).await.expect("Kvorum is not gone");
                return;
            }
        };
        let ours = side.answer(wire, path, &body).await;
        let ours = ours.unwrap_or_else(|error| panic!("{wire:?} {path} {body}: {error:#}"));
        tally.refused += usize::from(theirs["status"] != 200);
        requests.revision = requests.revision.max(number(&theirs["body"]["header"]["revision"]));
        if path == "kv/compaction" && theirs["status"] == 200 {
            first_revision = first_revision.max(asked(&body["revision"]) + 1);
        }
        if theirs != ours {
            tally.differences.push(format!(
                "request {}: {wire:?} {path} {body}\n  etcd   {theirs}\n  kvorum {ours}",
                tally.sent
            ));
        }
        if tally.differences.len() >= DIFFERENCES_MAX {
            return;
        }
    }
    let last = requests.revision;
    for side in sides {
        let (theirs, ours) = (
            events(etcd, first_revision, last).await,
            events(side, first_revision, last).await,
        );
        tally.events += theirs.len();
        if let Some((theirs, ours)) = theirs.iter().zip(&ours).find(|(theirs, ours)| theirs != ours) {
            tally
                .differences
                .push(format!("watched\n  etcd   {theirs}\n  kvorum {ours}"));
        }
        assert_eq!(theirs.len(), ours.len(), "as many events");
    }
}

/// A revision in a request: as text or as a number.
fn asked(revision: &Value) -> i64 {
    revision.as_i64().unwrap_or_else(|| number(revision))
}

/// All events from one revision to another, as a watcher with previous values is told them.
async fn events(member: &Member, first: i64, last: i64) -> Vec<Value> {
    let mut events = Vec::new();
    if first > last {
        return events;
    }
    let everything = WatchCreateRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        start_revision: first,
        prev_kv: true,
        ..WatchCreateRequest::default()
    };
    let stream = Watching::open_watching(member.grpc.clone(), everything).await;
    let mut watching = stream.expect("a stream");
    loop {
        let response = watching.next().await;
        assert!(!response.canceled, "{response:?}");
        for event in &response.events {
            events.push(serde_json::from_slice(&encode(event)).expect("an event of ours is JSON"));
        }
        let reached = response.events.last().and_then(|event| event.kv.as_ref());
        if reached.is_some_and(|kv| kv.mod_revision >= last) {
            return events;
        }
    }
}

async fn compare(members: usize, serializable: bool) {
    let (random, _) = seed::generator(&format!("differential, {members} member(s)"));
    let mut requests = Requests {
        random,
        revision: 1,
        serializable,
    };
    let count = seed::count("KVORUM_DIFFERENTIAL_REQUESTS", REQUESTS);
    let mut tally = Tally::default();
    while tally.sent < count && tally.differences.is_empty() {
        let Some(reference) = Reference::start().await else {
            return;
        };
        let cluster = Cluster::plain(members).await;
        let etcd = Member::new(reference.etcd.clone(), &reference.urls[0]);
        let sides: Vec<Member> = (0..members)
            .map(|index| Member::new(cluster.at(index), &cluster.url(index)))
            .collect();
        requests.revision = 1;
        session(&etcd, &sides, &mut requests, count, &mut tally).await;
        tally.sessions += 1;
        assert!(
            tally.sessions <= SESSIONS_MAX,
            "etcd does not live: {} requests in {SESSIONS_MAX} sessions",
            tally.sent
        );
    }
    let Tally {
        sent,
        over_grpc,
        refused,
        events,
        sessions,
        differences,
    } = tally;
    assert!(
        differences.is_empty(),
        "{} difference(s):\n{}",
        differences.len(),
        differences.join("\n")
    );
    println!(
        "{sent} requests ({over_grpc} of them over gRPC), {refused} refused alike, {events} events watched, \
         {sessions} session(s): no difference"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_answers_as_etcd_does() {
    compare(1, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_answer_as_etcd_does() {
    compare(3, false).await;
}
