//! JSON objects that follow each other in a body, each decoded as soon as its last brace has arrived.
//!
//! Must keep true: every byte is looked at once, however the body is cut into pieces; one value is no larger than twice
//! the largest message, since base64 makes a message a third longer.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use kvorum_api::error::{Code, Failure};
use kvorum_api::json;
use serde::de::DeserializeOwned;

use crate::held::Hold;
use crate::http::body::refusal;

/// The messages in a body. After an error there is nothing more; asking on is allowed.
pub fn values<Message>(
    body: Body,
    hold: Arc<Hold>,
    message_bytes_max: u64,
) -> impl Stream<Item = Result<Message, Failure>> + Send
where
    Message: DeserializeOwned + Default + Send + 'static,
{
    let bytes_max = usize::try_from(message_bytes_max.saturating_mul(2)).unwrap_or(usize::MAX);
    let reading = Reading {
        pieces: body.into_data_stream(),
        objects: Objects::new(bytes_max),
        hold,
        is_over: false,
    };
    futures::stream::unfold(reading, async |mut reading| {
        let value = reading.next().await?.and_then(|text| json::decode(&text));
        reading.is_over |= value.is_err();
        Some((value, reading))
    })
    .fuse()
}

struct Reading<Pieces> {
    pieces: Pieces,
    objects: Objects,
    /// What is held of values that have begun.
    hold: Arc<Hold>,
    is_over: bool,
}

impl<Pieces, Error> Reading<Pieces>
where
    Pieces: Stream<Item = Result<Bytes, Error>> + Unpin,
    Error: std::error::Error + 'static,
{
    /// The text of the next value.
    async fn next(&mut self) -> Option<Result<BytesMut, Failure>> {
        while !self.is_over {
            match self.objects.next() {
                Ok(Some(text)) => return Some(Ok(text)),
                Ok(None) => {}
                Err(failure) => return Some(Err(failure)),
            }
            // It was counted when it came, so there is room for it.
            let _ = self.hold.set(self.objects.text.len() as u64);
            match self.pieces.next().await {
                Some(Ok(piece)) => self.objects.add(&piece),
                Some(Err(error)) => {
                    if let Some(refusal) = refusal(&error) {
                        return Some(Err(refusal.into()));
                    }
                    let reason = format!("the request's body did not arrive: {error}");
                    return Some(Err(malformed(reason)));
                }
                None => {
                    self.is_over = true;
                    return self.objects.end().err().map(Err);
                }
            }
        }
        None
    }
}

/// Finds where objects end, without understanding what is in them.
struct Objects {
    text: BytesMut,
    /// Bytes of `text` that were looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    bytes_max: usize,
}

impl Objects {
    fn new(bytes_max: usize) -> Self {
        Self {
            text: BytesMut::new(),
            seen: 0,
            depth: 0,
            in_string: false,
            is_escaped: false,
            bytes_max,
        }
    }

    fn add(&mut self, piece: &[u8]) {
        self.text.extend_from_slice(piece);
    }

    /// The next object, if all of it is there.
    fn next(&mut self) -> Result<Option<BytesMut>, Failure> {
        while let Some(&byte) = self.text.get(self.seen) {
            self.seen += 1;
            if self.in_string {
                self.pass_string(byte);
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                    self.text.advance(self.seen);
                    self.seen = 0;
                }
                b'{' => self.depth += 1,
                _ if self.depth == 0 => return Err(malformed("an object is expected")),
                b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(self.text.split_to(std::mem::take(&mut self.seen))));
                    }
                }
                b'"' => self.in_string = true,
                _ => {}
            }
        }
        if self.text.len() > self.bytes_max {
            let reason = format!("a request is larger than {} bytes", self.bytes_max);
            return Err(Failure::new(Code::ResourceExhausted, reason));
        }
        Ok(None)
    }

    fn pass_string(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    /// Nothing more comes: nothing may be left.
    fn end(&self) -> Result<(), Failure> {
        if self.text.is_empty() {
            Ok(())
        } else {
            Err(malformed("the request's body ends in the middle of a value"))
        }
    }
}

fn malformed(reason: impl Into<String>) -> Failure {
    Failure::new(Code::InvalidArgument, reason.into())
}

#[cfg(test)]
mod tests {
    use kvorum_api::etcdserverpb::WatchCancelRequest;
    use test_case::test_case;

    use super::*;
    use crate::held::Requests;

    /// What is found in a body that arrives in pieces of a size.
    fn found(body: &str, piece: usize) -> String {
        let mut objects = Objects::new(40);
        let mut found = Vec::new();
        for piece in body.as_bytes().chunks(piece) {
            objects.add(piece);
            loop {
                match objects.next() {
                    Ok(Some(text)) => found.push(String::from_utf8(text.to_vec()).unwrap()),
                    Ok(None) => break,
                    Err(failure) => return format!("{found:?} {failure}"),
                }
            }
        }
        let end = objects
            .end()
            .err()
            .map_or_else(String::new, |failure| failure.to_string());
        format!("{found:?} {end}")
    }

    #[test_case("", "[] "; "nothing")]
    #[test_case(" {}\n{\"a\":[{}]} ", r#"["{}", "{\"a\":[{}]}"] "#; "two values")]
    #[test_case(r#"{"a":"}\"{"}{}"#, r#"["{\"a\":\"}\\\"{\"}", "{}"] "#; "braces in strings")]
    #[test_case("{}x", r#"["{}"] an object is expected"#; "garbage")]
    #[test_case("[{}]", "[] an object is expected"; "a list")]
    #[test_case("{\"a\":", "[] the request's body ends in the middle of a value"; "half a value")]
    #[test_case("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[] a request is larger than 40 bytes"; "too large")]
    fn values_are_found_however_they_arrive(body: &str, expected: &str) {
        for piece in [1, 2, 3, 7, 1_000] {
            assert_eq!(found(body, piece), expected, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn what_follows_a_mistake_is_not_heard() {
        let body = Body::from(r#"{"watch_id":"1"} {"watch_id":"2"} {"watch_id":true} {"watch_id":"4"}"#);
        let hold = Requests::new(1_000).begin().unwrap();
        let all: Vec<Result<WatchCancelRequest, Failure>> = values(body, hold, 1_000).collect().await;
        let seen: Vec<_> = all
            .iter()
            .map(|value| value.as_ref().ok().map(|request| request.watch_id))
            .collect();
        assert_eq!(seen, [Some(1), Some(2), None]);
    }
}
