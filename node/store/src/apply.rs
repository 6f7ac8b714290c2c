//! What each command means.
//!
//! What must stay true: everything that can refuse a command is asked before its first change, so a refusal needs no
//! undoing; and nothing but the command, its position and the state decides, so every member comes to the same end.

use crate::auth::{self, AuthCommand, Tokens, Who};
use crate::command::{Command, LeaseRemaining};
use crate::draft::Draft;
use crate::engine::EngineError;
use crate::index::Span;
use crate::keyspace::LeaseRecord;
use crate::lease::{Lease, TTL_SECONDS_MAX};
use crate::outcome::{Fencing, Outcome, ReadError, Response, header};
use crate::range::Sight;
use crate::revision::LogPosition;
use crate::store::Store;
use crate::txn;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{
    AlarmRequest, CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantResponse,
    LeaseRevokeResponse, PutRequest, PutResponse,
};
use kvorum_api::mvccpb::Event;
use std::sync::Arc;

/// Why a command, or a part of it, gave no answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was refused and has changed nothing.
    Refused(Refusal),
    /// The engine failed in the middle; the process stops.
    Engine(EngineError),
}

/// What an admitted command came to.
struct Done {
    response: Response,
    tokens: Option<Tokens>,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Stop> for ReadError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::Refused(refusal),
            Stop::Engine(error) => Self::Engine(error),
        }
    }
}

impl Store {
    /// Applies one entry of the log. A refused command is an outcome; only the engine can fail, and then the process
    /// must stop.
    ///
    /// The requests are expected to have passed [`crate::validate`] before they were proposed.
    ///
    /// # Panics
    /// When the position does not move forward: an entry applied twice would be a different history.
    pub fn apply(&mut self, at: LogPosition, command: &Command) -> Result<Outcome, EngineError> {
        self.advance(at);
        let (who, command) = command.parts();
        let (answer, events) = match self.admit(who, command) {
            Ok(()) => self.carry_out(at, command),
            Err(refusal) => (Err(Stop::Refused(refusal)), Vec::new()),
        };
        let (response, tokens) = match answer {
            Ok(Done { response, tokens }) => (Ok(response), tokens),
            Err(Stop::Refused(refusal)) => (Err(refusal), None),
            Err(Stop::Engine(error)) => return Err(error),
        };
        Ok(Outcome {
            response,
            events,
            revision: self.state.revision,
            tokens,
        })
    }

