//! gRPC connections, spread over all endpoints, and what one says over them.

use std::error::Error as _;
use std::time::Duration;

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::watch_client::WatchClient;
use kvorum_api::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};

use super::super::Failure;
use super::super::connection::Connection;
use super::workload::Ask;

/// Longest answer that is read; `--limit` keys with their values.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// The connections of a run.
pub(super) struct Channels {
    speakers: Vec<Speaker>,
    /// Endpoints that have a connection.
    pub(super) endpoints: usize,
    /// Time for one request.
    pub(super) timeout: Duration,
}

/// One who speaks over a connection; clones share it.
#[derive(Clone)]
pub(super) struct Speaker {
    kv: KvClient<Channel>,
    watch: WatchClient<Channel>,
    token: Option<MetadataValue<Ascii>>,
}

impl Channels {
    /// Connects `count` times, to each endpoint in turn.
    pub(super) async fn open(connection: &Connection, count: u32) -> Result<Self, Failure> {
        let config = &connection.config;
        let token = config.token.as_ref().map(|token| token.parse()).transpose();
        let token =
            token.map_err(|_| Failure::Refused("the token holds characters that no header may have".to_owned()))?;
        let tls = config.tls.as_ref().map(|tls| {
            let authority = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca_pem));
            match &tls.identity {
                Some((cert, key)) => authority.identity(Identity::from_pem(cert, key)),
                None => authority,
            }
        });
        let endpoints = connection.client.endpoints();
        let mut speakers = Vec::new();
        for endpoint in endpoints.iter().cycle().take(count as usize) {
            let unreachable = |error: tonic::transport::Error| {
                Failure::Unavailable(format!("{endpoint} cannot be reached: {}", deepest(&error)))
            };
            let mut builder = Channel::from_shared(endpoint.to_string())
                .map_err(|error| Failure::Usage(format!("{endpoint}: {error}")))?
                .connect_timeout(config.timeout)
                .timeout(config.timeout)
                .tcp_nodelay(true);
            if let Some(tls) = tls.as_ref().filter(|_| endpoint.is_https()) {
                builder = builder.tls_config(tls.clone()).map_err(unreachable)?;
            }
            let channel = builder.connect().await.map_err(unreachable)?;
            speakers.push(Speaker {
                kv: KvClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
                watch: WatchClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
                token: token.clone(),
            });
        }
        Ok(Self {
            endpoints: speakers.len().min(endpoints.len()),
            speakers,
            timeout: config.timeout,
        })
    }

    /// How many there are: at least one.
    pub(super) fn count(&self) -> usize {
        self.speakers.len()
    }

    /// The one that a client with this number uses.
    pub(super) fn of(&self, client: u32) -> Speaker {
        self.speakers[client as usize % self.speakers.len()].clone()
    }

    /// The one for what is done once.
    pub(super) fn first(&self) -> Speaker {
        self.of(0)
    }
}

impl Speaker {
    /// Asks, and takes the answer in.
    pub(super) async fn ask(&mut self, ask: Ask) -> Result<(), Status> {
        match ask {
            Ask::Put(request) => self.put(request).await,
            Ask::Range(request) => self.range(request).await.map(drop),
            Ask::Txn(_, request) => self.txn(request).await,
        }
    }

    /// The number of keys.
    pub(super) async fn range(&mut self, request: RangeRequest) -> Result<i64, Status> {
        let request = self.signed(request);
        Ok(self.kv.range(request).await?.into_inner().count)
    }

    /// The number of keys that went.
    pub(super) async fn delete(&mut self, request: DeleteRangeRequest) -> Result<i64, Status> {
        let request = self.signed(request);
        Ok(self.kv.delete_range(request).await?.into_inner().deleted)
    }

    async fn put(&mut self, request: PutRequest) -> Result<(), Status> {
        let request = self.signed(request);
        self.kv.put(request).await.map(drop)
    }

    async fn txn(&mut self, request: TxnRequest) -> Result<(), Status> {
        let request = self.signed(request);
        self.kv.txn(request).await.map(drop)
    }

    /// The client for watches.
    pub(super) fn watch(&self) -> WatchClient<Channel> {
        self.watch.clone()
    }

    /// The request with the user's token, where there is one.
    pub(super) fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

/// An error in one line, for counting: alike errors have the same text.
pub(super) fn told(status: &Status) -> String {
    let cause = match status.source() {
        Some(source) => format!("{}: {}", status.message(), deepest(source)),
        None => status.message().to_owned(),
    };
    format!("{:?}: {cause}", status.code())
}

/// What a refusal of something that the run cannot do without means for the command.
pub(super) fn failure(what: &str, status: &Status) -> Failure {
    let text = format!("{what}: {}", told(status));
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Failure::Unavailable(text),
        _ => Failure::Refused(text),
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
