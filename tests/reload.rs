//! The real binary reloads its configuration at SIGHUP and at `POST /-/reload`, and its secrets
//! when their files change.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test, a panic is the way to say it"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "support/process.rs"]
mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use process::{Running, command, get, wait_for};

const SECRET: &str = "a-secret-that-nobody-may-see";

fn write_config(folder: &Path, api: &str, targets: &str) {
    let text = format!(
        "api: {{base_url: '{api}', client_id: simulated-client, client_secret_file: secret}}\npoll: {{interval: 1s}}\n\
         quota: {{report_jobs_per_minute: 600}}\n{targets}\n"
    );
    fs::write(folder.join("c.yml"), text).unwrap();
}

fn serve(folder: &Path, more: &[&str]) -> (Running, String) {
    let config = format!("--config.file={}", folder.join("c.yml").display());
    let storage = format!("--storage.path={}", folder.join("data").display());
    let args = ["serve", "--web.listen-address=127.0.0.1:0", &config, &storage];
    let exporter = Running::start(&mut command(&[&args, more].concat()));
    let address = exporter.output_after(" address=");
    (exporter, address)
}

fn post_reload(address: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(
            b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// Waits until a line of the metrics begins like this.
fn shows(address: &str, line: &str) {
    wait_for(line, || {
        get(address, "/metrics", "")
            .text()
            .lines()
            .any(|shown| shown.starts_with(line))
            .then_some(())
    });
}

#[test]
fn a_signal_a_request_and_a_new_secret_take_effect_without_a_restart() {
    let simulator = Running::start(&mut command(&[
        "simulate",
        "--web.listen-address=127.0.0.1:0",
        "--client-secret",
        SECRET,
        "--quota=600",
        "--job-time=100ms",
    ]));
    let api = simulator.output_after("address:       ");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "wrong").unwrap();
    write_config(folder.path(), &api, "targets: [{user: user-001}]");
    let (exporter, address) = serve(folder.path(), &["--web.enable-lifecycle"]);
    shows(&address, "cxone_token_refresh_failures_total 1");
    fs::write(folder.path().join("secret"), SECRET).unwrap();
    shows(&address, "cxone_target_up{target=\"user:user-001\"} 1");

    write_config(folder.path(), &api, "targets: [{user: user-001}, {user: user-002}]");
    exporter.signal("HUP");
    shows(&address, "cxone_target_up{target=\"user:user-002\"} 1");

    write_config(folder.path(), &api, "targets: [{user: user-001}]\nquotas: {}\npoll2: 1");
    let (status, answer) = post_reload(&address);
    assert_eq!(status, 500);
    assert!(
        answer.contains("c.yml:5: quotas: unknown key")
            && answer.contains("c.yml:6: poll2: unknown key"),
        "{answer}"
    );
    shows(&address, "cxone_exporter_config_last_reload_successful 0");
    shows(&address, "cxone_target_up{target=\"user:user-002\"} 1");

    write_config(folder.path(), &api, "targets: [{user: user-003}]");
    assert_eq!(post_reload(&address).0, 200);
    shows(&address, "cxone_exporter_config_last_reload_successful 1");
    shows(&address, "cxone_target_up{target=\"user:user-003\"} 1");
    assert!(
        !get(&address, "/metrics", "").text().contains("cxone_target_up{target=\"user:user-002\"}")
    );
    assert_eq!(get(&address, "/-/reload", "").status, 405);
    let said = exporter.stdout() + &exporter.stderr();
    assert!(!said.contains(SECRET) && said.contains("configuration rejected"), "{said}");
}

#[test]
fn without_the_flag_nobody_reloads_over_the_network() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), SECRET).unwrap();
    write_config(folder.path(), "http://127.0.0.1:1", "targets: [{user: user-001}]");
    let (_exporter, address) = serve(folder.path(), &[]);
    let (status, answer) = post_reload(&address);
    assert!(status == 403 && answer.contains("--web.enable-lifecycle"), "{answer}");
}

#[test]
fn systemd_is_notified_of_readiness_liveness_reload_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), SECRET).unwrap();
    write_config(folder.path(), "http://127.0.0.1:1", "targets: [{user: user-001}]");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(process::PATIENCE)).unwrap();
    let config = format!("--config.file={}", folder.path().join("c.yml").display());
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    let mut serve = command(&["serve", "--web.listen-address=127.0.0.1:0", &config, &storage]);
    let mut exporter =
        Running::start(serve.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000"));
    let hear = |wanted: &str| {
        let mut heard = Vec::new();
        loop {
            let mut news = [0; 1024];
            let length = socket
                .recv(&mut news)
                .unwrap_or_else(|cause| panic!("{cause}: {wanted} is not in {heard:?}"));
            heard.push(String::from_utf8(news[..length].to_vec()).unwrap());
            if heard.last().unwrap().contains(wanted) {
                return;
            }
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1\nSTATUS=0 of 1 targets up, 0 agents");
    hear("WATCHDOG=1");
    exporter.signal("HUP");
    hear("RELOADING=1\nMONOTONIC_USEC=");
    hear("READY=1");
    exporter.signal("TERM");
    hear("STOPPING=1");
    assert!(exporter.ended().0.success());
}
