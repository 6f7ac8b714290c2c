//! The cluster's certificates: one authority that everybody trusts, and a leaf for each program. In Kubernetes a
//! certificate's common name is the user and its organisations are the user's groups, so these names grant rights.

use super::topology::{API_SERVICE_ADDRESS, DOMAIN, HOST_ADDRESS, Node};
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use time::{Duration, OffsetDateTime};

/// How long the certificates hold. The cluster lives for hours; a machine that sleeps for a month must not break it.
const DAYS: i64 = 365;

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// Who a leaf is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name under which the leaf is filed.
    pub owner: String,
    /// The user's name.
    pub user: String,
    /// The user's group, if any.
    pub group: Option<&'static str>,
    /// Names and addresses it serves under; none for one that only calls.
    pub serves: Vec<String>,
}

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate and key.
    pub pair: Pair,
}

/// The user with every right, as `kubectl` uses it here.
pub const ADMIN: &str = "admin";

/// Everybody who needs a certificate.
pub fn identities(nodes: &[Node]) -> Vec<Identity> {
    let caller = |owner: &str, user: &str, group| Identity {
        owner: owner.to_owned(),
        user: user.to_owned(),
        group,
        serves: Vec::new(),
    };
    let mut all = vec![
        caller(ADMIN, "kubernetes-admin", Some("system:masters")),
        caller("kube-controller-manager", "system:kube-controller-manager", None),
        caller("kube-scheduler", "system:kube-scheduler", None),
        caller("kube-proxy", "system:kube-proxy", None),
        caller("kube-volumes", "kvorum:kube-volumes", None),
        caller("coredns", "kvorum:coredns", None),
        // Its key signs the tokens of service accounts; the API server takes the public half from the certificate.
        caller("service-account", "service-account", None),
        Identity {
            serves: api_names(),
            ..caller("kube-apiserver", "kube-apiserver", None)
        },
    ];
    for node in nodes {
        let (name, user) = (node.name(), format!("system:node:{node}"));
        all.push(Identity {
            serves: vec![name.clone(), node.address()],
            ..caller(&format!("kubelet-{name}"), &user, Some("system:nodes"))
        });
    }
    all
}

fn api_names() -> Vec<String> {
    let service = "kubernetes.default.svc";
    let names = [
        "kubernetes",
        "kubernetes.default",
        service,
        "localhost",
        "127.0.0.1",
        API_SERVICE_ADDRESS,
        HOST_ADDRESS,
    ];
    names
        .into_iter()
        .map(String::from)
        .chain([format!("{service}.{DOMAIN}")])
        .collect()
}

impl Authority {
    /// A fresh authority.
    pub fn new() -> Result<Authority> {
        let mut params = params("kvorum-e2e", None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let pair = Pair {
            certificate,
            key: key.serialize_pem(),
        };
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pair,
        })
    }

    /// A leaf for this identity.
    pub fn leaf(&self, identity: &Identity) -> Result<Pair> {
        let mut params = params(&identity.user, identity.group)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !identity.serves.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = identity
            .serves
            .iter()
            .map(|name| alternative(name))
            .collect::<Result<_>>()?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn alternative(name: &str) -> Result<SanType> {
    Ok(match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().with_context(|| format!("{name} is no host name"))?),
    })
}

fn params(user: &str, group: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    // A little in the past, for a clock that is set back while the cluster runs.
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = params.not_before + Duration::days(DAYS);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_gets_a_leaf() {
        let authority = Authority::new().unwrap();
        for identity in identities(&Node::first(3)) {
            let pair = authority.leaf(&identity).unwrap();
            assert!(
                pair.certificate.starts_with("-----BEGIN CERTIFICATE-----"),
                "{}",
                identity.owner
            );
        }
    }
}
