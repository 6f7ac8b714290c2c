//! `--max-request-bytes`, `--max-txn-ops`, `--max-connections`, `--max-requests-bytes` and `--max-answers-bytes`: what
//! clients may take of this member.

use super::{ConfigError, Settings};
use crate::http::REQUEST_OVERHEAD_BYTES;
use crate::http::connections::CLIENTS_MAX;

/// Largest `--max-request-bytes`: a request is one log record and one frame between members, both bounded by it.
pub const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Smallest `--max-request-bytes`, so that membership and bookkeeping always fit.
pub const REQUEST_BYTES_MIN: u64 = 4 << 10;
/// Largest `--max-txn-ops`: one transaction is one step of the state machine and holds up everything behind it.
pub const TXN_OPS_MAX: u32 = 100_000;
/// Bytes of requests, and of answers, that are held for all clients by default: a hundred of the largest at once, and 2.5
/// seconds of 100 MB/s.
pub const HELD_BYTES_DEFAULT: u64 = 256 << 20;
/// How many of the largest requests must have room at least. In JSON each takes twice its size, and half of the answers
/// are for watches.
const HELD_REQUESTS_MIN: u64 = 8;

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request, in bytes.
    pub request_bytes_max: u64,
    /// Largest number of operations in one transaction.
    pub txn_ops_max: u32,
    /// Most connections of clients at once, as far as file descriptors allow.
    pub connections_max: u32,
    /// Most bytes of requests that are held at once.
    pub requests_bytes_max: u64,
    /// Most bytes of answers that wait for clients at once.
    pub answers_bytes_max: u64,
}

/// Checks the settings.
pub(super) fn limits(settings: &Settings) -> Result<Limits, ConfigError> {
    let request_bytes_max = settings.max_request_bytes.unwrap_or(1_572_864);
    if !(REQUEST_BYTES_MIN..=REQUEST_BYTES_MAX).contains(&request_bytes_max) {
        let reason = format!("{request_bytes_max} is outside {REQUEST_BYTES_MIN} to {REQUEST_BYTES_MAX} bytes");
        return Err(ConfigError::new("--max-request-bytes", reason));
    }
    let txn_ops_max = settings.max_txn_ops.unwrap_or(128);
    if !(1..=TXN_OPS_MAX).contains(&txn_ops_max) {
        return Err(ConfigError::new(
            "--max-txn-ops",
            format!("{txn_ops_max} is outside 1 to {TXN_OPS_MAX}"),
        ));
    }
    let connections_max = settings.max_connections.unwrap_or(CLIENTS_MAX);
    if connections_max == 0 {
        let reason = "0 would let nobody in: at least 1";
        return Err(ConfigError::new("--max-connections", reason));
    }
    Ok(Limits {
        request_bytes_max,
        txn_ops_max,
        connections_max,
        requests_bytes_max: held_bytes("--max-requests-bytes", settings.max_requests_bytes, request_bytes_max)?,
        answers_bytes_max: held_bytes("--max-answers-bytes", settings.max_answers_bytes, request_bytes_max)?,
    })
}

/// A bound on what is held for all clients, which must leave room for a few of the largest requests.
fn held_bytes(flag: &'static str, bytes: Option<u64>, request_bytes_max: u64) -> Result<u64, ConfigError> {
    let least = (request_bytes_max + REQUEST_OVERHEAD_BYTES) * HELD_REQUESTS_MIN;
    let bytes = bytes.unwrap_or(HELD_BYTES_DEFAULT.max(least));
    if bytes < least {
        let reason = format!("{bytes} is too little: at least {least}, a few of the largest requests");
        return Err(ConfigError::new(flag, reason));
    }
    Ok(bytes)
}
