//! The closed list of commands that the log carries, and their bytes.
//!
//! ```text
//! 01 tt pppp…    01 = format of this page, tt = kind, p = one protocol buffer message
//! 01 1f llmm…    kind 31 says who is behind the command that follows: m = a message, after its length
//! ```
//! A command carries everything that deciding it needs, time included: the store has no clock. Times are those of the
//! cluster's lease clock, which the leader reads when it proposes ([`Command::stamped`]). Kinds 16 to 31 belong to auth
//! and 32 to 47 to alarms. Old members must refuse what they do not know, so an unknown kind is an error, never skipped.
//! A command without kind 31 in front is one of a client that showed nothing.

use crate::auth::{AuthCommand, Mark, Who};
use bytes::Buf;
use kvorum_api::etcdserverpb::{AlarmRequest, CompactionRequest, DeleteRangeRequest, PutRequest, TxnRequest};
use prost::Message;

/// First byte of every encoded command.
const FORMAT: u8 = 1;

const PUT: u8 = 1;
const DELETE_RANGE: u8 = 2;
const TXN: u8 = 3;
const COMPACT: u8 = 4;
const LEASE_GRANT: u8 = 5;
const LEASE_REVOKE: u8 = 6;
const LEASE_CHECKPOINT: u8 = 7;
const FENCE: u8 = 8;
const LEASE_EXPIRE: u8 = 9;
const AS: u8 = 31;
const ALARM: u8 = 32;
const DISK: u8 = 33;

/// One replicated command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Sets one key.
    Put(PutRequest),
    /// Deletes the keys of a range.
    DeleteRange(DeleteRangeRequest),
    /// Compares, then does one of two lists of operations.
    Txn(TxnRequest),
    /// Forgets history before a revision. `physical` concerns only the caller's waiting.
    Compact(CompactionRequest),
    /// Makes a lease. The caller has drawn `id` if the client left it open, and has raised `ttl` to its minimum.
    LeaseGrant {
        /// Id of the lease; zero is refused.
        id: i64,
        /// Time to live, in seconds.
        ttl: i64,
        /// The cluster's time, in milliseconds.
        now_ms: u64,
    },
    /// Removes a lease and deletes the keys attached to it.
    LeaseRevoke {
        /// Id of the lease.
        id: i64,
    },
    /// Sets how long leases still have; a keepalive gives back all that was granted.
    LeaseCheckpoint {
        /// The cluster's time, in milliseconds.
        now_ms: u64,
        /// The leases; those that are gone or have expired by now are passed over.
        leases: Vec<LeaseRemaining>,
    },
    /// As [`Command::LeaseRevoke`], if the lease has expired; otherwise nothing: a keepalive came first.
    LeaseExpire {
        /// Id of the lease.
        id: i64,
        /// The cluster's time, in milliseconds.
        now_ms: u64,
    },
    /// Makes the store remember the epoch of whoever changes the cluster, so that an older one is refused from now
    /// on.
    Fence {
        /// The epoch of the caller.
        epoch: u64,
    },
    /// Changes users and roles.
    Auth(AuthCommand),
    /// Raises or clears an alarm.
    Alarm(AlarmRequest),
    /// A member says of its own disk that there is no room left, or room again.
    Disk {
        /// The member.
        member_id: u64,
        /// Whether there is no room.
        full: bool,
    },
    /// A command with somebody behind it. Only one deep.
    As {
        /// Who gives the command.
        who: Who,
        /// The command.
        command: Box<Command>,
    },
}

