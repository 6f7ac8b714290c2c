//! Asks a cluster's nodes what they are, with the operator's own certificate.
//!
//! What it must keep true: one question takes at most `ASK_TIMEOUT`, whatever the node does; every way of not answering is
//! a [`Silence`]; an answer under a wrong name is none. Connections are kept between passes, and made anew when the
//! certificate changes.
//!
//! Deliberately not here: calls that change anything (`act`).

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::Mutex;
use std::time::Duration;

use kvorum_api::admin::{self, NodeStatus};
use kvorum_client::{Client, Config, Error, Tls};
use kvorum_plan::Cluster;
use kvorum_plan::names::{ClusterId, MemberId, Slot};
use kvorum_plan::observed::{Answer, Member, Node, NodeState, Role, Silence};
use sha2::{Digest, Sha256};

use super::endpoint;
use crate::certs::OperatorIdentity;

/// Bound on asking one node. A healthy one answers in milliseconds; a pass must not wait longer for a sick one.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Bound on one call that changes something: a membership change is two rounds of consensus and two disk writes.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to the nodes of all clusters.
#[derive(Debug, Default)]
pub struct Connections {
    clients: Mutex<BTreeMap<String, (Vec<u8>, Client)>>,
}

impl Connections {
    /// The way to the members of a cluster. Without a certificate at hand (its Secret was deleted, and is made anew in
    /// this very pass) the connections of the pass before serve once more, or else every member would seem silent.
    #[must_use]
    pub fn members(&self, cluster: &Cluster, identity: Option<&OperatorIdentity>) -> Option<Members> {
        let key = format!("{}/{}", cluster.namespace, cluster.name);
        let mut clients = self.clients.lock().expect("no code panics while it holds this lock");
        let known = clients
            .get(&key)
            .map(|(digest, client)| (digest.clone(), client.clone()));
        let Some(identity) = identity else {
            return known.map(|(_, client)| Members::new(client));
        };
        let digest = Sha256::digest(format!("{}{}", identity.pair.certificate, identity.authority)).to_vec();
        if let Some((_, client)) = known.filter(|(known, _)| *known == digest) {
            return Some(Members::new(client));
        }
        let client = match connect(cluster, identity) {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(cluster = key, %error, "the operator's certificate is unusable");
                return None;
            }
        };
        clients.insert(key, (digest, client.clone()));
        Some(Members::new(client))
    }

    /// Closes the connections of a cluster that is gone.
    pub fn forget(&self, cluster: &str) {
        self.clients
            .lock()
            .expect("no code panics while it holds this lock")
            .remove(cluster);
    }
}

fn connect(cluster: &Cluster, identity: &OperatorIdentity) -> Result<Client, kvorum_client::ConfigError> {
    let OperatorIdentity { pair, authority } = identity;
    let tls = Tls {
        ca_pem: authority.clone().into_bytes(),
        identity: Some((pair.certificate.clone().into_bytes(), pair.key.clone().into_bytes())),
    };
    // Every call names its endpoint; the one here only satisfies the configuration.
    let endpoints = vec![cluster.client_url(Slot(0))];
    Client::new(Config {
        endpoints,
        tls: Some(tls),
        timeout: CALL_TIMEOUT,
        ..Config::default()
    })
}

/// The way to the members of one cluster, in one pass.
pub struct Members {
    client: Client,
    told: Mutex<BTreeMap<Slot, NodeStatus>>,
}

impl Members {
    fn new(client: Client) -> Self {
        Members {
            client,
            told: Mutex::default(),
        }
    }

    /// Admin calls to one node.
    #[must_use]
    pub fn admin(&self, cluster: &Cluster, slot: Slot) -> Option<kvorum_client::Admin> {
        Some(self.client.admin(&endpoint(cluster, slot)?))
    }

    /// Asks one node for its status, and for a linearizable read where it could serve one.
    pub async fn ask(&self, cluster: &Cluster, slot: Slot) -> Node {
        let Ok(node) = tokio::time::timeout(ASK_TIMEOUT, self.status(cluster, slot)).await else {
            return Node::Silent(Silence::TimedOut);
        };
        let (mut answer, endpoint) = match (node, endpoint(cluster, slot)) {
            (Ok(answer), Some(endpoint)) => (answer, endpoint),
            (Ok(_), None) => return Node::Silent(Silence::NotAsked),
            (Err(silence), _) => return Node::Silent(silence),
        };
        if is_member(answer.state) {
            let read = tokio::time::timeout(ASK_TIMEOUT, self.client.health(&endpoint)).await;
            answer.linearizable_read = matches!(read, Ok(Ok(_)));
        }
        Node::Answered(answer)
    }

