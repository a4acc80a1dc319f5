//! What a handler answers with.

use std::any::Any;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use crate::exposition::Inflate;

/// A frame is at most this long, so that the time limits of a slow reader are checked often enough.
const MAX_FRAME: usize = 64 * 1024;

/// The connection ends without an answer, or in the middle of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection aborted by the handler")]
pub struct Abort;

/// The body of a response: bytes, a page that is inflated as it is sent, or an aborted answer.
#[derive(Debug)]
pub struct ResponseBody {
    content: BodyContent,
    /// Dropped with the body, whether it was sent or not.
    guards: Vec<Box<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
enum BodyContent {
    Parts { parts: VecDeque<Bytes>, remaining: u64 },
    Inflate(Inflate),
    CutShort { sent: Option<Bytes>, flushed: bool },
}

impl ResponseBody {
    const fn new(content: BodyContent) -> Self {
        Self { content, guards: Vec::new() }
    }

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
        let remaining = parts.iter().map(byte_count).sum();
        Self::new(BodyContent::Parts { parts: parts.into(), remaining })
    }

    /// A page, inflated as it is sent.
    #[must_use]
    pub const fn inflate(page: Inflate) -> Self {
        Self::new(BodyContent::Inflate(page))
    }

    /// `sent`, and then the connection is aborted. The response must claim more by a
    /// `Content-Length` of its own; without one, its last chunk is missing.
    #[must_use]
    pub fn cut_short(sent: impl Into<Bytes>) -> Self {
        Self::new(BodyContent::CutShort { sent: Some(sent.into()), flushed: false })
    }

    /// Keeps `guard` until the body is sent, or dropped.
    pub(super) fn holding(mut self, guard: impl Send + Sync + 'static) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// How many bytes are still to be sent; `None` for one that is cut short.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match &self.content {
            BodyContent::Parts { remaining, .. } => Some(*remaining),
            BodyContent::Inflate(page) => Some(page.remaining()),
            BodyContent::CutShort { .. } => None,
        }
    }
}

fn byte_count(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("a length fits 64 bits")
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Abort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Abort>>> {
        let next = match &mut self.content {
            BodyContent::Parts { parts, remaining } => {
                while parts.front().is_some_and(Bytes::is_empty) {
                    parts.pop_front();
                }
                let first = parts.front_mut();
                let frame = first.map(|first| first.split_to(first.len().min(MAX_FRAME)));
                *remaining -= frame.as_ref().map_or(0, byte_count);
                frame.map(Ok)
            }
            BodyContent::Inflate(page) => page.next().map(Ok),
            BodyContent::CutShort { sent, flushed } => match sent.take() {
                Some(bytes) => Some(Ok(bytes)),
                // hyper flushes what it has when a body has nothing to give just now; what is not
                // flushed is lost with the connection.
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

/// A response of plain text.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    response(status, "text/plain; charset=utf-8", ResponseBody::full(text))
}

pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: ResponseBody,
) -> Response<ResponseBody> {
    let length = body.remaining().map(HeaderValue::from);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    response
}
