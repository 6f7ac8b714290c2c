//! Work that blocks, done by the member's one thread: after a while, and then at once.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::delay;

/// A thread may have to wait for its turn for so long, in milliseconds.
const WAIT_MS: u64 = 20;

/// Does it, some time after it is waited for.
///
/// # Errors
/// Never; as a thread, which may panic.
pub async fn run<T>(work: impl FnOnce() -> T) -> Result<T, Infallible> {
    sleep(delay(WAIT_MS)).await;
    Ok(work())
}

/// Does one after the other.
pub fn both<A, B>(one: impl FnOnce() -> A, other: impl FnOnce() -> Option<B>) -> (A, Option<B>) {
    (one(), other())
}

/// A file as a stream.
#[derive(Debug)]
pub struct File(kvorum_files::File);

impl File {
    /// From an open file.
    #[must_use]
    pub fn from_std(file: kvorum_files::File) -> Self {
        Self(file)
    }
}

impl AsyncRead for File {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.0.read(buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for File {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
