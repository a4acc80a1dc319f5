//! A store belongs to one client of one tenant.

use std::fs;
use std::path::Path;

use super::process::{Running, command, get, run, wait_for};
use super::{shows, simulated};

fn write_config(folder: &Path, api: &str, client: &str) -> String {
    let path = folder.join("c.yml");
    let secret = folder.join("secret");
    fs::write(&secret, "simulated-secret").unwrap();
    let text = format!(
        "api: {{base_url: \"http://{api}\", client_id: {client}, client_secret_file: secret}}\n\
         poll: {{interval: 1s, overlap: 1m}}\n\
         quota: {{report_jobs_per_minute: 600}}\n\
         targets: [{{user: user-001}}]\n"
    );
    fs::write(&path, text).unwrap();
    format!("--config.file={}", path.display())
}

#[test]
fn a_store_of_another_tenant_or_client_is_refused_by_start_reload_and_erase_until_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    let (simulator, mut exporter, address) = simulated(folder.path(), &[]);
    shows(&address, "cxone_up 1");
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());
    let api = simulator.output_after("address:       ");
    let api = api.strip_prefix("http://").unwrap();
    let serve = |config: &str, more: &[&str]| {
        command(&[&["serve", "--web.listen-address=127.0.0.1:0", config, &storage], more].concat())
    };

    let (port, both) = (api.rsplit_once(':').unwrap().1, "127.0.0.1, client simulated-client");
    for (host, client) in
        [(api.to_owned(), "another-client"), (format!("localhost:{port}"), "simulated-client")]
    {
        let config = write_config(folder.path(), &host, client);
        let wanted = format!("{}, client {client}", host.rsplit_once(':').unwrap().0);
        let erase = ["erase", "--agent=user-001", &storage, &config];
        for refused in [run(&mut serve(&config, &[])), run(&mut command(&erase))] {
            let is_reported = refused.stderr.contains(both) && refused.stderr.contains(&wanted);
            assert!(refused.code == Some(1) && is_reported, "{}", refused.stderr);
        }
    }

    let config = write_config(folder.path(), api, "simulated-client");
    let mut exporter = Running::start(&mut serve(&config, &[]));
    let address = exporter.output_after(" address=");
    write_config(folder.path(), api, "another-client");
    exporter.signal("HUP");
    shows(&address, "cxone_exporter_config_last_reload_successful 0");
    wait_for("why", || exporter.stderr().contains("client another-client").then_some(()));
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());

    let mut exporter = Running::start(&mut serve(&config, &["--storage.adopt"]));
    let address = exporter.output_after(" address=");
    // The counts are there immediately.
    assert!(get(&address, "/metrics", "").text().contains("\ncxone_state_entries_total{"));
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());
    write_config(folder.path(), api, "simulated-client");
    assert_eq!(run(&mut serve(&config, &[])).code, Some(1));
}

#[test]
fn an_empty_store_belongs_to_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    for client in ["a-typing-error", "the-right-one"] {
        let config = write_config(folder.path(), "127.0.0.1:1", client);
        let flags = ["serve", "--web.listen-address=127.0.0.1:0", &config, &storage];
        let mut exporter = Running::start(&mut command(&flags));
        exporter.output_after(" address=");
        exporter.signal("TERM");
        assert!(exporter.ended().0.success());
    }
}
