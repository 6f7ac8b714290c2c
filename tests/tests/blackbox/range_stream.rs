//! Ranges in chunks: the same requests to a real etcd and to Kvorum give the same whole.

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{RangeRequest, RangeResponse};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::encode;
use kvorum_tests::grpc::channel;
use kvorum_tests::reference::Reference;
use serde_json::json;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// All chunks; where the header, `more` and `count` come is checked.
async fn chunks(client: &mut KvClient<Channel>, request: &RangeRequest) -> Result<Vec<RangeResponse>, Status> {
    let mut stream = client.range_stream(request.clone()).await?.into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await? {
        chunks.push(chunk.range_response.unwrap());
    }
    let (last, others) = chunks.split_last().unwrap();
    assert!(last.header.is_some());
    assert!(
        others
            .iter()
            .all(|chunk| chunk.header.is_none() && !chunk.more && chunk.count == 0)
    );
    Ok(chunks)
}

/// The whole of the chunks, in a form that can be compared.
fn whole(chunks: Result<Vec<RangeResponse>, Status>) -> String {
    let chunks = match chunks {
        Ok(chunks) => chunks,
        Err(status) => return format!("{:?}: {}", status.code(), status.message()),
    };
    let last = chunks.last().unwrap();
    let pairs: Vec<_> = chunks
        .iter()
        .flat_map(|chunk| &chunk.kvs)
        .map(|pair| (pair.key.clone(), pair.value.len(), pair.mod_revision))
        .collect();
    format!(
        "{} {} at {}: {pairs:?}",
        last.more,
        last.count,
        last.header.as_ref().unwrap().revision
    )
}

/// What is asked of both sides.
#[allow(clippy::too_many_lines, reason = "a table")]
fn requests() -> Vec<RangeRequest> {
    let all = RangeRequest {
        key: "k".into(),
        range_end: "l".into(),
        ..RangeRequest::default()
    };
    vec![
        all.clone(),
        RangeRequest {
            limit: 7,
            ..all.clone()
        },
        RangeRequest {
            limit: 65,
            ..all.clone()
        },
        RangeRequest {
            limit: 69,
            ..all.clone()
        },
        RangeRequest {
            keys_only: true,
            ..all.clone()
        },
        RangeRequest {
            count_only: true,
            ..all.clone()
        },
        RangeRequest {
            revision: 30,
            serializable: true,
            ..all.clone()
        },
        RangeRequest {
            revision: 4,
            ..all.clone()
        },
        RangeRequest {
            revision: 1_000,
            ..all.clone()
        },
        RangeRequest {
            range_end: "".into(),
            key: "k01".into(),
            ..all.clone()
        },
        RangeRequest {
            range_end: "".into(),
            key: "none".into(),
            ..all.clone()
        },
        RangeRequest {
            sort_order: 1,
            ..all.clone()
        },
        RangeRequest {
            sort_order: 2,
            ..all.clone()
        },
        RangeRequest {
            sort_order: 1,
            sort_target: 2,
            ..all.clone()
        },
        RangeRequest {
            sort_order: 9,
            ..all.clone()
        },
        RangeRequest {
            min_mod_revision: 9,
            ..all.clone()
        },
        RangeRequest::default(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_chunks_is_the_range_that_etcd_streams() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    for side in [&reference.etcd, &cluster.at(0)] {
        for number in 0..60 {
            side.put(&format!("k{number:02}"), &"v".repeat(number * 100))
                .await
                .unwrap();
        }
        let value = "v".repeat(400_000);
        for number in 60..70 {
            side.put(&format!("k{number:02}"), &value).await.unwrap();
        }
        side.ask("kv/compaction", &json!({"revision": "5"})).await.unwrap();
        side.ask("kv/deleterange", &json!({"key": encode("k65")}))
            .await
            .unwrap();
    }
    let endpoint = Endpoint::from_shared(reference.urls[0].clone()).unwrap();
    let mut theirs = KvClient::new(endpoint.connect().await.unwrap()).max_decoding_message_size(64 << 20);
    let mut ours = KvClient::new(channel(&cluster, 0).await).max_decoding_message_size(64 << 20);
    for request in requests() {
        let expected = whole(chunks(&mut theirs, &request).await);
        let found = chunks(&mut ours, &request).await;
        if let Ok(chunks) = &found {
            assert!(
                chunks
                    .iter()
                    .all(|chunk| chunk.kvs.iter().map(|pair| pair.value.len()).sum::<usize>() < 6 << 20)
            );
        }
        assert_eq!(whole(found), expected, "{request:?}");
    }
}
