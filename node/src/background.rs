//! Work that blocks, and files read and written beside requests: on threads, or under the feature `simulation`, where a
//! member has none, at once.

#[cfg(feature = "simulation")]
pub use crate::simulation::background::{File, both, run};
#[cfg(not(feature = "simulation"))]
pub use threads::{both, run};
#[cfg(not(feature = "simulation"))]
pub use tokio::fs::File;

#[cfg(not(feature = "simulation"))]
mod threads {
    //! On threads.

    use std::thread;

    use tokio::task::{JoinHandle, spawn_blocking};

    /// Does it on another thread.
    pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        spawn_blocking(work)
    }

    /// Does one, and the other beside it; nothing of the other where it panicked.
    pub fn both<A, B: Send>(one: impl FnOnce() -> A, other: impl FnOnce() -> Option<B> + Send) -> (A, Option<B>) {
        thread::scope(|scope| {
            let beside = scope.spawn(other);
            let one = one();
            (one, beside.join().ok().flatten())
        })
    }
}
