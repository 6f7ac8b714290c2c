//! What a proposal answers: the store's response or refusal, and how it travels from the leader to the member that
//! forwarded the proposal.
//!
//! Must keep true: an answer that travelled equals the one the leader would have given its own client.

use kvorum_api::error::Refusal;
use kvorum_store::{Fencing, Outcome, Response};
use prost::Message;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The outcome of one log entry, less its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub enum Answer {
    /// An entry without a command: a new leader's first entry, or a change of membership.
    Nothing,
    /// What the command gave.
    Command {
        /// The store's response; a refusal is an answer like any other.
        response: Result<Response, Refusal>,
        /// The store's revision after the command.
        revision: i64,
    },
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self::Command {
            response: outcome.response,
            revision: outcome.revision,
        }
    }
}

/// An answer as members send it to each other. Members of different versions may talk, so the numbers of `Kind` and the
/// texts of refusals are for ever.
#[derive(Serialize, Deserialize)]
struct Wire {
    kind: Kind,
    revision: i64,
    body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Nothing,
    Refused,
    Put,
    DeleteRange,
    Txn,
    Compact,
    LeaseGrant,
    LeaseRevoke,
    LeaseCheckpoint,
    FenceAccepted,
    FenceStale,
    Auth,
    Authenticated,
    Alarm,
}

/// What came is no answer of this version.
#[derive(Debug, Error)]
enum WireError {
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
    #[error("an unknown refusal: {0}")]
    Refusal(String),
    #[error("a number of {0} bytes")]
    Number(usize),
    #[error("times to live of {0} bytes")]
    Times(usize),
}

impl From<Answer> for Wire {
    fn from(answer: Answer) -> Self {
        let (response, revision) = match answer {
            Answer::Nothing => {
                return Self {
                    kind: Kind::Nothing,
                    revision: 0,
                    body: Vec::new(),
                };
            }
            Answer::Command { response, revision } => (response, revision),
        };
        let (kind, body) = match response {
            Err(refusal) => (Kind::Refused, refusal.message().as_bytes().to_vec()),
            Ok(Response::Put(message)) => (Kind::Put, message.encode_to_vec()),
            Ok(Response::DeleteRange(message)) => (Kind::DeleteRange, message.encode_to_vec()),
            Ok(Response::Txn(message)) => (Kind::Txn, message.encode_to_vec()),
            Ok(Response::Compact(message)) => (Kind::Compact, message.encode_to_vec()),
            Ok(Response::LeaseGrant(message)) => (Kind::LeaseGrant, message.encode_to_vec()),
            Ok(Response::LeaseRevoke(message)) => (Kind::LeaseRevoke, message.encode_to_vec()),
            Ok(Response::LeaseCheckpoint { ttls }) => (
                Kind::LeaseCheckpoint,
                ttls.iter().flat_map(|ttl| ttl.to_le_bytes()).collect(),
            ),
            Ok(Response::Fence(Fencing::Accepted)) => (Kind::FenceAccepted, Vec::new()),
            Ok(Response::Fence(Fencing::Stale { remembered })) => (Kind::FenceStale, remembered.to_le_bytes().to_vec()),
            Ok(Response::Auth) => (Kind::Auth, Vec::new()),
            Ok(Response::Authenticated { index }) => (Kind::Authenticated, index.to_le_bytes().to_vec()),
            Ok(Response::Alarm(message)) => (Kind::Alarm, message.encode_to_vec()),
        };
        Self { kind, revision, body }
    }
}

impl TryFrom<Wire> for Answer {
    type Error = WireError;

    fn try_from(Wire { kind, revision, body }: Wire) -> Result<Self, WireError> {
        let body = body.as_slice();
        let response = match kind {
            Kind::Nothing => return Ok(Self::Nothing),
            Kind::Refused => {
                let text = String::from_utf8_lossy(body);
                Err(Refusal::from_message(&text).ok_or_else(|| WireError::Refusal(text.into_owned()))?)
            }
            Kind::Put => Ok(Response::Put(Message::decode(body)?)),
            Kind::DeleteRange => Ok(Response::DeleteRange(Message::decode(body)?)),
            Kind::Txn => Ok(Response::Txn(Message::decode(body)?)),
            Kind::Compact => Ok(Response::Compact(Message::decode(body)?)),
            Kind::LeaseGrant => Ok(Response::LeaseGrant(Message::decode(body)?)),
            Kind::LeaseRevoke => Ok(Response::LeaseRevoke(Message::decode(body)?)),
            Kind::LeaseCheckpoint => {
                let (ttls, rest) = body.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError::Times(body.len()));
                }
                let ttls = ttls.iter().copied().map(i64::from_le_bytes).collect();
                Ok(Response::LeaseCheckpoint { ttls })
            }
            Kind::FenceAccepted => Ok(Response::Fence(Fencing::Accepted)),
            Kind::FenceStale => Ok(Response::Fence(Fencing::Stale {
                remembered: number(body)?,
            })),
            Kind::Auth => Ok(Response::Auth),
            Kind::Authenticated => Ok(Response::Authenticated { index: number(body)? }),
            Kind::Alarm => Ok(Response::Alarm(Message::decode(body)?)),
        };
        Ok(Self::Command { response, revision })
    }
}

fn number(body: &[u8]) -> Result<u64, WireError> {
    let bytes = body.try_into().map_err(|_| WireError::Number(body.len()))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Refusals travel as their texts, which are etcd's and never change.
pub mod refusal {
    use kvorum_api::error::Refusal;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<S: Serializer>(refusal: &Refusal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(refusal.message())
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The text is no refusal that this version knows.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Refusal, D::Error> {
        let text = String::deserialize(deserializer)?;
        Refusal::from_message(&text).ok_or_else(|| serde::de::Error::custom(format!("an unknown refusal: {text}")))
    }
}

#[cfg(test)]
mod tests {
    use kvorum_api::etcdserverpb::{AlarmResponse, PutResponse, ResponseHeader};

    use super::*;

    #[test]
    fn answers_travel_unchanged() {
        let header = Some(ResponseHeader {
            revision: 7,
            ..Default::default()
        });
        let responses = [
            Ok(Response::Put(PutResponse { header, prev_kv: None })),
            Ok(Response::LeaseCheckpoint { ttls: vec![60, 0, -1] }),
            Ok(Response::Fence(Fencing::Accepted)),
            Ok(Response::Fence(Fencing::Stale { remembered: 3 })),
            Ok(Response::Auth),
            Ok(Response::Authenticated { index: 9 }),
            Ok(Response::Alarm(AlarmResponse::default())),
            Err(Refusal::LeaseNotFound),
        ];
        let answers = responses.map(|response| Answer::Command { response, revision: 7 });
        for answer in answers.into_iter().chain([Answer::Nothing]) {
            let bytes = postcard::to_stdvec(&answer).unwrap();
            assert_eq!(postcard::from_bytes::<Answer>(&bytes).unwrap(), answer);
        }
    }
}
