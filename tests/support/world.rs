//! The whole exporter and a simulated contact centre, in virtual time and without sockets.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cxone_core::plan::backoff::Random;
use cxone_core::store::{MemoryStore, SharedRecords, Store};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::app::reload::{self, ReloadHandle, ReloadScope, Reloader};
use cxone_exporter::app::{self, Exporter, Web};
use cxone_exporter::clock::Clock;
use cxone_exporter::config::{Config, ConfigText, Overrides, TargetsNeeded};
use cxone_exporter::cxone::Transport;
use cxone_exporter::engine::Heartbeat;
use cxone_exporter::server::Pages;
use cxone_simulator::{AgentProfile, ReportRows, Simulator, SimulatorOptions};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::counted::{self, Once, Sums, number, time};
use crate::direct::Direct;
use crate::strict::{self, Dialect, Page};

/// 2026-06-10 07:30: soon the first agent's shift ends and the second's begins.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_781_076_600_000);

/// Two teams, and one agent of each a second time.
pub(crate) const OVERLAPPING_TARGETS: &str = "
poll: {interval: 40s, lookback: 2h, overlap: 10m}
targets:
  - filter: {type: team, id: team-1}
  - user: user-001
  - filter: {type: team, id: team-2}
  - user: user-002
";

pub(crate) const BUCKET_TARGETS: &str = "
poll: {interval: 40s, lookback: 2h, settle_delay: 6m}
targets:
  - filter: {type: team, id: team-1}
  - filter: {type: team, id: team-2}
";

pub(crate) fn tenant() -> SimulatorOptions {
    SimulatorOptions { agents: 8, pace: NonZeroU32::new(6).unwrap(), ..SimulatorOptions::default() }
}

/// Events omit visits that began before the first window: a long one contains the beginning of
/// every Logout between shifts.
pub(crate) fn for_events() -> String {
    OVERLAPPING_TARGETS.replace("lookback: 2h", "lookback: 90h")
}

pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// How often `/metrics` is read while time passes.
const SCRAPE_EVERY: Duration = Duration::from_secs(45);

/// Opens the exporter's store, each time one is started.
type OpenStore = Box<dyn Fn() -> Box<dyn Store>>;

/// The contact centre and the exporter of one test.
pub(crate) struct Plan<'a> {
    pub(crate) simulator: SimulatorOptions,
    /// The section `api` of the configuration; by default that of the Reporting API.
    pub(crate) api: Option<&'a str>,
    /// The rest of the configuration.
    pub(crate) config: &'a str,
    pub(crate) rows: &'a str,
    pub(crate) secret: &'a str,
    /// CXone's clock less ours.
    pub(crate) skew_millis: i64,
    pub(crate) store: OpenStore,
    pub(crate) scrape_every: Duration,
}

/// Opens a store with these records.
pub(crate) fn on(shelf: &SharedRecords) -> OpenStore {
    let shelf = shelf.clone();
    Box::new(move || Box::new(MemoryStore::on(shelf.clone())))
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            simulator: SimulatorOptions::default(),
            api: None,
            config: "",
            rows: "intervals",
            secret: "simulated-secret",
            skew_millis: 0,
            store: on(&SharedRecords::default()),
            scrape_every: SCRAPE_EVERY,
        }
    }
}

/// An exporter that runs against a simulator.
pub(crate) struct World {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) direct: Arc<Direct>,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    api: String,
    secret: String,
    store: OpenStore,
    scrape_every: Duration,
    pages: Arc<Pages>,
    /// Requests reloads.
    reloads: ReloadHandle,
    /// The configuration of the next reload.
    next: Arc<Mutex<Result<Config, String>>>,
    pub(crate) polling: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) last: Page,
}

impl World {
    pub(crate) fn new(plan: Plan<'_>) -> Self {
        let clock = Clock::starting_at(START);
        let simulator = Arc::new(Simulator::new(plan.simulator));
        let direct = Arc::new(Direct::new(
            Arc::clone(&simulator),
            Clock::starting_at(START),
            plan.skew_millis,
        ));
        let api = plan.api.map_or_else(|| reports_api(plan.rows), str::to_owned);
        let config = configuration(&api, plan.secret, plan.config);
        let next = Arc::new(Mutex::new(Ok(config.clone())));
        let (polling, pages, reloads) = start(&config, &clock, &direct, (plan.store)(), &next);
        Self {
            simulator,
            direct,
            clock,
            config,
            api,
            secret: plan.secret.to_owned(),
            store: plan.store,
            scrape_every: plan.scrape_every,
            pages,
            reloads,
            next,
            polling,
            last: Page::default(),
        }
    }

