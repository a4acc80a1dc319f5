//! The binary as its users run it: real processes, real sockets on this machine, real signals.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test, a panic is the way to say it"
)]

#[allow(dead_code, reason = "the crash test uses more of it")]
#[path = "support/process.rs"]
mod process;
#[path = "support/strict.rs"]
mod strict;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use process::{Answer, PATIENCE, Running, Said, command, get, request, run, wait_for};
use strict::{Dialect, Page, parse};
use tempfile::TempDir;

const OPENMETRICS: &str =
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
const SECRET: &str = "a-secret-that-nobody-may-see";

/// A simulated contact centre, and its address.
fn simulate(more: &[&str]) -> (Running, String) {
    let args =
        ["simulate", "--web.listen-address=127.0.0.1:0", "--client-secret", SECRET, "--quota=600"];
    let simulator = Running::start(&mut command(&[&args, more].concat()));
    let address = simulator.output_after("address:       ");
    (simulator, address)
}

/// A command that knows the simulator by flags and environment only.
fn client(args: &[&str], api: &str) -> Command {
    let mut client = command(args);
    client
        .env("CXONE_BASE_URL", api)
        .env("CXONE_CLIENT_ID", "simulated-client")
        .env("CXONE_CLIENT_SECRET", SECRET);
    client
}

/// An exporter of some of the simulator's agents, its address, and the folder of its store, which
/// is removed with it.
fn serve(api: &str, more: &[&str]) -> (Running, String, TempDir) {
    let store = tempfile::tempdir().unwrap();
    let storage = format!("--storage.path={}", store.path().display());
    let args = [
        "serve",
        "--web.listen-address=127.0.0.1:0",
        "--target.user=user-001",
        "--target.user=user-002",
        &storage,
    ];
    let exporter = Running::start(&mut client(&[&args, more].concat(), api));
    let address = exporter.output_after(" address=");
    (exporter, address, store)
}

fn ready(address: &str) {
    wait_for("a report", || (get(address, "/-/ready", "").status == 200).then_some(()));
}

fn value(page: &Page, name: &str) -> Option<f64> {
    page.samples
        .iter()
        .filter(|(series, _)| series.0 == name)
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .reduce(|a, b| a + b)
}

