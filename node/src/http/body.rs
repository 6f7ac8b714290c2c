//! Reading a request's body, no further than its bound.
//!
//! Must keep true: nothing that is over the bound is kept. Some of it is read all the same and dropped: a client that is
//! still sending when the connection closes may never see why.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kvorum_api::error::Refusal;
use tokio::time::timeout;

/// How much of a body that is too large is read and dropped before the answer, in bytes, and for how long at most.
const DROPPED_BYTES_MAX: usize = 16 << 20;
const DROPPING_TIME_MAX: Duration = Duration::from_secs(5);

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed. The text is the one that gRPC servers in Go give, which clients of etcd know.
    #[error("grpc: received message larger than max ({size} vs. {max})")]
    TooLarge {
        /// Its size as far as it is known: announced, or one more than allowed.
        size: u64,
        /// Largest size allowed.
        max: u64,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the request's body did not arrive: {0}")]
    Broken(String),
    /// There was no room for it, or it took too long.
    #[error("{}", .0.message())]
    Refused(Refusal),
}

/// The refusal that stands behind a body that broke off, if one does; see `connections`.
pub fn refusal(mut error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    loop {
        if let Some(status) = error.downcast_ref::<tonic::Status>() {
            return Refusal::from_message(status.message());
        }
        error = error.source()?;
    }
}

/// The whole body, in one piece of its own, so that what is kept of it does not pin a connection's buffer.
///
/// # Errors
/// It is larger than `max` bytes, or does not arrive.
pub async fn read(headers: &HeaderMap, body: Body, max: u64) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(size) = announced.filter(|size| *size > max) {
        // Who waits for a word before it sends anything is told at once.
        if !headers.contains_key(EXPECT) {
            discard(body).await;
        }
        return Err(BodyError::TooLarge { size, max });
    }
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    let mut body = body;
    match Limited::new(&mut body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(body).await;
            Err(BodyError::TooLarge { size: max + 1, max })
        }
        Err(error) => Err(refusal(&*error).map_or_else(|| BodyError::Broken(error.to_string()), BodyError::Refused)),
    }
}

/// Reads on, and drops what comes.
async fn discard(mut body: Body) {
    let dropping = async {
        let mut dropped = 0;
        while dropped < DROPPED_BYTES_MAX {
            let Some(Ok(frame)) = body.frame().await else { return };
            dropped += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
    };
    // Whoever sends more, or more slowly, may miss the answer.
    let _ = timeout(DROPPING_TIME_MAX, dropping).await;
}
