//! Everything in the API server that belongs to one cluster, read once per pass.
//!
//! What it must keep true: read from the API server itself, never from a cache: every list is consistent at the moment of
//! its call. A pass costs a fixed number of calls, all at once.
//!
//! Deliberately not here: what it means (`observe::seen`).

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::labels;

/// Objects of one kind, by name.
pub type ByName<K> = BTreeMap<String, K>;

/// What exists of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// One per member.
    pub statefulsets: ByName<StatefulSet>,
    /// One per member, made by its StatefulSet.
    pub pods: ByName<Pod>,
    /// One per member, made by its StatefulSet.
    pub claims: ByName<PersistentVolumeClaim>,
    /// For peers and for clients.
    pub services: ByName<Service>,
    /// One per member, and the published authority.
    pub config_maps: ByName<ConfigMap>,
    /// Authorities and certificates.
    pub secrets: ByName<Secret>,
    /// The members' account.
    pub service_accounts: ByName<ServiceAccount>,
    /// The disruption budget.
    pub budgets: ByName<PodDisruptionBudget>,
    /// Who may talk to members.
    pub network_policies: ByName<NetworkPolicy>,
}

impl Live {
    /// Reads all of it. `precious` are Secrets that must not be taken for absent because somebody removed their label:
    /// they are looked up by name when the list lacks them.
    ///
    /// # Errors
    /// One of the lists failed.
    pub async fn read(client: &Client, namespace: &str, cluster: &str, precious: &[String]) -> kube::Result<Self> {
        let params = ListParams::default().labels(&labels::of_cluster(cluster));
        let (statefulsets, pods, claims, services, config_maps, secrets, service_accounts, budgets, network_policies) =
            tokio::try_join!(
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
                list(client, namespace, &params),
            )?;
        let secrets = with_precious(client, namespace, secrets, precious).await?;
        Ok(Live {
            statefulsets,
            pods,
            claims,
            services,
            config_maps,
            secrets,
            service_accounts,
            budgets,
            network_policies,
        })
    }
}

async fn with_precious(
    client: &Client,
    namespace: &str,
    mut secrets: ByName<Secret>,
    precious: &[String],
) -> kube::Result<ByName<Secret>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in precious {
        if !secrets.contains_key(name)
            && let Some(secret) = api.get_opt(name).await?
        {
            secrets.insert(name.clone(), secret);
        }
    }
    Ok(secrets)
}

async fn list<K>(client: &Client, namespace: &str, params: &ListParams) -> kube::Result<ByName<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api.list(params).await?;
    Ok(found
        .items
        .into_iter()
        .map(|object| (object.name_any(), object))
        .collect())
}
