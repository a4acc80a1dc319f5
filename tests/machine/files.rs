//! A store whose file or folder is removed or replaced while it is in use.

use std::fs;
use std::path::Path;

use super::process::{Running, run, wait_for};
use super::{serve, shows, simulated};

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("data/cxone-exporter.redb")
}

/// The counted entries, by label.
fn counted(address: &str) -> Vec<String> {
    let page = super::get(address, "/metrics", "").text();
    let counted = page.lines().filter(|line| line.starts_with("cxone_agent_state_entries_total{"));
    counted.map(str::to_owned).collect()
}

fn fast(folder: &Path) -> String {
    let config = folder.join("c.yml");
    let text = "poll: {interval: 1s, overlap: 1m}\nquota: {report_jobs_per_minute: 600}\n";
    fs::write(&config, text).unwrap();
    format!("--config.file={}", config.display())
}

#[test]
fn a_store_removed_while_in_use_is_rewritten_in_full() {
    for whole_folder in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (_simulator, mut exporter, address) = simulated(folder.path(), &[&fast(folder.path())]);
        shows(&address, "cxone_up 1");
        if whole_folder {
            fs::remove_dir_all(folder.path().join("data")).unwrap();
        } else {
            fs::remove_file(file(folder.path())).unwrap();
            let second = run(&mut serve(folder.path(), &[]));
            assert!(second.code == Some(1) && second.stderr.contains("used by another process"));
        }
        exporter.output_after("store removed while in use");
        wait_for("the file", || file(folder.path()).exists().then_some(()));
        shows(&address, "cxone_store_up 1");
        let second = run(&mut serve(folder.path(), &[]));
        assert!(second.code == Some(1) && second.stderr.contains("used by another process"));
        exporter.signal("TERM");
        assert!(exporter.ended().0.success());
        let again = Running::start(&mut serve(folder.path(), &[]));
        let address = again.output_after(" address=");
        assert!(!counted(&address).is_empty(), "what was counted is there before any report");
    }
}

#[test]
fn a_store_replaced_while_in_use_stops_counting_until_the_other_one_is_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let (_simulator, mut exporter, address) = simulated(folder.path(), &[&fast(folder.path())]);
    shows(&address, "cxone_up 1");
    fs::write(folder.path().join("other"), "another file").unwrap();
    fs::rename(folder.path().join("other"), file(folder.path())).unwrap();
    shows(&address, "cxone_store_up 0");
    exporter.output_after("was replaced while in use");
    assert_eq!(fs::read_to_string(file(folder.path())).unwrap(), "another file");
    fs::remove_file(file(folder.path())).unwrap();
    shows(&address, "cxone_store_up 1");
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());
    let again = Running::start(&mut serve(folder.path(), &[]));
    assert!(!counted(&again.output_after(" address=")).is_empty());
}
