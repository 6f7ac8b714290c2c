//! From Secrets to the planner's plain picture of the certificates that exist.
//!
//! What it must keep true: only what is sound is shown. A leaf is shown when every file of its Secret parses, every key
//! belongs to its certificate, and a known authority signed it; an authority when its key belongs to its certificate.
//! What is damaged is thereby absent, and the planner has it made anew.
//!
//! Deliberately not here: whether what is sound is good enough.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kvorum_plan::names::ClusterId;
use kvorum_plan::observed::{AuthoritySeen, Certificates, LeafSeen};
use rcgen::KeyPair;
use time::OffsetDateTime;

use super::authority::{Authority, Pair};
use super::parsed::{Name, Parsed};
use super::secrets;

/// Everything sound among the Secrets of a cluster; `authorities` are the names of those that hold authorities.
#[must_use]
pub fn certificates(live: &BTreeMap<String, Secret>, authorities: &[String]) -> Certificates {
    let mut seen = Certificates::default();
    let mut known = Vec::new();
    for name in authorities {
        let Some((secret, authority)) = live.get(name).and_then(|secret| Some((secret, authority(secret)?))) else {
            continue;
        };
        let id = secret
            .annotations()
            .get(secrets::CLUSTER_ID_ANNOTATION)
            .and_then(|id| id.parse().ok());
        seen.authorities.insert(name.clone(), authority_seen(&authority, id));
        known.push(authority.parsed().clone());
    }
    for (name, secret) in live {
        if let Some(leaf) = leaf(secret, &known) {
            seen.leaves.insert(name.clone(), leaf);
        }
    }
    seen
}

/// The authority in a Secret, if certificate and key belong together.
#[must_use]
pub fn authority(secret: &Secret) -> Option<Authority> {
    Authority::read(secrets::pair(secret, secrets::TLS_CRT, secrets::TLS_KEY)?).ok()
}

fn authority_seen(authority: &Authority, cluster_id: Option<ClusterId>) -> AuthoritySeen {
    let parsed = authority.parsed();
    AuthoritySeen {
        cluster_id,
        fingerprint: parsed.fingerprint.clone(),
        not_after: timestamp(parsed.not_after),
    }
}

fn leaf(secret: &Secret, known: &[Parsed]) -> Option<LeafSeen> {
    let (pairs, trusted) = if let Some(files) = secrets::member(secret) {
        (
            vec![files.server, files.peer],
            vec![files.client_authority, files.peer_authority],
        )
    } else {
        let pair = secrets::pair(secret, secrets::TLS_CRT, secrets::TLS_KEY)?;
        (vec![pair], vec![secrets::text(secret, secrets::CA_CRT)?])
    };
    let trusted: Vec<Parsed> = trusted
        .iter()
        .map(|pem| Parsed::read(pem).ok())
        .collect::<Option<_>>()?;
    let leaves: Vec<Parsed> = pairs.iter().map(sound).collect::<Option<_>>()?;
    let issuers = leaves
        .iter()
        .map(|leaf| issuer(leaf, known, &trusted))
        .collect::<Option<_>>()?;
    let names = leaves
        .iter()
        .map(|leaf| leaf.names.clone())
        .reduce(|all, these| &all & &these)?;
    Some(LeafSeen {
        issuers,
        trusted: trusted.iter().map(|parsed| parsed.fingerprint.clone()).collect(),
        dns: names.iter().filter_map(dns).collect(),
        ips: names.iter().filter_map(ip).map(|ip| ip.to_string()).collect(),
        uri: names.iter().find_map(uri),
        not_before: timestamp(leaves.iter().map(|leaf| leaf.not_before).max()?),
        not_after: timestamp(leaves.iter().map(|leaf| leaf.not_after).min()?),
    })
}

/// The certificate of a pair whose key belongs to it.
fn sound(pair: &Pair) -> Option<Parsed> {
    let parsed = Parsed::read(&pair.certificate).ok()?;
    let key = KeyPair::from_pem(&pair.key).ok()?;
    parsed.belongs_to(&key).then_some(parsed)
}

fn issuer(leaf: &Parsed, known: &[Parsed], trusted: &[Parsed]) -> Option<String> {
    let found = known.iter().chain(trusted).find(|authority| leaf.signed_by(authority));
    found.map(|authority| authority.fingerprint.clone())
}

fn dns(name: &Name) -> Option<String> {
    if let Name::Dns(dns) = name {
        Some(dns.clone())
    } else {
        None
    }
}

fn ip(name: &Name) -> Option<IpAddr> {
    if let Name::Ip(ip) = name { Some(*ip) } else { None }
}

fn uri(name: &Name) -> Option<String> {
    if let Name::Uri(uri) = name {
        Some(uri.clone())
    } else {
        None
    }
}

/// Certificates end in years that both clocks know; a time beyond is the farthest one.
fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp::from_second(time.unix_timestamp()).unwrap_or(Timestamp::MAX)
}
