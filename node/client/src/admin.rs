//! The operator's calls.
//!
//! [`Admin`] speaks to exactly one member and repeats nothing, because the operator decides anew after every failure. All
//! admin calls are idempotent, so the operator may simply make them again. [`LeaderAdmin`] makes the calls that only the
//! leader carries out: it asks the members it knows and follows the hint of one that does not lead.

mod leader;

use http::{HeaderName, HeaderValue, Method};
use kvorum_api::Id;
use kvorum_api::admin::{
    BOOTSTRAP_PATH, Bootstrap, FENCING_HEADER, LeadershipTransfer, MEMBERS_PATH, NewMember, NodeStatus, PROGRESS_PATH,
    Progress, STATUS_PATH, TRANSFER_PATH,
};
use serde::de::IgnoredAny;

use crate::plain::read;
use crate::transport::{Answer, Call};
use crate::{Client, Endpoint, Error};

pub use leader::LeaderAdmin;

/// Admin calls to one member.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
    endpoint: Endpoint,
}

impl Client {
    /// Admin calls to the member at this endpoint. The client's certificate must be the operator's.
    pub fn admin(&self, endpoint: &Endpoint) -> Admin {
        Admin {
            client: self.only(endpoint),
            endpoint: endpoint.clone(),
        }
    }
}

impl Admin {
    /// The member's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the node is, as it sees itself.
    ///
    /// # Errors
    /// Any [`Error`]; refusals are [`Error::Problem`].
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        self.send(&Call::new(Method::GET, STATUS_PATH), read).await
    }

    /// How far the leader knows each member to be. Leader only.
    ///
    /// # Errors
    /// As [`Admin::status`], with the code `NotLeader` elsewhere.
    pub async fn progress(&self) -> Result<Vec<Progress>, Error> {
        self.send(&progress(), read).await
    }

    /// Makes a fresh node the first member of a new cluster.
    ///
    /// # Errors
    /// As [`Admin::status`].
    pub async fn bootstrap(&self, bootstrap: &Bootstrap, epoch: u64) -> Result<(), Error> {
        self.send(
            &fenced(Call::new(Method::POST, BOOTSTRAP_PATH).json(bootstrap), epoch),
            done,
        )
        .await
    }

    /// Adds a member as a learner. Leader only.
    ///
    /// # Errors
    /// As [`Admin::progress`].
    pub async fn add_member(&self, member: &NewMember, epoch: u64) -> Result<(), Error> {
        self.send(&add_member(member, epoch), done).await
    }

    /// Makes a learner a voter. Leader only.
    ///
    /// # Errors
    /// As [`Admin::progress`].
    pub async fn promote(&self, member: Id, epoch: u64) -> Result<(), Error> {
        self.send(&promote(member, epoch), done).await
    }

    /// Removes a member. Leader only.
    ///
    /// # Errors
    /// As [`Admin::progress`].
    pub async fn remove_member(&self, member: Id, epoch: u64) -> Result<(), Error> {
        self.send(&remove_member(member, epoch), done).await
    }

    /// Hands leadership to a voter. Leader only.
    ///
    /// # Errors
    /// As [`Admin::progress`].
    pub async fn transfer_leadership(&self, target: Id, epoch: u64) -> Result<(), Error> {
        self.send(&transfer(target, epoch), done).await
    }

    async fn send<T>(&self, call: &Call, read: impl Fn(Answer) -> Result<T, Error>) -> Result<T, Error> {
        self.client
            .transport
            .send(&self.endpoint, call, self.client.rotation.timeout())
            .await
            .and_then(read)
    }
}

fn progress() -> Call {
    Call::new(Method::GET, PROGRESS_PATH)
}

fn add_member(member: &NewMember, epoch: u64) -> Call {
    fenced(Call::new(Method::POST, MEMBERS_PATH).json(member), epoch)
}

fn promote(member: Id, epoch: u64) -> Call {
    fenced(
        Call::new(Method::POST, format!("{MEMBERS_PATH}/{member}/promote")),
        epoch,
    )
}

fn remove_member(member: Id, epoch: u64) -> Call {
    fenced(Call::new(Method::DELETE, format!("{MEMBERS_PATH}/{member}")), epoch)
}

fn transfer(target: Id, epoch: u64) -> Call {
    fenced(
        Call::new(Method::POST, TRANSFER_PATH).json(&LeadershipTransfer { target }),
        epoch,
    )
}

fn fenced(mut call: Call, epoch: u64) -> Call {
    call.headers
        .insert(HeaderName::from_static(FENCING_HEADER), HeaderValue::from(epoch));
    call
}

/// Reads an answer whose body does not matter, and may be empty.
fn done(answer: Answer) -> Result<(), Error> {
    if (200..300).contains(&answer.status) {
        Ok(())
    } else {
        read::<IgnoredAny>(answer).map(|_| ())
    }
}
