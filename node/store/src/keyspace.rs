//! How the state lies in the engine, byte by byte.
//!
//! ```text
//! 01 01                       the state's own counters (`Meta`)
//! 01 02                       membership, opaque bytes of the node
//! 01 03                       present while a snapshot is being read in: the rest must not be trusted
//! 10 iiiiiiiiiiiiiiii         lease i, big-endian with the sign bit flipped
//! 20 mmmmmmmmmmmmmmmm ssss…   record of revision m.s, both big-endian (8 and 4 bytes)
//! 30 …                        users, roles and whether they count (`auth`)
//! 38 kk mmmmmmmmmmmmmmmm      alarm of kind k on member m; no value
//! ```
//! Big-endian makes byte order the numbers' order, so that a scan of the
//! records replays history. Attached keys are not stored: the newest record of a key names its lease.

use crate::engine::{Engine, EngineError};
use crate::lease::Lease;
use crate::revision::{LogPosition, Revision};
use bytes::Bytes;
use prost::Message;
use std::ops::Range;

/// Format of everything under this key space; a reader refuses any other.
pub(crate) const FORMAT: u32 = 1;

pub(crate) const META: &[u8] = &[0x01, 0x01];
pub(crate) const MEMBERSHIP: &[u8] = &[0x01, 0x02];
pub(crate) const UNFINISHED: &[u8] = &[0x01, 0x03];
pub(crate) const LEASES: Range<&[u8]> = &[0x10]..&[0x11];
pub(crate) const RECORDS: Range<&[u8]> = &[0x20]..&[0x21];
pub(crate) const AUTH: Range<&[u8]> = &[0x30]..&[0x31];
pub(crate) const ALARMS: Range<&[u8]> = &[0x38]..&[0x39];

const LEASE_KEY_BYTES: usize = 9;
pub(crate) const RECORD_KEY_BYTES: usize = 13;
const SIGN: u64 = 1 << 63;

/// The engine's key of a record.
pub(crate) fn record_key(revision: Revision) -> Vec<u8> {
    let mut key = Vec::with_capacity(RECORD_KEY_BYTES);
    key.push(RECORDS.start[0]);
    // Revisions are never negative, so the cast keeps both value and order.
    key.extend_from_slice(&(revision.main as u64).to_be_bytes());
    key.extend_from_slice(&revision.sub.to_be_bytes());
    key
}

/// The revision in the engine's key of a record.
pub(crate) fn record_revision(key: &[u8]) -> Result<Revision, EngineError> {
    let malformed = || EngineError::corrupt(key, "not the key of a record");
    let (&tag, rest) = key.split_first().ok_or_else(malformed)?;
    let (main, sub) = rest.split_first_chunk::<8>().ok_or_else(malformed)?;
    let sub: [u8; 4] = sub.try_into().map_err(|_| malformed())?;
    let main = i64::from_be_bytes(*main);
    // Nothing was ever changed in revision zero, which stands for "no revision" in the index.
    if tag != RECORDS.start[0] || main <= 0 {
        return Err(malformed());
    }
    Ok(Revision::new(main, u32::from_be_bytes(sub)))
}

/// The engine's key of a lease.
pub(crate) fn lease_key(id: i64) -> Vec<u8> {
    let mut key = Vec::with_capacity(LEASE_KEY_BYTES);
    key.push(LEASES.start[0]);
    key.extend_from_slice(&ordered(id));
    key
}

/// The lease's id in the engine's key.
pub(crate) fn lease_id(key: &[u8]) -> Result<i64, EngineError> {
    let malformed = || EngineError::corrupt(key, "not the key of a lease");
    let (&tag, rest) = key.split_first().ok_or_else(malformed)?;
    let id: [u8; 8] = rest.try_into().map_err(|_| malformed())?;
    if tag != LEASES.start[0] {
        return Err(malformed());
    }
    Ok(unordered(id))
}

