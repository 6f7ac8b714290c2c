//! The command line of people and scripts: keys, watches, leases, locks, members, users, snapshots.
//!
//! Flags, variables and the simple output format are etcdctl's, so that hands and scripts need not learn anew. What is
//! decided here is only what a command line means; asking a cluster is the client's business (`kvorum_client`).
//!
//! Every command follows the same three steps in its own file: arguments to request, request to response, response to
//! text. The first and the last are plain functions, so that tests need no server.

mod alarm;
mod auth;
mod bench;
mod check;
mod compact;
mod completion;
mod connection;
mod del;
mod endpoint;
mod failure;
mod get;
mod lease;
mod lock;
mod member;
mod move_leader;
mod output;
mod password;
mod put;
mod range;
mod role;
mod snapshot;
mod table;
mod txn;
mod user;
mod view;
mod watch;
mod with;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Subcommand;

pub use connection::Global;
pub use failure::Failure;
pub use output::Format;

use with::{Connector, With};

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
    /// Do one thing or another, all at once, as conditions hold or not.
    #[command(after_long_help = txn::EXAMPLES)]
    Txn(With<txn::Txn>),
    /// Print changes as they happen.
    #[command(after_long_help = watch::EXAMPLES)]
    Watch(With<watch::Watch>),
    /// Make leases, keep them alive, end them.
    Lease(lease::Lease),
    /// Hold a lock, alone or while a command runs.
    #[command(after_long_help = lock::LOCK)]
    Lock(With<lock::Lock>),
    /// Stand for election, or print who leads.
    #[command(after_long_help = lock::ELECT)]
    Elect(With<lock::Elect>),
    /// Forget the history before a revision.
    #[command(visible_alias = "compaction", after_long_help = compact::COMPACT)]
    Compact(With<compact::Compact>),
    /// Give space back to the file system.
    #[command(after_long_help = compact::DEFRAG)]
    Defrag(With<compact::Defrag>),
    /// Save the store into a file, and check such files.
    Snapshot(snapshot::Snapshot),
    /// Read all of a stopped member's data directory, and say what a node would do with it.
    #[command(after_long_help = check::EXAMPLES)]
    Check(With<check::Check>),
    /// Look at the members of the cluster, and change them.
    Member(member::Member),
    /// Look at the endpoints given with --endpoints.
    Endpoint(endpoint::Endpoint),
    /// Let another member lead.
    #[command(after_long_help = move_leader::EXAMPLES)]
    MoveLeader(With<move_leader::MoveLeader>),
    /// Look at alarms, and take them back.
    Alarm(alarm::Alarm),
    /// Demand users, or not.
    Auth(auth::Auth),
    /// Users and their roles.
    User(user::User),
    /// Roles and what they allow.
    Role(role::Role),
    /// Put load on a cluster, and say how fast it was answered. It writes keys, and removes them at the end.
    Bench(Box<bench::Bench>),
    /// Print the completions for a shell.
    #[command(after_long_help = completion::EXAMPLES)]
    Completion(completion::Completion),
}

/// Carries out a command. `before` are the flags that stood before its name; those after it win. `program` is the whole
/// command line, for completions.
pub fn run(before: Global, command: Command, program: clap::Command) -> ExitCode {
    let result = runtime(&command)
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(dispatch(before, command, program)));
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(message) = failure.message() {
        // Nothing is left to be done when even the error cannot be written.
        let _ = writeln!(std::io::stderr(), "Error: {message}");
    }
    ExitCode::from(failure.exit_code())
}

/// One thread is enough to ask and wait; load takes all there are.
fn runtime(command: &Command) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = match command {
        Command::Bench(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

async fn dispatch(before: Global, command: Command, program: clap::Command) -> Result<(), Failure> {
    let connector = Connector { before };
    match command {
        Command::Get(get) => get::run(&get.arguments, &connector.open(get.global).await?).await,
        Command::Put(put) => put::run(put.arguments, &connector.open(put.global).await?).await,
        Command::Del(del) => del::run(&del.arguments, &connector.open(del.global).await?).await,
        Command::Txn(with) => txn::run(with.arguments, &connector.open(with.global).await?).await,
        Command::Watch(with) => watch::run(&with.arguments, &connector.open(with.global).await?).await,
        Command::Lease(lease) => lease::run(lease, &connector).await,
        Command::Lock(with) => lock::lock(with.arguments, &connector.open(with.global).await?).await,
        Command::Elect(with) => lock::elect(with.arguments, &connector.open(with.global).await?).await,
        Command::Compact(with) => compact::compact(&with.arguments, &connector.open(with.global).await?).await,
        Command::Defrag(with) => compact::defrag(&with.arguments, &connector.open(with.global).await?).await,
        Command::Snapshot(snapshot) => snapshot::run(snapshot, &connector).await,
        Command::Check(with) => check::run(with, &connector),
        Command::Member(member) => member::run(member, &connector).await,
        Command::Endpoint(endpoint) => endpoint::run(endpoint, &connector).await,
        Command::MoveLeader(with) => move_leader::run(&with.arguments, &connector.open(with.global).await?).await,
        Command::Alarm(alarm) => alarm::run(alarm, &connector).await,
        Command::Auth(auth) => auth::run(auth, &connector).await,
        Command::User(user) => user::run(user, &connector).await,
        Command::Role(role) => role::run(role, &connector).await,
        Command::Bench(bench) => bench::run(*bench, &connector).await,
        Command::Completion(completion) => completion::run(&completion, program),
    }
}

#[cfg(test)]
mod tests;
