//! The program `kvorum`: reads the command line and hands over.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use kvorum::config::{Config, Settings};

/// A distributed, reliable key-value store.
#[derive(Parser)]
#[command(name = "kvorum", version)]
enum Program {
    /// Run a member of a cluster.
    Serve(Box<Settings>),
}

fn main() -> ExitCode {
    kvorum::tls::install_provider();
    let result = match Program::parse() {
        Program::Serve(settings) => serve(*settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have started, and a wrong flag should be the last thing on the screen either way.
            let _ = writeln!(std::io::stderr(), "kvorum: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    let config = Config::from_settings(settings.with_file()?)?;
    kvorum::telemetry::start(&config.log)?;
    kvorum::telemetry::abort_on_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(kvorum::server::run(config))
}
