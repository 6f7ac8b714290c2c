//! The loop: a pass over a cluster whenever something of it changed, and when the plan said so.
//!
//! What it must keep true: [`reconcile`] is validate → observe → plan → apply → act → report → requeue, and decides
//! nothing. A pass that failed is tried again with a growing pause, per cluster; the number of passes at once is bounded.
//!
//! Deliberately not here: every one of those five verbs.

mod pass;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kvorum_crd::KvCluster;
use kvorum_plan::Settings;
use tokio_util::sync::CancellationToken;

use crate::act::ActError;
use crate::backoff::Backoff;
use crate::cluster_domain;
use crate::events::Events;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::members::Connections;
use crate::options::RunOptions;

pub use pass::PassError;

/// Longest pause before a pass whose step failed at a node is tried again.
const NODE_RETRY_MAX: Duration = Duration::from_secs(3);

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The operator's figures.
    pub metrics: Arc<Metrics>,
    /// Whether, and in which epoch, this replica leads.
    pub leadership: Leadership,
    /// Connections to nodes.
    pub connections: Connections,
    /// What people are told.
    pub events: Events,
    /// What the planner must know of this installation.
    pub settings: Settings,
    backoff: Backoff,
}

impl Context {
    /// The context of an operator set up with these options.
    #[must_use]
    pub fn new(
        client: Client,
        metrics: Arc<Metrics>,
        leadership: Leadership,
        options: &RunOptions,
        identity: &str,
    ) -> Self {
        let cluster_domain = options.cluster_domain.clone().unwrap_or_else(cluster_domain::detect);
        Context {
            events: Events::new(client.clone(), identity),
            client,
            metrics,
            leadership,
            connections: Connections::default(),
            settings: Settings {
                cluster_domain,
                node_image: options.image.clone(),
            },
            backoff: Backoff::default(),
        }
    }
}

/// Runs until `stop` is cancelled and the passes in flight have ended. `namespaces`: which ones; empty means all.
pub async fn run(context: Arc<Context>, namespaces: &[String], concurrency: u16, stop: CancellationToken) {
    let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|name| Some(name.as_str())).collect()
    };
    let controllers = scopes.into_iter().map(|scope| {
        let passes = streams::controller(&context.client, scope, concurrency)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(reconcile, retry, context.clone());
        passes.for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "a pass or a watch failed");
            }
        })
    });
    join_all(controllers).await;
}

/// One pass over one cluster.
async fn reconcile(triggered: Arc<KvCluster>, context: Arc<Context>) -> Result<Action, PassError> {
    let started = std::time::Instant::now();
    let result = pass::pass(&context, &triggered).await;
    context
        .metrics
        .pass(started.elapsed(), result.as_ref().err().map(PassError::variant));
    let key = ObjectRef::from_obj(&*triggered).to_string();
    if result.is_ok() {
        context.backoff.forget(&key);
    }
    result
}

/// When to try again after a failed pass.
fn retry(triggered: Arc<KvCluster>, error: &PassError, context: Arc<Context>) -> Action {
    let cluster = ObjectRef::from_obj(&*triggered).to_string();
    // A node that did not answer may do so in a moment, and asking again costs the API server nothing to speak of.
    let longest = if matches!(error, PassError::Act(ActError::Node { .. })) {
        NODE_RETRY_MAX
    } else {
        Duration::MAX
    };
    let wait = context.backoff.failed(&cluster).min(longest);
    tracing::warn!(
        cluster,
        error = error.chain(),
        retry_ms = wait.as_millis(),
        "a pass failed"
    );
    Action::requeue(wait)
}
