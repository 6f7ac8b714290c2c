//! Users, roles and what they may do: etcd's auth, as part of the replicated state.
//!
//! ```text
//! change.rs     what a command does to users and roles
//! permission.rs ranges of keys, merged per user, and whether they cover what is asked
//! check.rs      the one question "may this caller do that?", for reads and, again, when a command is applied
//! command.rs    the commands and their bytes
//! ```
//! Must keep true:
//! 1. Every command that came from a client is checked when it is applied, against the state before it. What an edge
//!    checked earlier only spares a log entry: it may have looked at an older state.
//! 2. No password is in here, only bcrypt hashes that the node made; and no token, only its SHA-256.
//! 3. While auth is on, the user `root` exists and has the role `root`.
//!
//! It deliberately makes and checks neither hashes nor tokens: that takes dice and time.

mod change;
mod check;
mod command;
mod permission;

use crate::engine::EngineError;
use crate::hash::Fingerprint;
use bytes::Bytes;
pub(crate) use change::Changed;
pub use change::Tokens;
pub use check::Act;
pub(crate) use check::{act_of, check};
pub(crate) use command::Mark;
pub use command::{AuthCommand, Authenticate, ChangePassword, UserAdd, Who};
use kvorum_api::authpb::{Permission, Role, User, permission::Type};
use permission::Granted;
use prost::Message;
use std::collections::BTreeMap;

/// The user that must exist before auth is switched on, and the role that may do everything.
pub const ROOT: &str = "root";

/// The auth revision of a store whose users and roles never changed, as in etcd.
const REVISION_INITIAL: u64 = 1;

/// Users, roles, and whether they count.
#[derive(Clone)]
pub(crate) struct Auth {
    enabled: bool,
    /// Grows with every change of users and roles, so that a check made before is known to be old.
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// What each user's roles come to; follows from the others.
    granted: BTreeMap<String, Granted>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: false,
            revision: REVISION_INITIAL,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }
}

/// The counters of auth, as they are stored.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Switch {
    #[prost(bool, tag = "1")]
    enabled: bool,
    #[prost(uint64, tag = "2")]
    revision: u64,
}

/// What a user of this name must show to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// There is no such user.
    Unknown,
    /// The user has no password: only a certificate speaks for it.
    NoPassword,
    /// The bcrypt hash of the password.
    PasswordHash(Bytes),
}

impl Auth {
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn switch(&self) -> Switch {
        Switch {
            enabled: self.enabled,
            revision: self.revision,
        }
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    pub(crate) fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), role))
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub(crate) fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// The permissions of a role, as clients see them: the root role's are not stored.
    pub(crate) fn permissions(&self, role: &str) -> Option<Vec<Permission>> {
        let found = self.roles.get(role)?;
        Some(if role == ROOT {
            vec![Permission {
                perm_type: Type::Readwrite.into(),
                key: Bytes::new(),
                range_end: Bytes::from_static(b"\0"),
            }]
        } else {
            found.key_permission.clone()
        })
    }

    pub(crate) fn credential(&self, name: &str) -> Credential {
        match self.users.get(name) {
            None => Credential::Unknown,
            Some(user) if has_no_password(user) => Credential::NoPassword,
            Some(user) => Credential::PasswordHash(user.password.clone()),
        }
    }

    /// The hash of everything here, by which members that stand at one auth revision compare themselves.
    pub(crate) fn hash(&self) -> Fingerprint {
        let users = self.users.values().map(User::encode_to_vec);
        let roles = self.roles.values().map(Role::encode_to_vec);
        let tagged = users
            .map(|user| (USER, user))
            .chain(roles.map(|role| (ROLE, role)))
            .chain([(SWITCH, self.switch().encode_to_vec())]);
        tagged.fold(Fingerprint::default(), |sum, (tag, bytes)| {
            sum.plus(Fingerprint::of(&[&[tag], &bytes[..]].concat()))
        })
    }

    /// Takes one stored entry; [`Auth::loaded`] must follow the last one.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let bad = |reason: &dyn std::fmt::Display| EngineError::corrupt(key, reason);
        let name = || String::from_utf8(key[2..].to_vec()).map_err(|error| bad(&error));
        let value = Bytes::copy_from_slice(value);
        match key.get(1) {
            Some(&SWITCH) => {
                let Switch { enabled, revision } = Switch::decode(value).map_err(|error| bad(&error))?;
                (self.enabled, self.revision) = (enabled, revision);
            }
            Some(&USER) => {
                let user = User::decode(value).map_err(|error| bad(&error))?;
                self.users.insert(name()?, user);
            }
            Some(&ROLE) => {
                let role = Role::decode(value).map_err(|error| bad(&error))?;
                self.roles.insert(name()?, role);
            }
            Some(_) | None => return Err(bad(&"not the key of a user or a role")),
        }
        Ok(())
    }

    /// Ends the loading: what follows from users and roles is worked out.
    pub(crate) fn loaded(&mut self) {
        self.granted = Granted::all(&self.users, &self.roles);
    }

    /// Every entry as it is stored, in the order of the keys.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Vec<u8>, Bytes)> {
        let switch = (self.switch() != Self::default().switch()).then(|| switch_entry(self.switch()));
        let users = self.users.iter().map(|(name, user)| user_entry(name, user));
        let roles = self.roles.iter().map(|(name, role)| role_entry(name, role));
        switch.into_iter().chain(users).chain(roles)
    }
}

/// Second byte of the engine's keys.
const SWITCH: u8 = 0;
const USER: u8 = 1;
const ROLE: u8 = 2;

pub(crate) fn user_key(name: &str) -> Vec<u8> {
    [&[crate::keyspace::AUTH.start[0], USER], name.as_bytes()].concat()
}

pub(crate) fn role_key(name: &str) -> Vec<u8> {
    [&[crate::keyspace::AUTH.start[0], ROLE], name.as_bytes()].concat()
}

pub(crate) fn switch_entry(switch: Switch) -> (Vec<u8>, Bytes) {
    let key = vec![crate::keyspace::AUTH.start[0], SWITCH];
    (key, switch.encode_to_vec().into())
}

pub(crate) fn user_entry(name: &str, user: &User) -> (Vec<u8>, Bytes) {
    (user_key(name), user.encode_to_vec().into())
}

pub(crate) fn role_entry(name: &str, role: &Role) -> (Vec<u8>, Bytes) {
    (role_key(name), role.encode_to_vec().into())
}

fn has_no_password(user: &User) -> bool {
    user.options.as_ref().is_some_and(|options| options.no_password)
}

/// The root role counts even where no role of that name was made, as in etcd.
fn is_root(user: &User) -> bool {
    user.roles.iter().any(|role| role == ROOT)
}
