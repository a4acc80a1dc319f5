//! Long computations on a machine with one processor.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Running, get, wait_for};
use super::{serve, wrapped};

/// Rows of one agent, which all begin within a day.
const ROWS: usize = 150_000;

#[test]
fn health_checks_do_not_wait_for_a_report_to_be_counted_on_one_processor() {
    let folder = tempfile::tempdir().unwrap();
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut one = wrapped(&["taskset", "-c", "0"], &serve(folder.path(), &["--log.level=debug"]));
    one.env("CXONE_BASE_URL", format!("http://{}", api.local_addr().unwrap()));
    let exporter = Running::start(&mut one);
    let address = exporter.output_after(" address=");
    let (sent, is_sent) = mpsc::channel();
    #[allow(clippy::disallowed_methods, reason = "a server of the test's own; it ends with it")]
    drop(thread::spawn(move || {
        for connection in api.incoming() {
            let was_report = answer(&connection.unwrap());
            if was_report && sent.send(()).is_err() {
                return;
            }
        }
    }));
    is_sent.recv_timeout(Duration::from_secs(60)).unwrap();

    // From here on it is counted; only what the sockets buffer is still read.
    let (began, mut longest) = (now(), Duration::ZERO);
    wait_for("the report to be counted", || {
        let asked = now();
        assert_eq!(get(&address, "/-/healthy", "").status, 200);
        longest = longest.max(asked.elapsed());
        exporter.stderr().contains("first report read").then_some(())
    });
    let counting = began.elapsed();
    println!("counted within {counting:?}; a health check took {longest:?} at most");
    assert!(longest < counting / 3, "{longest:?} of {counting:?}");
}

#[allow(clippy::disallowed_methods, reason = "a real process takes real time")]
fn now() -> Instant {
    Instant::now()
}

/// Answers one request as the Reporting API does; whether it was for the report.
fn answer(connection: &TcpStream) -> bool {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let length = head.to_ascii_lowercase();
    let length =
        length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let is_report = head.starts_with("GET");
    let body = match head.split(' ').nth(1).unwrap() {
        "/oauth/token" => r#"{"access_token":"t","expires_in":1200}"#.to_owned(),
        "/api/v2/reports" => r#"{"id":"job-1"}"#.to_owned(),
        _ => report(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
    let mut connection = connection;
    connection.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    is_report
}

fn report() -> String {
    let mut text = r#"{"status":"COMPLETED","data":["#.to_owned();
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { "," };
        let (hour, minute, second) = (row / 3600 % 24, row / 60 % 60, row % 60);
        write!(
            text,
            r#"{comma}{{"userId":"user-001","stateName":"State {}","skillName":"Skill {}","dateFrom":"2026-01-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z"}}"#,
            row % 7, row % 5, 1 + row / 86_400, row % 1000
        )
        .unwrap();
    }
    text + "]}"
}
