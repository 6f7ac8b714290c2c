//! Watching the certificate files: by content, every few seconds, and at once on SIGHUP.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::{Tls, TlsError};
use crate::telemetry::in_full;

/// How often the files are read. A mounted Secret itself takes tens of seconds to change; reading six small files is
/// cheap.
pub const POLL: Duration = Duration::from_secs(5);

/// Counts for the metrics page.
#[derive(Debug, Default)]
pub struct Counts {
    /// Times that changed files were taken into use.
    pub reloads: AtomicU64,
    /// Times that files could not be read or used.
    pub failures: AtomicU64,
}

/// Looks for changed files from now on, for as long as the process runs.
///
/// # Errors
/// SIGHUP cannot be listened to.
pub fn start(tls: Tls) -> io::Result<Arc<Counts>> {
    let counts = Arc::new(Counts::default());
    tokio::spawn(watch(tls, signal(SignalKind::hangup())?, Arc::clone(&counts)));
    Ok(counts)
}

async fn watch(tls: Tls, mut hang_up: Signal, counts: Arc<Counts>) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_failures: [Option<String>; 2] = [None, None];
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = hang_up.recv() => tracing::info!("SIGHUP: reading the certificates again"),
        }
        look(&tls, &counts, &mut last_failures).await;
    }
}

async fn look(tls: &Tls, counts: &Counts, last_failures: &mut [Option<String>; 2]) {
    let tls = tls.clone();
    let looked = tokio::task::spawn_blocking(move || {
        (
            tls.client.as_ref().map(|port| port.reload()),
            tls.peer.as_ref().map(|port| port.reload()),
        )
    });
    let (client, peer) = looked
        .await
        .expect("reading files does not panic, and nobody aborts the task");
    let [client_failure, peer_failure] = last_failures;
    report("client", client, counts, client_failure);
    report("peer", peer, counts, peer_failure);
}

/// Counts every outcome, and logs it once: a bad file is bad again at every look.
fn report(port: &str, outcome: Option<Result<bool, TlsError>>, counts: &Counts, last_failure: &mut Option<String>) {
    match outcome {
        None => {}
        Some(Ok(false)) => *last_failure = None,
        Some(Ok(true)) => {
            *last_failure = None;
            counts.reloads.fetch_add(1, Ordering::Relaxed);
            tracing::info!(port, "new certificates are in use");
        }
        Some(Err(error)) => {
            counts.failures.fetch_add(1, Ordering::Relaxed);
            let text = in_full(&error);
            if last_failure.as_ref() != Some(&text) {
                tracing::error!(
                    port,
                    error = text,
                    "changed certificates cannot be used; the old ones stay in use"
                );
                *last_failure = Some(text);
            }
        }
    }
}
