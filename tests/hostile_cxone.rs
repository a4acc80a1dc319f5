//! A malicious CXone, over real sockets and in both dialects: what never ends is cut off, what is
//! too large is rejected within bounded memory and with the reason of
//! `cxone_report_job_failures_total`, and neither a token nor a secret is sent elsewhere.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "hostile_cxone/pages.rs"]
mod pages;

use std::alloc::System;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cap::Cap;
use cxone_core::plan::fetch::{FailureReason, JobId};
use cxone_core::report::{Report, ReportFilter};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::base_url::BaseUrl;
use cxone_exporter::clock::Clock;
use cxone_exporter::cxone::platform::Credentials;
use cxone_exporter::cxone::{
    ApiError, HistoryRequest, HttpLimits, HttpTransport, JobStatus, Network, Paging,
    PlatformClient, PlatformOptions, ReportsClient, ReportsOptions, ResponseLimits,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use secrecy::SecretString;

/// The memory that this process may use at once; an allocation above it aborts. Most of it is for
/// one row of 16 MiB in each dialect.
const MOST_MEMORY: usize = 160 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MOST_MEMORY);

const LIMITS: ResponseLimits = ResponseLimits {
    max_report_bytes: 24 << 20,
    max_rows: 10_000,
    max_answer_bytes: 1 << 20,
    max_report_time: Duration::from_secs(60),
    max_answer_time: Duration::from_secs(60),
};

const SECRET: &str = "s3cret-0123456789";
const TOKEN: &str = "token-0123456789";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    Reports,
    Platform,
}

const BOTH: [Dialect; 2] = [Dialect::Reports, Dialect::Platform];