/// How long a lease still has, at the time of the checkpoint that carries it.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LeaseRemaining {
    /// Id of the lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Time until it expires, in milliseconds.
    #[prost(uint64, tag = "2")]
    pub remaining_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseGrant {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(uint64, tag = "3")]
    now_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseRevoke {
    #[prost(int64, tag = "1")]
    id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseCheckpoint {
    #[prost(uint64, tag = "1")]
    now_ms: u64,
    #[prost(message, repeated, tag = "2")]
    leases: Vec<LeaseRemaining>,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseExpire {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(uint64, tag = "2")]
    now_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Fence {
    #[prost(uint64, tag = "1")]
    epoch: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Disk {
    #[prost(uint64, tag = "1")]
    member_id: u64,
    #[prost(bool, tag = "2")]
    full: bool,
}

/// Why bytes are not a command. The member must stop: it can no longer follow the log.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecodeError {
    /// There is no format or no kind.
    #[error("a command of {0} bytes is too short")]
    Short(usize),
    /// Written by a build that this one does not understand.
    #[error("commands of format {0} are not known to this build")]
    Format(u8),
    /// A kind of command that this build does not have.
    #[error("commands of kind {0} are not known to this build")]
    Kind(u8),
    /// The message itself is damaged.
    #[error("a command of kind {kind} cannot be read")]
    Message {
        /// The kind, as encoded.
        kind: u8,
        /// What is wrong.
        #[source]
        source: prost::DecodeError,
    },
}

impl Command {
    /// The same command with somebody behind it.
    #[must_use]
    pub fn given_by(self, who: Who) -> Self {
        match (who, self) {
            (Who::Nobody, command) => command,
            (who, Self::As { command, .. }) => Self::As { who, command },
            (who, command) => Self::As {
                who,
                command: Box::new(command),
            },
        }
    }

    /// Who is behind the command, and what it says.
    pub(crate) fn parts(&self) -> (&Who, &Self) {
        match self {
            Self::As { who, command } => (who, command),
            command => (&Who::Nobody, command),
        }
    }

    /// Appends the command's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put(request) => write(out, PUT, request),
            Self::DeleteRange(request) => write(out, DELETE_RANGE, request),
            Self::Txn(request) => write(out, TXN, request),
            Self::Compact(request) => write(out, COMPACT, request),
            &Self::LeaseGrant { id, ttl, now_ms } => write(out, LEASE_GRANT, &LeaseGrant { id, ttl, now_ms }),
            &Self::LeaseRevoke { id } => write(out, LEASE_REVOKE, &LeaseRevoke { id }),
            Self::LeaseCheckpoint { now_ms, leases } => {
                write(
                    out,
                    LEASE_CHECKPOINT,
                    &LeaseCheckpoint {
                        now_ms: *now_ms,
                        leases: leases.clone(),
                    },
                );
            }
            &Self::LeaseExpire { id, now_ms } => write(out, LEASE_EXPIRE, &LeaseExpire { id, now_ms }),
            &Self::Fence { epoch } => write(out, FENCE, &Fence { epoch }),
            Self::Auth(command) => {
                out.extend_from_slice(&[FORMAT, command.kind()]);
                out.extend_from_slice(&command.message());
            }
            Self::Alarm(request) => write(out, ALARM, request),
            &Self::Disk { member_id, full } => write(out, DISK, &Disk { member_id, full }),
            Self::As { who, command } => {
                out.extend_from_slice(&[FORMAT, AS]);
                out.extend_from_slice(&Mark::from(who).encode_length_delimited_to_vec());
                command.encode(out);
            }
        }
    }

    /// Whether encoded bytes are a command that carries a time, which the leader has to set.
    #[must_use]
    pub fn is_timed(bytes: &[u8]) -> bool {
        let mut rest = bytes;
        if let [FORMAT, AS, mark @ ..] = rest {
            let mut mark = mark;
            // A mark that cannot be read is found out when the command is decoded.
            let length = prost::decode_length_delimiter(&mut mark).unwrap_or(usize::MAX);
            rest = mark.get(length..).unwrap_or_default();
        }
        matches!(rest, [FORMAT, LEASE_GRANT | LEASE_CHECKPOINT | LEASE_EXPIRE, ..])
    }

    /// The same command at another time; one without a time stays as it is.
    #[must_use]
    pub fn stamped(mut self, time_ms: u64) -> Self {
        if let Self::LeaseGrant { now_ms, .. }
        | Self::LeaseCheckpoint { now_ms, .. }
        | Self::LeaseExpire { now_ms, .. } = &mut self
        {
            *now_ms = time_ms;
        }
        if let Self::As { who, command } = self {
            return command.stamped(time_ms).given_by(who);
        }
        self
    }

    /// Reads a command; keys and values are copied out of a slice, and shared with a `Bytes`.
    pub fn decode(mut bytes: impl Buf) -> Result<Self, DecodeError> {
        let length = bytes.remaining();
        if length < 2 {
            return Err(DecodeError::Short(length));
        }
        let (format, kind) = (bytes.get_u8(), bytes.get_u8());
        if format != FORMAT {
            return Err(DecodeError::Format(format));
        }
        if kind == AS {
            let mark = Mark::decode_length_delimited(&mut bytes);
            let who = mark.map_err(|source| DecodeError::Message { kind, source })?.into();
            return match Self::decode(bytes)? {
                Self::As { .. } => Err(DecodeError::Kind(AS)),
                command => Ok(command.given_by(who)),
            };
        }
        Self::message(kind, bytes).map_err(|error| match error {
            Some(source) => DecodeError::Message { kind, source },
            None => DecodeError::Kind(kind),
        })
    }

    /// The command of a kind; an error of `None` is an unknown kind.
    fn message(kind: u8, bytes: impl Buf) -> Result<Self, Option<prost::DecodeError>> {
        Ok(match kind {
            PUT => Self::Put(PutRequest::decode(bytes)?),
            DELETE_RANGE => Self::DeleteRange(DeleteRangeRequest::decode(bytes)?),
            TXN => Self::Txn(TxnRequest::decode(bytes)?),
            COMPACT => Self::Compact(CompactionRequest::decode(bytes)?),
            LEASE_GRANT => {
                let LeaseGrant { id, ttl, now_ms } = LeaseGrant::decode(bytes)?;
                Self::LeaseGrant { id, ttl, now_ms }
            }
            LEASE_REVOKE => Self::LeaseRevoke {
                id: LeaseRevoke::decode(bytes)?.id,
            },
            LEASE_CHECKPOINT => {
                let LeaseCheckpoint { now_ms, leases } = LeaseCheckpoint::decode(bytes)?;
                Self::LeaseCheckpoint { now_ms, leases }
            }
            LEASE_EXPIRE => {
                let LeaseExpire { id, now_ms } = LeaseExpire::decode(bytes)?;
                Self::LeaseExpire { id, now_ms }
            }
            FENCE => Self::Fence {
                epoch: Fence::decode(bytes)?.epoch,
            },
            ALARM => Self::Alarm(AlarmRequest::decode(bytes)?),
            DISK => {
                let Disk { member_id, full } = Disk::decode(bytes)?;
                Self::Disk { member_id, full }
            }
            _ => Self::Auth(AuthCommand::decode(kind, bytes)?.ok_or(None)?),
        })
    }
}

