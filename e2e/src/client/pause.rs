//! The one place where the clients, and the scenarios that watch them, let time pass: between two looks at a condition,
//! after a failure, and for as long as a run was asked to take.

use std::time::Duration;

/// Lets this many milliseconds pass.
pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
