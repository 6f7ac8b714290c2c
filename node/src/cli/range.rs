//! Which keys a command is about: one key, a range, a prefix, or everything from a key on.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use bytes::Bytes;
use clap::Args;
use kvorum_api::range::{ZERO, first_key, prefix_end};

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
        if self.prefix {
            return (first_key(&key), prefix_end(&key));
        }
        if self.from_key {
            return (first_key(&key), Bytes::from_static(ZERO));
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
