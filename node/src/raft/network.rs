//! Calls to other members, as openraft makes them.
//!
//! Openraft bounds each question's time itself and gives up by dropping the future; nothing here may depend on being
//! polled to the end.
//!
//! Must keep true: entries, questions and snapshots travel on connections of their own; the writer of a stream lives
//! inside the stream that openraft drives, since one that outlived it would take entries that nobody answers for.

use std::future::Future;
use std::io;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::frame::{self, Channel};
use super::line::Line;
use super::peer_counts::PeerCount;
use super::peers::Dialler;
use super::snapshots::SnapshotFile;
use super::transfer::{self, Content, Head, Pace};
use super::{MemberNode, Types};

/// Requests written before one flush: what gathered while the last flush was under way.
const REQUESTS_PER_FLUSH_MAX: usize = 64;
const WRITE_BUFFER_BYTES: usize = 256 << 10;
const READ_BUFFER_BYTES: usize = 64 << 10;
/// Between two dials when the first failed. Every linearizable read asks for a heartbeat, so without a pause a dead member
/// would be dialled as often as the others are read; with it, it is found again within a heartbeat. For entries too: while
/// the leader waits, a member that is back makes its readers wait.
const DIAL_PAUSE: Duration = Duration::from_millis(100);

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

/// The answer to a [`Question`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    /// To a heartbeat or to entries.
    Append(AppendEntriesResponse<Types>),
    /// To a request for a vote, meant or hypothetical.
    Vote(VoteResponse<Types>),
    /// To a transfer of leadership.
    Transfer(TransferLeaderResponse<Types>),
    /// Consensus on that member has stopped.
    Failed(String),
}

/// Makes the links to other members.
#[derive(Clone)]
pub struct Network {
    dialler: Arc<Dialler>,
}

/// What openraft uses a link for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Entries, votes, snapshots, transfers.
    General,
    /// Heartbeats: each is a stream of one request, so they are asked on a line that stays, not dialled for.
    Heartbeat,
}

type Calls = Line<Question, Response>;

/// A link to one member, for one of openraft's purposes.
pub struct Link {
    dialler: Arc<Dialler>,
    target: u64,
    node: MemberNode,
    purpose: Purpose,
    calls: Option<Calls>,
    /// A dial under way. It goes on when the question that started it is given up: a handshake that takes longer than
    /// one heartbeat must end some time.
    dialling: Option<JoinHandle<io::Result<Calls>>>,
    /// The next dial begins no sooner.
    dial_from: Instant,
    count: Arc<PeerCount>,
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
        Link::new(Arc::clone(&self.dialler), target, node.clone(), Purpose::General)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MemberNode) -> Link {
        Link::new(Arc::clone(&self.dialler), target, node.clone(), Purpose::Heartbeat)
    }
}

impl Link {
    fn new(dialler: Arc<Dialler>, target: u64, node: MemberNode, purpose: Purpose) -> Self {
        let count = dialler.counts().of(target);
        Self {
            dialler,
            target,
            node,
            purpose,
            count,
            calls: None,
            dialling: None,
            dial_from: Instant::now(),
        }
    }

    async fn ask(&mut self, question: Question) -> Result<Response, RPCError<Types>> {
        let calls = self.calls().await.map_err(unreachable)?;
        let begun = Instant::now();
        let answer = calls.ask(question).await;
        if self.purpose == Purpose::Heartbeat && answer.is_ok() {
            self.count.round_trips.add(begun.elapsed());
        }
        match answer {
            Ok(Response::Failed(reason)) => Err(unreachable(io::Error::other(reason))),
            Ok(response) => Ok(response),
            Err(error) => Err(unreachable(io::Error::other(error))),
        }
    }

    /// The line for questions, dialled where there is none. May be given up and called again.
    async fn calls(&mut self) -> io::Result<Calls> {
        if let Some(calls) = self.calls.as_ref().filter(|calls| !calls.is_closed()) {
            return Ok(calls.clone());
        }
        let dialling = self.dialling.get_or_insert_with(|| {
            let (dialler, target, node) = (Arc::clone(&self.dialler), self.target, self.node.clone());
            let from = self.dial_from;
            tokio::spawn(async move {
                sleep_until(from).await;
                dialler.dial(target, &node, Channel::Call).await.map(Line::start)
            })
        });
        let dialled = dialling.await;
        self.dialling = None;
        self.dial_from = Instant::now() + DIAL_PAUSE;
        let calls = dialled.map_err(io::Error::other)??;
        self.calls = Some(calls.clone());
        Ok(calls)
    }