    async fn status(&self, cluster: &Cluster, slot: Slot) -> Result<Answer, Silence> {
        let admin = self.admin(cluster, slot).ok_or(Silence::NotAsked)?;
        let status = admin.status().await.map_err(|error| {
            tracing::debug!(member = cluster.name.member(slot), error = error.chain(), "no answer");
            silence(&error)
        })?;
        if status.name != cluster.name.member(slot) {
            return Err(Silence::Garbled);
        }
        let answer = answer(&status).ok_or(Silence::Garbled)?;
        self.told
            .lock()
            .expect("no code panics while it holds this lock")
            .insert(slot, status);
        Ok(answer)
    }

    /// How far the members are, by the word of the node in `slot`, if that leads.
    pub async fn progress(&self, cluster: &Cluster, slot: Slot) -> Option<Vec<admin::Progress>> {
        let admin = self.admin(cluster, slot)?;
        tokio::time::timeout(ASK_TIMEOUT, admin.progress()).await.ok()?.ok()
    }

    /// The index of the newest log entry of a node that was asked.
    #[must_use]
    pub fn last_log_index(&self, slot: Slot) -> Option<u64> {
        let told = self.told.lock().expect("no code panics while it holds this lock");
        told.get(&slot).map(|status| status.last_log_index)
    }

    /// The newest fencing epoch that any node remembers.
    #[must_use]
    pub fn fencing_epochs(&self) -> u64 {
        let told = self.told.lock().expect("no code panics while it holds this lock");
        told.values().map(|status| status.fencing_epoch).max().unwrap_or(0)
    }
}

/// Whether a node in this state takes part and can be asked to read.
fn is_member(state: NodeState) -> bool {
    match state {
        NodeState::Waiting | NodeState::IdentityMissing | NodeState::IdentityMismatch => false,
        NodeState::Learner | NodeState::Follower | NodeState::Candidate | NodeState::Leader => true,
    }
}

/// The planner's form of a status; `None` when its ids are none.
fn answer(status: &NodeStatus) -> Option<Answer> {
    let members = status.members.iter().map(member).collect::<Option<_>>()?;
    Some(Answer {
        member_id: MemberId::new(status.member_id.get())?,
        cluster_id: status.cluster_id.and_then(|id| ClusterId::new(id.get())),
        state: state(status.state),
        reason: status.reason.clone(),
        version: status.version.clone(),
        term: status.term,
        leader_id: status.leader_id.and_then(|id| MemberId::new(id.get())),
        members,
        linearizable_read: false,
        fingerprints: status
            .certificates
            .iter()
            .map(|certificate| certificate.fingerprint.clone())
            .collect(),
    })
}

fn member(member: &admin::Member) -> Option<Member> {
    let role = match member.role {
        admin::Role::Voter => Role::Voter,
        admin::Role::Learner => Role::Learner,
    };
    Some(Member {
        id: MemberId::new(member.id.get())?,
        name: member.name.clone(),
        role,
    })
}

fn state(state: admin::NodeState) -> NodeState {
    match state {
        admin::NodeState::Waiting => NodeState::Waiting,
        admin::NodeState::IdentityMissing => NodeState::IdentityMissing,
        admin::NodeState::IdentityMismatch => NodeState::IdentityMismatch,
        admin::NodeState::Learner => NodeState::Learner,
        admin::NodeState::Follower => NodeState::Follower,
        admin::NodeState::Candidate => NodeState::Candidate,
        admin::NodeState::Leader => NodeState::Leader,
    }
}

fn silence(error: &Error) -> Silence {
    match error {
        Error::Unreachable { source, .. } | Error::Broken { source, .. } if is_tls(source.as_ref()) => {
            Silence::Distrusted
        }
        Error::Unreachable { .. } | Error::Broken { .. } => Silence::Unreachable,
        Error::Timeout { .. } => Silence::TimedOut,
        Error::Problem { problem, .. } if problem.status == 403 => Silence::Distrusted,
        Error::Refused { .. } | Error::Problem { .. } | Error::Foreign { .. } | Error::Request { .. } => {
            Silence::Garbled
        }
    }
}

/// Whether TLS is at the bottom of an error. An I/O error hides what it carries from `source`, so it is opened.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let carried = carried.map(|carried| carried as &(dyn StdError + 'static));
    carried.or_else(|| error.source()).is_some_and(is_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_found_through_an_io_error() {
        let tls = std::io::Error::other(rustls::Error::HandshakeNotComplete);
        assert!(is_tls(&std::io::Error::other(tls)));
        assert!(!is_tls(&std::io::Error::other("refused")));
    }
}
