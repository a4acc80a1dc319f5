//! Two exporters of one simulated contact centre, one with each of CXone's APIs, and one
//! Prometheus: dashboards show the same for both.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::prometheus::Prometheus;
use crate::tools::{Running, are_here, get, repository, run, within};
use crate::{EXPORTER, TEXT, floor_with_a_stuck_agent, start_simulator};

/// How long until every query has the same result for both: some are about recent changes. Usually
/// it takes a quarter of it.
const PATIENCE: Duration = Duration::from_secs(50);

/// The limits are those of the tenant's unavailable codes, which are states of their own here.
const REPORTS: &str = "api: {base_url: 'http://API', client_id: simulated-client, client_secret_file: secret}\n\
     poll: {interval: 1s, lookback: 600s, overlap: 30s}\n\
     jobs: {poll_every: 200ms, timeout: 10s}\n\
     quota: {report_jobs_per_minute: 600, reserve: 0}\n\
     metrics: {agent_info: true}\n\
     states: {limits: {Wrap-up: 20s, Break: 30m, Lunch: 30m, Training: 30m}}\n\
     targets: [{filter: {type: team, id: team-1}}, {filter: {type: team, id: team-2}}, {filter: {type: team, id: team-3}}, \
               {filter: {type: team, id: team-4}}]\n";

const PLATFORM: &str = "api: {dialect: platform, issuer: 'http://API', access_key_id: simulated-key, access_key_secret_file: secret}\n\
     poll: {interval: 1s, lookback: 600s, overlap: 30s, live_interval: 1s}\n\
     quota: {requests_per_minute: 600}\n\
     metrics: {agent_info: true}\n\
     states: {limits: {Wrap-up: 20s}}\n";

#[test]
fn dashboards_show_the_same_with_either_api() {
    if !are_here(&["prometheus", "python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut simulator = start_simulator(&floor_with_a_stuck_agent(), folder.path());
    let api = simulator.word_after("address:       http://");
    let mut exporters = [
        ("reports", REPORTS, "simulated-secret"),
        ("platform", PLATFORM, "simulated-key-secret=="),
    ]
    .map(|(dialect, config, secret)| {
        start_exporter(&folder.path().join(dialect), &config.replace("API", &api), secret)
    });
    let [reports, platform] = exporters.each_mut().map(|exporter| exporter.word_after("address="));
    for address in [&reports, &platform] {
        within(Duration::from_secs(10), || has_agents(address))
            .expect("the exporter has read something");
    }
    let prometheus = Prometheus::of_each_dialect(folder.path(), &reports, &platform);
    let mut command = Command::new("python3");
    command.arg("-B").arg(repository().join("tests/peers/dashboard_dialects.py"));
    command.args([
        "--prometheus",
        &format!("http://{}", prometheus.address),
        "--patience",
        &PATIENCE.as_secs().to_string(),
    ]);
    let (good, said) = run(&mut command, "");
    assert!(good, "{said}");
    let [of_reports, of_platform] = exporters.each_ref().map(Running::said);
    assert!(
        of_reports.contains("dialect=reports ") && of_reports.contains(" jobs_per_minute=600"),
        "{of_reports}"
    );
    assert!(
        of_platform.contains("dialect=platform ")
            && of_platform.contains(" requests_per_minute=600"),
        "{of_platform}"
    );
    assert_eq!(of_platform.matches("first live list read").count(), 2, "{of_platform}");
}

fn start_exporter(folder: &Path, config: &str, secret: &str) -> Running {
    fs::create_dir(folder).expect("the folder is ours");
    fs::write(folder.join("exporter.yml"), config).expect("the folder is ours");
    fs::write(folder.join("secret"), secret).expect("the folder is ours");
    let mut command = Command::new(EXPORTER);
    command
        .args(["serve", "--config.file=exporter.yml", "--web.listen-address=127.0.0.1:0"])
        .current_dir(folder);
    Running::start(&mut command, folder.join("exporter.log"))
}

fn has_agents(address: &str) -> Result<(), String> {
    let (_, page) = get(address, "/metrics", TEXT).map_err(|error| error.to_string())?;
    if page.contains("\ncxone_agent_observed_timestamp_seconds{") { Ok(()) } else { Err(page) }
}
