//! Making, keeping and reading back the certificates of a whole cluster: fresh, at rest, after damage, after loss.

use super::*;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kvorum_plan::names::{ClusterId, Slot};
use kvorum_plan::objects::Cause;
use time::Duration;

const AUTHORITIES: [&str; 2] = ["demo-client-ca", "demo-peer-ca"];

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn authority(index: usize, action: Action) -> objects::Authority {
    objects::Authority {
        secret: AUTHORITIES[index].to_owned(),
        kind: [AuthorityKind::Client, AuthorityKind::Peer][index],
        cluster_id: ClusterId::new(0xab).unwrap(),
        days: 3650,
        owned: false,
        action,
    }
}

fn leaf(secret: &str, kind: LeafKind, action: Action) -> Leaf {
    let (dns, ips, uri) = match kind {
        LeafKind::Member(slot) => (vec![format!("demo-{slot}-0.demo-peers.ns.svc")], vec!["::1"], Some("m")),
        LeafKind::Application => (vec![], vec![], None),
        LeafKind::Operator => (vec![], vec![], Some("operator")),
    };
    Leaf {
        secret: secret.to_owned(),
        kind,
        common_name: secret.to_owned(),
        dns: dns.into_iter().collect(),
        ips: ips.into_iter().map(str::to_owned).collect(),
        uri: uri.map(|who| format!("kvorum://00000000000000ab/{who}")),
        days: 90,
        action,
    }
}

/// Makes a cluster of two members; `authorities` and `leaves` say what is to be done about all of each.
fn make_all(authorities: Action, leaves: Action, live: &BTreeMap<String, Secret>) -> Result<Made, CertificateError> {
    let authorities = [authority(0, authorities), authority(1, authorities)];
    let leaves = [
        leaf("demo-0-tls", LeafKind::Member(Slot(0)), leaves),
        leaf("demo-1-tls", LeafKind::Member(Slot(1)), leaves),
        leaf("demo-client-tls", LeafKind::Application, leaves),
        leaf("demo-operator-tls", LeafKind::Operator, leaves),
    ];
    let metadata = ObjectMeta {
        name: Some("demo-ca".to_owned()),
        ..ObjectMeta::default()
    };
    let published = ConfigMap {
        metadata,
        ..ConfigMap::default()
    };
    make(
        Wanted {
            authorities: &authorities,
            leaves: &leaves,
            published: &published,
        },
        live,
        now(),
    )
}

fn stored(made: Made) -> BTreeMap<String, Secret> {
    let all = made.new_authorities.into_iter().chain(made.secrets);
    all.map(|secret| (secret.metadata.name.clone().unwrap(), secret))
        .collect()
}

fn fresh() -> BTreeMap<String, Secret> {
    let new = Action::Make(Cause::Absent);
    stored(make_all(new, new, &BTreeMap::new()).unwrap())
}

fn seen(live: &BTreeMap<String, Secret>) -> kvorum_plan::observed::Certificates {
    seen::certificates(live, &AUTHORITIES.map(str::to_owned))
}

fn damage(live: &mut BTreeMap<String, Secret>, secret: &str, file: &str) {
    let files = live.get_mut(secret).unwrap().data.as_mut().unwrap();
    files.insert(file.to_owned(), ByteString(b"rubbish".to_vec()));
}

#[test]
fn fresh_then_at_rest() {
    let new = Action::Make(Cause::Absent);
    let made = make_all(new, new, &BTreeMap::new()).unwrap();
    assert_eq!(
        (made.new_authorities.len(), made.secrets.len(), made.lost.len()),
        (2, 4, 0)
    );
    assert!(
        made.published
            .as_ref()
            .unwrap()
            .data
            .as_ref()
            .unwrap()
            .contains_key("ca.crt")
    );
    let live = stored(made);
    let kept = make_all(Action::Keep, Action::Keep, &live).unwrap();
    assert_eq!(stored(kept), live, "what is kept is what is there");
}

