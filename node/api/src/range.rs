//! Ranges of keys as etcd's messages spell them: a first key, and an end that is no part of the range.
//!
//! What must stay true: a range made here from a prefix holds every key that begins with it, and no other.

use bytes::Bytes;

/// As the first key, the smallest key there is; as the end of a range, "without end".
pub const ZERO: &[u8] = b"\0";

/// The first key that can begin with `prefix`. No key is empty, so for an empty prefix it is the smallest key there can be.
pub fn first_key(prefix: &[u8]) -> Bytes {
    Bytes::copy_from_slice(if prefix.is_empty() { ZERO } else { prefix })
}

/// The end of the range of all keys with this prefix: its last byte that can grow, plus one; "without end" if there is none.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte < u8::MAX) else {
        return Bytes::from_static(ZERO);
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(b"a", b"b"; "one letter")]
    #[test_case(b"a/", b"a0"; "slash")]
    #[test_case(b"a\xff", b"b"; "cannot grow at the end")]
    #[test_case(b"a\xff\xff", b"b"; "bytes that cannot grow are cut")]
    #[test_case(b"\xff\xff", b"\0"; "cannot grow at all")]
    #[test_case(b"", b"\0"; "everything")]
    fn ends_of_prefixes(prefix: &[u8], end: &[u8]) {
        assert_eq!(prefix_end(prefix), end);
    }

    #[test]
    fn the_first_key_of_everything_is_the_smallest() {
        assert_eq!(first_key(b""), ZERO);
        assert_eq!(first_key(b"a"), "a");
    }
}