/// Eight bytes whose order is the number's order, negative ones first.
pub(crate) fn ordered(number: i64) -> [u8; 8] {
    (number as u64 ^ SIGN).to_be_bytes()
}

/// The inverse of [`ordered`].
pub(crate) fn unordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ SIGN) as i64
}

/// The counters that must change together with the records, as they lie in the engine and at the head of a snapshot.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Meta {
    #[prost(uint32, tag = "1")]
    pub(crate) format: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) position: Option<Position>,
    #[prost(int64, tag = "3")]
    pub(crate) revision: i64,
    #[prost(sint64, tag = "4")]
    pub(crate) compacted: i64,
    #[prost(uint64, tag = "5")]
    pub(crate) fence: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) clock_ms: u64,
}

/// A log position on disk.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Position {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) index: u64,
}

impl From<LogPosition> for Position {
    fn from(LogPosition { term, node, index }: LogPosition) -> Self {
        Self { term, node, index }
    }
}

impl From<Position> for LogPosition {
    fn from(Position { term, node, index }: Position) -> Self {
        Self { term, node, index }
    }
}

impl Meta {
    pub(crate) fn to_bytes(self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The counters in the engine; `None` in an empty one.
    pub(crate) fn load(engine: &dyn Engine) -> Result<Option<Self>, EngineError> {
        let Some(bytes) = engine.get(META)? else {
            return Ok(None);
        };
        Self::decode(bytes)
            .map(Some)
            .map_err(|error| EngineError::corrupt(META, error))
    }
}

/// A lease on disk.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct LeaseRecord {
    #[prost(int64, tag = "1")]
    ttl: i64,
    #[prost(uint64, tag = "2")]
    expires_ms: u64,
}

impl LeaseRecord {
    pub(crate) fn encoded(lease: &Lease) -> Bytes {
        Self {
            ttl: lease.ttl,
            expires_ms: lease.expires_ms,
        }
        .encode_to_vec()
        .into()
    }

    pub(crate) fn decoded(key: &[u8], value: &[u8]) -> Result<Lease, EngineError> {
        let record = Self::decode(value).map_err(|error| EngineError::corrupt(key, error))?;
        Ok(Lease {
            ttl: record.ttl,
            expires_ms: record.expires_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{lease_id, lease_key, record_key, record_revision};
    use crate::revision::Revision;
    use test_case::test_case;

    #[test_case(Revision::new(1, 0), "20000000000000000100000000"; "first")]
    #[test_case(Revision::new(258, 3), "20000000000000010200000003"; "small")]
    #[test_case(Revision::new(i64::MAX, u32::MAX), "207fffffffffffffffffffffff"; "last")]
    fn record_keys(revision: Revision, hex: &str) {
        let key = record_key(revision);
        assert_eq!(key.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex);
        assert_eq!(record_revision(&key).unwrap(), revision);
    }

    #[test]
    fn keys_keep_the_order_of_numbers() {
        let revisions = [(2, 0), (2, 1), (2, 256), (3, 0), (255, 0), (256, 0), (65_536, 7)];
        let keys: Vec<_> = revisions
            .iter()
            .map(|&(main, sub)| record_key(Revision::new(main, sub)))
            .collect();
        assert!(keys.is_sorted());
        let leases = [i64::MIN, -1, 0, 1, 255, 256, i64::MAX];
        let keys: Vec<_> = leases.iter().map(|&id| lease_key(id)).collect();
        assert!(keys.is_sorted());
        assert_eq!(
            keys.iter().map(|key| lease_id(key).unwrap()).collect::<Vec<_>>(),
            leases
        );
    }

    #[test_case(&[]; "empty")]
    #[test_case(&[0x20, 0, 0]; "short")]
    #[test_case(&[0x20; 14]; "long")]
    #[test_case(&[0x10; 13]; "other tag")]
    #[test_case(&[0x20, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]; "negative")]
    fn malformed_record_keys_are_refused(key: &[u8]) {
        assert!(record_revision(key).is_err());
    }
}
