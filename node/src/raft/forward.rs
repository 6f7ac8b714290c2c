//! Proposals and read-index questions that a follower passes on to the leader: many at once on one connection.
//!
//! Must keep true: a proposal is passed on at most once. When the connection breaks before the answer, the outcome is
//! unknown and the caller is told so ([`ForwardError::Lost`]); only what was surely never sent may be tried again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use kvorum_api::error::Refusal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::frame::{self, Channel};
use super::peers::Dialler;
use super::{Answer, MemberNode};
use crate::service::Service;
use crate::tls::PeerStream;

/// Requests of one follower that the leader works on at once; more wait in the connection.
const UNDER_WAY_MAX: usize = 4_096;
/// Frames written before one flush.
const FRAMES_PER_FLUSH_MAX: usize = 64;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// What a follower asks of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Replicate this encoded command.
    Propose(Bytes),
    /// Which index must I have applied to answer a linearizable read?
    ReadIndex,
    /// Clients reach this member here; please have the membership say so.
    ClientUrls {
        /// The member.
        member_id: u64,
        /// Its client URLs.
        client_urls: Vec<String>,
    },
}

/// What the leader says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// The command was applied.
    Answer(Answer),
    /// Apply up to here, then answer.
    ReadIndex(u64),
    /// What was asked is done, and there is nothing to tell.
    Done,
    /// Nothing was done: I do not lead.
    NotLeader,
    /// It was tried and failed.
    Failed(#[serde(with = "super::answer::refusal")] Refusal),
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardError {
    /// The request never left: trying again is safe.
    NotSent,
    /// The connection broke after the request may have left: the outcome is unknown.
    Lost,
}

#[derive(Serialize, Deserialize)]
struct Numbered<T> {
    number: u64,
    body: T,
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>>;

/// The connection to whoever leads now.
pub struct Forwarder {
    dialler: Arc<Dialler>,
    current: tokio::sync::Mutex<Option<Line>>,
}

#[derive(Clone)]
struct Line {
    leader_id: u64,
    sender: mpsc::Sender<(Ask, oneshot::Sender<Reply>)>,
}

impl Forwarder {
    /// Forwards by way of `dialler`.
    pub fn new(dialler: Arc<Dialler>) -> Self {
        Self {
            dialler,
            current: tokio::sync::Mutex::new(None),
        }
    }

    /// Asks the leader.
    ///
    /// # Errors
    /// The leader could not be reached, or the connection broke before it replied.
    pub async fn ask(&self, leader_id: u64, node: &MemberNode, ask: Ask) -> Result<Reply, ForwardError> {
        let line = self.line(leader_id, node).await?;
        let (sender, receiver) = oneshot::channel();
        line.sender
            .send((ask, sender))
            .await
            .map_err(|_| ForwardError::NotSent)?;
        receiver.await.map_err(|_| ForwardError::Lost)
    }

    async fn line(&self, leader_id: u64, node: &MemberNode) -> Result<Line, ForwardError> {
        let mut current = self.current.lock().await;
        if let Some(line) = current.as_ref()
            && line.leader_id == leader_id
            && !line.sender.is_closed()
        {
            return Ok(line.clone());
        }
        let stream = self
            .dialler
            .dial(leader_id, node, Channel::Forward)
            .await
            .map_err(|error| {
                tracing::debug!("the leader {leader_id:016x} cannot be reached: {error}");
                ForwardError::NotSent
            })?;
        let (sender, receiver) = mpsc::channel(UNDER_WAY_MAX);
        tokio::spawn(run_line(stream, receiver));
        let line = Line { leader_id, sender };
        *current = Some(line.clone());
        Ok(line)
    }
}

/// Writes requests and hands out replies until either side ends. What still waits then learns that it is lost, because
/// its sender is dropped.
async fn run_line(stream: PeerStream, requests: mpsc::Receiver<(Ask, oneshot::Sender<Reply>)>) {
    let (reader, writer) = tokio::io::split(stream);
    let waiting = Waiting::default();
    let ended = tokio::select! {
        result = write_asks(writer, requests, &waiting) => result,
        result = read_replies(reader, &waiting) => result,
    };
    if let Err(error) = ended {
        tracing::debug!("the connection to the leader ended: {error}");
    }
}

async fn write_asks(
    writer: WriteHalf<PeerStream>,
    requests: mpsc::Receiver<(Ask, oneshot::Sender<Reply>)>,
    waiting: &Waiting,
) -> io::Result<()> {
    let mut writer = BufWriter::new(writer);
    let mut batches = ReceiverStream::new(requests).ready_chunks(FRAMES_PER_FLUSH_MAX);
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
    Ok(())
}

async fn read_replies(reader: ReadHalf<PeerStream>, waiting: &Waiting) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    while let Some(Numbered { number, body }) = frame::receive(&mut reader).await? {
        let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(sender) = sender {
            // The caller may have given up; then nobody wants to know.
            let _ = sender.send(body);
        }
    }
    Ok(())
}

/// The leader's side: answers what a follower passes on, in whatever order it is done.
///
/// # Errors
/// The connection broke.
pub async fn serve(service: &Service, stream: PeerStream) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(stream);
    let replies = requests(reader)
        .map(|Numbered { number, body }| async move {
            Numbered {
                number,
                body: service.reply(body).await,
            }
        })
        .buffer_unordered(UNDER_WAY_MAX);
    let mut replies = std::pin::pin!(replies.ready_chunks(FRAMES_PER_FLUSH_MAX));
    let mut writer = BufWriter::new(writer);
    let mut buffer = Vec::new();
    while let Some(batch) = replies.next().await {
        buffer.clear();
        for reply in &batch {
            frame::push(&mut buffer, reply)?;
        }
        writer.write_all(&buffer).await?;
        writer.flush().await?;
    }
    Ok(())
}

fn requests(reader: ReadHalf<PeerStream>) -> impl Stream<Item = Numbered<Ask>> {
    futures::stream::unfold(
        BufReader::with_capacity(READ_BUFFER_BYTES, reader),
        async |mut reader| match frame::receive(&mut reader).await {
            Ok(Some(request)) => Some((request, reader)),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!("a follower's connection ended: {error}");
                None
            }
        },
    )
}
