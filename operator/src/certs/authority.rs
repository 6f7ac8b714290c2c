//! A certificate authority of one cluster: makes itself, and signs leaves.
//!
//! What it must keep true: ECDSA P-256 throughout; a random serial number for every certificate; no leaf outlives its
//! authority; keys are never logged (no `Debug` prints them).
//!
//! Deliberately not here: when to sign (the planner), where results are kept (`certs::secrets`).

use std::collections::BTreeSet;
use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::parsed::{self, Name, Parsed};

/// Certificates are dated this far back, so that a node whose clock is behind accepts them at once.
const BACKDATED: Duration = Duration::hours(1);
/// Random octets in a serial number. RFC 5280 allows 20, and demands a positive number.
const SERIAL_BYTES: usize = 16;

/// Why something could not be made or read. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The operating system gave no randomness.
    #[error("no randomness for a serial number: {0}")]
    Randomness(getrandom::Error),
    /// The key is not one that can sign.
    #[error("the private key cannot be read")]
    Key(#[source] rcgen::Error),
    /// A name that a certificate cannot carry.
    #[error("a certificate cannot carry the name {0:?}")]
    Name(String),
    /// Making or signing failed.
    #[error("the certificate could not be made")]
    Signing(#[source] rcgen::Error),
    /// The authority's certificate cannot be read back.
    #[error("the authority's certificate is not usable: {0}")]
    Certificate(#[from] parsed::ParseError),
    /// Certificate and key do not belong together.
    #[error("the authority's certificate and its key do not belong together")]
    KeyMismatch,
}

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Proves a server and, towards another server, a client: members.
    ServerAndClient,
    /// Proves a client only.
    Client,
}

/// A leaf that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The subject's common name; for application certificates the user that the store sees.
    pub common_name: String,
    /// All subject alternative names.
    pub names: BTreeSet<Name>,
    /// What it is good for.
    pub usage: Usage,
    /// How many days it is good for, at most.
    pub days: u32,
}

/// A certificate and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM (PKCS#8).
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Pair(..)")
    }
}

/// An authority that can sign.
pub struct Authority {
    pair: Pair,
    parsed: Parsed,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority; `purpose` becomes its common name, followed by some random digits, because two
    /// authorities of one name in one trust bundle confuse verifiers.
    ///
    /// # Errors
    /// No randomness, or a purpose that is no text for a certificate.
    pub fn create(purpose: &str, days: u32, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let serial = random_serial()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&format!("{purpose} {}", hex::encode(&serial[..4])));
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.not_before = now - BACKDATED;
        params.not_after = now + Duration::days(days.into());
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Signing)?;
        Authority::read(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Takes up an authority from its certificate and key.
    ///
    /// # Errors
    /// Either cannot be read, or they do not belong together.
    pub fn read(pair: Pair) -> Result<Self, AuthorityError> {
        let parsed = Parsed::read(&pair.certificate)?;
        let key = KeyPair::from_pem(&pair.key).map_err(AuthorityError::Key)?;
        if !parsed.belongs_to(&key) {
            return Err(AuthorityError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_pem(&pair.certificate, key).map_err(AuthorityError::Signing)?;
        Ok(Authority { pair, parsed, issuer })
    }

    /// Its certificate and key, to be kept.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// What its certificate says.
    #[must_use]
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// Signs a new leaf with a new key.
    ///
    /// # Errors
    /// No randomness, or a name that a certificate cannot carry.
    pub fn sign(&self, request: &Request, now: OffsetDateTime) -> Result<Pair, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&request.common_name);
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
        params.subject_alt_names = request.names.iter().map(alternative).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match request.usage {
            Usage::ServerAndClient => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.not_before = now - BACKDATED;
        params.not_after = (now + Duration::days(request.days.into())).min(self.parsed.not_after);
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Signing)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Signing)
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "kvorum");
    name.push(DnType::CommonName, common_name);
    name
}

fn random_serial() -> Result<[u8; SERIAL_BYTES], AuthorityError> {
    let mut serial = [0; SERIAL_BYTES];
    getrandom::fill(&mut serial).map_err(AuthorityError::Randomness)?;
    // Positive and of full length, whatever was drawn.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn alternative(name: &Name) -> Result<SanType, AuthorityError> {
    let text = |text: &String| text.as_str().try_into().map_err(|_| AuthorityError::Name(text.clone()));
    Ok(match name {
        Name::Dns(dns) => SanType::DnsName(text(dns)?),
        Name::Uri(uri) => SanType::URI(text(uri)?),
        Name::Ip(ip) => SanType::IpAddress(*ip),
    })
}
