//! What stands in a simulated member for what a real one gets from the system: threads, the network, the disk's delays,
//! sled. Only there under the feature `simulation`; `tests/simulation` runs whole clusters of such members.
//!
//! Must keep true: no thread and no socket of the system; time only from tokio, chance only from
//! [`kvorum_files::simulated::dice`]; everything else of a member is the code that serves real clients.
//!
//! What it does not do: decide anything. Which faults come when is the business of `tests/simulation`.

pub mod background;
pub mod end;
pub mod engine;
pub mod faults;
pub mod ledger;
pub(crate) mod log;
pub mod net;
pub mod settings;

use std::time::Duration;

use kvorum_files::simulated::dice;

/// A delay of less than `end` milliseconds.
fn delay(end: u64) -> Duration {
    Duration::from_millis(dice::below(end))
}
