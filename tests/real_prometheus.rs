//! A real Prometheus scrapes the exporter, which polls the simulator: three processes on loopback.
//! Prometheus must store exactly what the page says, the page must say exactly what the simulated
//! agents did, and the alert must name exactly the stuck agents. With a real Alertmanager, the
//! right people must be notified, and not be disturbed when the data are stale.

#[path = "support/alertmanager.rs"]
mod alertmanager;
#[path = "real_prometheus/dialects.rs"]
mod dialects;
#[path = "real_prometheus/notifications.rs"]
mod notifications;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/queries.rs"]
mod queries;
#[path = "support/strict.rs"]
mod strict;
#[path = "support/tools.rs"]
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_simulator::{AgentState, Floor, FloorOptions, Visit};
use prometheus::{Prometheus, Scrape};
use strict::{Dialect, Page};
use tools::{Running, are_here, get, repository, run, within};

const EXPORTER: &str = env!("CARGO_BIN_EXE_cxone-exporter");
const AGENTS: u32 = 40;
const PACE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const LIMIT: Duration = Duration::from_secs(20);
const LOOKBACK: Duration = Duration::from_secs(600);

/// How long until every query has a result: some are about changes of the last seconds.
const PATIENCE: Duration = Duration::from_secs(60);

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const TEXT: &str = "text/plain;version=0.0.4";

