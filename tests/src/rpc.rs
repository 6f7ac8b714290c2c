//! Unary calls over gRPC, named by their path in etcd's JSON gateway and with their messages as JSON: so that what is said
//! over one wire can be said over the other.

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::lease_client::LeaseClient;
use kvorum_api::json;
use serde_json::Value;
use tonic::Status;
use tonic::transport::Channel;

/// Calls the method behind `/v3/<path>`; the answer as the gateway would write it.
///
/// # Errors
/// What the server refused it with, or that there is none.
///
/// # Panics
/// When the path is none of those that [`crate::requests`] draws, or the body no message of its method.
pub async fn call(channel: &Channel, path: &str, body: &Value) -> Result<Value, Status> {
    let body = body.to_string();
    macro_rules! unary {
        ($client:ident :: $method:ident) => {{
            let request = json::decode(body.as_bytes()).expect("a message of this method");
            let answer = $client::new(channel.clone())
                .$method(tonic::Request::new(request))
                .await?;
            json::encode(answer.get_ref())
        }};
    }
    let answer = match path {
        "kv/put" => unary!(KvClient::put),
        "kv/range" => unary!(KvClient::range),
        "kv/deleterange" => unary!(KvClient::delete_range),
        "kv/txn" => unary!(KvClient::txn),
        "kv/compaction" => unary!(KvClient::compact),
        "lease/grant" => unary!(LeaseClient::lease_grant),
        "lease/revoke" => unary!(LeaseClient::lease_revoke),
        "lease/timetolive" => unary!(LeaseClient::lease_time_to_live),
        other => panic!("no method is known for {other}"),
    };
    Ok(serde_json::from_slice(&answer).expect("an answer of ours is JSON"))
}
