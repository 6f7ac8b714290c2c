//! What wakes a pass over a cluster: a change of its `KvCluster`, and any event of any object that belongs to it.
//!
//! What it must keep true: deletions of children count (so no predicate is ever put on them); the status that we write
//! ourselves does not; children are watched by metadata only, filtered by the operator's label, and none is kept in
//! memory. A child is traced to its cluster by its owner *and* by its label, so that neither can be edited away.
//!
//! Deliberately not here: what a pass does.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use kvorum_crd::KvCluster;
use serde::de::DeserializeOwned;

use crate::labels;

/// Objects per page of the first listing; bounds the memory of one answer.
const PAGE_SIZE: u32 = 500;

/// A controller over one namespace (`None`: all), with every watch it needs.
pub(super) fn controller(client: &Client, namespace: Option<&str>, concurrency: u16) -> Controller<KvCluster> {
    let (reader, writer) = reflector::store();
    let clusters = watcher(
        api::<KvCluster>(client, namespace),
        watcher::Config::default().page_size(PAGE_SIZE),
    )
    .default_backoff()
    .modify(|cluster| cluster.managed_fields_mut().clear())
    .reflect(writer)
    .applied_objects()
    .predicate_filter(wakes(), PredicateConfig::default());
    let controller = Controller::for_stream(clusters, reader).with_config(Config::default().concurrency(concurrency));
    let watch = Watch { client, namespace };
    let controller = watch.children::<StatefulSet>(controller);
    let controller = watch.children::<Pod>(controller);
    let controller = watch.children::<Service>(controller);
    let controller = watch.children::<ConfigMap>(controller);
    let controller = watch.children::<Secret>(controller);
    let controller = watch.children::<ServiceAccount>(controller);
    let controller = watch.children::<PodDisruptionBudget>(controller);
    watch.children::<NetworkPolicy>(controller)
}

/// What of a `KvCluster` matters: everything a user can change, and not its status.
fn wakes() -> impl Predicate<KvCluster> {
    predicates::generation
        .combine(predicates::labels)
        .combine(predicates::annotations)
        .combine(predicates::finalizers)
}

struct Watch<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
}

impl Watch<'_> {
    fn children<K>(&self, controller: Controller<KvCluster>) -> Controller<KvCluster>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let config = watcher::Config::default()
            .page_size(PAGE_SIZE)
            .labels(labels::MANAGED_BY_SELECTOR);
        controller.watches(
            api::<PartialObjectMeta<K>>(self.client, self.namespace),
            config,
            |child| clusters_of(&child),
        )
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The clusters that a child may belong to: one, unless somebody edited its label.
fn clusters_of<K: Resource>(child: &K) -> Vec<ObjectRef<KvCluster>> {
    let Some(namespace) = child.namespace() else {
        return Vec::new();
    };
    let owners = child
        .owner_references()
        .iter()
        .filter(|owner| owner.kind == KvCluster::kind(&()));
    let mut names: Vec<&str> = owners.map(|owner| owner.name.as_str()).collect();
    names.extend(child.labels().get(labels::INSTANCE).map(String::as_str));
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| ObjectRef::new(name).within(&namespace))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
    use std::collections::BTreeMap;
    use test_case::test_case;

    #[test_case(None, Some("demo") => vec!["demo"]; "a pod, or an authority that nobody owns")]
    #[test_case(Some("demo"), Some("demo") => vec!["demo"]; "a child")]
    #[test_case(Some("demo"), Some("other") => vec!["demo", "other"]; "its label was edited")]
    #[test_case(Some("demo"), None => vec!["demo"]; "its label was removed")]
    #[test_case(None, None => Vec::<String>::new(); "a stranger")]
    fn traced(owner: Option<&str>, label: Option<&str>) -> Vec<String> {
        let owner = owner.map(|name| OwnerReference {
            kind: "KvCluster".to_owned(),
            name: name.to_owned(),
            ..OwnerReference::default()
        });
        let labels = label.map(|name| BTreeMap::from([(labels::INSTANCE.to_owned(), name.to_owned())]));
        let metadata = ObjectMeta {
            namespace: Some("ns".to_owned()),
            owner_references: owner.map(|owner| vec![owner]),
            labels,
            ..ObjectMeta::default()
        };
        clusters_of(&Secret {
            metadata,
            ..Secret::default()
        })
        .into_iter()
        .map(|found| found.name)
        .collect()
    }
}
