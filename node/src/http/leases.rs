//! Leases for people: `/v1/leases` and `/v1/leases/{id}`. An id is what `?lease=` of a key wants: hexadecimal.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, Uri};
use kvorum_api::Id;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_api::plain::{Granted, LEASES_PATH, Lease, LeaseWish, LeasedKey, Leases, Text};

use super::problem::{ProblemResponse, malformed, only};
use super::query::Query;
use super::{Edge, body};
use crate::service::Caller;

type Answer<T> = Result<T, ProblemResponse>;

/// The paths.
pub fn routes() -> Router<Edge> {
    let one = get(read).put(keep_alive).delete(revoke);
    Router::new()
        .route(LEASES_PATH, only("GET, HEAD, POST", post(grant).get(list)))
        .route(&format!("{LEASES_PATH}/{{id}}"), only("GET, HEAD, PUT, DELETE", one))
}

async fn grant(
    State(edge): State<Edge>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Granted>)> {
    Query::parse(uri.query()).finish()?;
    let bytes = body::read(&headers, body, edge.message_bytes_max).await?;
    let wish: LeaseWish = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let request = pb::LeaseGrantRequest {
        ttl: wish.ttl,
        id: wish.id.map_or(0, |id| id.get().cast_signed()),
    };
    let granted = edge.service.lease_grant(&caller, request).await?;
    Ok((StatusCode::CREATED, Json(told(granted.id, granted.ttl)?)))
}

async fn list(State(edge): State<Edge>, caller: Caller, uri: Uri) -> Answer<Json<Leases>> {
    Query::parse(uri.query()).finish()?;
    let answer = edge.service.lease_leases(&caller, pb::LeaseLeasesRequest {}).await?;
    let ids = answer
        .leases
        .iter()
        .filter_map(|lease| Id::new(lease.id.cast_unsigned()));
    Ok(Json(Leases { leases: ids.collect() }))
}

async fn read(State(edge): State<Edge>, caller: Caller, uri: Uri, Path(id): Path<String>) -> Answer<Json<Lease>> {
    let id = lease_id(&uri, &id)?;
    let request = pb::LeaseTimeToLiveRequest { id, keys: true };
    let left = edge.service.lease_time_to_live(&caller, request).await?;
    if left.ttl < 0 {
        return Err(Refusal::LeaseNotFound.into());
    }
    Ok(Json(Lease {
        lease: told(id, left.granted_ttl)?,
        remaining: left.ttl,
        keys: left
            .keys
            .into_iter()
            .map(|key| LeasedKey { key: Text::from(key) })
            .collect(),
    }))
}

async fn keep_alive(
    State(edge): State<Edge>,
    caller: Caller,
    uri: Uri,
    Path(id): Path<String>,
) -> Answer<Json<Granted>> {
    let id = lease_id(&uri, &id)?;
    let kept = edge
        .service
        .lease_keep_alive(&caller, pb::LeaseKeepAliveRequest { id })
        .await?;
    if kept.ttl == 0 {
        return Err(Refusal::LeaseNotFound.into());
    }
    Ok(Json(told(id, kept.ttl)?))
}

async fn revoke(State(edge): State<Edge>, caller: Caller, uri: Uri, Path(id): Path<String>) -> Answer<StatusCode> {
    let id = lease_id(&uri, &id)?;
    edge.service
        .lease_revoke(&caller, pb::LeaseRevokeRequest { id })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The id in a path; no parameter is known there.
fn lease_id(uri: &Uri, text: &str) -> Answer<i64> {
    Query::parse(uri.query()).finish()?;
    let id: Id = text
        .parse()
        .map_err(|_| malformed("the id of a lease must be up to 16 hexadecimal digits, and not zero"))?;
    Ok(id.get().cast_signed())
}

fn told(id: i64, ttl: i64) -> Answer<Granted> {
    let id = Id::new(id.cast_unsigned()).ok_or(Refusal::LeaseNotFound)?;
    Ok(Granted { id, ttl })
}
