//! Transactions for people: `{"if": […], "then": […], "else": […]}` in plain strings.
//!
//! ```json
//! {"if":   [{"key": "lock", "exists": false}, {"key": "epoch", "value": "7"}, {"key": "jobs", "version": {"gt": 3}}],
//!  "then": [{"put": {"key": "lock", "value": "me"}}, {"get": {"prefix": "jobs/"}}],
//!  "else": [{"get": {"key": "lock"}}]}
//! ```
//!
//! Must keep true: nothing is guessed. An unknown field, a key named twice, a condition that tests nothing is refused
//! with a sentence; no field is ever passed over.

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Deleted, Entry, NotBase64, Text, text};
use crate::Id;

/// `POST`: a [`Txn`]; answered with a [`TxnResult`].
pub const TXN_PATH: &str = "/v1/txn";

/// A transaction: one atomic step, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Txn {
    /// All must hold for `then`; otherwise `else` is done. Nothing at all always holds.
    #[serde(rename = "if", default)]
    pub conditions: Vec<Condition>,
    /// What is done when every condition holds, in this order.
    #[serde(default)]
    pub then: Vec<Operation>,
    /// What is done otherwise.
    #[serde(rename = "else", default)]
    pub otherwise: Vec<Operation>,
}

/// Tests of one key, or of every key with a prefix; all of them must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    key: Option<String>,
    key_base64: Option<String>,
    prefix: Option<String>,
    prefix_base64: Option<String>,
    value: Option<Test<String>>,
    value_base64: Option<Test<String>>,
    /// Whether the key exists.
    pub exists: Option<bool>,
    /// Its version.
    pub version: Option<Test<i64>>,
    /// The revision of its creation.
    pub create_revision: Option<Test<i64>>,
    /// The revision of its last change.
    pub mod_revision: Option<Test<i64>>,
    /// The lease that it is attached to.
    pub lease: Option<Test<Id>>,
}

/// A comparison with a value: `5` and `{"eq": 5}` say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test<T> {
    /// How.
    pub relation: Relation,
    /// With what.
    pub with: T,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater; bytes by their order.
    Gt,
    /// Less.
    Lt,
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Writes a key.
    Put(Put),
    /// Reads a key, or every key with a prefix.
    Get(Get),
    /// Deletes a key, or every key with a prefix.
    Delete(Delete),
    /// A transaction inside of this one.
    Txn(Txn),
}

/// Writes a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    /// The lease to attach it to; without one it stays until it is deleted.
    pub lease: Option<Id>,
}

/// Reads a key, or every key with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    key: Option<String>,
    key_base64: Option<String>,
    prefix: Option<String>,
    prefix_base64: Option<String>,
    /// At most so many pairs; without it all.
    pub limit: Option<u32>,
    /// At this revision instead of the newest.
    pub revision: Option<u32>,
    /// Without values.
    #[serde(default)]
    pub keys_only: bool,
    /// Only how many there are.
    #[serde(default)]
    pub count_only: bool,
}

/// Deletes a key, or every key with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    key: Option<String>,
    key_base64: Option<String>,
    prefix: Option<String>,
    prefix_base64: Option<String>,
}

/// Which keys something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// This one.
    One(Bytes),
    /// All that begin so.
    Prefix(Bytes),
}

/// What is wrong with a transaction that parses; a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// Neither a key nor a prefix, or more than one of them.
    #[error("{0} needs exactly one of key, key_base64{or_prefix}", or_prefix = if *.1 { ", prefix and prefix_base64" } else { "" })]
    Keys(&'static str, bool),
    /// Neither a value nor its base64, or both.
    #[error("put needs exactly one of value and value_base64")]
    Value,
    /// A condition without a test.
    #[error("a condition needs a test: exists, value, value_base64, version, create_revision, mod_revision or lease")]
    NoTest,
    /// Base64 that is none.
    #[error("{field}: {source}")]
    Base64 {
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: NotBase64,
    },
}

impl Condition {
    /// Which keys are tested.
    ///
    /// # Errors
    /// Not exactly one way to say it.
    pub fn keys(&self) -> Result<Keys, TxnError> {
        let prefix = [("prefix", &self.prefix), ("prefix_base64", &self.prefix_base64)];
        keys("a condition", &self.key, &self.key_base64, Some(prefix))
    }

    /// The tests of the value.
    ///
    /// # Errors
    /// Base64 that is none.
    pub fn values(&self) -> Result<Vec<Test<Bytes>>, TxnError> {
        let plain = self.value.iter().map(|test| {
            Ok(Test {
                relation: test.relation,
                with: Bytes::copy_from_slice(test.with.as_bytes()),
            })
        });
        let encoded = self.value_base64.iter().map(|test| {
            Ok(Test {
                relation: test.relation,
                with: decoded("value_base64", &test.with)?,
            })
        });
        plain.chain(encoded).collect()
    }
}

