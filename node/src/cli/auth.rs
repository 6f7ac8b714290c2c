//! `kvorum auth enable | disable | status`.

use clap::{Args, Subcommand};
use kvorum_api::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse, AuthStatusRequest,
    AuthStatusResponse,
};
use kvorum_client::Repeat;

use super::output::{self, said};
use super::with::{Connector, Nothing, With};
use super::{Failure, view};

const ENABLE: &str = "\
Examples:
  kvorum user add root --new-user-password …
  kvorum role add root
  kvorum user grant-role root root
  kvorum auth enable                    from now on every request needs a user";
const DISABLE: &str = "\
Examples:
  kvorum auth disable --user root       asks for the password";
const STATUS: &str = "\
Examples:
  kvorum auth status                    whether it is on, and the revision of users and roles";

/// Commands about authentication.
#[derive(Args, Clone, Debug)]
pub struct Auth {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum AuthCommand {
    /// Demand a user for every request. There must be a user root with the role root.
    #[command(after_long_help = ENABLE)]
    Enable(With<Nothing>),
    /// Demand no user any more.
    #[command(after_long_help = DISABLE)]
    Disable(With<Nothing>),
    /// Show whether users are demanded.
    #[command(after_long_help = STATUS)]
    Status(With<Nothing>),
}

pub(super) async fn run(auth: Auth, connector: &Connector) -> Result<(), Failure> {
    match auth.command {
        AuthCommand::Enable(with) => {
            let connection = connector.open(with.global).await?;
            let response: AuthEnableResponse = connection
                .client
                .call("/v3/auth/enable", &AuthEnableRequest {}, Repeat::Freely)
                .await?;
            output::print(&said(
                connection.format,
                &view::plain(&response),
                "Authentication Enabled",
            )?)
        }
        AuthCommand::Disable(with) => {
            let connection = connector.open(with.global).await?;
            let response: AuthDisableResponse = connection
                .client
                .call("/v3/auth/disable", &AuthDisableRequest {}, Repeat::Freely)
                .await?;
            output::print(&said(
                connection.format,
                &view::plain(&response),
                "Authentication Disabled",
            )?)
        }
        AuthCommand::Status(with) => {
            let connection = connector.open(with.global).await?;
            let response: AuthStatusResponse = connection
                .client
                .call("/v3/auth/status", &AuthStatusRequest {}, Repeat::Freely)
                .await?;
            let text = format!(
                "Authentication Status: {}\nAuthRevision: {}",
                response.enabled, response.auth_revision
            );
            output::print(&said(connection.format, &view::plain(&response), &text)?)
        }
    }
}
