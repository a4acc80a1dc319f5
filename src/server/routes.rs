//! The exporter's pages: which path answers what.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::{BoxFuture, FutureExt as _};
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::exposition::{Own, Rendered};

use super::body::{Abort, Body};
use super::client::Client;
use super::negotiate;
use super::places::{Caller, Places};
use super::status_page::{self, Beside, Readiness, StatusView};

/// The status page.
const STATUS: &str = "/";
/// Says that the process works; says nothing of CXone.
const HEALTHY: &str = "/-/healthy";
/// Says whether there is something to show.
const READY: &str = "/-/ready";

/// Has the configuration read again; POST alone.
const RELOAD: &str = "/-/reload";

const NO_RELOAD: &str = "reloading over the network is not switched on: start with --web.enable-lifecycle, or send SIGHUP\n";

/// Paths that the telemetry path must not be, nor begin with `/-/`.
pub const RESERVED_PATHS: [&str; 4] = [STATUS, HEALTHY, READY, RELOAD];

const TEXT: &str = "text/plain; charset=utf-8";

/// Has the configuration read again. What is wrong with it then is for the one who asked.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the exporter's pages are made from.
pub struct Sources {
    /// The path of the metrics page: begins with `/`, and is none of [`RESERVED_PATHS`].
    pub metrics_path: String,
    /// How many scrapes are answered at a time.
    pub max_requests: usize,
    /// Has the configuration read again, where that may be asked for over the network.
    pub reload: Option<Reload>,
    /// The exporter's own metrics.
    pub own: Box<dyn Fn() -> Own + Send + Sync>,
    /// Whether there is something to show.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// What the status page shows.
    pub status: Box<dyn Fn() -> StatusView + Send + Sync>,
}

/// The exporter's pages.
pub struct Site {
    sources: Sources,
    rendered: RwLock<Arc<Rendered>>,
    places: Arc<Places>,
    refused: AtomicU64,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("metrics_path", &self.sources.metrics_path)
            .finish_non_exhaustive()
    }
}

impl Site {
    /// Pages that show `rendered` until something else is published.
    #[must_use]
    pub fn new(sources: Sources, rendered: Rendered) -> Self {
        let places = Places::new(sources.max_requests, Clock::system());
        Self {
            sources,
            rendered: RwLock::new(Arc::new(rendered)),
            places,
            refused: AtomicU64::new(0),
        }
    }

    /// Shows `rendered` from now on. Answers that are being sent keep what they have.
    pub fn publish(&self, rendered: Rendered) {
        *self.rendered.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rendered);
    }

    /// What is shown now.
    #[must_use]
    pub fn published(&self) -> Arc<Rendered> {
        Arc::clone(&self.rendered.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The handler for [`serve`](super::serve), with the pages below `prefix`: nothing, or a path
    /// without a slash at its end.
    pub fn handler_under(
        self: Arc<Self>,
        prefix: &str,
    ) -> impl Fn(Request<Incoming>) -> BoxFuture<'static, Result<Response<Body>, Abort>>
    + Clone
    + Send
    + Sync
    + 'static {
        let prefix: Arc<str> = prefix.into();
        move |mut request| {
            let site = Arc::clone(&self);
            match elsewhere(&prefix, &mut request) {
                Some(response) => std::future::ready(Ok(response)).boxed(),
                None => async move { Ok(site.answer_or_reload(&request).await) }.boxed(),
            }
        }
    }

    /// The handler for [`serve`](super::serve).
    pub fn handler(
        self: Arc<Self>,
    ) -> impl Fn(Request<Incoming>) -> BoxFuture<'static, Result<Response<Body>, Abort>>
    + Clone
    + Send
    + Sync
    + 'static {
        move |request| {
            let site = Arc::clone(&self);
            async move { Ok(site.answer_or_reload(&request).await) }.boxed()
        }
    }

    async fn answer_or_reload<B>(&self, request: &Request<B>) -> Response<Body> {
        match &self.sources.reload {
            Some(reload) if request.uri().path() == RELOAD && request.method() == Method::POST => {
                reloaded(reload().await)
            }
            Some(_) | None => self.answer(request),
        }
    }

    /// The answer to `request`, whose body is not read.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        let methods = self.methods(path);
        let mut response = if methods.is_empty() {
            self.not_found()
        } else if !methods.contains(request.method()) {
            not_allowed(methods)
        } else if path == RELOAD {
            plain(StatusCode::FORBIDDEN, NO_RELOAD.to_owned())
        } else if path == self.sources.metrics_path {
            self.metrics(request)
        } else {
            self.page(request.uri())
        };
        harden(&mut response);
        if request.method() == Method::HEAD { without_body(response) } else { response }
    }

    /// What may be done with a path; nothing with one that is not there.
    fn methods(&self, path: &str) -> &'static [Method] {
        let is_page = path == self.sources.metrics_path || RESERVED_PATHS.contains(&path);
        match path {
            RELOAD => &[Method::POST],
            _ if is_page => &[Method::GET, Method::HEAD],
            _ => &[],
        }
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<Body> {
        // Where no server says whose request it is, it is our own.
        let ours = || Caller { client: Client::Local, close: CancellationToken::new() };
        let caller = request.extensions().get().cloned().unwrap_or_else(ours);
        let Some(place) = self.places.take(caller) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let text = format!(
                "{} scrapes are being answered already (--web.max-requests)\n",
                self.sources.max_requests
            );
            let mut refusal = plain(StatusCode::SERVICE_UNAVAILABLE, text);
            refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return refusal;
        };
        let format = negotiate::format(request.headers());
        let page = self.published().page(format, &(self.sources.own)());
        let gzip = negotiate::gzip(request.headers());
        let body = if gzip { Body::parts(page.gzip()) } else { Body::inflate(page.plain()) };
        let mut response = with(StatusCode::OK, format.content_type(), body.holding(place));
        if gzip {
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        response
    }

    fn page(&self, uri: &Uri) -> Response<Body> {
        match uri.path() {
            HEALTHY => plain(StatusCode::OK, "cxone-exporter is healthy.\n".to_owned()),
            READY => match (self.sources.readiness)() {
                Readiness::Ready => plain(StatusCode::OK, "cxone-exporter is ready.\n".to_owned()),
                Readiness::NotReady(why) => plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("cxone-exporter is not ready: {why}\n"),
                ),
            },
            _ => {
                let (view, readiness) = ((self.sources.status)(), (self.sources.readiness)());
                let beside = Beside {
                    metrics_path: &self.sources.metrics_path,
                    refused: self.refused.load(Ordering::Relaxed),
                    cut_off: self.places.cut_off(),
                    refresh: status_page::refresh(uri.query()),
                };
                let html = status_page::html(&view, &readiness, &beside);
                let mut response =
                    with(StatusCode::OK, "text/html; charset=utf-8", Body::full(html));
                let policy = HeaderValue::from_static(status_page::CONTENT_SECURITY_POLICY);
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                response
            }
        }
    }

    fn not_found(&self) -> Response<Body> {
        let text = format!(
            "There is no such page. There are {STATUS}, {}, {HEALTHY} and {READY}.\n",
            self.sources.metrics_path
        );
        plain(StatusCode::NOT_FOUND, text)
    }
}

