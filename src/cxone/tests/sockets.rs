//! The transport over real sockets, against a server that sends what a test wants.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::base_url::BaseUrl;
use crate::cxone::{ErrorKind, HttpLimits, HttpTransport, JobStatus, Network, RowList};
use crate::tasks::Tasks;

/// Answers each connection with the next of `answers`, whatever is asked, and then closes it; the
/// requests come back. An answer of no bytes leaves its connection open and silent.
async fn serve(listener: TcpListener, answers: Vec<Vec<u8>>) -> (Vec<String>, Vec<TcpStream>) {
    let (mut requests, mut silent) = (Vec::new(), Vec::new());
    for answer in answers {
        let (mut connection, _) = listener.accept().await.unwrap();
        requests.push(read_request(&mut connection).await);
        if answer.is_empty() {
            silent.push(connection);
        } else {
            connection.write_all(&answer).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    }
    (requests, silent)
}

async fn read_request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut buffer = [0; 4096];
        let size = connection.read(&mut buffer).await.unwrap();
        assert!(size > 0, "the request is whole");
        request.extend_from_slice(&buffer[..size]);
    }
    String::from_utf8(request).unwrap()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn token() -> Vec<u8> {
    http(
        "200 OK",
        "Content-Type: application/json\r\n",
        br#"{"access_token":"tok-1","expires_in":1200}"#,
    )
}

fn limits() -> HttpLimits {
    HttpLimits {
        connect: Duration::from_secs(5),
        head: Duration::from_millis(300),
        idle: Duration::from_millis(300),
    }
}

fn client_of(base: &str) -> ReportsClient {
    let base: BaseUrl = base.parse().unwrap();
    let transport = HttpTransport::new(&base, &Network::default(), limits()).unwrap();
    let options = ReportsOptions {
        base_url: base,
        client_id: "my-client".to_owned(),
        client_secret: SecretString::from(SECRET),
        limits: ResponseLimits::default(),
        hidden: Vec::new(),
    };
    ReportsClient::new(Arc::new(transport), Clock::system(), options, Arc::new(|_| ()))
}

