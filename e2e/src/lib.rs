//! What the end-to-end work is made of: a real Kubernetes on this machine (`cluster`), the images it runs (`images`),
//! and the workload that scenarios watch while they break things (`client`, with its `history` and `report`).
//!
//! Nothing here knows Kvorum from the inside: the programs are run as a user would run them and spoken to through their
//! public doors.

pub mod history;
pub mod report;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "cluster")]
pub mod images;
