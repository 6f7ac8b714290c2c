//! What a certificate says, as plain values, so that deciding needs no parser.
//!
//! What it must keep true: reading never panics on any input; names of kinds that Kvorum never issues are left out.
//!
//! Deliberately not here: whether the certificate is good enough (the planner).

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI; Kvorum's identities.
    Uri(String),
}

/// Why a certificate could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// Not PEM at all.
    #[error("it is not PEM")]
    Pem,
    /// PEM, but no X.509 certificate in it.
    #[error("it holds no X.509 certificate")]
    X509,
    /// A validity outside of what a clock can show.
    #[error("its validity is not a time")]
    Validity,
}

/// One certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The subject's common name, empty when it has none.
    pub common_name: String,
    /// All alternative names of the kinds that Kvorum issues.
    pub names: BTreeSet<Name>,
    /// Not good before.
    pub not_before: OffsetDateTime,
    /// Not good after.
    pub not_after: OffsetDateTime,
    /// SHA-256 of the whole certificate, lower-case hex: what nodes report.
    pub fingerprint: String,
    public_key: Vec<u8>,
    der: Vec<u8>,
}

impl Parsed {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// The text is not PEM, or not a certificate.
    pub fn read(pem: &str) -> Result<Self, ParseError> {
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| ParseError::Pem)?;
        let x509 = block.parse_x509().map_err(|_| ParseError::X509)?;
        let validity = x509.validity();
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| ParseError::Validity);
        Ok(Parsed {
            common_name: common_name(&x509),
            names: alternative_names(&x509),
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
            fingerprint: hex::encode(Sha256::digest(&block.contents)),
            public_key: x509.public_key().subject_public_key.data.to_vec(),
            der: block.contents.clone(),
        })
    }

    /// Whether `key` is the private half of this certificate's key.
    #[must_use]
    pub fn belongs_to(&self, key: &KeyPair) -> bool {
        key.der_bytes() == self.public_key
    }

    /// Whether `authority` signed this certificate.
    #[must_use]
    pub fn signed_by(&self, authority: &Parsed) -> bool {
        let Ok((_, leaf)) = x509_parser::parse_x509_certificate(&self.der) else {
            return false;
        };
        let Ok((_, issuer)) = x509_parser::parse_x509_certificate(&authority.der) else {
            return false;
        };
        leaf.issuer() == issuer.subject() && leaf.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

fn common_name(x509: &X509Certificate<'_>) -> String {
    let first = x509.subject().iter_common_name().next();
    first.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

fn alternative_names(x509: &X509Certificate<'_>) -> BTreeSet<Name> {
    let Ok(Some(extension)) = x509.subject_alternative_name() else {
        return BTreeSet::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(alternative_name)
        .collect()
}

fn alternative_name(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(dns) => Some(Name::Dns((*dns).to_owned())),
        GeneralName::URI(uri) => Some(Name::Uri((*uri).to_owned())),
        GeneralName::IPAddress(octets) => address(octets).map(Name::Ip),
        _ => None,
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}
