//! The workload of the scenarios: many clients that write, read and swap through the store's HTTPS JSON door without
//! pause, write down what they did and saw, and in the end say whether anything was lost.
//!
//! `wire` speaks to the store, `ledger` keeps the books, `workload` drives the clients, `door` answers the scenario,
//! `demonstration` shows one write and one read to a person.

pub mod demonstration;
pub mod dice;
pub mod door;
pub mod ledger;
pub mod pause;
pub mod wire;
pub mod workload;
