//! `kvorum role add | delete | get | list | grant-permission | revoke-permission`.

use clap::{Args, Subcommand, ValueEnum};
use kvorum_api::authpb::{Permission, permission};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::range::{ZERO, prefix_end};
use kvorum_client::{Client, Error, Repeat};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::output::{self, said};
use super::range::Keys;
use super::with::{Connector, Nothing, With};
use super::{Failure, view};

const ADD: &str = "Examples:\n  kvorum role add readers";
const DELETE: &str = "Examples:\n  kvorum role delete readers";
const GET: &str = "Examples:\n  kvorum role get readers                              what it allows";
const LIST: &str = "Examples:\n  kvorum role list";
const GRANT: &str = "\
Examples:
  kvorum role grant-permission readers read app/ --prefix
  kvorum role grant-permission writers readwrite a c   keys from a up to, but without, c";
const REVOKE: &str = "Examples:\n  kvorum role revoke-permission readers app/ --prefix";

/// Commands about roles.
#[derive(Args, Clone, Debug)]
pub struct Role {
    #[command(subcommand)]
    command: RoleCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum RoleCommand {
    /// Add a role, which allows nothing yet.
    #[command(after_long_help = ADD)]
    Add(With<Name>),
    /// Delete a role, and take it from every user.
    #[command(after_long_help = DELETE)]
    Delete(With<Name>),
    /// Show what a role allows.
    #[command(after_long_help = GET)]
    Get(With<Name>),
    /// List all roles.
    #[command(after_long_help = LIST)]
    List(With<Nothing>),
    /// Allow a role something on keys.
    #[command(after_long_help = GRANT)]
    GrantPermission(With<Grant>),
    /// Take a permission from a role.
    #[command(after_long_help = REVOKE)]
    RevokePermission(With<Revoke>),
}

#[derive(Args, Clone, Debug)]
struct Name {
    /// The role's name.
    name: String,
}

#[derive(Args, Clone, Debug)]
struct Grant {
    /// The role's name.
    name: String,
    /// What is allowed.
    #[arg(value_enum)]
    permission: Allowed,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Args, Clone, Debug)]
