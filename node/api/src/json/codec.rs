//! What each kind of field looks like in JSON.
//!
//! A codec is a type without values; it reads and writes the Rust type that prost gives to a field of its kind.

mod number;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{DeserializeSeed, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serializer};

use super::{Encoded, Message, base64};

pub(crate) use number::{Narrow, Wide};

/// How one kind of field is read and written.
pub(crate) trait Codec {
    /// The Rust type of the field.
    type Value: Default;
    /// Whether the field is left out.
    fn is_default(value: &Self::Value) -> bool;
    /// Writes the value.
    fn encode<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error>;
    /// Reads the value, which is not `null`; `None` when it is to be ignored.
    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self::Value>, D::Error>;
}

/// An enum of etcd.
pub(crate) trait Enumeration: TryFrom<i32> + Into<i32> {
    /// The name in the `.proto` file.
    fn name(self) -> &'static str;
    /// The value with this name.
    fn from_name(name: &str) -> Option<Self>;
}

/// `bytes`: base64.
pub(crate) struct Blob;

impl Codec for Blob {
    type Value = Bytes;

    fn is_default(value: &Bytes) -> bool {
        value.is_empty()
    }

    fn encode<S: Serializer>(value: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::encode(value))
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Option<Bytes>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes in base64")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match base64::decode(text) {
                    Some(bytes) => Ok(Some(bytes.into())),
                    None => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

/// `string`.
pub(crate) struct Text;

impl Codec for Text {
    type Value = String;

    fn is_default(value: &String) -> bool {
        value.is_empty()
    }

    fn encode<S: Serializer>(value: &String, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value)
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        String::deserialize(deserializer).map(Some)
    }
}

/// `bool`: no strings.
pub(crate) struct Flag;

impl Codec for Flag {
    type Value = bool;

    fn is_default(value: &bool) -> bool {
        !value
    }

    fn encode<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*value)
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
        bool::deserialize(deserializer).map(Some)
    }
}

/// An enum: written by name (by number when it has no name), read by name or number.
pub(crate) struct Named<E>(PhantomData<E>);

impl<E: Enumeration> Codec for Named<E> {
    type Value = i32;

    fn is_default(value: &i32) -> bool {
        *value == 0
    }

    fn encode<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(*value) {
            Ok(known) => serializer.serialize_str(known.name()),
            Err(_) => serializer.serialize_i32(*value),
        }
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
        deserializer.deserialize_any(NameOrNumber::<E>(PhantomData))
    }
}

struct NameOrNumber<E>(PhantomData<E>);

impl<E: Enumeration> Visitor<'_> for NameOrNumber<E> {
    type Value = Option<i32>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name or the number of an enum's value")
    }

    fn visit_str<X: serde::de::Error>(self, name: &str) -> Result<Self::Value, X> {
        Ok(E::from_name(name).map(E::into))
    }

    fn visit_u64<X: serde::de::Error>(self, number: u64) -> Result<Self::Value, X> {
        i32::try_from(number)
            .map(Some)
            .map_err(|_| X::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<X: serde::de::Error>(self, number: i64) -> Result<Self::Value, X> {
        i32::try_from(number)
            .map(Some)
            .map_err(|_| X::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<X: serde::de::Error>(self, number: f64) -> Result<Self::Value, X> {
        let whole = number::whole(number).and_then(|whole| i32::try_from(whole).ok());
        whole
            .map(Some)
            .ok_or_else(|| X::invalid_value(Unexpected::Float(number), &self))
    }
}

/// A message that is always there: an element of a list or a member of a oneof.
pub(crate) struct One<M>(PhantomData<M>);

impl<M: Message> Codec for One<M> {
    type Value = M;

    fn is_default(_: &M) -> bool {
        false
    }

    fn encode<S: Serializer>(value: &M, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(value, serializer)
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<M>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// A message that may be absent.
pub(crate) struct Maybe<M>(PhantomData<M>);

impl<M: Message> Codec for Maybe<M> {
    type Value = Option<M>;

    fn is_default(value: &Option<M>) -> bool {
        value.is_none()
    }

    fn encode<S: Serializer>(value: &Option<M>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(message) => super::serialize(message, serializer),
            None => serializer.serialize_none(),
        }
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<M>>, D::Error> {
        super::deserialize(deserializer).map(|message| Some(Some(message)))
    }
}

/// A list; elements that the codec ignores are left out.
pub(crate) struct Repeated<C>(PhantomData<C>);

impl<C: Codec> Codec for Repeated<C> {
    type Value = Vec<C::Value>;

    fn is_default(value: &Self::Value) -> bool {
        value.is_empty()
    }

    fn encode<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(value.len()))?;
        for element in value {
            list.serialize_element(&Encoded::<C>(element))?;
        }
        list.end()
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self::Value>, D::Error> {
        deserializer.deserialize_seq(List::<C>(PhantomData)).map(Some)
    }
}

struct List<C>(PhantomData<C>);

impl<'de, C: Codec> Visitor<'de> for List<C> {
    type Value = Vec<C::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(Element::<C>(PhantomData))? {
            list.extend(element);
        }
        Ok(list)
    }
}

/// An element of a list, where `null` is an error.
struct Element<C>(PhantomData<C>);

impl<'de, C: Codec> DeserializeSeed<'de> for Element<C> {
    type Value = Option<C::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        C::decode(deserializer)
    }
}
