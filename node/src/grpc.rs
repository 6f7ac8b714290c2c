//! gRPC on the client port: etcd's services, with etcd's statuses.
//!
//! As in `http`, these handlers contain no rule: a message comes in decoded, `Service` answers, the answer or the
//! refusal goes out.

pub mod auth;
pub mod cluster;
pub mod counted;
pub mod election;
pub mod health;
pub mod kv;
pub mod lease;
pub mod lock;
pub mod maintenance;
mod reflection;
pub mod watch;

use std::pin::Pin;

use axum::Router;
use axum::response::Response;
use futures::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use kvorum_api::error::{Code, Failure, Refusal};
use kvorum_api::etcdserverpb::auth_server::AuthServer;
use kvorum_api::etcdserverpb::cluster_server::ClusterServer;
use kvorum_api::etcdserverpb::kv_server::KvServer;
use kvorum_api::etcdserverpb::lease_server::LeaseServer;
use kvorum_api::etcdserverpb::maintenance_server::MaintenanceServer;
use kvorum_api::grpc::health::v1::health_server::HealthServer;
use kvorum_api::v3electionpb::election_server::ElectionServer;
use kvorum_api::v3lockpb::lock_server::LockServer;
use tonic::service::Routes;
use tonic::{Status, Streaming};

use crate::http::Edge;
use crate::http::caller::common_name;
use crate::service::Caller;

/// Name of the metadata with which a client asks to be ended when there is no leader; its value is `true`.
pub const NEEDS_LEADER: &str = "hasleader";

/// The services' routes.
pub fn routes(edge: &Edge) -> Router {
    let message_bytes_max = usize::try_from(edge.message_bytes_max).unwrap_or(usize::MAX);
    let service = &edge.service;
    Routes::new(KvServer::new(kv::Kv(service.clone())).max_decoding_message_size(message_bytes_max))
        .add_service(AuthServer::new(auth::Auth(service.clone())).max_decoding_message_size(message_bytes_max))
        .add_service(ClusterServer::new(cluster::Cluster(service.clone())).max_decoding_message_size(message_bytes_max))
        .add_service(
            MaintenanceServer::new(maintenance::Maintenance(service.clone()))
                .max_decoding_message_size(message_bytes_max),
        )
        .add_service(HealthServer::new(health::Health(service.clone())))
        .add_service(LockServer::new(lock::Lock(service.clone())).max_decoding_message_size(message_bytes_max))
        .add_service(
            ElectionServer::new(election::Election(service.clone())).max_decoding_message_size(message_bytes_max),
        )
        .add_service(LeaseServer::new(lease::Lease(service.clone())).max_decoding_message_size(message_bytes_max))
        .add_service(reflection::v1())
        .add_service(reflection::v1alpha())
        .into_axum_router()
        .merge(watch::route(edge.clone()))
        .layer(axum::middleware::map_response(too_large_as_etcd))
        .layer(axum::middleware::from_fn_with_state(service.calls(), counted::count))
}

/// Whether a request is one of gRPC.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// The caller of a request: etcd's clients send their token as `token`, its gateway as `authorization`.
fn caller<Message>(request: &tonic::Request<Message>) -> Caller {
    let metadata = request.metadata();
    let token = metadata.get("token").or_else(|| metadata.get("authorization"));
    Caller::new(
        common_name(request.extensions()),
        token.and_then(|token| token.to_str().ok()),
    )
}

/// A refusal as a status: etcd's code, etcd's text.
pub(crate) fn status(refusal: Refusal) -> Status {
    Status::new(tonic::Code::from(refusal.grpc_code()), refusal.message())
}

/// The answers of a streaming call.
type Answers<Answer> = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

/// A failure as a status: for streams, whose failures may have words of their own.
fn failed(failure: Failure) -> Status {
    Status::new(tonic::Code::from(failure.code.number()), failure.message)
}

/// The requests of a streaming call. What breaks the stream off is the client's doing, and is heard as its end.
fn requests<Message>(streaming: Streaming<Message>) -> impl Stream<Item = Result<Message, Failure>> + Unpin {
    streaming.map(|message| {
        message.map_err(|status| {
            let code = Code::from_number(status.code().into()).unwrap_or(Code::Unknown);
            Failure::new(code, status.message().to_owned())
        })
    })
}

/// Whether a request asks to be ended when there is no leader.
fn needs_leader<Message>(request: &tonic::Request<Message>) -> bool {
    request
        .metadata()
        .get(NEEDS_LEADER)
        .is_some_and(|value| value == "true")
}

/// How tonic begins to say that a message is too large. It says it with the code of a wrong argument's range; clients of
/// etcd know it as an exhausted resource, in other words.
const TONIC_TOO_LARGE: &str = "Error, decoded message length too large: found ";

async fn too_large_as_etcd(mut response: Response) -> Response {
    let message = response
        .headers()
        .get("grpc-message")
        .and_then(|message| message.to_str().ok());
    let Some(text) = message.and_then(too_large) else {
        return response;
    };
    let Ok(text) = HeaderValue::try_from(text) else {
        return response;
    };
    let code = HeaderValue::from(i32::from(tonic::Code::ResourceExhausted));
    response.headers_mut().insert("grpc-message", text);
    response.headers_mut().insert("grpc-status", code);
    response
}

/// etcd's words for tonic's, both percent-encoded as gRPC sends them.
fn too_large(message: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(message).decode_utf8().ok()?;
    let numbers = decoded.strip_prefix(TONIC_TOO_LARGE)?;
    let (found, rest) = numbers.split_once(" bytes, the limit is: ")?;
    let max = rest.strip_suffix(" bytes")?;
    Some(format!(
        "grpc:%20received%20message%20larger%20than%20max%20({found}%20vs.%20{max})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_is_refused_in_etcds_words() {
        let tonics = "Error,%20decoded%20message%20length%20too%20large:%20found%203000010%20bytes,%20the%20limit%20is:%202097152%20bytes";
        let etcds = "grpc:%20received%20message%20larger%20than%20max%20(3000010%20vs.%202097152)";
        assert_eq!(too_large(tonics).as_deref(), Some(etcds));
        assert_eq!(too_large("etcdserver:%20request%20timed%20out"), None);
    }

    #[test]
    fn refusals_keep_code_and_text() {
        let status = status(Refusal::Compacted);
        assert_eq!(status.code(), tonic::Code::OutOfRange);
        assert_eq!(
            status.message(),
            "etcdserver: mvcc: required revision has been compacted"
        );
    }
}