struct Revoke {
    /// The role's name.
    name: String,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Allowed {
    Read,
    Write,
    #[value(name = "readwrite")]
    ReadWrite,
}

pub(super) async fn run(role: Role, connector: &Connector) -> Result<(), Failure> {
    match role.command {
        RoleCommand::Add(with) => {
            let name = with.arguments.name;
            let text = format!("Role {name} created");
            let request = pb::AuthRoleAddRequest { name };
            change::<_, pb::AuthRoleAddResponse>("add", &request, &text, &connector.open(with.global).await?).await
        }
        RoleCommand::Delete(with) => {
            let role = with.arguments.name;
            let text = format!("Role {role} deleted");
            let request = pb::AuthRoleDeleteRequest { role };
            change::<_, pb::AuthRoleDeleteResponse>("delete", &request, &text, &connector.open(with.global).await?)
                .await
        }
        RoleCommand::Get(with) => {
            let connection = connector.open(with.global).await?;
            let name = with.arguments.name;
            let response = request_get(&connection.client, &name).await?;
            output::print(&said(
                connection.format,
                &view::plain(&response),
                &describe(&name, &response),
            )?)
        }
        RoleCommand::List(with) => {
            let connection = connector.open(with.global).await?;
            let response: pb::AuthRoleListResponse = connection
                .client
                .call("/v3/auth/role/list", &pb::AuthRoleListRequest {}, Repeat::Freely)
                .await?;
            let text = response.roles.join("\n");
            output::print(&said(connection.format, &view::plain(&response), &text)?)
        }
        RoleCommand::GrantPermission(with) => grant(with.arguments, &connector.open(with.global).await?).await,
        RoleCommand::RevokePermission(with) => revoke(with.arguments, &connector.open(with.global).await?).await,
    }
}

async fn grant(arguments: Grant, connection: &Connection) -> Result<(), Failure> {
    let Grant { name, permission, keys } = arguments;
    let text = format!("Role {name} updated");
    let request = pb::AuthRoleGrantPermissionRequest {
        name,
        perm: Some(allow(permission, &keys)),
    };
    change::<_, pb::AuthRoleGrantPermissionResponse>("grant", &request, &text, connection).await
}

async fn revoke(arguments: Revoke, connection: &Connection) -> Result<(), Failure> {
    let Revoke { name, keys } = arguments;
    let (key, range_end) = keys.span();
    let text = if range_end.is_empty() {
        format!("Permission of key {} is revoked from role {name}", shown(&key))
    } else {
        let span = span(&key, &range_end);
        format!("Permission of range {span} is revoked from role {name}")
    };
    let request = pb::AuthRoleRevokePermissionRequest {
        role: name,
        key,
        range_end,
    };
    change::<_, pb::AuthRoleRevokePermissionResponse>("revoke", &request, &text, connection).await
}

/// Makes a change and says that it is made.
async fn change<Q: Serialize, A: DeserializeOwned + Serialize>(
    verb: &str,
    request: &Q,
    text: &str,
    connection: &Connection,
) -> Result<(), Failure> {
    let path = format!("/v3/auth/role/{verb}");
    let response: A = connection.client.call(&path, request, Repeat::IfNotDone).await?;
    output::print(&said(connection.format, &view::plain(&response), text)?)
}

fn allow(allowed: Allowed, keys: &Keys) -> Permission {
    let (key, range_end) = keys.span();
    let kind = match allowed {
        Allowed::Read => permission::Type::Read,
        Allowed::Write => permission::Type::Write,
        Allowed::ReadWrite => permission::Type::Readwrite,
    };
    Permission {
        perm_type: kind.into(),
        key,
        range_end,
    }
}

/// A role's permissions.
pub(super) async fn request_get(client: &Client, name: &str) -> Result<pb::AuthRoleGetResponse, Error> {
    let request = pb::AuthRoleGetRequest { role: name.to_owned() };
    client.call("/v3/auth/role/get", &request, Repeat::Freely).await
}

/// What a role allows, as etcdctl shows it.
pub(super) fn describe(name: &str, role: &pb::AuthRoleGetResponse) -> String {
    use permission::Type;
    let mut text = format!("Role {name}");
    for (heading, kinds) in [
        ("KV Read:", [Type::Read, Type::Readwrite]),
        ("KV Write:", [Type::Write, Type::Readwrite]),
    ] {
        text.push_str(&format!("\n{heading}"));
        for allowed in role.perm.iter().filter(|allowed| kinds.contains(&allowed.perm_type())) {
            let keys = match allowed.range_end.is_empty() {
                true => shown(&allowed.key),
                false => span(&allowed.key, &allowed.range_end),
            };
            text.push_str(&format!("\n\t{keys}"));
        }
    }
    text
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A range, as etcdctl writes it.
fn span(key: &[u8], end: &[u8]) -> String {
    if end == ZERO {
        return format!("[{}, <open ended>", shown(key));
    }
    let prefix = if prefix_end(key) == end {
        format!(" (prefix {})", shown(key))
    } else {
        String::new()
    };
    format!("[{}, {}){prefix}", shown(key), shown(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_described_as_etcdctl_does() {
        let allowed = |kind: permission::Type, key: &'static str, end: &'static str| Permission {
            perm_type: kind.into(),
            key: key.into(),
            range_end: end.into(),
        };
        let role = pb::AuthRoleGetResponse {
            perm: vec![
                allowed(permission::Type::Write, "a", "c"),
                allowed(permission::Type::Read, "app/", "app0"),
                allowed(permission::Type::Readwrite, "key1", ""),
                allowed(permission::Type::Read, "z", "\0"),
            ],
            ..Default::default()
        };
        let expected =
            "Role r\nKV Read:\n\t[app/, app0) (prefix app/)\n\tkey1\n\t[z, <open ended>\nKV Write:\n\t[a, c)\n\tkey1";
        assert_eq!(describe("r", &role), expected);
    }
}