#[test]
fn what_was_made_is_seen_as_it_was_wanted() {
    let seen = seen(&fresh());
    assert_eq!(seen.authorities.len(), 2);
    assert_eq!(seen.leaves.len(), 4);
    let member = &seen.leaves["demo-1-tls"];
    let authorities = seen
        .authorities
        .values()
        .map(|authority| authority.fingerprint.clone())
        .collect();
    assert_eq!((&member.issuers, &member.trusted), (&authorities, &authorities));
    assert_eq!(member.dns, BTreeSet::from(["demo-1-0.demo-peers.ns.svc".to_owned()]));
    assert_eq!(member.ips, BTreeSet::from(["::1".to_owned()]));
    assert_eq!(member.uri.as_deref(), Some("kvorum://00000000000000ab/m"));
    let life = member.not_after.duration_since(member.not_before).as_hours();
    assert_eq!(life, 90 * 24 + 1, "ninety days, and an hour for clocks that are behind");
    assert_eq!(seen.authorities["demo-peer-ca"].cluster_id, ClusterId::new(0xab));
}

#[test]
fn what_is_damaged_is_not_seen() {
    let mut live = fresh();
    damage(&mut live, "demo-0-tls", secrets::PEER_KEY);
    damage(&mut live, "demo-1-tls", secrets::CLIENT_CA_CRT);
    let other_key = live["demo-client-tls"].data.as_ref().unwrap()[secrets::TLS_KEY].clone();
    let operator = live.get_mut("demo-operator-tls").unwrap().data.as_mut().unwrap();
    operator.insert(secrets::TLS_KEY.to_owned(), other_key);
    assert_eq!(seen(&live).leaves.keys().collect::<Vec<_>>(), ["demo-client-tls"]);
    damage(&mut live, "demo-peer-ca", secrets::TLS_KEY);
    assert_eq!(seen(&live).authorities.keys().collect::<Vec<_>>(), ["demo-client-ca"]);
}

#[test]
fn a_lost_authority_is_not_replaced_while_members_depend_on_it() {
    let mut live = fresh();
    live.remove("demo-client-ca");
    let made = make_all(Action::Make(Cause::Absent), Action::Make(Cause::OtherAuthority), &live).unwrap();
    assert!(made.lost.contains(&"demo-client-ca".to_owned()));
    assert!(made.new_authorities.is_empty() && made.published.is_none());
    assert!(
        made.secrets
            .iter()
            .all(|secret| !secret.metadata.name.as_ref().unwrap().ends_with("-tls"))
    );
    // The issuer of the leaves that stay is told by what they trust.
    assert_eq!(seen(&live).leaves["demo-0-tls"].issuers.len(), 2);
    // The way out: with the members' Secrets deleted as well, everything is made anew.
    live.retain(|name, _| name == "demo-client-tls");
    let new = Action::Make(Cause::Absent);
    let anew = make_all(new, new, &live).unwrap();
    assert_eq!(
        (anew.lost.len(), anew.new_authorities.len(), anew.secrets.len()),
        (0, 2, 4)
    );
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let authority = Authority::create("test", 30, now()).unwrap();
    let request = Request {
        common_name: "x".to_owned(),
        names: BTreeSet::new(),
        usage: Usage::Client,
        days: 90,
    };
    let leaf = parsed::Parsed::read(&authority.sign(&request, now() + Duration::days(1)).unwrap().certificate).unwrap();
    assert_eq!(leaf.not_after, authority.parsed().not_after);
    assert!(leaf.signed_by(authority.parsed()));
    let namesake = Authority::create("test", 30, now()).unwrap();
    assert!(!leaf.signed_by(namesake.parsed()));
    let mixed = Pair {
        certificate: authority.pair().certificate.clone(),
        key: namesake.pair().key.clone(),
    };
    assert!(matches!(Authority::read(mixed), Err(AuthorityError::KeyMismatch)));
}
