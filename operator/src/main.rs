//! The operator's process: start, leadership, orderly stop.
//!
//! What it must keep true: nothing is written to a cluster before the lease is held; when the lease is lost the process
//! ends at once; at an orderly stop passes in flight end first, then the lease is given back.
//!
//! Deliberately not here: anything about clusters (`controller`).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config};
use kvorum_operator::controller::{self, Context};
use kvorum_operator::leader::election::Timing;
use kvorum_operator::leader::{Candidate, Leadership};
use kvorum_operator::metrics::{self, Metrics};
use kvorum_operator::options::{Command, CommandLine, RunOptions};
use kvorum_operator::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long passes in flight may take to end at a stop. Kubernetes kills the process after 30 s by default.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Bound on connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Random octets in this process's identity.
const IDENTITY_BYTES: usize = 4;

fn main() -> ExitCode {
    let options = match CommandLine::parse() {
        CommandLine {
            command: Some(Command::Run(options)),
            ..
        }
        | CommandLine {
            command: None,
            run: options,
        } => options,
    };
    // First of all: rustls looks for its provider at the first connection, and there must be exactly one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    telemetry::start(options.log_format);
    let runtime = tokio::runtime::Runtime::new().context("no runtime");
    match runtime.and_then(|runtime| runtime.block_on(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: RunOptions) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let mut config = Config::infer()
        .await
        .context("neither in a cluster nor with a KUBECONFIG")?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let lease_namespace = options
        .lease_namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("no client for the API server")?;
    let identity = identity(options.identity.as_deref())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity,
        lease_namespace,
        "started"
    );

    let leases: Api<Lease> = Api::namespaced(client.clone(), &lease_namespace);
    let mut candidate = Candidate::new(leases, &options.lease_name, &identity, Timing::default());
    let leadership = candidate.leadership();
    let metrics = Arc::new(Metrics::default());
    serve_metrics(&options, &metrics, &leadership, &stop).await?;

    tokio::select! {
        () = candidate.acquire() => tracing::info!("leads"),
        () = stop.cancelled() => return Ok(()),
    }
    let context = Arc::new(Context::new(client, metrics, leadership, &options, &identity));
    lead(&mut candidate, context, &options, stop).await
}

/// Works until told to stop, or until the lease is lost.
async fn lead(
    candidate: &mut Candidate,
    context: Arc<Context>,
    options: &RunOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let work = controller::run(context, &options.namespaces, options.concurrency, stop.clone());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    let kept = tokio::select! {
        () = candidate.keep() => false,
        () = work => true,
        () = drained => true,
    };
    if !kept {
        tracing::error!("lost the lease: another replica may lead now, so this process ends at once");
        // Not an orderly return: nothing that was started under the lost leadership may go on, not even for a moment.
        std::process::exit(1);
    }
    candidate.release().await;
    anyhow::ensure!(stop.is_cancelled(), "the watches ended by themselves");
    tracing::info!("stopped in order");
    Ok(())
}

async fn serve_metrics(
    options: &RunOptions,
    metrics: &Arc<Metrics>,
    leadership: &Leadership,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let address = options.metrics_addr;
    let listener = metrics::server::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    tokio::spawn(metrics::server::serve(
        listener,
        metrics.clone(),
        leadership.clone(),
        stop.clone(),
    ));
    Ok(())
}

/// A token that is cancelled by SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("told to stop");
        cancelled.cancel();
    });
    Ok(stop)
}

/// This process's name: a new one for every process, so that a restarted one is not taken for the one before it.
fn identity(given: Option<&str>) -> anyhow::Result<String> {
    let mut random = [0; IDENTITY_BYTES];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "kvorum-operator".to_owned());
    Ok(format!("{}_{}", given.unwrap_or(&host), hex::encode(random)))
}
