//! The keys that a watcher is told of.

use bytes::Bytes;

/// The smallest key there is: what a request's empty key stands for.
const SMALLEST: &[u8] = &[0];

/// A range of keys: from a key on, up to but without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub(super) start: Bytes,
    pub(super) end: End,
}

/// Where a range ends. Ends are ordered: the later one is the greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Before this key.
    Before(Bytes),
    /// Nowhere.
    Never,
}

/// The end of a range is not above its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mvcc: watcher range is empty")]
pub struct EmptyRange;

impl KeyRange {
    /// The range of a watch request: an empty `key` is the smallest one, an empty `range_end` means the key alone, one
    /// zero byte everything from the key on. Both are copied, so that no request's buffer lives as long as the watch.
    ///
    /// # Errors
    /// The end is not above the start.
    pub fn of_watch(key: &[u8], range_end: &[u8]) -> Result<Self, EmptyRange> {
        let start = if key.is_empty() { SMALLEST } else { key };
        let end = match range_end {
            [] => End::Before([start, SMALLEST].concat().into()),
            [0] => End::Never,
            end if end <= start => return Err(EmptyRange),
            end => End::Before(Bytes::copy_from_slice(end)),
        };
        Ok(Self {
            start: Bytes::copy_from_slice(start),
            end,
        })
    }

    /// Whether a key lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start <= key && self.end.is_above(key)
    }
}

impl End {
    pub(super) fn is_above(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < &end[..],
            Self::Never => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EmptyRange, KeyRange};
    use test_case::test_case;

    #[test_case(b"b", b"", &[b"b"]; "one key")]
    #[test_case(b"b", b"c", &[b"b", b"b\x00", b"bb"]; "a prefix")]
    #[test_case(b"b", b"\x00", &[b"b", b"b\x00", b"bb", b"c"]; "from a key on")]
    #[test_case(b"", b"\x00", &[b"a", b"b", b"b\x00", b"bb", b"c"]; "all keys")]
    #[test_case(b"", b"", &[]; "the smallest key alone")]
    fn ranges_are_read_as_etcd_reads_them(key: &[u8], range_end: &[u8], inside: &[&[u8]]) {
        let range = KeyRange::of_watch(key, range_end).unwrap();
        let keys: [&[u8]; 5] = [b"a", b"b", b"b\x00", b"bb", b"c"];
        let found: Vec<_> = keys.into_iter().filter(|key| range.contains(key)).collect();
        assert_eq!(found, inside);
    }

    #[test_case(b"b", b"b"; "equal")]
    #[test_case(b"b", b"a"; "below")]
    fn an_empty_range_is_refused(key: &[u8], range_end: &[u8]) {
        assert_eq!(KeyRange::of_watch(key, range_end), Err(EmptyRange));
    }
}
