//! The certificates of one cluster: two authorities of its own (one for clients, one for peers), one leaf pair per
//! member, one client certificate for the operator and one for applications, and the published client authority.
//!
//! What it must keep true:
//! 1. Which leaf is issued is decided by `verdict::judge` from what is there and the time; a Secret that was edited or
//!    deleted is made good, and one that is as wanted is returned as it is, so that nothing is written at rest.
//! 2. An authority is made only when nothing depends on it. When its key is lost while leaves signed by it are in use,
//!    a new one would cut members off from each other: they would trust different authorities for a while. So nothing
//!    is issued, the leaves in use stay, and [`Lost`] tells a person what to do.
//! 3. No key is ever logged: `Pair` has no printing form.
//!
//! Deliberately not here: replacing an authority in phases while it is in use, certificates of others (cert-manager,
//! the user's own), and writing to the API server (`apply`).

pub mod authority;
pub mod parsed;
pub mod request;
pub mod secrets;
pub mod verdict;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use time::{Duration, OffsetDateTime};

use self::authority::{Authority, AuthorityError, Pair};
use self::request::{ClusterNames, Request};
use self::secrets::{MemberFiles, Shared};
use self::verdict::{Verdict, Why};

/// Certificates are looked at again at least this often, whatever else happens.
const LOOK_AGAIN_AT_MOST: Duration = Duration::hours(12);

/// What the certificates are made for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Names that go into certificates.
    pub names: ClusterNames,
    /// The `KvCluster`'s name.
    pub cluster: String,
    /// Metadata of the objects.
    pub shared: Shared,
    /// Whether the authorities go when the `KvCluster` goes.
    pub authorities_owned: bool,
    /// Where things are kept.
    pub places: Places,
    /// The members that need a pair of leaves.
    pub members: Vec<WantedMember>,
}

/// Names of the objects in which certificates are kept.
#[derive(Clone, Debug)]
pub struct Places {
    /// Secret of the authority of clients.
    pub client_authority: String,
    /// Secret of the authority of peers.
    pub peer_authority: String,
    /// Secret of the operator's client certificate.
    pub operator: String,
    /// Secret of the applications' client certificate.
    pub application: String,
    /// ConfigMap of the published authority.
    pub published: String,
}

/// A member that needs certificates.
#[derive(Clone, Debug)]
pub struct WantedMember {
    /// Its name.
    pub name: String,
    /// Its pod's name.
    pub pod: String,
    /// Its Secret.
    pub secret: String,
}

/// An authority whose key is gone although certificates signed by it are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The Secret that should hold it.
    pub secret: String,
}

/// A certificate that was issued in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The Secret it went into.
    pub secret: String,
    /// Whose it is.
    pub common_name: String,
    /// Why.
    pub why: Why,
}

/// What should be in the API server, and what was done to get there.
#[derive(Debug, Default)]
pub struct Draft {
    /// Authorities that are new: to be *created*, so that one that appeared meanwhile is never overwritten.
    pub new_authorities: Vec<Secret>,
    /// All other Secrets, whether they changed or not.
    pub secrets: Vec<Secret>,
    /// The published authority.
    pub published: Option<ConfigMap>,
    /// The operator's way into the admin calls.
    pub operator: Option<OperatorIdentity>,
    /// What was issued.
    pub issued: Vec<Issued>,
    /// Authorities that are lost.
    pub lost: Vec<Lost>,
    /// When the next renewal is due; `None` when there is nothing to renew.
    pub look_again: Option<OffsetDateTime>,
}

/// The operator's client certificate and the authority to check members against.
#[derive(Clone, Debug)]
pub struct OperatorIdentity {
    /// Certificate and key.
    pub pair: Pair,
    /// PEM of the authority of servers.
    pub authority: String,
}

/// Drafts all certificates of a cluster from the Secrets there are (`live`, by name).
///
/// # Errors
/// No randomness, or a name that a certificate cannot carry.
pub fn draft(wanted: &Wanted, live: &BTreeMap<String, Secret>, now: OffsetDateTime) -> Result<Draft, AuthorityError> {
    let mut drafting = Drafting {
        wanted,
        live,
        now,
        draft: Draft::default(),
    };
    let clients = drafting.authority(&wanted.places.client_authority, "client", secrets::CLIENT_CA_CRT)?;
    let peers = drafting.authority(&wanted.places.peer_authority, "peer", secrets::PEER_CA_CRT)?;
    drafting.clients(clients.as_ref())?;
    for member in &wanted.members {
        drafting.member(member, clients.as_ref(), peers.as_ref())?;
    }
    Ok(drafting.draft)
}

struct Drafting<'a> {
    wanted: &'a Wanted,
    live: &'a BTreeMap<String, Secret>,
    now: OffsetDateTime,
    draft: Draft,
}

