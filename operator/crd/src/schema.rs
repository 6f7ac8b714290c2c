//! Schemas of Kubernetes' own types, embedded without their descriptions.
//!
//! `Affinity` alone brings 70 KB of prose that `kubectl explain pod.spec` already has. The fields, types and limits stay;
//! only the text goes. Every function here is named in a `schema_with` of `cluster.rs`.

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::collections::BTreeMap;

/// Entries that one list of the pod section may hold; enough for any real cluster, and it bounds what CEL may cost.
const LIST_ITEMS_MAX: u32 = 32;
/// Entries that one map of the pod section may hold.
const MAP_ENTRIES_MAX: u32 = 64;

/// Removes `description` from a schema and everything below it.
struct StripDescriptions;

impl Transform for StripDescriptions {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("description");
        transform_subschemas(self, schema);
    }
}

fn stripped<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    StripDescriptions.transform(&mut schema);
    schema
}

fn bounded_list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = stripped::<Vec<T>>(generator);
    schema.insert("maxItems".to_owned(), LIST_ITEMS_MAX.into());
    schema
}

fn bounded_map<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = stripped::<BTreeMap<String, T>>(generator);
    schema.insert("maxProperties".to_owned(), MAP_ENTRIES_MAX.into());
    schema
}

pub(crate) fn affinity(generator: &mut SchemaGenerator) -> Schema {
    stripped::<Affinity>(generator)
}

pub(crate) fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    bounded_list::<Toleration>(generator)
}

pub(crate) fn spread_constraints(generator: &mut SchemaGenerator) -> Schema {
    bounded_list::<TopologySpreadConstraint>(generator)
}

pub(crate) fn pull_secrets(generator: &mut SchemaGenerator) -> Schema {
    bounded_list::<LocalObjectReference>(generator)
}

pub(crate) fn quantities(generator: &mut SchemaGenerator) -> Schema {
    bounded_map::<Quantity>(generator)
}

pub(crate) fn strings(generator: &mut SchemaGenerator) -> Schema {
    bounded_map::<String>(generator)
}
