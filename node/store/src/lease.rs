//! Leases: what keys live only as long as someone keeps saying so.
//!
//! The store has no clock. Each command that concerns time carries its leader's, and the store remembers the latest it
//! was told, so that its own time never runs backwards when leaders follow each other. A lease *expires* at a time of
//! that clock; only the node's lease clock on the leader acts on it, by proposing [`crate::Command::LeaseExpire`], which
//! does nothing if a keepalive came before it in the log. Between leaders, the remaining time survives because grants
//! and keepalives are replicated (etcd grants a full extension instead).
//!
//! Three persistent trees, so that views list leases and attached keys without locks: leases by id, attached keys by
//! lease and key, and ids by expiry.

use crate::keyspace::{ordered, unordered};
use crate::tree::{Counted, Keep, Tree};
use bytes::Bytes;

/// Longest time to live in seconds, as etcd has it: about 285 years, which still fits milliseconds in 64 bits.
pub const TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// One lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Time to live that was granted, in seconds.
    pub ttl: i64,
    /// When it expires, in milliseconds of the cluster's time.
    pub expires_ms: u64,
}

impl Lease {
    /// A lease granted now.
    pub(crate) fn granted(ttl: i64, now_ms: u64) -> Self {
        Self {
            ttl,
            expires_ms: now_ms.saturating_add(ttl_ms(ttl)),
        }
    }

    /// The same lease with another remaining time, which never exceeds what was granted.
    pub(crate) fn checkpointed(self, remaining_ms: u64, now_ms: u64) -> Self {
        Self {
            expires_ms: now_ms.saturating_add(remaining_ms.min(ttl_ms(self.ttl))),
            ..self
        }
    }

    /// Milliseconds until it expires; zero when it has.
    #[must_use]
    pub fn remaining_ms(&self, now_ms: u64) -> u64 {
        self.expires_ms.saturating_sub(now_ms)
    }
}

fn ttl_ms(ttl: i64) -> u64 {
    u64::try_from(ttl).unwrap_or(0).saturating_mul(1_000)
}

impl Counted for Lease {
    fn is_counted(&self) -> bool {
        true
    }
}

impl Counted for () {
    fn is_counted(&self) -> bool {
        true
    }
}

/// All leases and the keys attached to them. Cloning freezes it.
#[derive(Clone, Default)]
pub(crate) struct Leases {
    by_id: Tree<Lease>,
    /// `ordered(id)` and the key.
    attached: Tree<()>,
    /// `expires_ms`, big-endian, and `ordered(id)`.
    by_expiry: Tree<()>,
}

impl Leases {
    pub(crate) fn get(&self, id: i64) -> Option<&Lease> {
        self.by_id.get(&ordered(id))
    }

    /// Adds a lease, or changes when it expires.
    pub(crate) fn set(&mut self, id: i64, lease: Lease) {
        if let Some(before) = self.get(id).copied() {
            self.by_expiry.revise(&expiry_key(before.expires_ms, id), |()| Keep::No);
        }
        self.by_id.upsert(&ordered(id), |_, own| *own = lease);
        self.by_expiry.upsert(&expiry_key(lease.expires_ms, id), |_, ()| ());
    }

    /// Removes a lease. Its keys must have been detached.
    pub(crate) fn remove(&mut self, id: i64) {
        if let Some(before) = self.get(id).copied() {
            self.by_expiry.revise(&expiry_key(before.expires_ms, id), |()| Keep::No);
            self.by_id.revise(&ordered(id), |_| Keep::No);
        }
    }

    pub(crate) fn attach(&mut self, id: i64, key: &[u8]) {
        self.attached.upsert(&attachment(id, key), |_, ()| ());
    }

    pub(crate) fn detach(&mut self, id: i64, key: &[u8]) {
        self.attached.revise(&attachment(id, key), |()| Keep::No);
    }

    /// Keys attached to a lease, in order.
    pub(crate) fn keys(&self, id: i64) -> Vec<Bytes> {
        let start = attachment(id, b"");
        let end = id.checked_add(1).map(|next| attachment(next, b""));
        let keys = self.attached.range(&start, end.as_deref());
        keys.map(|(attachment, ())| Bytes::copy_from_slice(&attachment[start.len()..]))
            .collect()
    }

    /// Number of leases.
    pub(crate) fn len(&self) -> usize {
        self.by_id.count(b"", None)
    }

    /// Every lease by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, Lease)> {
        self.by_id.range(b"", None).map(|(key, lease)| (id_at(key, 0), *lease))
    }

    /// Ids by expiry, the next to expire first.
    pub(crate) fn ids_by_expiry(&self) -> impl Iterator<Item = i64> {
        self.by_expiry.range(b"", None).map(|(key, ())| id_at(key, 8))
    }

    /// At most `leases_max` ids of leases that have expired at a time, the longest expired first.
    pub(crate) fn expired(&self, now_ms: u64, leases_max: usize) -> Vec<i64> {
        let end = now_ms.saturating_add(1).to_be_bytes();
        let ids: Vec<_> = self
            .by_expiry
            .range(b"", Some(&end))
            .take(leases_max)
            .map(|(key, ())| id_at(key, 8))
            .collect();
        ids
    }
}

fn attachment(id: i64, key: &[u8]) -> Vec<u8> {
    [&ordered(id)[..], key].concat()
}

fn expiry_key(expires_ms: u64, id: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&expires_ms.to_be_bytes());
    key[8..].copy_from_slice(&ordered(id));
    key
}

fn id_at(key: &[u8], start: usize) -> i64 {
    unordered(
        key[start..start + 8]
            .try_into()
            .expect("keys of these trees hold eight bytes of an id there"),
    )
}

#[cfg(test)]
mod tests {
    use super::{Lease, Leases};

    #[test]
    fn leases_are_found_by_id_and_by_expiry() {
        let mut leases = Leases::default();
        for (id, ttl) in [(7, 30), (-3, 10), (9, 20)] {
            leases.set(id, Lease::granted(ttl, 1_000));
        }
        assert_eq!(leases.iter().map(|(id, _)| id).collect::<Vec<_>>(), [-3, 7, 9]);
        assert_eq!(leases.ids_by_expiry().collect::<Vec<_>>(), [-3, 9, 7]);
        assert_eq!(leases.expired(20_999, 9), [-3]);
        assert_eq!(leases.expired(21_000, 9), [-3, 9]);
        assert_eq!(leases.expired(u64::MAX, 2), [-3, 9]);
        let renewed = leases.get(-3).unwrap().checkpointed(99_000, 5_000);
        assert_eq!(renewed.expires_ms, 15_000, "never more than granted");
        leases.set(-3, renewed.checkpointed(4_000, 90_000));
        leases.remove(9);
        assert_eq!(leases.ids_by_expiry().collect::<Vec<_>>(), [7, -3]);
        assert_eq!(leases.get(9), None);
    }

    #[test]
    fn keys_are_attached_to_one_lease_in_order() {
        let mut leases = Leases::default();
        for (id, key) in [(1, "b"), (2, "a"), (1, "a"), (1, ""), (i64::MAX, "z"), (-1, "y")] {
            leases.attach(id, key.as_bytes());
        }
        leases.detach(1, b"b");
        leases.detach(1, b"absent");
        assert_eq!(leases.keys(1), ["", "a"]);
        assert_eq!(leases.keys(2), ["a"]);
        assert_eq!(leases.keys(i64::MAX), ["z"]);
        assert_eq!(leases.keys(3), Vec::<&str>::new());
    }
}
