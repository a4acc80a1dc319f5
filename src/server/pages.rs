//! The exporter's pages: which path answers what.

pub mod negotiate;
pub(super) mod status;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};

use super::accept::{Handler, handler};
use super::admission::{Admission, ConnectionHandle, Peer, Resource};
use super::response::{ResponseBody, plain, response};
use crate::exposition::{ExporterMetrics, Rendered};
use status::{Readiness, ServerStatus, StatusView};

/// The status page.
const STATUS: &str = "/";
/// Whether the process is alive; says nothing about CXone.
const HEALTHY: &str = "/-/healthy";
/// Whether there is data to show.
const READY: &str = "/-/ready";
/// Reloads the configuration; POST only.
const RELOAD: &str = "/-/reload";

/// Paths that the telemetry path must not be, nor begin with `/-/`.
pub const RESERVED_PATHS: [&str; 4] = [STATUS, HEALTHY, READY, RELOAD];

/// Reloads the configuration. Errors are for the client who requested it.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the exporter's pages are made from.
pub struct PageSources {
    /// The path of the metrics page: begins with `/`, and is not one of [`RESERVED_PATHS`].
    pub metrics_path: String,
    /// Maximum number of concurrent scrapes.
    pub max_requests: usize,
    /// Reloads the configuration, if that is enabled over HTTP.
    pub reload: Option<Reload>,
    /// The exporter's own metrics.
    pub exporter_metrics: Box<dyn Fn() -> ExporterMetrics + Send + Sync>,
    /// Whether there is data to show.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// What the status page shows.
    pub status: Box<dyn Fn() -> StatusView + Send + Sync>,
}

/// The exporter's pages.
pub struct Pages {
    sources: PageSources,
    rendered: RwLock<Arc<Rendered>>,
    scrapes: Arc<Admission>,
    rejected_scrapes: AtomicU64,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("metrics_path", &self.sources.metrics_path)
            .finish_non_exhaustive()
    }
}

impl Pages {
    /// Pages that show `rendered` until something else is published.
    #[must_use]
    pub fn new(sources: PageSources, rendered: Rendered) -> Self {
        let scrapes = Admission::new(Resource::Scrapes, sources.max_requests);
        let rendered = RwLock::new(Arc::new(rendered));
        Self { sources, rendered, scrapes, rejected_scrapes: AtomicU64::new(0) }
    }

