//! The operator's calls: JSON under `/v1/admin`, only for a verified certificate with the operator's name.

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use kvorum_api::Id;
use kvorum_api::admin::{self, NodeStatus, Progress, Rejection};
use serde::de::DeserializeOwned;

use super::problem::{ProblemResponse, only};
use super::{Edge, OtherSide, body};

/// Largest body of an admin call: a member with its URLs.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// The operator's paths.
pub fn routes() -> Router<Edge> {
    let member = format!("{}/{{id}}", admin::MEMBERS_PATH);
    Router::new()
        .route(admin::STATUS_PATH, only("GET, HEAD", get(status)))
        .route(admin::PROGRESS_PATH, only("GET, HEAD", get(progress)))
        .route(admin::BOOTSTRAP_PATH, only("POST", post(bootstrap)))
        .route(admin::MEMBERS_PATH, only("POST", post(add)))
        .route(&member, only("DELETE", delete(remove)))
        .route(&format!("{member}/promote"), only("POST", post(promote)))
        .route(admin::TRANSFER_PATH, only("POST", post(transfer)))
}

/// Proof that the caller is the operator of this member's cluster.
struct Operator;

impl FromRequestParts<Edge> for Operator {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Operator, ProblemResponse> {
        let cluster_id = Id::new(edge.service.ids().0);
        demand_operator(parts, cluster_id).map(|()| Operator)
    }
}

/// Refuses a request whose connection was not made with the operator's certificate. While the cluster is not known,
/// any name of an operator that our client CA has signed will do: there is one client CA per cluster.
pub fn demand_operator(parts: &Parts, cluster_id: Option<Id>) -> Result<(), ProblemResponse> {
    let name = parts.extensions.get::<OtherSide>().and_then(|side| side.name.as_ref());
    let detail = match name {
        None => "the connection carries no client certificate".to_owned(),
        Some(name) if name.is_operator_of(cluster_id) => return Ok(()),
        Some(name) => {
            let cluster = cluster_id.map_or_else(|| "<cluster id>".to_owned(), |id| id.to_string());
            let shown = name.common_name.as_deref().unwrap_or("nobody");
            format!("the client certificate of {shown:?} has no URI name kvorum://{cluster}/operator")
        }
    };
    Err(Rejection::NotOperator.problem(detail).into())
}

/// The epoch that every mutating call carries.
struct Epoch(u64);

impl FromRequestParts<Edge> for Epoch {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _edge: &Edge) -> Result<Epoch, ProblemResponse> {
        let header = parts.headers.get(admin::FENCING_HEADER);
        let epoch = header.and_then(|value| value.to_str().ok()?.parse().ok());
        epoch.map(Epoch).ok_or_else(|| {
            let detail = format!("the header {} must be a decimal number", admin::FENCING_HEADER);
            Rejection::EpochRequired.problem(detail).into()
        })
    }
}

type Answer<T> = Result<T, ProblemResponse>;

async fn status(_: Operator, State(edge): State<Edge>) -> Json<NodeStatus> {
    Json(NodeStatus {
        certificates: edge.tls.certificates(),
        ..edge.service.admin_status()
    })
}

async fn progress(_: Operator, State(edge): State<Edge>) -> Answer<Json<Vec<Progress>>> {
    Ok(Json(edge.service.progress()?))
}

async fn bootstrap(_: Operator, State(edge): State<Edge>, headers: HeaderMap, body: Body) -> Answer<Response> {
    edge.service.bootstrap(decode(&headers, body).await?).await?;
    Ok(done())
}

async fn add(
    _: Operator,
    Epoch(epoch): Epoch,
    State(edge): State<Edge>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    edge.service.add_learner(decode(&headers, body).await?, epoch).await?;
    Ok(done())
}

async fn promote(
    _: Operator,
    Epoch(epoch): Epoch,
    State(edge): State<Edge>,
    Path(id): Path<String>,
) -> Answer<Response> {
    edge.service.promote(member(&id)?, epoch).await?;
    Ok(done())
}

async fn remove(
    _: Operator,
    Epoch(epoch): Epoch,
    State(edge): State<Edge>,
    Path(id): Path<String>,
) -> Answer<Response> {
    edge.service.remove(member(&id)?, epoch).await?;
    Ok(done())
}

async fn transfer(
    _: Operator,
    Epoch(epoch): Epoch,
    State(edge): State<Edge>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    edge.service
        .transfer_leadership(decode(&headers, body).await?, epoch)
        .await?;
    Ok(done())
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn member(text: &str) -> Answer<Id> {
    text.parse().map_err(|error| {
        Rejection::Malformed
            .problem(format!("member id {text:?}: {error}"))
            .into()
    })
}

async fn decode<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Answer<T> {
    let bytes = body::read(headers, body, BODY_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| Rejection::Malformed.problem(error.to_string()).into())
}
