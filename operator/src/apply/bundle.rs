//! Makes everything that one cluster needs be as planned, in a fixed order, and clears away what is left over.
//!
//! What it must keep true:
//! 1. The bundle is taken apart without a rest pattern: what the planner adds to it cannot be forgotten here.
//! 2. Certificates come before the StatefulSets that mount them.
//! 3. Never deleted here: volume claims, StatefulSets, authorities. Those go through `Step::Discard` or not at all.
//!    Anything else that this very `KvCluster` controls, that carries our label and is not in the bundle, is left over
//!    from an earlier shape and goes.
//!
//! Deliberately not here: how one object is compared and written (`apply`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Resource, ResourceExt, api::Patch, api::PatchParams};
use kvorum_plan::Cluster;
use kvorum_plan::objects::{ClaimChange, MemberObjects, Objects};
use time::OffsetDateTime;

use super::{ApplyError, Child, FIELD_MANAGER, Writer};
use crate::certs::{self, CertificateError, Made};
use crate::observe::live::{ByName, Live};

/// Why a bundle could not be applied as a whole. What came before the failure stays applied.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// One of its objects.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// One of its certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Applies the bundle to what is `live`. Says how many objects were written.
///
/// # Errors
/// The first object that could not be applied.
pub async fn apply(
    writer: &Writer<'_>,
    cluster: &Cluster,
    objects: Objects,
    live: &Live,
    now: OffsetDateTime,
) -> Result<usize, BundleError> {
    let certificates = certs::Wanted {
        authorities: &objects.authorities,
        leaves: &objects.leaves,
        published: &objects.published_ca,
    };
    let Made {
        new_authorities,
        secrets,
        published,
        lost: _,
    } = certs::make(certificates, &live.secrets, now)?;
    let wanted = Names::of(&objects);
    let Objects {
        service_account,
        network_policy,
        disruption_budget,
        peer_service,
        client_service,
        authorities: _,  // made into Secrets above
        leaves: _,       // likewise
        published_ca: _, // filled in above
        members,
        claims,
    } = objects;
    let mut pass = Pass { writer, written: 0 };
    pass.ensure(&live.service_accounts, service_account).await?;
    pass.ensure(&live.network_policies, network_policy).await?;
    pass.ensure(&live.budgets, disruption_budget).await?;
    pass.ensure(&live.services, peer_service).await?;
    pass.ensure(&live.services, client_service).await?;
    for authority in new_authorities {
        writer.create(authority).await?;
        pass.written += 1;
    }
    for secret in secrets {
        pass.ensure(&live.secrets, secret).await?;
    }
    if let Some(published) = published {
        pass.ensure(&live.config_maps, published).await?;
    }
    for (_, MemberObjects { config, statefulset }) in members {
        pass.ensure(&live.config_maps, config).await?;
        pass.ensure(&live.statefulsets, statefulset).await?;
    }
    for change in claims {
        pass.claim(change).await?;
    }
    pass.clear(cluster, live, &wanted).await?;
    Ok(pass.written)
}

struct Pass<'a> {
    writer: &'a Writer<'a>,
    written: usize,
}

impl Pass<'_> {
    async fn ensure<K: Child>(&mut self, live: &ByName<K>, wanted: K) -> Result<(), ApplyError> {
        let written = self.writer.ensure(live.get(&wanted.name_any()), wanted).await?;
        self.written += usize::from(written);
        Ok(())
    }

    /// Gives a claim its owner, or takes ours away; a field of our own in an object that is not ours.
    async fn claim(&mut self, change: ClaimChange) -> Result<(), ApplyError> {
        let ClaimChange { name, uid, owner } = change;
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            // Names the very claim that was looked at: another of the same name is refused.
            uid: Some(uid),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let claim = PersistentVolumeClaim {
            metadata,
            ..PersistentVolumeClaim::default()
        };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.writer.client.clone(), self.writer.namespace);
        self.writer.metrics.write("apply");
        self.written += 1;
        let applied = api
            .patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&claim))
            .await;
        let kind = PersistentVolumeClaim::kind(&()).into_owned();
        applied
            .map(drop)
            .map_err(|source| ApplyError::Refused { kind, name, source })
    }

    /// Deletes what is left over.
    async fn clear(&mut self, cluster: &Cluster, live: &Live, wanted: &Names) -> Result<(), ApplyError> {
        self.clear_kind(cluster, &live.services, &wanted.services).await?;
        self.clear_kind(cluster, &live.config_maps, &wanted.config_maps).await?;
        self.clear_kind(cluster, &live.service_accounts, &wanted.named_as_cluster)
            .await?;
        self.clear_kind(cluster, &live.network_policies, &wanted.named_as_cluster)
            .await?;
        self.clear_kind(cluster, &live.budgets, &wanted.named_as_cluster)
            .await?;
        let leaves = live.secrets.iter().filter(|(name, _)| is_member_leaf(cluster, name));
        let leaves: ByName<Secret> = leaves.map(|(name, secret)| (name.clone(), secret.clone())).collect();
        self.clear_kind(cluster, &leaves, &wanted.secrets).await
    }

    async fn clear_kind<K: Child>(
        &mut self,
        cluster: &Cluster,
        live: &ByName<K>,
        wanted: &BTreeSet<String>,
    ) -> Result<(), ApplyError> {
        for (name, object) in live {
            if !wanted.contains(name) && is_ours(cluster, object) {
                tracing::info!(kind = %K::kind(&()), name, "deleted what was left over");
                self.writer.delete(object).await?;
                self.written += 1;
            }
        }
        Ok(())
    }
}

/// Whether this very `KvCluster` (not one of its name before it) controls the object, and nobody deletes it yet.
fn is_ours<K: Resource>(cluster: &Cluster, object: &K) -> bool {
    let controller = object
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    controller.is_some_and(|owner| owner.uid == cluster.uid) && object.meta().deletion_timestamp.is_none()
}

/// Whether a Secret holds a member's certificates, which can always be made anew.
fn is_member_leaf(cluster: &Cluster, name: &str) -> bool {
    name.strip_suffix("-tls")
        .and_then(|member| cluster.name.slot_of(member))
        .is_some()
}

/// Names that the bundle uses, by kind.
struct Names {
    services: BTreeSet<String>,
    config_maps: BTreeSet<String>,
    secrets: BTreeSet<String>,
    /// The account, the budget and the policy, of which there is one each.
    named_as_cluster: BTreeSet<String>,
}

impl Names {
    fn of(objects: &Objects) -> Self {
        let configs = objects.members.values().map(|member| member.config.name_any());
        let authorities = objects.authorities.iter().map(|authority| authority.secret.clone());
        let single = [
            objects.service_account.name_any(),
            objects.network_policy.name_any(),
            objects.disruption_budget.name_any(),
        ];
        Names {
            services: BTreeSet::from([objects.peer_service.name_any(), objects.client_service.name_any()]),
            config_maps: configs.chain([objects.published_ca.name_any()]).collect(),
            secrets: objects
                .leaves
                .iter()
                .map(|leaf| leaf.secret.clone())
                .chain(authorities)
                .collect(),
            named_as_cluster: BTreeSet::from(single),
        }
    }
}