    async fn send_snapshot(
        &self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
    ) -> io::Result<SnapshotResponse<Types>> {
        let head = Head {
            vote,
            meta: snapshot.meta,
            content: Content::of(&snapshot.snapshot)?,
        };
        let (dialler, target, node) = (&self.dialler, self.target, &self.node);
        let dial = move || dialler.dial(target, node, Channel::Transfer);
        let pace = Pace::new(self.target, Arc::clone(&self.count));
        transfer::send(dial, &head, &snapshot.snapshot, pace).await
    }
}

fn unreachable(error: io::Error) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&error))
}

/// A peer of another version, perhaps; to openraft it is as good as gone.
fn misunderstood(response: &Response) -> RPCError<Types> {
    unreachable(io::Error::other(format!("an answer to another question: {response:?}")))
}

type AppendResults<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotFile;

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(iter::repeat(DIAL_PAUSE)))
    }

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        match self.ask(Question::Append(rpc)).await? {
            Response::Append(response) => Ok(response),
            other => Err(misunderstood(&other)),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        if self.purpose == Purpose::Heartbeat {
            return stream_append_sequential(self, input, option);
        }
        let this = &*self;
        let dial = async || this.dialler.dial(this.target, &this.node, Channel::Append).await;
        Box::pin(std::future::ready(Ok(
            Box::pin(dial_for(input, dial)) as AppendResults<'s>
        )))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(Question::Vote(rpc)).await? {
            Response::Vote(response) => Ok(response),
            other => Err(misunderstood(&other)),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(Question::PreVote(rpc)).await? {
            Response::Vote(response) => Ok(response),
            other => Err(misunderstood(&other)),
        }
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
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        match self.ask(Question::Transfer(request)).await? {
            Response::Transfer(response) => Ok(response),
            other => Err(misunderstood(&other)),
        }
    }
}

/// Dials once there is something to send, and sends it. Between two attempts at a member that cannot be reached openraft
/// pauses before it gives the first request, but not before it opens a stream: a dial there would be tried without end.
fn dial_for<S, C>(
    input: S,
    dial: impl AsyncFnOnce() -> io::Result<C>,
) -> impl Stream<Item = Result<StreamAppendResult<Types>, RPCError<Types>>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
    C: AsyncRead + AsyncWrite,
{
    let dialled = async move {
        let mut input = input.peekable();
        if Pin::new(&mut input).peek().await.is_none() {
            return Either::Left(futures::stream::iter(None));
        }
        match dial().await {
            Ok(connection) => Either::Right(both_ways(input, connection)),
            Err(error) => Either::Left(futures::stream::iter(Some(Err(unreachable(error))))),
        }
    };
    futures::stream::once(dialled).flatten()
}

/// Sends `input` and gives the results. The results end when the peer says no more, whatever is still to be sent: a peer
/// that has gone may never take it, and openraft would wait for both.
fn both_ways<S, C>(input: S, connection: C) -> impl Stream<Item = Result<StreamAppendResult<Types>, RPCError<Types>>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
    C: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(connection);
    let writing = futures::stream::once(write_requests(input, writer)).filter_map(async |()| None);
    let reading = futures::stream::try_unfold(BufReader::with_capacity(READ_BUFFER_BYTES, reader), next_result);
    let end = futures::stream::once(async { None });
    futures::stream::select(reading.map(Some).chain(end), writing)
        .take_while(|result| std::future::ready(result.is_some()))
        .filter_map(std::future::ready)
}

/// Writes requests until the input ends or the connection breaks; the reader then sees the end of the connection.
async fn write_requests<S, W>(input: S, writer: W)
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
    W: AsyncWrite + Unpin,
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

