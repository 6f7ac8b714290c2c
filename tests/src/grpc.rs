//! gRPC at one member: a channel, and streams of watches.

use std::time::Duration;

use futures::channel::mpsc;
use kvorum_api::etcdserverpb::watch_client::WatchClient;
use kvorum_api::etcdserverpb::watch_request::RequestUnion;
use kvorum_api::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};

use crate::cluster::Cluster;
use crate::wait::SETTLE;

/// A connection to one member, with an application's certificate where the cluster has certificates.
///
/// # Panics
/// When it cannot be made.
pub async fn channel(cluster: &Cluster, index: usize) -> Channel {
    endpoint(cluster, index).connect().await.expect("a member that listens")
}

/// As [`channel`], to be connected whenever it is used.
///
/// # Panics
/// When the URL or the certificates are none.
#[must_use]
pub fn endpoint(cluster: &Cluster, index: usize) -> Endpoint {
    let endpoint = Endpoint::from_shared(cluster.url(index)).expect("a URL of ours");
    match &cluster.pki {
        None => endpoint,
        Some(pki) => {
            let leaf = pki.application();
            let tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(&pki.clients.cert))
                .identity(Identity::from_pem(leaf.cert, leaf.key))
                .domain_name("localhost");
            endpoint.tls_config(tls).expect("certificates of ours")
        }
    }
}

/// A connection without TLS to whatever listens at `url`, made when it is first used; calls that have no
/// answer after a while are given up.
///
/// # Panics
/// When `url` is none.
#[must_use]
pub fn plain(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL of ours");
    endpoint.timeout(SETTLE).connect_lazy()
}

/// A stream of watches.
pub struct Watching {
    requests: mpsc::UnboundedSender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

impl Watching {
    /// Opens a stream.
    ///
    /// # Errors
    /// The member refused it.
    pub async fn open(channel: Channel) -> Result<Watching, Status> {
        Watching::open_with(channel, false).await
    }

    /// Opens a stream that is to end when there is no leader.
    ///
    /// # Errors
    /// The member refused it.
    pub async fn open_with(channel: Channel, needs_leader: bool) -> Result<Watching, Status> {
        Watching::begin(channel, needs_leader, mpsc::unbounded()).await
    }

    /// Opens a stream with a watcher. etcd does not answer before something is said.
    ///
    /// # Errors
    /// The server refused it.
    ///
    /// # Panics
    /// When the watcher is refused.
    pub async fn open_watching(channel: Channel, request: WatchCreateRequest) -> Result<Watching, Status> {
        let (sender, requests) = mpsc::unbounded();
        let first = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(request)),
        };
        sender.unbounded_send(first).expect("nobody has closed it");
        let mut watching = Watching::begin(channel, false, (sender, requests)).await?;
        let answer = watching.next().await;
        assert!(answer.created && !answer.canceled, "{answer:?}");
        Ok(watching)
    }

    async fn begin(
        channel: Channel,
        needs_leader: bool,
        (sender, requests): (
            mpsc::UnboundedSender<WatchRequest>,
            mpsc::UnboundedReceiver<WatchRequest>,
        ),
    ) -> Result<Watching, Status> {
        let mut request = tonic::Request::new(requests);
        if needs_leader {
            let value = "true".parse().expect("plain text");
            request.metadata_mut().insert("hasleader", value);
        }
        let mut client = WatchClient::new(channel).max_decoding_message_size(64 << 20);
        let responses = client.watch(request).await?.into_inner();
        Ok(Watching {
            requests: sender,
            responses,
        })
    }

    /// Says something.
    ///
    /// # Panics
    /// When the stream has ended.
    pub fn say(&self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        self.requests.unbounded_send(request).expect("the stream is open");
    }

    /// Creates a watcher and waits for the answer.
    pub async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.say(RequestUnion::CreateRequest(request));
        let answer = self.next().await;
        assert!(answer.created, "{answer:?}");
        answer
    }

    /// Cancels a watcher.
    pub fn cancel(&self, watch_id: i64) {
        self.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    /// Asks for progress.
    pub fn ask_for_progress(&self) {
        self.say(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    /// The next response.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn next(&mut self) -> WatchResponse {
        match tokio::time::timeout(SETTLE, self.responses.message()).await {
            Ok(Ok(Some(response))) => response,
            other => panic!("a response was expected, not {other:?}"),
        }
    }

    /// The next response, error or end.
    ///
    /// # Errors
    /// What the member ended the stream with.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn outcome(&mut self) -> Result<Option<WatchResponse>, Status> {
        let waited = tokio::time::timeout(SETTLE, self.responses.message()).await;
        waited.unwrap_or_else(|_| panic!("nothing within {SETTLE:?}"))
    }

    /// Whether nothing comes for a while.
    pub async fn is_quiet(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.responses.message()).await.is_err()
    }
}

/// A watch on one key or, with an end, on a range.
#[must_use]
pub fn watch(key: &str, range_end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        ..WatchCreateRequest::default()
    }
}