fn inflated(answer: &Answer) -> String {
    assert!(answer.head.contains("content-encoding: gzip"), "{}", answer.head);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn serve_is_scraped_in_both_formats_and_both_codings_and_never_shows_the_secret() {
    let (simulator, api) = simulate(&["--job-time=100ms"]);
    let (mut exporter, address, _store) = serve(&api, &["--log.level=debug"]);
    ready(&address);
    let openmetrics = get(&address, "/metrics", OPENMETRICS);
    assert!(
        openmetrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        openmetrics.head
    );
    let page = parse(&openmetrics.text(), Dialect::OpenMetrics).unwrap();
    assert!(value(&page, "cxone_agents_seen").unwrap() >= 1.0);
    assert!(value(&page, "cxone_report_rows_total").unwrap() > 0.0);
    let zipped = get(&address, "/metrics", &format!("{OPENMETRICS}Accept-Encoding: gzip\r\n"));
    assert_eq!(parse(&inflated(&zipped), Dialect::OpenMetrics).unwrap().families, page.families);
    let text = get(&address, "/metrics", "");
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    assert!(parse(&text.text(), Dialect::Text).unwrap().samples.len() > 100);
    let zipped = get(&address, "/metrics", "Accept-Encoding: gzip\r\n");
    assert!(parse(&inflated(&zipped), Dialect::Text).unwrap().samples.len() > 100);

    let status_page = get(&address, "/", "");
    assert_eq!(
        (
            status_page.status,
            get(&address, "/-/healthy", "").status,
            get(&address, "/nowhere", "").status
        ),
        (200, 200, 404)
    );
    exporter.signal("TERM");
    assert_eq!(exporter.ended().0.code(), Some(0));
    for text in [openmetrics.text(), status_page.text(), exporter.stdout(), exporter.stderr()] {
        assert!(!text.contains(SECRET) && !text.contains("simulated-0"), "{text}");
        assert!(!text.contains("Bearer"), "{text}");
    }
    assert_eq!(exporter.stdout(), "");
    assert!(
        simulator.stdout().contains(&format!("client secret: {SECRET}")),
        "a client of it must know"
    );
}

#[test]
fn sigterm_ends_serve_cleanly_while_a_report_job_is_in_flight() {
    let (_simulator, api) = simulate(&["--job-time=30s"]);
    let (mut exporter, address, _store) = serve(&api, &[]);
    wait_for("a job in flight", || {
        let page =
            parse(&get(&address, "/metrics", OPENMETRICS).text(), Dialect::OpenMetrics).unwrap();
        (value(&page, "cxone_report_jobs_in_flight") > Some(0.0)).then_some(())
    });
    exporter.signal("TERM");
    let (status, took) = exporter.ended();
    assert!(status.code() == Some(0) && took < Duration::from_secs(5), "{status} after {took:?}");
}

/// A client that asks for more than any socket holds, and reads nothing.
fn stalled_reader(address: &str) -> std::net::TcpStream {
    let mut stream = request(address, "/metrics", "");
    let again = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").repeat(2_000);
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // The rest remains unsent once the server has stopped reading.
    let _sent = stream.write_all(again.as_bytes());
    thread::sleep(Duration::from_secs(1));
    stream
}

#[test]
fn a_stalled_client_delays_shutdown_by_less_than_five_seconds() {
    let (_simulator, api) = simulate(&["--job-time=100ms"]);
    let (mut exporter, address, _store) = serve(&api, &[]);
    ready(&address);
    let _stalled = stalled_reader(&address);
    exporter.signal("INT");
    let (status, took) = exporter.ended();
    assert!(
        status.code() == Some(0) && took > Duration::from_secs(2) && took < Duration::from_secs(5),
        "{status} after {took:?}"
    );
}

#[test]
fn a_second_signal_ends_serve_at_once() {
    let (_simulator, api) = simulate(&["--job-time=100ms"]);
    let (mut exporter, address, _store) = serve(&api, &[]);
    ready(&address);
    let _stalled = stalled_reader(&address);
    exporter.signal("TERM");
    wait_for("the first signal", || exporter.stderr().contains("shutting down").then_some(()));
    exporter.signal("TERM");
    let (status, took) = exporter.ended();
    assert!(
        status.code() == Some(0) && took < Duration::from_millis(1500),
        "{status} after {took:?}"
    );
    assert!(exporter.stderr().contains("shutdown forced"));
}

#[test]
fn history_prints_records_in_three_formats_and_nothing_else_on_stdout() {
    let (_simulator, api) = simulate(&["--job-time=100ms"]);
    let history =
        |more: &[&str]| run(&mut client(&[&["history", "--user=user-001"], more].concat(), &api));
    let Said { code, stdout, stderr } = history(&[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("FROM ") && stdout.lines().count() > 20, "{stdout}");
    let json: serde_json::Value =
        serde_json::from_str(&history(&["--format=json"]).stdout).unwrap();
    let rows = json.as_array().unwrap();
    assert!(
        rows.len() > 20
            && rows.iter().all(|row| row["userId"] == "user-001" && row["dateFrom"].is_string())
    );
    let from: Vec<&str> = rows.iter().map(|row| row["dateFrom"].as_str().unwrap()).collect();
    assert!(from.is_sorted(), "the oldest first");
    let csv = history(&["--format=csv", "--last=2h"]).stdout;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(csv.headers().unwrap().iter().next(), Some("userId"));
    assert!(csv.records().all(|record| &record.unwrap()[0] == "user-001"));
}

#[test]
fn history_says_why_there_may_be_no_records() {
    let (_simulator, api) = simulate(&["--job-time=100ms"]);
    let history = |user: &str| run(&mut client(&["history", "--user", user], &api));
    let Said { code, stdout, stderr } = history("user-999");
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    assert!(stderr.contains("No records for user-999") && stderr.contains("7d"), "{stderr}");
    let Said { code, stderr, .. } = history("ann@example.org");
    assert!(code == Some(0) && stderr.contains("an e-mail address is not an id"), "{stderr}");
    let Said { stdout, .. } =
        run(&mut client(&["history", "--user=user-999", "--format=json"], &api));
    assert_eq!(stdout, "[]\n");
}

#[test]
fn history_reports_why_all_rows_are_rejected_and_not_a_wrong_id() {
    let (_simulator, api) = simulate(&["--job-time=100ms", "--faults=unreadable=1"]);
    let Said { code, stdout, .. } =
        run(&mut client(&["check", "--live", "--target.user=user-001"], &api));
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("FAILED  report of user:user-001")
            && stdout.contains(r#"bad_time (the first: dateFrom is "27/10/2023 08:00:00")"#)
            && !stdout.contains("it has no rows"),
        "{stdout}"
    );
    let Said { code, stdout, stderr } = run(&mut client(&["history", "--user=user-001"], &api));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.matches("bad_time").count(), 1, "{stderr}");
    assert!(stderr.contains("27/10/2023") && !stderr.contains("No records"), "{stderr}");

    let (_simulator, api) = simulate(&["--job-time=100ms", "--faults=malformed=0.3"]);
    let Said { code, stdout, stderr } = run(&mut client(&["history", "--user=user-001"], &api));
    assert!(code == Some(0) && stdout.lines().count() > 20, "{stderr}");
    assert!(stderr.contains(" rows were rejected: "), "{stderr}");
    for reason in ["not_an_object", "bad_time", "bad_count"] {
        assert_eq!(stderr.matches(reason).count(), 1, "{stderr}");
    }
}

#[test]
fn history_ends_quietly_when_its_output_is_closed() {
    let (_simulator, api) = simulate(&["--job-time=100ms"]);
    for format in ["table", "json", "csv"] {
        let mut history = client(&["history", "--user=user-001", "--format", format], &api);
        let mut child = history.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
            (Some(0), ""),
            "{format}"
        );
    }
}

