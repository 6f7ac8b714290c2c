//! Faults on purpose: what is done to a cluster, and what does it.
//!
//! [`nemesis`] decides out of a seed and is pure, as is [`links`], which says what a network does to packets. [`network`]
//! and [`act`] do it: real network namespaces, signals, and clocks that jump.

pub mod act;
pub mod clock;
pub mod links;
pub mod nemesis;
pub mod network;
