//! Whole plans as files: `testdata/<case>/in.yaml` holds a spec and a world, `out.yaml` the plan.
//!
//! `UPDATE=1 cargo test -p kvorum-plan --test snapshots` writes the plans anew; the difference is what is reviewed. A case
//! with `show: objects` shows every object in full, the others only what changes from case to case.

// Whole files of tests: here an `unwrap` is an assertion.
#![allow(clippy::unwrap_used)]

use kvorum_crd::KvCluster;
use kvorum_plan::objects::{Action, Authority, AuthorityKind, Leaf, LeafKind, Objects};
use kvorum_plan::observed::{AuthoritySeen, Certificates, LeafSeen};
use kvorum_plan::{Cluster, Observed, Plan, Settings, plan};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn cluster(spec: &Value) -> Cluster {
    let mut resource = KvCluster::new("demo", serde_json::from_value(spec.clone()).unwrap());
    resource.metadata.namespace = Some("ns".to_owned());
    resource.metadata.uid = Some("uid".to_owned());
    resource.metadata.generation = Some(7);
    Cluster::parse(&resource, &Settings::default()).unwrap()
}

/// What changes from case to case: which slots stand, which ids they are told, and what must be made.
fn gist(objects: &Objects) -> Value {
    let ids = objects.members.values().map(|member| {
        let config = &member.config;
        (
            config.metadata.name.clone().unwrap(),
            json!(config.data.as_ref().unwrap()["member-id"]),
        )
    });
    let made = |action: &Action| *action != Action::Keep;
    let authorities = objects
        .authorities
        .iter()
        .filter(|a| made(&a.action))
        .map(|a| json!([a.secret, a.action]));
    let leaves = objects
        .leaves
        .iter()
        .filter(|leaf| made(&leaf.action))
        .map(|leaf| json!([leaf.secret, leaf.action]));
    json!({
        "memberIds": ids.collect::<serde_json::Map<_, _>>(),
        "minAvailable": objects.disruption_budget.spec.as_ref().unwrap().min_available,
        "certificates": authorities.chain(leaves).collect::<Vec<_>>(),
        "claims": objects.claims,
    })
}

fn shown(plan: &Plan, in_full: bool) -> Value {
    let objects = match &plan.objects {
        Some(objects) if in_full => json!(objects),
        Some(objects) => gist(objects),
        None => Value::Null,
    };
    json!({
        "step": plan.step,
        "requeueAfterMillis": u64::try_from(plan.requeue_after.as_millis()).unwrap(),
        "events": plan.events,
        "status": plan.status,
        "objects": objects,
    })
}

/// The hash of the template that a plan wants; inputs say `CURRENT` for it, so that they outlive a change of the template.
fn template_hash(plan: &Plan) -> Option<String> {
    let spec = plan
        .objects
        .as_ref()?
        .members
        .values()
        .next()?
        .statefulset
        .spec
        .clone()?;
    spec.template.metadata?.annotations?.remove("kvorum.dev/template-hash")
}

/// Certificates just as the plan wants them; for inputs that say `certificates: valid`. Of those, the authorities that an
/// input names under `lost` are taken away again.
fn valid(objects: &Objects) -> Certificates {
    let (not_before, not_after) = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2027-01-30T00:00:00Z".parse().unwrap(),
    );
    let authority = |a: &Authority| {
        let (cluster_id, fingerprint) = (Some(a.cluster_id), a.secret.clone());
        (
            a.secret.clone(),
            AuthoritySeen {
                cluster_id,
                fingerprint,
                not_after,
            },
        )
    };
    let leaf = |leaf: &Leaf| {
        let signs = |a: &&Authority| matches!(leaf.kind, LeafKind::Member(_)) || a.kind == AuthorityKind::Client;
        let issuers: BTreeSet<_> = objects
            .authorities
            .iter()
            .filter(signs)
            .map(|a| a.secret.clone())
            .collect();
        let (dns, ips, uri) = (leaf.dns.clone(), leaf.ips.clone(), leaf.uri.clone());
        (
            leaf.secret.clone(),
            LeafSeen {
                trusted: issuers.clone(),
                issuers,
                dns,
                ips,
                uri,
                not_before,
                not_after,
            },
        )
    };
    Certificates {
        authorities: objects.authorities.iter().map(authority).collect(),
        leaves: objects.leaves.iter().map(leaf).collect(),
    }
}

/// Reads an input and plans it: once to learn what certificates and which template it wants, then with those.
fn planned(name: &str, text: &str) -> (Value, Plan) {
    let read = |text: &str| -> (Value, Observed) {
        let input: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let observed = serde_json::from_value(input["observed"].clone());
        (input, observed.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    let (input, observed) = read(text);
    let cluster = cluster(&input["spec"]);
    let wants = plan(&cluster, &observed);
    let current = template_hash(&wants).unwrap_or_default();
    let (input, mut observed) = read(&text.replace("CURRENT", &current));
    if let Some(objects) = wants.objects.as_ref().filter(|_| input["certificates"] == "valid") {
        observed.certificates = valid(objects);
    }
    for secret in input["lost"].as_array().into_iter().flatten() {
        let known = observed.certificates.authorities.remove(secret.as_str().unwrap());
        assert!(known.is_some(), "{name}: {secret} is no authority");
    }
    (input, plan(&cluster, &observed))
}

/// The plan of one case, as YAML; whether it is what the file says.
fn check(case: &Path) -> Result<(), String> {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(case.join("in.yaml")).unwrap();
    let (input, plan) = planned(&name, &text);
    let yaml = serde_yaml::to_string(&shown(&plan, input["show"] == "objects")).unwrap();
    let file = case.join("out.yaml");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, yaml).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if expected == yaml {
        Ok(())
    } else {
        Err(format!(
            "{name}: the plan differs from {}; it is now:\n{yaml}",
            file.display()
        ))
    }
}

#[test]
fn plans_are_what_the_files_say() {
    let mut cases: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"))
        .unwrap()
        .collect();
    cases.sort_by_key(|case| case.as_ref().unwrap().file_name());
    assert!(!cases.is_empty());
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|case| check(&case.unwrap().path()).err())
        .collect();
    assert!(wrong.is_empty(), "{}\n(UPDATE=1 writes them anew)", wrong.join("\n"));
}
