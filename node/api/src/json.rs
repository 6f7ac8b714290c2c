//! The proto3 JSON mapping as etcd's gateway speaks it (`protojson` with `UseProtoNames` and `DiscardUnknown`).
//!
//! Out: the names of the `.proto` files, 64-bit numbers as strings, bytes as standard base64, enums by name, nothing that
//! has its default value. In: also lowerCamelCase names, numbers or strings, any common form of base64, `null` for "not
//! set"; unknown fields and unknown names of enums are ignored, unknown numbers of enums are kept. A field given twice, or
//! two members of one oneof, are errors.
//!
//! The build script writes one [`Message`] per message, which is a table of fields; the [`codec`]s know what each kind of
//! field looks like. One bound is tighter than etcd's: JSON nests at most 128 levels (`serde_json`), which is about forty
//! transactions inside each other, so that no body can exhaust the stack.

mod base64;
mod codec;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serialize, Serializer};

use crate::error::{Code, Failure};

pub(crate) use codec::{Blob, Codec, Enumeration, Flag, Maybe, Named, Narrow, One, Repeated, Text, Wide};

/// Decodes a request body as etcd's gateway does: an empty body is an empty message, and what follows the first JSON
/// value is not looked at.
///
/// # Errors
/// `InvalidArgument` (HTTP 400) with a sentence about the place and the kind of the mistake.
pub fn decode<M: DeserializeOwned + Default>(body: &[u8]) -> Result<M, Failure> {
    match serde_json::Deserializer::from_slice(body).into_iter::<M>().next() {
        Some(result) => result.map_err(|error| Failure::new(Code::InvalidArgument, error.to_string())),
        None => Ok(M::default()),
    }
}

/// Encodes a message.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have text keys and no fallible field, so they always encode")
}

/// The table of fields of one message. Generated.
pub(crate) trait Message: Default {
    /// Full name, for errors.
    const NAME: &'static str;
    /// Names of the fields, by index. At most 32.
    const FIELDS: &'static [&'static str];
    /// The index of the field with this name.
    fn index(name: &str) -> Option<u32>;
    /// Reads the value of a field.
    fn read<'de, A: MapAccess<'de>>(&mut self, index: u32, map: &mut A) -> Result<(), A::Error>;
    /// Writes every field that is not at its default.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

pub(crate) fn serialize<M: Message, S: Serializer>(message: &M, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    message.write(&mut map)?;
    map.end()
}

pub(crate) fn deserialize<'de, M: Message, D: Deserializer<'de>>(deserializer: D) -> Result<M, D::Error> {
    deserializer.deserialize_map(Reader(PhantomData))
}

/// Reads an object into a message.
struct Reader<M>(PhantomData<M>);

impl<'de, M: Message> Visitor<'de> for Reader<M> {
    type Value = M;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object ({})", M::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
        const { assert!(M::FIELDS.len() <= u32::BITS as usize, "one bit per field must do") };
        let mut message = M::default();
        let mut seen = 0_u32;
        while let Some(index) = map.next_key_seed(Key::<M>(PhantomData))? {
            let Some(index) = index else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen & (1 << index) != 0 {
                return Err(A::Error::duplicate_field(M::FIELDS[index as usize]));
            }
            seen |= 1 << index;
            message.read(index, &mut map)?;
        }
        Ok(message)
    }
}

/// Reads the name of a field as its index, without keeping the name.
struct Key<M>(PhantomData<M>);

impl<'de, M: Message> DeserializeSeed<'de> for Key<M> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<M: Message> Visitor<'_> for Key<M> {
    type Value = Option<u32>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(M::index(name))
    }
}

/// Reads a field; `null` and what the codec drops leave it as it is.
pub(crate) fn read<'de, C: Codec, A: MapAccess<'de>>(map: &mut A, slot: &mut C::Value) -> Result<(), A::Error> {
    if let Some(value) = map.next_value_seed(Nullable::<C>(PhantomData))? {
        *slot = value;
    }
    Ok(())
}

/// Reads a member of a oneof, of which only one may be set.
pub(crate) fn read_variant<'de, C: Codec, T, A: MapAccess<'de>>(
    map: &mut A,
    slot: &mut Option<T>,
    variant: impl FnOnce(C::Value) -> T,
) -> Result<(), A::Error> {
    if let Some(value) = map.next_value_seed(Nullable::<C>(PhantomData))? {
        if slot.is_some() {
            return Err(A::Error::custom("only one of the alternatives of a oneof can be set"));
        }
        *slot = Some(variant(value));
    }
    Ok(())
}

/// Writes a field unless it has its default value.
pub(crate) fn write<C: Codec, M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    value: &C::Value,
) -> Result<(), M::Error> {
    if C::is_default(value) {
        Ok(())
    } else {
        write_variant::<C, M>(map, name, value)
    }
}

/// Writes a field whatever its value, as members of a oneof are.
pub(crate) fn write_variant<C: Codec, M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    value: &C::Value,
) -> Result<(), M::Error> {
    map.serialize_entry(name, &Encoded::<C>(value))
}

/// Reads a value or `null`.
struct Nullable<C>(PhantomData<C>);

impl<'de, C: Codec> DeserializeSeed<'de> for Nullable<C> {
    type Value = Option<C::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, C: Codec> Visitor<'de> for Nullable<C> {
    type Value = Option<C::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        C::decode(deserializer)
    }
}

/// A value with its codec, as serde wants it.
struct Encoded<'a, C: Codec>(&'a C::Value);

impl<C: Codec> Serialize for Encoded<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        C::encode(self.0, serializer)
    }
}

#[cfg(test)]
mod tests;
