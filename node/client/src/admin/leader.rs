//! Admin calls that only the leader carries out, from a client that does not know who leads.

use kvorum_api::Id;
use kvorum_api::admin::{NewMember, Progress};

use super::{Admin, add_member, done, progress, promote, remove_member, transfer};
use crate::plain::read;
use crate::transport::{Answer, Call};
use crate::{Client, Endpoint, Error};

/// Hints that one call follows. Each comes from a newer leader than the one before; more than a few mean that the cluster
/// is electing, and the caller does better to come again later.
const HINTS_MAX: usize = 3;

/// Admin calls to whoever leads.
#[derive(Clone, Debug)]
pub struct LeaderAdmin {
    client: Client,
}

impl Client {
    /// Admin calls to the leader, found by way of this client's endpoints.
    pub fn leader_admin(&self) -> LeaderAdmin {
        LeaderAdmin { client: self.clone() }
    }
}

impl LeaderAdmin {
    /// As [`Admin::progress`].
    ///
    /// # Errors
    /// As there; `NotLeader` when no member asked leads.
    pub async fn progress(&self) -> Result<Vec<Progress>, Error> {
        self.send(&progress(), read).await
    }

    /// As [`Admin::add_member`].
    ///
    /// # Errors
    /// As [`LeaderAdmin::progress`].
    pub async fn add_member(&self, member: &NewMember, epoch: u64) -> Result<(), Error> {
        self.send(&add_member(member, epoch), done).await
    }

    /// As [`Admin::promote`].
    ///
    /// # Errors
    /// As [`LeaderAdmin::progress`].
    pub async fn promote(&self, member: Id, epoch: u64) -> Result<(), Error> {
        self.send(&promote(member, epoch), done).await
    }

    /// As [`Admin::remove_member`].
    ///
    /// # Errors
    /// As [`LeaderAdmin::progress`].
    pub async fn remove_member(&self, member: Id, epoch: u64) -> Result<(), Error> {
        self.send(&remove_member(member, epoch), done).await
    }

    /// As [`Admin::transfer_leadership`].
    ///
    /// # Errors
    /// As [`LeaderAdmin::progress`].
    pub async fn transfer_leadership(&self, target: Id, epoch: u64) -> Result<(), Error> {
        self.send(&transfer(target, epoch), done).await
    }

    /// Asks each endpoint in turn, following hints, until one does not say that another leads.
    async fn send<T>(&self, call: &Call, read: impl Fn(Answer) -> Result<T, Error> + Copy) -> Result<T, Error> {
        let mut last = None;
        for endpoint in self.client.endpoints() {
            let mut admin = self.client.admin(endpoint);
            for _ in 0..=HINTS_MAX {
                let error = match admin.send(call, read).await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                if !error.is_not_leader() && !error.is_unavailable() {
                    return Err(error);
                }
                let hinted = self.hinted(&admin, &error).await;
                last = Some(error);
                match hinted {
                    Some(leader) => admin = self.client.admin(&leader),
                    None => break,
                }
            }
        }
        Err(last.expect("the configuration was checked to have an endpoint, and each one tried leaves an error"))
    }

    /// Where the leader is that a refusal names: its first client address, as the refusing member lists it.
    async fn hinted(&self, admin: &Admin, error: &Error) -> Option<Endpoint> {
        let leader = error.leader_hint()?;
        let status = admin.status().await.ok()?;
        let member = status.members.into_iter().find(|member| member.id == leader)?;
        let endpoint = member
            .client_urls
            .iter()
            .find_map(|url| Endpoint::parse(url, "https").ok())?;
        (endpoint != admin.endpoint).then_some(endpoint)
    }
}
