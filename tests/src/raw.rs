//! Any gRPC method, called with bytes: for tests that go through all methods without knowing their messages.

use std::fmt;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::stream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// How long a method may keep silent before it counts as one that waits.
const SILENCE: Duration = Duration::from_secs(1);

/// Messages as their bytes.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A message.
    Answer,
    /// The end, without any message.
    End,
    /// Nothing yet.
    Waiting,
    /// An error.
    Refusal(Code, String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Refusal(code, message) => write!(formatter, "{code:?} {message}"),
            other => write!(formatter, "{other:?}"),
        }
    }
}

/// Sends one message to a method (`/package.Service/Method`) and waits a moment for the first thing that comes back.
pub async fn call(channel: &Channel, path: &str, message: Bytes) -> Outcome {
    let refusal = |status: Status| Outcome::Refusal(status.code(), status.message().to_owned());
    let asked = async {
        let mut client = Grpc::new(channel.clone());
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = path.parse().expect("a path of ours");
        let request = Request::new(stream::iter([message]));
        let mut answers = client.streaming(request, path, Raw).await?.into_inner();
        answers.message().await
    };
    match tokio::time::timeout(SILENCE, asked).await {
        Err(_) => Outcome::Waiting,
        Ok(Ok(Some(_))) => Outcome::Answer,
        Ok(Ok(None)) => Outcome::End,
        Ok(Err(status)) => refusal(status),
    }
}