impl Put {
    /// The key.
    ///
    /// # Errors
    /// Not exactly one way to say it.
    pub fn key(&self) -> Result<Bytes, TxnError> {
        match keys("put", &self.key, &self.key_base64, None)? {
            Keys::One(key) | Keys::Prefix(key) => Ok(key),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// Not exactly one way to say it.
    pub fn value(&self) -> Result<Bytes, TxnError> {
        match (&self.value, &self.value_base64) {
            (Some(plain), None) => Ok(Bytes::copy_from_slice(plain.as_bytes())),
            (None, Some(encoded)) => decoded("value_base64", encoded),
            _ => Err(TxnError::Value),
        }
    }
}

impl Get {
    /// Which keys are read.
    ///
    /// # Errors
    /// Not exactly one way to say it.
    pub fn keys(&self) -> Result<Keys, TxnError> {
        let prefix = [("prefix", &self.prefix), ("prefix_base64", &self.prefix_base64)];
        keys("get", &self.key, &self.key_base64, Some(prefix))
    }
}

impl Delete {
    /// Which keys are deleted.
    ///
    /// # Errors
    /// Not exactly one way to say it.
    pub fn keys(&self) -> Result<Keys, TxnError> {
        let prefix = [("prefix", &self.prefix), ("prefix_base64", &self.prefix_base64)];
        keys("delete", &self.key, &self.key_base64, Some(prefix))
    }
}

type Named<'a> = [(&'static str, &'a Option<String>); 2];

fn keys(
    whose: &'static str,
    key: &Option<String>,
    key_base64: &Option<String>,
    prefix: Option<Named<'_>>,
) -> Result<Keys, TxnError> {
    let wrong = TxnError::Keys(whose, prefix.is_some());
    let named: Named<'_> = [("key", key), ("key_base64", key_base64)];
    let all = named
        .into_iter()
        .map(|it| (false, it))
        .chain(prefix.into_iter().flatten().map(|it| (true, it)));
    let mut given = all.filter_map(|(is_prefix, (name, text))| Some((is_prefix, name, text.as_ref()?)));
    let (Some((is_prefix, name, text)), None) = (given.next(), given.next()) else {
        return Err(wrong);
    };
    let bytes = if name.ends_with("_base64") {
        decoded(name, text)?
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    };
    Ok(if is_prefix {
        Keys::Prefix(bytes)
    } else {
        Keys::One(bytes)
    })
}

fn decoded(field: &'static str, text: &str) -> Result<Bytes, TxnError> {
    let text = Text::from_base64(text).map_err(|source| TxnError::Base64 { field, source })?;
    Ok(text.into_bytes())
}

/// The object form of a [`Test`].
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compared<T> {
    Eq(T),
    Ne(T),
    Gt(T),
    Lt(T),
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Test<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let compared = if value.is_object() {
            serde_json::from_value(value)
        } else {
            serde_json::from_value(value).map(Compared::Eq)
        };
        let (relation, with) = match compared.map_err(D::Error::custom)? {
            Compared::Eq(with) => (Relation::Eq, with),
            Compared::Ne(with) => (Relation::Ne, with),
            Compared::Gt(with) => (Relation::Gt, with),
            Compared::Lt(with) => (Relation::Lt, with),
        };
        Ok(Test { relation, with })
    }
}

/// The answer of `POST /v1/txn`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnResult {
    /// Whether every condition held, so that `then` was done; otherwise `else` was.
    pub succeeded: bool,
    /// Revision of the store afterwards; every key that was written is at it.
    pub revision: i64,
    /// What each operation gave, in their order.
    pub results: Vec<OperationResult>,
}

/// What one operation of a transaction gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationResult {
    /// The key that was written.
    Put(Stored),
    /// What was found.
    Get(Found),
    /// How many were deleted.
    Delete(Deleted),
    /// The answer of the transaction inside.
    Txn(TxnResult),
}

/// A key that a transaction wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The key.
    #[serde(flatten, with = "text::key")]
    pub key: Text,
    /// Revision of this write.
    pub mod_revision: i64,
}

/// What a read inside of a transaction found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The pairs, in the order of their keys.
    pub kvs: Vec<Entry>,
    /// Keys that match in all.
    pub count: i64,
    /// Whether there are more than the limit allowed.
    pub more: bool,
}

#[cfg(test)]
mod tests;
