//! What the commands of auth do to users and roles; etcd's rules and etcd's order of refusals.
//!
//! Must keep true: a refused command changes nothing; each one that changes users or roles makes a new auth revision
//! (switching on does not, as in etcd: it changes no right that was checked before).

use super::permission::{Granted, is_valid};
use super::{Auth, AuthCommand, Authenticate, ChangePassword, ROOT, UserAdd, has_no_password, is_root};
use bytes::Bytes;
use kvorum_api::authpb::{Role, User, UserAddOptions};
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
    AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};

/// Which entries a command has changed, so that the engine is told of them and of no others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Users that are new, different or gone.
    pub(crate) users: Vec<String>,
    /// Roles that are new, different or gone.
    pub(crate) roles: Vec<String>,
    /// What members must do about tokens.
    pub(crate) tokens: Option<Tokens>,
}

/// What a command means for the tokens that members keep in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// This one is known from now on.
    Added {
        /// SHA-256 of the secret part.
        hash: Bytes,
        /// The user it stands for.
        user: String,
    },
    /// Those of a user are not believed any more.
    ForgottenOf(String),
    /// None is believed any more.
    AllForgotten,
}

impl Auth {
    /// Carries out one command; the caller's right to it was checked.
    pub(crate) fn apply(&mut self, command: &AuthCommand) -> Result<Changed, Refusal> {
        let changed = match command {
            AuthCommand::Enable => return self.enable().map(|()| Changed::default()),
            AuthCommand::Disable => return Ok(self.disable()),
            AuthCommand::Authenticate(request) => {
                return self.authenticate(request).map(|tokens| Changed {
                    tokens: Some(tokens),
                    ..Changed::default()
                });
            }
            AuthCommand::UserAdd(request) => self.user_add(request),
            AuthCommand::UserDelete(request) => self.user_delete(request),
            AuthCommand::ChangePassword(request) => self.change_password(request),
            AuthCommand::UserGrantRole(request) => self.user_grant_role(request),
            AuthCommand::UserRevokeRole(request) => self.user_revoke_role(request),
            AuthCommand::RoleAdd(request) => self.role_add(request),
            AuthCommand::RoleDelete(request) => self.role_delete(request),
            AuthCommand::RoleGrantPermission(request) => self.role_grant_permission(request),
            AuthCommand::RoleRevokePermission(request) => self.role_revoke_permission(request),
        }?;
        if changed != Changed::default() {
            self.revision += 1;
            self.granted = Granted::all(&self.users, &self.roles);
        }
        Ok(changed)
    }

    fn enable(&mut self) -> Result<(), Refusal> {
        if self.enabled {
            return Ok(());
        }
        match self.users.get(ROOT) {
            None => Err(Refusal::RootUserNotExist),
            Some(root) if !is_root(root) => Err(Refusal::RootRoleNotExist),
            Some(_) => {
                self.enabled = true;
                Ok(())
            }
        }
    }

    fn disable(&mut self) -> Changed {
        if !self.enabled {
            return Changed::default();
        }
        self.enabled = false;
        self.revision += 1;
        Changed {
            tokens: Some(Tokens::AllForgotten),
            ..Changed::default()
        }
    }

    /// The password was right at an auth revision. If that is still the current one, the token is good.
    pub(crate) fn authenticate(&self, request: &Authenticate) -> Result<Tokens, Refusal> {
        if !self.enabled {
            return Err(Refusal::AuthNotEnabled);
        }
        let user = self.users.get(&request.name).ok_or(Refusal::AuthFailed)?;
        if has_no_password(user) {
            return Err(Refusal::AuthFailed);
        }
        if request.auth_revision != self.revision {
            return Err(Refusal::AuthOldRevision);
        }
        Ok(Tokens::Added {
            hash: owned(&request.token_hash),
            user: request.name.clone(),
        })
    }