    /// Whether a command may be carried out at all: alarms first, then the caller's rights, as in etcd.
    fn admit(&self, who: &Who, command: &Command) -> Result<(), Refusal> {
        self.state.alarms.check(command)?;
        match auth::act_of(command) {
            Some(act) => auth::check(&self.state.auth, &self.state.leases, who, act),
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, at: LogPosition, command: &Command) -> (Result<Done, Stop>, Vec<Event>) {
        let (answer, events) = match command {
            Command::Put(request) => self.draft(|draft| apply_put(draft, request).map(Response::Put)),
            Command::DeleteRange(request) => self.draft(|draft| {
                delete_range(draft, request)
                    .map(Response::DeleteRange)
                    .map_err(Stop::Engine)
            }),
            Command::Txn(request) => self.draft(|draft| txn::apply(draft, request).map(Response::Txn)),
            &Command::LeaseRevoke { id } => self.draft(|draft| lease_revoke(draft, id).map(Response::LeaseRevoke)),
            &Command::LeaseExpire { id, now_ms } => {
                self.tell_time(now_ms);
                self.draft(|draft| lease_expire(draft, id).map(Response::LeaseRevoke).map_err(Stop::Engine))
            }
            Command::Compact(request) => (self.compact(request).map_err(Stop::Refused), Vec::new()),
            &Command::LeaseGrant { id, ttl, now_ms } => {
                (self.lease_grant(id, ttl, now_ms).map_err(Stop::Refused), Vec::new())
            }
            Command::LeaseCheckpoint { now_ms, leases } => (Ok(self.lease_checkpoint(*now_ms, leases)), Vec::new()),
            &Command::Fence { epoch } => (Ok(self.fence(epoch)), Vec::new()),
            Command::Auth(command) => return (self.auth(at, command).map_err(Stop::Refused), Vec::new()),
            Command::Alarm(request) => (Ok(self.alarm(request)), Vec::new()),
            &Command::Disk { member_id, full } => (Ok(self.disk(member_id, full)), Vec::new()),
            Command::As { .. } => unreachable!("a command has one mark at most, and it was taken off"),
        };
        let done = answer.map(|response| Done { response, tokens: None });
        (done, events)
    }

    fn auth(&mut self, at: LogPosition, command: &AuthCommand) -> Result<Done, Refusal> {
        if let AuthCommand::Authenticate(request) = command {
            return Ok(Done {
                response: Response::Authenticated { index: at.index },
                tokens: Some(self.state.auth.authenticate(request)?),
            });
        }
        let changed = Arc::make_mut(&mut self.state.auth).apply(command)?;
        self.stage_auth(&changed);
        Ok(Done {
            response: Response::Auth,
            tokens: changed.tokens,
        })
    }

    fn alarm(&mut self, request: &AlarmRequest) -> Response {
        let revision = self.state.revision;
        let (response, changes) = Arc::make_mut(&mut self.state.alarms).apply(request, revision);
        self.stage_alarms(&changes);
        Response::Alarm(response)
    }

    fn disk(&mut self, member_id: u64, full: bool) -> Response {
        let revision = self.state.revision;
        let (response, changes) = Arc::make_mut(&mut self.state.alarms).disk(member_id, full, revision);
        self.stage_alarms(&changes);
        Response::Alarm(response)
    }

    /// Makes the key changes of one command, which become one revision.
    fn draft<T>(&mut self, change: impl FnOnce(&mut Draft<'_>) -> T) -> (T, Vec<Event>) {
        let mut draft = Draft::new(self);
        let answer = change(&mut draft);
        (answer, draft.finish())
    }

    fn compact(&mut self, request: &CompactionRequest) -> Result<Response, Refusal> {
        if request.revision <= self.state.compacted {
            return Err(Refusal::Compacted);
        }
        if request.revision > self.state.revision {
            return Err(Refusal::FutureRevision);
        }
        self.state.compacted = request.revision;
        Ok(Response::Compact(CompactionResponse {
            header: header(self.state.revision),
        }))
    }

    fn lease_grant(&mut self, id: i64, ttl: i64, now_ms: u64) -> Result<Response, Refusal> {
        if id == 0 {
            // Zero means "no lease" wherever a lease is named; the answer is etcd's.
            return Err(Refusal::LeaseNotFound);
        }
        if ttl > TTL_SECONDS_MAX {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.state.leases.get(id).is_some() {
            return Err(Refusal::LeaseExists);
        }
        self.tell_time(now_ms);
        self.set_lease(id, Lease::granted(ttl, self.state.clock_ms));
        let header = header(self.state.revision);
        Ok(Response::LeaseGrant(LeaseGrantResponse {
            header,
            id,
            ttl,
            error: String::new(),
        }))
    }

    fn lease_checkpoint(&mut self, now_ms: u64, leases: &[LeaseRemaining]) -> Response {
        self.tell_time(now_ms);
        let clock_ms = self.state.clock_ms;
        let mut ttls = Vec::with_capacity(leases.len());
        for &LeaseRemaining { id, remaining_ms } in leases {
            let lease = self.state.leases.get(id).copied();
            // An expired one is as good as gone: its revocation is under way.
            let lease = lease.filter(|lease| lease.remaining_ms(clock_ms) > 0);
            if let Some(lease) = lease {
                self.set_lease(id, lease.checkpointed(remaining_ms, clock_ms));
            }
            ttls.push(lease.map_or(0, |lease| lease.ttl));
        }
        Response::LeaseCheckpoint { ttls }
    }

    fn fence(&mut self, epoch: u64) -> Response {
        let remembered = self.state.fence;
        if epoch < remembered {
            return Response::Fence(Fencing::Stale { remembered });
        }
        self.state.fence = epoch;
        Response::Fence(Fencing::Accepted)
    }

    fn set_lease(&mut self, id: i64, lease: Lease) {
        self.state.leases.set(id, lease);
        self.stage_lease(id, Some(LeaseRecord::encoded(&lease)));
    }

    /// The cluster's time never runs backwards, whatever the clocks of the leaders say.
    fn tell_time(&mut self, now_ms: u64) {
        self.state.clock_ms = self.state.clock_ms.max(now_ms);
    }
}

fn apply_put(draft: &mut Draft<'_>, request: &PutRequest) -> Result<PutResponse, Stop> {
    check_put(&draft.sight(), request)?;
    Ok(put(draft, request)?)
}

/// What can refuse a put, asked of the state before the whole command.
pub(crate) fn check_put(sight: &Sight<'_>, request: &PutRequest) -> Result<(), Refusal> {
    if request.lease != 0 && sight.state.leases.get(request.lease).is_none() {
        return Err(Refusal::LeaseNotFound);
    }
    if (request.ignore_value || request.ignore_lease) && sight.state.index.live(&request.key).is_none() {
        return Err(Refusal::KeyNotFound);
    }
    Ok(())
}

/// Carries out a put that was checked.
pub(crate) fn put(draft: &mut Draft<'_>, request: &PutRequest) -> Result<PutResponse, EngineError> {
    let PutRequest {
        key,
        value,
        lease,
        prev_kv,
        ignore_value,
        ignore_lease,
    } = request;
    let sight = draft.sight();
    let before = if *prev_kv || *ignore_value {
        sight.newest(key)?
    } else {
        None
    };
    let lease = if *ignore_lease {
        sight.state.index.live(key).map_or(0, |newest| newest.lease)
    } else {
        *lease
    };
    match &before {
        Some(before) if *ignore_value => draft.put(key, &before.value, lease)?,
        _ => draft.put(key, value, lease)?,
    }
    Ok(PutResponse {
        header: header(draft.revision()),
        prev_kv: before.filter(|_| *prev_kv),
    })
}

/// Deletes the keys of a range.
pub(crate) fn delete_range(
    draft: &mut Draft<'_>,
    request: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, EngineError> {
    let span = Span::new(&request.key, &request.range_end);
    let prev_kvs = if request.prev_kv {
        draft.sight().newest_in(span)?
    } else {
        Vec::new()
    };
    let deleted = draft.delete(span)?;
    Ok(DeleteRangeResponse {
        header: header(draft.revision()),
        deleted,
        prev_kvs,
    })
}

fn lease_revoke(draft: &mut Draft<'_>, id: i64) -> Result<LeaseRevokeResponse, Stop> {
    if draft.sight().state.leases.get(id).is_none() {
        return Err(Refusal::LeaseNotFound.into());
    }
    draft.revoke(id)?;
    Ok(LeaseRevokeResponse {
        header: header(draft.revision()),
    })
}

/// Revokes a lease whose time is over; otherwise does nothing.
fn lease_expire(draft: &mut Draft<'_>, id: i64) -> Result<LeaseRevokeResponse, EngineError> {
    let state = draft.sight().state;
    let lease = state.leases.get(id);
    if lease.is_some_and(|lease| lease.remaining_ms(state.clock_ms) == 0) {
        draft.revoke(id)?;
    }
    Ok(LeaseRevokeResponse {
        header: header(draft.revision()),
    })
}
