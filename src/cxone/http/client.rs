//! One exchange after another, each with its time limit, its size limit, and word of what came of
//! it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{Request, StatusCode};

use crate::clock::Clock;
use cxone_core::time::{Monotonic, Now, Timestamp};

use super::budget::{Budget, LaneTicket, Turn};
use super::redact::Redactor;
use super::retry_after::{age, date, retry_after};
use super::transport::{Response, Transport, TransportError, TransportFault};
use crate::cxone::ResponseLimits;
use crate::cxone::error::{ApiEndpoint, ApiError, ErrorKind, SignsInWith};
use crate::cxone::json::BYTE_ORDER_MARK;
use crate::cxone::token::Token;

/// How much of the body of a refusal is read; a message shows less.
const REFUSAL_BYTES: usize = 16 * 1024;

/// How long the body of a refusal is waited for: the status alone says what to do.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// The header in which some of CXone's hosts say what is wrong.
const STATUS_DESCRIPTION: &str = "icstatusdescription";

/// How much of a body is taken in between two chances for other tasks.
const STEP_BYTES: usize = 64 * 1024;

/// Something that happened in the client, for telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A request was answered, or is known not to be.
    Exchange(Exchange),
    /// A token was got.
    TokenRefreshed {
        /// When it expires.
        expires: Timestamp,
    },
    /// A token was asked for in vain.
    TokenRefreshFailed(ErrorKind),
}

/// One request and the head of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the request was for.
    pub endpoint: ApiEndpoint,
    /// The status of the answer; `None` when there was none.
    pub code: Option<u16>,
    /// When the request was sent.
    pub sent: Now,
    /// When the head of the answer came, or the failure was known.
    pub answered: Now,
    /// The answer's `Date`, in whole seconds.
    pub date: Option<Timestamp>,
    /// How long caches kept the answer, in whole seconds.
    pub age: Duration,
}

/// Receives [`ClientEvent`]s. It is called between a request and what follows from it, so it must
/// not block.
pub type Observer = Arc<dyn Fn(&ClientEvent) + Send + Sync>;

/// The way to CXone, and all that is needed to use it.
pub(crate) struct HttpClient {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Clock,
    pub(crate) limits: ResponseLimits,
    pub(crate) observer: Observer,
    /// Hides the client secret; what else has to be hidden is added for each exchange.
    pub(crate) redactor: Redactor,
    /// How many requests may be made, where that is limited.
    pub(crate) budget: Option<Budget>,
    /// What it signs in with, for advice.
    pub(crate) signs_in_with: SignsInWith,
}

/// A request under way.
pub(crate) struct ApiCall<'a> {
    http: &'a HttpClient,
    endpoint: ApiEndpoint,
    deadline: Monotonic,
    redactor: Redactor,
    /// Host and port of the request that was sent.
    authority: OnceLock<String>,
    /// Given back when the answer has been read, or is not waited for any longer.
    _turn: Option<Turn<'a>>,
}

