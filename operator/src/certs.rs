//! The certificates of one cluster: two authorities of its own (one for clients, one for peers), one leaf pair per
//! member, one client certificate for the operator and one for applications, and the published client authority.
//!
//! What it must keep true:
//! 1. Which certificate is made is the planner's decision; here they are read (`certs::seen`), keys are drawn, and what
//!    shall stay is returned as it is, so that nothing is written at rest.
//! 2. A damaged certificate is no certificate: what does not parse, or whose key or signature does not fit, is not shown
//!    to the planner, which then has it made anew.
//! 3. An authority that members depend on is never replaced here, whatever is wanted: members would distrust each other
//!    until each had loaded the new one, which takes the kubelet a minute or more. Leaves of a lost authority stay.
//! 4. No key is ever logged: `Pair` has no printing form.
//!
//! Deliberately not here: certificates of others (cert-manager, the user's own), and writing to the API server (`apply`).

pub mod authority;
pub mod parsed;
pub mod secrets;
pub mod seen;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kvorum_plan::objects::{self, Action, AuthorityKind, Leaf, LeafKind};
use time::OffsetDateTime;

use self::authority::{Authority, AuthorityError, Pair, Request, Usage};
use self::parsed::Name;
use self::secrets::{MemberFiles, Shared};

/// Why the certificates of a cluster could not be made as planned.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Drawing, signing or reading failed.
    #[error("certificate in {secret}: {source}")]
    Authority {
        /// The Secret concerned.
        secret: String,
        /// What failed.
        source: AuthorityError,
    },
    /// What the plan wants kept is not there any more.
    #[error("certificate in {secret} was to be kept but is not there")]
    Gone {
        /// The Secret concerned.
        secret: String,
    },
}

/// The planner's part of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The two authorities.
    pub authorities: &'a [objects::Authority],
    /// The certificates that they sign.
    pub leaves: &'a [Leaf],
    /// The ConfigMap to publish the client authority in; its metadata serves the Secrets too.
    pub published: &'a ConfigMap,
}

/// What should be in the API server.
#[derive(Debug, Default)]
pub struct Made {
    /// Authorities that are new: to be *created*, so that one that appeared meanwhile is never overwritten.
    pub new_authorities: Vec<Secret>,
    /// All other Secrets, whether they changed or not.
    pub secrets: Vec<Secret>,
    /// The published authority.
    pub published: Option<ConfigMap>,
    /// Secrets of authorities whose key is gone while certificates signed by them are in use. A person must restore them
    /// from a backup, or delete the members' Secrets too, to have everything issued anew.
    pub lost: Vec<String>,
}

/// Makes what the plan wants made, and keeps the rest, from the Secrets there are (`live`, by name).
///
/// # Errors
/// No randomness, a name that a certificate cannot carry, or something that the plan counts on is not there.
pub fn make(
    wanted: Wanted<'_>,
    live: &BTreeMap<String, Secret>,
    now: OffsetDateTime,
) -> Result<Made, CertificateError> {
    let Wanted {
        authorities,
        leaves,
        published,
    } = wanted;
    let shared = Shared::with(&published.metadata);
    let mut making = Making {
        shared,
        live,
        now,
        authorities: BTreeMap::new(),
        made: Made::default(),
    };
    for authority in authorities {
        making.authority(authority)?;
    }
    for leaf in leaves {
        making.leaf(leaf)?;
    }
    if let Some(clients) = making.authorities.get(&AuthorityKind::Client) {
        let mut published = published.clone();
        let data = published.data.get_or_insert_default();
        data.insert(secrets::CA_CRT.to_owned(), clients.pair().certificate.clone());
        making.made.published = Some(published);
    }
    Ok(making.made)
}

struct Making<'a> {
    shared: Shared,
    live: &'a BTreeMap<String, Secret>,
    now: OffsetDateTime,
    authorities: BTreeMap<AuthorityKind, Authority>,
    made: Made,
}

