//! The server from outside: the real binary, with curl and a real Prometheus as clients, over TLS
//! with passwords and client certificates, on every kind of listener, and among thousands of
//! clients.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test, a panic is the way to say it"
)]

#[path = "support/certificates.rs"]
mod certificates;
#[allow(dead_code, reason = "not every part of it is needed here")]
#[path = "support/process.rs"]
mod process;
#[allow(dead_code, reason = "not every part of it is needed here")]
#[path = "support/tools.rs"]
mod tools;

#[path = "web/crowd.rs"]
mod crowd;
#[path = "web/listeners.rs"]
mod listeners;

use std::fs;
use std::path::Path;
use std::process::Command;

use process::{Running, command, run, wait_for};
use tempfile::TempDir;

/// `prometheus` with the password `sesame`, and a second user.
fn users() -> String {
    let hash = |password: &str| bcrypt::hash(password, 6).unwrap();
    format!("basic_auth_users:\n  prometheus: {}\n  ann: {}\n", hash("sesame"), hash("another"))
}

const MUTUAL_TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_ca_file: ca.crt\n  \
                          client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus.example.org]\n";
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// An exporter in a folder of its own, of a simulated contact centre.
struct Exporter {
    _simulator: Running,
    process: Running,
    folder: TempDir,
    /// The first address that it listens on.
    address: String,
}

impl Exporter {
    fn start(web_config: Option<&str>, more: &[&str]) -> Self {
        let simulator = Running::start(&mut command(&[
            "simulate",
            "--web.listen-address=127.0.0.1:0",
            "--job-time=100ms",
            "--quota=600",
        ]));
        let api = simulator.output_after("address:       ");
        let folder = tempfile::tempdir().unwrap();
        certificates::write(folder.path());
        let mut args = vec!["serve", "--target.user=user-001", "--storage.path=data"];
        if let Some(text) = web_config {
            fs::write(folder.path().join("web.yml"), text).unwrap();
            args.push("--web.config.file=web.yml");
        }
        if !more.iter().any(|flag| flag.starts_with("--web.listen-address")) {
            args.push("--web.listen-address=127.0.0.1:0");
        }
        let mut serve = command(&[&args, more].concat());
        serve.current_dir(folder.path());
        serve
            .env("CXONE_BASE_URL", api)
            .env("CXONE_CLIENT_ID", "simulated-client")
            .env("CXONE_CLIENT_SECRET", "simulated-secret");
        let process = Running::start(&mut serve);
        let address = process.output_after(" address=");
        Self { _simulator: simulator, process, folder, address }
    }

    /// The result of curl with these arguments and the common ones: whether it succeeded, and its
    /// output.
    fn curl(&self, args: &[&str]) -> (bool, String) {
        curl(self.folder.path(), args)
    }

