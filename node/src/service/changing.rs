//! Turns at changing the membership: one change at a time, since consensus refuses a change beside another.
//!
//! Must keep true: nobody waits for a turn without an end. Each change may take as long as a request, so a few that meet
//! silent members take longer than any caller waits; whoever gets no turn changed nothing, and may ask again.

use std::time::Duration;

use kvorum_api::error::Refusal;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::{REQUEST_TIME_MAX, Service};

impl Service {
    /// The turn to change the membership, had until it is dropped.
    ///
    /// # Errors
    /// It did not come within [`super::REQUEST_MS_MAX`].
    pub(super) async fn turn(&self) -> Result<MutexGuard<'_, ()>, Refusal> {
        turn(&self.inner.changing, REQUEST_TIME_MAX).await
    }
}

async fn turn(changing: &Mutex<()>, wait_max: Duration) -> Result<MutexGuard<'_, ()>, Refusal> {
    timeout(wait_max, changing.lock()).await.map_err(|_| Refusal::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_that_hangs_holds_nobody_up_for_ever() {
        let changing = Mutex::default();
        let hanging = turn(&changing, REQUEST_TIME_MAX).await.unwrap();
        let asked = turn(&changing, Duration::from_millis(20));
        // Far longer than it may take, and far shorter than for ever.
        let answer = timeout(REQUEST_TIME_MAX, asked).await.expect("an answer");
        assert_eq!(answer.map(drop), Err(Refusal::Timeout));
        drop(hanging);
        assert!(
            turn(&changing, REQUEST_TIME_MAX).await.is_ok(),
            "the next one has its turn"
        );
    }
}
