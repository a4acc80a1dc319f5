//! Outputs that are unread, full or closed.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _, pipe};
use std::process::{Child, Command, Stdio};

use super::process::{command, get, run, wait_for};
use super::{serve, shows};

/// Ended when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Ended {
    /// Ends it by SIGTERM; its exit status.
    fn terminate(&mut self) -> Option<i32> {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        wait_for("the end", || self.0.try_wait().unwrap()).code()
    }
}

/// A free port.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `serve` that logs as much as possible to this stderr.
fn serve_to(folder: &std::path::Path, stderr: impl Into<Stdio>) -> (Ended, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let flags = [&format!("--web.listen-address={address}"), "--log.level=debug"];
    let mut serve = serve(folder, &flags);
    let child = Ended(serve.stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
    wait_for("the address", || std::net::TcpStream::connect(&address).ok());
    (child, address)
}

fn dropped(address: &str) -> f64 {
    let page = get(address, "/metrics", "").text();
    let name = "cxone_exporter_log_messages_dropped_total ";
    page.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[test]
fn an_unread_stderr_blocks_neither_startup_nor_polling_nor_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let (mut reader, mut writer) = pipe().unwrap();
    // The pipe is full from the beginning.
    let filler = vec![b'x'; 1024 * 1024];
    let full = writer.try_clone().unwrap();
    let filling = std::thread::Builder::new().spawn(move || drop(writer.write_all(&filler)));
    let mut first = [0];
    reader.read_exact(&mut first).unwrap();
    let (mut exporter, address) = serve_to(folder.path(), full);
    shows(&address, "cxone_exporter_config_last_reload_successful 1");
    wait_for("a poll that failed", || {
        let page = get(&address, "/metrics", "").text();
        let mut failures =
            page.lines().filter(|line| line.starts_with("cxone_report_job_failures_total{"));
        failures.any(|line| !line.ends_with(" 0")).then_some(())
    });
    assert_eq!(exporter.terminate(), Some(0));
    drop(reader);
    filling.unwrap().join().unwrap();
}

#[test]
fn an_unread_stdout_blocks_no_signal() {
    for more in [&["simulate"][..], &["demo", "--simulate.listen-address=127.0.0.1:0"]] {
        let (reader, mut writer) = pipe().unwrap();
        let full = writer.try_clone().unwrap();
        let filler = vec![b'x'; 1024 * 1024];
        let filling = std::thread::Builder::new().spawn(move || drop(writer.write_all(&filler)));
        let address = format!("127.0.0.1:{}", free_port());
        let mut long = command(more);
        long.arg(format!("--web.listen-address={address}")).stdout(full).stderr(Stdio::null());
        let mut child = Ended(long.spawn().unwrap());
        wait_for("the address", || std::net::TcpStream::connect(&address).ok());
        assert_eq!(child.terminate(), Some(0), "{more:?}");
        drop(reader);
        filling.unwrap().join().unwrap();
    }
}

#[test]
fn a_full_or_closed_stderr_drops_and_counts_messages_and_does_nothing_else() {
    let closed = || Stdio::from(pipe().unwrap().1);
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    for stderr in [closed(), full()] {
        let folder = tempfile::tempdir().unwrap();
        let (mut exporter, address) = serve_to(folder.path(), stderr);
        wait_for("dropped messages", || (dropped(&address) > 0.0).then_some(()));
        assert_eq!(exporter.terminate(), Some(0));
    }
}

#[test]
fn an_error_that_cannot_be_printed_keeps_its_exit_status() {
    for (args, code) in [
        (&["serve"][..], 78),
        (&["history", "--user=user-001"], 78),
        (&["check"], 78),
        (&["erase", "--agent=user-001", "--storage.path=/nowhere"], 1),
        (&["serve", "--no-such-flag"], 64),
    ] {
        for redirection in ["2>&-", "2>/dev/full"] {
            let mut shell = command(&[]);
            let program = shell.get_program().to_owned();
            shell = Command::new("sh");
            shell.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]).arg(program);
            let said = run(shell.args(args));
            assert_eq!(said.code, Some(code), "{args:?} {redirection}");
        }
    }
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_not_a_failure() {
    for args in [&["--help"][..], &["man"], &["completions", "bash"], &["check", "--target.user=a"]]
    {
        let mut closed = command(args);
        closed
            .env("CXONE_BASE_URL", "http://127.0.0.1:1")
            .env("CXONE_CLIENT_ID", "client")
            .env("CXONE_CLIENT_SECRET", "secret")
            .stdout(pipe().unwrap().1)
            .stderr(Stdio::piped());
        let ended = closed.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && !stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}