#[test]
fn check_reports_what_it_finds_and_how_to_fix_it() {
    let (_simulator, api) = simulate(&["--job-time=100ms"]);
    let check = |args: &[&str]| run(&mut client(&[&["check"], args].concat(), &api));
    let Said { code, stdout, .. } = check(&["--target.user=user-001"]);
    assert!(
        code == Some(0) && stdout.contains("ok      configuration") && stdout.contains("--live"),
        "{stdout}"
    );
    let Said { code, stdout, .. } = check(&["--target.user=user-001", "--live"]);
    assert!(
        code == Some(0)
            && stdout.contains("ok      credentials")
            && stdout.contains("ok      report of user:user-001"),
        "{stdout}"
    );
    let Said { code, stdout, .. } = check(&["--target.user=ann@example.org", "--live"]);
    assert!(
        code == Some(1)
            && stdout.contains("FAILED  report of user:ann@example.org")
            && stdout.contains("it has no rows")
            && stdout.contains("an e-mail address is not an id"),
        "{stdout}"
    );

    let wrong = "another-secret-to-hide";
    let live = ["check", "--live", "--target.user=user-001", "--log.level=debug"];
    let Said { code, stdout, stderr } = run(client(&live, &api).env("CXONE_CLIENT_SECRET", wrong));
    assert!(
        code == Some(1)
            && stdout.contains("FAILED  credentials")
            && stdout.contains("OAuth Clients"),
        "{stdout}{stderr}"
    );
    assert!(!stdout.contains(wrong) && !stderr.contains(wrong));
    let Said { code, stdout, .. } =
        run(client(&live, &api).env("CXONE_BASE_URL", "http://127.0.0.1:1"));
    assert!(
        code == Some(1)
            && stdout.contains("FAILED  sign-in: asking for a token: no answer from 127.0.0.1:1: ")
            && !stdout.contains("secret")
            && !stdout.contains("again in"),
        "{stdout}"
    );
    let Said { code, stdout, .. } =
        run(client(&live, &api).env("CXONE_BASE_URL", format!("{api}/elsewhere")));
    assert!(
        code == Some(1)
            && stdout.contains("FAILED  sign-in: asking for a token: CXone answered 404")
            && stdout.contains("check api.base_url"),
        "{stdout}"
    );
    assert!(!stdout.contains("secret"), "{stdout}");
}

