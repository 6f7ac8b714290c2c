//! The id of a cluster or a member: a random number that is never zero.
//!
//! Written as sixteen lower-case hexadecimal digits wherever people read it (logs, `/v1`, custom resources); etcd's own
//! JSON keeps its decimal strings and does not use this type. Being a `NonZeroU64` inside, "no leader" is `Option<Id>`
//! and no magic zero can slip through. Drawing ids is the node's business, because it needs randomness.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of an id in text.
const DIGITS: usize = 16;

/// Id of a cluster or a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU64);

/// Why a text is not an [`Id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Empty, too long, or with a character that is no hexadecimal digit.
    #[error("an id is 1 to {DIGITS} hexadecimal digits")]
    Digits,
    /// Zero stands for "none" on etcd's wire and is nobody's id.
    #[error("an id is never zero")]
    Zero,
}

impl Id {
    /// The id with this number; `None` for zero.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, as etcd's messages carry it.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl From<NonZeroU64> for Id {
    fn from(number: NonZeroU64) -> Self {
        Self(number)
    }
}

impl From<Id> for u64 {
    fn from(id: Id) -> Self {
        id.get()
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        // Checked first because the standard parser would take a leading plus sign.
        if text.is_empty() || text.len() > DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseIdError::Digits);
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| ParseIdError::Digits)?;
        Self::new(number).ok_or(ParseIdError::Zero)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:0width$x}", self.get(), width = DIGITS)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Id({self})")
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("1", Ok(1); "short")]
    #[test_case("8e9e05c52164694d", Ok(0x8e9e_05c5_2164_694d); "full")]
    #[test_case("CAFE", Ok(0xcafe); "upper case is read")]
    #[test_case("", Err(ParseIdError::Digits); "empty")]
    #[test_case("0000", Err(ParseIdError::Zero); "zero")]
    #[test_case("+1", Err(ParseIdError::Digits); "sign")]
    #[test_case("0x1", Err(ParseIdError::Digits); "prefix")]
    #[test_case("11111111111111111", Err(ParseIdError::Digits); "seventeen digits")]
    fn parsing(text: &str, expected: Result<u64, ParseIdError>) {
        assert_eq!(text.parse::<Id>().map(Id::get), expected);
    }

    #[test]
    fn text_is_padded_and_round_trips() {
        let id = Id::new(0xbeef).unwrap();
        assert_eq!(id.to_string(), "000000000000beef");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"000000000000beef\"");
        assert_eq!(serde_json::from_str::<Id>("\"beef\"").unwrap(), id);
        assert!(serde_json::from_str::<Id>("\"0\"").is_err());
        assert_eq!(Id::new(0), None);
    }
}
