//! Probes: `/livez`, `/readyz`, `/health`, `/version`, and `/metrics`. Plain text, no data.
//!
//! As in etcd: `/livez` asks whether the process goes round, `/readyz` whether it can serve, each check also under a path
//! of its own; `?verbose` lists the checks, `?exclude=` leaves some out. Checks of ours come first, because they say why
//! the others would fail: a member that is stopping, or has not been taken into its cluster, is not ready.
//!
//! Caveat: readiness gates the client Service alone. Other members reach this one whether it is ready or not.

pub mod checks;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use http::Uri;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::held::Held;
use crate::http::connections::Door;
use crate::http::query::Query;
use crate::metrics;
use crate::service::Service;
use crate::situation::{Situation, Situations};
use crate::tls::Tls;
use crate::tls::reload::Counts;
use crate::{CLUSTER_VERSION, ETCD_VERSION, VERSION};
use checks::{Check, Failed, Kind};

/// What probes and metrics look at.
#[derive(Clone)]
pub struct Probes {
    /// What the process is.
    pub situations: Situations,
    /// For the ends of certificates.
    pub tls: Tls,
    /// How often certificates were read again.
    pub reloads: Arc<Counts>,
    /// For the connections of clients.
    pub door: Arc<Door>,
    /// For what is held for them.
    pub held: Held,
}

/// The routes, for the metrics port and for the client port.
pub fn routes(probes: Probes) -> Router {
    Router::new()
        .route("/livez", kind(Kind::Live))
        .route("/livez/{check}", one(Kind::Live))
        .route("/readyz", kind(Kind::Ready))
        .route("/readyz/{check}", one(Kind::Ready))
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/metrics", get(scrape))
        .with_state(probes)
}

fn kind(kind: Kind) -> MethodRouter<Probes> {
    get(move |State(probes): State<Probes>, uri: Uri| async move {
        let query = Query::parse(uri.query());
        let (verbose, excluded) = (query.flag("verbose"), query.all("exclude"));
        let wanted = |check: &&Check| !excluded.iter().any(|name| name == check.name().as_bytes());
        let checks: Vec<Check> = kind.checks().iter().filter(wanted).copied().collect();
        answer(&probes, &checks, verbose).await
    })
}

fn one(kind: Kind) -> MethodRouter<Probes> {
    get(
        move |State(probes): State<Probes>, Path(name): Path<String>, uri: Uri| async move {
            let verbose = Query::parse(uri.query()).flag("verbose");
            match kind.checks().iter().find(|check| check.name() == name) {
                Some(check) => answer(&probes, &[*check], verbose).await,
                None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
            }
        },
    )
}

async fn answer(probes: &Probes, wanted: &[Check], verbose: bool) -> Response {
    let situation = probes.situations.now();
    let results = checks::run(&situation, wanted).await;
    let failed = results.iter().any(|(_, result)| result.is_err());
    let lines = results.iter().map(|(check, result)| match result {
        Ok(()) => format!("[+]{} ok\n", check.name()),
        Err(Failed(why)) => format!("[-]{} failed: {why}\n", check.name()),
    });
    let mut text = if verbose || failed {
        lines.collect()
    } else {
        String::new()
    };
    if !failed {
        text.push_str("ok\n");
    }
    let status = if failed {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, text).into_response()
}

/// etcd's older probe.
#[derive(Serialize)]
struct Health {
    health: &'static str,
    reason: String,
}

async fn health(State(probes): State<Probes>, uri: Uri) -> Response {
    let query = Query::parse(uri.query());
    let (serializable, excluded) = (query.flag("serializable"), query.all("exclude"));
    let situation = probes.situations.now();
    let alarm = match &*situation {
        Situation::Member(service) => standing(service, &excluded),
        Situation::Starting | Situation::Outside(_) | Situation::Stopping => None,
    };
    let reason = match &*situation {
        Situation::Member(_) if alarm.is_some() => alarm,
        Situation::Member(service) if serializable => service.check_serializable().err().map(range_error),
        Situation::Member(service) if service.standing().leader_id.is_none() => Some("RAFT NO LEADER".to_owned()),
        Situation::Member(service) => checks::linearizable(service).await.err().map(range_error),
        situation => checks::member(situation).err().map(|Failed(why)| why),
    };
    let (status, health) = match reason {
        None => (StatusCode::OK, "true"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "false"),
    };
    (
        status,
        Json(Health {
            health,
            reason: reason.unwrap_or_default(),
        }),
    )
        .into_response()
}

/// The first alarm that stands and is not excluded, in etcd's words.
fn standing(service: &Service, excluded: &[Bytes]) -> Option<String> {
    let alarms = service.alarms();
    let mut names = alarms.iter().map(|alarm| alarm.alarm().as_str_name());
    let counts = |name: &&str| !excluded.iter().any(|own| own == name.as_bytes());
    names.find(counts).map(|name| format!("ALARM {name}"))
}

fn range_error(error: impl std::fmt::Display) -> String {
    format!("RANGE ERROR:{error}")
}

/// etcd's versions, for clients that look at them, and ours.
#[derive(Serialize)]
struct Version {
    etcdserver: &'static str,
    etcdcluster: &'static str,
    storage: &'static str,
    kvorum: &'static str,
}

async fn version() -> Json<Version> {
    Json(Version {
        etcdserver: ETCD_VERSION,
        etcdcluster: CLUSTER_VERSION,
        storage: CLUSTER_VERSION,
        kvorum: VERSION,
    })
}

async fn scrape(State(probes): State<Probes>) -> Response {
    let page = metrics::page(
        &probes.situations.now(),
        &probes.tls,
        &probes.reloads,
        &probes.door,
        &probes.held,
    );
    ([(CONTENT_TYPE, metrics::MEDIA_TYPE)], page).into_response()
}

#[cfg(test)]
mod tests;
