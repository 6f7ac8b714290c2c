//! Taking turns: what locks and elections are made of, as in etcd's client library.
//!
//! Who wants a turn puts a key below a common prefix, under a lease. The key that was created first has the turn; the
//! others each wait for the one before them to go. A client that dies loses its lease, and with it its key.
//!
//! Must keep true: a caller that gives up waiting leaves no key behind; a turn is given only to a key that is still
//! there.

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use kvorum_api::error::{Failure, Refusal};
use kvorum_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use kvorum_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use kvorum_api::etcdserverpb::request_op::Request as Operation;
use kvorum_api::etcdserverpb::response_op::Response as Outcome;
use kvorum_api::etcdserverpb::watch_request::RequestUnion;
use kvorum_api::etcdserverpb::{self as pb};
use kvorum_api::mvccpb::KeyValue;
use kvorum_api::mvccpb::event::EventType;
use kvorum_api::range::prefix_end;

use super::{Caller, Service};
use crate::watch::Session;

/// Time to live of the lease that a caller without one is given, in seconds, as in etcd.
const LEASE_TTL_SECONDS: i64 = 60;

/// Requests of a watch that is made here.
pub(super) type Asked = Pin<Box<dyn Stream<Item = Result<pb::WatchRequest, Failure>> + Send>>;

/// A place in a queue. Dropped before it is kept, it leaves the queue.
pub(super) struct Place {
    service: Service,
    caller: Caller,
    /// What stands below the prefix.
    pub key: Bytes,
    /// The revision at which the key was created: the place in the queue.
    pub revision: i64,
    /// What the key holds.
    pub value: Bytes,
    /// The lease under which it stands.
    pub lease: i64,
    /// The header of the answer that put it there.
    pub header: Option<pb::ResponseHeader>,
    is_kept: bool,
}

impl Service {
    /// Puts a key into the queue below `prefix`; a key that stands there already keeps its place and its value.
    pub(super) async fn queue_up(
        &self,
        caller: &Caller,
        prefix: &Bytes,
        lease: i64,
        value: Bytes,
    ) -> Result<Place, Refusal> {
        let lease = match lease {
            0 => {
                let request = pb::LeaseGrantRequest {
                    ttl: LEASE_TTL_SECONDS,
                    id: 0,
                };
                self.lease_grant(caller, request).await?.id
            }
            lease => lease,
        };
        let key = Bytes::from([prefix, format!("{lease:x}").as_bytes()].concat());
        let put = pb::PutRequest {
            key: key.clone(),
            value: value.clone(),
            lease,
            ..Default::default()
        };
        let request = pb::TxnRequest {
            compare: vec![created_at(&key, 0)],
            success: vec![operation(Operation::RequestPut(put))],
            failure: vec![operation(Operation::RequestRange(one(&key)))],
        };
        let answer = self.txn(caller, request).await?;
        let (revision, value) = match found(&answer) {
            Some(pair) => (pair.create_revision, pair.value.clone()),
            None => (answer.header.map_or(0, |header| header.revision), value),
        };
        Ok(Place {
            service: self.clone(),
            caller: caller.clone(),
            key,
            revision,
            value,
            lease,
            header: answer.header,
            is_kept: false,
        })
    }

    /// Waits until no key below `prefix` is older than `place`.
    ///
    /// # Errors
    /// The place was lost meanwhile, or the member stops.
    pub(super) async fn wait_for_turn(&self, prefix: &Bytes, place: &Place) -> Result<pb::ResponseHeader, Refusal> {
        loop {
            let request = pb::RangeRequest {
                max_create_revision: place.revision - 1,
                sort_order: SortOrder::Descend.into(),
                ..first_of(prefix)
            };
            let answer = self.range(&place.caller, request).await?;
            let header = answer.header.unwrap_or_default();
            let Some(before) = answer.kvs.into_iter().next() else {
                return self.still_there(place).await;
            };
            self.wait_for_deletion(&place.caller, before.key, header.revision + 1)
                .await?;
        }
    }

