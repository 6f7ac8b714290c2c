//! Leases: grant, revoke, keep alive, look.

use std::sync::Arc;

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_faults::Wrong;
use kvorum_store::{Act, Command, Reader, Response, validate};
use tokio::sync::watch;

use super::kv::unexpected;
use super::{Caller, Service};
use crate::lease::time_line::TimeLine;
use crate::raft::forward::Forwarder;
use crate::raft::leadership::Leadership;

/// Ids that are drawn before a grant gives up: two in a row are taken once in the age of the universe.
const DRAWS_MAX: usize = 3;

impl Service {
    /// Makes a lease. A time to live below the minimum is raised to it; an id of zero is drawn.
    ///
    /// # Errors
    /// The time is too long, the id is taken, or the outcome is unknown.
    pub async fn lease_grant(
        &self,
        caller: &Caller,
        request: pb::LeaseGrantRequest,
    ) -> Result<pb::LeaseGrantResponse, Refusal> {
        validate::lease_grant(&request)?;
        let who = self.permit(caller, Act::BeSomebody).await?;
        let ttl = request.ttl.max(self.lease_ttl_min());
        let mut draws = 0;
        loop {
            let id = if request.id == 0 { draw_id()? } else { request.id };
            // The leader sets the time.
            let command = Command::LeaseGrant { id, ttl, now_ms: 0 };
            match self.write(who.clone(), command).await {
                Ok(Response::LeaseGrant(mut response)) => {
                    self.fill(&mut response.header);
                    return Ok(response);
                }
                Ok(other) => return unexpected("lease grant", &other),
                Err(Refusal::LeaseExists) if request.id == 0 && draws < DRAWS_MAX => draws += 1,
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// There is none, or the outcome is unknown.
    pub async fn lease_revoke(
        &self,
        caller: &Caller,
        request: pb::LeaseRevokeRequest,
    ) -> Result<pb::LeaseRevokeResponse, Refusal> {
        let who = self.permit(caller, Act::BeSomebody).await?;
        match self.write(who, Command::LeaseRevoke { id: request.id }).await? {
            Response::LeaseRevoke(mut response) => {
                self.fill(&mut response.header);
                Ok(response)
            }
            other => unexpected("lease revoke", &other),
        }
    }

    /// Gives a lease back all its time. The answer's time to live is zero when the lease is gone.
    ///
    /// # Errors
    /// No leader in time, or the outcome is unknown.
    pub async fn lease_keep_alive(
        &self,
        caller: &Caller,
        request: pb::LeaseKeepAliveRequest,
    ) -> Result<pb::LeaseKeepAliveResponse, Refusal> {
        let id = request.id;
        self.permit(caller, Act::UseLease(id)).await?;
        if Wrong::FollowerRenews.is_asked()
            && self.leads_in_term().is_none()
            && let Some(lease) = self.reader().lease(id)
        {
            let (header, ttl) = (self.header_at(self.revision()), lease.ttl);
            return Ok(pb::LeaseKeepAliveResponse { header, id, ttl });
        }
        if self.reader().lease(id).is_none() {
            // This member may lag; what is surely gone needs no log entry.
            self.wait_linearizable().await?;
        }
        let ttl = match self.reader().lease(id) {
            Some(_) => self.inner.node.renewals.renew(id).await?,
            None => 0,
        };
        let header = self.header_at(self.revision());
        Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
    }

    /// How long a lease still has. An unknown one has a time to live of -1.
    ///
    /// # Errors
    /// No leader can confirm the read.
    pub async fn lease_time_to_live(
        &self,
        caller: &Caller,
        request: pb::LeaseTimeToLiveRequest,
    ) -> Result<pb::LeaseTimeToLiveResponse, Refusal> {
        self.wait_linearizable().await?;
        let act = if request.keys {
            Act::SeeLease(request.id)
        } else {
            Act::BeSomebody
        };
        self.permit(caller, act).await?;
        let reader = self.reader();
        let mut response = reader.lease_time_to_live(request.id, request.keys, self.lease_time());
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Every lease, the next to expire first.
    ///
    /// # Errors
    /// No leader can confirm the read.
    pub async fn lease_leases(
        &self,
        caller: &Caller,
        _request: pb::LeaseLeasesRequest,
    ) -> Result<pb::LeaseLeasesResponse, Refusal> {
        self.wait_linearizable().await?;
        self.permit(caller, Act::SeeLeases).await?;
        let mut response = self.reader().lease_leases();
        self.fill(&mut response.header);
        Ok(response)
    }

    /// The shortest time to live in seconds, as in etcd: one and a half elections, so that a change of leader does not
    /// end a lease that is kept alive.
    fn lease_ttl_min(&self) -> i64 {
        let ms = self.inner.election.as_millis() * 3 / 2;
        i64::try_from(ms.div_ceil(1_000)).unwrap_or(i64::MAX)
    }

    /// The term in which this member leads, as far as it knows.
    pub fn leads_in_term(&self) -> Option<u64> {
        let leadership = self.inner.node.leadership.borrow();
        let leads = leadership.leader_id() == Some(self.inner.identity.member_id.get());
        leads.then_some(leadership.term)
    }

    /// Whether there is any lease.
    pub fn has_leases(&self) -> bool {
        self.inner.node.reader.has_leases()
    }

    /// Reads at what was published last.
    pub fn reader(&self) -> Reader {
        self.inner.node.reader.clone()
    }

    /// Who leads; changes are signalled.
    pub fn leadership(&self) -> watch::Receiver<Arc<Leadership>> {
        self.inner.node.leadership.clone()
    }

    /// The line to the leader.
    pub fn forwarder(&self) -> &Forwarder {
        &self.inner.node.forwarder
    }

    /// The cluster's lease time at this member.
    pub fn time_line(&self) -> &TimeLine {
        &self.inner.node.time_line
    }
}

/// A random positive id.
fn draw_id() -> Result<i64, Refusal> {
    loop {
        let random = getrandom::u64().map_err(|error| {
            tracing::warn!("the system gives no random numbers: {error}");
            Refusal::NotCapable
        })?;
        let id = (random >> 1).cast_signed();
        if id != 0 {
            return Ok(id);
        }
    }
}
