//! Makes one object be what it should be, and nothing more: server-side apply when the live object falls short of it.
//!
//! What it must keep true:
//! 1. Nothing is written at rest. An object is written only when `difference` finds that the live one does not say all
//!    that is wanted. What was wanted last is part of that, as a digest in an annotation: so a field that is no longer
//!    wanted is noticed too, and the apply that follows gives it up.
//! 2. Only our fields are claimed. What others added stays.
//! 3. A deletion names the very object that was looked at (uid and resourceVersion), never just a name.
//!
//! Deliberately not here: which objects, in which order (`apply::bundle`).

pub mod bundle;
pub mod difference;

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::metrics::Metrics;

/// The name under which the API server remembers which fields are ours.
pub const FIELD_MANAGER: &str = "kvorum-operator";
/// Digest of what was applied last.
const APPLIED_ANNOTATION: &str = "kvorum.dev/applied";
/// Octets of the digest that are kept: enough that two versions of one object do not meet.
const DIGEST_BYTES: usize = 12;

/// The API server's code for an object that is well-formed but invalid.
const UNPROCESSABLE: u16 = 422;

/// Why an object could not be brought to its wanted form.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused the write.
    #[error("{kind} {name} could not be applied: {source}")]
    Refused {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: kube::Error,
    },
    /// An object that should have been deleted could not be.
    #[error("{kind} {name} could not be deleted: {source}")]
    Delete {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: kube::Error,
    },
    /// The object is not a value that JSON can hold, which no built object is.
    #[error("an object could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// An object that lives in a namespace and that the operator makes.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug
{
}

/// The API server, one namespace of it, as seen by whoever writes.
#[derive(Clone)]
pub struct Writer<'a> {
    /// The connection.
    pub client: Client,
    /// The cluster's namespace.
    pub namespace: &'a str,
    /// Where writes are counted.
    pub metrics: &'a Metrics,
}

impl Writer<'_> {
    /// Applies `wanted` if `live` (`None`: there is none) falls short of it. Says whether it wrote.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn ensure<K: Child>(&self, live: Option<&K>, wanted: K) -> Result<bool, ApplyError> {
        let wanted = digested(wanted)?;
        if let Some(live) = live {
            let Some(path) = difference::first(&serde_json::to_value(&wanted)?, &serde_json::to_value(live)?) else {
                return Ok(false);
            };
            // The path only, never the values: it may be a Secret.
            tracing::info!(kind = %K::kind(&()), name = wanted.name_any(), path, "brought an object back into form");
        }
        self.metrics.write("apply");
        let name = wanted.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let mut written = self.api::<K>().patch(&name, &params, &Patch::Apply(&wanted)).await;
        if let (Err(kube::Error::Api(status)), Some(live)) = (&written, live)
            && status.code == UNPROCESSABLE
            && self.overwrite_lists(live, &wanted).await?
        {
            self.metrics.write("apply");
            written = self.api::<K>().patch(&name, &params, &Patch::Apply(&wanted)).await;
        }
        written.map(|_| true).map_err(|source| ApplyError::Refused {
            kind: K::kind(&()).into_owned(),
            name,
            source,
        })
    }

    /// Puts our lists in the place of those that differ. Server-side apply tells elements apart by a key; whoever edits the
    /// key of ours makes it an element of their own, which apply leaves where it is, beside ours, even where two such
    /// elements exclude each other (two ports of one name). What others added to such a list goes. Says whether it wrote.
    async fn overwrite_lists<K: Child>(&self, live: &K, wanted: &K) -> Result<bool, ApplyError> {
        let lists = difference::lists(&serde_json::to_value(wanted)?, &serde_json::to_value(live)?);
        let Some(mut lists) = lists else {
            return Ok(false);
        };
        // Only what was looked at is overwritten.
        lists["metadata"]["resourceVersion"] = live.resource_version().into();
        tracing::info!(kind = %K::kind(&()), name = wanted.name_any(), "overwrites lists that apply cannot mend");
        self.metrics.write("patch");
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let written = self
            .api::<K>()
            .patch(&wanted.name_any(), &params, &Patch::Merge(&lists))
            .await;
        written.map(|_| true).map_err(|source| ApplyError::Refused {
            kind: K::kind(&()).into_owned(),
            name: wanted.name_any(),
            source,
        })
    }

    /// Creates `wanted`; fails if there is one already.
    ///
    /// # Errors
    /// The API server refused, or there is one.
    pub async fn create<K: Child>(&self, wanted: K) -> Result<(), ApplyError> {
        let wanted = digested(wanted)?;
        self.metrics.write("create");
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = self.api::<K>().create(&params, &wanted).await;
        let (kind, name) = (K::kind(&()).into_owned(), wanted.name_any());
        written
            .map(drop)
            .map_err(|source| ApplyError::Refused { kind, name, source })
    }

    /// Deletes exactly the object that was looked at. One that is gone or has changed since is left to the next pass.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn delete<K: Child>(&self, live: &K) -> Result<(), ApplyError> {
        let preconditions = Preconditions {
            uid: live.uid(),
            resource_version: live.resource_version(),
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::background()
        };
        self.metrics.write("delete");
        match self.api::<K>().delete(&live.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(ApplyError::Delete {
                kind: K::kind(&()).into_owned(),
                name: live.name_any(),
                source,
            }),
        }
    }

    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

/// The object with the digest of its content on it.
fn digested<K: Child>(mut wanted: K) -> Result<K, ApplyError> {
    let digest = Sha256::digest(serde_json::to_vec(&wanted)?);
    let annotations = wanted.meta_mut().annotations.get_or_insert_default();
    annotations.insert(APPLIED_ANNOTATION.to_owned(), hex::encode(&digest[..DIGEST_BYTES]));
    Ok(wanted)
}
