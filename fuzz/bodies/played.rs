//! A scripted CXone in memory: answers in order, in chunks of a given size, and the requests so far.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cxone_exporter::cxone::{Response, Transport, TransportError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};

/// The wall time at the start: 2023-10-27T08:00:00Z.
pub(crate) const EIGHT: i64 = 1_698_393_600_000;

/// The credentials of the clients.
pub(crate) const SECRET: &str = "s3cret-of-the-client-0123456789";

/// Answers to be given, and the requests so far.
pub(crate) struct Played {
    chunk: usize,
    answers: Mutex<VecDeque<(u16, Vec<u8>)>>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl Played {
    /// Answers with these statuses and bodies, in chunks of at most `chunk` bytes; 404 after the
    /// last one.
    pub(crate) fn new(
        chunk: usize,
        answers: impl IntoIterator<Item = (u16, Vec<u8>)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            chunk: chunk.max(1),
            answers: Mutex::new(answers.into_iter().collect()),
            requests: Mutex::default(),
        })
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.requests.lock().expect("nobody panicked").clone()
    }
}

impl Transport for Played {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.requests.lock().expect("nobody panicked").push(request);
        let (status, body) =
            self.answers.lock().expect("nobody panicked").pop_front().unwrap_or((404, Vec::new()));
        let chunks: Vec<_> =
            body.chunks(self.chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let status = StatusCode::from_u16(status).expect("a status");
        Box::pin(async move {
            Ok(Response { status, headers: HeaderMap::new(), body: stream::iter(chunks).boxed() })
        })
    }
}

/// The result of `future`, in virtual time.
pub(crate) fn play<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without threads");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
