//! Alarms: conditions that stop writes on every member until somebody clears them.
//!
//! Must keep true: while `NOSPACE` stands nothing that needs room is carried out, but everything that makes room is;
//! while `CORRUPT` stands no key changes. No alarm clears itself but that of a member's disk: the member that raised it
//! for want of room clears it when there is room again. To those who ask it is that member's `NOSPACE`, as the quota's is.

use crate::command::Command;
use crate::engine::EngineError;
use crate::keyspace::ALARMS;
use crate::outcome::header;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::alarm_request::AlarmAction;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{AlarmMember, AlarmRequest, AlarmResponse, AlarmType, RequestOp, TxnRequest};
use std::collections::BTreeSet;

/// Kept apart from the kinds that clients name, so that the member knows its own again, whatever happened in between.
const DISK: i32 = 64;

/// The alarms that stand: kind and member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alarms(BTreeSet<(i32, u64)>);

impl Alarms {
    pub(crate) fn stands(&self, kind: AlarmType) -> bool {
        !self.list(kind).is_empty()
    }

    /// Whether a member has said that its disk is full.
    pub(crate) fn is_disk_full(&self, member_id: u64) -> bool {
        self.0.contains(&(DISK, member_id))
    }

    /// The alarms of a kind, or all of them.
    pub(crate) fn list(&self, kind: AlarmType) -> Vec<AlarmMember> {
        let standing: BTreeSet<(i32, u64)> = self.0.iter().map(|&(kind, member)| (named(kind), member)).collect();
        let asked = |(own, _): &(i32, u64)| kind == AlarmType::None || *own == i32::from(kind);
        standing.into_iter().filter(asked).map(member).collect()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Vec<u8>> {
        self.0.iter().map(|&(kind, member_id)| key(kind, member_id))
    }

    /// Takes one stored alarm.
    pub(crate) fn load(&mut self, stored: &[u8]) -> Result<(), EngineError> {
        let malformed = || EngineError::corrupt(stored, "not the key of an alarm");
        let (&[_, kind], member_id) = stored.split_first_chunk::<2>().ok_or_else(malformed)?;
        let member_id = u64::from_be_bytes(member_id.try_into().map_err(|_| malformed())?);
        self.0.insert((kind.into(), member_id));
        Ok(())
    }

    /// Raises or clears an alarm; answers what the engine must be told.
    pub(crate) fn apply(&mut self, request: &AlarmRequest, revision: i64) -> (AlarmResponse, Vec<AlarmChange>) {
        let mut response = AlarmResponse {
            header: header(revision),
            alarms: Vec::new(),
        };
        let entry = (request.alarm, request.member_id);
        // What is no kind of alarm cannot stand.
        let kind = AlarmType::try_from(request.alarm).unwrap_or(AlarmType::None);
        let changes = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Activate) if kind != AlarmType::None => {
                response.alarms.push(member(entry));
                self.raise(entry)
            }
            Ok(AlarmAction::Deactivate) if kind != AlarmType::None => {
                let mut changes = self.clear(entry);
                if kind == AlarmType::Nospace {
                    changes.append(&mut self.clear((DISK, request.member_id)));
                }
                if !changes.is_empty() {
                    response.alarms.push(member(entry));
                }
                changes
            }
            Ok(AlarmAction::Get) => {
                response.alarms = self.list(kind);
                Vec::new()
            }
            Ok(AlarmAction::Activate | AlarmAction::Deactivate) | Err(_) => Vec::new(),
        };
        (response, changes)
    }

    /// Raises or clears the alarm of a member's disk; answers what the engine must be told.
    pub(crate) fn disk(&mut self, member_id: u64, full: bool, revision: i64) -> (AlarmResponse, Vec<AlarmChange>) {
        let entry = (DISK, member_id);
        let response = AlarmResponse {
            header: header(revision),
            alarms: vec![member((named(DISK), member_id))],
        };
        let changes = if full { self.raise(entry) } else { self.clear(entry) };
        (response, changes)
    }

    fn raise(&mut self, (kind, member_id): (i32, u64)) -> Vec<AlarmChange> {
        let raised = self.0.insert((kind, member_id));
        let change = raised.then(|| AlarmChange::Raised(key(kind, member_id)));
        change.into_iter().collect()
    }

    fn clear(&mut self, (kind, member_id): (i32, u64)) -> Vec<AlarmChange> {
        let cleared = self.0.remove(&(kind, member_id));
        let change = cleared.then(|| AlarmChange::Cleared(key(kind, member_id)));
        change.into_iter().collect()
    }

    /// Refuses a command that must not be carried out while these alarms stand.
    pub(crate) fn check(&self, command: &Command) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let changes_keys = match command {
            Command::Put(_)
            | Command::DeleteRange(_)
            | Command::Txn(_)
            | Command::Compact(_)
            | Command::LeaseGrant { .. }
            | Command::LeaseRevoke { .. }
            | Command::LeaseExpire { .. } => true,
            Command::LeaseCheckpoint { .. }
            | Command::Fence { .. }
            | Command::Auth(_)
            | Command::Alarm(_)
            | Command::Disk { .. } => false,
            Command::As { command, .. } => return self.check(command),
        };
        if changes_keys && self.stands(AlarmType::Corrupt) {
            return Err(Refusal::Corrupt);
        }
        if bytes_needed(command) > 0 && self.stands(AlarmType::Nospace) {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }
}

