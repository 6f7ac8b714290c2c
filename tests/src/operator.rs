//! What the operator does with nodes, done by a test: admin calls with the operator's certificate.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pki::Pki;
use crate::wait::{SETTLE, until};
use crate::web::{Reply, Web};

/// How far a learner may be behind the leader's log to be promoted, in entries.
const LAG_MAX: u64 = 100;

/// One who may make admin calls, with its fencing epoch.
pub struct Operator {
    web: Web,
    epoch: AtomicU64,
}

impl Operator {
    /// The operator of the cluster with these authorities.
    #[must_use]
    pub fn new(pki: &Pki) -> Operator {
        Operator {
            web: Web::new(Some(&pki.clients.cert), Some(&pki.operator())),
            epoch: AtomicU64::new(1),
        }
    }

    /// Makes every later call with this epoch.
    pub fn set_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// One admin call to one member; any answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn call(&self, cluster: &Cluster, index: usize, method: Method, path: &str, body: &Value) -> Reply {
        let url = format!("{}/v1/admin/{path}", cluster.url(index));
        let epoch = self.epoch.load(Ordering::Relaxed).to_string();
        let headers = [
            ("kvorum-fencing-epoch", epoch.as_str()),
            ("content-type", "application/json"),
        ];
        let text = if method == Method::GET || method == Method::DELETE {
            String::new()
        } else {
            body.to_string()
        };
        self.web
            .send(method, &url, &headers, text)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error:#}"))
    }

    /// What a member says of itself.
    ///
    /// # Errors
    /// No answer, or none that is a status.
    pub async fn status(&self, cluster: &Cluster, index: usize) -> Result<Value, String> {
        let url = format!("{}/v1/admin/status", cluster.url(index));
        let reply = self.web.get(&url).await.map_err(|error| format!("{error:#}"))?;
        if reply.status == 200 {
            Ok(reply.json())
        } else {
            Err(format!("{}: {}", reply.status, reply.text()))
        }
    }

    /// Waits until a member says that it is in this state; what it says.
    pub async fn state(&self, cluster: &Cluster, index: usize, wanted: &str) -> Value {
        let what = format!("{} to be {wanted}", cluster.members[index].name);
        until(&what, SETTLE, || async move {
            let status = self.status(cluster, index).await?;
            if status["state"] == wanted {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        })
        .await
    }

    /// Makes the waiting member the first of a cluster, and leaves it its identity as the operator's ConfigMap would.
    pub async fn bootstrap(&self, cluster: &Cluster, index: usize) {
        let status = self.state(cluster, index, "Waiting").await;
        let pki = cluster.pki.as_ref().expect("a managed cluster has certificates");
        let body = json!({"cluster_id": pki.cluster, "member_id": status["member_id"]});
        let reply = self.call(cluster, index, Method::POST, "bootstrap", &body).await;
        assert!(reply.status < 300, "bootstrap: {} {}", reply.status, reply.text());
        self.state(cluster, index, "Leader").await;
        cluster.members[index].write(
            "identity",
            "member-id",
            status["member_id"].as_str().unwrap_or_default(),
        );
    }

    /// Takes the waiting member in: learner, caught up, voter.
    pub async fn join(&self, cluster: &Cluster, index: usize) {
        let id = self.add(cluster, index).await;
        self.caught_up(cluster, &id).await;
        self.promote(cluster, &id).await;
        until("the new voter to follow", SETTLE, || async {
            let status = self.status(cluster, index).await?;
            if ["Follower", "Leader"].contains(&status["state"].as_str().unwrap_or_default()) {
                return Ok(());
            }
            Err(status.to_string())
        })
        .await;
    }

    /// Adds the waiting member as a learner; its id.
    pub async fn add(&self, cluster: &Cluster, index: usize) -> String {
        let status = self.state(cluster, index, "Waiting").await;
        let member = &cluster.members[index];
        let body = json!({
            "id": status["member_id"],
            "name": member.name,
            "peer_urls": [format!("https://{}:{}", member.peer_address, member.peer)],
            "client_urls": [cluster.url(index)],
        });
        self.at_leader(cluster, Method::POST, "members", &body).await;
        let id = status["member_id"].as_str().unwrap_or_default().to_owned();
        member.write("identity", "member-id", &id);
        id
    }

    /// Waits until the leader has seen the member hold nearly all of its log.
    pub async fn caught_up(&self, cluster: &Cluster, id: &str) {
        until(&format!("{id} to catch up"), SETTLE, || async move {
            let leader = cluster.leader().await;
            let last = self.status(cluster, leader).await?["last_log_index"]
                .as_u64()
                .unwrap_or_default();
            let reply = self.call(cluster, leader, Method::GET, "progress", &Value::Null).await;
            let progress = reply.json();
            let entries = progress.as_array().cloned().unwrap_or_default();
            let matched = entries
                .iter()
                .find(|entry| entry["member_id"] == id)
                .map(|entry| &entry["matched_index"]);
            match matched.and_then(Value::as_u64) {
                Some(matched) if matched + LAG_MAX >= last => Ok(()),
                _ => Err(format!("last log index {last}, progress {}", reply.text())),
            }
        })
        .await;
    }

    /// Makes a learner a voter.
    pub async fn promote(&self, cluster: &Cluster, id: &str) {
        self.at_leader(cluster, Method::POST, &format!("members/{id}/promote"), &json!({}))
            .await;
    }

    /// Takes a member out.
    pub async fn remove(&self, cluster: &Cluster, id: &str) {
        self.at_leader(cluster, Method::DELETE, &format!("members/{id}"), &Value::Null)
            .await;
    }

    /// Hands leadership to a member.
    pub async fn transfer(&self, cluster: &Cluster, id: &str) {
        self.at_leader(cluster, Method::POST, "transfer-leadership", &json!({"target": id}))
            .await;
    }

    /// Makes a call at whoever leads, again when leadership moved meanwhile. Every such call is idempotent.
    async fn at_leader(&self, cluster: &Cluster, method: Method, path: &str, body: &Value) {
        until(path, SETTLE, || {
            let method = method.clone();
            async move {
                let leader = cluster.leader().await;
                let reply = self.call(cluster, leader, method, path, body).await;
                match reply.status {
                    200..300 => Ok(()),
                    409 | 503 => Err(format!("{} {}", reply.status, reply.text())),
                    status => panic!("{path} {body}: {status} {}", reply.text()),
                }
            }
        })
        .await;
    }
}
