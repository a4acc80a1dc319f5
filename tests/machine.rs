//! The real binary on a difficult machine: signals at a bad moment, file size limits, and addresses
//! with another meaning.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "in a test, a panic is the way to say it"
)]

#[allow(dead_code, reason = "not every part of it is needed here")]
#[path = "support/process.rs"]
mod process;

#[path = "machine/addresses.rs"]
mod addresses;
#[path = "machine/files.rs"]
mod files;
#[path = "machine/large_reports.rs"]
mod large_reports;
#[path = "machine/limits.rs"]
mod limits;
#[path = "machine/owners.rs"]
mod owners;
#[path = "machine/pipes.rs"]
mod pipes;
#[path = "machine/signals.rs"]
mod signals;

use std::path::Path;
use std::process::Command;

use process::{Running, command, get, wait_for};

/// The exporter's command line, wrapped in this command.
fn wrapped(before: &[&str], exporter: &Command) -> Command {
    let mut wrapped = Command::new(before[0]);
    wrapped.args(&before[1..]).arg(exporter.get_program()).args(exporter.get_args());
    for (name, value) in exporter.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// A simulated contact centre, and `serve` of it, both ready.
fn simulated(folder: &Path, more: &[&str]) -> (Running, Running, String) {
    let simulator = Running::start(&mut command(&[
        "simulate",
        "--web.listen-address=127.0.0.1:0",
        "--job-time=100ms",
        "--quota=600",
    ]));
    let mut serve = serve(folder, more);
    serve
        .env("CXONE_BASE_URL", simulator.output_after("address:       "))
        .env("CXONE_CLIENT_ID", "simulated-client")
        .env("CXONE_CLIENT_SECRET", "simulated-secret");
    let exporter = Running::start(&mut serve);
    let address = exporter.output_after(" address=");
    (simulator, exporter, address)
}

/// Waits until the metrics contain this line.
fn shows(address: &str, line: &str) {
    wait_for(line, || {
        let page = get(address, "/metrics", "").text();
        page.lines().any(|shown| shown == line).then_some(())
    });
}

/// `serve` with its store in this folder and an API that does not answer.
fn serve(folder: &Path, more: &[&str]) -> Command {
    let storage = format!("--storage.path={}", folder.join("data").display());
    let mut serve = command(&["serve", "--target.user=user-001", &storage]);
    if !more.iter().any(|flag| flag.starts_with("--web.listen-address")) {
        serve.arg("--web.listen-address=127.0.0.1:0");
    }
    serve
        .args(more)
        .env("CXONE_BASE_URL", "http://127.0.0.1:1")
        .env("CXONE_CLIENT_ID", "simulated-client")
        .env("CXONE_CLIENT_SECRET", "secret");
    serve
}

/// Whether this is root, who may do what a test needs; says so where it is not.
fn is_root() -> bool {
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0);
    if !is_root {
        println!("left out: only root can do this");
    }
    is_root
}