    async fn still_there(&self, place: &Place) -> Result<pb::ResponseHeader, Refusal> {
        let answer = self.range(&place.caller, one(&place.key)).await?;
        match answer.kvs.first() {
            Some(pair) if pair.create_revision == place.revision => Ok(answer.header.unwrap_or_default()),
            _ => Err(Refusal::SessionExpired),
        }
    }

    async fn wait_for_deletion(&self, caller: &Caller, key: Bytes, from: i64) -> Result<(), Refusal> {
        let mut session = self.watch_here(caller, key, Bytes::new(), from).await?;
        loop {
            let Some(response) = next(&mut session).await? else {
                // History from there is gone already: look again.
                return Ok(());
            };
            if response.events.iter().any(|event| event.r#type() == EventType::Delete) {
                return Ok(());
            }
        }
    }

    /// A watch of one range for use in this process.
    pub(super) async fn watch_here(
        &self,
        caller: &Caller,
        key: Bytes,
        range_end: Bytes,
        start_revision: i64,
    ) -> Result<Session<Asked>, Refusal> {
        let create = pb::WatchCreateRequest {
            key,
            range_end,
            start_revision,
            ..Default::default()
        };
        let request = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let requests = futures::stream::iter([Ok(request)]).chain(futures::stream::pending());
        self.watch(caller.clone(), false, Box::pin(requests) as Asked).await
    }
}

/// The next response of a watch with events; `None` when it was cancelled for want of history.
pub(super) async fn next(session: &mut Session<Asked>) -> Result<Option<pb::WatchResponse>, Refusal> {
    loop {
        let response = match session.next().await {
            Some(Ok(response)) => response,
            Some(Err(failure)) => return Err(Refusal::from_message(&failure.message).unwrap_or(Refusal::WatchCanceled)),
            None => return Err(Refusal::Stopped),
        };
        if response.canceled && response.compact_revision > 0 {
            return Ok(None);
        }
        if response.canceled {
            return Err(Refusal::PermissionDenied);
        }
        if !response.events.is_empty() {
            return Ok(Some(response));
        }
    }
}

impl Place {
    /// Keeps the place: the caller has the turn.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (service, caller) = (self.service.clone(), self.caller.clone());
        let request = delete_if_created_at(&self.key, self.revision);
        tokio::spawn(async move {
            if let Err(refusal) = service.txn(&caller, request).await {
                tracing::debug!("a place in a queue stays until its lease ends: {refusal}");
            }
        });
    }
}

/// Deletes a key, if it is still the one that was created at a revision.
pub(super) fn delete_if_created_at(key: &Bytes, revision: i64) -> pb::TxnRequest {
    let delete = pb::DeleteRangeRequest {
        key: key.clone(),
        ..Default::default()
    };
    pb::TxnRequest {
        compare: vec![created_at(key, revision)],
        success: vec![operation(Operation::RequestDeleteRange(delete))],
        failure: Vec::new(),
    }
}

/// Writes a key, if it is still the one that was created at a revision.
pub(super) fn put_if_created_at(key: &Bytes, revision: i64, value: Bytes, lease: i64) -> pb::TxnRequest {
    let put = pb::PutRequest {
        key: key.clone(),
        value,
        lease,
        ..Default::default()
    };
    pb::TxnRequest {
        compare: vec![created_at(key, revision)],
        success: vec![operation(Operation::RequestPut(put))],
        failure: Vec::new(),
    }
}

/// The key below a prefix that was created first.
pub(super) fn first_of(prefix: &Bytes) -> pb::RangeRequest {
    pb::RangeRequest {
        key: prefix.clone(),
        range_end: prefix_end(prefix),
        limit: 1,
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        ..Default::default()
    }
}

fn one(key: &Bytes) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.clone(),
        ..Default::default()
    }
}

fn created_at(key: &Bytes, revision: i64) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

fn operation(request: Operation) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// The pair that the first operation of a transaction read.
fn found(answer: &pb::TxnResponse) -> Option<&KeyValue> {
    match answer.responses.first()?.response.as_ref()? {
        Outcome::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}
