//! The plain calls on users and roles: each is one command, or one question to the newest state.

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_store::AuthCommand;

use crate::service::{Caller, Service};

/// Declares calls that propose one command and answer with a header alone.
macro_rules! changes {
    ($($(#[doc = $doc:literal])* $name:ident $command:ident $request:ident $response:ident)*) => {
        impl Service {$(
            $(#[doc = $doc])*
            ///
            /// # Errors
            /// etcd's refusals, and those of a caller without the role `root`.
            pub async fn $name(&self, caller: &Caller, request: pb::$request) -> Result<pb::$response, Refusal> {
                let header = self.manage(caller, AuthCommand::$command(request)).await?;
                Ok(pb::$response { header })
            }
        )*}
    };
}

changes! {
    /// Removes a user.
    user_delete UserDelete AuthUserDeleteRequest AuthUserDeleteResponse
    /// Gives a role to a user.
    user_grant_role UserGrantRole AuthUserGrantRoleRequest AuthUserGrantRoleResponse
    /// Takes a role from a user.
    user_revoke_role UserRevokeRole AuthUserRevokeRoleRequest AuthUserRevokeRoleResponse
    /// Adds a role.
    role_add RoleAdd AuthRoleAddRequest AuthRoleAddResponse
    /// Removes a role.
    role_delete RoleDelete AuthRoleDeleteRequest AuthRoleDeleteResponse
    /// Gives a permission to a role.
    role_grant_permission RoleGrantPermission AuthRoleGrantPermissionRequest AuthRoleGrantPermissionResponse
    /// Takes a permission from a role.
    role_revoke_permission RoleRevokePermission AuthRoleRevokePermissionRequest AuthRoleRevokePermissionResponse
}

impl Service {
    /// The roles of a user; everybody may see their own.
    ///
    /// # Errors
    /// There is no such user, or the caller may not see it.
    pub async fn user_get(
        &self,
        caller: &Caller,
        request: pb::AuthUserGetRequest,
    ) -> Result<pb::AuthUserGetResponse, Refusal> {
        self.wait_linearizable().await?;
        let who = self.who(caller).await?;
        let roles = self.inner.node.reader.user_roles(&who, &request.name)?;
        Ok(pb::AuthUserGetResponse {
            header: self.header(),
            roles,
        })
    }

    /// The names of all users.
    ///
    /// # Errors
    /// The caller has not the role `root`.
    pub async fn user_list(
        &self,
        caller: &Caller,
        _: pb::AuthUserListRequest,
    ) -> Result<pb::AuthUserListResponse, Refusal> {
        self.wait_linearizable().await?;
        let who = self.who(caller).await?;
        let users = self.inner.node.reader.users(&who)?;
        Ok(pb::AuthUserListResponse {
            header: self.header(),
            users,
        })
    }

    /// The permissions of a role; everybody may see those of their own roles.
    ///
    /// # Errors
    /// There is no such role, or the caller may not see it.
    pub async fn role_get(
        &self,
        caller: &Caller,
        request: pb::AuthRoleGetRequest,
    ) -> Result<pb::AuthRoleGetResponse, Refusal> {
        self.wait_linearizable().await?;
        let who = self.who(caller).await?;
        let perm = self.inner.node.reader.role_permissions(&who, &request.role)?;
        Ok(pb::AuthRoleGetResponse {
            header: self.header(),
            perm,
        })
    }

    /// The names of all roles.
    ///
    /// # Errors
    /// The caller has not the role `root`.
    pub async fn role_list(
        &self,
        caller: &Caller,
        _: pb::AuthRoleListRequest,
    ) -> Result<pb::AuthRoleListResponse, Refusal> {
        self.wait_linearizable().await?;
        let who = self.who(caller).await?;
        let roles = self.inner.node.reader.roles(&who)?;
        Ok(pb::AuthRoleListResponse {
            header: self.header(),
            roles,
        })
    }
}
