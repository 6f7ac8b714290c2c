//! The running hash of the live state, by which members compare themselves.
//!
//! The hash of a state is the sum, modulo 2^128, of one strong hash per live key: the first sixteen bytes of the
//! SHA-256 of its record (key, create and mod revision, version, value, lease). A sum does not care for order and can
//! be undone, so a put costs one hash and a subtraction, whatever the number of keys. Two members at one revision and
//! with equal sums hold the same live pairs, unless SHA-256 was broken on purpose; the hash is against faults, not
//! against forgery.
//!
//! Leases without keys, history and compaction are not covered: they do not move the revision that the hash belongs
//! to.

use sha2::{Digest, Sha256};
use std::fmt;

/// A 128-bit hash of a set of records; sums and differences wrap.
///
/// Kept as two halves, because a `u128` would align every index entry to sixteen bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    high: u64,
    low: u64,
}

impl Fingerprint {
    /// The hash of one record.
    pub(crate) fn of(record: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(record).into();
        let (halves, _) = digest.split_first_chunk::<16>().expect("32 bytes begin with 16");
        Self::from(u128::from_be_bytes(*halves))
    }

    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self::from(self.value().wrapping_add(other.value()))
    }

    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Self {
        Self::from(self.value().wrapping_sub(other.value()))
    }

    /// The whole hash.
    #[must_use]
    pub fn value(self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }

    /// The 32 bits that etcd's `Hash` and `HashKV` answers have room for.
    #[must_use]
    pub fn folded(self) -> u32 {
        let word = self.high ^ self.low;
        ((word >> 32) ^ word) as u32
    }
}

impl From<u128> for Fingerprint {
    fn from(value: u128) -> Self {
        // Both casts keep exactly the half they name.
        Self {
            high: (value >> 64) as u64,
            low: value as u64,
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn order_does_not_matter_and_subtraction_undoes() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|record| Fingerprint::of(record));
        assert_eq!(a.plus(b).plus(c), c.plus(a).plus(b));
        assert_eq!(a.plus(b).minus(a), b);
        assert_ne!(a, b);
        assert_eq!(Fingerprint::default().minus(a).plus(a), Fingerprint::default());
    }

    #[test]
    fn the_hash_is_the_same_everywhere() {
        // SHA-256 of "a", first half; a change here would make members of two builds disagree.
        assert_eq!(Fingerprint::of(b"a").to_string(), "ca978112ca1bbdcafac231b39a23dc4d");
    }
}
