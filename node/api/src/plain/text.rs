//! Bytes that are shown as text when they are UTF-8 and as base64 otherwise.
//!
//! In JSON such bytes are a pair of alternative fields of the object around them (`key` or `key_base64`). The modules
//! [`key`] and [`value`] give serde those names; more names are one line each.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a key or a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(Bytes);

/// A `…_base64` field that is no base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64 (standard alphabet, with padding)")]
pub struct NotBase64;

impl Text {
    /// The bytes themselves.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes themselves, taken out.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The text, when the bytes are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// From the base64 form.
    pub fn from_base64(encoded: &str) -> Result<Self, NotBase64> {
        let bytes = base64_simd::STANDARD.decode_to_vec(encoded).map_err(|_| NotBase64)?;
        Ok(Self(bytes.into()))
    }

    /// The base64 form.
    pub fn to_base64(&self) -> String {
        base64_simd::STANDARD.encode_to_string(&self.0)
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// Declares the serde functions of a pair of alternative fields.
macro_rules! alternatives {
    ($module:ident, $plain:literal, $encoded:literal) => {
        #[doc = concat!("The fields `", $plain, "` and `", $encoded, "`.")]
        pub(super) mod $module {
            use super::*;

            #[derive(Serialize, Deserialize, Default)]
            struct Fields {
                #[serde(rename = $plain, default, skip_serializing_if = "Option::is_none")]
                plain: Option<String>,
                #[serde(rename = $encoded, default, skip_serializing_if = "Option::is_none")]
                encoded: Option<String>,
            }

            pub(in crate::plain) fn serialize<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
                let fields = match text.as_str() {
                    Some(plain) => Fields {
                        plain: Some(plain.to_owned()),
                        encoded: None,
                    },
                    None => Fields {
                        plain: None,
                        encoded: Some(text.to_base64()),
                    },
                };
                fields.serialize(serializer)
            }

            pub(in crate::plain) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
                use serde::de::Error;
                match Fields::deserialize(deserializer)? {
                    Fields {
                        plain: Some(plain),
                        encoded: None,
                    } => Ok(Text(plain.into())),
                    Fields {
                        plain: None,
                        encoded: Some(encoded),
                    } => Text::from_base64(&encoded).map_err(D::Error::custom),
                    Fields {
                        plain: None,
                        encoded: None,
                    } => Err(D::Error::missing_field($plain)),
                    Fields {
                        plain: Some(_),
                        encoded: Some(_),
                    } => Err(D::Error::custom(concat!(
                        "give ",
                        $plain,
                        " or ",
                        $encoded,
                        ", not both"
                    ))),
                }
            }
        }
    };
}

alternatives!(key, "key", "key_base64");
alternatives!(value, "value", "value_base64");
