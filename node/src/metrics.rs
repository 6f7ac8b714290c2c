//! The metrics page, in Prometheus' text format: etcd's names where they mean the same, `kvorum_` for the rest.
//!
//! Numbers are gathered when somebody asks; nothing on the path of a request knows that they exist. No number carries a
//! key, a value or a client's name.

pub mod durations;
pub mod member;
pub mod process;
pub mod text;

use std::sync::atomic::Ordering;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::held::Held;
use crate::http::connections::Door;
use crate::situation::Situation;
use crate::tls::Tls;
use crate::tls::reload::Counts;
use crate::{ETCD_VERSION, VERSION};
pub use text::MEDIA_TYPE;
use text::Page;

/// The page as it is now.
#[must_use]
pub fn page(situation: &Situation, tls: &Tls, reloads: &Counts, door: &Door, held: &Held) -> String {
    let mut page = Page::default();
    about(&mut page);
    process::write(&mut page);
    certificates(&mut page, tls, reloads);
    connections(&mut page, door);
    bytes_held(&mut page, held);
    if let Situation::Member(service) = situation {
        member::write(&mut page, &service.stats());
    }
    page.finish()
}

fn about(page: &mut Page) {
    page.gauge("kvorum_build_info", "Always 1; the label says which version runs.")
        .with(&[("version", VERSION)], 1);
    page.gauge(
        "etcd_server_version",
        "Always 1; the label says which version of etcd's API is spoken.",
    )
    .with(&[("server_version", ETCD_VERSION)], 1);
}

fn connections(page: &mut Page, door: &Door) {
    page.gauge("kvorum_client_connections", "Open connections of clients.")
        .value(door.open());
    page.gauge("kvorum_client_connections_max", "Most connections of clients at once.")
        .value(door.max());
    page.counter(
        "kvorum_client_connections_refused_total",
        "Connections of clients that were turned away because there were too many, or no file descriptors.",
    )
    .value(door.refused());
}

fn bytes_held(page: &mut Page, held: &Held) {
    let Held {
        requests,
        answers,
        watches,
    } = held;
    page.gauge(
        "kvorum_client_requests",
        "Requests of clients under way, streams among them.",
    )
    .value(requests.under_way());
    page.gauge(
        "kvorum_client_requests_bytes",
        "Bytes of large requests of clients that are held.",
    )
    .value(requests.bytes());
    page.counter(
        "kvorum_client_requests_refused_total",
        "Requests of clients that were refused because there were too many, or too many bytes of them.",
    )
    .value(requests.refused());
    page.gauge(
        "kvorum_client_answers_bytes",
        "Bytes of large answers that wait until clients take them.",
    )
    .with(&[("kind", "call")], answers.bytes())
    .with(&[("kind", "watch")], watches.bytes());
    page.counter(
        "kvorum_client_answers_given_up_total",
        "Answers that were given up because their clients took nothing of them and others needed the room.",
    )
    .with(&[("kind", "call")], answers.given_up())
    .with(&[("kind", "watch")], watches.given_up());
}

fn certificates(page: &mut Page, tls: &Tls, reloads: &Counts) {
    let mut ends = page.gauge(
        "kvorum_certificate_expiry_timestamp_seconds",
        "When a certificate in use ends.",
    );
    for certificate in tls.certificates() {
        let Ok(end) = OffsetDateTime::parse(&certificate.not_after, &Rfc3339) else {
            continue;
        };
        let kind = format!("{:?}", certificate.kind);
        let labels = [
            ("kind", kind.as_str()),
            ("fingerprint", certificate.fingerprint.as_str()),
        ];
        ends = ends.with(&labels, end.unix_timestamp());
    }
    page.counter(
        "kvorum_certificate_reloads_total",
        "Times that changed certificates were taken into use.",
    )
    .value(reloads.reloads.load(Ordering::Relaxed));
    page.counter(
        "kvorum_certificate_reload_failures_total",
        "Looks at certificate files that could not be used.",
    )
    .value(reloads.failures.load(Ordering::Relaxed));
}
