//! `kvorum user add | delete | get | list | passwd | grant-role | revoke-role`.

use clap::{Args, Subcommand};
use kvorum_api::authpb::UserAddOptions;
use kvorum_api::etcdserverpb as pb;
use kvorum_client::Repeat;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::output::{self, said};
use super::with::{Connector, Nothing, With};
use super::{Failure, password, view};

const ADD: &str = "\
Examples:
  kvorum user add alice                                asks for a password
  kvorum user add alice --interactive=false < file     the password from standard input
  kvorum user add alice --no-password                  only by the common name of a client certificate";
const DELETE: &str = "Examples:\n  kvorum user delete alice";
const GET: &str = "\
Examples:
  kvorum user get alice                                her roles
  kvorum user get alice --detail                       and what they allow";
const LIST: &str = "Examples:\n  kvorum user list";
const PASSWD: &str = "Examples:\n  kvorum user passwd alice                             asks for the new password";
const GRANT: &str = "Examples:\n  kvorum user grant-role alice readers";
const REVOKE: &str = "Examples:\n  kvorum user revoke-role alice readers";

/// Commands about users.
#[derive(Args, Clone, Debug)]
pub struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum UserCommand {
    /// Add a user.
    #[command(after_long_help = ADD)]
    Add(With<Add>),
    /// Delete a user.
    #[command(after_long_help = DELETE)]
    Delete(With<Name>),
    /// Show a user's roles.
    #[command(after_long_help = GET)]
    Get(With<Get>),
    /// List all users.
    #[command(after_long_help = LIST)]
    List(With<Nothing>),
    /// Give a user another password.
    #[command(after_long_help = PASSWD)]
    Passwd(With<Passwd>),
    /// Give a user a role.
    #[command(after_long_help = GRANT)]
    GrantRole(With<Role>),
    /// Take a role from a user.
    #[command(after_long_help = REVOKE)]
    RevokeRole(With<Role>),
}

#[derive(Args, Clone, Debug)]
struct Name {
    /// The user's name.
    name: String,
}

#[derive(Args, Clone, Debug)]
struct Add {
    /// The name, or name:password, which others on this machine can see.
    name: String,
    /// The password, which others on this machine can see.
    #[arg(long, conflicts_with = "no_password")]
    new_user_password: Option<String>,
    /// No password: this user is known by its certificate alone.
    #[arg(long)]
    no_password: bool,
    /// Ask for the password; without, it is read from standard input.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    interactive: bool,
}

#[derive(Args, Clone, Debug)]
struct Get {
    /// The user's name.
    name: String,
    /// Show what the roles allow as well.
    #[arg(long)]
    detail: bool,
}

#[derive(Args, Clone, Debug)]
struct Passwd {
    /// The user's name.
    name: String,
    /// Ask for the password; without, it is read from standard input.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    interactive: bool,
}

#[derive(Args, Clone, Debug)]
struct Role {
    /// The user's name.
    // Not `user`, which is the name of a flag of every command.
    #[arg(id = "whose", value_name = "USER")]
    user: String,
    /// The role's name.
    role: String,
}

pub(super) async fn run(user: User, connector: &Connector) -> Result<(), Failure> {
    match user.command {
        UserCommand::Add(with) => add(with.arguments, &connector.open(with.global).await?).await,
        UserCommand::Delete(with) => {
            let name = with.arguments.name;
            let text = format!("User {name} deleted");
            let request = pb::AuthUserDeleteRequest { name };
            change::<_, pb::AuthUserDeleteResponse>(
                "/v3/auth/user/delete",
                &request,
                &text,
                &connector.open(with.global).await?,
            )
            .await
        }
        UserCommand::Get(with) => get(&with.arguments, &connector.open(with.global).await?).await,
        UserCommand::List(with) => list(&connector.open(with.global).await?).await,
        UserCommand::Passwd(with) => {
            let connection = connector.open(with.global).await?;
            let name = with.arguments.name;
            let request = pb::AuthUserChangePasswordRequest {
                password: password::new(&name, with.arguments.interactive)?,
                name,
                ..Default::default()
            };
            change::<_, pb::AuthUserChangePasswordResponse>(
                "/v3/auth/user/changepw",
                &request,
                "Password updated",
                &connection,
            )
            .await
        }
        UserCommand::GrantRole(with) => {
            let Role { user, role } = with.arguments;
            let text = format!("Role {role} is granted to user {user}");
            let request = pb::AuthUserGrantRoleRequest { user, role };
            change::<_, pb::AuthUserGrantRoleResponse>(
                "/v3/auth/user/grant",
                &request,
                &text,
                &connector.open(with.global).await?,
            )
            .await
        }
        UserCommand::RevokeRole(with) => {
            let Role { user, role } = with.arguments;
            let text = format!("Role {role} is revoked from user {user}");
            let request = pb::AuthUserRevokeRoleRequest { name: user, role };
            change::<_, pb::AuthUserRevokeRoleResponse>(
                "/v3/auth/user/revoke",
                &request,
                &text,
                &connector.open(with.global).await?,
            )
            .await
        }
    }
}

/// Makes a change and says that it is made.
async fn change<Q: Serialize, A: DeserializeOwned + Serialize>(
    path: &str,
    request: &Q,
    text: &str,
    connection: &Connection,
) -> Result<(), Failure> {
    let response: A = connection.client.call(path, request, Repeat::IfNotDone).await?;
    output::print(&said(connection.format, &view::plain(&response), text)?)
}

async fn add(arguments: Add, connection: &Connection) -> Result<(), Failure> {
    let (name, given) = match arguments.name.split_once(':') {
        Some((name, password)) if arguments.new_user_password.is_none() && !arguments.no_password => {
            (name.to_owned(), Some(password.to_owned()))
        }
        _ => (arguments.name.clone(), arguments.new_user_password),
    };
    let password = match given {
        Some(password) => password,
        None if arguments.no_password => String::new(),
        None => password::new(&name, arguments.interactive)?,
    };
    let text = format!("User {name} created");
    let request = pb::AuthUserAddRequest {
        name,
        password,
        options: Some(UserAddOptions {
            no_password: arguments.no_password,
        }),
        ..Default::default()
    };
    change::<_, pb::AuthUserAddResponse>("/v3/auth/user/add", &request, &text, connection).await
}

async fn get(arguments: &Get, connection: &Connection) -> Result<(), Failure> {
    let name = arguments.name.clone();
    let mut text = format!("User: {name}");
    let request = pb::AuthUserGetRequest { name };
    let response: pb::AuthUserGetResponse = connection
        .client
        .call("/v3/auth/user/get", &request, Repeat::Freely)
        .await?;
    if arguments.detail {
        for role in &response.roles {
            let role = super::role::request_get(&connection.client, role)
                .await
                .map(|it| (role, it))?;
            text.push_str(&format!("\n{}", super::role::describe(role.0, &role.1)));
        }
    } else {
        text.push_str(&format!("\nRoles: {}", response.roles.join(" ")));
        text.truncate(text.trim_end().len());
    }
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}

async fn list(connection: &Connection) -> Result<(), Failure> {
    let response: pb::AuthUserListResponse = connection
        .client
        .call("/v3/auth/user/list", &pb::AuthUserListRequest {}, Repeat::Freely)
        .await?;
    let text = response.users.join("\n");
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}
