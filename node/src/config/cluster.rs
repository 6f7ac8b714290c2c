//! How a member comes to belong to a cluster, and where ids come from outside Kubernetes.
//!
//! The cluster id is a hash of the token alone, so that members started later with another list of members still find
//! themselves in the same cluster. Member ids of a *new* cluster are hashes of token and name, because every founding
//! member must know all of them before any has spoken. Members added later have a hash of their peer URLs ([`added_member_id`]),
//! as etcd's clients add them by those; those that the operator adds draw theirs (`identity`).
//!
//! Caveat: a founding member that is started again as `new` on an emptied disk has its old id. Inside Kubernetes nothing
//! of this file but `managed` is used, and ids are always drawn.

use kvorum_api::Id;
use sha2::{Digest, Sha256};

use super::ConfigError;
use super::settings::Settings;
use super::urls::{self, Advertised};

/// Most members of a new cluster: more voters only make every write slower.
pub const FOUNDING_MEMBERS_MAX: usize = 15;
/// Longest token; it is a name, not a document.
pub const TOKEN_BYTES_MAX: usize = 256;

/// How this member comes to belong to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Form the cluster together with the members named, once; afterwards the disk decides.
    New {
        /// Derived from the token.
        cluster_id: Id,
        /// All founding members in the order of their ids; this one is among them.
        members: Vec<InitialMember>,
    },
    /// Wait until a member of the cluster adds this one.
    Existing {
        /// Derived from the token.
        cluster_id: Id,
    },
    /// Wait for the operator, who says which cluster this is.
    Managed,
}

/// A founding member, as `--initial-cluster` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// Derived from token and name.
    pub id: Id,
    /// The member's `--name`.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
}

/// A new cluster, as one of its members is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Derived from the token.
    pub cluster_id: Id,
    /// The member that is told.
    pub own: InitialMember,
    /// All founding members in the order of their ids.
    pub members: Vec<InitialMember>,
    token: String,
}

impl Founding {
    /// Checks the settings of that name, with the meaning and the defaults that they have for `kvorum serve`; other
    /// settings are not looked at.
    ///
    /// # Errors
    /// The first setting that makes no sense, by itself or together with another.
    pub fn from_settings(settings: &Settings) -> Result<Founding, ConfigError> {
        let name = super::member_name(settings.name.as_deref())?;
        let urls = settings.initial_advertise_peer_urls.as_deref();
        let urls = urls::told("--initial-advertise-peer-urls", urls.unwrap_or("http://127.0.0.1:2380"))?;
        let token = token(settings.initial_cluster_token.as_deref())?;
        let members = founding(token, settings.initial_cluster.as_deref(), &name, &urls)?;
        let own = members.iter().find(|member| member.name == name);
        Ok(Founding {
            cluster_id: cluster_id(token),
            own: own.expect("the founders were checked to name it").clone(),
            members,
            token: token.to_owned(),
        })
    }

    /// Whether a member belongs to the cluster of this token, as its id tells: whoever founded such a cluster, or was added
    /// to it by URLs that it still has, has an id that follows from the token.
    #[must_use]
    pub fn knows(&self, id: Id, name: &str, peer_urls: &[String]) -> bool {
        id == member_id(&self.token, name) || id == added_member_id(self.cluster_id, peer_urls)
    }
}

/// Reads the three `--initial-cluster…` settings.
pub(super) fn bootstrap(settings: &Settings, name: &str, peers: &Advertised) -> Result<Bootstrap, ConfigError> {
    let token = token(settings.initial_cluster_token.as_deref())?;
    let members = settings.initial_cluster.as_deref();
    match settings.initial_cluster_state.as_deref().unwrap_or("new") {
        "new" => Ok(Bootstrap::New {
            cluster_id: cluster_id(token),
            members: founding(token, members, name, peers)?,
        }),
        "existing" => Ok(Bootstrap::Existing {
            cluster_id: cluster_id(token),
        }),
        "managed" if members.is_some() => Err(ConfigError::new(
            "--initial-cluster",
            "has no effect with --initial-cluster-state managed",
        )),
        "managed" if settings.identity_dir.is_none() => {
            let reason = "needed with --initial-cluster-state managed: the operator says there which cluster this is";
            Err(ConfigError::new("--identity-dir", reason))
        }
        "managed" => Ok(Bootstrap::Managed),
        other => {
            let reason = format!("{other:?}: new, existing or managed are allowed");
            Err(ConfigError::new("--initial-cluster-state", reason))
        }
    }
}

