//! Which keys a command is about: one key, a range, a prefix, or everything from a key on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use bytes::Bytes;
use clap::Args;

/// As a key, the first of all keys; as the end of a range, "without end".
const ZERO: &[u8] = b"\0";

/// The keys meant. Keys need not be text.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Keys {
    /// The key, or the first key of a range.
    key: OsString,
    /// End of the range: the first key that is not meant.
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    range_end: Option<OsString>,
    /// Every key that begins with <KEY>; with an empty <KEY>, every key.
    #[arg(long, conflicts_with = "from_key")]
    prefix: bool,
    /// Every key from <KEY> on, in the order of bytes.
    #[arg(long)]
    from_key: bool,
}

impl Keys {
    /// Key and end of the range, as etcd writes them.
    pub(super) fn span(&self) -> (Bytes, Bytes) {
        let key = self.key.clone().into_vec();
        if self.prefix || self.from_key {
            let end = if self.prefix { prefix_end(&key) } else { ZERO.to_vec() };
            // An empty key is an error on the wire; everything begins with the zero byte there.
            let key = if key.is_empty() { ZERO.to_vec() } else { key };
            return (key.into(), end.into());
        }
        (
            key.into(),
            self.range_end
                .clone()
                .map(OsString::into_vec)
                .unwrap_or_default()
                .into(),
        )
    }
}

/// The first key after all keys with this prefix: its last byte that can be raised, raised; "without end" if there is none.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let Some(last) = prefix.iter().rposition(|byte| *byte < u8::MAX) else {
        return ZERO.to_vec();
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(b"a", b"b"; "one byte")]
    #[test_case(b"a/", b"a0"; "slash")]
    #[test_case(b"a\xff\xff", b"b"; "bytes that cannot be raised are cut")]
    #[test_case(b"\xff\xff", b"\0"; "nothing can be raised")]
    #[test_case(b"", b"\0"; "empty")]
    fn ends_of_prefixes(prefix: &[u8], end: &[u8]) {
        assert_eq!(prefix_end(prefix), end);
    }
}
