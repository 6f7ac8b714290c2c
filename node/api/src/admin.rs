//! The calls by which the operator steers a node: their paths, bodies and refusals.
//!
//! All of them are JSON on the client port and demand a client certificate with the operator's identity. Every mutating
//! call carries the header [`FENCING_HEADER`]; a node refuses an epoch older than the newest it has seen, so that an
//! operator that lost its leadership cannot act on an old plan. Membership changes work only at the leader.

use serde::{Deserialize, Serialize};

use crate::{Id, problem::Problem};

/// Header with the epoch of the operator's leadership, a decimal number.
pub const FENCING_HEADER: &str = "kvorum-fencing-epoch";

/// `GET`: [`NodeStatus`].
pub const STATUS_PATH: &str = "/v1/admin/status";
/// `GET`, leader only: a list of [`Progress`].
pub const PROGRESS_PATH: &str = "/v1/admin/progress";
/// `POST` of a [`Bootstrap`].
pub const BOOTSTRAP_PATH: &str = "/v1/admin/bootstrap";
/// `POST` of a [`NewMember`]; `POST {id}/promote` and `DELETE {id}` below it.
pub const MEMBERS_PATH: &str = "/v1/admin/members";
/// `POST` of a [`LeadershipTransfer`].
pub const TRANSFER_PATH: &str = "/v1/admin/transfer-leadership";

/// What a node is, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The name given at start.
    pub name: String,
    /// The member id, once drawn.
    pub member_id: Id,
    /// The cluster it belongs to; none while it waits.
    pub cluster_id: Option<Id>,
    /// Where it stands.
    pub state: NodeState,
    /// Why it stands there, in a sentence, for the states that need one.
    #[serde(default)]
    pub reason: Option<String>,
    /// Version of the software.
    pub version: String,
    /// The raft term.
    pub term: u64,
    /// The leader it knows.
    pub leader_id: Option<Id>,
    /// Index of the newest log entry on this node.
    pub last_log_index: u64,
    /// Index of the newest entry applied here.
    pub applied_index: u64,
    /// Index of the newest entry known to be committed.
    pub committed_index: u64,
    /// The membership in force here.
    pub members: Vec<Member>,
    /// The certificates loaded now.
    pub certificates: Vec<Certificate>,
    /// The newest fencing epoch seen; zero when none was.
    pub fencing_epoch: u64,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// A fresh disk: no member of anything yet.
    Waiting,
    /// The disk is empty although this member existed before.
    IdentityMissing,
    /// The disk belongs to another member or another cluster.
    IdentityMismatch,
    /// A member that does not vote.
    Learner,
    /// A voter that follows.
    Follower,
    /// A voter that stands for election.
    Candidate,
    /// The leader.
    Leader,
}

impl NodeState {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::IdentityMissing => "IdentityMissing",
            Self::IdentityMismatch => "IdentityMismatch",
            Self::Learner => "Learner",
            Self::Follower => "Follower",
            Self::Candidate => "Candidate",
            Self::Leader => "Leader",
        }
    }
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it votes.
    pub role: Role,
}

/// Whether a member votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Counts for the quorum.
    Voter,
    /// Receives the log only.
    Learner,
}

/// A certificate that a node has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What it is used for.
    pub kind: CertificateKind,
    /// SHA-256 of the DER, lower-case hexadecimal.
    pub fingerprint: String,
    /// End of validity, RFC 3339 in UTC.
    pub not_after: String,
}

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CertificateKind {
    /// Shown to clients.
    Server,
    /// Shown to peers.
    Peer,
    /// Trusted for clients.
    ClientCa,
    /// Trusted for peers.
    PeerCa,
}

/// How far the leader knows a member to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The member.
    pub member_id: Id,
    /// Index of the newest entry known to be on its disk; zero when nothing is known.
    pub matched_index: u64,
}

/// Makes a fresh node the first member of a new cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// The id of the new cluster.
    pub cluster_id: Id,
    /// The member id that the node reported; guards against a call that reaches another node.
    pub member_id: Id,
}

/// A member to be added as a learner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMember {
    /// The id that the new node reported.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// Hands leadership to a voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadershipTransfer {
    /// The voter that shall lead.
    pub target: Id,
}

/// Why an admin call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The certificate is not the operator's.
    NotOperator,
    /// Only the leader does this; the leader, when known.
    NotLeader(Option<Id>),
    /// The fencing epoch is older than one seen before.
    StaleEpoch,
    /// The header with the fencing epoch is absent or no number.
    EpochRequired,
    /// The body or an id in the path does not parse.
    Malformed,
    /// The call names another member than the one that it reached.
    MemberMismatch,
    /// The node already belongs to another cluster.
    ClusterMismatch,
    /// The node's state does not allow the call.
    WrongState,
    /// No such member.
    MemberNotFound,
    /// The id or the name belongs to a different member.
    MemberConflict,
    /// The learner lags too far behind to vote.
    LearnerNotReady,
    /// The change would leave too few voters, or is one too many at once.
    UnsafeChange,
    /// The target of a transfer is no voter.
    BadTransferee,
    /// The cluster cannot commit the change now.
    Unavailable,
}

impl Rejection {
    /// The `code` of the problem document.
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// The problem document, with a sentence about this case.
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        let (status, code, title) = self.row();
        let mut problem = Problem::new(status, code, title, detail);
        if let Self::NotLeader(leader) = self {
            problem.leader_id = leader;
        }
        problem
    }

    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NotOperator => (403, "NotOperator", "the client certificate is not the operator's"),
            Self::NotLeader(_) => (409, "NotLeader", "only the leader does this"),
            Self::StaleEpoch => (409, "StaleEpoch", "a newer operator has spoken"),
            Self::EpochRequired => (400, "EpochRequired", "the fencing epoch is missing"),
            Self::Malformed => (400, "Malformed", "the request does not parse"),
            Self::MemberMismatch => (409, "MemberMismatch", "the call reached another member"),
            Self::ClusterMismatch => (409, "ClusterMismatch", "the node belongs to another cluster"),
            Self::WrongState => (409, "WrongState", "the state of the node does not allow this"),
            Self::MemberNotFound => (404, "MemberNotFound", "no such member"),
            Self::MemberConflict => (409, "MemberConflict", "the id or the name belongs to another member"),
            Self::LearnerNotReady => (409, "LearnerNotReady", "the learner lags behind"),
            Self::UnsafeChange => (409, "UnsafeChange", "the change would endanger the quorum"),
            Self::BadTransferee => (409, "BadTransferee", "the target is no voter"),
            Self::Unavailable => (503, "Unavailable", "the cluster cannot do this now"),
        }
    }
}

#[cfg(test)]
mod tests;
