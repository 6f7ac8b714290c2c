//! SIGTERM and SIGINT: the first asks the process to stop in order, the second ends it at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice.
pub const IMPATIENT_EXIT_CODE: i32 = 130;

/// Cancels `stop` at the first signal.
///
/// # Errors
/// The system does not let us listen to signals.
pub fn cancel_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("told to stop");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("told to stop again: ending at once");
        std::process::exit(IMPATIENT_EXIT_CODE);
    });
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
