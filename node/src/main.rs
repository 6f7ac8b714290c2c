//! The program `kvorum`: reads the command line and hands over, to the server or to the commands that talk to one.

use std::io::Write as _;
use std::process::ExitCode;

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
                let _ = writeln!(std::io::stderr(), "kvorum: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    let config = Config::from_settings(settings.with_file()?)?;
    kvorum::telemetry::start(&config.log)?;
    kvorum::telemetry::abort_on_panic();
    kvorum::server::run(config)
}