impl HttpClient {
    /// A place for a call to `endpoint`, where calls stand in a queue: what a call needs is got
    /// when it is its turn soon, and not when it would be of no use any longer.
    pub(crate) async fn queue(&self, endpoint: ApiEndpoint) -> Option<LaneTicket<'_>> {
        match &self.budget {
            Some(budget) => Some(budget.queue(endpoint).await),
            None => None,
        }
    }

    /// A call that may take `limit` from when it has its turn, and whose answer may echo `token`.
    pub(crate) async fn call(
        &self,
        endpoint: ApiEndpoint,
        limit: Duration,
        token: Option<&Token>,
    ) -> ApiCall<'_> {
        let ticket = self.queue(endpoint).await;
        self.call_from(ticket, endpoint, limit, token).await
    }

    /// The same for who has a place in the queue.
    pub(crate) async fn call_from(
        &self,
        ticket: Option<LaneTicket<'_>>,
        endpoint: ApiEndpoint,
        limit: Duration,
        token: Option<&Token>,
    ) -> ApiCall<'_> {
        let turn = match (&self.budget, ticket) {
            (Some(budget), Some(ticket)) => Some(budget.turn(ticket).await),
            (Some(_) | None, _) => None,
        };
        let redactor = token
            .into_iter()
            .fold(self.redactor.clone(), |redactor, token| redactor.and(&token.text));
        ApiCall {
            http: self,
            endpoint,
            deadline: self.clock.now().instant.plus(limit),
            redactor,
            authority: OnceLock::new(),
            _turn: turn,
        }
    }

    pub(crate) fn notify(&self, event: &ClientEvent) {
        (self.observer)(event);
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl ApiCall<'_> {
    /// A request for what stands at `url`.
    pub(crate) fn get(&self, url: &str, token: Option<&Token>) -> Result<Request<Bytes>, ApiError> {
        self.request(Request::get(url), token, Bytes::new())
    }

    /// A request that leaves `body` at `url`.
    pub(crate) fn post(
        &self,
        url: &str,
        media: &'static str,
        token: Option<&Token>,
        body: Bytes,
    ) -> Result<Request<Bytes>, ApiError> {
        self.request(Request::post(url).header(CONTENT_TYPE, media), token, body)
    }

    /// A request that submits `fields` as a form, without a token.
    pub(crate) fn post_form(
        &self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<Request<Bytes>, ApiError> {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post(url, "application/x-www-form-urlencoded", None, Bytes::from(form))
    }

    fn request(
        &self,
        builder: http::request::Builder,
        token: Option<&Token>,
        body: Bytes,
    ) -> Result<Request<Bytes>, ApiError> {
        let builder = token
            .into_iter()
            .fold(builder, |builder, token| builder.header(AUTHORIZATION, token.header.clone()));
        let request = builder.header(ACCEPT, "application/json").body(body);
        request.map_err(|error| {
            self.error(ErrorKind::Unreachable, &format!("api.base_url cannot be used: {error}"))
        })
    }

    /// Sends `request`. An unsuccessful status is an error that shows the beginning of the body.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response, ApiError> {
        self.send_expecting(request, StatusCode::is_success).await
    }

    /// Sends `request`. A status that is not `wanted` is an error that shows the beginning of the
    /// body.
    pub(crate) async fn send_expecting(
        &self,
        request: Request<Bytes>,
        wanted: impl FnOnce(&StatusCode) -> bool,
    ) -> Result<Response, ApiError> {
        let authority = self.authority.get_or_init(|| authority(request.uri()));
        let sent = self.http.clock.now();
        let answer = match self.within(self.deadline, self.http.transport.send(request)).await {
            Some(answer) => answer,
            None => Err(TransportError::new(
                TransportFault::Timeout,
                "it took longer than the time limit",
            )),
        };
        let answered = self.http.clock.now();
        let head = answer.as_ref().ok();
        self.http.notify(&ClientEvent::Exchange(Exchange {
            endpoint: self.endpoint,
            code: head.map(|answer| answer.status.as_u16()),
            sent,
            answered,
            date: head.and_then(|answer| date(&answer.headers)),
            age: head.map_or(Duration::ZERO, |answer| age(&answer.headers)),
        }));
        let answer = answer.map_err(|error| {
            let detail = format!("no answer from {authority}: {error}");
            self.error(ErrorKind::Unreachable, &detail).by(error.fault)
        })?;
        if wanted(&answer.status) { Ok(answer) } else { Err(self.refusal(answer, answered).await) }
    }

    /// The whole body, up to the limit for small answers.
    pub(crate) async fn text(&self, answer: Response) -> Result<String, ApiError> {
        let mut text = Vec::new();
        let limit = self.http.limits.max_answer_bytes;
        self.body(answer, limit, &mut |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Gives the body to `take` in pieces of at most [`STEP_BYTES`], up to `limit` bytes.
    pub(crate) async fn body<F>(
        &self,
        answer: Response,
        limit: u64,
        take: &mut F,
    ) -> Result<(), ApiError>
    where
        F: FnMut(&[u8]) -> Result<(), ApiError>,
    {
        let mut body = answer.body;
        let mut left = limit;
        let mut taken = 0;
        while let Some(piece) =
            self.within(self.deadline, body.next()).await.ok_or_else(|| self.slow())?
        {
            let piece = piece.map_err(|error| self.broken(&error))?;
            left = u64::try_from(piece.len())
                .ok()
                .and_then(|size| left.checked_sub(size))
                .ok_or_else(|| {
                    let detail = format!("the answer has more than {limit} bytes");
                    self.own_error(ErrorKind::TooLarge, detail)
                })?;
            for step in piece.chunks(STEP_BYTES) {
                take(step)?;
                taken += step.len();
                if taken >= STEP_BYTES {
                    // A body that is all there would keep the thread to itself.
                    tokio::task::yield_now().await;
                    taken = 0;
                }
            }
        }
        Ok(())
    }

    /// An error of this call; `detail` is cleaned here.
    pub(crate) fn error(&self, kind: ErrorKind, detail: &str) -> ApiError {
        ApiError::new(kind, self.endpoint, self.redact(detail)).with(self.http.signs_in_with)
    }

    /// An error of this call in our own words, which hold nothing of an answer and are shown as
    /// they are, whatever word the secret is.
    pub(crate) fn own_error(&self, kind: ErrorKind, detail: impl Into<String>) -> ApiError {
        ApiError::new(kind, self.endpoint, detail)
    }

    /// `text` as a message may show it.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    fn slow(&self) -> ApiError {
        self.own_error(ErrorKind::Unreachable, "the answer did not end within the time limit")
            .by(TransportFault::Timeout)
    }

    fn broken(&self, error: &TransportError) -> ApiError {
        let kind = match error.fault {
            TransportFault::Timeout => ErrorKind::Unreachable,
            TransportFault::Name
            | TransportFault::Connect
            | TransportFault::Cut
            | TransportFault::Coding
            | TransportFault::NotTls
            | TransportFault::NotHttp
            | TransportFault::UnknownIssuer
            | TransportFault::Expired
            | TransportFault::WrongName
            | TransportFault::Tls
            | TransportFault::ProxyUnreachable
            | TransportFault::ProxyLogin
            | TransportFault::ProxyRefused => ErrorKind::Malformed,
        };
        let authority = self.authority.get().map_or("", String::as_str);
        let is_coded = error.fault == TransportFault::Coding;
        let what = if is_coded { "cannot be read" } else { "broke off" };
        self.error(kind, &format!("the answer from {authority} {what}: {error}")).by(error.fault)
    }

    async fn refusal(&self, answer: Response, answered: Now) -> ApiError {
        let status = answer.status;
        let waits =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let wait = if waits { retry_after(&answer.headers, answered.utc) } else { None };
        let ignored = answer.headers.get(RETRY_AFTER).filter(|_| wait.is_none());
        let ignored = ignored.map(|asked| String::from_utf8_lossy(asked.as_bytes()).into_owned());
        let described = answer
            .headers
            .get(STATUS_DESCRIPTION)
            .and_then(|text| text.to_str().ok())
            .map(str::to_owned);
        let location =
            answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let (body, cut) = self.beginning(answer).await;
        let error =
            ApiError::refused(self.endpoint, status, wait, &self.redactor.redact_bytes(&body, cut))
                .with(self.http.signs_in_with);
        let error = match ignored {
            Some(asked) if waits => error.adding(
                &self.redact(&format!("its Retry-After is not valid and is ignored: {asked}")),
            ),
            Some(_) | None => error,
        };
        let error = match described {
            Some(text) if !text.trim().is_empty() => {
                error.adding(&self.redact(&format!("icStatusDescription: {text}")))
            }
            Some(_) | None => error,
        };
        match location {
            Some(to) if status.is_redirection() => {
                error.adding(&self.redact(&format!("it redirects to {to}")))
            }
            Some(_) | None => error,
        }
    }

    /// The first bytes of a body, and whether there are more; a body that breaks off is as good as
    /// its beginning.
    async fn beginning(&self, answer: Response) -> (Vec<u8>, bool) {
        let deadline = self.deadline.min(self.http.clock.now().instant.plus(REFUSAL_TIME));
        let mut pieces = answer.body;
        let mut body = Vec::new();
        while body.len() <= REFUSAL_BYTES {
            match self.within(deadline, pieces.next()).await {
                Some(Some(Ok(piece))) => {
                    body.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES + 1)])
                }
                Some(None) => return (body, false),
                Some(Some(Err(_))) | None => break,
            }
        }
        body.truncate(REFUSAL_BYTES);
        (body, true)
    }

    /// What comes of `future`; `None` when `deadline` comes first.
    async fn within<T>(&self, deadline: Monotonic, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = self.http.clock.sleep_until(deadline) => None,
        }
    }
}

/// The host and the port that a request goes to.
fn authority(uri: &http::Uri) -> String {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}
