//! Limits on what one client, and all of them together, may take; the time limits are kept here.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::admission::RequestCount;

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Maximum number of open connections, over all listeners. A further one evicts one without a
    /// request; if all have one, it waits in the system's queue.
    pub max_connections: usize,
    /// The head of a request in bytes.
    pub max_head_bytes: usize,
    /// The headers of a request.
    pub max_headers: usize,
    /// From a request's first byte, or the connection's beginning, to the end of its head.
    pub head_time: Duration,
    /// How long a connection may be silent between two requests.
    pub idle_time: Duration,
    /// How long a client may take none of an answer.
    pub stall_time: Duration,
    /// How long a client may take to read an answer, once it has been slow to take some of it.
    pub answer_time: Duration,
    /// How long answers in progress may go on after the server was stopped; then their connections
    /// are dropped.
    pub drain_time: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_head_bytes: 16 * 1024,
            max_headers: 100,
            head_time: Duration::from_secs(10),
            // Longer than the pause between two scrapes usually is.
            idle_time: Duration::from_secs(180),
            stall_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(120),
            drain_time: Duration::from_secs(4),
        }
    }
}

/// A connection that fails with `TimedOut` when its client is too slow. hyper has no time limit for
/// writes, and one for reads that cannot distinguish a client that is silent between two requests
/// from one that is slow in the middle of one.
#[derive(Debug)]
pub(super) struct TimedStream<S> {
    stream: S,
    requests: Arc<RequestCount>,
    limits: ServerLimits,
    /// With HTTP/2 bytes also come between requests, and the first byte of a request looks like any
    /// other. So only the first request must come within the time for a head.
    multiplexed: bool,
    /// How many requests had begun when a timer below was set: if there are more now, the timer is
    /// about a request that is over.
    head_of: u64,
    head: Option<Pin<Box<Sleep>>>,
    answer_of: u64,
    answer: Option<Pin<Box<Sleep>>>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    pub(super) fn new(
        stream: S,
        requests: Arc<RequestCount>,
        limits: ServerLimits,
        multiplexed: bool,
    ) -> Self {
        Self {
            stream,
            requests,
            limits,
            multiplexed,
            head_of: 0,
            head: Some(timer(limits.head_time)),
            answer_of: 0,
            answer: None,
            stall: None,
        }
    }

    /// Passes on the result of a write; fails if the client has not taken any for too long.
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
        // Two timers: `stall` starts anew with each byte taken, `answer` does not. A client that
        // reads a byte every 29 seconds would keep a page in memory for as long as it likes.
        let stall = self.stall.get_or_insert_with(|| timer(self.limits.stall_time));
        let answer = self.answer.get_or_insert_with(|| timer(self.limits.answer_time));
        if stall.as_mut().poll(context).is_ready() || answer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(timed_out("client does not read the answer")));
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

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
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
            // Bytes while no request is in progress are the beginning of the next one.
            if this.head.is_none()
                && !this.multiplexed
                && this.requests.is_idle()
                && buffer.filled().len() > before
            {
                this.head = Some(timer(this.limits.head_time));
            }
            return read;
        }
        if let Some(head) = &mut this.head {
            ready!(head.as_mut().poll(context));
            return Poll::Ready(Err(timed_out("client does not send its request")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
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
            // An empty flush is not progress: the timers go on.
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

/// The time of the requests of an HTTP/2 connection. A client that grants no window for an answer,
/// or that sends nothing but pings, blocks no write and no read, so [`TimedStream`] does not
/// notice. Time is counted from outside instead, in ticks. Clones share the requests.
#[derive(Clone, Debug)]
pub(super) struct StreamTimer {
    shared: Arc<Mutex<StreamTable>>,
    tick: Duration,
    idle_ticks: u64,
    answer_ticks: u64,
}

/// Limits are exceeded by at most this part of the shortest of them.
const TICKS_PER_LIMIT: u32 = 4;

const MAX_TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct StreamTable {
    now: u64,
    next_id: u64,
    /// The tick at which each request began.
    begun_at: BTreeMap<u64, u64>,
    /// The tick since which there has been none.
    idle_since: u64,
}

/// What has to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamVerdict {
    Continue,
    /// It has been silent for too long: it is shut down gracefully.
    ShutDown,
    /// An answer takes too long, or the client does not let the connection end.
    Drop,
}

/// A request in progress on an HTTP/2 connection; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct StreamGuard {
    shared: Arc<Mutex<StreamTable>>,
    id: u64,
}

impl StreamTimer {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        let tick = (limits.idle_time.min(limits.answer_time) / TICKS_PER_LIMIT)
            .clamp(Duration::from_millis(1), MAX_TICK);
        let ticks = |limit: Duration| {
            u64::try_from(limit.as_millis() / tick.as_millis()).unwrap_or(u64::MAX)
        };
        Self {
            shared: Arc::default(),
            tick,
            idle_ticks: ticks(limits.idle_time),
            answer_ticks: ticks(limits.answer_time),
        }
    }

    pub(super) fn begin(&self) -> StreamGuard {
        let mut table = lock(&self.shared);
        table.next_id += 1;
        let (id, now) = (table.next_id, table.now);
        table.begun_at.insert(id, now);
        StreamGuard { shared: Arc::clone(&self.shared), id }
    }

    /// Waits for a tick, then checks the limits.
    pub(super) async fn tick(&self) -> StreamVerdict {
        tokio::time::sleep(self.tick).await;
        self.check()
    }

    fn check(&self) -> StreamVerdict {
        let mut table = lock(&self.shared);
        table.now += 1;
        let idle = table.now - table.idle_since;
        match table.begun_at.values().min() {
            Some(oldest) if table.now - oldest > self.answer_ticks => StreamVerdict::Drop,
            Some(_) => StreamVerdict::Continue,
            None if idle > self.idle_ticks.saturating_mul(2) => StreamVerdict::Drop,
            None if idle > self.idle_ticks => StreamVerdict::ShutDown,
            None => StreamVerdict::Continue,
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut table = lock(&self.shared);
        table.begun_at.remove(&self.id);
        table.idle_since = table.now;
    }
}

fn lock(shared: &Mutex<StreamTable>) -> MutexGuard<'_, StreamTable> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use StreamVerdict::{Continue, Drop, ShutDown};

    #[test]
    fn a_silent_connection_is_shut_down_and_dropped_if_it_does_not_end() {
        let limits = ServerLimits { idle_time: Duration::from_secs(10), ..ServerLimits::default() };
        let timer = StreamTimer::new(&limits);
        let verdicts: Vec<StreamVerdict> = (0..21).map(|_| timer.check()).collect();
        assert!(verdicts[..10].iter().all(|verdict| *verdict == Continue), "{verdicts:?}");
        assert!(verdicts[10..20].iter().all(|verdict| *verdict == ShutDown), "{verdicts:?}");
        assert_eq!(verdicts[20], Drop);
    }

    #[test]
    fn one_request_that_takes_too_long_drops_the_connection_whatever_the_others_do() {
        let limits =
            ServerLimits { answer_time: Duration::from_secs(5), ..ServerLimits::default() };
        let timer = StreamTimer::new(&limits);
        let stalled = timer.begin();
        for _ in 0..5 {
            drop(timer.begin());
            assert_eq!(timer.check(), Continue);
        }
        assert_eq!(timer.check(), Drop);
        drop(stalled);
        assert_eq!(timer.check(), Continue);
    }
}
