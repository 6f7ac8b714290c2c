//! etcd's calls over its JSON gateway.
//!
//! Requests and answers are etcd's own messages. [`Client::call`] sends any unary one; the named calls choose for each
//! whether it may be repeated.

use std::time::{Duration, Instant};

use http::Method;
use kvorum_api::error::{Body, Code, Refusal};
use kvorum_api::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, MemberListRequest, MemberListResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, StatusRequest, StatusResponse, TxnRequest, TxnResponse, request_op::Request,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transport::{Answer, Call};
use crate::{Client, Endpoint, Error, Repeat};

/// The key that `etcdctl endpoint health` reads too; it need not exist.
const HEALTH_KEY: &[u8] = b"health";
/// Characters of a body that is not understood that go into the error.
const EXCERPT_CHARS: usize = 200;

impl Client {
    /// Any unary call of etcd's gateway: `path` like `/v3/kv/range`.
    ///
    /// # Errors
    /// Any [`Error`]; refusals are [`Error::Refused`].
    pub async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Q,
        repeat: Repeat,
    ) -> Result<A, Error> {
        let call = Call::new(Method::POST, path).json(request);
        self.rotation.send(&self.transport, &call, repeat, read).await
    }

    /// Reads keys.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.call("/v3/kv/range", request, Repeat::Freely).await
    }

    /// Writes a key.
    ///
    /// # Errors
    /// As [`Client::call`]; the write may have happened unless [`Error::is_certainly_not_done`].
    pub async fn put(&self, request: &PutRequest) -> Result<PutResponse, Error> {
        self.call("/v3/kv/put", request, Repeat::IfNotDone).await
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete_range(&self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        self.call("/v3/kv/deleterange", request, Repeat::IfNotDone).await
    }

    /// Runs a transaction; one that only reads may be repeated.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        let repeat = if reads_only(request) {
            Repeat::Freely
        } else {
            Repeat::IfNotDone
        };
        self.call("/v3/kv/txn", request, repeat).await
    }

    /// Lists the members, as the leader knows them.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn member_list(&self) -> Result<MemberListResponse, Error> {
        self.call(
            "/v3/cluster/member/list",
            &MemberListRequest { linearizable: true },
            Repeat::Freely,
        )
        .await
    }

    /// The status of the member at this endpoint.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn status(&self, endpoint: &Endpoint) -> Result<StatusResponse, Error> {
        self.only(endpoint)
            .call("/v3/maintenance/status", &StatusRequest {}, Repeat::Freely)
            .await
    }

    /// Whether the member at this endpoint answers a linearizable read, and in what time.
    ///
    /// # Errors
    /// As [`Client::call`]; a member that refuses the read for want of permission, or of a user, is healthy: it refuses
    /// only after a majority has confirmed the read.
    pub async fn health(&self, endpoint: &Endpoint) -> Result<Duration, Error> {
        let started = Instant::now();
        let request = RangeRequest {
            key: HEALTH_KEY.into(),
            ..RangeRequest::default()
        };
        match self.only(endpoint).range(&request).await {
            Ok(_)
            | Err(Error::Refused {
                code: Code::PermissionDenied,
                ..
            }) => Ok(started.elapsed()),
            Err(error) if error.refusal() == Some(Refusal::UserEmpty) => Ok(started.elapsed()),
            Err(error) => Err(error),
        }
    }
}

fn reads_only(txn: &TxnRequest) -> bool {
    txn.success
        .iter()
        .chain(&txn.failure)
        .all(|operation| match &operation.request {
            Some(Request::RequestRange(_)) | None => true,
            Some(Request::RequestTxn(nested)) => reads_only(nested),
            Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => false,
        })
}

fn read<A: DeserializeOwned>(answer: Answer) -> Result<A, Error> {
    if answer.status == 200 {
        return serde_json::from_slice(&answer.body).map_err(|error| foreign(answer, error.to_string()));
    }
    Err(refused(answer))
}

/// The refusal that an answer carries.
pub(crate) fn refused(answer: Answer) -> Error {
    match serde_json::from_slice::<Body<'_>>(&answer.body) {
        Ok(body) => {
            let code = Code::from_number(body.code).unwrap_or(Code::Unknown);
            let message = if body.message.is_empty() {
                body.error
            } else {
                body.message
            }
            .into_owned();
            Error::Refused {
                endpoint: answer.endpoint,
                code,
                message,
            }
        }
        Err(_) => {
            let excerpt = excerpt(&answer.body);
            foreign(answer, excerpt)
        }
    }
}

/// An answer that is not Kvorum's.
pub(crate) fn foreign(answer: Answer, excerpt: String) -> Error {
    Error::Foreign {
        endpoint: answer.endpoint,
        status: answer.status,
        excerpt,
    }
}

/// The beginning of a body, for an error.
pub(crate) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(EXCERPT_CHARS).collect()
}
