//! Answers, and how they are delivered.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use cxone_core::time::Timestamp;

use crate::faults::{Faults, RequestFault};

/// The last second that an HTTP date can express: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The answer to one request, and how to deliver it.
#[derive(Clone, Debug)]
pub struct SimulatedResponse {
    /// The whole answer. Its `Content-Length` is that of the whole body.
    pub response: Response<Bytes>,
    /// How long to wait before sending anything.
    pub delay: Duration,
    /// How much to send.
    pub delivery: Delivery,
}

/// How much of an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All of it.
    Whole,
    /// The head and this many bytes of the body, fewer than announced; then the connection closes.
    CutAfter(usize),
    /// Nothing: the connection closes.
    Dropped,
}

/// An answer of one of the APIs, before faults of its delivery.
pub(crate) struct ApiReply {
    status: StatusCode,
    body: Vec<u8>,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiReply {
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body)
            .expect("the simulator's own bodies have string keys and finite numbers only");
        Self { status, body, content_type: "application/json", headers: Vec::new() }
    }

    /// An error of the Reporting API.
    pub(crate) fn error(status: StatusCode, error: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": error, "message": message}))
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, body: Vec::new(), content_type: "", headers: Vec::new() }
    }

    fn html(status: StatusCode, text: &str) -> Self {
        let body = format!("<html><body><h1>{text}</h1></body></html>").into_bytes();
        Self { status, body, content_type: "text/html", headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// 405, with the method that is allowed.
pub(crate) fn method_not_allowed(allowed: &'static str) -> ApiReply {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    ApiReply::error(status, "method_not_allowed", "This path does not support the method.")
        .with(ALLOW, HeaderValue::from_static(allowed))
}

/// 401 of submit and poll.
pub(crate) fn unauthorized() -> ApiReply {
    let message = "The token is missing, unknown, expired or revoked.";
    ApiReply::error(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// 429.
pub(crate) fn throttled(retry_after: Option<HeaderValue>) -> ApiReply {
    let message = "Too many requests in a short period.";
    let reply = ApiReply::error(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
    match retry_after {
        Some(value) => reply.with(RETRY_AFTER, value),
        None => reply,
    }
}

/// One of the four common server errors, in JSON or as a proxy writes it.
pub(crate) fn server_error(chance: u64) -> ApiReply {
    let all = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    let [first, second, ..] = chance.to_le_bytes();
    let status = all[usize::from(first % 4)];
    if second.is_multiple_of(2) {
        ApiReply::error(status, "server_error", "Something went wrong.")
    } else {
        ApiReply::html(status, status.canonical_reason().unwrap_or("Error"))
    }
}

/// `span` in whole seconds, rounded up.
pub(crate) fn seconds(span: Duration) -> HeaderValue {
    HeaderValue::from(span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

/// `moment` as an HTTP date: the second that contains it, or with `round_up` the first whole second
/// not before it.
pub(crate) fn http_date(moment: Timestamp, round_up: bool) -> HeaderValue {
    let millis = u64::try_from(moment.millis()).unwrap_or(0);
    let seconds = if round_up { millis.div_ceil(1000) } else { millis / 1000 };
    let text = httpdate::fmt_http_date(
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)),
    );
    HeaderValue::from_str(&text).expect("an HTTP date is ASCII")
}

/// `reply` as it is sent at `now`, with what `fault` does to it on the way.
pub(crate) fn deliver(
    now: Timestamp,
    mut reply: ApiReply,
    fault: Option<RequestFault>,
    faults: &Faults,
    chance: u64,
) -> SimulatedResponse {
    if fault == Some(RequestFault::NotJson) {
        reply = ApiReply::html(StatusCode::OK, "Down for maintenance");
    }
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
