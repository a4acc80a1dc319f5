//! Every kind of address that the exporter listens on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use super::process::{Running, command, get, run};
use super::{Exporter, tools};

/// The answer of a Unix socket to `GET /-/healthy`.
fn ask(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The addresses that it logged.
fn addresses(process: &Running) -> Vec<String> {
    let said = process.stderr();
    said.lines()
        .filter_map(|line| line.split_once(" address=")?.1.split(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn several_addresses_ipv6_and_a_unix_socket_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("exporter.sock");
    let unix = format!("--web.listen-address=unix:{}", socket.display());
    let flags = [
        "--web.listen-address=127.0.0.1:0",
        "--web.listen-address=[::1]:0",
        "--web.listen-address=localhost:0",
        &unix,
    ];
    let mut exporter = Exporter::start(None, &flags);
    let bound = super::wait_for("all addresses", || {
        Some(addresses(&exporter.process)).filter(|found| found.len() == 4)
    });
    assert!(
        bound[1].starts_with("[::1]:") && bound[3] == format!("unix:{}", socket.display()),
        "{bound:?}"
    );
    for address in &bound[..3] {
        assert_eq!(get(address, "/-/healthy", "").status, 200, "{address}");
    }
    assert!(ask(&socket).starts_with("HTTP/1.0 200"));
    exporter.process.signal("TERM");
    assert_eq!(exporter.process.ended().0.code(), Some(0));
    assert!(!socket.exists());
}

/// Creates a TCP and a Unix socket, as systemd does for a socket unit, prints the port, and becomes
/// the exporter.
const ACTIVATE: &str = "import os, socket, sys
tcp = socket.create_server(('127.0.0.1', 0))
local = socket.socket(socket.AF_UNIX)
local.bind(sys.argv[1])
local.listen()
first, second = os.dup(tcp.fileno()), os.dup(local.fileno())
first, second = [os.dup2(os.dup2(fd, 20 + fd), 3 + index) for index, fd in enumerate((first, second))]
print('handed', tcp.getsockname()[1], flush=True)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn sockets_from_systemd_are_listened_on_instead_of_addresses() {
    if !tools::are_here(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("handed.sock");
    let mut activate = Command::new("python3");
    activate.args(["-c", ACTIVATE]).arg(&socket).arg(env!("CARGO_BIN_EXE_cxone-exporter"));
    activate
        .args(["serve", "--web.systemd-socket", "--target.user=user-001"])
        .current_dir(folder.path());
    activate
        .env("CXONE_BASE_URL", "http://127.0.0.1:1")
        .env("CXONE_CLIENT_ID", "x")
        .env("CXONE_CLIENT_SECRET", "x");
    let mut exporter = Running::start(&mut activate);
    let address = format!("127.0.0.1:{}", exporter.output_after("handed "));
    let found = super::wait_for("both sockets", || {
        Some(addresses(&exporter)).filter(|found| found.len() == 2)
    });
    assert_eq!(found, [address.clone(), format!("unix:{}", socket.display())]);
    assert_eq!(get(&address, "/-/healthy", "").status, 200);
    assert!(ask(&socket).starts_with("HTTP/1.0 200"));
    exporter.signal("TERM");
    assert_eq!(exporter.ended().0.code(), Some(0));
    assert!(socket.exists(), "systemd's socket is kept");
}

#[test]
fn without_sockets_from_systemd_it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command(&["serve", "--web.systemd-socket", "--target.user=user-001"]);
    serve
        .env("CXONE_BASE_URL", "http://127.0.0.1:1")
        .env("CXONE_CLIENT_ID", "x")
        .env("CXONE_CLIENT_SECRET", "x");
    let said = run(serve.current_dir(folder.path()));
    assert!(said.code == Some(1) && said.stderr.contains("socket unit"), "{}", said.stderr);
}
