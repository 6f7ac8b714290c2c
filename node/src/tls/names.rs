//! Whose certificate it is: names in the URI SAN `kvorum://<cluster id>/<name>`, and common names of applications.
//!
//! Read only from certificates that the TLS library has already verified.

use std::fmt;

use kvorum_api::Id;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The name that means the operator, and never a member.
pub const OPERATOR: &str = "operator";
const URI_SCHEME: &str = "kvorum://";

/// A member, or the operator, of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// The cluster.
    pub cluster_id: Id,
    /// The member's name, or [`OPERATOR`].
    pub name: String,
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{URI_SCHEME}{}/{}", self.cluster_id, self.name)
    }
}

/// Everything a verified certificate says about its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerName {
    /// Subject common name, as etcd uses it for users.
    pub common_name: Option<String>,
    /// The URI SANs that are names of ours.
    pub names: Vec<PeerName>,
}

impl CallerName {
    /// Reads a verified certificate. What cannot be read names nobody.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> CallerName {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return CallerName::default();
        };
        let common_name = parsed
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned);
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name_of_uri).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        CallerName { common_name, names }
    }

    /// Whether this is the operator of the cluster, or, while the cluster is not known, of any.
    #[must_use]
    pub fn is_operator_of(&self, cluster_id: Option<Id>) -> bool {
        let here = |name: &PeerName| cluster_id.is_none_or(|id| name.cluster_id == id);
        self.names.iter().any(|name| name.name == OPERATOR && here(name))
    }
}

fn name_of_uri(name: &GeneralName<'_>) -> Option<PeerName> {
    let GeneralName::URI(uri) = name else { return None };
    let (cluster, name) = uri.strip_prefix(URI_SCHEME)?.split_once('/')?;
    if name.is_empty() || name.contains('/') {
        return None;
    }
    Some(PeerName {
        cluster_id: cluster.parse().ok()?,
        name: name.to_owned(),
    })
}
