//! Calls from other members.
//!
//! Must keep true: nothing is read before the greeting was accepted; a snapshot replaces nothing before all of it is
//! here and verified; a connection of a peer that misbehaves ends, and only that.

use std::io;

use futures::{Stream, StreamExt};
use openraft::raft::StreamAppendResult;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};

use super::frame::{self, Channel, Greeting, Hello, MAGIC};
use super::line;
use super::network::{Question, Response};
use super::snapshots::SnapshotFile;
use super::transfer::{self, Head};
use super::{Raft, Types};
use crate::service::Service;
use crate::tls::PeerStream;

const READ_BUFFER_BYTES: usize = 256 << 10;
const RESULTS_PER_FLUSH_MAX: usize = 64;

/// Serves one connection until it ends.
///
/// # Errors
/// The peer does not belong here, or the connection broke.
pub async fn serve(service: &Service, mut stream: PeerStream) -> io::Result<()> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a Kvorum peer"));
    }
    let hello: Hello = frame::expect(&mut stream).await?;
    let (cluster_id, member_id) = service.ids();
    let greeting = hello.judge(cluster_id, member_id);
    frame::send(&mut stream, &greeting).await?;
    if greeting != Greeting::Accepted {
        let Hello {
            cluster_id,
            from,
            to,
            channel: _,
        } = hello;
        let text = format!("member {from:016x} of cluster {cluster_id:016x} asked for member {to:016x}: {greeting:?}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let stream = service.counted(hello.from, stream);
    let raft = service.raft()?;
    match hello.channel {
        Channel::Append => append(raft, stream).await,
        Channel::Call => line::serve(stream, |question| answer(raft.clone(), question)).await,
        Channel::Transfer => snapshot(service, raft, stream).await,
        Channel::Snapshot => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it sends snapshots as builds before 0.1.0 did, from the first byte without asking; it must be upgraded too",
        )),
        Channel::Forward => line::serve(stream, |ask| service.clone().reply(ask)).await,
    }
}

async fn append(raft: &Raft, stream: PeerStream) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(stream);
    let requests = futures::stream::unfold(
        BufReader::with_capacity(READ_BUFFER_BYTES, reader),
        async |mut reader| match frame::receive(&mut reader).await {
            Ok(Some(request)) => Some((request, reader)),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!("a stream of entries ended: {error}");
                None
            }
        },
    );
    let mut writer = BufWriter::new(writer);
    let answered = append_results(raft.stream_append(Box::pin(requests)), &mut writer).await;
    // Said on every path: over TLS an end without a farewell looks like a broken connection to the leader.
    let ended = writer.shutdown().await;
    answered.and(ended)
}

async fn append_results<W, S, E>(results: S, writer: &mut W) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    S: Stream<Item = Result<StreamAppendResult<Types>, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut results = std::pin::pin!(results.ready_chunks(RESULTS_PER_FLUSH_MAX));
    let mut buffer = Vec::new();
    while let Some(batch) = results.next().await {
        buffer.clear();
        for result in batch {
            frame::push(&mut buffer, &result.map_err(io::Error::other)?)?;
        }
        writer.write_all(&buffer).await?;
        writer.flush().await?;
    }
    Ok(())
}

async fn answer(raft: Raft, question: Question) -> Response {
    let answered = match question {
        Question::Append(request) => raft.append_entries(request).await.map(Response::Append).map_err(text),
        Question::Vote(request) => raft.vote(request).await.map(Response::Vote).map_err(text),
        Question::PreVote(request) => raft.pre_vote(request).await.map(Response::Vote).map_err(text),
        Question::Transfer(request) => raft
            .handle_transfer_leader(request)
            .await
            .map(Response::Transfer)
            .map_err(text),
    };
    answered.unwrap_or_else(Response::Failed)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn snapshot(service: &Service, raft: &Raft, stream: PeerStream) -> io::Result<()> {
    let install = async |head: &Head, file: SnapshotFile| {
        let snapshot = openraft::alias::SnapshotOf::<Types, SnapshotFile> {
            meta: head.meta.clone(),
            snapshot: file,
        };
        let installed = raft.install_full_snapshot(head.vote, snapshot).await;
        installed.map_err(io::Error::other)
    };
    transfer::receive(stream, service.snapshots()?, install).await
}
