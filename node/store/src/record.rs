//! One record: what one change left behind, as it lies in the engine and in memory.
//!
//! ```text
//! kk pppp…    kk = 00 put, 01 deletion; p = mvccpb.KeyValue (a deletion has only key and mod_revision)
//! ```
//! A record owns one allocation; keys and values handed out are slices of it. It never points into a request's
//! buffer, which would keep a whole network frame alive for as long as the record.

use crate::engine::EngineError;
use crate::keyspace::RECORD_KEY_BYTES;
use bytes::{BufMut, Bytes, BytesMut};
use kvorum_api::mvccpb::event::EventType;
use kvorum_api::mvccpb::{Event, KeyValue};
use prost::Message;

const PUT: u8 = 0;
const DELETION: u8 = 1;

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Deletion,
}

/// Encodes a record into an allocation of its own.
pub(crate) fn encode(kind: Kind, pair: &KeyValue) -> Bytes {
    let mut buffer = BytesMut::with_capacity(1 + pair.encoded_len());
    buffer.put_u8(match kind {
        Kind::Put => PUT,
        Kind::Deletion => DELETION,
    });
    pair.encode(&mut buffer)
        .expect("the buffer has room for the pair and would grow");
    buffer.freeze()
}

/// The bytes that a record takes in the engine, its key there included.
pub(crate) fn bytes(record: &[u8]) -> u32 {
    // No request is that large; a wrong sum would be a wrong figure and nothing else.
    u32::try_from(record.len() + RECORD_KEY_BYTES).unwrap_or(u32::MAX)
}

/// Decodes a record without copying; `place` names it in the error.
pub(crate) fn decode(place: &[u8], record: &Bytes) -> Result<(Kind, KeyValue), EngineError> {
    let kind = match record.first() {
        Some(&PUT) => Kind::Put,
        Some(&DELETION) => Kind::Deletion,
        Some(other) => return Err(EngineError::corrupt(place, format!("unknown kind {other}"))),
        None => return Err(EngineError::corrupt(place, "empty")),
    };
    let pair = KeyValue::decode(record.slice(1..)).map_err(|error| EngineError::corrupt(place, error))?;
    Ok((kind, pair))
}

/// The part of a put's record that the hash of the live state covers: key, revisions, version, value and lease.
pub(crate) fn hashed(record: &[u8]) -> &[u8] {
    &record[1..]
}

/// The event that watchers see for a record.
pub(crate) fn event(kind: Kind, pair: KeyValue) -> Event {
    let kind = match kind {
        Kind::Put => EventType::Put,
        Kind::Deletion => EventType::Delete,
    };
    Event {
        r#type: kind.into(),
        kv: Some(pair),
        prev_kv: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, decode, encode};
    use bytes::Bytes;
    use kvorum_api::mvccpb::KeyValue;
    use test_case::test_case;

    #[test_case(Kind::Put; "put")]
    #[test_case(Kind::Deletion; "deletion")]
    fn records_survive_encoding(kind: Kind) {
        let pair = KeyValue {
            key: Bytes::from_static(b"k"),
            create_revision: 2,
            mod_revision: 9,
            version: 3,
            value: Bytes::from_static(b"v\0"),
            lease: -4,
        };
        assert_eq!(decode(b"", &encode(kind, &pair)).unwrap(), (kind, pair));
    }

    #[test_case(&[]; "empty")]
    #[test_case(&[9]; "unknown kind")]
    #[test_case(&[0, 0xff]; "not a message")]
    fn bad_records_are_refused(bytes: &[u8]) {
        assert!(decode(b"", &Bytes::copy_from_slice(bytes)).is_err());
    }
}
