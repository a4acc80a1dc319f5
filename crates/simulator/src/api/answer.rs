//! Answers, and how they reach whoever asked, or do not.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use cxone_core::time::Timestamp;

use super::super::faults::{Faults, RequestFault};
use super::super::wire::Refusal;

/// The last second that an HTTP date can tell: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// An answer for the wire.
#[derive(Clone, Debug)]
pub struct SimulatedResponse {
    /// The whole answer; its `Content-Length` is that of the whole body.
    pub response: Response<Bytes>,
    /// How long to wait before anything of it is sent.
    pub delay: Duration,
    /// How much of it is sent.
    pub delivery: Delivery,
}

/// How much of an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All of it.
    Whole,
    /// The head and this many bytes of the body, fewer than announced; then the connection is
    /// closed.
    CutAfter(usize),
    /// Nothing: the connection is closed.
    Dropped,
}

/// An answer that knows nothing of delivery.
pub(super) struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body)
            .expect("the simulator's own bodies have string keys and finite numbers only");
        Self { status, body, content_type: "application/json", headers: Vec::new() }
    }

    pub(super) fn refusal(status: StatusCode, error: &str, message: &str) -> Self {
        Self::json(status, &Refusal { error, message })
    }

    /// Without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: Vec::new(), content_type: "", headers: Vec::new() }
    }

    fn html(status: StatusCode, text: &str) -> Self {
        let body = format!("<html><body><h1>{text}</h1></body></html>").into_bytes();
        Self { status, body, content_type: "text/html", headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// 405, with the method that is allowed.
pub(super) fn method_not_allowed(allowed: &'static str) -> Reply {
    Reply::refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path does not know that method.",
    )
    .with(ALLOW, HeaderValue::from_static(allowed))
}

/// 401 of submit and poll.
pub(super) fn unauthorized() -> Reply {
    Reply::refusal(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "The token is missing, unknown, expired or revoked.",
    )
    .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// 429.
pub(super) fn throttled(retry_after: Option<HeaderValue>) -> Reply {
    let reply = Reply::refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "Too many requests in a short period.",
    );
    retry_after.into_iter().fold(reply, |reply, value| reply.with(RETRY_AFTER, value))
}

/// One of the four common server errors, as JSON or as a proxy would say it.
pub(super) fn server_error(chance: u64) -> Reply {
    let all = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    let status = all[usize::from(chance.to_le_bytes()[0] % 4)];
    if chance.to_le_bytes()[1].is_multiple_of(2) {
        Reply::refusal(status, "server_error", "Something went wrong.")
    } else {
        Reply::html(status, status.canonical_reason().unwrap_or("Error"))
    }
}

/// `span` in whole seconds, rounded up.
pub(super) fn seconds(span: Duration) -> HeaderValue {
    HeaderValue::from(span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

/// `moment` as an HTTP date: the second that it lies in, or with `up` the first whole second not
/// before it.
pub(super) fn http_date(moment: Timestamp, up: bool) -> HeaderValue {
    let millis = u64::try_from(moment.millis()).unwrap_or(0);
    let seconds = if up { millis.div_ceil(1000) } else { millis / 1000 };
    let text = httpdate::fmt_http_date(
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)),
    );
    HeaderValue::from_str(&text).expect("an HTTP date is ASCII")
}

/// `reply` as it is sent at `now`, with what `fault` does to it on the way.
pub(super) fn deliver(
    now: Timestamp,
    reply: Reply,
    fault: Option<RequestFault>,
    faults: &Faults,
    chance: u64,
) -> SimulatedResponse {
    let reply = if fault == Some(RequestFault::NotJson) {
        Reply::html(StatusCode::OK, "Down for maintenance")
    } else {
        reply
    };
    let length = reply.body.len();
    let mut response = Response::new(Bytes::from(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.extend(reply.headers);
    if !reply.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    }
    if !matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.insert(DATE, http_date(now, false));
    let delivery = match fault {
        Some(RequestFault::Drop) => Delivery::Dropped,
        Some(RequestFault::Cut) => {
            let length = u64::try_from(length).expect("a length fits 64 bits");
            Delivery::CutAfter(
                usize::try_from(chance % length.max(1)).expect("below the body's length"),
            )
        }
        _ => Delivery::Whole,
    };
    let delay = if fault == Some(RequestFault::Slow) { faults.slow_by } else { Duration::ZERO };
    SimulatedResponse { response, delay, delivery }
}
