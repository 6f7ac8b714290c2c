//! Reading a request's body, no further than its bound.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

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
        return Err(BodyError::TooLarge { size, max });
    }
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { size: max + 1, max }),
        Err(error) => Err(BodyError::Broken(error.to_string())),
    }
}
