//! A line between two members: many questions under way at once on one connection, answered in whatever order they are
//! done.
//!
//! Must keep true: a question is sent at most once. An asker that gives up leaves the line whole: its answer is dropped
//! when it comes. When the connection breaks, whoever still waits learns that the question may have been heard
//! ([`LineError::Lost`]); only what surely never left is reported as [`LineError::NotSent`].

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt, Stream, StreamExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::frame;

/// Questions of one line worked on at once; more wait in the connection.
const UNDER_WAY_MAX: usize = 4_096;
/// Frames written before one flush.
const FRAMES_PER_FLUSH_MAX: usize = 64;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The question never left: asking again is safe.
    #[error("the question could not be sent")]
    NotSent,
    /// The connection broke after the question may have left.
    #[error("the connection broke before the answer came")]
    Lost,
}

#[derive(Serialize, Deserialize)]
struct Numbered<T> {
    number: u64,
    body: T,
}

type Pending<Q, A> = (Q, oneshot::Sender<A>);
type Waiting<A> = Arc<Mutex<BTreeMap<u64, oneshot::Sender<A>>>>;

/// The asking end. Clones share the connection, which ends with the last of them.
#[derive(Debug)]
pub struct Line<Q, A> {
    sender: mpsc::Sender<Pending<Q, A>>,
}

impl<Q, A> Clone for Line<Q, A> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
        }
    }
}

impl<Q, A> Line<Q, A>
where
    Q: Serialize + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
{
    /// Takes a greeted connection into use.
    pub fn start<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Self {
        let (sender, questions) = mpsc::channel(UNDER_WAY_MAX);
        tokio::spawn(run(stream, questions));
        Self { sender }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks and waits for the answer, as long as the connection lasts.
    ///
    /// # Errors
    /// The connection broke; the error tells whether the question may have been heard.
    pub async fn ask(&self, question: Q) -> Result<A, LineError> {
        let (sender, receiver) = oneshot::channel();
        self.sender
            .send((question, sender))
            .await
            .map_err(|_| LineError::NotSent)?;
        receiver.await.map_err(|_| LineError::Lost)
    }
}

/// Writes questions and hands out answers until either side ends. Who still waits then learns that it is lost, because
/// the sender of its answer is dropped.
async fn run<S, Q, A>(stream: S, questions: mpsc::Receiver<Pending<Q, A>>)
where
    S: AsyncRead + AsyncWrite,
    Q: Serialize,
    A: DeserializeOwned,
{
    let (reader, writer) = tokio::io::split(stream);
    let waiting = Waiting::default();
    let ended = tokio::select! {
        result = write_questions(writer, questions, &waiting) => result,
        result = read_answers(reader, &waiting) => result,
    };
    if let Err(error) = ended {
        tracing::debug!("a line to another member ended: {error}");
    }
}

async fn write_questions<Q: Serialize, A>(
    writer: impl AsyncWrite + Unpin,
    questions: mpsc::Receiver<Pending<Q, A>>,
    waiting: &Waiting<A>,
) -> io::Result<()> {
    let mut writer = BufWriter::new(writer);
    let mut batches = ReceiverStream::new(questions).ready_chunks(FRAMES_PER_FLUSH_MAX);
    let mut next = 0_u64;
    let mut buffer = Vec::new();
    while let Some(batch) = batches.next().await {
        buffer.clear();
        for (body, sender) in batch {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(next, sender);
            frame::push(&mut buffer, &Numbered { number: next, body })?;
            next += 1;
        }
        writer.write_all(&buffer).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

async fn read_answers<A: DeserializeOwned>(reader: impl AsyncRead + Unpin, waiting: &Waiting<A>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    while let Some(Numbered { number, body }) = frame::receive(&mut reader).await? {
        let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(sender) = sender {
            // The asker may have given up; then nobody wants to know.
            let _ = sender.send(body);
        }
    }
    Ok(())
}

/// The answering end: serves a connection until the asker hangs up.
///
/// # Errors
/// The connection broke.
pub async fn serve<S, Q, A, F>(stream: S, answer: impl Fn(Q) -> F) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    let (reader, writer) = tokio::io::split(stream);
    let answers = questions(reader)
        .map(|Numbered { number, body }| answer(body).map(move |body| Numbered { number, body }))
        .buffer_unordered(UNDER_WAY_MAX);
    let mut answers = std::pin::pin!(answers.ready_chunks(FRAMES_PER_FLUSH_MAX));
    let mut writer = BufWriter::new(writer);
    let mut buffer = Vec::new();
    while let Some(batch) = answers.next().await {
        buffer.clear();
        for answer in &batch {
            frame::push(&mut buffer, answer)?;
        }
        writer.write_all(&buffer).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

fn questions<Q: DeserializeOwned>(reader: impl AsyncRead + Unpin) -> impl Stream<Item = Numbered<Q>> {
    futures::stream::unfold(
        BufReader::with_capacity(READ_BUFFER_BYTES, reader),
        async |mut reader| match frame::receive(&mut reader).await {
            Ok(Some(question)) => Some((question, reader)),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!("a line of another member ended: {error}");
                None
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_asker_that_gives_up_leaves_the_line_whole() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let deaf_to_zero = async |question: u64| match question {
            0 => std::future::pending().await,
            question => question + 1,
        };
        tokio::spawn(serve(far, deaf_to_zero));
        let line: Line<u64, u64> = Line::start(near);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), line.ask(0))
                .await
                .is_err()
        );
        assert_eq!(line.ask(7).await, Ok(8));
        assert!(!line.is_closed());
    }

    #[tokio::test]
    async fn a_broken_line_says_that_the_question_may_have_been_heard() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let line: Line<u64, u64> = Line::start(near);
        let asked = tokio::spawn({
            let line = line.clone();
            async move { line.ask(1).await }
        });
        let mut far = far;
        let mut header = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut far, &mut header)
            .await
            .unwrap();
        drop(far);
        assert_eq!(asked.await.unwrap(), Err(LineError::Lost));
        assert_eq!(line.ask(2).await, Err(LineError::NotSent));
    }
}
