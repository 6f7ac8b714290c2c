//! gRPC on the client port: etcd's KV service, with TLS and without, at every member.

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op};
use kvorum_api::grpc::health::v1::HealthCheckRequest;
use kvorum_api::grpc::health::v1::health_check_response::ServingStatus;
use kvorum_api::grpc::health::v1::health_client::HealthClient;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::decode;
use kvorum_tests::grpc::channel;
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;

async fn dial(cluster: &Cluster, index: usize) -> KvClient<Channel> {
    KvClient::new(channel(cluster, index).await)
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    }
}

fn range(key: &str) -> RangeRequest {
    RangeRequest {
        key: key.to_owned().into(),
        ..Default::default()
    }
}

async fn check(cluster: &Cluster) {
    let mut clients = Vec::new();
    for index in 0..cluster.members.len() {
        clients.push(dial(cluster, index).await);
    }
    for index in 0..clients.len() {
        let value = format!("v{index}");
        let written = clients[index]
            .put(put("key", &value))
            .await
            .unwrap()
            .into_inner()
            .header
            .unwrap();
        assert!(
            written.revision > 1 && written.cluster_id != 0 && written.member_id != 0,
            "{written:?}"
        );
        for (other, client) in clients.iter_mut().enumerate() {
            let read = client.range(range("key")).await.unwrap().into_inner();
            assert_eq!(read.kvs[0].value, value, "written at n{index}, read at n{other}");
        }
        let seen = cluster
            .at(index)
            .ask("kv/range", &json!({"key": "a2V5"}))
            .await
            .unwrap();
        assert_eq!(decode(&seen["kvs"][0]["value"]), value, "JSON and gRPC are one store");
    }
    let both = ["x", "y"].map(|key| RequestOp {
        request: Some(request_op::Request::RequestPut(put(key, "1"))),
    });
    let txn = TxnRequest {
        success: both.to_vec(),
        ..Default::default()
    };
    assert!(clients[0].txn(txn).await.unwrap().into_inner().succeeded);
    let delete = DeleteRangeRequest {
        key: "x".into(),
        range_end: "z".into(),
        ..Default::default()
    };
    assert_eq!(clients[0].delete_range(delete).await.unwrap().into_inner().deleted, 2);

    for client in &mut clients {
        let refused = client.put(put("", "x")).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::InvalidArgument, "etcdserver: key is not provided")
        );
        let future = client
            .range(RangeRequest {
                revision: 1 << 40,
                ..range("key")
            })
            .await
            .unwrap_err();
        let text = "etcdserver: mvcc: required revision is a future revision";
        assert_eq!((future.code(), future.message()), (Code::OutOfRange, text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_in_grpcs_own_way() {
    let mut cluster = Cluster::plain(1).await;
    let mut client = HealthClient::new(channel(&cluster, 0).await);
    let ask = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let all = client.check(ask("")).await.unwrap().into_inner();
    assert_eq!(all.status(), ServingStatus::Serving);
    let unknown = client.check(ask("etcdserverpb.KV")).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "unknown service"));
    let mut watched = client.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(
        watched.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let mut unknown = client.watch(ask("x")).await.unwrap().into_inner();
    assert_eq!(
        unknown.message().await.unwrap().unwrap().status(),
        ServingStatus::ServiceUnknown
    );
    assert_eq!(cluster.stop(0).await, Some(0));
    assert_eq!(
        watched.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    assert!(watched.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_works_at_every_member() {
    check(&Cluster::plain(3).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_works_over_tls() {
    check(&Cluster::managed(1).await).await;
}
