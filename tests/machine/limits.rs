//! Limits of the process.

use std::path::Path;
use std::process::Command;

use super::process::{Running, command, run};
use super::{serve, shows, simulated, wrapped};

#[test]
fn a_file_size_limit_too_small_for_the_store_is_refused_at_startup() {
    let folder = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes: even an empty store is larger.
    let limited = ["sh", "-c", "ulimit -f 100; exec \"$@\"", "sh"];
    let said = run(&mut wrapped(&limited, &serve(folder.path(), &[])));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let is_reported =
        said.stderr.contains("cannot be used") && said.stderr.contains("File too large");
    assert!(is_reported, "{}", said.stderr);
}

#[test]
fn too_low_a_limit_of_open_files_is_refused_at_startup_and_a_low_soft_limit_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    for most in [4, 6, 8, 9, 12, 40] {
        let limited = ["prlimit", &format!("--nofile={most}:{most}")];
        let said = run(&mut wrapped(&limited, &serve(folder.path(), &[])));
        assert_eq!(said.code, Some(1), "{most}: {}", said.stderr);
        assert!(said.stderr.contains("`ulimit -n`"), "{most}: {}", said.stderr);
    }
    let mut exporter =
        Running::start(&mut wrapped(&["prlimit", "--nofile=8:1024"], &serve(folder.path(), &[])));
    exporter.output_after(" address=");
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());
}

#[test]
fn an_unusable_storage_path_is_reported_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, what) in [
        (file.clone(), "give another folder as --storage.path"),
        (file.join("data"), "give another folder as --storage.path"),
        (Path::new("/proc/data").to_owned(), "rights of the folder"),
    ] {
        let path = format!("--storage.path={}", path.display());
        let mut serve = command(&["serve", "--target.user=user-001", &path]);
        serve.arg("--web.listen-address=127.0.0.1:0").env("CXONE_BASE_URL", "http://127.0.0.1:1");
        serve.env("CXONE_CLIENT_ID", "client").env("CXONE_CLIENT_SECRET", "secret");
        let said = run(&mut serve);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(said.stderr.contains(what), "{}", said.stderr);
    }
}

#[test]
fn a_file_size_limit_stops_counting_until_it_is_raised() {
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