    /// Starts an exporter with this configuration on the same store; the one before must have
    /// ended.
    pub(crate) fn start_again(&mut self, config: Option<&str>) {
        if let Some(config) = config {
            self.config = configuration(&self.api, &self.secret, config);
        }
        (self.polling, self.pages, self.reloads) =
            start(&self.config, &self.clock, &self.direct, (self.store)(), &self.next);
    }

    /// Reloads the configuration, which is `config` now, or an error.
    pub(crate) async fn reload(&mut self, config: Result<&str, &str>) -> Result<(), String> {
        let config = config
            .map(|config| configuration(&self.api, &self.secret, config))
            .map_err(str::to_owned);
        *self.next.lock().unwrap() = config.clone();
        let outcome = self.request_reload(ReloadScope::Everything).await;
        if let (Ok(()), Ok(config)) = (&outcome, config) {
            self.config = config;
        }
        outcome
    }

    /// Reloads the secrets, with the current configuration.
    pub(crate) async fn new_secrets(&mut self) -> Result<(), String> {
        *self.next.lock().unwrap() = Ok(self.config.clone());
        self.request_reload(ReloadScope::Secrets).await
    }

    async fn request_reload(&mut self, scope: ReloadScope) -> Result<(), String> {
        let reloads = self.reloads.clone();
        tokio::select! {
            biased;
            () = &mut self.polling => panic!("the loop ended"),
            outcome = reloads.reload(scope) => outcome,
        }
    }

    /// Lets time pass, scrapes `/metrics` periodically, and checks that no counter falls or
    /// disappears.
    pub(crate) async fn run_for(&mut self, span: Duration) {
        let end = self.clock.now().instant.plus(span);
        while self.clock.now().instant < end {
            let next = end.min(self.clock.now().instant.plus(self.scrape_every));
            tokio::select! {
                biased;
                () = &mut self.polling => panic!("the loop ended"),
                () = self.clock.sleep_until(next) => {}
            }
            self.scrape().await;
        }
    }

