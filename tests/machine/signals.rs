//! Signals during startup.

use std::os::unix::process::ExitStatusExt as _;

use super::process::{Running, command, get, wait_for};
use super::serve;

const SIGHUP: i32 = 1;

#[test]
fn a_hangup_during_startup_reloads_the_configuration_once_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut exporter = Running::start(&mut serve(folder.path(), &[]));
    exporter.at_its_first_line();
    exporter.signal("HUP");
    exporter.output_after("configuration reloaded");
    exporter.signal("TERM");
    assert_eq!(exporter.ended().0.code(), Some(0));
}

#[test]
fn a_termination_signal_during_startup_ends_every_long_running_command_cleanly() {
    for name in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let commands = [
            serve(folder.path(), &[]),
            command(&["simulate", "--web.listen-address=127.0.0.1:0"]),
            command(&[
                "demo",
                "--web.listen-address=127.0.0.1:0",
                "--simulate.listen-address=127.0.0.1:0",
            ]),
        ];
        for mut long in commands {
            let mut process = Running::start(&mut long);
            process.at_its_first_line();
            process.signal(name);
            assert_eq!(process.ended().0.code(), Some(0), "{name}: {long:?}");
        }
    }
}

#[test]
fn unhandled_signals_do_not_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Running::start(&mut serve(folder.path(), &[]));
    exporter.at_its_first_line();
    exporter.signal("USR1");
    let address = exporter.output_after(" address=");
    exporter.signal("USR2");
    exporter.signal("USR1");
    exporter.signal("HUP");
    exporter.output_after("configuration reloaded");
    assert_eq!(get(&address, "/-/healthy", "").status, 200);
}

#[test]
fn a_hangup_ends_a_short_running_command() {
    // It waits for CXone, which never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut history = command(&["history", "--user=user-001"]);
    history
        .env("CXONE_BASE_URL", format!("http://{}", silent.local_addr().unwrap()))
        .env("CXONE_CLIENT_ID", "client")
        .env("CXONE_CLIENT_SECRET", "secret");
    let mut history = Running::start(&mut history);
    let (_client, _) = silent.accept().unwrap();
    history.signal("HUP");
    assert_eq!(wait_for("its end", || Some(history.ended().0)).signal(), Some(SIGHUP));
}
