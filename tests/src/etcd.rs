//! etcd's JSON API at one member (of Kvorum, or of etcd itself), and the base64 that it wants.

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

use crate::web::{Reply, Web};

/// Text as etcd's JSON wants bytes.
#[must_use]
pub fn encode(text: impl AsRef<[u8]>) -> String {
    base64_simd::STANDARD.encode_to_string(text)
}

/// Bytes out of etcd's JSON, as text; empty when absent.
///
/// # Panics
/// When it is not base64.
#[must_use]
pub fn decode(value: &Value) -> String {
    let bytes = base64_simd::STANDARD
        .decode_to_vec(value.as_str().unwrap_or_default())
        .expect("bytes come as base64");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A 64-bit number out of proto3 JSON: a string, or absent for zero.
///
/// # Panics
/// When it is something else.
#[must_use]
pub fn number(value: &Value) -> i64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().unwrap_or_else(|_| panic!("no number: {text}")),
        other => panic!("64-bit numbers come as strings, not {other}"),
    }
}

/// As [`number`], for ids, which use all 64 bits.
///
/// # Panics
/// When it is something else.
#[must_use]
pub fn id(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().unwrap_or_else(|_| panic!("no id: {text}")),
        other => panic!("64-bit numbers come as strings, not {other}"),
    }
}

/// One member's etcd API.
#[derive(Clone)]
pub struct Etcd {
    web: Web,
    base: String,
}

impl Etcd {
    /// The API at `base`, for example `https://127.0.0.1:2379`.
    #[must_use]
    pub fn new(web: Web, base: String) -> Etcd {
        Etcd { web, base }
    }

    /// POSTs to `/v3/<path>`.
    ///
    /// # Errors
    /// No answer at all; a refusal is an answer.
    pub async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.web.post(&format!("{}/v3/{path}", self.base), body).await
    }

    /// POSTs any text to `/v3/<path>`.
    ///
    /// # Errors
    /// No answer at all.
    pub async fn send(&self, path: &str, body: &str) -> anyhow::Result<Reply> {
        self.web
            .send(Method::POST, &format!("{}/v3/{path}", self.base), &[], body.to_owned())
            .await
    }

    /// As [`Etcd::call`], by whom the token stands for; an empty one is not sent.
    ///
    /// # Errors
    /// As [`Etcd::call`].
    pub async fn call_as(&self, token: &str, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let url = format!("{}/v3/{path}", self.base);
        let headers: &[(&str, &str)] = if token.is_empty() {
            &[]
        } else {
            &[("authorization", token)]
        };
        self.web.send(Method::POST, &url, headers, body.to_string()).await
    }

    /// As [`Etcd::call`], and the answer must be a success.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn ask(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let reply = self.call(path, body).await?;
        if reply.status != 200 {
            bail!("{}/v3/{path}: {} {}", self.base, reply.status, reply.text());
        }
        serde_json::from_slice(&reply.body).with_context(|| format!("{path}: {}", reply.text()))
    }

    /// Writes a key; the revision.
    ///
    /// # Errors
    /// As [`Etcd::ask`].
    pub async fn put(&self, key: &str, value: &str) -> anyhow::Result<i64> {
        let reply = self
            .ask("kv/put", &json!({"key": encode(key), "value": encode(value)}))
            .await?;
        Ok(number(&reply["header"]["revision"]))
    }

    /// Reads a key, linearizably.
    ///
    /// # Errors
    /// As [`Etcd::ask`].
    pub async fn get(&self, key: &str) -> anyhow::Result<Option<String>> {
        let reply = self.ask("kv/range", &json!({"key": encode(key)})).await?;
        Ok(reply["kvs"].get(0).map(|kv| decode(&kv["value"])))
    }

    /// Reads a key from this member's own state.
    ///
    /// # Errors
    /// As [`Etcd::ask`].
    pub async fn get_serializable(&self, key: &str) -> anyhow::Result<Option<String>> {
        let reply = self
            .ask("kv/range", &json!({"key": encode(key), "serializable": true}))
            .await?;
        Ok(reply["kvs"].get(0).map(|kv| decode(&kv["value"])))
    }

    /// Every key that starts with `prefix`, with its value.
    ///
    /// # Errors
    /// As [`Etcd::ask`].
    pub async fn list(&self, prefix: &str) -> anyhow::Result<Vec<(String, String)>> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().context("a prefix is not empty")? += 1;
        let reply = self
            .ask("kv/range", &json!({"key": encode(prefix), "range_end": encode(end)}))
            .await?;
        let kvs = reply["kvs"].as_array().cloned().unwrap_or_default();
        Ok(kvs
            .iter()
            .map(|kv| (decode(&kv["key"]), decode(&kv["value"])))
            .collect())
    }

    /// The current revision, linearizably.
    ///
    /// # Errors
    /// As [`Etcd::ask`].
    pub async fn revision(&self) -> anyhow::Result<i64> {
        let reply = self
            .ask("kv/range", &json!({"key": encode("\0"), "count_only": true}))
            .await?;
        Ok(number(&reply["header"]["revision"]))
    }

    /// This member's own id and the leader's, zero when it knows none.
    ///
    /// # Errors
    /// As [`Etcd::ask`].
    pub async fn who(&self) -> anyhow::Result<(u64, u64)> {
        let reply = self.ask("maintenance/status", &json!({})).await?;
        Ok((id(&reply["header"]["member_id"]), id(&reply["leader"])))
    }
}
