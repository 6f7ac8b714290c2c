//! Answers that do not end by themselves: read line by line, each wait with a bound.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;

use crate::wait::SETTLE;
use crate::web::Web;

/// An answer whose body is still coming.
pub struct Stream {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    text: Vec<u8>,
}

impl Web {
    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// No answer within the client's bound.
    pub async fn open(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Stream> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).context("the test's own request")?;
        let answer = self.begin(request).await?;
        let (parts, body) = answer.into_parts();
        Ok(Stream {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            text: Vec::new(),
        })
    }
}

impl Stream {
    /// The next line, without its end; `None` when the stream has ended.
    ///
    /// # Panics
    /// When neither comes in time.
    pub async fn line(&mut self) -> Option<String> {
        let waited = tokio::time::timeout(SETTLE, self.next()).await;
        waited.unwrap_or_else(|_| panic!("no line within {SETTLE:?}; so far: {}", self.rest()))
    }

    /// The next line as JSON.
    ///
    /// # Panics
    /// When there is none in time, or it is no JSON.
    pub async fn json(&mut self) -> Value {
        let line = self.line().await.expect("a line, not the end");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Whether nothing comes for a while.
    pub async fn is_quiet(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }

    /// What came and is no whole line.
    #[must_use]
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// May be given up: what has come is kept.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let frame = self.body.frame().await?.ok()?;
            if let Some(piece) = frame.data_ref() {
                self.text.extend_from_slice(piece);
            }
        }
    }
}
