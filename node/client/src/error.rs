//! How a call can end badly, and what that says about its effect.

use std::error::Error as StdError;
use std::time::Duration;

use kvorum_api::Id;
use kvorum_api::error::{Code, Refusal};
use kvorum_api::problem::Problem;

use crate::Endpoint;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member refused the request: etcd's code and text.
    #[error("{message}")]
    Refused {
        /// Who refused.
        endpoint: Endpoint,
        /// The gRPC code.
        code: Code,
        /// etcd's text.
        message: String,
    },
    /// A member refused the request with a problem document (`/v1`).
    #[error("{}", if problem.detail.is_empty() { &problem.title } else { &problem.detail })]
    Problem {
        /// Who refused.
        endpoint: Endpoint,
        /// The document.
        problem: Box<Problem>,
    },
    /// No connection, so nothing was asked.
    #[error("{endpoint} cannot be reached")]
    Unreachable {
        /// Who was to be asked.
        endpoint: Endpoint,
        /// What the connection said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The connection broke after the request may have been sent: a write may or may not have happened.
    #[error("the connection to {endpoint} broke before the answer was complete")]
    Broken {
        /// Who was asked.
        endpoint: Endpoint,
        /// What the connection said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No answer in time: a write may or may not have happened.
    #[error("{endpoint} did not answer within {after:?}")]
    Timeout {
        /// Who was asked last.
        endpoint: Endpoint,
        /// The time given.
        after: Duration,
    },
    /// An answer that is not Kvorum's.
    #[error("{endpoint} answered with HTTP {status} and a body that is not understood: {excerpt}")]
    Foreign {
        /// Who answered.
        endpoint: Endpoint,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body, or what is wrong with it.
        excerpt: String,
    },
    /// The request itself cannot be sent, for instance because a path is too long.
    #[error("the request cannot be sent: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The refusal, when it is one of etcd's.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { message, .. } => Refusal::from_message(message),
            Self::Problem { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::Foreign { .. }
            | Self::Request { .. } => None,
        }
    }

    /// The problem document, when the server sent one.
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem { problem, .. } = self {
            Some(problem)
        } else {
            None
        }
    }

    /// The leader that a member named while it refused what only the leader does.
    pub fn leader_hint(&self) -> Option<Id> {
        self.problem().and_then(|problem| problem.leader_id)
    }

    /// Whether a member refused because it does not lead.
    pub fn is_not_leader(&self) -> bool {
        self.refusal() == Some(Refusal::NotLeader) || self.problem().is_some_and(|problem| problem.code == "NotLeader")
    }

    /// Whether the cluster, rather than the request, is the trouble: another member or a later try may do.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code, Code::Unavailable | Code::DeadlineExceeded),
            Self::Problem { problem, .. } => matches!(problem.status, 503 | 504),
            Self::Foreign { status, .. } => matches!(status, 502..=504),
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Timeout { .. } => true,
            Self::Request { .. } => false,
        }
    }

    /// Whether it is certain that no member has acted on the request. False means only that it is not certain.
    pub fn is_certainly_not_done(&self) -> bool {
        match self {
            // A refusal by its form or by the state changes nothing; one for want of time may come after the proposal.
            Self::Refused { .. } | Self::Problem { .. } => !self.is_unavailable(),
            Self::Unreachable { .. } | Self::Request { .. } => true,
            Self::Broken { .. } | Self::Timeout { .. } | Self::Foreign { .. } => false,
        }
    }

    /// The message with its first cause, for people. What lies between is the layering of libraries.
    pub fn chain(&self) -> String {
        let causes = std::iter::successors(self.source(), |&error| error.source());
        match causes.last() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}
