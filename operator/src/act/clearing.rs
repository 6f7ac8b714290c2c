//! Deleting what the planner names: a pod to be made anew, or what is left of a member.
//!
//! What it must keep true: every deletion names the uid that was planned on; what is gone already is no failure.
//!
//! Deliberately not here: the looks beforehand (`act::looking`).

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Resource};
use kvorum_plan::names::{MemberId, Slot};
use serde::de::DeserializeOwned;

use super::{ActError, Hands, Outcome};

/// What is left of a member, by uid.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Its StatefulSet.
    pub statefulset: Option<&'a str>,
    /// Its volume claim.
    pub claim: Option<&'a str>,
}

impl Hands<'_> {
    /// Deletes a pod, so that its StatefulSet makes it anew.
    pub(super) async fn restart(
        &self,
        step: &'static str,
        slot: Slot,
        pod_uid: &str,
        healthy: bool,
    ) -> Result<Outcome, ActError> {
        let objection = if healthy {
            self.objection_to_restart().await
        } else {
            self.objection_to_cure(step, slot).await?
        };
        if let Some(objection) = objection {
            return Ok(Outcome::GivenUp(objection.to_owned()));
        }
        self.delete::<Pod>(step, &self.cluster.name.pod(slot), pod_uid).await?;
        Ok(Outcome::Done)
    }

    /// Deletes a StatefulSet (its pod goes with it), then its volume claim, which stays until the pod is gone.
    pub(super) async fn discard(
        &self,
        step: &'static str,
        slot: Slot,
        parts: Parts<'_>,
        member_id: Option<MemberId>,
    ) -> Result<Outcome, ActError> {
        let name = self.cluster.name.member(slot);
        if let Some(objection) = self.objection_to_discard(&name, member_id).await {
            return Ok(Outcome::GivenUp(objection.to_owned()));
        }
        let Parts { statefulset, claim } = parts;
        if let Some(uid) = statefulset {
            self.delete::<StatefulSet>(step, &name, uid).await?;
        }
        if let Some(uid) = claim {
            self.delete::<PersistentVolumeClaim>(step, &self.cluster.name.claim(slot), uid)
                .await?;
        }
        Ok(Outcome::Done)
    }

    async fn delete<K>(&self, step: &'static str, name: &str, uid: &str) -> Result<(), ActError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.context.client.clone(), &self.cluster.namespace);
        let preconditions = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::background()
        };
        self.context.metrics.write("delete");
        match api.delete(name, &params).await {
            Ok(_) => Ok(()),
            // Gone, or another of the same name: the next pass looks.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(ActError::Api { step, source }),
        }
    }
}
