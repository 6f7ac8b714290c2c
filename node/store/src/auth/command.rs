//! The commands of auth and their bytes, and the mark that says who is behind a command.

use bytes::{Buf, Bytes};
use kvorum_api::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
    AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};
use prost::{DecodeError, Message};

/// Who is behind a command or a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// A client that showed nothing. While auth is on it may do nothing.
    #[default]
    Nobody,
    /// A user whose token or certificate a member has checked.
    User {
        /// The name.
        name: String,
        /// The auth revision at which that was so.
        auth_revision: u64,
    },
    /// The cluster itself: leases that expired, alarms, the operator's fence.
    Member,
}

/// A change of users and roles, or a user's proof. `kvorum_store` never sees a password.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthCommand {
    /// Switches auth on.
    Enable,
    /// Switches auth off.
    Disable,
    /// Adds a user.
    UserAdd(UserAdd),
    /// Removes a user.
    UserDelete(AuthUserDeleteRequest),
    /// Replaces a user's password.
    ChangePassword(ChangePassword),
    /// Gives a role to a user.
    UserGrantRole(AuthUserGrantRoleRequest),
    /// Takes a role from a user.
    UserRevokeRole(AuthUserRevokeRoleRequest),
    /// Adds a role without permissions.
    RoleAdd(AuthRoleAddRequest),
    /// Removes a role, also from the users that have it.
    RoleDelete(AuthRoleDeleteRequest),
    /// Gives a permission to a role, or changes its kind.
    RoleGrantPermission(AuthRoleGrantPermissionRequest),
    /// Takes a permission from a role.
    RoleRevokePermission(AuthRoleRevokePermissionRequest),
    /// Makes a token known to every member. The proposer has checked the password.
    Authenticate(Authenticate),
}

/// A new user.
#[derive(Clone, PartialEq, Message)]
pub struct UserAdd {
    /// The name; must not be empty.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The bcrypt hash of the password; empty for a user without one.
    #[prost(bytes = "bytes", tag = "2")]
    pub password_hash: Bytes,
    /// Whether the user never has a password.
    #[prost(bool, tag = "3")]
    pub no_password: bool,
}

/// A user's new password.
#[derive(Clone, PartialEq, Message)]
pub struct ChangePassword {
    /// The user's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The bcrypt hash of the password.
    #[prost(bytes = "bytes", tag = "2")]
    pub password_hash: Bytes,
}

/// A checked password, and the token that stands for it from now on.
#[derive(Clone, PartialEq, Message)]
pub struct Authenticate {
    /// The user's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The auth revision at which the password was right. If it is not the current one, the check was too early.
    #[prost(uint64, tag = "2")]
    pub auth_revision: u64,
    /// SHA-256 of the secret part of the token.
    #[prost(bytes = "bytes", tag = "3")]
    pub token_hash: Bytes,
}

/// Kinds in the log; the crate's `command` module gives 16 to 31 to auth.
const ENABLE: u8 = 16;
const DISABLE: u8 = 17;
const USER_ADD: u8 = 18;
const USER_DELETE: u8 = 19;
const CHANGE_PASSWORD: u8 = 20;
const USER_GRANT_ROLE: u8 = 21;
const USER_REVOKE_ROLE: u8 = 22;
const ROLE_ADD: u8 = 23;
const ROLE_DELETE: u8 = 24;
const ROLE_GRANT_PERMISSION: u8 = 25;
const ROLE_REVOKE_PERMISSION: u8 = 26;
const AUTHENTICATE: u8 = 27;

impl AuthCommand {
    /// The kind in the log.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Enable => ENABLE,
            Self::Disable => DISABLE,
            Self::UserAdd(_) => USER_ADD,
            Self::UserDelete(_) => USER_DELETE,
            Self::ChangePassword(_) => CHANGE_PASSWORD,
            Self::UserGrantRole(_) => USER_GRANT_ROLE,
            Self::UserRevokeRole(_) => USER_REVOKE_ROLE,
            Self::RoleAdd(_) => ROLE_ADD,
            Self::RoleDelete(_) => ROLE_DELETE,
            Self::RoleGrantPermission(_) => ROLE_GRANT_PERMISSION,
            Self::RoleRevokePermission(_) => ROLE_REVOKE_PERMISSION,
            Self::Authenticate(_) => AUTHENTICATE,
        }
    }

    /// The message after the kind.
    pub(crate) fn message(&self) -> Vec<u8> {
        match self {
            Self::Enable | Self::Disable => Vec::new(),
            Self::UserAdd(message) => message.encode_to_vec(),
            Self::UserDelete(message) => message.encode_to_vec(),
            Self::ChangePassword(message) => message.encode_to_vec(),
            Self::UserGrantRole(message) => message.encode_to_vec(),
            Self::UserRevokeRole(message) => message.encode_to_vec(),
            Self::RoleAdd(message) => message.encode_to_vec(),
            Self::RoleDelete(message) => message.encode_to_vec(),
            Self::RoleGrantPermission(message) => message.encode_to_vec(),
            Self::RoleRevokePermission(message) => message.encode_to_vec(),
            Self::Authenticate(message) => message.encode_to_vec(),
        }
    }

    /// The command of a kind; `None` when the kind is not one of auth.
    pub(crate) fn decode(kind: u8, bytes: impl Buf) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            ENABLE => Self::Enable,
            DISABLE => Self::Disable,
            USER_ADD => Self::UserAdd(Message::decode(bytes)?),
            USER_DELETE => Self::UserDelete(Message::decode(bytes)?),
            CHANGE_PASSWORD => Self::ChangePassword(Message::decode(bytes)?),
            USER_GRANT_ROLE => Self::UserGrantRole(Message::decode(bytes)?),
            USER_REVOKE_ROLE => Self::UserRevokeRole(Message::decode(bytes)?),
            ROLE_ADD => Self::RoleAdd(Message::decode(bytes)?),
            ROLE_DELETE => Self::RoleDelete(Message::decode(bytes)?),
            ROLE_GRANT_PERMISSION => Self::RoleGrantPermission(Message::decode(bytes)?),
            ROLE_REVOKE_PERMISSION => Self::RoleRevokePermission(Message::decode(bytes)?),
            AUTHENTICATE => Self::Authenticate(Message::decode(bytes)?),
            _ => return Ok(None),
        }))
    }
}

/// The mark in front of a command that somebody is behind.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mark {
    #[prost(bool, tag = "1")]
    member: bool,
    /// Nobody has none; a user without a name, whom a signed token may claim to be, has an empty one.
    #[prost(string, optional, tag = "2")]
    user: Option<String>,
    #[prost(uint64, tag = "3")]
    auth_revision: u64,
}

impl From<&Who> for Mark {
    fn from(who: &Who) -> Self {
        match who {
            Who::Nobody => Self::default(),
            Who::Member => Self {
                member: true,
                ..Self::default()
            },
            Who::User { name, auth_revision } => Self {
                member: false,
                user: Some(name.clone()),
                auth_revision: *auth_revision,
            },
        }
    }
}

impl From<Mark> for Who {
    fn from(mark: Mark) -> Self {
        let Mark {
            member,
            user,
            auth_revision,
        } = mark;
        match (member, user) {
            (true, _) => Self::Member,
            (false, None) => Self::Nobody,
            (false, Some(name)) => Self::User { name, auth_revision },
        }
    }
}
