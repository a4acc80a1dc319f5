//! The server over real sockets on loopback, with limits small enough to meet.

mod access;
mod crowd;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::exposition::render;
use crate::tasks::Tasks;
use cxone_core::page::snapshot::Snapshot;

/// No test takes this long unless something hangs.
const LONG: Duration = Duration::from_secs(20);

struct TestServer {
    address: SocketAddr,
    tasks: Tasks,
    stop: CancellationToken,
}

impl TestServer {
    async fn start<F>(
        limits: ServerLimits,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        Self::start_with(None, limits, answer).await
    }

    async fn start_with<F>(
        access: Option<Arc<AccessControl>>,
        limits: ServerLimits,
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        let bound = bind((Ipv4Addr::LOCALHOST, 0).into()).await.expect("a free port");
        let (address, stop) = (bound.address().tcp().expect("TCP"), CancellationToken::new());
        let tasks = Tasks::new(stop.clone());
        let server = crate::server::Server::new(limits, tasks.clone(), stop.clone());
        let server = match access {
            Some(access) => server.with_access_control(access),
            None => server,
        };
        tasks.essential("server", server.serve(bound, handler(answer)));
        Self { address, tasks, stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    /// Sends `request` on a connection of its own and reads to the connection's end.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        read_to_end(&mut stream).await
    }

    async fn end(self) {
        self.stop.cancel();
        assert_eq!(self.tasks.drain(LONG).await, Vec::<&str>::new());
    }
}

/// What comes until the server closes the connection, or breaks it off.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(LONG, stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the server keeps the connection open after {} bytes", bytes.len());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn pages(max_requests: usize) -> Arc<Pages> {
    pages_with(max_requests, "# HELP x X.\n# TYPE x gauge\nx 1\n# EOF\n".to_owned())
}

/// A pages whose own metrics are these.
fn pages_with(max_requests: usize, own: String) -> Arc<Pages> {
    let sources = PageSources {
        metrics_path: "/metrics".to_owned(),
        reload: None,
        max_requests,
        exporter_metrics: Box::new(move || own.as_str().into()),
        readiness: Box::new(|| Readiness::NotReady("no report yet".to_owned())),
        status: Box::new(pages::status::tests::view),
    };
    Arc::new(Pages::new(sources, render(Snapshot::default(), None)))
}

/// These pages, at the root.
fn answers(pages: Arc<Pages>) -> impl Fn(Request<Incoming>) -> BoxFuture<'static, HandlerResult> {
    let handler = pages.handler("");
    move |request| handler(request)
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(method).uri(path);
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(())
        .expect("a request")
}

async fn hello(_: Request<Incoming>) -> HandlerResult {
    Ok(Response::new(ResponseBody::full("hello")))
}

#[test]
fn every_page_answers_with_its_type_and_is_not_sniffed() {
    let pages = pages(40);
    for (path, status, kind) in [
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/", 200, "text/html; charset=utf-8"),
        ("/-/healthy", 200, "text/plain; charset=utf-8"),
        ("/-/ready", 503, "text/plain; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/metrics/", 404, "text/plain; charset=utf-8"),
    ] {
        let response = pages.answer(&request("GET", path, &[]));
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind, "{path}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let length = response.body().remaining().unwrap().to_string();
        assert_eq!(response.headers()[header::CONTENT_LENGTH], length.as_str());
        let head = pages.answer(&request("HEAD", path, &[]));
        assert_eq!(
            (head.status(), head.headers()),
            (response.status(), response.headers()),
            "{path}"
        );
        assert_eq!(head.body().remaining(), Some(0));
    }
    assert_eq!(pages.answer(&request("GET", "/metrics?x=y", &[])).status(), 200);
}

