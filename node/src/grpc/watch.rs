//! etcd's `Watch` service.
//!
//! Its one method is spoken here and not by tonic's service: tonic encodes a stream's answers in one buffer that it keeps
//! as long as the stream lives, as large as the largest answer. With a thousand watchers that were each told of one large
//! value, that is a gigabyte for nothing.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use kvorum_api::error::Failure;
use kvorum_api::etcdserverpb as pb;
use prost::Message as _;
use tonic::codec::{Codec as _, Streaming};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::{caller, failed, needs_leader, requests, status};
use crate::http::Edge;

/// The path of the method.
const PATH: &str = "/etcdserverpb.Watch/Watch";
/// What goes before a message: a byte of flags and four of length.
const PREFIX_BYTES: usize = 5;

/// The route.
pub fn route(edge: Edge) -> Router {
    Router::new().route(PATH, any(watch)).with_state(edge)
}

async fn watch(State(edge): State<Edge>, request: http::Request<Body>) -> Response {
    let bytes_max = usize::try_from(edge.message_bytes_max).unwrap_or(usize::MAX);
    let decoder = ProstCodec::<pb::WatchResponse, pb::WatchRequest>::default().decoder();
    let request = Request::from_http(request);
    let (caller, needs_leader) = (caller(&request), needs_leader(&request));
    let streaming = Streaming::new_request(decoder, request.into_inner(), None, Some(bytes_max));
    match edge.service.watch(caller, needs_leader, requests(streaming)).await {
        Ok(session) => respond(session.responses()),
        Err(refusal) => status(refusal).into_http(),
    }
}

/// The response of a stream: a frame for each answer, and a status as trailers.
fn respond(answers: impl Stream<Item = Result<pb::WatchResponse, Failure>> + Send + 'static) -> Response {
    let told = answers.map(|answer| match answer {
        Ok(answer) => Frame::data(message(&answer)),
        Err(failure) => Frame::trailers(trailers(&failed(failure))),
    });
    let well = futures::stream::iter([Frame::trailers(trailers(&Status::ok("")))]);
    // Whatever comes after the first trailers is not told; the session says nothing after an error anyway.
    let frames = until_trailers(told.chain(well)).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

fn until_trailers(frames: impl Stream<Item = Frame<Bytes>> + Send) -> impl Stream<Item = Frame<Bytes>> + Send {
    frames.scan(false, |is_over, frame| {
        let before = std::mem::replace(is_over, frame.is_trailers());
        std::future::ready((!before).then_some(frame))
    })
}

fn message(answer: &pb::WatchResponse) -> Bytes {
    let length = answer.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("a part of history and a revision are far smaller"));
    answer.encode(&mut bytes).expect("there is room for what was measured");
    bytes.freeze()
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // It fails for texts that are no header; ours are.
    let _ = status.add_header(&mut trailers);
    trailers
}
