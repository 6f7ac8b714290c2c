//! An answer's body on its way out: large parts are counted while they wait, and taken in small pieces.
//!
//! The protocols take what a body gives them, in one piece, and keep it until the client makes room. So a large part stays
//! here, where it can be counted and, when others need the room, given up.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use kvorum_api::error::Refusal;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::grpc::status;
use crate::held::answers::{PIECE_BYTES_MAX, Piece};
use crate::held::{Answers, Hold, Parcel};

/// What an answer comes from: what is left to be made of it, and buffers.
type Source = Arc<Mutex<Option<Body>>>;

/// A body that is counted.
pub(super) struct Leaving {
    /// `None` when it was given up, perhaps by somebody else.
    body: Source,
    answers: Arc<Answers>,
    /// Ends the connection where nothing else tells its client that an answer was given up.
    end: Option<CancellationToken>,
    parcel: Option<Parcel>,
    /// The request is under way until its answer is.
    _hold: Arc<Hold>,
}

impl Leaving {
    pub(super) fn new(body: Body, answers: Arc<Answers>, end: Option<CancellationToken>, hold: Arc<Hold>) -> Leaving {
        Leaving {
            body: Arc::new(Mutex::new(Some(body))),
            answers,
            end,
            parcel: None,
            _hold: hold,
        }
    }

    fn source(&self) -> MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, bytes: Bytes) -> Parcel {
        let (source, end) = (Arc::clone(&self.body), self.end.clone());
        self.answers.hold(bytes, move || {
            // Dropped outside the lock: it may be much.
            let body = source.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(body);
            if let Some(end) = end {
                end.cancel();
            }
        })
    }

    /// The next piece of what is here already.
    fn piece(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        match self.parcel.as_ref()?.take() {
            Piece::Bytes(bytes) => Some(Ok(Frame::data(bytes))),
            Piece::End => {
                self.parcel = None;
                None
            }
            Piece::GivenUp => {
                self.parcel = None;
                Some(Err(status(Refusal::TooManyRequests)))
            }
        }
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(piece) = self.piece() {
                return Poll::Ready(Some(piece.map_err(Into::into)));
            }
            let polled = match self.source().as_mut() {
                Some(body) => Pin::new(body).poll_frame(context),
                None => return Poll::Ready(None),
            };
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            };
            match frame.into_data() {
                Ok(bytes) if bytes.len() > PIECE_BYTES_MAX => {
                    self.parcel = Some(self.hold(bytes));
                }
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parcel.is_none() && self.source().as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.parcel, &*self.source()) {
            // Asked before the first piece is taken; later nobody asks.
            (None, Some(body)) => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::Requests;
    use http_body_util::BodyExt as _;

    fn leaving(bytes: usize, answers: &Arc<Answers>) -> Leaving {
        let hold = Requests::new(1).begin().unwrap();
        Leaving::new(Body::from(vec![7; bytes]), Arc::clone(answers), None, hold)
    }

    #[tokio::test]
    async fn bodies_leave_whole() {
        let answers = Answers::new(1 << 20);
        for bytes in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 10 * PIECE_BYTES_MAX] {
            let leaving = leaving(bytes, &answers);
            assert_eq!(http_body::Body::size_hint(&leaving).exact(), Some(bytes as u64));
            let all = leaving.collect().await.unwrap().to_bytes();
            assert_eq!((all.len(), answers.bytes()), (bytes, 0));
        }
    }

    #[tokio::test]
    async fn one_that_was_given_up_ends_with_an_error() {
        let answers = Answers::new(1 << 20);
        let mut leaving = leaving(2 << 20, &answers);
        assert!(leaving.frame().await.unwrap().is_ok());
        assert!(!answers.has_room());
        answers.room().await;
        assert!(leaving.source().is_none(), "what it came from is gone at once");
        assert!(leaving.frame().await.unwrap().is_err());
        assert!(leaving.frame().await.is_none());
    }
}