/// Runs `test` with a client of a server that gives `answers`.
async fn with_server<T, F: Future<Output = T>>(
    answers: Vec<Vec<u8>>,
    test: impl FnOnce(ReportsClient) -> F,
) -> (T, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(&format!("http://{}/eu/", listener.local_addr().unwrap()));
    let (outcome, (requests, _silent)) = tokio::join!(test(client), serve(listener, answers));
    (outcome, requests)
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const REPORT: &[u8] =
    br#"{"status":"COMPLETED","data":[{"userId":"u","stateName":"Ready","dateFrom":"2023-10-27T08:00:00.000Z"},{"userId":"v"}]}"#;

#[tokio::test]
async fn a_report_comes_over_a_socket_compressed() {
    let answers = vec![token(), http("200 OK", "Content-Encoding: gzip\r\n", &gzipped(REPORT))];
    let (poll, requests) =
        with_server(answers, |client| async move { client.poll::<RowList>(&job()).await }).await;
    let Ok(JobStatus::Completed(list)) = poll else { panic!("{poll:?}") };
    assert_eq!((list.rows.len(), list.oddities.all_rejected()), (1, 1));
    let [login, poll] = &requests[..] else { panic!("{requests:?}") };
    assert!(login.starts_with("POST /eu/oauth/token HTTP/1.1\r\n"), "{login}");
    assert!(poll.starts_with("GET /eu/api/v2/reports/job-12345 HTTP/1.1\r\n"), "{poll}");
    let poll = poll.to_lowercase();
    for header in [
        "authorization: bearer tok-1",
        "accept: application/json",
        "accept-encoding: gzip",
        "user-agent: cxone-exporter/",
    ] {
        assert!(poll.contains(header), "{poll}");
    }
}

#[tokio::test]
async fn a_report_in_several_members_of_gzip_comes_whole() {
    let (first, second) = REPORT.split_at(60);
    let packed = [gzipped(first), gzipped(second)].concat();
    for coding in ["gzip", "GZIP", "x-gzip"] {
        let head = format!("Content-Encoding: {coding}\r\n");
        let answers = vec![token(), http("200 OK", &head, &packed)];
        let (poll, _) =
            with_server(answers, |client| async move { client.poll::<RowList>(&job()).await })
                .await;
        let Ok(JobStatus::Completed(list)) = poll else { panic!("{coding}: {poll:?}") };
        assert_eq!((list.rows.len(), list.oddities.all_rejected()), (1, 1));
    }
}

#[tokio::test]
async fn a_coding_that_was_not_asked_for_is_reported() {
    let answers = vec![token(), http("200 OK", "Content-Encoding: br\r\n", b"\x0b\x02\x80{}\x03")];
    let (poll, _) =
        with_server(answers, |client| async move { client.poll::<RowList>(&job()).await }).await;
    let error = poll.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    let message = error.to_string();
    assert!(
        message
            .contains("cannot be read: its Content-Encoding is `br`, and only gzip was asked for"),
        "{message}"
    );
}

/// Answers the first request of every connection with the next of `bodies`, and closes it, without
/// another word, when a second one comes: as a server does that has just decided to close what was
/// idle. How many requests it looked at.
async fn closes_what_was_idle(listener: TcpListener, bodies: Vec<&str>) -> usize {
    let mut looked_at = 0;
    let tasks = Tasks::new(CancellationToken::new());
    for body in bodies {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        looked_at += 1;
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        connection.write_all(answer.as_bytes()).await.unwrap();
        tasks.spawn("kept", async move {
            let _second = connection.read_u8().await;
        });
    }
    looked_at
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_job() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = client_of(&base);
    let submitting = async {
        client.sign_in().await.unwrap();
        let first = client.submit(&request()).await;
        (first, client.submit(&request()).await)
    };
    let bodies = vec![r#"{"access_token":"tok-1"}"#, r#"{"id":"one"}"#, r#"{"id":"two"}"#];
    let serving =
        tokio::time::timeout(Duration::from_secs(5), closes_what_was_idle(listener, bodies));
    let ((first, second), looked_at) = tokio::join!(submitting, serving);
    assert_eq!((first.unwrap().as_str(), second.unwrap().as_str()), ("one", "two"));
    assert_eq!(looked_at.unwrap(), 3);
}

#[tokio::test]
async fn a_body_cut_on_the_wire_is_malformed() {
    let packed = gzipped(REPORT);
    let whole = http("200 OK", "", REPORT);
    let endless = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &REPORT[..50]].concat();
    let chunked =
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n", &REPORT[..32], b"\r\n"]
            .concat();
    let answers = [
        whole[..whole.len() - 9].to_vec(),
        endless,
        chunked,
        http("200 OK", "Content-Encoding: gzip\r\n", &packed[..packed.len() / 2]),
    ];
    for answer in answers {
        let (poll, _) = with_server(vec![token(), answer], |client| async move {
            client.poll::<RowList>(&job()).await
        })
        .await;
        assert_eq!(poll.unwrap_err().kind, ErrorKind::Malformed);
    }
}

#[tokio::test]
async fn a_redirect_over_a_socket_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("Location: http://{}/\r\n", elsewhere.local_addr().unwrap());
    let answers = vec![token(), http("307 Temporary Redirect", &location, b"")];
    let (submit, requests) =
        with_server(answers, |client| async move { client.submit(&request()).await }).await;
    assert_eq!(submit.unwrap_err().kind, ErrorKind::Redirected);
    assert_eq!(requests.len(), 2);
    let followed = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
    assert!(followed.is_err(), "nobody comes");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (submit, _) =
        with_server(
            vec![token(), Vec::new()],
            |client| async move { client.submit(&request()).await },
        )
        .await;
    let error = submit.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    let message = error.to_string();
    assert!(message.contains("no answer from 127.0.0.1:"), "{message}");
    assert!(message.contains("no headers within 300ms"), "{message}");
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: BaseUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let transport = HttpTransport::new(&base, &Network::default(), limits()).unwrap();
    let stalls = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        connection
    };
    let get = Request::get(base.join("/")).body(Bytes::new()).unwrap();
    let (answer, _connection) = tokio::join!(transport.send(get), stalls);
    let pieces: Vec<_> = answer.unwrap().body.collect().await;
    let [Ok(piece), Err(error)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!((&piece[..], error.fault), (b"abc".as_slice(), TransportFault::Timeout));
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: BaseUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let transport = HttpTransport::new(&base, &Network::default(), limits()).unwrap();
    let error = transport
        .send(Request::get(base.join("/")).body(Bytes::new()).unwrap())
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.fault, TransportFault::Connect);
    assert!(error.detail.contains("refused") && !error.detail.contains("http://"), "{error}");
}

#[tokio::test]
async fn a_transport_with_certificates_can_be_made() {
    let base: BaseUrl = "https://acme.api.cxone.com".parse().unwrap();
    match HttpTransport::new(&base, &Network::default(), HttpLimits::default()) {
        Ok(transport) => assert!(format!("{transport:?}").contains("HttpTransport")),
        Err(error) => assert!(error.detail.contains("CA certificates"), "{error}"),
    }
}
