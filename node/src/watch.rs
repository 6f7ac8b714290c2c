//! Watches at a member: from applied batches to responses for clients. What is told to whom is decided by the pure
//! [`kvorum_store::watch::Hub`]; here it is fed, drained, and given history to read.
//!
//! ```text
//! state machine ─► Feed ─► Switchboard (one task) ─► Hub ─► wakes the sessions concerned
//! client ─► requests ─► Session ─► responses         Session ◄── takes what waits; reads history when behind
//! ```
//! What must stay true:
//! 1. Applying a batch costs one push, whoever watches; when the feed is full, the batch is left out, and history tells
//!    what was in it.
//! 2. A session holds at most [`session::TAKE_BYTES_MAX`] and one revision that its client has not taken; what else
//!    waits, waits in the hub, within its bounds.
//! 3. A view of the store is never held while a client is waited for: it would keep history from being compacted.
//!
//! It deliberately knows neither raft nor HTTP nor gRPC.

pub mod feed;
pub mod session;
pub mod switchboard;

pub use feed::Feed;
pub use session::Session;
pub use switchboard::Switchboard;
