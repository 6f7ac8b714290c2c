//! The model: every version that ever was, in one list, and the rules of etcd written down as plainly as possible.
//!
//! Slow on purpose; it shares nothing with the store but the messages. Requests are expected to have passed
//! validation.

use bytes::Bytes;
use kvorum_api::etcdserverpb::compare::TargetUnion;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::response_op::Response as Part;
use kvorum_api::etcdserverpb::{
    CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantResponse, LeaseRevokeResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse, range_request,
};
use kvorum_api::mvccpb::{Event, KeyValue};
use kvorum_store::{Command, Fencing, LeaseRemaining, Outcome, Refusal, Response};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that ever happened.
#[derive(Clone)]
pub(crate) struct Model {
    events: Vec<Event>,
    revision: i64,
    compacted: i64,
    /// Granted seconds and expiry of each lease.
    leases: BTreeMap<i64, (i64, u64)>,
    clock_ms: u64,
    fence: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            revision: 1,
            compacted: -1,
            leases: BTreeMap::new(),
            clock_ms: 0,
            fence: 0,
        }
    }
}

/// Changes of one command so far.
struct Draft<'a> {
    model: &'a mut Model,
    first: usize,
}

impl Model {
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Events from the compacted revision on, without what compaction forgot.
    pub(crate) fn events(&self) -> Vec<Event> {
        let from = |event: &&Event| modified(event) >= self.compacted;
        // Of a key that one transaction deleted and put again, only the put is left once its revision was compacted
        // to.
        let last = |(place, event): &(usize, &Event)| {
            let later = |other: &Event| key(other) == key(event) && modified(other) == modified(event);
            modified(event) > self.compacted || !self.events[place + 1..].iter().any(later)
        };
        self.events
            .iter()
            .enumerate()
            .filter(last)
            .map(|(_, event)| event)
            .filter(from)
            .cloned()
            .collect()
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        let first = self.events.len();
        let response = self.answer(command);
        if self.events.len() > first {
            self.revision += 1;
        }
        Outcome {
            response,
            events: self.events[first..].to_vec(),
            revision: self.revision,
            tokens: None,
        }
    }

    fn answer(&mut self, command: &Command) -> Result<Response, Refusal> {
        let current = header(self.revision);
        match command {
            Command::Put(request) => {
                self.check_put(request)?;
                Ok(Response::Put(self.draft().put(request)))
            }
            Command::DeleteRange(request) => Ok(Response::DeleteRange(self.draft().delete(request))),
            Command::Txn(request) => {
                let path = self.decide(request);
                self.check(&path)?;
                let mut draft = self.draft();
                let mut response = draft.run(&path);
                response.header = header(draft.current());
                Ok(Response::Txn(response))
            }
            Command::Compact(request) if request.revision <= self.compacted => Err(Refusal::Compacted),
            Command::Compact(request) if request.revision > self.revision => Err(Refusal::FutureRevision),
            Command::Compact(request) => {
                self.compacted = request.revision;
                Ok(Response::Compact(CompactionResponse { header: current }))
            }
            Command::LeaseGrant { id: 0, .. } => Err(Refusal::LeaseNotFound),
            Command::LeaseGrant { id, .. } if self.leases.contains_key(id) => Err(Refusal::LeaseExists),
            &Command::LeaseGrant { id, ttl, now_ms } => {
                self.clock_ms = self.clock_ms.max(now_ms);
                self.leases.insert(id, (ttl, self.clock_ms + seconds(ttl)));
                Ok(Response::LeaseGrant(LeaseGrantResponse {
                    header: current,
                    id,
                    ttl,
                    error: String::new(),
                }))
            }
            Command::LeaseRevoke { id } => self.revoke(*id),
            Command::LeaseCheckpoint { now_ms, leases } => {
                self.clock_ms = self.clock_ms.max(*now_ms);
                let ttls = leases.iter().map(|lease| self.renew(lease)).collect();
                Ok(Response::LeaseCheckpoint { ttls })
            }
            &Command::LeaseExpire { id, now_ms } => {
                self.clock_ms = self.clock_ms.max(now_ms);
                if self.leases.get(&id).is_some_and(|(_, end)| *end <= self.clock_ms) {
                    return self.revoke(id);
                }
                Ok(Response::LeaseRevoke(LeaseRevokeResponse { header: current }))
            }
            Command::Fence { epoch } if *epoch < self.fence => {
                Ok(Response::Fence(Fencing::Stale { remembered: self.fence }))
            }
            Command::Fence { epoch } => {
                self.fence = *epoch;
                Ok(Response::Fence(Fencing::Accepted))
            }
            Command::Auth(_) | Command::Alarm(_) | Command::Disk { .. } | Command::As { .. } => {
                unreachable!("the steps have no users and no alarms; the transcripts do")
            }
        }
    }

