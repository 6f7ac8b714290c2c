//! Logs: what goes where, in which form.
//!
//! What it must keep true: nothing secret is ever a field of a log line (keys and Secrets have no printing form, see
//! `certs`); `info` tells every decision once, `debug` every pass.
//!
//! Deliberately not here: figures (`metrics`).

use tracing_subscriber::EnvFilter;

use crate::options::LogFormat;

/// What is logged when `RUST_LOG` says nothing: decisions, and the libraries' complaints.
const DEFAULT_FILTER: &str = "info,kube_client=warn,hyper_util=warn,tower=warn";

/// Starts logging to standard error.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
