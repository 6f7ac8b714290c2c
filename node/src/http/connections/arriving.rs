//! A request's body on its way in: counted, and bounded in time.
//!
//! The body of a call is held until the call is answered. A stream of requests is held only as far as a message has begun
//! and not ended, and may be silent for ever between two; gRPC's framing tells where that is, for JSON its reader does.
//!
//! Must keep true: what is refused is not kept. The error is a status in etcd's words, which tonic passes on, and which
//! `http::body` finds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use kvorum_api::error::Refusal;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::grpc::status;
use crate::held::Hold;

/// The longest a body, or a message of a stream, takes to arrive: the largest that is allowed by default takes as long at
/// half a megabit a second.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(30);

/// What a body consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One request.
    Whole,
    /// Messages in gRPC's framing, as many as the client likes.
    Messages,
    /// The same in JSON; whoever reads them says how much is held.
    Values,
}

impl Form {
    /// The form of a request's body, from its path.
    pub(super) fn of(path: &str) -> Form {
        match path {
            "/etcdserverpb.Watch/Watch" | "/etcdserverpb.Lease/LeaseKeepAlive" => Form::Messages,
            "/v3/watch" | "/v3/lease/keepalive" => Form::Values,
            path if path.starts_with("/grpc.reflection.") => Form::Messages,
            _ => Form::Whole,
        }
    }
}

/// A body that is counted.
pub(super) struct Arriving {
    body: Body,
    hold: Arc<Hold>,
    form: Form,
    framing: Framing,
    /// What was held when bytes came last.
    held: u64,
    time_max: Duration,
    /// Until when what has begun must have come; there is one only while it is waited for.
    end: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    pub(super) fn new(body: Body, hold: Arc<Hold>, form: Form) -> Arriving {
        Arriving {
            body,
            hold,
            form,
            framing: Framing::default(),
            held: 0,
            time_max: ARRIVAL_TIME_MAX,
            end: None,
        }
    }

    /// Whether the client has been in the middle of something for too long.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let held = self.hold.arrived();
        if held < self.held {
            // What had begun has ended; whatever is held now began later.
            (self.held, self.end) = (held, None);
        }
        if self.form != Form::Whole && held == 0 {
            return false;
        }
        let time_max = self.time_max;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(time_max)));
        end.as_mut().poll(context).is_ready()
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let all = self.hold.arrived() + bytes.len() as u64;
        let held = match self.form {
            Form::Whole | Form::Values => all,
            Form::Messages => self.framing.pass(bytes),
        };
        if held < all || all < self.held {
            self.end = None;
        }
        self.held = held;
        self.hold.set(held).map_err(|_| status(Refusal::TooManyRequests))
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(other) => return Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            Poll::Pending if self.is_late(context) => {
                return Poll::Ready(Some(Err(status(Refusal::Timeout).into())));
            }
            Poll::Pending => return Poll::Pending,
        };
        let counted = frame.data_ref().map_or(Ok(()), |bytes| self.count(bytes));
        Poll::Ready(Some(counted.map(|()| frame).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where in gRPC's framing a stream is: a byte of flags, four of length, the message.
#[derive(Debug, Default)]
struct Framing {
    /// Bytes of the prefix that came.
    prefix: usize,
    /// Bytes of the message that have not come; its length as far as it is known.
    missing: u64,
    /// Bytes that came of a message that has not ended.
    begun: u64,
}

impl Framing {
    const PREFIX_BYTES: usize = 5;

    /// Passes over bytes that came; those that belong to a message without an end.
    fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        while let Some((first, rest)) = bytes.split_first() {
            if self.prefix < Self::PREFIX_BYTES {
                if self.prefix > 0 {
                    self.missing = self.missing << 8 | u64::from(*first);
                }
                (self.prefix, self.begun, bytes) = (self.prefix + 1, self.begun + 1, rest);
            } else {
                let taken = bytes.len().min(usize::try_from(self.missing).unwrap_or(usize::MAX));
                (self.missing, self.begun) = (self.missing - taken as u64, self.begun + taken as u64);
                bytes = &bytes[taken..];
            }
            if self.prefix == Self::PREFIX_BYTES && self.missing == 0 {
                *self = Framing::default();
            }
        }
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use test_case::test_case;

    use crate::held::Requests;

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.resize(length + Framing::PREFIX_BYTES, 7);
        message
    }

    #[test_case(&[3, 0, 300], 0 => 0; "whole messages")]
    #[test_case(&[3, 70_000], 1 => 70_004; "all but the last byte")]
    #[test_case(&[3, 10], 14 => 1; "a prefix begun")]
    fn messages_are_followed(lengths: &[usize], cut: usize) -> u64 {
        let mut bytes: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
        bytes.truncate(bytes.len() - cut);
        let ends = [1, 2, 5, 64, bytes.len()].map(|piece| {
            let mut framing = Framing::default();
            bytes
                .chunks(piece)
                .map(|piece| framing.pass(piece))
                .last()
                .unwrap_or_default()
        });
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
        ends[0]
    }

    #[tokio::test]
    async fn a_body_without_room_is_refused_in_etcds_words() {
        let requests = Requests::new(1_000);
        let hold = requests.begin().unwrap();
        let body = Body::from(vec![0; 100_000]);
        let arriving = Body::new(Arriving::new(body, hold, Form::Whole));
        let error = arriving.collect().await.unwrap_err();
        let status = Status::from_error(error.into());
        assert_eq!(
            (status.code(), status.message()),
            (tonic::Code::ResourceExhausted, "etcdserver: too many requests")
        );
        assert_eq!(requests.bytes(), 0);
    }

    /// How a body of this form ends of which these bytes come, and then nothing.
    async fn end(form: Form, bytes: Vec<u8>) -> &'static str {
        const TIME: Duration = Duration::from_millis(30);
        let hold = Requests::new(1 << 20).begin().unwrap();
        let pieces = futures::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
        let body = Body::from_stream(futures::StreamExt::chain(pieces, futures::stream::pending()));
        let mut arriving = Arriving::new(body, hold, form);
        arriving.time_max = TIME;
        assert!(arriving.frame().await.unwrap().is_ok());
        match tokio::time::timeout(TIME * 20, arriving.frame()).await {
            Err(_) => "waits on",
            Ok(Some(Err(error))) if error.to_string().contains(Refusal::Timeout.message()) => "given up",
            Ok(other) => panic!("{other:?}"),
        }
    }

    #[test_case(Form::Whole, message(100) => "given up"; "a request without an end")]
    #[test_case(Form::Messages, message(100) => "waits on"; "between two messages")]
    #[test_case(Form::Messages, message(100)[..50].to_vec() => "given up"; "in the middle of one")]
    #[tokio::test]
    async fn whoever_stops_in_the_middle_is_given_up(form: Form, bytes: Vec<u8>) -> &'static str {
        end(form, bytes).await
    }
}