    /// Lets time pass while a thread of the exporter hangs: then tokio's time does not advance by
    /// itself.
    pub(crate) async fn run_for_by_hand(&mut self, span: Duration) {
        const STEP: Duration = Duration::from_millis(500);
        let end = self.clock.now().instant.plus(span);
        while self.clock.now().instant < end {
            tokio::time::advance(STEP).await;
            // Other threads take real time.
            for _ in 0..4 {
                tokio::select! {
                    biased;
                    () = &mut self.polling => panic!("the loop ended"),
                    () = tokio::task::yield_now() => {}
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        self.scrape().await;
    }

    /// Lets time pass until the page is as `wanted`, at most `limit`.
    pub(crate) async fn run_until(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Self) -> bool,
    ) {
        let end = self.clock.now().instant.plus(limit);
        while !wanted(self) {
            assert!(self.clock.now().instant < end, "not within {limit:?}: {what}");
            self.run_for(Duration::from_secs(1)).await;
        }
    }

    pub(crate) async fn scrape(&mut self) {
        let (status, text) = self.ask("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let page = strict::parse(&text, Dialect::OpenMetrics).unwrap();
        let dropped =
            number(&page.samples[&("cxone_exporter_series_dropped".to_owned(), BTreeMap::new())]);
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
        let request = Request::get(path)
            .header("accept", "application/openmetrics-text;version=1.0.0")
            .body(())
            .unwrap();
        let (head, body) = self.pages.answer(&request).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The value of one series of the page that was read last; `labels` such as
    /// `target="team:team-1"`.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.last.samples.get(&(name.to_owned(), labels)).map(|value| number(value))
    }

    /// The values of all series with this name, by their labels.
    pub(crate) fn all(&self, name: &str) -> BTreeMap<&BTreeMap<String, String>, &str> {
        counted::all(&self.last, name)
    }

    /// The sum over all series with this name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.all(name).values().map(|value| number(value)).sum()
    }

    /// The number of jobs that failed with `reason`.
    pub(crate) fn failures(&self, reason: &str) -> f64 {
        self.value("cxone_report_job_failures_total", &[("reason", reason)]).unwrap()
    }

    /// The observed time of each agent on the page.
    pub(crate) fn observed(&self) -> BTreeMap<String, Timestamp> {
        counted::observed(&self.last)
    }

    /// The time gauge of a target.
    pub(crate) fn target_time(&self, name: &str, target: &str) -> Option<Timestamp> {
        counted::target_time(&self.last, name, target)
    }

    /// The earliest epoch of the targets that cover the agent.
    pub(crate) fn epoch(&self, agent: &AgentProfile) -> Timestamp {
        let covers = |filter: &cxone_exporter::config::ReportFilter| {
            matches!((filter.kind.as_str(), &filter.id), ("user", id) if *id == agent.id)
                || matches!((filter.kind.as_str(), &filter.id), ("team", id) if *id == agent.team)
                || filter.kind == "all"
        };
        let targets = self.config.targets.iter().filter(|target| covers(&target.filter));
        targets
            .filter_map(|target| {
                self.target_time("cxone_target_epoch_timestamp_seconds", &target.name)
            })
            .min()
            .unwrap()
    }

    /// Compares the counters of every agent, and those over all agents, with what really happened
    /// in [epoch, observed). `millis_too` is false for rows without time. Returns the number of
    /// entries.
    pub(crate) fn assert_exact(&self, millis_too: bool) -> u64 {
        let observed = self.observed();
        assert!(!observed.is_empty(), "no agents are shown");
        let (mut over_all, mut once) = (Sums::new(), Once::new());
        let floor = self.simulator.floor();
        for agent in floor.agents().filter(|agent| observed.contains_key(&agent.id)) {
            counted::add(&mut over_all, &self.assert_exact_for(agent, millis_too));
            let window = Window { from: self.epoch(agent), to: observed[&agent.id] };
            counted::add_once(&mut once, &counted::actual_once(floor, &agent.id, window));
        }
        assert_eq!(counted::counted(&self.last, None), over_all, "over all agents");
        if millis_too {
            assert_eq!(counted::counted_once(&self.last, None), once, "each agent once");
        }
        over_all.values().map(|sums| sums.0).sum()
    }

    /// Compares the counters of one agent with what really happened, and returns that.
    pub(crate) fn assert_exact_for(&self, agent: &AgentProfile, millis_too: bool) -> Sums {
        let window = Window { from: self.epoch(agent), to: self.observed()[&agent.id] };
        let actual = counted::actual(self.simulator.floor(), &agent.id, &[window], millis_too);
        assert_eq!(
            counted::counted(&self.last, Some(&agent.id)),
            actual,
            "{} in {window}",
            agent.id
        );
        if millis_too {
            let once = counted::actual_once(self.simulator.floor(), &agent.id, window);
            assert_eq!(
                counted::counted_once(&self.last, Some(&agent.id)),
                once,
                "{} in {window}, whatever the skills",
                agent.id
            );
        }
        actual
    }

    /// No agent's counter is above what really happened up to now: late rows may be missing.
    pub(crate) fn assert_not_too_high(&self, millis_too: bool) {
        for (agent, observed) in self.observed() {
            let profile =
                self.simulator.floor().agents().find(|profile| profile.id == agent).unwrap();
            let actual = self
                .simulator
                .floor()
                .actual_totals(Window { from: self.epoch(profile), to: observed });
            for ((state, skill), reported) in counted::counted(&self.last, Some(&agent)) {
                let actual = actual.iter().find(|t| {
                    t.agent == agent && t.state == state && t.skill.unwrap_or("") == skill
                });
                let most = actual.map_or((0, 0), |actual| (actual.entries, actual.millis));
                assert!(
                    reported.0 <= most.0 && (reported.1 <= most.1 || !millis_too),
                    "{agent} {state} {skill}: {reported:?} but at most {most:?}"
                );
            }
        }
    }

    /// Compares the current-state gauges with where each agent really was at its observed time.
    pub(crate) fn assert_floor(&self) {
        let mut by_state: BTreeMap<String, u64> = BTreeMap::new();
        let mut starts: BTreeMap<(String, String, String), Timestamp> = BTreeMap::new();
        for (agent, observed) in self.observed() {
            // A visit that ends at the observed time was reported as open.
            let moment = Timestamp::from_millis(observed.millis() - 1);
            let visits: Vec<_> = self
                .simulator
                .floor()
                .at(moment)
                .into_iter()
                .filter(|visit| visit.agent.id == agent)
                .collect();
            let Some(first) = visits.first() else { continue };
            let cut = self.simulator.options().rows == ReportRows::CutIntervals;
            let first_reported = if cut {
                self.epoch(&first.agent).minus(self.config.poll.lookback)
            } else {
                Timestamp::MIN
            };
            *by_state.entry(first.state.name().to_owned()).or_default() += 1;
            for visit in &visits {
                let label = (
                    agent.clone(),
                    visit.state.name().to_owned(),
                    visit.skill.unwrap_or("").to_owned(),
                );
                starts.insert(label, visit.start.max(first_reported));
            }
        }
        let mut reported: BTreeMap<String, u64> = self
            .all("cxone_agents")
            .into_iter()
            .map(|(labels, value)| (labels["state"].clone(), value.parse().unwrap()))
            .collect();
        reported.retain(|_, agents| *agents > 0);
        assert_eq!(reported, by_state, "cxone_agents");
        let reported_starts = self.all("cxone_agent_state_start_timestamp_seconds");
        let reported_starts: BTreeMap<_, _> = reported_starts
            .into_iter()
            .map(|(labels, value)| {
                (
                    (labels["agent"].clone(), labels["state"].clone(), labels["skill"].clone()),
                    time(value),
                )
            })
            .collect();
        assert_eq!(reported_starts, starts, "cxone_agent_state_start_timestamp_seconds");
    }

    /// No rolling minute had more submits than the quota leaves to `serve`, rejected ones included.
    pub(crate) fn assert_quota(&self) {
        let counters = self.simulator.counters();
        let ours =
            usize::try_from(self.config.quota.report_jobs_per_minute - self.config.quota.reserve)
                .unwrap();
        assert!(
            counters.max_submits_per_minute <= ours,
            "{} submits in a minute",
            counters.max_submits_per_minute
        );
        assert_eq!(counters.over_quota, 0);
        assert!(counters.accepted > 0);
    }
}

fn reports_api(rows: &str) -> String {
    format!(
        "base_url: 'https://cxone.test', client_id: simulated-client, client_secret_file: s, rows: {rows}"
    )
}

/// The file `k` contains the secret of the access key, any other that of the client.
fn configuration(api: &str, secret: &str, more: &str) -> Config {
    let text = format!("api: {{{api}}}\n{more}");
    let text = ConfigText { name: "test", text: &text };
    let read = |path: &std::path::Path, _| {
        Ok(if path.ends_with("k") { "simulated-key-secret==" } else { secret }.to_owned())
    };
    let (config, warnings) =
        Config::parse(Some(text), &Overrides::default(), TargetsNeeded::Yes, read).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    config
}

type Started = (Pin<Box<dyn Future<Output = ()>>>, Arc<Pages>, ReloadHandle);

fn start(
    config: &Config,
    clock: &Clock,
    direct: &Arc<Direct>,
    store: Box<dyn Store>,
    next: &Arc<Mutex<Result<Config, String>>>,
) -> Started {
    let web = Web { telemetry_path: "/metrics".to_owned(), max_requests: 1, reload: None };
    let random = || Random::from_seed(7);
    let Exporter { engine, front } =
        app::exporter(config, web, clock, Heartbeat::default(), direct.clone(), store, random())
            .unwrap();
    let (site, (reloads, inbox)) = (Arc::clone(&front.pages), reload::channel());
    let (next, transport) = (Arc::clone(next), direct.clone());
    let load = Arc::new(move |_| {
        next.lock().unwrap().clone().map(|config| (config, transport.clone() as Arc<dyn Transport>))
    });
    let current = (config.clone(), direct.clone() as Arc<dyn Transport>);
    let reloader = Reloader { front, current, load, accept: Arc::new(|| {}), random };
    (Box::pin(reloader.run(engine, inbox, CancellationToken::new())), site, reloads)
}
