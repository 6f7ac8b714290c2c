//! Users, roles, permissions, and what becomes of calls while they count.

use etcd_client::{
    Client, DeleteOptions, Error, GetOptions, Permission, RoleGetResponse, RoleRevokePermissionOptions, UserAddOptions,
    UserGetResponse,
};

use crate::Door;
use crate::said::{self, done, tell};

pub async fn walk(door: &Door, client: &mut Client) -> Result<(), Error> {
    done("auth, no root yet", client.auth_enable().await);
    users(client).await;
    roles(client).await;
    done("auth, on", client.auth_enable().await);
    tell("get, by nobody", client.get("a", None).await, said::range);
    done("user, listed by nobody", client.user_list().await);
    refused_passwords(door).await;
    alice(door).await?;
    changing(door).await?;
    root(door).await?;
    tell("get, by nobody again", client.get("a", None).await, said::range);
    done("user, authenticated without auth", door.open_as("root", "secret").await);
    Ok(())
}

async fn users(client: &mut Client) {
    done("user, root", client.user_add("root", "secret", None).await);
    done("user, again", client.user_add("root", "secret", None).await);
    done("user, alice", client.user_add("alice", "wonder", None).await);
    done("user, without a name", client.user_add("", "x", None).await);
    let no_password = UserAddOptions::new().with_no_pwd();
    done(
        "user, without a password",
        client.user_add("bob", "", Some(no_password)).await,
    );
    tell("users", client.user_list().await, |answer| {
        format!("{:?}", answer.users())
    });
    done("role of root", client.user_grant_role("root", "root").await);
    done("role that is none", client.user_grant_role("alice", "none").await);
    tell("user, none", client.user_get("none").await, user);
}

fn user(answer: &UserGetResponse) -> String {
    format!("{:?}", answer.roles())
}

fn role(answer: &RoleGetResponse) -> String {
    let each: Vec<String> = answer
        .permissions()
        .iter()
        .map(|it| {
            format!(
                "{} {}..{}",
                it.get_type(),
                said::bytes(it.key()),
                said::bytes(it.range_end())
            )
        })
        .collect();
    format!("{each:?}")
}

async fn roles(client: &mut Client) {
    done("role, reader", client.role_add("reader").await);
    done("role, again", client.role_add("reader").await);
    done("role, root", client.role_add("root").await);
    done("role of root, now", client.user_grant_role("root", "root").await);
    for permission in [
        Permission::read("pub/").with_prefix(),
        Permission::write("box"),
        Permission::read_write("own/").with_prefix(),
    ] {
        done("permission", client.role_grant_permission("reader", permission).await);
    }
    done(
        "permission, for no role",
        client.role_grant_permission("none", Permission::read("x")).await,
    );
    tell("role, read", client.role_get("reader").await, role);
    tell("roles", client.role_list().await, |answer| {
        format!("{:?}", answer.roles())
    });
    done("role of alice", client.user_grant_role("alice", "reader").await);
    tell("user, alice read", client.user_get("alice").await, user);
}

async fn refused_passwords(door: &Door) {
    done("user, wrong password", door.open_as("alice", "no").await);
    done("user, nobody", door.open_as("none", "no").await);
    done("user, who has no password", door.open_as("bob", "").await);
}

async fn alice(door: &Door) -> Result<(), Error> {
    let mut alice = door.open_as("alice", "wonder").await?;
    done("alice puts her own", alice.put("own/1", "1", None).await);
    tell("alice reads her own", alice.get("own/1", None).await, said::range);
    tell(
        "alice reads what is public",
        alice.get("pub/", Some(GetOptions::new().with_prefix())).await,
        said::range,
    );
    done("alice puts what is public", alice.put("pub/1", "1", None).await);
    done("alice puts in the box", alice.put("box", "1", None).await);
    tell("alice reads the box", alice.get("box", None).await, said::range);
    tell(
        "alice reads everything",
        alice.get("", Some(GetOptions::new().with_all_keys())).await,
        said::range,
    );
    done(
        "alice deletes everything",
        alice.delete("", Some(DeleteOptions::new().with_all_keys())).await,
    );
    done("alice adds a user", alice.user_add("eve", "x", None).await);
    tell("alice reads herself", alice.user_get("alice").await, user);
    done("alice turns auth off", alice.auth_disable().await);
    Ok(())
}

/// One client that is one user after another, and that learns and forgets a member.
async fn changing(door: &Door) -> Result<(), Error> {
    let user = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
    let mut client = door.open_as("alice", "wonder").await?;
    done("the client, another token", client.refresh_token().await);
    done("the client, as root", client.update_user(user("root", "secret")).await);
    done("the client lists users", client.user_list().await);
    done(
        "the client, with a wrong password",
        client.update_user(user("alice", "no")).await,
    );
    done(
        "the client, as alice",
        client.update_user(user("alice", "wonder")).await,
    );
    done("the client lists users no more", client.user_list().await);
    done("the client, a member more", client.add_endpoint(door.last()).await);
    tell("the client reads", client.get("own/1", None).await, said::range);
    done("the client, a member less", client.remove_endpoint(door.last()).await);
    Ok(())
}

async fn root(door: &Door) -> Result<(), Error> {
    let mut root = door.open_as("root", "secret").await?;
    tell("root reads", root.get("own/1", None).await, said::range);
    done(
        "root changes a password",
        root.user_change_password("alice", "other").await,
    );
    done("alice's old password", door.open_as("alice", "wonder").await);
    done("alice's new password", door.open_as("alice", "other").await);
    let prefix = RoleRevokePermissionOptions::new().with_prefix();
    done(
        "permission, revoked",
        root.role_revoke_permission("reader", "pub/", Some(prefix)).await,
    );
    done(
        "permission, revoked again",
        root.role_revoke_permission("reader", "pub/", None).await,
    );
    tell("role, read again", root.role_get("reader").await, role);
    done("role, taken", root.user_revoke_role("alice", "reader").await);
    done("role, taken again", root.user_revoke_role("alice", "reader").await);
    done("role, deleted", root.role_delete("reader").await);
    done("role, deleted again", root.role_delete("reader").await);
    done("user, root deleted", root.user_delete("root").await);
    done("user, alice deleted", root.user_delete("alice").await);
    done("user, alice deleted again", root.user_delete("alice").await);
    done("auth, off", root.auth_disable().await);
    done("auth, off again", root.auth_disable().await);
    Ok(())
}
