//! May this caller do that? One pure function, asked before a read and before a command is carried out.
//!
//! The list of bypasses that were once found in etcd, each with its line in `testscripts/auth`: previous values without the
//! permission to read (put, delete), compares and nested transactions unchecked, keys of a lease shown or deleted
//! without permission on them, a lease with somebody else's keys attached to a key of one's own, maintenance calls and
//! the list of members without any user, an open range end taken for a single key.

use super::permission::Use;
use super::{Auth, AuthCommand, Who, is_root};
use crate::command::Command;
use crate::lease::Leases;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Something that any user may do.
    BeSomebody,
    /// Something for those with the root role.
    Administer,
    /// Read or watch keys; key and range end as the client sent them.
    Read {
        /// First key.
        key: &'a [u8],
        /// End of the range; empty for the one key, a zero byte for all keys from the first on.
        range_end: &'a [u8],
    },
    /// Put a key.
    Put(&'a PutRequest),
    /// Delete keys.
    DeleteRange(&'a DeleteRangeRequest),
    /// Do a transaction, whichever branch it takes.
    Txn(&'a TxnRequest),
    /// Keep a lease alive or end it: its keys are written, or spared from deletion.
    UseLease(i64),
    /// See the keys of a lease.
    SeeLease(i64),
    /// List all leases.
    SeeLeases,
    /// See a user: oneself, or any as root.
    SeeUser(&'a str),
    /// See a role: one's own, or any as root.
    SeeRole(&'a str),
}

/// Refuses what the caller may not do; everything is allowed while auth is off.
pub(crate) fn check(auth: &Auth, leases: &Leases, who: &Who, act: Act<'_>) -> Result<(), Refusal> {
    if !auth.enabled || *who == Who::Member {
        return Ok(());
    }
    let rights = Rights { auth, leases, who };
    match act {
        Act::BeSomebody => rights.be_somebody(),
        Act::Administer => rights.administer(),
        Act::Read { key, range_end } => rights.keys(Use::Read, key, range_end),
        Act::Put(request) => rights.put(request),
        Act::DeleteRange(request) => rights.delete_range(request),
        Act::Txn(request) => rights.txn(request),
        Act::UseLease(id) => rights.lease(Use::Write, id),
        Act::SeeLease(id) => rights.lease(Use::Read, id),
        Act::SeeLeases => leases.iter().try_for_each(|(id, _)| rights.lease(Use::Read, id)),
        Act::SeeUser(name) => rights.see(|own, _| own == name),
        Act::SeeRole(role) => rights.see(|_, roles| roles.iter().any(|own| own == role)),
    }
}

/// What carrying out a command takes. `None` for a command that checks itself, or that only members give.
pub(crate) fn act_of(command: &Command) -> Option<Act<'_>> {
    match command {
        Command::Put(request) => Some(Act::Put(request)),
        Command::DeleteRange(request) => Some(Act::DeleteRange(request)),
        Command::Txn(request) => Some(Act::Txn(request)),
        Command::LeaseGrant { .. } => Some(Act::BeSomebody),
        Command::LeaseRevoke { id } => Some(Act::UseLease(*id)),
        Command::Auth(AuthCommand::Authenticate(_)) => None,
        Command::Compact(_) | Command::Alarm(_) | Command::Auth(_) => Some(Act::Administer),
        // Members give these; a client has no call that would.
        Command::LeaseCheckpoint { .. }
        | Command::LeaseExpire { .. }
        | Command::Fence { .. }
        | Command::Disk { .. } => Some(Act::Administer),
        Command::As { command, .. } => act_of(command),
    }
}

struct Rights<'a> {
    auth: &'a Auth,
    leases: &'a Leases,
    who: &'a Who,
}

impl Rights<'_> {
    fn be_somebody(&self) -> Result<(), Refusal> {
        match self.who {
            Who::Nobody => Err(Refusal::UserEmpty),
            Who::User { .. } | Who::Member => Ok(()),
        }
    }

    /// As in etcd, the auth revision does not count here: the roles of this moment decide.
    fn administer(&self) -> Result<(), Refusal> {
        let Who::User { name, .. } = self.who else {
            return Err(Refusal::UserEmpty);
        };
        match self.auth.user(name) {
            None => Err(Refusal::UserNotFound),
            Some(user) if is_root(user) => Ok(()),
            Some(_) => Err(Refusal::PermissionDenied),
        }
    }

    fn keys(&self, usage: Use, key: &[u8], range_end: &[u8]) -> Result<(), Refusal> {
        let Who::User { name, auth_revision } = self.who else {
            return Err(Refusal::UserEmpty);
        };
        if *auth_revision < self.auth.revision {
            return Err(Refusal::AuthOldRevision);
        }
        let user = self.auth.user(name).ok_or(Refusal::PermissionDenied)?;
        let granted = || self.auth.granted.get(name);
        if is_root(user) || granted().is_some_and(|granted| granted.covers(usage, key, range_end)) {
            Ok(())
        } else {
            Err(Refusal::PermissionDenied)
        }
    }

    fn put(&self, request: &PutRequest) -> Result<(), Refusal> {
        self.keys(Use::Write, &request.key, b"")?;
        // Whoever attaches a key to a lease may later end it, and with it every key that hangs on it.
        self.lease(Use::Write, request.lease)?;
        if request.prev_kv {
            self.keys(Use::Read, &request.key, b"")?;
        }
        Ok(())
    }

    fn delete_range(&self, request: &DeleteRangeRequest) -> Result<(), Refusal> {
        self.keys(Use::Write, &request.key, &request.range_end)?;
        if request.prev_kv {
            self.keys(Use::Read, &request.key, &request.range_end)?;
        }
        Ok(())
    }

    fn txn(&self, request: &TxnRequest) -> Result<(), Refusal> {
        // Even a transaction that does nothing needs a caller.
        self.be_somebody()?;
        for compare in &request.compare {
            self.keys(Use::Read, &compare.key, &compare.range_end)?;
        }
        self.operations(&request.success)?;
        self.operations(&request.failure)
    }

    fn operations(&self, operations: &[RequestOp]) -> Result<(), Refusal> {
        for operation in operations {
            match &operation.request {
                Some(Request::RequestRange(request)) => self.keys(Use::Read, &request.key, &request.range_end)?,
                Some(Request::RequestPut(request)) => self.put(request)?,
                Some(Request::RequestDeleteRange(request)) => self.delete_range(request)?,
                Some(Request::RequestTxn(request)) => self.txn(request)?,
                None => {}
            }
        }
        Ok(())
    }

    fn lease(&self, usage: Use, id: i64) -> Result<(), Refusal> {
        self.be_somebody()?;
        if id == 0 || self.administer().is_ok() {
            return Ok(());
        }
        let keys = self.leases.keys(id);
        keys.iter().try_for_each(|key| self.keys(usage, key, b""))
    }

    fn see(&self, is_own: impl Fn(&str, &[String]) -> bool) -> Result<(), Refusal> {
        let refused = match self.administer() {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        let Who::User { name, .. } = self.who else {
            return Err(refused);
        };
        match self.auth.user(name) {
            Some(user) if is_own(name, &user.roles) => Ok(()),
            Some(_) | None => Err(refused),
        }
    }
}