impl Dialect {
    /// What precedes the rows and what follows them.
    fn around(self) -> (&'static str, &'static str) {
        match self {
            Self::Reports => (r#"{"status":"COMPLETED","data":["#, "]}"),
            Self::Platform => (r#"{"agentStateHistory":["#, "]}"),
        }
    }

    fn row(self, place: u64, filler: &str) -> String {
        match self {
            Self::Reports => format!(
                r#"{{"userId":"u{place}{filler}","stateName":"s{place}{filler}","skillName":"k{place}{filler}","dateFrom":"2023-10-27T07:00:00Z"}}"#
            ),
            Self::Platform => format!(
                r#"{{"agentId":"u{place}{filler}","agentStateName":"s{place}{filler}","skillName":"k{place}{filler}","startDate":"2023-10-27T07:00:00Z"}}"#
            ),
        }
    }
}

/// How one kind of request is answered; it fails when the client hangs up.
type Answer = Box<dyn Fn(&mut TcpStream) -> io::Result<()> + Send + Sync>;

/// The same, by the request's head.
type Choice = Box<dyn Fn(&str, &mut TcpStream) -> io::Result<()> + Send + Sync>;

/// A server on this machine: `token` answers where tokens are, `rest` everything else but the
/// unavailable codes, of which there are none; it keeps the requests.
struct Hostile {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    fn new(token: Answer, rest: Answer) -> Self {
        Self::choosing(Box::new(move |head, to| {
            match (asks_token(head), head.contains("/unavailable-codes")) {
                (true, _) => token(to),
                (_, true) => text(format!(r#"{OK}{{"unavailableCodes":[]}}"#))(to),
                _ => rest(to),
            }
        }))
    }

    /// It gives a token to everyone, and answers every other request with what `answer` makes of
    /// its head.
    fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let token = token();
        Self::choosing(Box::new(move |head, to| {
            if asks_token(head) { token(to) } else { to.write_all(answer(head).as_bytes()) }
        }))
    }

    fn choosing(choose: Choice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, choose) = (Arc::clone(&heads), Arc::new(choose));
        drop(spawn(move || {
            for connection in listener.incoming() {
                let (kept, choose) = (Arc::clone(&kept), Arc::clone(&choose));
                drop(spawn(move || {
                    let mut connection = connection.unwrap();
                    let head = head(&mut connection);
                    kept.lock().unwrap().push(head.clone());
                    // That the client hangs up is how the endless ones end.
                    let _ = choose(&head, &mut connection);
                }));
            }
        }));
        Self { address, heads }
    }

    fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn asks_token(head: &str) -> bool {
    head.starts_with("POST") && head.contains("token")
}

#[allow(
    clippy::disallowed_methods,
    reason = "a server of the test's own; it ends with the test's process"
)]
fn spawn(run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(run)
}

fn head(connection: &mut TcpStream) -> String {
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut chunk) {
            Ok(size) if size > 0 => text.extend_from_slice(&chunk[..size]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
const PACKED: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n\r\n";

fn text(text: String) -> Answer {
    Box::new(move |to| to.write_all(text.as_bytes()))
}

fn token() -> Answer {
    text(format!(r#"{OK}{{"access_token":"{TOKEN}","expires_in":1200}}"#))
}

/// `begin`, and then what `chunk` makes of 0, 1, 2 … without an end.
fn endless(
    head: &'static str,
    begin: &'static str,
    chunk: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Answer {
    Box::new(move |to| {
        to.write_all(head.as_bytes())?;
        to.write_all(begin.as_bytes())?;
        (0..).try_for_each(|place| to.write_all(chunk(place).as_bytes()))
    })
}

/// The same, compressed as it goes.
fn bomb(head: &'static str, begin: &'static str, chunk: &'static str) -> Answer {
    Box::new(move |to| {
        to.write_all(head.as_bytes())?;
        let mut packed = GzEncoder::new(to, Compression::fast());
        packed.write_all(begin.as_bytes())?;
        let chunk = chunk.repeat((1 << 20) / chunk.len());
        loop {
            packed.write_all(chunk.as_bytes())?;
        }
    })
}

fn transport(server: &Hostile) -> (BaseUrl, Arc<HttpTransport>) {
    let base: BaseUrl = server.address.parse().unwrap();
    let limits = HttpLimits { head: Duration::from_secs(1), ..HttpLimits::default() };
    let transport = Arc::new(HttpTransport::new(&base, &Network::default(), limits).unwrap());
    (base, transport)
}

fn clock() -> Clock {
    Clock::starting_at(Timestamp::from_millis(1_698_393_600_000))
}

fn platform(server: &Hostile) -> PlatformClient {
    let (base, transport) = transport(server);
    let options = PlatformOptions {
        issuer: base.clone(),
        base_url: Some(base.clone()),
        version: 30,
        access_key_id: "KEY".to_owned(),
        access_key_secret: SecretString::from(SECRET),
        credentials: Credentials::AccessKey(base),
        limits: LIMITS,
        hidden: Vec::new(),
        requests_per_minute: NonZeroU32::new(6000).unwrap(),
    };
    PlatformClient::new(transport, clock(), options, Arc::new(|_| {}))
}

/// The history of all agents, or of the one with this id.
fn history(client: &PlatformClient, agent: Option<&str>) -> Paging<Report> {
    let to = Timestamp::from_millis(1_698_393_600_000);
    let (kind, id) = agent.map_or(("all", ""), |id| ("user", id));
    let filter = ReportFilter { kind: kind.to_owned(), id: id.to_owned() };
    client.history(HistoryRequest {
        window: Window { from: to.minus(Duration::from_secs(1800)), to },
        filter,
    })
}

#[track_caller]
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The number of rows that `server` answers, and of those that are invalid.
fn ask(dialect: Dialect, server: &Hostile) -> Result<(usize, u64), ApiError> {
    run(async {
        let report: Report = match dialect {
            Dialect::Reports => {
                let (base_url, transport) = transport(server);
                let (client_secret, hidden) = (SecretString::from(SECRET), Vec::new());
                let options = ReportsOptions {
                    base_url,
                    client_id: "client".to_owned(),
                    client_secret,
                    limits: LIMITS,
                    hidden,
                };
                let client = ReportsClient::new(transport, clock(), options, Arc::new(|_| {}));
                match client.poll(&JobId::parse("job").unwrap()).await? {
                    JobStatus::Completed(report) => report,
                    other @ (JobStatus::Pending | JobStatus::Running | JobStatus::Failed(_)) => {
                        panic!("{other:?}")
                    }
                }
            }
            Dialect::Platform => {
                let client = platform(server);
                let mut paging = history(&client, None);
                client.page(&mut paging).await?;
                paging.take_rows()
            }
        };
        let rejected = cxone_core::report::RowRejection::ALL
            .into_iter()
            .map(|reason| report.rejected(reason))
            .sum();
        Ok((report.rows().len(), rejected))
    })
}

#[track_caller]
fn assert_well_described(error: &ApiError) {
    let message = error.to_string();
    assert!(
        message.len() < 3_000 && !message.contains(SECRET) && !message.contains(TOKEN),
        "{} bytes: {message}",
        message.len()
    );
}

/// Queries a server whose rows are `rest`; returns the reason of the failure.
#[track_caller]
fn failure(dialect: Dialect, token: Answer, rest: Answer) -> Option<FailureReason> {
    let error = ask(dialect, &Hostile::new(token, rest)).expect_err("it is not a report");
    assert_well_described(&error);
    error.kind.failure()
}

#[test]
fn endless_bodies_are_cut_off_at_the_limits() {
    for dialect in BOTH {
        let begin = dialect.around().0;
        let spaces = endless(OK, begin, |_| " ".repeat(64 << 10));
        assert_eq!(
            failure(dialect, token(), spaces),
            Some(FailureReason::TooLarge),
            "{dialect:?}: bytes"
        );
        let rows = endless(OK, begin, |_| "7,".repeat(1000));
        assert_eq!(
            failure(dialect, token(), rows),
            Some(FailureReason::TooLarge),
            "{dialect:?}: rows"
        );
        let member = endless(OK, "{\"x\":\"", |_| "x".repeat(64 << 10));
        assert_eq!(
            failure(dialect, token(), member),
            Some(FailureReason::TooLarge),
            "{dialect:?}: one member"
        );
        let refusal = endless("HTTP/1.1 422 No\r\nConnection: close\r\n\r\n", TOKEN, |_| {
            format!("{TOKEN} {SECRET} ").repeat(1000)
        });
        assert_eq!(
            failure(dialect, token(), refusal),
            Some(FailureReason::Rejected),
            "{dialect:?}: a refusal"
        );
        let head = endless("HTTP/1.1 200 OK\r\n", "", |place| {
            format!("X-{place}: {}\r\n", "x".repeat(1000))
        });
        assert_eq!(
            failure(dialect, token(), head),
            Some(FailureReason::Unreachable),
            "{dialect:?}: headers"
        );
        let interim = endless("", "", |_| {
            // Otherwise the debug build is busy long after the time limit.
            thread::sleep(Duration::from_millis(1));
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10)
        });
        assert_eq!(
            failure(dialect, token(), interim),
            Some(FailureReason::Unreachable),
            "{dialect:?}: answers before the answer"
        );
    }
}

#[test]
fn bombs_are_defused_at_the_limits() {
    for dialect in BOTH {
        let begin = dialect.around().0;
        assert_eq!(
            failure(dialect, token(), bomb(PACKED, begin, " ")),
            Some(FailureReason::TooLarge),
            "{dialect:?}: spaces"
        );
        assert_eq!(
            failure(dialect, token(), bomb(PACKED, begin, "\0")),
            Some(FailureReason::TooLarge),
            "{dialect:?}: zeros"
        );
        assert_eq!(
            failure(dialect, token(), bomb(PACKED, begin, "[")),
            Some(FailureReason::TooLarge),
            "{dialect:?}: depth"
        );
        let refusal = "HTTP/1.1 422 No\r\nConnection: close\r\nContent-Encoding: gzip\r\n\r\n";
        assert_eq!(
            failure(dialect, token(), bomb(refusal, "no", "\0")),
            Some(FailureReason::Rejected),
            "{dialect:?}: a refusal"
        );
        let granted = bomb(PACKED, r#"{"access_token":""#, "x");
        assert_eq!(
            failure(dialect, granted, token()),
            Some(FailureReason::TooLarge),
            "{dialect:?}: a token"
        );
    }
}

#[test]
fn countless_names_use_no_more_memory_than_the_limits_allow() {
    let filler = "n".repeat(40);
    for dialect in BOTH {
        let (begin, end) = dialect.around();
        let filler = filler.clone();
        let many = endless(OK, begin, move |place| format!("{},", dialect.row(place, &filler)));
        assert_eq!(failure(dialect, token(), many), Some(FailureReason::TooLarge), "{dialect:?}");
        let rows: Vec<String> = (0..LIMITS.max_rows).map(|place| dialect.row(place, "")).collect();
        let just = Hostile::new(token(), text(format!("{OK}{begin}{}{end}", rows.join(","))));
        assert_eq!(ask(dialect, &just), Ok((10_000, 0)), "{dialect:?}");
    }
}

#[test]
fn numbers_out_of_range_reject_their_rows() {
    let begin = Dialect::Reports.around().0;
    let with = |members: &str| {
        format!(r#"{{"userId":"u","stateName":"s","dateFrom":"2023-10-27T07:00:00Z",{members}}}"#)
    };
    let odd = ["1e999", "-1", "4294967296", "0.5", "99999999999999999999"]
        .map(|count| with(&format!("\"count\":{count}")));
    let times =
        ["\"99999-01-01T00:00:00Z\"", "253402300800000", "\"2023-10-27T25:00:00Z\"", "1e400"]
            .map(|time| with(&format!("\"dateTo\":{time}")));
    let rows = [odd.join(","), times.join(",")].join(",");
    let server =
        Hostile::new(token(), text(format!("{OK}{begin}{rows},{}]}}", with("\"count\":2"))));
    assert_eq!(ask(Dialect::Reports, &server), Ok((1, 9)));

    let with = |members: &str| format!(r#"{{"agentId":9e999,"agentStateId":1,{members}}}"#);
    let rows = [
        with(r#""startDate":"99999-01-01T00:00:00Z""#),
        with(r#""startDate":1e999"#),
        with(r#""startDate":"-009999-01-01T00:00:00Z","duration":-1"#),
        with(r#""startDate":"2023-10-27T07:00:00Z","duration":-1e999"#),
        // A duration is cut to a hundred years, which may lie behind the end of the calendar.
        with(r#""startDate":"9998-12-30T00:00:00Z","duration":"P4294967295W""#),
    ];
    let begin = Dialect::Platform.around().0;
    let server = Hostile::new(token(), text(format!("{OK}{begin}{}]}}", rows.join(","))));
    assert_eq!(ask(Dialect::Platform, &server), Ok((1, 4)));

    for life in ["1e999", "-1", "99999999999999999999", "1e-999"] {
        let token = text(format!(r#"{OK}{{"access_token":"{TOKEN}","expires_in":{life}}}"#));
        let server = Hostile::new(
            token,
            text(format!("{OK}{}{}", Dialect::Reports.around().0, Dialect::Reports.around().1)),
        );
        assert_eq!(ask(Dialect::Reports, &server), Ok((0, 0)), "{life}");
    }
}

#[test]
fn redirects_are_not_followed_wherever_they_lead() {
    let elsewhere = Arc::new(Hostile::new(token(), token()));
    for dialect in BOTH {
        for code in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
            for to in [elsewhere.address.as_str(), "/again?token", ""] {
                let redirect = || {
                    text(format!(
                        "HTTP/1.1 {code}\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n"
                    ))
                };
                let server = Hostile::new(token(), redirect());
                assert_eq!(
                    ask(dialect, &server).unwrap_err().kind.failure(),
                    Some(FailureReason::Redirected),
                    "{dialect:?} {code} {to}"
                );
                assert_eq!(
                    server.requests(),
                    if dialect == Dialect::Reports { 2 } else { 3 },
                    "a token, the codes, and the one request"
                );
                let server = Hostile::new(redirect(), token());
                assert_eq!(
                    ask(dialect, &server).unwrap_err().kind.failure(),
                    Some(FailureReason::Redirected),
                    "{dialect:?} {code} {to}"
                );
                assert_eq!(server.requests(), 1);
            }
        }
    }
    assert_eq!(elsewhere.requests(), 0, "nobody came");
}

#[test]
fn urls_in_answers_never_receive_the_token() {
    let elsewhere = Hostile::new(token(), token());
    let away = &elsewhere.address;
    let (begin, _) = Dialect::Platform.around();
    let links = text(format!(
        r#"{OK}{begin}],"_links":{{"next":"{away}/2"}},"statusUrl":"{away}","api_endpoint":"{away}"}}"#
    ));
    let granted = text(format!(
        r#"{OK}{{"access_token":"{TOKEN}","resource_server_base_uri":"{away}","refresh_token_server_uri":"{away}"}}"#
    ));
    let server = Hostile::new(granted, links);
    assert_eq!(ask(Dialect::Platform, &server), Ok((0, 0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let discovered = runtime.block_on(async {
        let server = Hostile::new(
            token(),
            text(format!(
                r#"{OK}{{"token_endpoint":"{away}/auth/token","api_endpoint":"{away}"}}"#
            )),
        );
        let base: BaseUrl = server.address.parse().unwrap();
        let options = PlatformOptions {
            issuer: base.clone(),
            base_url: None,
            version: 30,
            access_key_id: "KEY".to_owned(),
            access_key_secret: SecretString::from(SECRET),
            credentials: Credentials::Client {
                id: "client".to_owned(),
                secret: SecretString::from(SECRET),
            },
            limits: LIMITS,
            hidden: Vec::new(),
            requests_per_minute: NonZeroU32::new(6000).unwrap(),
        };
        let transport = Arc::new(
            HttpTransport::new(&base, &Network::default(), HttpLimits::default()).unwrap(),
        );
        PlatformClient::new(transport, Clock::system(), options, Arc::new(|_| {})).sign_in().await
    });
    assert_eq!(discovered.unwrap_err().kind.failure(), Some(FailureReason::Malformed));
    assert_eq!(elsewhere.requests(), 0, "nobody came");
}