    /// Seconds granted, or zero when the lease is gone or over.
    fn renew(&mut self, lease: &LeaseRemaining) -> i64 {
        match self.leases.get_mut(&lease.id) {
            Some((ttl, end)) if *end > self.clock_ms => {
                *end = self.clock_ms + lease.remaining_ms.min(seconds(*ttl));
                *ttl
            }
            _ => 0,
        }
    }

    fn revoke(&mut self, id: i64) -> Result<Response, Refusal> {
        if self.leases.remove(&id).is_none() {
            return Err(Refusal::LeaseNotFound);
        }
        let attached: Vec<_> = self
            .visible(i64::MAX)
            .into_iter()
            .filter(|pair| pair.lease == id)
            .collect();
        let mut draft = self.draft();
        for pair in attached {
            draft.delete(&DeleteRangeRequest {
                key: pair.key,
                ..DeleteRangeRequest::default()
            });
        }
        Ok(Response::LeaseRevoke(LeaseRevokeResponse {
            header: header(draft.current()),
        }))
    }

    fn draft(&mut self) -> Draft<'_> {
        let first = self.events.len();
        Draft { model: self, first }
    }

    /// Every live pair at a revision, by key.
    fn visible(&self, revision: i64) -> Vec<KeyValue> {
        let keys: BTreeSet<_> = self.events.iter().map(key).collect();
        let newest = |own: Bytes| {
            self.events
                .iter()
                .rfind(|event| key(event) == own && modified(event) <= revision)
        };
        keys.into_iter()
            .filter_map(newest)
            .filter(|event| event.r#type == 0)
            .filter_map(|event| event.kv.clone())
            .collect()
    }

    fn select(&self, start: &[u8], end: &[u8], revision: i64) -> Vec<KeyValue> {
        let inside = |key: &[u8]| match end {
            [] => key == start,
            [0] => key >= start,
            end => key >= start && key < end,
        };
        self.visible(revision)
            .into_iter()
            .filter(|pair| inside(&pair.key))
            .collect()
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        self.range_from(request, self.revision)
    }

    fn range_from(&self, request: &RangeRequest, current: i64) -> Result<RangeResponse, Refusal> {
        if request.revision > current {
            return Err(Refusal::FutureRevision);
        }
        let revision = if request.revision <= 0 {
            current
        } else {
            request.revision
        };
        if revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        let mut kvs = self.select(&request.key, &request.range_end, revision);
        let count = kvs.len() as i64;
        if request.count_only {
            return Ok(RangeResponse {
                header: header(current),
                count,
                ..RangeResponse::default()
            });
        }
        let filters = (
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        );
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let plain = request.sort_order == 0 || (request.sort_order == 1 && request.sort_target == 0);
        if let Some(limit) = limit
            && plain
            && filters == (0, 0, 0, 0)
        {
            kvs.truncate(limit + 1);
        }
        kvs.retain(|pair| filters.0 == 0 || pair.mod_revision >= filters.0);
        kvs.retain(|pair| filters.1 == 0 || pair.mod_revision <= filters.1);
        kvs.retain(|pair| filters.2 == 0 || pair.create_revision >= filters.2);
        kvs.retain(|pair| filters.3 == 0 || pair.create_revision <= filters.3);
        sort(&mut kvs, request);
        let more = limit.is_some_and(|limit| kvs.len() > limit);
        kvs.truncate(limit.unwrap_or(usize::MAX));
        if request.keys_only {
            let by_value = request.sort_target == i32::from(range_request::SortTarget::Value);
            for pair in &mut kvs {
                pair.value = Bytes::new();
                pair.lease = if by_value { pair.lease } else { 0 };
            }
        }
        Ok(RangeResponse {
            header: header(current),
            kvs,
            more,
            count,
        })
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), Refusal> {
        if request.lease != 0 && !self.leases.contains_key(&request.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        let absent = self.select(&request.key, b"", i64::MAX).is_empty();
        if absent && (request.ignore_value || request.ignore_lease) {
            Err(Refusal::KeyNotFound)
        } else {
            Ok(())
        }
    }

    /// The operations that will run, children decided: each with its own verdict.
    fn decide<'a>(&self, request: &'a TxnRequest) -> (bool, Vec<Chosen<'a>>) {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &request.success } else { &request.failure };
        let choose = |RequestOp { request }: &'a RequestOp| match request.as_ref().unwrap() {
            Request::RequestTxn(txn) => {
                let (succeeded, chosen) = self.decide(txn);
                Chosen::Child(succeeded, chosen)
            }
            other => Chosen::Leaf(other),
        };
        (succeeded, branch.iter().map(choose).collect())
    }

    fn check(&self, (_, chosen): &(bool, Vec<Chosen<'_>>)) -> Result<(), Refusal> {
        self.check_each(chosen)
    }

    fn check_each(&self, chosen: &[Chosen<'_>]) -> Result<(), Refusal> {
        chosen.iter().try_for_each(|one| match one {
            Chosen::Leaf(Request::RequestPut(put)) => self.check_put(put),
            Chosen::Leaf(Request::RequestRange(range)) if range.revision == 0 => Ok(()),
            Chosen::Leaf(Request::RequestRange(range)) if range.revision > self.revision => {
                Err(Refusal::FutureRevision)
            }
            Chosen::Leaf(Request::RequestRange(range)) if range.revision < self.compacted => Err(Refusal::Compacted),
            Chosen::Leaf(_) => Ok(()),
            Chosen::Child(_, chosen) => self.check_each(chosen),
        })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let pairs = self.select(&compare.key, &compare.range_end, i64::MAX);
        if pairs.is_empty() {
            return compare.target != 3 && compares(compare, &KeyValue::default());
        }
        pairs.iter().all(|pair| compares(compare, pair))
    }
}

enum Chosen<'a> {
    Leaf(&'a Request),
    Child(bool, Vec<Chosen<'a>>),
}

impl Draft<'_> {
    fn current(&self) -> i64 {
        self.model.revision + i64::from(self.model.events.len() > self.first)
    }

    fn put(&mut self, request: &PutRequest) -> PutResponse {
        let before = self.model.select(&request.key, b"", i64::MAX).pop();
        let mod_revision = self.model.revision + 1;
        let pair = KeyValue {
            key: request.key.clone(),
            create_revision: before.as_ref().map_or(mod_revision, |before| before.create_revision),
            mod_revision,
            version: before.as_ref().map_or(1, |before| before.version + 1),
            value: match &before {
                Some(before) if request.ignore_value => before.value.clone(),
                _ => request.value.clone(),
            },
            lease: match &before {
                Some(before) if request.ignore_lease => before.lease,
                _ => request.lease,
            },
        };
        self.model.events.push(Event {
            r#type: 0,
            kv: Some(pair),
            prev_kv: None,
        });
        PutResponse {
            header: header(self.current()),
            prev_kv: before.filter(|_| request.prev_kv),
        }
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let pairs = self.model.select(&request.key, &request.range_end, i64::MAX);
        for pair in &pairs {
            let gone = KeyValue {
                key: pair.key.clone(),
                mod_revision: self.model.revision + 1,
                ..KeyValue::default()
            };
            self.model.events.push(Event {
                r#type: 1,
                kv: Some(gone),
                prev_kv: None,
            });
        }
        let deleted = pairs.len() as i64;
        let prev_kvs = if request.prev_kv { pairs } else { Vec::new() };
        DeleteRangeResponse {
            header: header(self.current()),
            deleted,
            prev_kvs,
        }
    }

    fn run(&mut self, (succeeded, chosen): &(bool, Vec<Chosen<'_>>)) -> TxnResponse {
        self.run_each(*succeeded, chosen)
    }

    fn run_each(&mut self, succeeded: bool, chosen: &[Chosen<'_>]) -> TxnResponse {
        let run = |one: &Chosen<'_>| {
            let part = match one {
                Chosen::Leaf(Request::RequestPut(put)) => Part::ResponsePut(self.put(put)),
                Chosen::Leaf(Request::RequestDeleteRange(delete)) => Part::ResponseDeleteRange(self.delete(delete)),
                Chosen::Leaf(Request::RequestRange(range)) => {
                    Part::ResponseRange(self.model.range_from(range, self.current()).unwrap())
                }
                Chosen::Leaf(Request::RequestTxn(_)) => unreachable!("children are chosen as such"),
                Chosen::Child(succeeded, chosen) => Part::ResponseTxn(self.run_each(*succeeded, chosen)),
            };
            ResponseOp { response: Some(part) }
        };
        TxnResponse {
            header: header(0),
            succeeded,
            responses: chosen.iter().map(run).collect(),
        }
    }
}

fn compares(compare: &Compare, pair: &KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    let ordering = match (compare.target, union) {
        (0, Some(TargetUnion::Version(other))) => pair.version.cmp(other),
        (0, _) => pair.version.cmp(&0),
        (1, Some(TargetUnion::CreateRevision(other))) => pair.create_revision.cmp(other),
        (1, _) => pair.create_revision.cmp(&0),
        (2, Some(TargetUnion::ModRevision(other))) => pair.mod_revision.cmp(other),
        (2, _) => pair.mod_revision.cmp(&0),
        (3, Some(TargetUnion::Value(other))) => pair.value.cmp(other),
        (3, _) => pair.value.cmp(&Bytes::new()),
        (4, Some(TargetUnion::Lease(other))) => pair.lease.cmp(other),
        (4, _) => pair.lease.cmp(&0),
        (other, _) => unreachable!("no compare target {other}"),
    };
    match compare.result {
        0 => ordering.is_eq(),
        1 => ordering.is_gt(),
        2 => ordering.is_lt(),
        _ => ordering.is_ne(),
    }
}

fn sort(kvs: &mut [KeyValue], request: &RangeRequest) {
    let descending = request.sort_order == 2;
    let ordered = |ordering: std::cmp::Ordering| if descending { ordering.reverse() } else { ordering };
    match request.sort_target {
        0 => kvs.sort_by(|left, right| ordered(left.key.cmp(&right.key))),
        1 => kvs.sort_by(|left, right| ordered(left.version.cmp(&right.version))),
        2 => kvs.sort_by(|left, right| ordered(left.create_revision.cmp(&right.create_revision))),
        3 => kvs.sort_by(|left, right| ordered(left.mod_revision.cmp(&right.mod_revision))),
        _ => kvs.sort_by(|left, right| ordered(left.value.cmp(&right.value))),
    }
}

fn key(event: &Event) -> Bytes {
    event.kv.as_ref().unwrap().key.clone()
}

fn modified(event: &Event) -> i64 {
    event.kv.as_ref().unwrap().mod_revision
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn seconds(ttl: i64) -> u64 {
    u64::try_from(ttl).unwrap() * 1_000
}
