//! What a handler answers with: bytes, a page that is inflated as it is sent, or a break-off on
//! purpose.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::places::Place;
use crate::exposition::Inflate;

/// A frame is at most this long, so that the time limit of a slow reader is checked often enough.
const FRAME: usize = 64 * 1024;

/// The connection ends without an answer, or in the middle of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is broken off on purpose")]
pub struct Abort;

/// The body of a response.
#[derive(Debug)]
pub struct Body {
    source: Source,
    /// A place among those that may be served at a time; given back when the body is sent, or
    /// dropped.
    _place: Option<Place>,
}

#[derive(Debug)]
enum Source {
    Parts { parts: VecDeque<Bytes>, left: u64 },
    Inflate(Inflate),
    CutShort { sent: Option<Bytes>, flushed: bool },
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::parts(Vec::new())
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::parts(vec![bytes.into()])
    }

    /// These bytes, one part after the other; none is copied.
    #[must_use]
    pub fn parts(parts: Vec<Bytes>) -> Self {
        let left = parts
            .iter()
            .map(|part| u64::try_from(part.len()).expect("a length fits 64 bits"))
            .sum();
        Self { source: Source::Parts { parts: parts.into(), left }, _place: None }
    }

    /// A page, inflated as it is sent.
    #[must_use]
    pub fn inflate(page: Inflate) -> Self {
        Self { source: Source::Inflate(page), _place: None }
    }

    /// `sent`, and then the connection is broken off. The response must claim more by a
    /// `Content-Length` of its own; without one, its last chunk is missing.
    #[must_use]
    pub fn cut_short(sent: impl Into<Bytes>) -> Self {
        Self { source: Source::CutShort { sent: Some(sent.into()), flushed: false }, _place: None }
    }

    /// Keeps `place` taken until the body is sent, or dropped.
    pub(super) fn holding(self, place: Place) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// How many bytes are still to be sent; `None` for one that will be cut short.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match &self.source {
            Source::Parts { left, .. } => Some(*left),
            Source::Inflate(page) => Some(page.remaining()),
            Source::CutShort { .. } => None,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Abort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Abort>>> {
        let next = match &mut self.source {
            Source::Parts { parts, left } => {
                while parts.front().is_some_and(Bytes::is_empty) {
                    parts.pop_front();
                }
                let frame = parts.front_mut().map(|first| first.split_to(first.len().min(FRAME)));
                *left -= frame
                    .as_ref()
                    .map_or(0, |f| u64::try_from(f.len()).expect("a length fits 64 bits"));
                frame.map(Ok)
            }
            Source::Inflate(page) => page.next().map(Ok),
            Source::CutShort { sent, flushed } => match sent.take() {
                Some(bytes) => Some(Ok(bytes)),
                // hyper flushes what it has when a body has nothing to give just now; what is not
                // flushed dies with the connection.
                None if !std::mem::replace(flushed, true) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => Some(Err(Abort)),
            },
        };
        Poll::Ready(next.map(|frame| frame.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