#[test]
fn check_reports_the_proxy_in_use_and_never_its_password() {
    let check = |variables: &[(&str, &str)]| {
        run(command(&["check", "--api.tenant=acme", "--api.client-id=me", "--target.user=user-1"])
            .env("CXONE_CLIENT_SECRET", "s3cret")
            .envs(variables.iter().copied()))
    };
    let proxy = ("HTTPS_PROXY", "http://me:hunter2@proxy.test:3128");
    let Said { code, stdout, stderr } = check(&[proxy]);
    assert!(
        code == Some(0)
            && stdout.contains(
                "proxy: https://acme.api.cxone.com via http://proxy.test:3128 (HTTPS_PROXY)\n"
            ),
        "{stdout}{stderr}"
    );
    assert!(!stdout.contains("hunter2") && !stderr.contains("hunter2"), "{stdout}{stderr}");
    let Said { stdout, .. } = check(&[proxy, ("NO_PROXY", "*.cxone.com:443")]);
    assert!(
        stdout.contains("proxy: none for https://acme.api.cxone.com: NO_PROXY names it\n"),
        "{stdout}"
    );
    let Said { code, stdout, .. } = check(&[]);
    assert!(code == Some(0) && !stdout.contains("proxy"), "{stdout}");
    let Said { code, stderr, .. } = check(&[("HTTPS_PROXY", "socks5://me:hunter2@proxy.test")]);
    assert!(
        code == Some(78) && stderr.contains("SOCKS") && !stderr.contains("hunter2"),
        "{stderr}"
    );
}

#[test]
fn an_unusable_file_of_authorities_is_a_configuration_error() {
    let folder = tempfile::tempdir().unwrap();
    let (config, pem) = (folder.path().join("c.yml"), folder.path().join("ca.pem"));
    std::fs::write(folder.path().join("secret"), "s3cret").unwrap();
    let text = "api:\n  tenant: acme\n  client_id: me\n  client_secret_file: secret\n  ca_file: ca.pem\ntargets: [{user: user-1}]\n";
    std::fs::write(&config, text).unwrap();
    let check = || run(&mut command(&["check", &format!("--config.file={}", config.display())]));
    let key = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    for (content, words) in [
        (None, "cannot be read"),
        (Some("hunter2"), "contains no certificate in PEM"),
        (Some(key), "contains no certificate in PEM"),
        (Some(broken), "certificate 1 in it is not valid"),
    ] {
        if let Some(content) = content {
            std::fs::write(&pem, content).unwrap();
        }
        let Said { code, stderr, .. } = check();
        assert!(
            code == Some(78) && stderr.contains(":5: api.ca_file: ") && stderr.contains(words),
            "{stderr}"
        );
        assert!(!stderr.contains("hunter2") && !stderr.contains("aHVud"), "{stderr}");
    }
}

#[test]
fn an_invalid_configuration_is_reported_in_full_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yml");
    let text = "api:\n  tenant: acme\n  client_id: me\n  client_secret_file: absent\ntargets:\n  - user: user-1\n  - user: user-1\n\
                poll:\n  interval: 0s\n  overlpa: 5m\nmetrics: {detail: everything}\n";
    std::fs::write(&file, text).unwrap();
    let flag = format!("--config.file={}", file.display());
    for name in ["serve", "check"] {
        let Said { code, stdout, stderr } = run(&mut command(&[name, &flag]));
        assert_eq!((code, stdout.as_str()), (Some(78), ""), "{stderr}");
        for mistake in [
            ":4: api.client_secret_file",
            ":7: targets[1]",
            ":9: poll.interval",
            ":10: poll.overlpa",
            ":11: metrics.detail",
        ] {
            assert!(stderr.contains(mistake), "{mistake} is not in\n{stderr}");
        }
        assert!(
            stderr.contains("did you mean `overlap`") && !stderr.contains("listening"),
            "{stderr}"
        );
    }
    let Said { code, stderr, .. } = run(&mut command(&["serve"]));
    assert!(
        code == Some(78) && stderr.contains("tenant") && stderr.contains("client_id"),
        "{stderr}"
    );
}

#[test]
fn a_wrong_command_line_ends_with_64_and_an_address_in_use_with_1() {
    for args in [
        &["serve", "--web.listen-adress=:0"][..],
        &["fly"],
        &[],
        &["history"],
        &["simulate", "--faults=unheard-of=1"],
    ] {
        let Said { code, stdout, stderr } = run(&mut command(args));
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{args:?}: {stderr}");
    }
    assert_eq!(run(&mut command(&["--version"])).code, Some(0));
    let (_simulator, api) = simulate(&[]);
    let taken = api.trim_start_matches("http://");
    let Said { code, stderr, .. } = run(&mut command(&["simulate", "--web.listen-address", taken]));
    assert!(code == Some(1) && stderr.contains(taken), "{stderr}");
}

