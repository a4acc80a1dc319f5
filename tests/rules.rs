//! The alerts load, do what they promise, and the part for Alertmanager is well-formed: said by Prometheus's and Alertmanager's own tools.

// `tests/real_prometheus.rs` uses the rest of it.
#[allow(dead_code, reason = "shared with another test")]
#[path = "support/tools.rs"]
mod tools;

use std::path::PathBuf;
use std::process::Command;

use tools::{are_here, repository, run};

fn succeeds(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let (good, said) = run(Command::new(program).args(arguments).args(files), "");
    assert!(good, "{program} {}:\n{said}", arguments.join(" "));
}

#[test]
fn promtool_accepts_the_rules() {
    if are_here(&["promtool"]) {
        succeeds("promtool", &["check", "rules", "--lint-fatal"], &[repository().join("alerts/cxone-exporter.rules.yml")]);
    }
}

#[test]
fn the_alerts_fire_and_keep_silent_as_their_tests_say() {
    if are_here(&["promtool"]) {
        let folder = std::fs::read_dir(repository().join("alerts/tests")).expect("there are tests of the rules");
        let files: Vec<PathBuf> = folder.map(|file| file.expect("the folder can be read").path()).collect();
        assert!(!files.is_empty(), "there are tests of the rules");
        succeeds("promtool", &["test", "rules"], &files);
    }
}

#[test]
fn alertmanager_accepts_routes_and_inhibitions() {
    if are_here(&["amtool"]) {
        succeeds("amtool", &["check-config"], &[repository().join("alerts/alertmanager-inhibit.yml")]);
    }
}