#[test]
fn prometheus_stores_exact_counts_and_alerts_on_stuck_agents() {
    if !are_here(&["prometheus", "promtool", "python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let floor = floor_with_a_stuck_agent();
    let mut simulator = start_simulator(&floor, folder.path());
    let api = simulator.word_after("address:       http://");
    let mut exporter = start_exporter(&api, folder.path());
    let address = exporter.word_after("address=");
    within(Duration::from_secs(10), || ready(&address)).expect("the exporter is ready");
    let prometheus = Prometheus::with_two_jobs(folder.path(), &address);

    let compared = within(Duration::from_secs(10), || {
        compare_with_the_floor(&prometheus.newest_scrape("cxone")?, &floor)
    });
    compared.unwrap_or_else(|difference| panic!("{difference}"));
    let alerts = within(Duration::from_secs(20), || compare_alerts(&prometheus, &floor));
    alerts.unwrap_or_else(|difference| panic!("{difference}"));
    let dashboards = within(PATIENCE, || run_dashboards(&prometheus));
    dashboards.unwrap_or_else(|said| panic!("{said}"));
    let documented = within(PATIENCE, || run_documented_queries(&prometheus));
    documented.unwrap_or_else(|said| panic!("{said}"));

    // From now on the page does not change, except the exporter's own metrics, so it can be
    // compared with the last scrape.
    simulator.kill();
    for (job, accept, dialect) in
        [("cxone", OPENMETRICS, Dialect::OpenMetrics), ("cxone-text", TEXT, Dialect::Text)]
    {
        let same = within(Duration::from_secs(10), || {
            compare_with_the_page(&prometheus, job, &address, accept, dialect)
        });
        same.unwrap_or_else(|difference| panic!("{job}: {difference}"));
    }
    let (_, page) = get(&address, "/metrics", TEXT).expect("the exporter answers");
    let (accepted, said) = run(Command::new("promtool").args(["check", "metrics"]), &page);
    assert!(accepted && said.is_empty(), "promtool check metrics: {said}");
    assert_eq!(prometheus.complaints(), Vec::<String>::new());
}

/// A floor whose seed has an agent in Wrap-up from before the start of the test until its end.
fn floor_with_a_stuck_agent() -> Floor {
    let now = Clock::system().now().utc;
    let stuck = |visit: &Visit| {
        visit.state == AgentState::WrapUp
            && visit.start < now
            && visit.end > now.plus(Duration::from_secs(90))
    };
    let floors = (1..).map(|seed| Floor::new(FloorOptions { seed, agents: AGENTS, pace: PACE }));
    floors.into_iter().find(|floor| floor.at(now).iter().any(stuck)).expect("there are many seeds")
}

fn start_simulator(floor: &Floor, folder: &Path) -> Running {
    let FloorOptions { seed, agents, pace } = floor.options();
    let mut command = Command::new(EXPORTER);
    command.args([
        "simulate",
        "--web.listen-address=127.0.0.1:0",
        "--quota=600",
        "--job-time=300ms",
    ]);
    command.args([
        format!("--seed={seed}"),
        format!("--agents={agents}"),
        format!("--pace={pace}"),
    ]);
    Running::start(&mut command, folder.join("simulator.log"))
}

fn start_exporter(api: &str, folder: &Path) -> Running {
    let teams: String =
        (1..=4).map(|team| format!("  - filter: {{type: team, id: team-{team}}}\n")).collect();
    let (limit, lookback) = (LIMIT.as_secs(), LOOKBACK.as_secs());
    let config = format!(
        "api: {{base_url: 'http://{api}', client_id: simulated-client, client_secret_file: client-secret}}\n\
         poll: {{interval: 2s, lookback: {lookback}s, overlap: 30s}}\n\
         jobs: {{poll_every: 200ms, timeout: 10s}}\n\
         quota: {{report_jobs_per_minute: 600, reserve: 0}}\n\
         states: {{limits: {{Wrap-up: {limit}s}}}}\n\
         metrics: {{agent_info: true}}\n\
         targets:\n{teams}"
    );
    fs::write(folder.join("exporter.yml"), config).expect("the folder is ours");
    fs::write(folder.join("client-secret"), "simulated-secret\n").expect("the folder is ours");
    let mut command = Command::new(EXPORTER);
    command
        .args(["serve", "--config.file=exporter.yml", "--web.listen-address=127.0.0.1:0"])
        .current_dir(folder);
    Running::start(&mut command, folder.join("exporter.log"))
}

/// Whether every target has had its first report.
fn ready(address: &str) -> Result<(), String> {
    let (status, page) = get(address, "/metrics", TEXT).map_err(|error| error.to_string())?;
    let up = page
        .lines()
        .filter(|line| line.starts_with("cxone_target_up{") && line.ends_with(" 1"))
        .count();
    if status == 200 && up == 4 { Ok(()) } else { Err(page) }
}

/// The agents' counters and the counts of agents, against what the simulated agents really did.
fn compare_with_the_floor(scrape: &Scrape, floor: &Floor) -> Result<(), String> {
    same("up", scrape.only("up")?, 1.0)?;
    let mut seen = 0.0;
    let mut now: BTreeMap<String, f64> = BTreeMap::new();
    for (index, agent) in floor.agents().enumerate() {
        let epoch = millis(scrape.value(
            "cxone_target_epoch_timestamp_seconds",
            &[("target", &format!("team:{}", agent.team))],
        )?);
        let known_from = Timestamp::from_millis(epoch).minus(LOOKBACK);
        let Ok(observed) =
            scrape.value("cxone_agent_observed_timestamp_seconds", &[("agent", &agent.id)])
        else {
            let until = millis(scrape.only("cxone_data_watermark_timestamp_seconds")?);
            let visits =
                floor.visits(index, Window { from: known_from, to: Timestamp::from_millis(until) });
            same(&format!("visits of {}, who is not on the page", agent.id), visits.len(), 0)?;
            continue;
        };
        seen += 1.0;
        let observed = Timestamp::from_millis(millis(observed));
        compare_counters(
            scrape,
            floor,
            &agent.id,
            Window { from: Timestamp::from_millis(epoch), to: observed },
        )?;
        if let Some(visit) = current(floor, index, observed) {
            *now.entry(visit.state.name().to_owned()).or_default() += 1.0;
        }
    }
    same("cxone_agents_seen", scrape.only("cxone_agents_seen")?, seen)?;
    let reported: BTreeMap<String, f64> = scrape
        .family("cxone_agents")
        .filter(|(_, agents)| *agents != 0.0)
        .map(|(labels, agents)| (labels["state"].clone(), agents))
        .collect();
    same("cxone_agents", reported, now)
}

/// One agent's counters for [epoch, observed).
fn compare_counters(
    scrape: &Scrape,
    floor: &Floor,
    agent: &str,
    window: Window,
) -> Result<(), String> {
    let reported = |name: &str, scale: f64| -> BTreeMap<(String, String), i64> {
        let own =
            scrape.family(name).filter(|(labels, value)| labels["agent"] == agent && *value != 0.0);
        own.map(|(labels, value)| {
            ((labels["state"].clone(), skill(labels)), millis(value * scale / 1000.0))
        })
        .collect()
    };
    let (mut entries, mut spent) = (BTreeMap::new(), BTreeMap::new());
    for actual in floor.actual_totals(window).into_iter().filter(|actual| actual.agent == agent) {
        let label = (actual.state.to_owned(), actual.skill.unwrap_or_default().to_owned());
        entries.insert(label.clone(), i64::try_from(actual.entries).expect("few"));
        spent.insert(label, i64::try_from(actual.millis).expect("few"));
    }
    entries.retain(|_, entries| *entries != 0);
    spent.retain(|_, millis| *millis != 0);
    same(
        &format!("entries of {agent} in {window}"),
        reported("cxone_agent_state_entries_total", 1.0),
        entries,
    )?;
    same(
        &format!("milliseconds of {agent} in {window}"),
        reported("cxone_agent_state_seconds_total", 1000.0),
        spent,
    )
}

/// The visit that the agent is in, as it is known up to `observed`.
fn current(floor: &Floor, index: usize, observed: Timestamp) -> Option<Visit> {
    let before = Window { from: observed.minus(Duration::from_millis(1)), to: observed };
    floor
        .visits(index, before)
        .into_iter()
        .filter(|visit| visit.end >= observed)
        .max_by_key(|visit| visit.start)
}

/// The alert fires for exactly those that are longer than the limit in Wrap-up, and there are some.
fn compare_alerts(prometheus: &Prometheus, floor: &Floor) -> Result<(), String> {
    let alerts = "timestamp(ALERTS{alertname=\"CXoneAgentStuck\",alertstate=\"firing\",state=\"Wrap-up\",job=\"cxone\"})";
    let firing = prometheus.query(alerts, None)?;
    let Some(evaluated) = firing.first().map(|(_, at)| *at) else {
        return Err("nobody is called stuck".to_owned());
    };
    let alerted: BTreeSet<String> =
        firing.iter().map(|(labels, _)| labels["agent"].clone()).collect();
    let observed = prometheus
        .query("cxone_agent_observed_timestamp_seconds{job=\"cxone\"}", Some(evaluated))?;
    let observed: BTreeMap<String, i64> = observed
        .into_iter()
        .map(|(labels, value)| (labels["agent"].clone(), millis(value)))
        .collect();
    let mut stuck = BTreeSet::new();
    for (index, agent) in floor.agents().enumerate() {
        let Some(observed) = observed.get(&agent.id).copied().map(Timestamp::from_millis) else {
            continue;
        };
        let visit =
            current(floor, index, observed).filter(|visit| visit.state == AgentState::WrapUp);
        if visit.is_some_and(|visit| observed.since(visit.start) > LIMIT) {
            stuck.insert(agent.id.clone());
        }
    }
    same("who is called stuck", alerted, stuck)
}

/// Every query of every dashboard is valid and has a result.
fn run_dashboards(prometheus: &Prometheus) -> Result<(), String> {
    let mut command = Command::new("python3");
    command.arg("-B").arg(repository().join("tests/peers/dashboard_queries.py"));
    command.args([
        "--prometheus",
        &format!("http://{}", prometheus.address),
        "--job=cxone",
        "--seconds=10",
        "--rate-interval=10s",
    ]);
    let (good, said) = run(&mut command, "");
    if good { Ok(()) } else { Err(said) }
}

/// Families and endpoints that this exporter does not have: they need the dialect `platform` or a
/// web configuration.
const NOT_SHOWN_HERE: [&str; 9] = [
    "cxone_live_",
    "cxone_unavailable_agents",
    "cxone_team_agents",
    "cxone_skill_queue_",
    "cxone_skill_activity_agents",
    "cxone_skill_service_level_",
    "cxone_exporter_certificate_expiry",
    "cxone_exporter_web_config_",
    "endpoint=~\"states|activity\"",
];

/// Every example in the documentation is valid and has a result without the comparison at its end.
/// So do the queries of runbooks, unless they are about a week ago.
fn run_documented_queries(prometheus: &Prometheus) -> Result<(), String> {
    for query in queries::examples().into_iter().chain(queries::runbooks()) {
        let failed = |why: &str| format!("{}: {}: {why}", query.source, query.text);
        let found = prometheus.query(&query.text, None).map_err(|error| failed(&error))?;
        if !found.is_empty()
            || query.text.contains("offset 1w")
            || NOT_SHOWN_HERE.iter().any(|family| query.text.contains(family))
        {
            continue;
        }
        let comparison =
            [" > ", " == "].iter().find_map(|operator| query.text.rsplit_once(operator));
        let all = comparison
            .filter(|(_, bound)| bound.parse::<f64>().is_ok())
            .map_or(&*query.text, |(all, _)| all);
        if prometheus.query(all, None).map_err(|error| failed(&error))?.is_empty() {
            return Err(failed("finds nothing"));
        }
    }
    Ok(())
}

/// Whether a scrape and the page have the same series with the same values, types and help. Values
/// that move from page to page (the exporter's own) are left out; those of agents do not move any
/// more.
fn compare_with_the_page(
    prometheus: &Prometheus,
    job: &str,
    address: &str,
    accept: &str,
    dialect: Dialect,
) -> Result<(), String> {
    let before = page(address, accept, dialect)?;
    let old = prometheus.newest_scrape(job)?;
    let scrape = within(Duration::from_secs(3), || {
        prometheus
            .newest_scrape(job)
            .and_then(|new| (new.at > old.at).then_some(new).ok_or("no scrape".into()))
    })?;
    let after = page(address, accept, dialect)?;
    let mut differences = Vec::new();
    for (series, value) in &after.samples {
        let (name, labels) = series;
        let flickers = name.starts_with("process_") || name == "cxone_report_jobs_in_flight";
        let moves = flickers || before.samples.get(series) != Some(value);
        if moves && (name.starts_with("cxone_agent") || name.starts_with("cxone_state")) {
            return Err(format!("{name} still moves"));
        }
        let number: f64 = value.parse().map_err(|_| format!("{value} is not a number"))?;
        match scrape.samples.get(series) {
            Some(stored) if moves || same(name, *stored, number).is_ok() => {}
            stored => differences
                .push(format!("{name}{labels:?}: the page says {value}, Prometheus {stored:?}")),
        }
    }
    let own: Vec<_> = scrape
        .samples
        .keys()
        .filter(|(name, _)| name.starts_with("cxone_") || name.starts_with("process_"))
        .collect();
    differences.extend(
        own.iter()
            .filter(|series| !after.samples.contains_key(**series))
            .map(|series| format!("not on the page: {series:?}")),
    );
    differences.truncate(5);
    same("differences", differences, Vec::new())?;
    same(
        "how many samples were scraped",
        scrape.only("scrape_samples_scraped")?,
        count(own.len()),
    )?;
    same("types and help", prometheus.metadata(job)?, after.families)
}

fn page(address: &str, accept: &str, dialect: Dialect) -> Result<Page, String> {
    let (_, text) = get(address, "/metrics", accept).map_err(|error| error.to_string())?;
    let mut page = strict::parse(&text, dialect)?;
    // Prometheus treats an empty label as a missing one.
    let shown = std::mem::take(&mut page.samples).into_iter().map(|((name, mut labels), value)| {
        labels.retain(|_, value| !value.is_empty());
        ((name, labels), value)
    });
    page.samples = shown.collect();
    Ok(page)
}

fn skill(labels: &BTreeMap<String, String>) -> String {
    labels.get("skill").cloned().unwrap_or_default()
}

/// Seconds as whole milliseconds.
#[allow(clippy::cast_possible_truncation, reason = "times of this century")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("few"))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, reported: T, actual: T) -> Result<(), String> {
    if reported == actual {
        Ok(())
    } else {
        Err(format!("{what}: reported {reported:?}, actual {actual:?}"))
    }
}
