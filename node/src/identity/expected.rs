//! Who this member is expected to be, by everyone who has a say: the operator's identity directory, the settings, and
//! the peer certificate.
//!
//! The identity directory is a mounted ConfigMap: the files `member-id` and `cluster-id` hold 16 hex digits each, or
//! are empty or absent while the operator does not know yet.

use std::io;
use std::path::{Path, PathBuf};

use kvorum_api::Id;

use crate::tls::PeerName;

/// Who this member is expected to be. `None` everywhere means that nobody has an opinion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The operator's `member-id`.
    pub member_id: Option<Id>,
    /// The operator's `cluster-id`.
    pub told_cluster_id: Option<Id>,
    /// The name in our own peer certificate.
    pub certificate: Option<PeerName>,
    /// The one derived from `--initial-cluster-token`; counts where nobody says anything better.
    pub derived_cluster_id: Option<Id>,
}

/// Why the identity directory could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    /// A file is there but cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than an id.
    #[error("{path} holds {text:?}, which is not an id of 16 hex digits")]
    NotAnId {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
    },
}

impl Expected {
    /// The cluster id to go by: what the operator says, else what our certificate says, else what the token gives.
    #[must_use]
    pub fn cluster_id(&self) -> Option<Id> {
        let certified = self.certificate.as_ref().map(|name| name.cluster_id);
        self.told_cluster_id.or(certified).or(self.derived_cluster_id)
    }

    /// A sentence on how the certificate contradicts the rest, if it does.
    pub(super) fn contradiction(&self, name: &str) -> Option<String> {
        let certificate = self.certificate.as_ref()?;
        if let Some(expected) = self
            .told_cluster_id
            .filter(|expected| *expected != certificate.cluster_id)
        {
            return Some(format!(
                "the peer certificate is for cluster {}, but cluster {expected} is expected",
                certificate.cluster_id
            ));
        }
        (certificate.name != name).then(|| {
            format!(
                "the peer certificate is for member {:?}, but this is {name:?}",
                certificate.name
            )
        })
    }
}

/// Reads `member-id` and `cluster-id` from the identity directory.
///
/// # Errors
/// A file cannot be read, or holds something else than an id.
pub fn read_directory(dir: &Path) -> Result<(Option<Id>, Option<Id>), ExpectedError> {
    Ok((read_id(&dir.join("member-id"))?, read_id(&dir.join("cluster-id"))?))
}

fn read_id(path: &Path) -> Result<Option<Id>, ExpectedError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ExpectedError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| ExpectedError::NotAnId {
        path: path.to_owned(),
        text: text.to_owned(),
    })
}