#[test]
fn the_metrics_page_speaks_the_format_and_coding_that_are_asked_for() {
    let headers =
        [("accept", "application/openmetrics-text;version=1.0.0"), ("accept-encoding", "gzip")];
    let response = pages(40).answer(&request("GET", "/metrics", &headers));
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[header::VARY], "Accept, Accept-Encoding");
    let plain = pages(40).answer(&request("GET", "/metrics", &headers[..1]));
    assert!(plain.headers().get(header::CONTENT_ENCODING).is_none());
}

#[test]
fn other_methods_are_refused_with_those_that_are_allowed() {
    for path in ["/metrics", "/", "/-/healthy"] {
        let response = pages(40).answer(&request("POST", path, &[]));
        assert_eq!(
            (response.status(), &response.headers()[header::ALLOW]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap())
        );
    }
}

#[test]
fn a_scrape_too_many_is_refused_until_an_answer_is_done() {
    let pages = pages(2);
    let scrape = || pages.answer(&request("GET", "/metrics", &[]));
    let (first, _second) = (scrape(), scrape());
    let refused = scrape();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(pages.answer(&request("GET", "/-/healthy", &[])).status(), StatusCode::OK);
    drop(first);
    assert_eq!(scrape().status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_come_over_the_wire_whole_and_head_has_no_body() {
    let server = TestServer::start(ServerLimits::default(), answers(pages(40))).await;
    let page = server.ask(&get("/metrics")).await;
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n")
            && page.ends_with("# HELP x X.\n# TYPE x gauge\nx 1\n"),
        "{page}"
    );
    let head = server.ask(&get("/metrics").replace("GET", "HEAD")).await;
    let length = format!("content-length: {}\r\n", page.split_once("\r\n\r\n").unwrap().1.len());
    assert!(head.contains(&length) && head.ends_with("\r\n\r\n"), "{head}");
    let missing = server.ask(&get("/nothing")).await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("/metrics"), "{missing}");
    server.end().await;
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off_while_a_silent_connection_may_wait() {
    let limits = ServerLimits { head_time: Duration::from_millis(200), ..ServerLimits::default() };
    let server = TestServer::start(limits, hello).await;
    // Nothing at all, a head that never ends, and a second head that never ends.
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    assert_eq!(read_to_end(&mut slow).await, "");

    let mut kept = server.connect().await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_until(&mut kept, "hello").await;
    // Longer than a head may take: between two requests another limit holds.
    tokio::time::sleep(limits.head_time * 2).await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_until(&mut kept, "hello").await;
    kept.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(read_to_end(&mut kept).await, "");
    server.end().await;
}

/// Reads until `end` is the last that came.
async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut bytes = [0; 1024];
        let count = tokio::time::timeout(LONG, stream.read(&mut bytes))
            .await
            .expect("in time")
            .expect("an answer");
        assert!(count > 0, "the connection ended after {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

#[tokio::test]
async fn a_connection_that_stays_silent_after_an_answer_is_closed() {
    let server = TestServer::start(
        ServerLimits { idle_time: Duration::from_millis(200), ..ServerLimits::default() },
        hello,
    )
    .await;
    let answer = server.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let server = TestServer::start(
        ServerLimits { max_head_bytes: 1024, max_headers: 8, ..ServerLimits::default() },
        hello,
    )
    .await;
    let large = server.ask(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2_000))).await;
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");
    let many = server.ask(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(9))).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let garbage = server.ask("\u{0}\u{1}\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_its_place_is_free_again() {
    let limits = ServerLimits {
        max_connections: 1,
        stall_time: Duration::from_millis(300),
        ..ServerLimits::default()
    };
    let large = Bytes::from(vec![b'x'; 32 << 20]);
    let server = TestServer::start(limits, move |request: Request<Incoming>| {
        let body = if request.uri().path() == "/large" {
            large.clone()
        } else {
            Bytes::from_static(b"hello")
        };
        async { Ok(Response::new(ResponseBody::full(body))) }
    })
    .await;
    let mut stalled = server.connect().await;
    stalled.write_all(get("/large").as_bytes()).await.unwrap();
    // Waits in the queue for the only place.
    let answer = server.ask(&get("/")).await;
    assert!(answer.ends_with("hello"), "{answer}");
    let received = read_to_end(&mut stalled).await;
    assert!(received.len() < 32 << 20, "the stalled client got everything");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_reads_drop_by_drop_is_dropped_as_well() {
    let limits = ServerLimits {
        stall_time: LONG,
        answer_time: Duration::from_millis(500),
        ..ServerLimits::default()
    };
    let large = Bytes::from(vec![b'x'; 64 << 20]);
    let server = TestServer::start(limits, move |_| {
        std::future::ready(Ok(Response::new(ResponseBody::full(large.clone()))))
    })
    .await;
    let mut slow = server.connect().await;
    slow.write_all(get("/").as_bytes()).await.unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = slow.read(&mut buffer).await {
        received += count;
        assert!(received < 64 << 20, "the slow client got everything");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_while_all_others_have_requests() {
    let go_on = Arc::new(Notify::new());
    let noted = Arc::clone(&go_on);
    let server = TestServer::start(
        ServerLimits { max_connections: 2, ..ServerLimits::default() },
        move |request: Request<Incoming>| {
            let go_on = Arc::clone(&noted);
            async move {
                if request.uri().path() == "/slow" {
                    go_on.notified().await;
                }
                Ok(Response::new(ResponseBody::full("hello")))
            }
        },
    )
    .await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    first.write_all(get("/slow").as_bytes()).await.unwrap();
    second.write_all(get("/slow").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut third = server.connect().await;
    third.write_all(get("/").as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), third.read_u8()).await;
    assert!(early.is_err(), "a third connection was served");
    go_on.notify_one();
    assert!(read_to_end(&mut third).await.ends_with("hello"));
    go_on.notify_one();
    server.end().await;
}

#[tokio::test]
async fn an_answer_in_flight_is_finished_when_the_server_ends() {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let notes = (Arc::clone(&asked), Arc::clone(&go_on));
    let server = TestServer::start(ServerLimits::default(), move |_| {
        let (asked, go_on) = notes.clone();
        async move {
            asked.notify_one();
            go_on.notified().await;
            Ok(Response::new(ResponseBody::full("at last")))
        }
    })
    .await;
    let mut idle = server.connect().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    asked.notified().await;
    server.stop.cancel();
    assert_eq!(
        read_to_end(&mut idle).await,
        "",
        "a connection without a request is closed at once"
    );
    assert!(TcpStream::connect(server.address).await.is_err(), "a new connection was accepted");
    go_on.notify_one();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("at last"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let limits = ServerLimits { drain_time: Duration::from_millis(200), ..ServerLimits::default() };
    let asked = Arc::new(Notify::new());
    let noted = Arc::clone(&asked);
    let server = TestServer::start(limits, move |_| {
        noted.notify_one();
        std::future::pending()
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(get("/").as_bytes()).await.unwrap();
    asked.notified().await;
    server.end().await;
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_handler_may_cut_its_answer_short_or_give_none() {
    let server =
        TestServer::start(ServerLimits::default(), |request: Request<Incoming>| async move {
            match request.uri().path() {
                "/cut" => {
                    let response = Response::builder()
                        .header(header::CONTENT_LENGTH, 100)
                        .body(ResponseBody::cut_short("[{\"id\""));
                    Ok(response.expect("a valid header"))
                }
                "/panic" => panic!("a handler's fault"),
                _ => Err(Abort),
            }
        })
        .await;
    let cut = server.ask(&get("/cut")).await;
    assert!(cut.contains("content-length: 100\r\n") && cut.ends_with("[{\"id\""), "{cut}");
    assert_eq!(server.ask(&get("/abort")).await, "");
    assert_eq!(server.ask(&get("/panic")).await, "");
    assert_eq!(server.ask(&get("/abort")).await, "", "it goes on after a panic");
    server.end().await;
}
