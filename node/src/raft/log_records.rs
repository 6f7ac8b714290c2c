//! The records of the Raft log in the WAL, byte by byte.
//!
//! ```text
//! kind 1  entry      term u64 ‖ index u64 ‖ payload: 0 blank | 1 command bytes | 2 postcard membership
//! kind 2  vote       postcard
//! kind 3  committed  term u64 ‖ index u64
//! kind 4  truncate   last index kept, plus one (0: nothing is kept)   u64
//! kind 5  purge      term u64 ‖ index u64                             (everything up to it was forgotten)
//! ```
//! All integers little-endian. Must keep true: what [`encode`] wrote, [`decode`] reads back to the same value; a record
//! that does not decode is corruption, never skipped.

use bytes::Bytes;
use kvorum_wal::Kind;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use thiserror::Error;

use super::{Entry, EntryId, Proposal, Vote, entry_id};

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE: u8 = 4;
const PURGE: u8 = 5;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;
/// Term and index.
const ID_BYTES: usize = 16;

/// One record of the Raft log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A log entry, appended after the last.
    Entry(Entry),
    /// The vote, replacing the one before.
    Vote(Vote),
    /// What was known to be committed.
    Committed(EntryId),
    /// Entries from this index on were cut off.
    TruncateFrom(u64),
    /// Entries up to and including this one were forgotten: a snapshot covers them.
    Purge(EntryId),
}

/// A record that is not one of ours, though its checksum is right.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the log holds a record of kind {kind} that this version cannot read: {reason}")]
pub struct DecodeError {
    kind: u8,
    reason: String,
}

/// The WAL kind and payload of `record`.
pub fn encode(record: &Record) -> (Kind, Vec<u8>) {
    match record {
        Record::Entry(entry) => entry_record(entry),
        Record::Vote(vote) => (Kind(VOTE), postcard::to_stdvec(vote).expect("a vote always serializes")),
        Record::Committed(id) => (Kind(COMMITTED), id_bytes(id).to_vec()),
        Record::TruncateFrom(index) => (Kind(TRUNCATE), index.to_le_bytes().to_vec()),
        Record::Purge(id) => (Kind(PURGE), id_bytes(id).to_vec()),
    }
}

/// The WAL kind and payload of an entry, without a clone of it.
pub fn entry_record(entry: &Entry) -> (Kind, Vec<u8>) {
    (Kind(ENTRY), encode_entry(entry))
}

/// The payload of an entry record.
fn encode_entry(entry: &Entry) -> Vec<u8> {
    let body = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(proposal) => proposal.0.len(),
        EntryPayload::Membership(_) => 256,
    };
    let mut bytes = Vec::with_capacity(ID_BYTES + 1 + body);
    bytes.extend_from_slice(&id_bytes(&entry.log_id()));
    match &entry.payload {
        EntryPayload::Blank => bytes.push(BLANK),
        EntryPayload::Normal(proposal) => {
            bytes.push(NORMAL);
            bytes.extend_from_slice(&proposal.0);
        }
        EntryPayload::Membership(membership) => {
            bytes.push(MEMBERSHIP);
            bytes = postcard::to_extend(membership, bytes).expect("a membership always serializes");
        }
    }
    bytes
}

/// Reads a record back.
///
/// # Errors
/// The kind is unknown or the payload does not have its form.
pub fn decode(kind: Kind, payload: &[u8]) -> Result<Record, DecodeError> {
    let bad = |reason: &str| DecodeError {
        kind: kind.0,
        reason: reason.to_owned(),
    };
    match kind.0 {
        ENTRY => decode_entry(payload).map(Record::Entry),
        VOTE => postcard::from_bytes(payload)
            .map(Record::Vote)
            .map_err(|error| bad(&error.to_string())),
        COMMITTED => read_id(payload)
            .map(Record::Committed)
            .ok_or_else(|| bad("16 bytes expected")),
        TRUNCATE => match payload.try_into() {
            Ok(bytes) => Ok(Record::TruncateFrom(u64::from_le_bytes(bytes))),
            Err(_) => Err(bad("8 bytes expected")),
        },
        PURGE => read_id(payload)
            .map(Record::Purge)
            .ok_or_else(|| bad("16 bytes expected")),
        _ => Err(bad("unknown kind")),
    }
}

/// Reads the payload of an entry record back.
///
/// # Errors
/// The payload does not have its form.
pub fn decode_entry(payload: &[u8]) -> Result<Entry, DecodeError> {
    let bad = |reason: &str| DecodeError {
        kind: ENTRY,
        reason: reason.to_owned(),
    };
    let (id, rest) = payload.split_at_checked(ID_BYTES).ok_or_else(|| bad("too short"))?;
    let id = read_id(id).ok_or_else(|| bad("too short"))?;
    let (tag, body) = rest.split_first().ok_or_else(|| bad("no payload tag"))?;
    let payload = match *tag {
        BLANK => EntryPayload::Blank,
        NORMAL => EntryPayload::Normal(Proposal(Bytes::copy_from_slice(body))),
        MEMBERSHIP => EntryPayload::Membership(postcard::from_bytes(body).map_err(|error| bad(&error.to_string()))?),
        tag => return Err(bad(&format!("unknown payload tag {tag}"))),
    };
    Ok(openraft::Entry::new(id, payload))
}

fn id_bytes(id: &EntryId) -> [u8; ID_BYTES] {
    let mut bytes = [0; ID_BYTES];
    bytes[..8].copy_from_slice(&id.committed_leader_id().to_le_bytes());
    bytes[8..].copy_from_slice(&id.index().to_le_bytes());
    bytes
}

fn read_id(bytes: &[u8]) -> Option<EntryId> {
    let (term, index) = bytes.split_first_chunk::<8>()?;
    Some(entry_id(
        u64::from_le_bytes(*term),
        u64::from_le_bytes(index.try_into().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::raft::{MemberNode, Membership};

    fn entry(payload: EntryPayload<Proposal, u64, MemberNode>) -> Record {
        Record::Entry(openraft::Entry::new(entry_id(3, 9), payload))
    }

    #[test]
    fn every_record_round_trips() {
        let node = MemberNode {
            name: "a".into(),
            peer_urls: vec!["https://a:2380".into()],
            client_urls: vec![],
        };
        let nodes = BTreeMap::from([(7, node)]);
        let membership = Membership::new(vec![[7].into()], nodes).unwrap();
        let records = [
            entry(EntryPayload::Blank),
            entry(EntryPayload::Normal(Proposal(Bytes::from_static(b"command")))),
            entry(EntryPayload::Membership(membership)),
            Record::Vote(Vote::new_committed(4, 2)),
            Record::Committed(entry_id(1, 2)),
            Record::TruncateFrom(12),
            Record::Purge(entry_id(2, 11)),
        ];
        for record in records {
            let (kind, payload) = encode(&record);
            assert_eq!(decode(kind, &payload), Ok(record));
        }
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for (kind, payload) in [
            (ENTRY, &b"short"[..]),
            (COMMITTED, b"x"),
            (TRUNCATE, b""),
            (9, b""),
            (PURGE, b"12345678"),
        ] {
            assert!(decode(Kind(kind), payload).is_err(), "kind {kind}");
        }
    }
}
