//! A connection whose other side must begin soon: neither hyper's look for HTTP/2's preface nor a first request has a
//! bound of its own, and an open connection that says nothing takes the place of one that would.
//!
//! HTTP/2 has begun with its preface, after which it is asked now and then whether it is alive; HTTP/1.1 with its first
//! request. What comes later is bounded elsewhere.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that fails to be read when nothing was begun in time.
pub(super) struct Prompt<S> {
    stream: S,
    beginning: Option<Beginning>,
}

struct Beginning {
    /// Bytes of the preface that have come; `None` when something else has.
    preface: Option<usize>,
    /// A request has come.
    heard: Arc<AtomicBool>,
    end: Pin<Box<Sleep>>,
}

impl<S> Prompt<S> {
    /// Gives the other side `time` to begin; `heard` is set when there is a request.
    pub(super) fn new(stream: S, time: Duration, heard: Arc<AtomicBool>) -> Prompt<S> {
        Prompt {
            stream,
            beginning: Some(Beginning {
                preface: Some(0),
                heard,
                end: Box::pin(sleep(time)),
            }),
        }
    }
}

impl Beginning {
    fn has_begun(&self) -> bool {
        self.preface == Some(PREFACE.len()) || self.heard.load(Ordering::Relaxed)
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Some(seen) = self.preface else { return };
        let expected = &PREFACE[seen..];
        let compared = expected.len().min(bytes.len());
        self.preface = (expected[..compared] == bytes[..compared]).then_some(seen + compared);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(beginning) = this.beginning.as_mut().filter(|beginning| !beginning.has_begun()) else {
            this.beginning = None;
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        if beginning.end.as_mut().poll(context).is_ready() {
            let reason = "nothing was asked for a long time";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
        }
        let filled = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &read {
            beginning.hear(&buffer.filled()[filled..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    /// How a read ends that comes after these pieces and then finds nothing more.
    async fn end(pieces: &[&[u8]], is_heard: bool) -> &'static str {
        const TIME: Duration = Duration::from_millis(30);
        let (mut client, server) = duplex(64);
        let heard = Arc::new(AtomicBool::new(is_heard));
        let mut prompt = Prompt::new(server, TIME, heard);
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            let mut read = vec![0; piece.len()];
            prompt.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, piece);
        }
        match tokio::time::timeout(TIME * 20, prompt.read_u8()).await {
            Err(_) => "waits on",
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => "given up",
            Ok(other) => panic!("{other:?}"),
        }
    }

    #[test_case(&[], false => "given up"; "nothing")]
    #[test_case(&[b"PRI * HTTP"], false => "given up"; "half a preface")]
    #[test_case(&[b"PRI * HTTP", b"/2.0\r\n\r\nSM\r\n\r\n\0\0"], false => "waits on"; "a preface")]
    #[test_case(&[b"PRI * HTTP", b"/1.1\r\n\r\nSM\r\n\r\n\0\0"], false => "given up"; "no preface")]
    #[test_case(&[b"GET / HTTP/1.1\r\nhost:"], false => "given up"; "half a request")]
    #[test_case(&[b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"], true => "waits on"; "a request")]
    #[tokio::test]
    async fn whoever_has_not_begun_is_given_up(pieces: &[&[u8]], is_heard: bool) -> &'static str {
        end(pieces, is_heard).await
    }
}
