//! One pass over one cluster.
//!
//! What it must keep true: it starts from the live resource, not from the watch's copy; a resource that is being deleted
//! is left alone, so that nothing is made anew behind the garbage collector's back; the status is written even when an
//! object could not be applied or the step failed, so that people see what was seen.
//!
//! Deliberately not here: any decision.

use std::error::Error as StdError;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use kvorum_crd::KvCluster;
use kvorum_plan::validate::Refusal;
use kvorum_plan::{Cluster, Observed, Plan, Step};
use time::OffsetDateTime;

use super::Context;
use crate::act::{self, ActError, Hands, Outcome};
use crate::apply::Writer;
use crate::apply::bundle::{self, BundleError};
use crate::events::Note;
use crate::observe::{ObserveError, World, observe};
use crate::status::{self, Guard};

/// Least pause after a pass that had nothing to do.
const IDLE_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Least pause after a step was given up: a plan that says "at once" would otherwise cost a core.
const GIVEN_UP_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The resource could not be read.
    #[error("the KvCluster could not be read: {0}")]
    Read(#[source] kube::Error),
    /// The cluster could not be looked at.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// An object could not be made as planned.
    #[error(transparent)]
    Apply(#[from] BundleError),
    /// The step could not be carried out.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The status could not be written.
    #[error("the status could not be written: {0}")]
    Status(#[source] kube::Error),
}

impl PassError {
    /// The variant's name, for figures.
    #[must_use]
    pub fn variant(&self) -> &'static str {
        match self {
            Self::Read(_) => "Read",
            Self::Observe(_) => "Observe",
            Self::Apply(_) => "Apply",
            Self::Act(_) => "Act",
            Self::Status(_) => "Status",
        }
    }

    /// The message with those of its sources, as far as they say more.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            let message = error.to_string();
            if !text.contains(&message) {
                text = format!("{text}: {message}");
            }
            source = error.source();
        }
        text
    }
}

/// Looks, plans and does.
pub(super) async fn pass(context: &Context, triggered: &KvCluster) -> Result<Action, PassError> {
    let Some(resource) = live(context, triggered).await? else {
        return Ok(Action::await_change());
    };
    let cluster = match Cluster::parse(&resource, &context.settings) {
        Ok(cluster) => cluster,
        Err(refusal) => return refuse(context, &resource, &refusal).await,
    };
    let world = observe(context, &cluster, &resource).await?;
    let mut plan = kvorum_plan::plan(&cluster, &world.observed);
    let applied = apply(context, &cluster, &mut plan, &world).await;
    let acted = match &applied {
        Ok(()) => {
            Hands {
                context,
                cluster: &cluster,
                resource: &resource,
                world: &world,
            }
            .act(&plan)
            .await
        }
        // What the step counts on may be missing.
        Err(_) => Ok(Outcome::Nothing),
    };
    report(context, &resource, &plan, &acted).await?;
    if let Err(error) = &applied {
        complain(context, &resource, error).await;
    }
    applied?;
    Ok(Action::requeue(pause(&plan, acted?)))
}

/// The resource as it is now; `None` when it is gone or going.
async fn live(context: &Context, triggered: &KvCluster) -> Result<Option<KvCluster>, PassError> {
    let namespace = triggered.namespace().unwrap_or_default();
    let api: Api<KvCluster> = Api::namespaced(context.client.clone(), &namespace);
    let resource = api.get_opt(&triggered.name_any()).await.map_err(PassError::Read)?;
    let staying = resource.filter(|resource| resource.metadata.deletion_timestamp.is_none());
    if staying.is_none() {
        context
            .connections
            .forget(&format!("{namespace}/{}", triggered.name_any()));
    }
    Ok(staying)
}

async fn refuse(context: &Context, resource: &KvCluster, refusal: &Refusal) -> Result<Action, PassError> {
    let observed = Observed {
        now: Timestamp::now(),
        status: resource.status.clone().unwrap_or_default(),
        ..Observed::default()
    };
    let plan = kvorum_plan::refuse(resource.metadata.generation.unwrap_or_default(), refusal, &observed);
    report(context, resource, &plan, &Ok(Outcome::Nothing)).await?;
    Ok(Action::requeue(plan.requeue_after))
}

async fn apply(context: &Context, cluster: &Cluster, plan: &mut Plan, world: &World) -> Result<(), BundleError> {
    let Some(objects) = plan.objects.take() else {
        return Ok(());
    };
    let writer = Writer {
        client: context.client.clone(),
        namespace: &cluster.namespace,
        metrics: &context.metrics,
    };
    bundle::apply(&writer, cluster, objects, &world.live, OffsetDateTime::now_utc()).await?;
    Ok(())
}

/// Tells what was seen and done: in the status, in figures, in the log, in events.
async fn report(
    context: &Context,
    resource: &KvCluster,
    plan: &Plan,
    acted: &Result<Outcome, ActError>,
) -> Result<(), PassError> {
    let cluster = format!("{}/{}", resource.namespace().unwrap_or_default(), resource.name_any());
    match acted {
        Ok(Outcome::Done) => {
            context.metrics.step(act::kind(&plan.step));
            tracing::info!(cluster, step = ?plan.step, "did");
        }
        Ok(Outcome::GivenUp(why)) => tracing::info!(cluster, step = ?plan.step, why, "gave up, to decide anew"),
        Ok(Outcome::Nothing) | Err(_) => tracing::debug!(cluster, step = ?plan.step, "nothing done"),
    }
    // An intent has been written with its status already, or must not be written at all.
    let changed = match plan.step {
        Step::PersistIntent(_) => acted.is_ok(),
        _ => status::write(
            &context.client,
            resource,
            &plan.status,
            Guard::Anything,
            &context.metrics,
        )
        .await
        .map_err(PassError::Status)?,
    };
    // Without a change there was no decision either: what the plan has to tell was told when it changed.
    if changed || matches!(acted, Ok(Outcome::Done)) {
        publish(context, resource, plan).await;
    }
    Ok(())
}

/// Tells that something could not be made as planned: a quota, a webhook or missing rights, which only a person can change.
async fn complain(context: &Context, resource: &KvCluster, error: &BundleError) {
    let note = Note {
        warning: true,
        reason: "ApplyFailed".to_owned(),
        action: "Apply".to_owned(),
        text: error.to_string(),
        pod: None,
    };
    context.metrics.write("event");
    context.events.publish(&resource.object_ref(&()), note).await;
}

async fn publish(context: &Context, resource: &KvCluster, plan: &Plan) {
    let regarding = resource.object_ref(&());
    for event in &plan.events {
        let note = Note {
            warning: event.severity == kvorum_plan::Severity::Warning,
            reason: event.reason.to_owned(),
            action: event.action.to_owned(),
            text: event.note.clone(),
            pod: event.slot.map(|slot| format!("{}-{slot}-0", resource.name_any())),
        };
        context.metrics.write("event");
        context.events.publish(&regarding, note).await;
    }
}

/// When to look again: when the plan says so, but not at once when nothing was done.
fn pause(plan: &Plan, outcome: Outcome) -> Duration {
    match outcome {
        Outcome::Done => plan.requeue_after,
        Outcome::Nothing => plan.requeue_after.max(IDLE_PAUSE_MIN),
        Outcome::GivenUp(_) => plan.requeue_after.max(GIVEN_UP_PAUSE_MIN),
    }
}
