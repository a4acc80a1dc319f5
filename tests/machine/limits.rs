//! Limits of the process.

use std::process::Command;

use super::process::run;
use super::{serve, shows, simulated, wrapped};

#[test]
fn a_store_for_which_files_may_not_be_large_enough_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes: even an empty store is larger.
    let limited = ["sh", "-c", "ulimit -f 100; exec \"$@\"", "sh"];
    let said = run(&mut wrapped(&limited, &serve(folder.path(), &[])));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let told = said.stderr.contains("cannot be used") && said.stderr.contains("File too large");
    assert!(told, "{}", said.stderr);
}

#[test]
fn files_that_may_not_grow_any_more_stop_the_counting_until_they_may() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.yml");
    std::fs::write(
        &config,
        "poll: {interval: 1s, overlap: 1m}\nquota: {report_jobs_per_minute: 600}\n",
    )
    .unwrap();
    let (_simulator, mut exporter, address) =
        simulated(folder.path(), &[&format!("--config.file={}", config.display())]);
    let limit = |bytes: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args([&format!("--pid={}", exporter.id()), &format!("--fsize={bytes}:unlimited")]);
        assert!(prlimit.status().unwrap().success());
    };
    shows(&address, "cxone_up 1");
    limit("4096");
    shows(&address, "cxone_store_up 0");
    limit("unlimited");
    shows(&address, "cxone_store_up 1");
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());
    assert!(exporter.stderr().contains("File too large"));
}