fn write(out: &mut Vec<u8>, kind: u8, message: &impl Message) {
    out.reserve(2 + message.encoded_len());
    out.extend_from_slice(&[FORMAT, kind]);
    message.encode_raw(out);
}

#[cfg(test)]
mod tests {
    use super::{Command, DecodeError, LeaseRemaining};
    use crate::auth::{AuthCommand, UserAdd, Who};
    use kvorum_api::etcdserverpb::{AlarmRequest, CompactionRequest, DeleteRangeRequest, PutRequest, TxnRequest};
    use proptest::prelude::*;
    use test_case::test_case;

    #[test_case(Command::Put(PutRequest { key: "k".into(), value: "v".into(), lease: -1, ..PutRequest::default() }); "put")]
    #[test_case(Command::DeleteRange(DeleteRangeRequest { key: "k".into(), ..DeleteRangeRequest::default() }); "delete")]
    #[test_case(Command::Txn(TxnRequest::default()); "txn")]
    #[test_case(Command::Compact(CompactionRequest { revision: 7, physical: true }); "compact")]
    #[test_case(Command::LeaseGrant { id: i64::MIN, ttl: 5, now_ms: u64::MAX }; "grant")]
    #[test_case(Command::LeaseRevoke { id: 3 }; "revoke")]
    #[test_case(Command::LeaseCheckpoint { now_ms: 1, leases: vec![LeaseRemaining { id: 2, remaining_ms: 3 }] }; "checkpoint")]
    #[test_case(Command::LeaseExpire { id: 7, now_ms: 8 }; "expire")]
    #[test_case(Command::Fence { epoch: 9 }; "fence")]
    #[test_case(Command::Alarm(AlarmRequest { action: 1, member_id: 3, alarm: 2 }); "alarm")]
    #[test_case(Command::Disk { member_id: u64::MAX, full: true }.given_by(Who::Member); "disk")]
    #[test_case(Command::Auth(AuthCommand::Enable); "enable")]
    #[test_case(Command::Auth(AuthCommand::Disable); "disable")]
    #[test_case(Command::Auth(AuthCommand::UserAdd(UserAdd { name: "u".into(), password_hash: "h".into(), no_password: false })); "user")]
    #[test_case(Command::Put(PutRequest::default()).given_by(Who::Member); "by a member")]
    #[test_case(Command::LeaseExpire { id: 7, now_ms: 8 }.given_by(Who::Member); "timed, by a member")]
    #[test_case(Command::Auth(AuthCommand::Enable).given_by(Who::User { name: "u".into(), auth_revision: 7 }); "by a user")]
    #[test_case(Command::Auth(AuthCommand::Enable).given_by(Who::User { name: String::new(), auth_revision: 0 }); "by a user without a name")]
    #[test_case(Command::Txn(TxnRequest::default()).given_by(Who::Nobody); "by nobody")]
    fn commands_survive_encoding(command: Command) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        assert_eq!(Command::decode(&bytes[..]), Ok(command.clone()));
        assert_eq!(Command::is_timed(&bytes), command.clone().stamped(77) != command);
    }

    #[test_case(&[] => DecodeError::Short(0); "empty")]
    #[test_case(&[1] => DecodeError::Short(1); "no kind")]
    #[test_case(&[2, 1] => DecodeError::Format(2); "other format")]
    #[test_case(&[1, 0] => DecodeError::Kind(0); "kind zero")]
    #[test_case(&[1, 99] => DecodeError::Kind(99); "unknown kind")]
    #[test_case(&[1, 31, 2, 8, 1, 1, 31, 2, 8, 1, 1, 16] => DecodeError::Kind(31); "given twice")]
    #[test_case(&[1, 31, 0] => DecodeError::Short(0); "given, but nothing")]
    fn what_is_no_command_is_refused(bytes: &[u8]) -> DecodeError {
        Command::decode(bytes).unwrap_err()
    }

    #[test]
    fn a_client_cannot_pass_for_another_by_giving_a_given_command() {
        let who = Who::User {
            name: "u".into(),
            auth_revision: 1,
        };
        let command = Command::Fence { epoch: 1 }.given_by(Who::Member).given_by(who.clone());
        assert_eq!(command.parts().0, &who);
    }

    #[test]
    fn a_damaged_message_names_its_kind() {
        assert!(matches!(
            Command::decode(&[1, 3, 0xff][..]),
            Err(DecodeError::Message { kind: 3, .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_bytes_make_decoding_panic(kind in 0..40_u8, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Command::decode(&[&[1, kind], &bytes[..]].concat()[..]);
        }
    }
}