impl Making<'_> {
    fn authority(&mut self, wanted: &objects::Authority) -> Result<(), CertificateError> {
        let place = &wanted.secret;
        let failed = |source| CertificateError::Authority {
            secret: place.clone(),
            source,
        };
        let kept = self.live.get(place).and_then(seen::authority);
        let authority = match (wanted.action, kept) {
            (Action::Keep, Some(kept)) => kept,
            (Action::Keep | Action::Make(_), _) if self.depended_on(wanted.kind) => {
                tracing::warn!(secret = place, "the authority is lost while members depend on it");
                self.made.lost.push(place.clone());
                return Ok(());
            }
            (Action::Keep, None) => return Err(CertificateError::Gone { secret: place.clone() }),
            (Action::Make(_), _) => {
                let purpose = match wanted.kind {
                    AuthorityKind::Client => format!("kvorum {} client CA", wanted.cluster_id),
                    AuthorityKind::Peer => format!("kvorum {} peer CA", wanted.cluster_id),
                };
                Authority::create(&purpose, wanted.days, self.now).map_err(failed)?
            }
        };
        let secret = self
            .shared
            .authority(place, &wanted.cluster_id.to_string(), wanted.owned, authority.pair());
        let exists = self.live.contains_key(place);
        if exists {
            self.made.secrets.push(secret)
        } else {
            self.made.new_authorities.push(secret)
        }
        self.authorities.insert(wanted.kind, authority);
        Ok(())
    }

    /// Whether a member trusts an authority of this kind, by the Secret that it mounts.
    fn depended_on(&self, kind: AuthorityKind) -> bool {
        let file = match kind {
            AuthorityKind::Client => secrets::CLIENT_CA_CRT,
            AuthorityKind::Peer => secrets::PEER_CA_CRT,
        };
        self.live.values().any(|secret| secrets::text(secret, file).is_some())
    }

    fn leaf(&mut self, wanted: &Leaf) -> Result<(), CertificateError> {
        let (clients, peers) = (
            self.authorities.get(&AuthorityKind::Client),
            self.authorities.get(&AuthorityKind::Peer),
        );
        let secret = match (wanted.action, wanted.kind, clients, peers) {
            (Action::Make(_), LeafKind::Member(_), Some(clients), Some(peers)) => {
                let files = MemberFiles {
                    server: self.sign(wanted, clients, Usage::ServerAndClient)?,
                    peer: self.sign(wanted, peers, Usage::ServerAndClient)?,
                    client_authority: clients.pair().certificate.clone(),
                    peer_authority: peers.pair().certificate.clone(),
                };
                self.shared.member(&wanted.secret, &files)
            }
            (Action::Make(_), LeafKind::Application | LeafKind::Operator, Some(clients), _) => {
                let pair = self.sign(wanted, clients, Usage::Client)?;
                self.shared.client(&wanted.secret, &pair, &clients.pair().certificate)
            }
            // Its authority is lost: what is in use stays.
            (Action::Make(_), _, _, _) => return Ok(()),
            (Action::Keep, kind, _, _) => {
                let kept = self
                    .live
                    .get(&wanted.secret)
                    .and_then(|secret| self.kept(secret, wanted, kind));
                kept.ok_or_else(|| CertificateError::Gone {
                    secret: wanted.secret.clone(),
                })?
            }
        };
        self.made.secrets.push(secret);
        Ok(())
    }

    /// The Secret as it should be, with the files that it has.
    fn kept(&self, live: &Secret, wanted: &Leaf, kind: LeafKind) -> Option<Secret> {
        Some(match kind {
            LeafKind::Member(_) => self.shared.member(&wanted.secret, &secrets::member(live)?),
            LeafKind::Application | LeafKind::Operator => {
                let pair = secrets::pair(live, secrets::TLS_CRT, secrets::TLS_KEY)?;
                self.shared
                    .client(&wanted.secret, &pair, &secrets::text(live, secrets::CA_CRT)?)
            }
        })
    }

    fn sign(&self, wanted: &Leaf, authority: &Authority, usage: Usage) -> Result<Pair, CertificateError> {
        let request = Request {
            common_name: wanted.common_name.clone(),
            names: names(wanted),
            usage,
            days: wanted.days,
        };
        tracing::info!(
            secret = wanted.secret,
            common_name = wanted.common_name,
            "issued a certificate"
        );
        let signed = authority.sign(&request, self.now);
        signed.map_err(|source| CertificateError::Authority {
            secret: wanted.secret.clone(),
            source,
        })
    }
}

fn names(wanted: &Leaf) -> BTreeSet<Name> {
    let dns = wanted.dns.iter().cloned().map(Name::Dns);
    let ips = wanted.ips.iter().filter_map(|ip| ip.parse().ok()).map(Name::Ip);
    dns.chain(ips)
        .chain(wanted.uri.iter().cloned().map(Name::Uri))
        .collect()
}

/// The operator's client certificate and the authority to check members against.
#[derive(Clone, Debug)]
pub struct OperatorIdentity {
    /// Certificate and key.
    pub pair: Pair,
    /// PEM of the authority of servers.
    pub authority: String,
}

impl OperatorIdentity {
    /// Reads it from its Secret.
    #[must_use]
    pub fn read(secret: &Secret) -> Option<Self> {
        let pair = secrets::pair(secret, secrets::TLS_CRT, secrets::TLS_KEY)?;
        Some(OperatorIdentity {
            pair,
            authority: secrets::text(secret, secrets::CA_CRT)?,
        })
    }
}

#[cfg(test)]
mod tests;