    /// HTTP version and status of a path, with these arguments for curl.
    fn status(&self, path: &str, args: &[&str]) -> String {
        let url = format!("https://{}{path}", self.address);
        self.curl(
            &[&["-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url], args].concat(),
        )
        .1
    }
}

fn curl(folder: &Path, args: &[&str]) -> (bool, String) {
    tools::run(
        Command::new("curl")
            .args(["-sS", "--max-time", "10", "--cacert", "ca.crt"])
            .args(args)
            .current_dir(folder),
        "",
    )
}

const CERTIFICATE: [&str; 4] = ["--cert", "client.crt", "--key", "client.key"];
const PASSWORD: [&str; 2] = ["-u", "prometheus:sesame"];

#[test]
fn curl_needs_certificate_and_password() {
    if !tools::are_here(&["curl"]) {
        return;
    }
    let exporter = Exporter::start(
        Some(&format!("{MUTUAL_TLS}{}auth_excluded_paths: [/-/healthy]\n", users())),
        &[],
    );
    let both = [&CERTIFICATE[..], &PASSWORD].concat();
    assert_eq!(exporter.status("/metrics", &both), "2 200");
    assert_eq!(exporter.status("/metrics", &[&both[..], &["--http1.1"]].concat()), "1.1 200");
    assert_eq!(
        exporter.status("/metrics", &[&both[..], &["--tlsv1.2", "--tls-max", "1.2"]].concat()),
        "2 200"
    );
    assert_eq!(exporter.status("/metrics", &CERTIFICATE), "2 401");
    assert_eq!(
        exporter.status("/metrics", &[&CERTIFICATE[..], &["-u", "prometheus:another"]].concat()),
        "2 401"
    );
    assert_eq!(exporter.status("/-/healthy", &CERTIFICATE), "2 200");
    assert_eq!(
        (
            exporter.status("/-/healthy", &[]).as_str(),
            exporter.status("/metrics", &PASSWORD).as_str()
        ),
        ("2 200", "2 403")
    );
    let old = exporter.curl(
        &[&both[..], &["--tls-max", "1.1", &format!("https://{}/", exporter.address)]].concat(),
    );
    assert!(!old.0, "{}", old.1);
    let page =
        exporter.curl(&[&both[..], &[&format!("https://{}/metrics", exporter.address)]].concat()).1;
    assert!(
        page.contains("\ncxone_exporter_certificate_expiry_timestamp_seconds 2493072000"),
        "{page}"
    );
    assert!(!exporter.process.stderr().contains("sesame"));
}

#[test]
fn check_healthy_uses_tls_and_needs_a_certificate_only_if_the_path_is_not_excluded() {
    for (web_config, healthy) in [
        (TLS.to_owned(), true),
        (format!("{MUTUAL_TLS}{}", users()), false),
        (format!("{MUTUAL_TLS}{}auth_excluded_paths: [/-/healthy]\n", users()), true),
        (format!("{TLS}{}", users()), false),
    ] {
        let exporter = Exporter::start(Some(&web_config), &[]);
        let said =
            run(&mut command(&["check", &format!("--healthy=https://{}", exporter.address)]));
        assert_eq!(said.code, Some(i32::from(!healthy)), "{web_config}: {}", said.stderr);
        assert!(healthy || said.stderr.contains("auth_excluded_paths"), "{}", said.stderr);
        let plain =
            run(&mut command(&["check", &format!("--healthy=http://{}", exporter.address)]));
        assert!(plain.code == Some(1) && plain.stderr.contains("https://"), "{}", plain.stderr);
    }
}

#[test]
fn prometheus_scrapes_over_tls_with_a_password_and_a_client_certificate() {
    if !tools::are_here(&["prometheus"]) {
        return;
    }
    let exporter = Exporter::start(Some(&format!("{MUTUAL_TLS}{}", users())), &[]);
    let job = |name: &str, certificate: &str, password: &str| {
        format!(
            "- job_name: {name}\n  scheme: https\n  basic_auth: {{username: prometheus, password: {password}}}\n  \
             tls_config: {{ca_file: ca.crt, server_name: localhost{certificate}}}\n  static_configs: [{{targets: ['{}']}}]\n",
            exporter.address
        )
    };
    let certificate = ", cert_file: client.crt, key_file: client.key";
    let jobs = [
        job("right", certificate, "sesame"),
        job("stranger", "", "sesame"),
        job("guess", certificate, "guess"),
    ]
    .concat();
    fs::write(
        exporter.folder.path().join("prometheus.yml"),
        format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}"),
    )
    .unwrap();
    let mut command = Command::new("prometheus");
    command.args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus",
        "--web.listen-address=127.0.0.1:0",
    ]);
    let log = exporter.folder.path().join("prometheus.log");
    let mut prometheus = tools::Running::start(command.current_dir(exporter.folder.path()), log);
    let address = prometheus.word_after("msg=\"Listening on\" address=");
    let health = |job: &str| {
        let (_, body) = tools::get(&address, "/api/v1/targets", "*/*").ok()?;
        let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
        let targets = answer["data"]["activeTargets"].as_array()?.clone();
        let found = targets.into_iter().find(|target| target["labels"]["job"] == job)?;
        (found["health"] != "unknown")
            .then(|| format!("{} {}", found["health"], found["lastError"]))
    };
    assert_eq!(wait_for("a scrape", || health("right")), "\"up\" \"\"");
    assert!(wait_for("a refusal", || health("guess")).contains("401"));
    // The message depends on which arrives first: the alert, or the closed connection.
    let stranger = wait_for("no handshake", || health("stranger"));
    assert!(stranger.starts_with("\"down\"") && !stranger.contains("HTTP status"), "{stranger}");
}

