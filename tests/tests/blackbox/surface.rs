//! Every path and every method, with an empty message, on Kvorum and on a real etcd: none is missing, and each says what
//! etcd says, but for the differences that are listed here and in docs/compatibility.md.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use kvorum_api::FILE_DESCRIPTOR_SET;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::{channel, plain};
use kvorum_tests::raw::{Outcome, call};
use kvorum_tests::reference::Reference;
use kvorum_tests::web::Web;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// How long a path may keep silent before it counts as one that waits.
const SILENCE: Duration = Duration::from_secs(1);

/// The page with every path.
const PAGE: &str = include_str!("../../../docs/surface.md");

/// What is answered otherwise on purpose (docs/compatibility.md says why): method or path, and what Kvorum answers.
const ON_PURPOSE: [(&str, &str); 4] = [
    // etcd waits for nothing: no watcher is left and none can come.
    ("/etcdserverpb.Watch/Watch", "End"),
    (
        "watch",
        "400 a create_request, a cancel_request or a progress_request is needed",
    ),
    // etcd gives every error of locks and elections the code of an unknown one.
    (
        "/v3lockpb.Lock/Unlock",
        "InvalidArgument etcdserver: key is not provided",
    ),
    ("lock/unlock", "400 etcdserver: key is not provided"),
];

/// Whether both sides say the same, or Kvorum what it says on purpose; otherwise the difference.
fn difference(path: &str, theirs: &str, ours: &str) -> Option<String> {
    let on_purpose = ON_PURPOSE.iter().find(|(listed, _)| *listed == path);
    let expected = on_purpose.map_or(theirs, |(_, answer)| *answer);
    (ours != expected).then(|| format!("{path}\n  etcd   {theirs}\n  kvorum {ours}"))
}

/// Every method of every service of the API, as `/package.Service/Method`.
fn methods(descriptors: &FileDescriptorSet) -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                methods.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    methods
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_an_empty_message_as_etcd_does() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    let (etcd, kvorum) = (plain(&reference.urls[0]), channel(&cluster, 0).await);
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("our own descriptors");
    let mut differences = Vec::new();
    let methods = methods(&descriptors);
    for path in &methods {
        let theirs = call(&etcd, path, Bytes::new()).await.to_string();
        let ours = call(&kvorum, path, Bytes::new()).await.to_string();
        println!("{path}: {ours}");
        differences.extend(difference(path, &theirs, &ours));
    }
    let missing = call(&kvorum, "/etcdserverpb.KV/Nothing", Bytes::new()).await;
    assert!(
        matches!(missing, Outcome::Refusal(tonic::Code::Unimplemented, _)),
        "{missing:?}"
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{} methods, no difference", methods.len());
}

/// What comes back from a path: the status and the text of its error, or nothing within a moment.
async fn post(base: &str, path: &str) -> String {
    let (web, url) = (Web::new(None, None), format!("{base}/v3/{path}"));
    let asked = async {
        let mut answer = web.open(Method::POST, &url, &[], "{}").await.expect("an answer");
        if answer.status == 200 {
            return "200".to_owned();
        }
        let line = answer.line().await.unwrap_or_else(|| answer.rest());
        let error: Value = serde_json::from_str(&line).unwrap_or_default();
        // Streams wrap their errors.
        let message = error.pointer("/error/message").unwrap_or(&error["message"]);
        format!("{} {}", answer.status, message.as_str().unwrap_or(&line))
    };
    let answer = tokio::time::timeout(SILENCE, asked).await;
    answer.unwrap_or_else(|_| "nothing".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_answers_an_empty_message_as_etcd_does() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    let mut differences = Vec::new();
    let mut paths = 0;
    for path in PAGE.split('`').filter_map(|word| word.strip_prefix("/v3/")) {
        paths += 1;
        let theirs = post(&reference.urls[0], path).await;
        let ours = post(&cluster.url(0), path).await;
        println!("{path}: {ours}");
        differences.extend(difference(path, &theirs, &ours));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{paths} paths, no difference");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_names_every_method() {
    let cluster = Cluster::managed(1).await;
    let mut client = ServerReflectionClient::new(channel(&cluster, 0).await);
    let mut ask = async |question: MessageRequest| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let answers = client.server_reflection_info(futures::stream::iter([request])).await;
        let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
        answer.message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("a list was asked for");
    };
    let mut told = BTreeSet::new();
    for service in &list.service {
        let MessageResponse::FileDescriptorResponse(found) =
            ask(MessageRequest::FileContainingSymbol(service.name.clone())).await
        else {
            panic!("{} is not described", service.name);
        };
        let file = found.file_descriptor_proto.iter();
        let file = file.map(|file| prost_types::FileDescriptorProto::decode(file.as_slice()).unwrap());
        told.extend(methods(&FileDescriptorSet { file: file.collect() }));
    }
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("our own descriptors");
    let missing: Vec<String> = methods(&descriptors).difference(&told).cloned().collect();
    assert!(missing.is_empty(), "{missing:?} of {told:?}");
}
