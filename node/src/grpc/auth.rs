//! etcd's `Auth` service.

use kvorum_api::etcdserverpb::{self as pb, auth_server};
use tonic::{Request, Response, Status};

use super::{caller, status};
use crate::service::Service;

/// The service.
pub struct Auth(pub Service);

/// Declares calls that are one call of [`Service`] each.
macro_rules! calls {
    ($($name:ident $request:ident $response:ident)*) => {
        #[tonic::async_trait]
        impl auth_server::Auth for Auth {$(
            async fn $name(&self, request: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                let caller = caller(&request);
                let answer = self.0.$name(&caller, request.into_inner()).await;
                answer.map(Response::new).map_err(status)
            }
        )*}
    };
}

calls! {
    auth_enable AuthEnableRequest AuthEnableResponse
    auth_disable AuthDisableRequest AuthDisableResponse
    auth_status AuthStatusRequest AuthStatusResponse
    authenticate AuthenticateRequest AuthenticateResponse
    user_add AuthUserAddRequest AuthUserAddResponse
    user_get AuthUserGetRequest AuthUserGetResponse
    user_list AuthUserListRequest AuthUserListResponse
    user_delete AuthUserDeleteRequest AuthUserDeleteResponse
    user_change_password AuthUserChangePasswordRequest AuthUserChangePasswordResponse
    user_grant_role AuthUserGrantRoleRequest AuthUserGrantRoleResponse
    user_revoke_role AuthUserRevokeRoleRequest AuthUserRevokeRoleResponse
    role_add AuthRoleAddRequest AuthRoleAddResponse
    role_get AuthRoleGetRequest AuthRoleGetResponse
    role_list AuthRoleListRequest AuthRoleListResponse
    role_delete AuthRoleDeleteRequest AuthRoleDeleteResponse
    role_grant_permission AuthRoleGrantPermissionRequest AuthRoleGrantPermissionResponse
    role_revoke_permission AuthRoleRevokePermissionRequest AuthRoleRevokePermissionResponse
}
