//! Calls to other members, as openraft makes them.
//!
//! Must keep true: entries, questions and snapshots travel on connections of their own; the writer of a stream lives
//! inside the stream that openraft drives, since one that outlived it would take entries that nobody answers for.

use std::future::Future;
use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};

use super::frame::{self, Channel};
use super::peers::Dialler;
use super::snapshots::{Meta, SnapshotFile};
use super::{MemberNode, Types};
use crate::tls::PeerStream;

/// Requests written before one flush: what gathered while the last flush was under way.
const REQUESTS_PER_FLUSH_MAX: usize = 64;
const WRITE_BUFFER_BYTES: usize = 256 << 10;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// A question on a `Call` connection.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// Heartbeat, or entries outside a stream.
    Append(AppendEntriesRequest<Types>),
    /// Will you vote for me?
    Vote(VoteRequest<Types>),
    /// Would you vote for me?
    PreVote(VoteRequest<Types>),
    /// Lead, please.
    Transfer(TransferLeaderRequest<Types>),
}

/// The head of a snapshot connection; the file's bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct SnapshotHead {
    /// The leader's vote.
    pub vote: VoteOf<Types>,
    /// Position and membership.
    pub meta: Meta,
    /// Length of the file, in bytes.
    pub bytes: u64,
}

/// Makes the links to other members.
#[derive(Clone)]
pub struct Network {
    dialler: Arc<Dialler>,
}

/// A link to one member, for one of openraft's purposes.
pub struct Link {
    dialler: Arc<Dialler>,
    target: u64,
    node: MemberNode,
    call: Option<PeerStream>,
}

impl Network {
    /// Links by way of `dialler`.
    pub fn new(dialler: Arc<Dialler>) -> Self {
        Self { dialler }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> Link {
        Link {
            dialler: Arc::clone(&self.dialler),
            target,
            node: node.clone(),
            call: None,
        }
    }
}

impl Link {
    /// Asks one question. A connection that fails is dropped; the next question dials anew.
    async fn ask<T: DeserializeOwned>(
        &mut self,
        question: &Question,
        option: &RPCOption,
    ) -> Result<T, RPCError<Types>> {
        let asking = async {
            let mut stream = match self.call.take() {
                Some(stream) => stream,
                None => self.dialler.dial(self.target, &self.node, Channel::Call).await?,
            };
            frame::send(&mut stream, question).await?;
            let answer = frame::expect(&mut stream).await?;
            Ok::<_, io::Error>((answer, stream))
        };
        match tokio::time::timeout(option.hard_ttl(), asking).await {
            Ok(Ok((answer, stream))) => {
                self.call = Some(stream);
                Ok(answer)
            }
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(unreachable(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn send_snapshot(
        &self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
    ) -> io::Result<SnapshotResponse<Types>> {
        let mut stream = self.dialler.dial(self.target, &self.node, Channel::Snapshot).await?;
        let bytes = snapshot.snapshot.len()?;
        frame::send(
            &mut stream,
            &SnapshotHead {
                vote,
                meta: snapshot.meta,
                bytes,
            },
        )
        .await?;
        let mut file = tokio::fs::File::from_std(std::fs::File::open(&snapshot.snapshot.path)?);
        let sent = tokio::io::copy(&mut file, &mut stream).await?;
        if sent != bytes {
            return Err(io::Error::other(format!(
                "the snapshot has {bytes} bytes but {sent} were read"
            )));
        }
        stream.flush().await?;
        frame::expect(&mut stream).await
    }
}

fn unreachable(error: io::Error) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&error))
}

type AppendResults<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.ask(&Question::Append(rpc), &option).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let stream = self
                .dialler
                .dial(self.target, &self.node, Channel::Append)
                .await
                .map_err(unreachable)?;
            let (reader, writer) = tokio::io::split(stream);
            let writing = futures::stream::once(write_requests(input, writer)).filter_map(async |_| None);
            let reading = futures::stream::try_unfold(BufReader::with_capacity(READ_BUFFER_BYTES, reader), next_result);
            Ok(Box::pin(futures::stream::select(reading, writing)) as AppendResults<'s>)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(&Question::Vote(rpc), &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(&Question::PreVote(rpc), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            sent = self.send_snapshot(vote, snapshot) => {
                sent.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.ask(&Question::Transfer(request), &option).await
    }
}

/// Writes requests until the input ends or the connection breaks; the reader then sees the end of the connection.
async fn write_requests<S>(input: S, writer: tokio::io::WriteHalf<PeerStream>)
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    let mut writer = BufWriter::with_capacity(WRITE_BUFFER_BYTES, writer);
    let mut batches = input.ready_chunks(REQUESTS_PER_FLUSH_MAX);
    let mut buffer = Vec::new();
    while let Some(requests) = batches.next().await {
        buffer.clear();
        for request in &requests {
            if let Err(error) = frame::push(&mut buffer, request) {
                tracing::error!("a log entry cannot be sent: {error}");
                return;
            }
        }
        if writer.write_all(&buffer).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    // The peer may have gone already, and then there is nobody to tell.
    let _ = writer.shutdown().await;
}

type ResultReader = BufReader<tokio::io::ReadHalf<PeerStream>>;

async fn next_result(
    mut reader: ResultReader,
) -> Result<Option<(StreamAppendResult<Types>, ResultReader)>, RPCError<Types>> {
    match reader.fill_buf().await {
        Ok(bytes) if bytes.is_empty() => return Ok(None),
        Ok(_) => {}
        // A peer that died between two frames without a TLS farewell: the end all the same, nothing was cut in two.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(unreachable(error)),
    }
    let result = frame::expect(&mut reader).await.map_err(unreachable)?;
    Ok(Some((result, reader)))
}