/// What changed, with the engine's key of the alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AlarmChange {
    Raised(Vec<u8>),
    Cleared(Vec<u8>),
}

/// The name by which clients know a kind.
fn named(kind: i32) -> i32 {
    match kind {
        DISK => AlarmType::Nospace.into(),
        kind => kind,
    }
}

/// The engine's key of an alarm: kinds are small numbers.
fn key(kind: i32, member_id: u64) -> Vec<u8> {
    let kind = u8::try_from(kind).unwrap_or(u8::MAX);
    [&[ALARMS.start[0], kind], &member_id.to_be_bytes()[..]].concat()
}

fn member((alarm, member_id): (i32, u64)) -> AlarmMember {
    AlarmMember { member_id, alarm }
}

/// What a key costs besides its bytes, and what a lease costs: etcd's estimates.
const KEY_OVERHEAD_BYTES: u64 = 256;
const LEASE_BYTES: u64 = 64;

/// The room that a command may need, as etcd estimates it; zero for one that needs none.
pub fn bytes_needed(command: &Command) -> u64 {
    match command {
        Command::Put(request) => put_bytes(request.key.len(), request.value.len()),
        Command::Txn(request) => txn_bytes(request),
        Command::LeaseGrant { .. } => LEASE_BYTES,
        Command::As { command, .. } => bytes_needed(command),
        Command::DeleteRange(_)
        | Command::Compact(_)
        | Command::LeaseRevoke { .. }
        | Command::LeaseExpire { .. }
        | Command::LeaseCheckpoint { .. }
        | Command::Fence { .. }
        | Command::Auth(_)
        | Command::Alarm(_)
        | Command::Disk { .. } => 0,
    }
}

fn put_bytes(key: usize, value: usize) -> u64 {
    KEY_OVERHEAD_BYTES + key as u64 + value as u64
}

/// The dearer branch counts, since nobody knows which one is taken.
fn txn_bytes(request: &TxnRequest) -> u64 {
    let branch = |operations: &[RequestOp]| operations.iter().map(operation_bytes).sum::<u64>();
    branch(&request.success).max(branch(&request.failure))
}

fn operation_bytes(operation: &RequestOp) -> u64 {
    match &operation.request {
        Some(Request::RequestPut(request)) => put_bytes(request.key.len(), request.value.len()),
        Some(Request::RequestTxn(request)) => txn_bytes(request),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
    }
}
