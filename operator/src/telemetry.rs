//! Logs: what goes where, in which form.
//!
//! What it must keep true: nothing secret is ever a field of a log line (keys and Secrets have no printing form, see
//! `certs`); `info` tells every decision once, `debug` every pass.
//!
//! Deliberately not here: figures (`metrics`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::options::LogFormat;

/// What the libraries may say: complaints only, unless RUST_LOG asks one of them for more.
const LIBRARIES: &str = "kube_client=warn,kube_runtime=warn,hyper_util=warn,tower=warn,rustls=warn";
/// What is logged when `RUST_LOG` says nothing: decisions.
const USUAL: &str = "info";

/// Starts logging to standard error.
pub fn start(format: LogFormat) {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.is_empty());
    let asked = asked.unwrap_or_else(|| USUAL.to_owned());
    // Later directives win, so that RUST_LOG can ask a library for more.
    let filter = EnvFilter::new(format!("{LIBRARIES},{asked}"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