impl Drafting<'_> {
    /// The authority kept in `place`, or a new one, or `None` when it is lost. `copy` is the file under which members
    /// have its certificate.
    fn authority(&mut self, place: &str, role: &str, copy: &str) -> Result<Option<Authority>, AuthorityError> {
        let copies: Vec<String> = self
            .wanted
            .members
            .iter()
            .filter_map(|member| secrets::text(self.live.get(&member.secret)?, copy))
            .collect();
        let kept = self.live.get(place).and_then(|secret| restored(secret, &copies));
        let authority = match kept {
            Some(authority) => authority,
            None if copies.is_empty() => {
                let new = Authority::create(&format!("{} {role} CA", self.wanted.cluster), self.now)?;
                tracing::info!(
                    secret = place,
                    fingerprint = new.parsed().fingerprint,
                    "made a certificate authority"
                );
                new
            }
            None => {
                self.draft.lost.push(Lost {
                    secret: place.to_owned(),
                });
                return Ok(None);
            }
        };
        let Wanted {
            shared,
            names,
            authorities_owned,
            ..
        } = self.wanted;
        let secret = shared.authority(place, &names.cluster_id, *authorities_owned, authority.pair());
        let exists = self.live.contains_key(place);
        if exists {
            self.draft.secrets.push(secret)
        } else {
            self.draft.new_authorities.push(secret)
        }
        Ok(Some(authority))
    }

    /// The operator's and the applications' certificates, and what is published.
    fn clients(&mut self, authority: Option<&Authority>) -> Result<(), AuthorityError> {
        let Wanted {
            names,
            places,
            shared,
            cluster,
            ..
        } = self.wanted;
        let Some(authority) = authority else {
            self.draft.operator = self.live.get(&places.operator).and_then(operator_identity);
            return Ok(());
        };
        let ca = &authority.pair().certificate;
        for (place, request) in [
            (&places.operator, names.operator()),
            (&places.application, names.application(cluster)),
        ] {
            let pair = self.leaf(place, (secrets::TLS_CRT, secrets::TLS_KEY), &request, authority)?;
            self.draft.secrets.push(shared.client(place, &pair, ca));
            if place == &places.operator {
                self.draft.operator = Some(OperatorIdentity {
                    pair,
                    authority: ca.clone(),
                });
            }
        }
        self.draft.published = Some(shared.published(&places.published, ca));
        Ok(())
    }

    fn member(
        &mut self,
        member: &WantedMember,
        clients: Option<&Authority>,
        peers: Option<&Authority>,
    ) -> Result<(), AuthorityError> {
        // With one authority lost, the leaves in use stay as they are: the Secret is left alone.
        let (Some(clients), Some(peers)) = (clients, peers) else {
            return Ok(());
        };
        let names = &self.wanted.names;
        let place = &member.secret;
        let server = names.server(&member.name, &member.pod, &[]);
        let peer = names.peer(&member.name, &member.pod);
        let files = MemberFiles {
            server: self.leaf(place, (secrets::SERVER_CRT, secrets::SERVER_KEY), &server, clients)?,
            peer: self.leaf(place, (secrets::PEER_CRT, secrets::PEER_KEY), &peer, peers)?,
            client_authority: clients.pair().certificate.clone(),
            peer_authority: peers.pair().certificate.clone(),
        };
        self.draft.secrets.push(self.wanted.shared.member(place, &files));
        Ok(())
    }

    /// The leaf in `place` if it may stay, a new one otherwise.
    fn leaf(
        &mut self,
        place: &str,
        (certificate, key): (&str, &str),
        request: &Request,
        authority: &Authority,
    ) -> Result<Pair, AuthorityError> {
        let kept = self
            .live
            .get(place)
            .and_then(|secret| secrets::pair(secret, certificate, key));
        let seed = format!("{}/{place}/{certificate}", self.wanted.names.cluster_id);
        match (verdict::judge(kept.as_ref(), request, authority, &seed, self.now), kept) {
            (Verdict::Keep { renew_at }, Some(kept)) => {
                let again = renew_at.min(self.now + LOOK_AGAIN_AT_MOST);
                self.draft.look_again = Some(self.draft.look_again.map_or(again, |sooner| sooner.min(again)));
                Ok(kept)
            }
            (verdict, _) => {
                let why = if let Verdict::Issue(why) = verdict {
                    why
                } else {
                    Why::Missing
                };
                let common_name = request.common_name.clone();
                self.draft.issued.push(Issued {
                    secret: place.to_owned(),
                    common_name,
                    why,
                });
                authority.sign(request, self.now)
            }
        }
    }
}

/// An authority from its Secret; a certificate that was damaged there is taken from a copy that fits the key.
fn restored(secret: &Secret, copies: &[String]) -> Option<Authority> {
    let key = secrets::text(secret, secrets::TLS_KEY)?;
    let own = secrets::text(secret, secrets::TLS_CRT);
    let candidates = own.iter().chain(copies);
    candidates
        .filter_map(|certificate| {
            Authority::read(Pair {
                certificate: certificate.clone(),
                key: key.clone(),
            })
            .ok()
        })
        .next()
}

fn operator_identity(secret: &Secret) -> Option<OperatorIdentity> {
    let pair = secrets::pair(secret, secrets::TLS_CRT, secrets::TLS_KEY)?;
    Some(OperatorIdentity {
        pair,
        authority: secrets::text(secret, secrets::CA_CRT)?,
    })
}

#[cfg(test)]
mod tests;
