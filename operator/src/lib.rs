//! The Kvorum operator: watch, observe, plan, apply, act, report.
//!
//! What it is for: the hands of `kvorum-plan`. What it must keep true: deciding happens in the plan; here is only how to
//! look and how to do. What it deliberately does not do: know what a healthy cluster is.

pub mod act;
pub mod apply;
pub mod backoff;
pub mod certs;
pub mod cluster_domain;
pub mod controller;
pub mod events;
pub mod labels;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod options;
pub mod status;
pub mod telemetry;
