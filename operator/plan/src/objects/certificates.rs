//! Which authorities and which leaves must exist, with which names and for how long, and whether what exists will do.
//!
//! Identity is in the URI: `kvorum://<cluster-id>/<member name>` for members, `kvorum://<cluster-id>/operator` for the
//! operator. One leaf Secret per member. Two authorities, so that a client's certificate can never join the members.
//!
//! It must keep true: an authority that members' certificates came from is never made anew because its Secret is gone.
//! Members would distrust each other, and clients all of them, from one moment to the next; a person decides (`lost`).

use super::{Action, Authority, AuthorityKind, Cause, Leaf, LeafKind};
use crate::names::{ClusterId, Slot};
use crate::observed::LeafSeen;
use crate::view::View;
use k8s_openapi::jiff::Timestamp;
use kvorum_crd::cluster::Reclaim;
use std::collections::BTreeSet;

/// Validity of an authority, in days: ten years, since replacing one takes every member along.
const AUTHORITY_DAYS: u32 = 3_650;
/// Validity of a leaf, in days. Nodes reload renewed leaves without a restart, so short costs nothing.
const LEAF_DAYS: u32 = 90;

/// Secrets of authorities that are gone although members still use certificates that they signed.
pub(crate) fn lost(view: &View<'_>) -> Vec<String> {
    let (name, certificates) = (&view.cluster.name, &view.seen.certificates);
    let present: BTreeSet<&String> = certificates.authorities.values().map(|a| &a.fingerprint).collect();
    let members = view.slots().into_iter().map(|slot| name.member_tls(slot));
    let orphaned = members
        .filter_map(|secret| certificates.leaves.get(&secret))
        .any(|leaf| leaf.issuers.iter().any(|issuer| !present.contains(issuer)));
    let absent = |secret: &String| orphaned && !certificates.authorities.contains_key(secret);
    [name.client_ca(), name.peer_ca()].into_iter().filter(absent).collect()
}

pub(super) fn authorities(view: &View<'_>, cluster_id: ClusterId) -> Vec<Authority> {
    let name = &view.cluster.name;
    let lost = lost(view);
    let authority = |kind, secret: String| {
        let exists = view.seen.certificates.authorities.contains_key(&secret);
        let action = if exists || lost.contains(&secret) {
            Action::Keep
        } else {
            Action::Make(Cause::Absent)
        };
        let owned = view.cluster.storage.reclaim == Reclaim::Delete;
        Authority {
            secret,
            kind,
            cluster_id,
            days: AUTHORITY_DAYS,
            owned,
            action,
        }
    };
    vec![
        authority(AuthorityKind::Client, name.client_ca()),
        authority(AuthorityKind::Peer, name.peer_ca()),
    ]
}

pub(super) fn leaves(view: &View<'_>, cluster_id: ClusterId, slots: &BTreeSet<Slot>) -> Vec<Leaf> {
    let name = &view.cluster.name;
    let members = slots.iter().map(|slot| member(view, cluster_id, *slot));
    let application = Leaf {
        secret: name.application_tls(),
        kind: LeafKind::Application,
        common_name: format!("{name}-client"),
        dns: BTreeSet::new(),
        ips: BTreeSet::new(),
        uri: None,
        days: LEAF_DAYS,
        action: Action::Keep,
    };
    let operator = Leaf {
        secret: name.operator_tls(),
        kind: LeafKind::Operator,
        common_name: "kvorum-operator".to_owned(),
        uri: Some(format!("kvorum://{cluster_id}/operator")),
        ..application.clone()
    };
    let judged = |leaf: Leaf| Leaf {
        action: judge(view, &leaf),
        ..leaf
    };
    members.chain([application, operator]).map(judged).collect()
}

fn member(view: &View<'_>, cluster_id: ClusterId, slot: Slot) -> Leaf {
    let cluster = view.cluster;
    let name = cluster.name.member(slot);
    let client = cluster.name.client_service();
    let (namespace, domain) = (&cluster.namespace, &cluster.cluster_domain);
    let hosts = [
        cluster.host(slot),
        format!("{}.{domain}", cluster.host(slot)),
        client.clone(),
        format!("{client}.{namespace}"),
        format!("{client}.{namespace}.svc"),
        format!("{client}.{namespace}.svc.{domain}"),
        "localhost".to_owned(),
    ];
    Leaf {
        secret: cluster.name.member_tls(slot),
        kind: LeafKind::Member(slot),
        uri: Some(format!("kvorum://{cluster_id}/{name}")),
        common_name: name,
        dns: BTreeSet::from(hosts),
        ips: BTreeSet::from(["127.0.0.1".to_owned(), "::1".to_owned()]),
        days: LEAF_DAYS,
        action: Action::Keep,
    }
}

/// Whether the leaf that exists will do.
fn judge(view: &View<'_>, leaf: &Leaf) -> Action {
    let Some(seen) = view.seen.certificates.leaves.get(&leaf.secret) else {
        return Action::Make(Cause::Absent);
    };
    let present = issuers(view, leaf.kind);
    if present.is_none() && !lost(view).is_empty() {
        return Action::Keep;
    }
    if present.is_none_or(|present| seen.issuers != present || !present.is_subset(&seen.trusted)) {
        Action::Make(Cause::OtherAuthority)
    } else if seen.dns != leaf.dns || seen.ips != leaf.ips || seen.uri != leaf.uri {
        Action::Make(Cause::OtherNames)
    } else if ageing(seen, view.seen.now) {
        Action::Make(Cause::Ageing)
    } else {
        Action::Keep
    }
}

/// Fingerprints of the authorities that must have signed a leaf; `None` when one of them does not exist yet.
fn issuers(view: &View<'_>, kind: LeafKind) -> Option<BTreeSet<String>> {
    let name = &view.cluster.name;
    let fingerprint = |secret: String| Some(view.seen.certificates.authorities.get(&secret)?.fingerprint.clone());
    let client = fingerprint(name.client_ca())?;
    Some(match kind {
        LeafKind::Member(_) => BTreeSet::from([client, fingerprint(name.peer_ca())?]),
        LeafKind::Application | LeafKind::Operator => BTreeSet::from([client]),
    })
}

/// Whether two thirds of its life are over.
fn ageing(seen: &LeafSeen, now: Timestamp) -> bool {
    let life = seen.not_after.duration_since(seen.not_before);
    now.duration_since(seen.not_before) >= life * 2 / 3
}
