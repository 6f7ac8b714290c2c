//! Typed names of everything that a cluster is made of, and the ids that nodes draw.
//!
//! It must keep true: a name that was built here fits where Kubernetes puts it (the longest is a pod's label, see
//! `ClusterName`), and slots are ordered as numbers: slot 10 comes after slot 9, whatever their names look like.

use kvorum_crd::cluster::NAME_CHARS_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Name of a `KvCluster`: at most 40 characters, lower-case letters, digits and `-`, a letter first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ClusterName(String);

/// Why a text is not a cluster's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name {name:?} must be at most {NAME_CHARS_MAX} characters, start with a lower-case letter and hold only lower-case letters, digits and '-'"
)]
pub struct BadName {
    /// The text.
    pub name: String,
}

impl ClusterName {
    /// Checks a name.
    ///
    /// # Errors
    /// When names derived from it would not fit, or would not be names that Kubernetes allows.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let letter_first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
        let allowed = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if letter_first && allowed && !name.ends_with('-') && name.len() <= NAME_CHARS_MAX {
            Ok(Self(name.to_owned()))
        } else {
            Err(BadName { name: name.to_owned() })
        }
    }

    /// The name itself; also that of the PodDisruptionBudget, the NetworkPolicy and the ServiceAccount.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The headless Service through which members find each other.
    #[must_use]
    pub fn peer_service(&self) -> String {
        format!("{}-peers", self.0)
    }

    /// The Service that clients use.
    #[must_use]
    pub fn client_service(&self) -> String {
        format!("{}-client", self.0)
    }

    /// The ConfigMap with the published client authority.
    #[must_use]
    pub fn published_ca(&self) -> String {
        format!("{}-ca", self.0)
    }

    /// The Secret of the authority that signs certificates for port 2379 and for clients.
    #[must_use]
    pub fn client_ca(&self) -> String {
        format!("{}-client-ca", self.0)
    }

    /// The Secret of the authority that signs certificates for port 2380.
    #[must_use]
    pub fn peer_ca(&self) -> String {
        format!("{}-peer-ca", self.0)
    }

    /// The Secret with the certificate for applications.
    #[must_use]
    pub fn application_tls(&self) -> String {
        format!("{}-client-tls", self.0)
    }

    /// The Secret with the operator's own client certificate.
    #[must_use]
    pub fn operator_tls(&self) -> String {
        format!("{}-operator-tls", self.0)
    }

    /// Name of the member in a slot; also of its StatefulSet and its ConfigMap.
    #[must_use]
    pub fn member(&self, slot: Slot) -> String {
        format!("{}-{slot}", self.0)
    }

    /// The one pod of a slot's StatefulSet.
    #[must_use]
    pub fn pod(&self, slot: Slot) -> String {
        format!("{}-{slot}-0", self.0)
    }

    /// The volume claim of a slot's pod.
    #[must_use]
    pub fn claim(&self, slot: Slot) -> String {
        format!("data-{}-{slot}-0", self.0)
    }

    /// The Secret with a member's certificates.
    #[must_use]
    pub fn member_tls(&self, slot: Slot) -> String {
        format!("{}-{slot}-tls", self.0)
    }

    /// Reads the slot back from a member's (or StatefulSet's) name; `None` when it is not a name of this cluster.
    #[must_use]
    pub fn slot_of(&self, member: &str) -> Option<Slot> {
        let digits = member.strip_prefix(self.as_str())?.strip_prefix('-')?;
        let canonical = digits == "0" || !digits.starts_with('0');
        let number = digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())??;
        (canonical && number <= Slot::MAX).then_some(Slot(number))
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a member: number N of `demo-N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u32);

impl Slot {
    /// Highest number that a slot can have: four digits, as many as `ClusterName` keeps room for.
    pub const MAX: u32 = 9_999;
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: 16 hexadecimal digits, not all zero, the first below 8")]
pub struct BadId {
    /// The text.
    pub text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// An id from a random or foreign number; bit 63 is dropped, since etcd's clients read ids as signed.
            /// `None` for what would be zero.
            #[must_use]
            pub fn new(number: u64) -> Option<Self> {
                NonZeroU64::new(number & (u64::MAX >> 1)).map(Self)
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: text.to_owned() };
                // Asked first, because the standard parser would take a leading plus sign.
                if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(bad());
                }
                let number = u64::from_str_radix(text, 16).map_err(|_| bad())?;
                match Self::new(number) {
                    Some(id) if text.len() == 16 && id.get() == number => Ok(id),
                    Some(_) | None => Err(bad()),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// Identity of a cluster, chosen once by the operator.
    ClusterId
);
id!(
    /// Identity of a member, drawn by the node when its disk was new.
    MemberId
);

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("demo", true)]
    #[test_case("a", true)]
    #[test_case("a-1", true)]
    #[test_case("", false; "empty")]
    #[test_case("1a", false; "digit first")]
    #[test_case("a-", false; "dash last")]
    #[test_case("a.b", false; "dot")]
    #[test_case("Demo", false; "capital")]
    #[test_case("abcdefghijabcdefghijabcdefghijabcdefghij", true; "40 characters")]
    #[test_case("abcdefghijabcdefghijabcdefghijabcdefghijk", false; "41 characters")]
    fn cluster_names(name: &str, fits: bool) {
        assert_eq!(ClusterName::new(name).is_ok(), fits);
    }

    #[test]
    fn longest_names_fit() {
        let name = ClusterName::new(&"a".repeat(NAME_CHARS_MAX)).unwrap();
        let slot = Slot(Slot::MAX);
        // The label `controller-revision-hash` is the StatefulSet's name, a dash and ten characters.
        assert!(name.member(slot).len() + 11 <= 63);
        assert!(name.pod(slot).len() <= 63);
        assert!(name.peer_service().len() <= 63);
        assert!(name.client_service().len() <= 63);
    }

    #[test_case("demo-0", Some(0))]
    #[test_case("demo-10", Some(10))]
    #[test_case("demo-01", None; "leading zero")]
    #[test_case("demo-", None; "no digits")]
    #[test_case("demo-0-0", None; "a pod")]
    #[test_case("demo-+1", None; "a sign")]
    #[test_case("other-0", None; "another cluster")]
    #[test_case("demo-99999", None; "too high")]
    fn slots(member: &str, slot: Option<u32>) {
        assert_eq!(ClusterName::new("demo").unwrap().slot_of(member), slot.map(Slot));
    }

    #[test_case("00000000000000a1", true)]
    #[test_case("0000000000000000", false; "zero")]
    #[test_case("8000000000000001", false; "bit 63")]
    #[test_case("a1", false; "short")]
    #[test_case("+0000000000000a1", false; "a sign")]
    #[test_case("zzzzzzzzzzzzzzzz", false; "not hexadecimal")]
    fn ids(text: &str, good: bool) {
        assert_eq!(
            text.parse::<MemberId>().map(|id| id.to_string()).ok().as_deref(),
            good.then_some(text)
        );
    }
}
