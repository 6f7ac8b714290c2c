//! A port's accept loops, one per address, stopped together.

use std::future::Future;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Accept loops that run until [`Loops::stop`].
#[derive(Default)]
pub struct Loops {
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Loops {
    /// Starts one; `serve` must return soon after the token it is given is cancelled.
    pub fn start<Serving>(&mut self, serve: impl FnOnce(CancellationToken) -> Serving)
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(serve(self.stop.clone()));
    }

    /// Stops them all and waits until what was under way is done or given up.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.join_all().await;
    }
}
