//! Clients that read and write at one member, and record what they saw.
//!
//! Must keep true: an operation whose member died under it, or that was refused, is of unknown outcome; what a member says
//! after its power went is not believed.

use std::sync::Arc;
use std::time::Duration;

use kvorum::service::{Caller, Service};
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_files::simulated::{dice, disk};
use kvorum_tests::checks::headers::Header;
use kvorum_tests::history::{Action, Answer, Step};
use tokio::time::{sleep, timeout};

use crate::record::{Careless, Record, now};

/// Between two operations of one client, in milliseconds.
const PACE_MS: u64 = 30;
/// A client waits so long for an answer at least, and less than that and the spread at most, in milliseconds.
const PATIENCE_MS: (u64, u64) = (300, 4_000);

/// A client.
pub(crate) struct Client {
    pub(crate) number: u32,
    pub(crate) member: String,
    pub(crate) keys: u32,
    pub(crate) service: Service,
    pub(crate) record: Arc<Record>,
}

/// An operation under way. Where the member dies first, it is of unknown outcome.
struct Open<'a> {
    client: &'a Client,
    called: i64,
    step: Option<Step>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(step) = self.step.take() {
            self.client
                .record
                .event(&format!("{} lost {step:?}", self.client.number));
            let (recorder, number) = (&self.client.record.recorder, self.client.number);
            recorder.add_at(number, self.called, i64::MAX, step);
        }
    }
}

impl Client {
    /// Reads and writes until the load is over.
    pub(crate) async fn run(self) {
        let mut seen = vec![None; self.keys as usize];
        while !self.record.is_stopped() {
            sleep(Duration::from_millis(1 + dice::below(PACE_MS))).await;
            self.one(&mut seen).await;
        }
    }

    async fn one(&self, seen: &mut [Option<u64>]) {
        let key = u32::try_from(dice::below(self.keys.into())).unwrap_or_default();
        let action = match dice::below(100) {
            0..40 => Action::Get,
            40..48 => return self.careless(key).await,
            48..80 => Action::Put(self.value()),
            80..92 => Action::Swap {
                expected: seen[key as usize],
                value: self.value(),
            },
            _ => Action::Delete,
        };
        let step = |answer| Step {
            key,
            action: action.clone(),
            answer,
        };
        let mut open = Open {
            client: self,
            called: now(),
            step: Some(step(Answer::Unknown)),
        };
        let known = self.record.recorder.known();
        let patience = Duration::from_millis(PATIENCE_MS.0 + dice::below(PATIENCE_MS.1));
        let answered = timeout(patience, self.ask(key, &action)).await;
        if disk(&self.member).is_cut() {
            return;
        }
        open.step = None;
        let answer = match answered {
            Ok(Ok((answer, header))) => {
                self.record.recorder.header(&known, header);
                answer
            }
            Ok(Err(refusal)) => {
                self.record.count(&format!("refused-{}", refusal.name()), 1);
                Answer::Unknown
            }
            Err(_) => {
                self.record.count("no-answer-in-time", 1);
                Answer::Unknown
            }
        };
        match (&action, &answer) {
            (Action::Put(value) | Action::Swap { value, .. }, Answer::Put(_) | Answer::Swapped(Some(_))) => {
                seen[key as usize] = Some(*value);
            }
            (_, Answer::Found(found)) => seen[key as usize] = found.map(|(value, _)| value),
            (_, Answer::Deleted(_)) => seen[key as usize] = None,
            _ => {}
        }
        let (called, answered, step) = (open.called, now(), step(answer));
        self.record
            .event(&format!("{} {called} {answered} {step:?}", self.number));
        self.record.recorder.add_at(self.number, called, answered, step);
    }

    /// No two writes write the same.
    fn value(&self) -> u64 {
        dice::next() >> 16
    }

    async fn ask(&self, key: u32, action: &Action) -> Result<(Answer, Header), Refusal> {
        let key = format!("k{key}").into_bytes();
        let (service, caller) = (&self.service, Caller::default());
        let (answer, header) = match action {
            Action::Get => {
                let found = service.range(&caller, read(key, false)).await?;
                (Answer::Found(found.kvs.first().map(pair)), found.header)
            }
            Action::Put(value) => {
                let written = service.put(&caller, put(key, *value)).await?;
                let header = written.header;
                (Answer::Put(revision(header.as_ref())), header)
            }
            Action::Delete => {
                let request = pb::DeleteRangeRequest {
                    key: key.into(),
                    ..Default::default()
                };
                let deleted = service.delete_range(&caller, request).await?;
                let at = revision(deleted.header.as_ref());
                (Answer::Deleted((deleted.deleted > 0).then_some(at)), deleted.header)
            }
            Action::Swap { expected, value } => {
                let swapped = service.txn(&caller, swap(key, *expected, *value)).await?;
                let at = revision(swapped.header.as_ref());
                (Answer::Swapped(swapped.succeeded.then_some(at)), swapped.header)
            }
        };
        let header = header.unwrap_or_default();
        let header = Header {
            member: header.member_id,
            term: header.raft_term,
            revision: header.revision,
        };
        Ok((answer, header))
    }

    /// A read of what the member happens to have: it may be old, but must have been.
    async fn careless(&self, key: u32) {
        let key = format!("k{key}");
        let found = self
            .service
            .range(&Caller::default(), read(key.clone().into_bytes(), true))
            .await;
        let Some((value, revision)) = found.ok().and_then(|found| found.kvs.first().map(pair)) else {
            return;
        };
        if !disk(&self.member).is_cut() {
            self.record.count("serializable-reads", 1);
            let value = value.to_string();
            self.record.careless().push(Careless { key, value, revision });
        }
    }
}

fn read(key: Vec<u8>, serializable: bool) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        serializable,
        ..Default::default()
    }
}

pub(crate) fn put(key: Vec<u8>, value: u64) -> pb::PutRequest {
    pb::PutRequest {
        key: key.into(),
        value: value.to_string().into_bytes().into(),
        ..Default::default()
    }
}

fn swap(key: Vec<u8>, expected: Option<u64>, value: u64) -> pb::TxnRequest {
    let (target, union) = match expected {
        None => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
        Some(expected) => (
            CompareTarget::Value,
            TargetUnion::Value(expected.to_string().into_bytes().into()),
        ),
    };
    let compare = pb::Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.clone().into(),
        target_union: Some(union),
        ..Default::default()
    };
    let write = pb::RequestOp {
        request: Some(Request::RequestPut(put(key, value))),
    };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![write],
        ..Default::default()
    }
}

fn revision(header: Option<&pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

fn pair(pair: &kvorum_api::mvccpb::KeyValue) -> (u64, i64) {
    let text = String::from_utf8_lossy(&pair.value);
    (text.parse().unwrap_or_default(), pair.mod_revision)
}
