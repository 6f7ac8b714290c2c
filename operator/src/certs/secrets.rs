//! The shape in which certificates are kept in the API server: one Secret per authority, per member, for the operator
//! and for applications.
//!
//! What it must keep true: Secrets that carry authorities belong to nobody that could be garbage-collected by accident
//! (the owner reference comes from the caller, who gives none while volumes are to be retained); reading tolerates any
//! content.
//!
//! Deliberately not here: what goes in (`certs`), and writing to the API server (`apply`).

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::authority::Pair;

/// Annotation on an authority's Secret: the cluster whose authority it is, 16 hex digits.
pub const CLUSTER_ID_ANNOTATION: &str = "kvorum.dev/cluster-id";

/// Keys of a certificate, its private key and its authority in Secrets of Kubernetes' own `tls` form.
pub const TLS_CRT: &str = "tls.crt";
/// The private key in Secrets of Kubernetes' own `tls` form.
pub const TLS_KEY: &str = "tls.key";
/// The authority that the other side's certificate is checked against; also the key in the published ConfigMap.
pub const CA_CRT: &str = "ca.crt";
/// A member's certificate towards clients.
pub const SERVER_CRT: &str = "server.crt";
/// Its key.
pub const SERVER_KEY: &str = "server.key";
/// A member's certificate towards peers.
pub const PEER_CRT: &str = "peer.crt";
/// Its key.
pub const PEER_KEY: &str = "peer.key";
/// The authority of clients, as mounted into a member.
pub const CLIENT_CA_CRT: &str = "client-ca.crt";
/// The authority of peers, as mounted into a member.
pub const PEER_CA_CRT: &str = "peer-ca.crt";

/// Metadata that all objects of a cluster share, taken from one that the planner built.
#[derive(Clone, Debug)]
pub struct Shared {
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl Shared {
    /// The namespace, labels and owner of `built`.
    #[must_use]
    pub fn with(built: &ObjectMeta) -> Self {
        Shared {
            namespace: built.namespace.clone(),
            labels: built.labels.clone(),
            owner_references: built.owner_references.clone(),
        }
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.namespace.clone(),
            labels: self.labels.clone(),
            owner_references: self.owner_references.clone(),
            ..ObjectMeta::default()
        }
    }

    /// The Secret of an authority. `owned`: whether it goes when the `KvCluster` goes.
    #[must_use]
    pub fn authority(&self, name: &str, cluster_id: &str, owned: bool, pair: &Pair) -> Secret {
        let mut metadata = self.metadata(name);
        if !owned {
            metadata.owner_references = None;
        }
        metadata.annotations = Some(BTreeMap::from([(
            CLUSTER_ID_ANNOTATION.to_owned(),
            cluster_id.to_owned(),
        )]));
        tls(metadata, [(TLS_CRT, &pair.certificate), (TLS_KEY, &pair.key)])
    }

    /// The Secret of a client: the operator or applications.
    #[must_use]
    pub fn client(&self, name: &str, pair: &Pair, authority: &str) -> Secret {
        tls(
            self.metadata(name),
            [(TLS_CRT, &pair.certificate), (TLS_KEY, &pair.key), (CA_CRT, authority)],
        )
    }

    /// The Secret that a member mounts.
    #[must_use]
    pub fn member(&self, name: &str, member: &MemberFiles) -> Secret {
        // Taken apart without `..`, so that a new file cannot be forgotten here.
        let MemberFiles {
            server,
            peer,
            client_authority,
            peer_authority,
        } = member;
        let files = [
            (SERVER_CRT, server.certificate.as_str()),
            (SERVER_KEY, &server.key),
            (PEER_CRT, &peer.certificate),
            (PEER_KEY, &peer.key),
            (CLIENT_CA_CRT, client_authority),
            (PEER_CA_CRT, peer_authority),
        ];
        secret(self.metadata(name), "Opaque", files)
    }
}

/// What a member finds in its certificate folder.
#[derive(Clone, Debug)]
pub struct MemberFiles {
    /// Shown to clients.
    pub server: Pair,
    /// Shown to peers.
    pub peer: Pair,
    /// Trusted for clients, PEM.
    pub client_authority: String,
    /// Trusted for peers, PEM.
    pub peer_authority: String,
}

fn tls<const N: usize>(metadata: ObjectMeta, files: [(&str, &str); N]) -> Secret {
    secret(metadata, "kubernetes.io/tls", files)
}

fn secret<const N: usize>(metadata: ObjectMeta, kind: &str, files: [(&str, &str); N]) -> Secret {
    let data = files.map(|(file, text)| (file.to_owned(), ByteString(text.as_bytes().to_vec())));
    Secret {
        metadata,
        data: Some(BTreeMap::from(data)),
        type_: Some(kind.to_owned()),
        ..Secret::default()
    }
}

/// One file of a Secret as text; `None` when it is absent, empty or no text.
#[must_use]
pub fn text(secret: &Secret, file: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(file)?;
    let text = String::from_utf8(bytes.0.clone()).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

/// A certificate and its key out of a Secret.
#[must_use]
pub fn pair(secret: &Secret, certificate: &str, key: &str) -> Option<Pair> {
    Some(Pair {
        certificate: text(secret, certificate)?,
        key: text(secret, key)?,
    })
}

/// A member's files; `None` when one is missing.
#[must_use]
pub fn member(secret: &Secret) -> Option<MemberFiles> {
    Some(MemberFiles {
        server: pair(secret, SERVER_CRT, SERVER_KEY)?,
        peer: pair(secret, PEER_CRT, PEER_KEY)?,
        client_authority: text(secret, CLIENT_CA_CRT)?,
        peer_authority: text(secret, PEER_CA_CRT)?,
    })
}
