//! Ranges of keys that a user may read and write, merged from all roles.
//!
//! Must keep true: merged ranges are sorted and do not touch, so a range is covered if and only if one of them covers
//! it; what cannot be made sense of (an unknown kind of permission, a range without keys) grants nothing.

use bytes::Bytes;
use kvorum_api::authpb::{Permission, Role, User, permission::Type};
use std::collections::BTreeMap;

/// A range end that means "to the end of all keys".
const OPEN: &[u8] = b"\0";

/// Keys from `start`, to before `end` if there is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Keys {
    start: Bytes,
    end: Option<Bytes>,
}

impl Keys {
    /// The keys that etcd means by a key and a range end; `None` when those are no keys at all.
    fn new(key: &[u8], range_end: &[u8]) -> Option<Self> {
        let end = match range_end {
            [] => Some([key, &[0]].concat().into()),
            OPEN => None,
            _ if range_end <= key => return None,
            _ => Some(Bytes::copy_from_slice(range_end)),
        };
        Some(Self {
            start: Bytes::copy_from_slice(key),
            end,
        })
    }

    fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && self.reaches(other.end.as_ref())
    }

    fn reaches(&self, end: Option<&Bytes>) -> bool {
        match (&self.end, end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(end)) => own >= end,
        }
    }
}

/// What all roles of one user come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Granted {
    read: Vec<Keys>,
    write: Vec<Keys>,
}

/// What is done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

impl Granted {
    /// For every user.
    pub(super) fn all(users: &BTreeMap<String, User>, roles: &BTreeMap<String, Role>) -> BTreeMap<String, Self> {
        let of = |user: &User| {
            let roles = user.roles.iter().filter_map(|role| roles.get(role));
            Self::of(roles.flat_map(|role| &role.key_permission))
        };
        users.iter().map(|(name, user)| (name.clone(), of(user))).collect()
    }

    fn of<'a>(permissions: impl Iterator<Item = &'a Permission>) -> Self {
        let mut granted = Self::default();
        for permission in permissions {
            let Some(keys) = Keys::new(&permission.key, &permission.range_end) else {
                continue;
            };
            match Type::try_from(permission.perm_type) {
                Ok(Type::Read) => granted.read.push(keys),
                Ok(Type::Write) => granted.write.push(keys),
                Ok(Type::Readwrite) => {
                    granted.read.push(keys.clone());
                    granted.write.push(keys);
                }
                Err(_) => {}
            }
        }
        Self {
            read: merged(granted.read),
            write: merged(granted.write),
        }
    }

    /// Whether all keys of a range may be used so. A range without keys is no way to learn what is allowed: it is not.
    pub(super) fn covers(&self, usage: Use, key: &[u8], range_end: &[u8]) -> bool {
        let Some(asked) = Keys::new(key, range_end) else {
            return false;
        };
        let ranges = match usage {
            Use::Read => &self.read,
            Use::Write => &self.write,
        };
        let after = ranges.partition_point(|own| own.start <= asked.start);
        after.checked_sub(1).is_some_and(|at| ranges[at].covers(&asked))
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn merged(mut ranges: Vec<Keys>) -> Vec<Keys> {
    ranges.sort();
    let mut merged: Vec<Keys> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match merged.last_mut() {
            Some(last) if last.reaches(Some(&next.start)) => {
                if !last.reaches(next.end.as_ref()) {
                    last.end = next.end;
                }
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// Whether a permission may be given for this range at all, as etcd decides it.
pub(super) fn is_valid(key: &[u8], range_end: &[u8]) -> bool {
    !key.is_empty() && Keys::new(key, range_end).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn granted(ranges: &[(&str, &str)]) -> Granted {
        let permissions: Vec<_> = ranges
            .iter()
            .map(|(key, end)| Permission {
                perm_type: Type::Read.into(),
                key: Bytes::copy_from_slice(key.as_bytes()),
                range_end: Bytes::copy_from_slice(end.as_bytes()),
            })
            .collect();
        Granted::of(permissions.iter())
    }

    #[test_case(&[("a", "")], "a", "" => true; "the one key")]
    #[test_case(&[("a", "")], "b", "" => false; "another key")]
    #[test_case(&[("a", "")], "a", "a\0" => true; "a range of the one key")]
    #[test_case(&[("a", "")], "a", "b" => false; "a range from the one key")]
    #[test_case(&[("a", "")], "a", "\0" => false; "everything from the one key")]
    #[test_case(&[("a", "c")], "b", "" => true; "a key within")]
    #[test_case(&[("a", "c")], "c", "" => false; "the end is out")]
    #[test_case(&[("a", "c")], "a", "c" => true; "the whole range")]
    #[test_case(&[("a", "c")], "a", "d" => false; "beyond the range")]
    #[test_case(&[("b", "c")], "a", "c" => false; "from before the range")]
    #[test_case(&[("a", "c")], "b", "\0" => false; "open beyond a closed range")]
    #[test_case(&[("a", "\0")], "b", "\0" => true; "open in open")]
    #[test_case(&[("a", "\0")], "\0", "\0" => false; "everything is more than a rest")]
    #[test_case(&[("\0", "\0")], "\0", "\0" => true; "everything")]
    #[test_case(&[("a", "b"), ("b", "c")], "a", "c" => true; "two that touch")]
    #[test_case(&[("a", "b"), ("b", "")], "a", "b\0" => true; "a range and the key after")]
    #[test_case(&[("a", "b"), ("bb", "c")], "a", "c" => false; "a gap")]
    #[test_case(&[("a", "d"), ("b", "c")], "a", "d" => true; "one within the other")]
    #[test_case(&[("a", "z"), ("b", "c")], "x", "y" => true; "past the one within")]
    #[test_case(&[("a", "c"), ("b", "\0")], "a", "\0" => true; "joined to the end")]
    #[test_case(&[("a", "c")], "b", "a" => false; "a range the wrong way round")]
    #[test_case(&[("c", "a")], "b", "" => false; "a permission the wrong way round")]
    #[test_case(&[], "a", "" => false; "nothing granted")]
    fn covers(ranges: &[(&str, &str)], key: &str, range_end: &str) -> bool {
        let granted = granted(ranges);
        assert!(!granted.covers(Use::Write, key.as_bytes(), range_end.as_bytes()));
        granted.covers(Use::Read, key.as_bytes(), range_end.as_bytes())
    }

    #[test]
    fn an_unknown_kind_of_permission_grants_nothing() {
        let permission = Permission {
            perm_type: 7,
            key: Bytes::from_static(b"a"),
            range_end: Bytes::new(),
        };
        let granted = Granted::of([&permission].into_iter());
        assert!(!granted.covers(Use::Read, b"a", b"") && !granted.covers(Use::Write, b"a", b""));
    }

    #[test_case("", "" => false; "no key")]
    #[test_case("", "\0" => false; "no key, open")]
    #[test_case("a", "" => true; "one key")]
    #[test_case("a", "b" => true; "range")]
    #[test_case("b", "a" => false; "wrong way round")]
    #[test_case("a", "a" => false; "empty")]
    #[test_case("a", "\0" => true; "open")]
    fn valid(key: &str, range_end: &str) -> bool {
        is_valid(key.as_bytes(), range_end.as_bytes())
    }
}
