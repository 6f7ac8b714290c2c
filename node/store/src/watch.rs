//! Watches: who is told of which event.
//!
//! A [`Hub`] takes the events of each applied batch and queues them for the watchers they concern, found through an
//! index over ranges, so that a write costs nothing for watchers elsewhere. It is pure: it neither waits nor reads;
//! whoever owns it publishes batches, takes what is queued and reads history for watchers that are behind.
//!
//! ```text
//!             watch ──► live ◄───────────── advance (level with the hub, or within `recent`)
//!                        │                     ▲
//!  publish ─► queue ─► take                    │ replayed from a View, whole revisions
//!                        │                     │
//!                        └── queue full, gap ─► behind ──► catch_up (or: compacted, the watcher is gone)
//! ```
//!
//! What must stay true, for each watcher on its own:
//! 1. Every event of its range and kind, from its start on, comes once, and in the order of revisions.
//! 2. A revision is never split between two deliveries, nor between what is queued and what is replayed.
//! 3. What waits for a watcher is bounded, and so is what waits for all; who has no room is caught up from history.
//!
//! **A worked example.** A watcher starts at 5 while the hub is at 9 and remembers events from 8 on: it is behind. A
//! replay of a view at 9 gives it 5 to 9; meanwhile 10 and 11 were published. `advance` to 10 finds both among the
//! recent events, queues them, and the watcher is live: nothing is missing, nothing comes twice.
//!
//! **Caveats.** A hub trails the store by the batches that were applied and not published yet; a watcher that starts
//! above the hub's revision is live at once and waits. A gap between two batches (the owner dropped some, or a snapshot
//! took the state's place) puts every live watcher behind, and history closes the gap.

mod hub;
mod intervals;
mod range;

pub use hub::{Batch, Bounds, CatchUp, Counts, Delivery, Hub, Kinds, Start, StreamKey, Taken, WatchError, Wish};
pub use range::{EmptyRange, KeyRange};

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
