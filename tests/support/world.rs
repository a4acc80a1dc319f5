//! The exporter that ships and a simulated contact centre, in virtual time and without sockets.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cxone_exporter::app::{self, Web};
use cxone_exporter::clock::Clock;
use cxone_exporter::config::{Config, ConfigText, Overrides, TargetsNeeded};
use cxone_exporter::domain::backoff::Random;
use cxone_exporter::domain::time::{Timestamp, Window};
use cxone_exporter::server::Site;
use cxone_exporter::simulator::{AgentProfile, Rows, Simulator, SimulatorOptions};
use cxone_exporter::store::MemoryStore;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::direct::Direct;
use crate::strict::{self, Dialect, Page};

/// 2026-06-10 07:30: soon the first agent's shift ends and the second's begins.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_781_076_600_000);

/// How often `/metrics` is read while time passes.
const SCRAPE_EVERY: Duration = Duration::from_secs(45);

/// The label `state` and the label `skill`.
type Label = (String, String);

/// What one test needs of a contact centre and of an exporter.
pub(crate) struct Plan<'a> {
    pub(crate) simulator: SimulatorOptions,
    /// What the configuration says beside the credentials.
    pub(crate) config: &'a str,
    pub(crate) rows: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) skew_millis: i64,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self { simulator: SimulatorOptions::default(), config: "", rows: "intervals", secret: "simulated-secret", skew_millis: 0 }
    }
}

/// An exporter that runs against a simulator.
pub(crate) struct World {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) direct: Arc<Direct>,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    site: Arc<Site>,
    polling: Pin<Box<dyn Future<Output = ()>>>,
    last: Page,
}

impl World {
    pub(crate) fn new(plan: Plan<'_>) -> Self {
        let clock = Clock::starting_at(START);
        let simulator = Arc::new(Simulator::new(plan.simulator));
        let direct = Arc::new(Direct::new(Arc::clone(&simulator), clock.clone(), plan.skew_millis));
        let api = format!(
            "api: {{base_url: 'https://cxone.test', client_id: simulated-client, client_secret_file: s, rows: {}}}\n{}",
            plan.rows, plan.config
        );
        let text = ConfigText { name: "test", text: &api };
        let read = |_: &std::path::Path| Ok(plan.secret.to_owned());
        let (config, warnings) = Config::parse(Some(text), &Overrides::default(), TargetsNeeded::Yes, read).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let web = Web { telemetry_path: "/metrics".to_owned(), max_requests: 1 };
        let exporter = app::exporter(&config, web, &clock, direct.clone(), Box::new(MemoryStore::default()), Random::from_seed(7)).unwrap();
        let (polling, site) = exporter.into_parts(CancellationToken::new());
        Self { simulator, direct, clock, config, site, polling: Box::pin(polling), last: Page::default() }
    }

    /// Lets time pass, reads `/metrics` now and then, and checks that no counter falls or goes.
    pub(crate) async fn run_for(&mut self, span: Duration) {
        let end = self.clock.now().instant.plus(span);
        while self.clock.now().instant < end {
            let next = end.min(self.clock.now().instant.plus(SCRAPE_EVERY));
            tokio::select! {
                biased;
                () = &mut self.polling => panic!("the loop ended"),
                () = self.clock.sleep_until(next) => {}
            }
            self.scrape().await;
        }
    }

