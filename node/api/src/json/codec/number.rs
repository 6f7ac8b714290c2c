//! Numbers: written as proto3 JSON asks, read in every form that stands for a whole number in range.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::Codec;

/// A 64-bit number: written as a string, because JavaScript has no such numbers.
pub(crate) struct Wide<T>(PhantomData<T>);

/// A 32-bit number: written as a number.
pub(crate) struct Narrow<T>(PhantomData<T>);

/// Implements both directions of a codec of numbers.
macro_rules! numbers {
    ($codec:ident<$number:ty>, $value:ident, $serializer:ident => $encode:expr) => {
        impl Codec for $codec<$number> {
            type Value = $number;

            fn is_default(value: &$number) -> bool {
                *value == 0
            }

            fn encode<S: Serializer>($value: &$number, $serializer: S) -> Result<S::Ok, S::Error> {
                $encode
            }

            fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<$number>, D::Error> {
                let number = deserializer.deserialize_any(Integer { text: true })?;
                <$number>::try_from(number)
                    .map(Some)
                    .map_err(|_| D::Error::custom(format!("{number} is out of range")))
            }
        }
    };
}

numbers!(Wide<i64>, value, serializer => serializer.collect_str(value));
numbers!(Wide<u64>, value, serializer => serializer.collect_str(value));
numbers!(Narrow<u32>, value, serializer => serializer.serialize_u32(*value));

/// Reads a whole number, or with `text` also a string that holds one. `1e3` and `5.0` are whole; `1.5` is not.
struct Integer {
    text: bool,
}

/// From here on a float may stand for several whole numbers, and fits no 64-bit integer: 2 to the power of 64.
const FLOAT_END: f64 = 18_446_744_073_709_551_616.0;

/// The whole number that a float stands for, if it is one and may fit 64 bits.
pub(super) fn whole(number: f64) -> Option<i128> {
    // The conversion is exact: the number is whole and its magnitude fits with room to spare.
    (number.fract() == 0.0 && number.abs() < FLOAT_END).then_some(number as i128)
}

impl Visitor<'_> for Integer {
    type Value = i128;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number, or one in a string")
    }

    fn visit_u64<E>(self, number: u64) -> Result<i128, E> {
        Ok(i128::from(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<i128, E> {
        Ok(i128::from(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<i128, E> {
        whole(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i128, E> {
        let clean =
            !text.starts_with(|c: char| c.is_ascii_whitespace()) && !text.ends_with(|c: char| c.is_ascii_whitespace());
        if self.text && clean {
            // The text must be a number of JSON itself, so `+5`, `05` and `0x5` are none.
            let mut number = serde_json::Deserializer::from_str(text);
            if let Ok(value) = (&mut number).deserialize_any(Integer { text: false })
                && number.end().is_ok()
            {
                return Ok(value);
            }
        }
        Err(E::invalid_value(Unexpected::Str(text), &self))
    }
}