    /// Shows `rendered` from now on. Answers in progress keep what they have.
    pub fn publish(&self, rendered: Rendered) {
        *self.rendered.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rendered);
    }

    /// What is shown now.
    #[must_use]
    pub fn published(&self) -> Arc<Rendered> {
        Arc::clone(&self.rendered.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pages below `prefix`: nothing, or a path without a slash at its end.
    pub fn handler(self: Arc<Self>, prefix: &str) -> Handler {
        let prefix: Arc<str> = prefix.into();
        handler(move |mut request| {
            let (pages, prefix) = (Arc::clone(&self), Arc::clone(&prefix));
            async move {
                if let Some(response) = strip_prefix(&prefix, &mut request) {
                    return Ok(response);
                }
                match &pages.sources.reload {
                    Some(reload)
                        if request.uri().path() == RELOAD && request.method() == Method::POST =>
                    {
                        Ok(reload_response(reload().await))
                    }
                    Some(_) | None => Ok(pages.answer(&request)),
                }
            }
        })
    }

    /// The answer to `request`, whose body is not read.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<ResponseBody> {
        let path = request.uri().path();
        let methods = self.methods(path);
        let mut response = if methods.is_empty() {
            let text = format!(
                "page not found; the pages are {STATUS}, {}, {HEALTHY} and {READY}\n",
                self.sources.metrics_path
            );
            plain(StatusCode::NOT_FOUND, text)
        } else if !methods.contains(request.method()) {
            method_not_allowed(methods)
        } else if path == RELOAD {
            let text = "reloading over HTTP is disabled: start with --web.enable-lifecycle, or send SIGHUP\n";
            plain(StatusCode::FORBIDDEN, text)
        } else if path == self.sources.metrics_path {
            self.metrics(request)
        } else {
            self.page(request.uri())
        };
        harden(&mut response);
        if request.method() == Method::HEAD {
            // Status and headers are as for GET, the length too.
            return response.map(|_| ResponseBody::empty());
        }
        response
    }

    /// The methods that a path allows; none if there is no such page.
    fn methods(&self, path: &str) -> &'static [Method] {
        let is_page = path == self.sources.metrics_path || RESERVED_PATHS.contains(&path);
        match path {
            RELOAD => &[Method::POST],
            _ if is_page => &[Method::GET, Method::HEAD],
            _ => &[],
        }
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<ResponseBody> {
        // Without a server in between it is one of our own requests.
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let connection = connection.unwrap_or_else(|| ConnectionHandle::new(Peer::Local));
        let Some(slot) = self.scrapes.admit(connection) else {
            self.rejected_scrapes.fetch_add(1, Ordering::Relaxed);
            let text = format!(
                "{} scrapes in progress already (--web.max-requests)\n",
                self.sources.max_requests
            );
            let mut refusal = plain(StatusCode::SERVICE_UNAVAILABLE, text);
            refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return refusal;
        };
        let format = negotiate::format(request.headers());
        let page = self.published().page(format, &(self.sources.exporter_metrics)());
        let gzip = negotiate::gzip(request.headers());
        let body = if gzip {
            ResponseBody::parts(page.gzip())
        } else {
            ResponseBody::inflate(page.plain())
        };
        let mut response = response(StatusCode::OK, format.content_type(), body.holding(slot));
        let headers = response.headers_mut();
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        response
    }

    fn page(&self, uri: &Uri) -> Response<ResponseBody> {
        match uri.path() {
            HEALTHY => plain(StatusCode::OK, "cxone-exporter is healthy.\n"),
            READY => match (self.sources.readiness)() {
                Readiness::Ready => plain(StatusCode::OK, "cxone-exporter is ready.\n"),
                Readiness::NotReady(why) => plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("cxone-exporter is not ready: {why}\n"),
                ),
            },
            _ => {
                let (view, readiness) = ((self.sources.status)(), (self.sources.readiness)());
                let server = ServerStatus {
                    metrics_path: &self.sources.metrics_path,
                    rejected_scrapes: self.rejected_scrapes.load(Ordering::Relaxed),
                    evicted_scrapes: self.scrapes.evicted(),
                    refresh: status::refresh(uri.query()),
                };
                let html = status::html(&view, &readiness, &server);
                let body = ResponseBody::full(html);
                let mut response = response(StatusCode::OK, "text/html; charset=utf-8", body);
                let policy = HeaderValue::from_static(status::CONTENT_SECURITY_POLICY);
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                response
            }
        }
    }
}

/// Strips `prefix` off the path of a request. The answer to one that is not below it: `/` and the
/// prefix without its slash redirect to the status page, whose links are relative.
fn strip_prefix<B>(prefix: &str, request: &mut Request<B>) -> Option<Response<ResponseBody>> {
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
            let mut found = plain(StatusCode::FOUND, "");
            found.headers_mut().insert(header::LOCATION, location);
            found
        }
        Some(_) | None => plain(
            StatusCode::NOT_FOUND,
            format!("page not found; the pages are below {prefix}/ (--web.route-prefix)\n"),
        ),
    };
    harden(&mut response);
    Some(response)
}

fn method_not_allowed(methods: &[Method]) -> Response<ResponseBody> {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let text = format!("method not allowed, use {}\n", names.join(" or "));
    let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, text);
    let allow = HeaderValue::from_str(&names.join(", ")).expect("methods are plain text");
    refusal.headers_mut().insert(header::ALLOW, allow);
    refusal
}

fn reload_response(outcome: Result<(), String>) -> Response<ResponseBody> {
    let mut response = match outcome {
        Ok(()) => plain(StatusCode::OK, "configuration reloaded\n"),
        Err(why) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "configuration not reloaded, the previous one stays in effect:\n{}\n",
                why.trim_end()
            ),
        ),
    };
    harden(&mut response);
    response
}

fn harden(response: &mut Response<ResponseBody>) {
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
    fn pages_are_below_the_prefix_and_its_root_redirects_to_them() {
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
            let answer = strip_prefix(prefix, &mut request);
            let answer = answer.as_ref().map(|answer| {
                let to = answer.headers().get(header::LOCATION);
                (answer.status().as_u16(), to.map(|to| to.to_str().unwrap()))
            });
            let got = answer.map_or_else(|| Ok(request.uri().to_string()), Err);
            assert_eq!(got, expected.map(str::to_owned), "{prefix} {uri}");
        }
        let mut request = Request::post("/").body(()).unwrap();
        assert_eq!(strip_prefix("/a", &mut request).unwrap().status(), StatusCode::NOT_FOUND);
    }
}