    /// Lets time pass until the page is as wanted, at most `limit`.
    pub(crate) async fn run_until(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Self) -> bool) {
        let end = self.clock.now().instant.plus(limit);
        while !wanted(self) {
            assert!(self.clock.now().instant < end, "not within {limit:?}: {what}");
            self.run_for(Duration::from_secs(1)).await;
        }
    }

    async fn scrape(&mut self) {
        let (status, text) = self.ask("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let page = strict::parse(&text, Dialect::OpenMetrics).unwrap();
        let dropped = number(&page.samples[&("cxone_exporter_series_dropped".to_owned(), BTreeMap::new())]);
        for (series, before) in &self.last.samples {
            let name = &series.0;
            if ["_total", "_bucket", "_count"].iter().any(|suffix| name.ends_with(suffix)) {
                let Some(now) = page.samples.get(series) else {
                    let over_the_limit = series.1.contains_key("agent") && dropped > 0.0;
                    assert!(over_the_limit, "{series:?} is gone");
                    continue;
                };
                assert!(number(now) >= number(before), "{series:?} fell from {before} to {now}");
            }
        }
        self.last = page;
    }

    /// Status and text of one of the exporter's pages.
    pub(crate) async fn ask(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).header("accept", "application/openmetrics-text;version=1.0.0").body(()).unwrap();
        let (head, body) = self.site.answer(&request).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The value of one series of the page that was read last; `labels` such as `target="team:team-1"`.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.last.samples.get(&(name.to_owned(), labels)).map(|value| number(value))
    }

    /// The values of all series with this name, by their labels.
    pub(crate) fn all(&self, name: &str) -> BTreeMap<&BTreeMap<String, String>, &str> {
        self.last.samples.iter().filter(|(series, _)| series.0 == name).map(|(series, value)| (&series.1, value.as_str())).collect()
    }

    /// The sum over all series with this name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.all(name).values().map(|value| number(value)).sum()
    }

    /// How many jobs failed for `reason`.
    pub(crate) fn failures(&self, reason: &str) -> f64 {
        self.value("cxone_report_job_failures_total", &[("reason", reason)]).unwrap()
    }

    /// Up to when each agent that is shown is known.
    pub(crate) fn observed(&self) -> BTreeMap<String, Timestamp> {
        self.all("cxone_agent_observed_timestamp_seconds")
            .into_iter()
            .map(|(labels, value)| (labels["agent"].clone(), time(value)))
            .collect()
    }

    /// The time gauge of a target.
    pub(crate) fn target_time(&self, name: &str, target: &str) -> Option<Timestamp> {
        let labels = BTreeMap::from([("target".to_owned(), target.to_owned())]);
        self.last.samples.get(&(name.to_owned(), labels)).map(|value| time(value))
    }

    /// The earliest epoch of the targets that cover the agent.
    fn epoch(&self, agent: &AgentProfile) -> Timestamp {
        let covers = |filter: &cxone_exporter::config::Filter| {
            matches!((filter.kind.as_str(), &filter.id), ("user", id) if *id == agent.id)
                || matches!((filter.kind.as_str(), &filter.id), ("team", id) if *id == agent.team)
                || filter.kind == "all"
        };
        let targets = self.config.targets.iter().filter(|target| covers(&target.filter));
        targets.filter_map(|target| self.target_time("cxone_target_epoch_timestamp_seconds", &target.name)).min().unwrap()
    }

    /// Compares the counters of every agent, and those over all agents, with what really happened in [epoch, observed).
    /// `millis_too` is false for rows that tell no time. Returns how many entries there were.
    pub(crate) fn assert_exact(&self, millis_too: bool) -> u64 {
        let observed = self.observed();
        assert!(!observed.is_empty(), "no agents are shown");
        let mut over_all: BTreeMap<Label, (u64, u64)> = BTreeMap::new();
        for agent in self.simulator.floor().agents().filter(|agent| observed.contains_key(&agent.id)) {
            for (label, sums) in self.assert_exact_for(agent, millis_too) {
                let sum = over_all.entry(label).or_default();
                *sum = (sum.0 + sums.0, sum.1 + sums.1);
            }
        }
        let mut told = self.counts(None);
        told.retain(|_, sums| *sums != (0, 0));
        assert_eq!(told, over_all, "over all agents");
        over_all.values().map(|sums| sums.0).sum()
    }

    /// Compares the counters of one agent with what really happened, and returns that.
    pub(crate) fn assert_exact_for(&self, agent: &AgentProfile, millis_too: bool) -> BTreeMap<Label, (u64, u64)> {
        let window = Window { from: self.epoch(agent), to: self.observed()[&agent.id] };
        let mut truth: BTreeMap<Label, (u64, u64)> = BTreeMap::new();
        for truth_of in self.simulator.truth(window).into_iter().filter(|truth| truth.agent == agent.id) {
            let label = (truth_of.state.name().to_owned(), truth_of.skill.unwrap_or("").to_owned());
            truth.insert(label, (truth_of.entries, if millis_too { truth_of.millis } else { 0 }));
        }
        let mut told = self.counts(Some(&agent.id));
        told.retain(|_, sums| *sums != (0, 0));
        truth.retain(|_, sums| *sums != (0, 0));
        assert_eq!(told, truth, "{} in {window}", agent.id);
        truth
    }

    /// No agent's counter is above what really happened up to now: late rows may be missing, nothing may be too much.
    pub(crate) fn assert_not_too_high(&self, millis_too: bool) {
        for (agent, observed) in self.observed() {
            let profile = self.simulator.floor().agents().find(|profile| profile.id == agent).unwrap();
            let truth = self.simulator.truth(Window { from: self.epoch(profile), to: observed });
            for ((state, skill), told) in self.counts(Some(&agent)) {
                let truth = truth.iter().find(|t| t.agent == agent && t.state.name() == state && t.skill.unwrap_or("") == skill);
                let most = truth.map_or((0, 0), |truth| (truth.entries, truth.millis));
                assert!(told.0 <= most.0 && (told.1 <= most.1 || !millis_too), "{agent} {state} {skill}: {told:?} but at most {most:?}");
            }
        }
    }

    /// Entries and milliseconds of one agent, or over all.
    fn counts(&self, agent: Option<&str>) -> BTreeMap<Label, (u64, u64)> {
        let prefix = if agent.is_some() { "cxone_agent_state" } else { "cxone_state" };
        let mine = |labels: &&BTreeMap<String, String>| labels.get("agent").map(String::as_str) == agent;
        let seconds = self.all(&format!("{prefix}_seconds_total"));
        let entries = self.all(&format!("{prefix}_entries_total"));
        let sums = entries.into_iter().filter(|(labels, _)| mine(labels)).map(|(labels, entries)| {
            let label = (labels["state"].clone(), labels["skill"].clone());
            let millis = u64::try_from(time(seconds[labels]).millis()).unwrap();
            (label, (entries.parse().unwrap(), millis))
        });
        sums.collect()
    }

    /// Compares the gauges of the floor now with where each agent really was at its observed time.
    pub(crate) fn assert_floor(&self) {
        let mut by_state: BTreeMap<String, u64> = BTreeMap::new();
        let mut starts: BTreeMap<(String, String, String), Timestamp> = BTreeMap::new();
        for (agent, observed) in self.observed() {
            // A visit that ends at the observed time has not ended in what was told.
            let moment = Timestamp::from_millis(observed.millis() - 1);
            let visits: Vec<_> = self.simulator.floor().at(moment).into_iter().filter(|visit| visit.agent.id == agent).collect();
            let Some(first) = visits.first() else { continue };
            let cut = self.simulator.options().rows == Rows::CutIntervals;
            let first_told = if cut { self.epoch(&first.agent).minus(self.config.poll.lookback) } else { Timestamp::MIN };
            *by_state.entry(first.state.name().to_owned()).or_default() += 1;
            for visit in &visits {
                let label = (agent.clone(), visit.state.name().to_owned(), visit.skill.unwrap_or("").to_owned());
                starts.insert(label, visit.start.max(first_told));
            }
        }
        let mut told: BTreeMap<String, u64> =
            self.all("cxone_agents").into_iter().map(|(labels, value)| (labels["state"].clone(), value.parse().unwrap())).collect();
        told.retain(|_, agents| *agents > 0);
        assert_eq!(told, by_state, "cxone_agents");
        let told_starts = self.all("cxone_agent_state_start_timestamp_seconds");
        let told_starts: BTreeMap<_, _> = told_starts
            .into_iter()
            .map(|(labels, value)| ((labels["agent"].clone(), labels["state"].clone(), labels["skill"].clone()), time(value)))
            .collect();
        assert_eq!(told_starts, starts, "cxone_agent_state_start_timestamp_seconds");
    }

    /// No rolling minute held more submits than the quota leaves to `serve`, refused ones included.
    pub(crate) fn assert_quota(&self) {
        let counters = self.simulator.counters();
        let ours = usize::try_from(self.config.quota.report_jobs_per_minute - self.config.quota.reserve).unwrap();
        assert!(counters.most_submits_in_a_minute <= ours, "{} submits in a minute", counters.most_submits_in_a_minute);
        assert_eq!(counters.over_quota, 0);
        assert!(counters.accepted > 0);
    }
}

/// The value of a sample.
fn number(value: &str) -> f64 {
    value.parse().unwrap()
}

/// Seconds with up to three decimals, exactly.
fn time(seconds: &str) -> Timestamp {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    assert!(part.len() <= 3, "{seconds} is finer than a millisecond");
    Timestamp::from_millis(whole.parse::<i64>().unwrap() * 1000 + format!("{part:0<3}").parse::<i64>().unwrap())
}
