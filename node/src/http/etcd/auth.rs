//! The gateway's paths of etcd's `Auth` service.

use axum::Router;

use super::{Edge, ask};

/// The paths.
pub(super) fn routes() -> Router<Edge> {
    Router::new()
        .route("/v3/auth/enable", ask!(auth_enable))
        .route("/v3/auth/disable", ask!(auth_disable))
        .route("/v3/auth/status", ask!(auth_status))
        .route("/v3/auth/authenticate", ask!(authenticate))
        .route("/v3/auth/user/add", ask!(user_add))
        .route("/v3/auth/user/get", ask!(user_get))
        .route("/v3/auth/user/list", ask!(user_list))
        .route("/v3/auth/user/delete", ask!(user_delete))
        .route("/v3/auth/user/changepw", ask!(user_change_password))
        .route("/v3/auth/user/grant", ask!(user_grant_role))
        .route("/v3/auth/user/revoke", ask!(user_revoke_role))
        .route("/v3/auth/role/add", ask!(role_add))
        .route("/v3/auth/role/get", ask!(role_get))
        .route("/v3/auth/role/list", ask!(role_list))
        .route("/v3/auth/role/delete", ask!(role_delete))
        .route("/v3/auth/role/grant", ask!(role_grant_permission))
        .route("/v3/auth/role/revoke", ask!(role_revoke_permission))
}
