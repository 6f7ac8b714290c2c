//! Drafting the certificates of a whole cluster: fresh, at rest, after damage, after loss.

use super::*;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn wanted(members: usize) -> Wanted {
    let member = |slot| WantedMember {
        name: format!("demo-{slot}"),
        pod: format!("demo-{slot}-0"),
        secret: format!("demo-{slot}-tls"),
    };
    Wanted {
        names: request::tests::demo(),
        cluster: "demo".to_owned(),
        shared: Shared {
            namespace: "ns".to_owned(),
            labels: BTreeMap::from([("app.kubernetes.io/instance".to_owned(), "demo".to_owned())]),
            owner: OwnerReference::default(),
        },
        authorities_owned: false,
        places: Places {
            client_authority: "demo-client-ca".to_owned(),
            peer_authority: "demo-peer-ca".to_owned(),
            operator: "demo-operator-tls".to_owned(),
            application: "demo-client-tls".to_owned(),
            published: "demo-ca".to_owned(),
        },
        members: (0..members).map(member).collect(),
    }
}

fn stored(draft: Draft) -> BTreeMap<String, Secret> {
    let all = draft.new_authorities.into_iter().chain(draft.secrets);
    all.map(|secret| (secret.metadata.name.clone().unwrap(), secret))
        .collect()
}

fn issued(draft: &Draft) -> Vec<String> {
    draft
        .issued
        .iter()
        .map(|issued| format!("{} {:?}", issued.secret, issued.why))
        .collect()
}

#[test]
fn fresh_then_at_rest() {
    let fresh = draft(&wanted(3), &BTreeMap::new(), now()).unwrap();
    assert_eq!(fresh.new_authorities.len(), 2);
    assert_eq!(fresh.issued.len(), 2 + 2 * 3);
    assert!(fresh.operator.is_some() && fresh.published.is_some());
    let live = stored(fresh);
    let rest = draft(&wanted(3), &live, now()).unwrap();
    assert_eq!((rest.new_authorities.len(), issued(&rest)), (0, vec![]));
    assert_eq!(stored(rest), live, "what is drafted at rest is what is there");
}

#[test]
fn a_member_more_gets_a_pair_and_the_others_keep_theirs() {
    let live = stored(draft(&wanted(1), &BTreeMap::new(), now()).unwrap());
    let more = draft(&wanted(2), &live, now()).unwrap();
    assert_eq!(issued(&more), ["demo-1-tls Missing", "demo-1-tls Missing"]);
}

#[test]
fn damage_is_made_good() {
    let mut live = stored(draft(&wanted(2), &BTreeMap::new(), now()).unwrap());
    live.remove("demo-0-tls");
    let files = live.get_mut("demo-1-tls").unwrap().data.as_mut().unwrap();
    files.insert(secrets::PEER_KEY.to_owned(), ByteString(b"rubbish".to_vec()));
    files.insert(secrets::CLIENT_CA_CRT.to_owned(), ByteString(b"rubbish".to_vec()));
    let damaged = draft(&wanted(2), &live, now()).unwrap();
    assert_eq!(
        issued(&damaged),
        ["demo-0-tls Missing", "demo-0-tls Missing", "demo-1-tls Unreadable"]
    );
    let repaired = stored(damaged);
    let ca = secrets::text(&repaired["demo-client-ca"], secrets::TLS_CRT);
    assert_eq!(secrets::text(&repaired["demo-1-tls"], secrets::CLIENT_CA_CRT), ca);
}

#[test]
fn an_authority_with_a_damaged_certificate_is_restored_from_a_copy() {
    let mut live = stored(draft(&wanted(1), &BTreeMap::new(), now()).unwrap());
    let whole = live["demo-peer-ca"].clone();
    let files = live.get_mut("demo-peer-ca").unwrap().data.as_mut().unwrap();
    files.insert(secrets::TLS_CRT.to_owned(), ByteString(b"rubbish".to_vec()));
    let restored = draft(&wanted(1), &live, now()).unwrap();
    assert_eq!((restored.lost.len(), issued(&restored)), (0, vec![]));
    assert_eq!(stored(restored)["demo-peer-ca"], whole);
}

#[test]
fn a_lost_authority_is_not_replaced_while_members_use_it() {
    let mut live = stored(draft(&wanted(2), &BTreeMap::new(), now()).unwrap());
    live.remove("demo-client-ca");
    let lost = draft(&wanted(3), &live, now()).unwrap();
    assert_eq!(
        lost.lost,
        [Lost {
            secret: "demo-client-ca".to_owned()
        }]
    );
    assert_eq!((lost.new_authorities.len(), issued(&lost)), (0, vec![]));
    assert!(lost.operator.is_some(), "the operator still reaches the members");
    // The way out that the condition names: with the members' Secrets deleted as well, everything is made anew.
    live.retain(|name, _| name == "demo-peer-ca");
    let anew = draft(&wanted(2), &live, now()).unwrap();
    assert_eq!(
        (anew.lost.len(), anew.new_authorities.len(), anew.issued.len()),
        (0, 1, 6)
    );
}

#[test]
fn leaves_are_renewed_and_authorities_stay() {
    let live = stored(draft(&wanted(1), &BTreeMap::new(), now()).unwrap());
    let later = draft(&wanted(1), &live, now() + Duration::days(61)).unwrap();
    assert_eq!(later.issued.len(), 4);
    assert!(later.issued.iter().all(|issued| issued.why == Why::Due));
    assert_eq!(stored(later)["demo-client-ca"], live["demo-client-ca"]);
}
