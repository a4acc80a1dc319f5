//! Time limits on one connection's reads and writes. hyper has none for writes, and one for reads
//! that cannot tell a client that is silent between two requests from one that is slow in the
//! middle of one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::body::{Abort, Body};
use super::streams::OpenStream;

/// How many requests of one connection have begun (their heads were read) and have ended (their
/// answers were handed to hyper).
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The later the connection was of use, the higher.
    touched: AtomicU64,
}

impl Requests {
    /// Notes that a head was read; the request ends when the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.begun() == self.ended.load(Ordering::Relaxed)
    }

    /// When the connection was last of use, in the table's own count.
    pub(super) fn touched(&self) -> u64 {
        self.touched.load(Ordering::Relaxed)
    }

    pub(super) fn touch(&self, count: u64) {
        self.touched.store(count, Ordering::Relaxed);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Running(Arc<Requests>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A body whose request ends with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _running: Running,
    /// Of a connection with several requests at a time.
    pub(super) _stream: Option<OpenStream>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Abort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Abort>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The limits that a [`Guarded`] connection keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// From the first byte of a request (or from the connection's beginning) to the end of its
    /// head.
    pub(super) head: Duration,
    /// From a write that the client did not take to the next one that it takes.
    pub(super) stall: Duration,
    /// From the first write of an answer that the client did not take to the answer's end.
    pub(super) answer: Duration,
}

/// A connection that fails with `TimedOut` when its client is too slow.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    requests: Arc<Requests>,
    limits: TimeLimits,
    /// With HTTP/2 bytes also come between requests, and the beginning of a request cannot be told
    /// from them.
    multiplexed: bool,
    /// The number of requests begun when a timer below was set: another number means that it is
    /// about a request that is over.
    head_of: u64,
    head: Option<Pin<Box<Sleep>>>,
    answer_of: u64,
    answer: Option<Pin<Box<Sleep>>>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, requests: Arc<Requests>, limits: TimeLimits) -> Self {
        let head = Some(timer(limits.head));
        Self {
            stream,
            requests,
            limits,
            multiplexed: false,
            head_of: 0,
            head,
            answer_of: 0,
            answer: None,
            stall: None,
        }
    }

    /// A connection with several requests at a time: only its first one must come within the time
    /// for a head.
    pub(super) fn multiplexed(stream: S, requests: Arc<Requests>, limits: TimeLimits) -> Self {
        Self { multiplexed: true, ..Self::new(stream, requests, limits) }
    }

    /// Passes on the result of a write; fails when the client has not taken any for too long.
    fn check_write<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.answer_of != self.requests.begun() {
            self.answer_of = self.requests.begun();
            self.answer = None;
        }
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let limits = self.limits;
        let stall = self.stall.get_or_insert_with(|| timer(limits.stall));
        let answer = self.answer.get_or_insert_with(|| timer(limits.answer));
        if stall.as_mut().poll(context).is_ready() || answer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(timed_out("the client does not read the answer")));
        }
        Poll::Pending
    }
}

fn timer(limit: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(limit))
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.head_of != this.requests.begun() {
            this.head_of = this.requests.begun();
            this.head = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            if this.head.is_none()
                && !this.multiplexed
                && this.requests.is_idle()
                && buffer.filled().len() > before
            {
                this.head = Some(timer(this.limits.head));
            }
            return read;
        }
        if let Some(head) = &mut this.head {
            ready!(head.as_mut().poll(context));
            return Poll::Ready(Err(timed_out("the client does not send its request")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.check_write(context, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.check_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(context) {
            // Nothing to flush is no progress.
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => this.check_write(context, Poll::Pending),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_shutdown(context);
        this.check_write(context, result)
    }
}