async fn next_result<R: AsyncRead + Unpin>(
    mut reader: BufReader<R>,
) -> Result<Option<(StreamAppendResult<Types>, BufReader<R>)>, RPCError<Types>> {
    match reader.fill_buf().await {
        Ok([]) => return Ok(None),
        Ok(_) => {}
        // A peer that died between two frames without a TLS farewell: the end all the same, nothing was cut in two.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(unreachable(error)),
    }
    let result = frame::expect(&mut reader).await.map_err(unreachable)?;
    Ok(Some((result, reader)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Entry, Proposal, Vote, entry_id};
    use crate::tls::PeerTransport;
    use bytes::Bytes;
    use openraft::EntryPayload;
    use openraft::entry::RaftEntry as _;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A pod that goes may close its connection and take its address with it: nothing that is sent afterwards is taken,
    /// and nothing comes back.
    #[tokio::test]
    async fn a_peer_that_hangs_up_and_reads_no_more_ends_the_stream() {
        let (near, far) = tokio::io::duplex(4 << 10);
        let requests = futures::stream::repeat_with(|| AppendEntriesRequest::<Types> {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: vec![Entry::new(
                entry_id(1, 1),
                EntryPayload::Normal(Proposal(Bytes::from(vec![0; 16 << 10]))),
            )],
            leader_commit: None,
        });
        let (_reads_no_more, mut hangs_up) = tokio::io::split(far);
        let results = Box::pin(both_ways(requests, near)).collect::<Vec<_>>();
        let hang_up = async {
            hangs_up.shutdown().await.unwrap();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            results = tokio::time::timeout(Duration::from_secs(10), results) => results.expect("the stream ends"),
            () = hang_up => unreachable!("it never ends"),
        };
        assert!(ended.is_empty(), "{ended:?}");
    }

    /// Openraft keeps the first request back while it pauses.
    #[tokio::test]
    async fn nothing_is_dialled_before_there_is_something_to_send() {
        let refuse = async || Err::<tokio::io::DuplexStream, _>(io::ErrorKind::ConnectionRefused.into());
        let never = async || -> io::Result<tokio::io::DuplexStream> { unreachable!("there is nothing to send") };
        let mut paused = Box::pin(dial_for(futures::stream::pending(), never));
        assert!(futures::poll!(paused.next()).is_pending());
        let request = AppendEntriesRequest::<Types> {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let results: Vec<_> = dial_for(Box::pin(futures::stream::iter([request])), refuse)
            .collect()
            .await;
        assert!(
            matches!(results.as_slice(), [Err(RPCError::Unreachable(_))]),
            "{results:?}"
        );
    }

    /// A dead member's port refuses at once, and every read asks for a heartbeat.
    #[tokio::test]
    async fn a_member_that_refuses_is_dialled_with_pauses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = MemberNode {
            peer_urls: vec![format!("http://{}", listener.local_addr().unwrap())],
            ..MemberNode::default()
        };
        let refused = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&refused);
        let refusing = tokio::spawn(async move {
            loop {
                drop(listener.accept().await.unwrap());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let dialler = Arc::new(Dialler::new(Arc::new(PeerTransport::Plain), 1, 1));
        let mut link = Link::new(dialler, 2, node, Purpose::Heartbeat);
        let begun = Instant::now();
        while begun.elapsed() < 8 * DIAL_PAUSE {
            let heartbeat = Question::Append(AppendEntriesRequest {
                vote: Vote::new_committed(1, 1),
                prev_log_id: None,
                entries: Vec::new(),
                leader_commit: None,
            });
            let asked = tokio::time::timeout(DIAL_PAUSE / 20, link.ask(heartbeat)).await;
            assert!(!matches!(asked, Ok(Ok(_))), "nobody answers: {asked:?}");
        }
        refusing.abort();
        let (dials, pauses) = (
            refused.load(Ordering::Relaxed),
            begun.elapsed().as_millis() / DIAL_PAUSE.as_millis(),
        );
        assert!(dials > 1, "it is tried again");
        assert!(u128::from(dials) <= pauses + 1, "{dials} dials in {pauses} pauses");
    }

    #[tokio::test]
    async fn a_member_that_was_away_for_long_is_not_left_waiting() {
        let dialler = Arc::new(Dialler::new(Arc::new(PeerTransport::Plain), 1, 1));
        let link = Link::new(dialler, 2, MemberNode::default(), Purpose::General);
        let pauses = link.backoff().expect("openraft's own pauses grow to seconds");
        assert_eq!(pauses.take(1_000).max(), Some(DIAL_PAUSE));
    }
}