    fn user_add(&mut self, request: &UserAdd) -> Result<Changed, Refusal> {
        let UserAdd {
            name,
            password_hash,
            no_password,
        } = request;
        if name.is_empty() {
            return Err(Refusal::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(Refusal::UserAlreadyExists);
        }
        let user = User {
            name: owned(name.as_bytes()),
            password: if *no_password {
                Bytes::new()
            } else {
                owned(password_hash)
            },
            roles: Vec::new(),
            options: Some(UserAddOptions {
                no_password: *no_password,
            }),
        };
        self.users.insert(name.clone(), user);
        Ok(of_user(name))
    }

    fn user_delete(&mut self, request: &AuthUserDeleteRequest) -> Result<Changed, Refusal> {
        let AuthUserDeleteRequest { name } = request;
        if self.enabled && name == ROOT {
            return Err(Refusal::InvalidAuthManagement);
        }
        self.users.remove(name).ok_or(Refusal::UserNotFound)?;
        Ok(Changed {
            tokens: Some(Tokens::ForgottenOf(name.clone())),
            ..of_user(name)
        })
    }

    fn change_password(&mut self, request: &ChangePassword) -> Result<Changed, Refusal> {
        let ChangePassword { name, password_hash } = request;
        let user = self.users.get_mut(name).ok_or(Refusal::UserNotFound)?;
        if !has_no_password(user) {
            user.password = owned(password_hash);
        }
        Ok(Changed {
            tokens: Some(Tokens::ForgottenOf(name.clone())),
            ..of_user(name)
        })
    }

    fn user_grant_role(&mut self, request: &AuthUserGrantRoleRequest) -> Result<Changed, Refusal> {
        let AuthUserGrantRoleRequest { user: name, role } = request;
        let user = self.users.get_mut(name).ok_or(Refusal::UserNotFound)?;
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(Refusal::RoleNotFound);
        }
        match user.roles.binary_search(role) {
            Ok(_) => Ok(Changed::default()),
            Err(place) => {
                user.roles.insert(place, role.clone());
                Ok(of_user(name))
            }
        }
    }

    fn user_revoke_role(&mut self, request: &AuthUserRevokeRoleRequest) -> Result<Changed, Refusal> {
        let AuthUserRevokeRoleRequest { name, role } = request;
        if self.enabled && name == ROOT && role == ROOT {
            return Err(Refusal::InvalidAuthManagement);
        }
        let user = self.users.get_mut(name).ok_or(Refusal::UserNotFound)?;
        let place = user.roles.iter().position(|own| own == role);
        user.roles.remove(place.ok_or(Refusal::RoleNotGranted)?);
        Ok(of_user(name))
    }

    fn role_add(&mut self, request: &AuthRoleAddRequest) -> Result<Changed, Refusal> {
        let AuthRoleAddRequest { name } = request;
        if name.is_empty() {
            return Err(Refusal::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(Refusal::RoleAlreadyExists);
        }
        let role = Role {
            name: owned(name.as_bytes()),
            key_permission: Vec::new(),
        };
        self.roles.insert(name.clone(), role);
        Ok(of_role(name))
    }

    fn role_delete(&mut self, request: &AuthRoleDeleteRequest) -> Result<Changed, Refusal> {
        let AuthRoleDeleteRequest { role } = request;
        if self.enabled && role == ROOT {
            return Err(Refusal::InvalidAuthManagement);
        }
        self.roles.remove(role).ok_or(Refusal::RoleNotFound)?;
        let mut changed = of_role(role);
        for (name, user) in &mut self.users {
            if let Some(place) = user.roles.iter().position(|own| own == role) {
                user.roles.remove(place);
                changed.users.push(name.clone());
            }
        }
        Ok(changed)
    }

    fn role_grant_permission(&mut self, request: &AuthRoleGrantPermissionRequest) -> Result<Changed, Refusal> {
        let AuthRoleGrantPermissionRequest { name, perm } = request;
        let given = perm.as_ref().ok_or(Refusal::PermissionNotGiven)?;
        if !is_valid(&given.key, &given.range_end) {
            return Err(Refusal::InvalidAuthManagement);
        }
        let role = self.roles.get_mut(name).ok_or(Refusal::RoleNotFound)?;
        let same = |own: &&mut kvorum_api::authpb::Permission| own.key == given.key && own.range_end == given.range_end;
        match role.key_permission.iter_mut().find(same) {
            Some(own) => own.perm_type = given.perm_type,
            None => {
                role.key_permission.push(kvorum_api::authpb::Permission {
                    perm_type: given.perm_type,
                    key: owned(&given.key),
                    range_end: owned(&given.range_end),
                });
                role.key_permission.sort_by(|left, right| left.key.cmp(&right.key));
            }
        }
        Ok(of_role(name))
    }

    fn role_revoke_permission(&mut self, request: &AuthRoleRevokePermissionRequest) -> Result<Changed, Refusal> {
        let AuthRoleRevokePermissionRequest {
            role: name,
            key,
            range_end,
        } = request;
        let role = self.roles.get_mut(name).ok_or(Refusal::RoleNotFound)?;
        let before = role.key_permission.len();
        role.key_permission
            .retain(|own| own.key != *key || own.range_end != *range_end);
        if role.key_permission.len() == before {
            return Err(Refusal::PermissionNotGranted);
        }
        Ok(of_role(name))
    }
}

fn of_user(name: &str) -> Changed {
    Changed {
        users: vec![name.to_owned()],
        ..Changed::default()
    }
}

fn of_role(name: &str) -> Changed {
    Changed {
        roles: vec![name.to_owned()],
        ..Changed::default()
    }
}

/// An allocation of its own, so that what is kept does not keep a request's buffer alive.
fn owned(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