#[test]
fn a_changed_web_configuration_applies_without_a_restart_and_an_invalid_one_changes_nothing() {
    if !tools::are_here(&["curl"]) {
        return;
    }
    let exporter = Exporter::start(Some(&format!("{TLS}{}", users())), &[]);
    assert_eq!(exporter.status("/", &PASSWORD), "2 200");
    let file = exporter.folder.path().join("web.yml");
    let metric = |args: &[&str]| {
        let page =
            exporter.curl(&[args, &[&format!("https://{}/metrics", exporter.address)]].concat()).1;
        page.lines().find_map(|line| {
            line.strip_prefix("cxone_exporter_web_config_last_reload_successful ")
                .map(str::to_owned)
        })
    };
    assert_eq!(metric(&PASSWORD).as_deref(), Some("1.0"));
    fs::write(&file, format!("{TLS}  min_version: SSL3\nbasic_auth_user: {{}}\n")).unwrap();
    wait_for("the refusal", || (metric(&PASSWORD).as_deref() == Some("0.0")).then_some(()));
    let log = exporter.process.stderr();
    assert!(
        log.contains("web.yml:4: tls_server_config.min_version")
            && log.contains("web.yml:5: basic_auth_user"),
        "{log}"
    );
    fs::write(&file, "").unwrap();
    wait_for("the refusal", || {
        exporter.process.stderr().contains("TLS is not disabled").then_some(())
    });
    assert_eq!(exporter.status("/", &PASSWORD), "2 200");

    certificates::write(exporter.folder.path());
    let hash = bcrypt::hash("changed", 6).unwrap();
    fs::write(
        &file,
        format!(
            "{TLS}basic_auth_users: {{prometheus: {hash}}}\nhttp_server_config: {{http2: false}}\n"
        ),
    )
    .unwrap();
    let new = ["-u", "prometheus:changed"];
    wait_for("the new file", || (exporter.status("/", &new) == "1.1 200").then_some(()));
    assert_eq!(
        (exporter.status("/", &PASSWORD).as_str(), metric(&new).as_deref()),
        ("1.1 401", Some("1.0"))
    );
    assert_eq!(exporter.process.stderr().matches("SSL3").count(), 1, "a mistake is logged once");
}

#[test]
fn check_and_serve_report_the_errors_of_both_configurations() {
    let folder = tempfile::tempdir().unwrap();
    certificates::write(folder.path());
    fs::write(folder.path().join("right.yml"), format!("{TLS}{}", users())).unwrap();
    fs::write(
        folder.path().join("wrong.yml"),
        "basic_auth_users: {ann: sesame}\nrate_limits: {}\n",
    )
    .unwrap();
    fs::write(folder.path().join("main.yml"), "poll: {interval: 0s}\n").unwrap();
    let said = |args: &[&str]| run(command(args).current_dir(folder.path()));
    let right = said(&["check", "--web.config.file=right.yml"]);
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    assert!(
        right.stdout.contains("ok      web configuration: TLS with a certificate until 2049-01-01T00:00:00.000Z, 2 users"),
        "{}",
        right.stdout
    );
    for (args, expected) in [
        (
            &["check", "--web.config.file=wrong.yml"][..],
            &["wrong.yml:1: basic_auth_users.ann", "wrong.yml:2: rate_limits"][..],
        ),
        (
            &["check", "--config.file=main.yml", "--web.config.file=wrong.yml"],
            &["main.yml:1: poll.interval", "wrong.yml:1: basic_auth"],
        ),
        (
            &["serve", "--config.file=main.yml", "--web.config.file=wrong.yml"],
            &["main.yml:1: poll.interval", "wrong.yml:1: basic_auth"],
        ),
        (
            &["serve", "--config.file=main.yml", "--web.config.file=absent.yml"],
            &["main.yml:1: poll.interval", "absent.yml: the web conf"],
        ),
    ] {
        let wrong = said(args);
        assert_eq!(wrong.code, Some(78), "{args:?}: {}", wrong.stderr);
        for mistake in expected {
            assert!(
                wrong.stderr.contains(mistake),
                "{args:?}: {mistake} is not in {}",
                wrong.stderr
            );
        }
        assert!(!wrong.stderr.contains("sesame"));
    }
}

#[test]
fn passwords_without_tls_cause_a_warning_at_startup() {
    let exporter = Exporter::start(Some(&users()), &[]);
    assert!(
        exporter.process.stderr().contains("passwords are sent unencrypted"),
        "{}",
        exporter.process.stderr()
    );
    assert_eq!(process::get(&exporter.address, "/metrics", "").status, 401);
    assert_eq!(
        process::get(
            &exporter.address,
            "/metrics",
            "Authorization: Basic cHJvbWV0aGV1czpzZXNhbWU=\r\n"
        )
        .status,
        200
    );
}