fn token(token: Option<&str>) -> Result<&str, ConfigError> {
    let token = token.unwrap_or("kvorum-cluster");
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        let reason = format!("{} bytes: 1 to {TOKEN_BYTES_MAX} are allowed", token.len());
        return Err(ConfigError::new("--initial-cluster-token", reason));
    }
    Ok(token)
}

fn founding(
    token: &str,
    text: Option<&str>,
    own_name: &str,
    own_urls: &Advertised,
) -> Result<Vec<InitialMember>, ConfigError> {
    const FLAG: &str = "--initial-cluster";
    let mut members = match text {
        Some(text) => parse_members(token, text)?,
        None => vec![InitialMember {
            id: member_id(token, own_name),
            name: own_name.to_owned(),
            peer_urls: own_urls.urls().to_vec(),
        }],
    };
    members.sort_by_key(|member| member.id);
    if members.len() > FOUNDING_MEMBERS_MAX {
        let reason = format!("{} members are too many: at most {FOUNDING_MEMBERS_MAX}", members.len());
        return Err(ConfigError::new(FLAG, reason));
    }
    let Some(own) = members.iter().find(|member| member.name == own_name) else {
        return Err(ConfigError::new(
            FLAG,
            format!("does not name this member, {own_name:?} (--name)"),
        ));
    };
    let (mut named, mut advertised) = (own.peer_urls.clone(), own_urls.urls().to_vec());
    named.sort();
    advertised.sort();
    if named != advertised {
        let reason = format!(
            "says {own_name} is at {}, but --initial-advertise-peer-urls says {}",
            named.join(","),
            advertised.join(",")
        );
        return Err(ConfigError::new(FLAG, reason));
    }
    Ok(members)
}

/// `name=url,name=url`; a name given twice has several URLs, as in etcd.
fn parse_members(token: &str, text: &str) -> Result<Vec<InitialMember>, ConfigError> {
    const FLAG: &str = "--initial-cluster";
    let mut members: Vec<InitialMember> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (name, url) = item
            .split_once('=')
            .ok_or_else(|| ConfigError::new(FLAG, format!("{item:?}: name=url is allowed, with commas between")))?;
        let name = super::member_name(Some(name)).map_err(|error| ConfigError::new(FLAG, error.reason))?;
        let url = urls::member_url(FLAG, url)?;
        if let Some(other) = members.iter().find(|member| member.peer_urls.contains(&url)) {
            return Err(ConfigError::new(
                FLAG,
                format!("{url} is given for {} and {name}", other.name),
            ));
        }
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.peer_urls.push(url),
            None => members.push(InitialMember {
                id: member_id(token, &name),
                name,
                peer_urls: vec![url],
            }),
        }
    }
    Ok(members)
}

fn cluster_id(token: &str) -> Id {
    derived(&["kvorum cluster", token])
}

fn member_id(token: &str, name: &str) -> Id {
    derived(&["kvorum member", token, name])
}

/// The id of a member that is added to a cluster by its peer URLs alone: whoever adds it and the process itself come to
/// the same.
#[must_use]
pub fn added_member_id(cluster_id: Id, peer_urls: &[String]) -> Id {
    let mut urls: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    let cluster = cluster_id.to_string();
    derived(&[&["kvorum added member", &cluster], &urls[..]].concat())
}

/// The first bytes of a hash over the parts, each preceded by its length so that no two lists of parts look alike.
fn derived(parts: &[&str]) -> Id {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let first: [u8; 8] = digest[..8].try_into().expect("a SHA-256 digest has 32 bytes");
    crate::identity::id_from_random(u64::from_be_bytes(first))
}