/// Takes `prefix` off the path of a request. The answer to one that is not below it: `/` and the
/// prefix without its slash lead to the status page, whose links are relative.
fn elsewhere<B>(prefix: &str, request: &mut Request<B>) -> Option<Response<Body>> {
    if prefix.is_empty() {
        return None;
    }
    let path = request.uri().path();
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    let rest = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    if let Some(inside) = rest.and_then(|rest| format!("{rest}{query}").parse().ok()) {
        *request.uri_mut() = inside;
        return None;
    }
    let is_root = path == "/" || path == prefix;
    let location = HeaderValue::from_str(&format!("{prefix}/{query}")).ok();
    let mut response = match location {
        Some(location) if is_root && matches!(*request.method(), Method::GET | Method::HEAD) => {
            let mut found = plain(StatusCode::FOUND, String::new());
            found.headers_mut().insert(header::LOCATION, location);
            found
        }
        Some(_) | None => {
            let text = format!(
                "There is no such page. The pages are below {prefix}/ (--web.route-prefix).\n"
            );
            plain(StatusCode::NOT_FOUND, text)
        }
    };
    harden(&mut response);
    Some(response)
}

fn not_allowed(methods: &[Method]) -> Response<Body> {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let mut refusal = plain(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("only {} are allowed here\n", names.join(" and ")),
    );
    refusal.headers_mut().insert(
        header::ALLOW,
        HeaderValue::from_str(&names.join(", ")).expect("methods are plain text"),
    );
    refusal
}

pub(super) fn plain(status: StatusCode, text: String) -> Response<Body> {
    with(status, TEXT, Body::full(text))
}

fn with(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let length = body.remaining().map(HeaderValue::from);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    response
}

/// The answer to HEAD: status and headers as for GET, the length too.
fn without_body(response: Response<Body>) -> Response<Body> {
    response.map(|_| Body::empty())
}

fn reloaded(outcome: Result<(), String>) -> Response<Body> {
    let mut response = match outcome {
        Ok(()) => plain(
            StatusCode::OK,
            "the configuration was read again and counts from now on\n".to_owned(),
        ),
        Err(why) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the configuration before goes on:\n{}\n", why.trim_end()),
        ),
    };
    harden(&mut response);
    response
}

fn harden(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_below_the_prefix_and_its_root_leads_to_them() {
        for (prefix, uri, expected) in [
            ("", "/metrics?a=b", Ok("/metrics?a=b")),
            ("/cx/one", "/cx/one/metrics?a=b", Ok("/metrics?a=b")),
            ("/cx/one", "/cx/one/", Ok("/")),
            ("/cx/one", "/cx/one/-/healthy", Ok("/-/healthy")),
            ("/cx/one", "/cx/one?refresh=15", Err((302, Some("/cx/one/?refresh=15")))),
            ("/cx/one", "/", Err((302, Some("/cx/one/")))),
            ("/cx/one", "/metrics", Err((404, None))),
            ("/cx/one", "/cx/onemetrics", Err((404, None))),
            ("/cx/one", "/-/healthy", Err((404, None))),
        ] {
            let mut request = Request::get(uri).body(()).unwrap();
            let answer = elsewhere(prefix, &mut request);
            let answer = answer.as_ref().map(|answer| {
                let to = answer.headers().get(header::LOCATION);
                (answer.status().as_u16(), to.map(|to| to.to_str().unwrap()))
            });
            let got = answer.map_or_else(|| Ok(request.uri().to_string()), Err);
            assert_eq!(got, expected.map(str::to_owned), "{prefix} {uri}");
        }
        let mut request = Request::post("/").body(()).unwrap();
        assert_eq!(elsewhere("/a", &mut request).unwrap().status(), StatusCode::NOT_FOUND);
    }
}
