//! The program `kvorum`: reads the command line and hands over, to the server or to the commands that talk to one.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};
use kvorum::cli;
use kvorum::config::{Config, Settings};

/// A distributed, reliable key-value store: run a member of a cluster, or talk to one.
#[derive(Parser)]
#[command(name = "kvorum", version, after_help = cli::EXIT_CODES)]
struct Program {
    #[command(flatten)]
    global: cli::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a member of a cluster.
    Serve(Box<Settings>),
    #[command(flatten)]
    Client(Box<cli::Command>),
}

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    kvorum_faults::arm();
    kvorum::tls::install_provider();
    let Program { global, command } = Program::parse();
    match command {
        Command::Client(command) => cli::run(global, *command, Program::command()),
        Command::Serve(settings) => match serve(*settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Logging may not have started, and a wrong flag should be the last thing on the screen either way.
                let _ = writeln!(io::stderr(), "kvorum: {error:#}{}", next_step(&error));
                ExitCode::FAILURE
            }
        },
    }
}

/// What to do about what the system refused; our own errors say it themselves.
fn next_step(error: &anyhow::Error) -> &'static str {
    let kind = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<io::Error>() {
        Some(error) => Some(error.kind()),
        // Of the log, which tells all who wait of one failure.
        None => cause.downcast_ref::<Arc<io::Error>>().map(|error| error.kind()),
    };
    match error
        .chain()
        .any(|cause| kind(cause) == Some(io::ErrorKind::PermissionDenied))
    {
        true => ". The user that Kvorum runs as may not do that: see whose it is and what its mode allows",
        false => "",
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    let config = Config::from_settings(settings.with_file()?)?;
    kvorum::telemetry::start(&config.log)?;
    kvorum::telemetry::abort_on_panic();
    kvorum::server::run(config)
}