#[test]
fn demo_shows_agents_within_seconds() {
    // Ten seconds for a release build; the tests' build is slower, and the machine is busy.
    let within = if cfg!(debug_assertions) { PATIENCE } else { Duration::from_secs(10) };
    let mut demo = Running::start(&mut command(&[
        "demo",
        "--web.listen-address=127.0.0.1:0",
        "--simulate.listen-address=127.0.0.1:0",
    ]));
    let address = demo.output_after("status page: http://").trim_end_matches('/').to_owned();
    let agents = || {
        value(
            &parse(&get(&address, "/metrics", OPENMETRICS).text(), Dialect::OpenMetrics).unwrap(),
            "cxone_agents",
        )
    };
    process::wait_for_at_most(within, "agents", || (agents() > Some(10.0)).then_some(()));
    demo.signal("INT");
    assert_eq!(demo.ended().0.code(), Some(0));
}

#[test]
fn an_independent_client_works_with_the_simulator() {
    let (_simulator, api) = simulate(&["--job-time=1s"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/seed_client.py");
    let Said { code, stdout, stderr } = run(Command::new("python3")
        .args([script, &api, "simulated-client", "user-001"])
        .env("CXONE_CLIENT_SECRET", SECRET));
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        rows.len() > 20
            && rows.iter().all(|row| row["userId"] == "user-001" && row["stateName"].is_string()),
        "{stderr}"
    );
}

/// The keys and values of a line of logfmt; values in quotes are JSON strings.
fn logfmt(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = if after.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
            let value = values.next().unwrap().unwrap();
            (value, &after[values.byte_offset()..])
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    assert_eq!(rest, "", "{line}");
    pairs
}

/// The same of a line of JSON.
fn json(line: &str) -> Vec<(String, String)> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    let text =
        |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.into_iter().map(|(key, value)| (key, text(value))).collect()
}

#[test]
fn the_log_has_the_same_keys_in_both_formats_starts_with_the_version_and_reports_a_rejected_secret_as_an_error()
 {
    let (_simulator, api) = simulate(&[]);
    let mut logs = Vec::new();
    for (format, read) in [("logfmt", logfmt as fn(&str) -> Vec<(String, String)>), ("json", json)]
    {
        let store = tempfile::tempdir().unwrap();
        let mut exporter = Running::start(
            client(
                &[
                    "serve",
                    "--web.listen-address=127.0.0.1:0",
                    "--target.user=user-001",
                    &format!("--log.format={format}"),
                    &format!("--storage.path={}", store.path().display()),
                ],
                &api,
            )
            .env("CXONE_CLIENT_SECRET", "another-secret"),
        );
        wait_for("the refusal", || exporter.stderr().contains("credentials").then_some(()));
        exporter.signal("TERM");
        assert_eq!(exporter.ended().0.code(), Some(0));
        let lines: Vec<std::collections::BTreeMap<String, String>> =
            exporter.stderr().lines().map(|line| read(line).into_iter().collect()).collect();
        assert_eq!(lines[0]["msg"], "starting cxone-exporter");
        assert_eq!(lines[0]["version"], env!("CARGO_PKG_VERSION"));
        for key in ["revision", "branch", "rustversion", "os", "arch"] {
            assert!(!lines[0][key].is_empty(), "{key}");
        }
        for line in &lines {
            assert!(line["ts"].ends_with('Z') && !line.contains_key("message"), "{line:?}");
        }
        let refusal =
            lines.iter().find(|line| line.contains_key("reason")).expect("logged with its reason");
        assert_eq!(
            (&*refusal["level"], &*refusal["target"], &*refusal["reason"]),
            ("error", "user:user-001", "credentials")
        );
        logs.push(
            lines
                .iter()
                .map(|line| (line["msg"].clone(), line.keys().cloned().collect::<Vec<_>>()))
                .collect::<std::collections::BTreeMap<_, _>>(),
        );
    }
    let keys = |log: &std::collections::BTreeMap<String, Vec<String>>| {
        let mut keys: Vec<Vec<String>> = log.values().cloned().collect();
        keys.sort();
        keys.dedup();
        keys
    };
    assert_eq!(keys(&logs[0]), keys(&logs[1]));
}
