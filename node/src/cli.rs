//! The command line of people and scripts: `kvorum get`, `put`, `del`, `member list`, `endpoint status|health`.
//!
//! Flags, variables and the simple output format are etcdctl's, so that hands and scripts need not learn anew. What is
//! decided here is only what a command line means; asking a cluster is the client's business (`kvorum_client`).
//!
//! Every command follows the same three steps in its own file: arguments to request, request to response, response to
//! text. The first and the last are plain functions, so that tests need no server.

mod connection;
mod del;
mod duration;
mod endpoint;
mod failure;
mod get;
mod member;
mod output;
mod put;
mod range;
mod table;
mod view;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

pub use connection::Global;
pub use failure::Failure;
pub use output::Format;

use connection::Connection;

/// What the exit codes mean, for the end of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done; a key that does not exist prints nothing and is no error
  1  the request was refused
  2  the command line, a file or a variable makes no sense
  3  no member could be reached, or none answered in time";

/// Commands that talk to a cluster.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Read a key or a range of keys.
    Get(get::Get),
    /// Write a key.
    Put(put::Put),
    /// Delete a key or a range of keys.
    Del(del::Del),
    /// Look at the members of the cluster.
    Member(member::Member),
    /// Look at the endpoints given with --endpoints.
    Endpoint(endpoint::Endpoint),
}

/// Carries out a command. `before` are the flags that stood before its name; those after it win.
pub fn run(before: Global, command: Command) -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(dispatch(before, command)));
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(message) = failure.message() {
        // Nothing is left to be done when even the error cannot be written.
        let _ = writeln!(std::io::stderr(), "Error: {message}");
    }
    ExitCode::from(failure.exit_code())
}

async fn dispatch(before: Global, command: Command) -> Result<(), Failure> {
    let connect = |global: Global| Connection::new(global.or(before), |name| std::env::var_os(name));
    match command {
        Command::Get(get) => get::run(&get.arguments, &connect(get.global)?).await,
        Command::Put(put) => put::run(put.arguments, &connect(put.global)?).await,
        Command::Del(del) => del::run(&del.arguments, &connect(del.global)?).await,
        Command::Member(member::Member {
            command: member::MemberCommand::List(global),
        }) => member::run(&connect(global)?).await,
        Command::Endpoint(endpoint::Endpoint { command }) => match command {
            endpoint::EndpointCommand::Status(which) => endpoint::status(which.cluster, &connect(which.global)?).await,
            endpoint::EndpointCommand::Health(which) => endpoint::health(which.cluster, &connect(which.global)?).await,
        },
    }
}

#[cfg(test)]
mod tests;
