//! What is held in memory for clients: requests that arrive, and answers that wait to be taken.
//!
//! ```text
//! client ─► Requests: bytes of bodies until they are answered ─► service
//! client ◄─ Answers: bytes that were made and not taken yet   ◄─ service, which waits for room before it makes more
//! ```
//! Must keep true: both are bounded over all connections together, whatever clients do. A client that sends or takes
//! nothing is given up when others need the room, so it cannot keep them out.
//!
//! It deliberately knows neither HTTP nor gRPC.

pub mod answers;
pub mod requests;

use std::sync::Arc;

pub use answers::{Answers, Parcel};
pub use requests::{Hold, Requests};

/// What one process holds for its clients.
#[derive(Clone, Debug)]
pub struct Held {
    /// Requests.
    pub requests: Arc<Requests>,
    /// Answers to calls.
    pub answers: Arc<Answers>,
    /// Answers on streams of watches, apart from the others: clients that watch and do not read are common, and must not
    /// hold up those that ask.
    pub watches: Arc<Answers>,
}

impl Held {
    /// At most so many bytes of requests, and so many of answers, half of them for watches.
    #[must_use]
    pub fn new(requests_bytes_max: u64, answers_bytes_max: u64) -> Held {
        Held {
            requests: Requests::new(requests_bytes_max),
            answers: Answers::new(answers_bytes_max.div_ceil(2)),
            watches: Answers::new(answers_bytes_max.div_ceil(2)),
        }
    }
}
