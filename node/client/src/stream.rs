//! Answers that come in pieces: watches, keepalives, snapshots.
//!
//! etcd's gateway writes one JSON object per line, `{"result": …}` or, as the last, `{"error": …}`. A stream belongs to the
//! one endpoint that took it; who wants to go on after it broke asks again, from where it stopped.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kvorum_api::error::Body;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::etcd::{excerpt, foreign, refused};
use crate::transport::{Answer, Call};
use crate::{Client, Endpoint, Error};

/// Longest line that is read: a snapshot's piece, or a watch's events, with base64 around them.
const LINE_BYTES_MAX: usize = 64 << 20;

/// The messages of a stream, in their order.
#[derive(Debug)]
pub struct Messages<A> {
    endpoint: Endpoint,
    body: Incoming,
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no end of a line.
    scanned: usize,
    message: PhantomData<fn() -> A>,
}

#[derive(Deserialize)]
struct Line<A> {
    result: Option<A>,
    #[serde(default)]
    error: Option<OwnedBody>,
}

#[derive(Deserialize)]
struct OwnedBody {
    #[serde(default)]
    code: i32,
    #[serde(default)]
    message: String,
}

impl Client {
    /// Opens a stream of etcd's gateway at the first endpoint that takes it: `path` like `/v3/watch`.
    ///
    /// # Errors
    /// Any [`Error`]; a refusal may also come with the first message.
    pub async fn stream<Q: Serialize, A>(&self, path: &str, request: &Q) -> Result<Messages<A>, Error> {
        let call = Call::new(Method::POST, path).json(request);
        let (endpoint, response) = self.rotation.open(&self.transport, &call).await?;
        let status = response.status().as_u16();
        let body = response.into_body();
        if status == 200 {
            return Ok(Messages {
                endpoint,
                body,
                buffer: BytesMut::new(),
                scanned: 0,
                message: PhantomData,
            });
        }
        let collected = body.collect().await.map_err(|source| Error::Broken {
            endpoint: endpoint.clone(),
            source: Box::new(source),
        })?;
        Err(refused(Answer {
            endpoint,
            status,
            body: collected.to_bytes(),
        }))
    }
}

impl<A: DeserializeOwned> Messages<A> {
    /// Who answers.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// A refusal, a connection that broke, or an answer that is not Kvorum's.
    pub async fn next(&mut self) -> Result<Option<A>, Error> {
        loop {
            if let Some(line) = self.line() {
                return self.read(&line).map(Some);
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(self.not_understood(&format!("a line of more than {LINE_BYTES_MAX} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(source)) => {
                    return Err(Error::Broken {
                        endpoint: self.endpoint.clone(),
                        source: Box::new(source),
                    });
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let rest = self.buffer.split().freeze();
                    return self.read(&rest).map(Some);
                }
            }
        }
    }

    fn line(&mut self) -> Option<Bytes> {
        let Some(end) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + end).freeze();
        self.scanned = 0;
        self.buffer.advance(1);
        Some(line)
    }

    fn read(&self, line: &[u8]) -> Result<A, Error> {
        match serde_json::from_slice::<Line<A>>(line) {
            Ok(Line {
                result: Some(message), ..
            }) => Ok(message),
            Ok(Line {
                error: Some(OwnedBody { code, message }),
                ..
            }) => {
                let body = kvorum_api::json::encode(&Body {
                    error: "".into(),
                    code,
                    message: message.into(),
                });
                Err(refused(Answer {
                    endpoint: self.endpoint.clone(),
                    status: 0,
                    body: body.into(),
                }))
            }
            Ok(_) | Err(_) => Err(self.not_understood(&excerpt(line))),
        }
    }

    fn not_understood(&self, what: &str) -> Error {
        let answer = Answer {
            endpoint: self.endpoint.clone(),
            status: 200,
            body: Bytes::new(),
        };
        foreign(answer, what.to_owned())
    }
}
