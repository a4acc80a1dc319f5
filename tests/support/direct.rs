//! CXone without a network: the simulator as the client's transport, in the test's own time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::{Response, Transport, TransportError, TransportFault};
use cxone_simulator::{Delivery, Simulator};
use futures_util::future::{self, BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode};

/// How long a request, and how long its answer, takes.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(30);

/// What happens to a request before it reaches the simulator.
pub(crate) enum Interception {
    /// It arrives.
    Forwarded,
    /// The connection is closed without an answer.
    Dropped,
    /// There is no answer, ever.
    Hangs,
    /// It is answered 200 with this body.
    Answered(Bytes),
    /// It is answered with this status.
    Status(StatusCode),
}

/// Changes the headers of an answer with this status that CXone wrote at this time.
pub(crate) type HeaderRewrite = Box<dyn FnMut(Timestamp, StatusCode, &mut HeaderMap) + Send>;

/// Decides what happens to each request.
pub(crate) type Interference = Box<dyn FnMut(&Request<Bytes>) -> Interception + Send>;

/// A submit as it reached CXone.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedSubmit {
    /// When, by CXone's clock.
    pub(crate) at: Timestamp,
    /// The type and the id of the filter, separated by `:`.
    pub(crate) filter: String,
    pub(crate) window: Window,
}

/// A transport to the simulator.
pub(crate) struct Direct {
    simulator: Arc<Simulator>,
    clock: Clock,
    /// CXone's clock less ours, in milliseconds.
    skew: i64,
    interference: Mutex<Option<Interference>>,
    rewriting: Mutex<Option<HeaderRewrite>>,
    submits: Mutex<Vec<ReceivedSubmit>>,
    sent: Mutex<Vec<(Timestamp, String)>>,
}

impl Direct {
    /// To a simulator whose clock differs from `clock`, which no exporter may step.
    pub(crate) fn new(simulator: Arc<Simulator>, clock: Clock, skew_millis: i64) -> Self {
        Self {
            simulator,
            clock,
            skew: skew_millis,
            interference: Mutex::new(None),
            rewriting: Mutex::new(None),
            submits: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// From now on `interference` decides what arrives; `None`: everything does.
    pub(crate) fn interfere(&self, interference: Option<Interference>) {
        *self.interference.lock().unwrap_or_else(PoisonError::into_inner) = interference;
    }

    /// From now on the headers of answers are changed by this; `None`: they are left alone.
    pub(crate) fn rewrite(&self, rewriting: Option<HeaderRewrite>) {
        *self.rewriting.lock().unwrap_or_else(PoisonError::into_inner) = rewriting;
    }

    /// Every submit that reached CXone so far, rejected ones included.
    pub(crate) fn submits(&self) -> Vec<ReceivedSubmit> {
        self.submits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every request so far, by time and path, those for tokens and those without an answer
    /// included.
    pub(crate) fn sent(&self) -> Vec<(Timestamp, String)> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Now by CXone's clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().utc.millis() + self.skew)
    }

    fn note(&self, at: Timestamp, request: &Request<Bytes>) {
        let Some(window) = submitted_window(request) else { return };
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let text = |name: &str| body["filter"][name].as_str().unwrap_or_default();
        let asked =
            ReceivedSubmit { at, filter: format!("{}:{}", text("type"), text("id")), window };
        self.submits.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }

    fn intercept(&self, request: &Request<Bytes>) -> Interception {
        let mut interference = self.interference.lock().unwrap_or_else(PoisonError::into_inner);
        interference.as_mut().map_or(Interception::Forwarded, |decide| decide(request))
    }

    async fn deliver(&self, request: Request<Bytes>) -> Result<Response, TransportError> {
        tokio::time::sleep(ONE_WAY).await;
        let now = self.now();
        if request.method() == Method::POST && request.uri().path().ends_with("/reports") {
            self.note(now, &request);
        }
        let answer = self.simulator.handle(now, &request);
        tokio::time::sleep(answer.delay + ONE_WAY).await;
        let (mut head, body) = answer.response.into_parts();
        if let Some(rewrite) = &mut *self.rewriting.lock().unwrap_or_else(PoisonError::into_inner) {
            rewrite(now, head.status, &mut head.headers);
        }
        let (sent, cut) = match answer.delivery {
            Delivery::Dropped => return Err(closed()),
            Delivery::Whole => (body, None),
            Delivery::CutAfter(bytes) => (body.slice(..bytes.min(body.len())), Some(Err(closed()))),
        };
        // Two chunks, split where it is least convenient.
        let (first, second) = (sent.slice(..sent.len() / 2), sent.slice(sent.len() / 2..));
        let chunks = [Ok(first), Ok(second)].into_iter().chain(cut);
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body: stream::iter(chunks).boxed(),
        })
    }
}

impl Transport for Direct {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        async move {
            self.sent
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((self.now(), request.uri().path().to_owned()));
            match self.intercept(&request) {
                Interception::Forwarded => self.deliver(request).await,
                Interception::Dropped => Err(closed()),
                Interception::Hangs => future::pending().await,
                Interception::Status(status) => {
                    let body = stream::once(future::ready(Ok(Bytes::from("no")))).boxed();
                    Ok(Response { status, headers: HeaderMap::new(), body })
                }
                Interception::Answered(body) => {
                    let body = stream::once(future::ready(Ok(body))).boxed();
                    Ok(Response { status: StatusCode::OK, headers: HeaderMap::new(), body })
                }
            }
        }
        .boxed()
    }
}

/// The window of a submit, if the request is one.
pub(crate) fn submitted_window(request: &Request<Bytes>) -> Option<Window> {
    let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
    let time = |name: &str| {
        let time: jiff::Timestamp = body[name].as_str()?.parse().ok()?;
        Some(Timestamp::from_millis(time.as_millisecond()))
    };
    Some(Window { from: time("dateFrom")?, to: time("dateTo")? })
}

fn closed() -> TransportError {
    TransportError::new(TransportFault::Cut, "the connection was closed")
}
