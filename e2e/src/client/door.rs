//! The door at which a scenario asks the workload: plain HTTP on a port that only the cluster reaches.
//!
//! - `GET /report`: the figures so far, as JSON
//! - `GET /mark?name=…`: ends the step that goes on and begins one of this name
//! - `GET /finish`: stops the clients, reads everything back, and answers with the whole report
//! - `GET /ready`: 200 once an operation has succeeded

use super::workload::Workload;
use crate::report::Report;
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where the door is, and what it opens on.
#[derive(Clone, Debug)]
pub struct Door {
    /// The run.
    pub workload: Arc<Workload>,
    /// The whole report, once there is one.
    pub report: watch::Receiver<Option<Report>>,
}

impl Door {
    /// Answers until the program ends.
    pub async fn open(self, address: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        loop {
            let (stream, _) = listener.accept().await?;
            let door = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(&door, request));
                // A caller that hangs up is no concern of the run's.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn finish(&self) -> Option<Report> {
        self.workload.stop();
        let mut report = self.report.clone();
        let whole = report.wait_for(Option::is_some).await.ok()?;
        whole.clone()
    }
}

async fn answer(door: &Door, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let (status, report) = match request.uri().path() {
        "/report" => (StatusCode::OK, Some(door.workload.ledger.report())),
        "/mark" => {
            door.workload.ledger.mark(query.strip_prefix("name=").unwrap_or(query));
            (StatusCode::OK, Some(door.workload.ledger.report()))
        }
        "/finish" => (StatusCode::OK, door.finish().await),
        "/ready" => {
            let total = door.workload.ledger.report().total;
            let done = total.writes + total.reads > 0;
            (
                if done {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                },
                None,
            )
        }
        _ => (StatusCode::NOT_FOUND, None),
    };
    let text = serde_json::to_vec(&report).expect("a report always has a text");
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}
