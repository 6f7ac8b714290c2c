//! The labels by which the operator finds what belongs to a cluster.
//!
//! What it must keep true: the same words as the planner puts on the objects it builds (a test in `observe` holds them
//! together).
//!
//! Deliberately not here: putting labels on anything.

/// The cluster's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Selects everything that this operator manages, of all clusters.
pub const MANAGED_BY_SELECTOR: &str = "app.kubernetes.io/managed-by=kvorum-operator";

/// Selects everything that belongs to one cluster.
#[must_use]
pub fn of_cluster(name: &str) -> String {
    format!("{MANAGED_BY_SELECTOR},{INSTANCE}={name}")
}
