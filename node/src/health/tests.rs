//! The probes of a process that is no running member; those of a member are asked in `tests/`.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use kvorum_api::Id;
use kvorum_api::admin::NodeState;
use test_case::test_case;
use tower::Service as _;

use super::*;
use crate::situation::Stranger;

fn outside() -> Situation {
    Situation::Outside(Arc::new(Stranger {
        name: "m".into(),
        member_id: Id::new(1).unwrap(),
        cluster_id: None,
        state: NodeState::IdentityMissing,
        reason: "the data directory is empty".into(),
    }))
}

async fn ask(situation: Situation, path: &str) -> String {
    let probes = Probes {
        situations: Situations::default(),
        tls: Tls::default(),
        reloads: Arc::default(),
        door: Door::new(1),
        held: Held::new(1, 1),
    };
    probes.situations.enter(situation);
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = routes(probes).call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    format!("{status} {}", String::from_utf8_lossy(&body))
}

#[test_case(Situation::Starting, "/livez", "200 ok\n"; "starting is alive")]
#[test_case(Situation::Starting, "/livez?verbose", "200 [+]serializable_read ok\nok\n"; "verbose")]
#[test_case(Situation::Starting, "/readyz", "503 [-]member failed: the disk is still being read\n"; "starting is not ready")]
#[test_case(outside(), "/livez/serializable_read", "200 ok\n"; "a stranger is alive")]
#[test_case(outside(), "/readyz", "503 [-]member failed: IdentityMissing: the data directory is empty\n"; "a stranger is not ready")]
#[test_case(outside(), "/readyz?exclude=member&exclude=non_learner&exclude=linearizable_read", "200 ok\n"; "excluded")]
#[test_case(outside(), "/readyz/nonsense", "404 404 page not found\n"; "no such check")]
#[test_case(outside(), "/health", "503 {\"health\":\"false\",\"reason\":\"IdentityMissing: the data directory is empty\"}"; "health")]
#[test_case(Situation::Stopping, "/readyz", "503 [-]member failed: the process is stopping\n"; "stopping is not ready")]
#[tokio::test]
async fn probe(situation: Situation, path: &str, expected: &str) {
    assert_eq!(ask(situation, path).await, expected);
}

#[tokio::test]
async fn versions_and_metrics_are_there_from_the_start() {
    let versions = ask(Situation::Starting, "/version").await;
    assert!(
        versions.contains(&format!("\"etcdserver\":\"{ETCD_VERSION}\"")),
        "{versions}"
    );
    let metrics = ask(Situation::Starting, "/metrics").await;
    assert!(
        metrics.contains(&format!("kvorum_build_info{{version=\"{VERSION}\"}} 1\n")),
        "{metrics}"
    );
}
