//! The whole exporter against a tenant with the documented calls of the platform API: hours of
//! virtual time, no sockets.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "support/counted.rs"]
mod counted;
#[path = "support/strict.rs"]
mod strict;
#[path = "support/tenant.rs"]
mod tenant;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cxone_core::plan::backoff::Random;
use cxone_core::store::{MemoryStore, SharedRecords};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::app::{self, Web};
use cxone_exporter::clock::Clock;
use cxone_exporter::config::{Config, ConfigText, Overrides, TargetsNeeded};
use cxone_exporter::engine::Heartbeat;
use cxone_exporter::server::Pages;
use cxone_simulator::{Floor, FloorOptions};
use http::Request;
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use counted::{Once, Sums};
use strict::{Dialect, Page};
use tenant::{Habits, Open, Tenant};

/// 2026-06-10 07:30: soon the first agent's shift ends and the second's begins.
const START: Timestamp = Timestamp::from_millis(1_781_076_600_000);

const MINUTE: Duration = Duration::from_secs(60);

const CREDENTIALS: &str = "api: {dialect: platform, access_key_id: KEY==, access_key_secret_file: key, client_id: app, client_secret_file: s}\n";

/// A lookback of a day contains the state of every agent, even between shifts; and requests are not
/// limited. The tenant reports no live states.
const QUICK: &str =
    "poll: {lookback: 24h, overlap: 10m, live_interval: 1h}\nquota: {requests_per_minute: 6000}\n";

const SCRAPE_EVERY: Duration = Duration::from_secs(170);

struct World {
    tenant: Arc<Tenant>,
    clock: Clock,
    config: Config,
    shelf: SharedRecords,
    polling: Pin<Box<dyn Future<Output = ()>>>,
    pages: Arc<Pages>,
    last: Page,
}

impl World {
    fn new(habits: Habits, more: &str) -> Self {
        let clock = Clock::starting_at(START);
        let floor =
            Floor::new(FloorOptions { seed: 5, agents: 8, pace: NonZeroU32::new(6).unwrap() });
        let tenant = Arc::new(Tenant::new(floor, clock.clone(), habits));
        let text = format!("{CREDENTIALS}{more}");
        let read = |path: &Path, _| {
            Ok(if path == Path::new("key") { "key/s3cret=" } else { "s" }.to_owned())
        };
        let file = ConfigText { name: "test", text: &text };
        let (config, warnings) =
            Config::parse(Some(file), &Overrides::default(), TargetsNeeded::Yes, read).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let shelf = SharedRecords::default();
        let (polling, pages) = start(&config, &clock, &tenant, &shelf);
        Self { tenant, clock, config, shelf, polling, pages, last: Page::default() }
    }

    /// Ends the process at once and starts another one on the same store.
    async fn restart(&mut self) {
        self.polling = Box::pin(std::future::pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
        (self.polling, self.pages) = start(&self.config, &self.clock, &self.tenant, &self.shelf);
        self.scrape().await;
    }

    async fn run_for(&mut self, span: Duration) {
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

    /// Reads `/metrics`, and checks that no counter falls.
    async fn scrape(&mut self) {
        let request = Request::get("/metrics")
            .header("accept", "application/openmetrics-text;version=1.0.0")
            .body(())
            .unwrap();
        let bytes = self.pages.answer(&request).into_body().collect().await.unwrap().to_bytes();
        let page =
            strict::parse(std::str::from_utf8(&bytes).unwrap(), Dialect::OpenMetrics).unwrap();
        for (series, before) in
            self.last.samples.iter().filter(|(series, _)| {
                series.0.starts_with("cxone_") && series.0.contains("_state_")
            })
        {
            if series.0.ends_with("_total") {
                let now = page.samples.get(series).unwrap_or_else(|| panic!("{series:?} is gone"));
                assert!(
                    counted::number(now) >= counted::number(before),
                    "{series:?} fell from {before} to {now}"
                );
            }
        }
        self.last = page;
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.last.samples.get(&(name.to_owned(), labels)).map(|value| counted::number(value))
    }

    /// Compares the counters of every agent, and those over all, with what really happened in
    /// [epoch, observed).
    fn assert_exact(&self, target: &str) -> u64 {
        let epoch =
            counted::target_time(&self.last, "cxone_target_epoch_timestamp_seconds", target)
                .unwrap();
        let observed = counted::observed(&self.last);
        assert!(!observed.is_empty(), "no agents are shown");
        let (mut over_all, mut once) = (Sums::new(), Once::new());
        for (agent, observed) in &observed {
            let window = Window { from: epoch, to: *observed };
            let actual = as_reported(&counted::actual(self.tenant.floor(), agent, &[window], true));
            assert_eq!(counted::counted(&self.last, Some(agent)), actual, "{agent} in {window}");
            counted::add(&mut over_all, &actual);
            let of_agent =
                once_as_reported(&counted::actual_once(self.tenant.floor(), agent, window));
            assert_eq!(counted::counted_once(&self.last, Some(agent)), of_agent, "{agent}");
            counted::add_once(&mut once, &of_agent);
        }
        assert_eq!(counted::counted(&self.last, None), over_all, "over all agents");
        assert_eq!(counted::counted_once(&self.last, None), once, "each agent once");
        assert!(once.values().sum::<u64>() < over_all.values().map(|sums| sums.1).sum());
        over_all.values().map(|sums| sums.0).sum()
    }

    fn failures(&self) -> f64 {
        let all = counted::all(&self.last, "cxone_report_job_failures_total");
        all.values().map(|value| counted::number(value)).sum()
    }
}

/// What really happened, with the state names of this API.
fn as_reported(actual: &Sums) -> Sums {
    let mut reported = Sums::new();
    for ((state, skill), sums) in actual {
        counted::add(&mut reported, &Sums::from([((reported_name(state), skill.clone()), *sums)]));
    }
    reported
}

/// The same for time by state.
fn once_as_reported(actual: &Once) -> Once {
    let mut reported = Once::new();
    for (state, millis) in actual {
        counted::add_once(&mut reported, &Once::from([(reported_name(state), *millis)]));
    }
    reported
}

fn reported_name(state: &str) -> String {
    let is_pause = matches!(state, "Break" | "Lunch" | "Training");
    if is_pause { "Unavailable" } else { state }.to_owned()
}

fn start(
    config: &Config,
    clock: &Clock,
    tenant: &Arc<Tenant>,
    shelf: &SharedRecords,
) -> (Pin<Box<dyn Future<Output = ()>>>, Arc<Pages>) {
    let web = Web { telemetry_path: "/metrics".to_owned(), max_requests: 1, reload: None };
    let store = Box::new(MemoryStore::on(shelf.clone()));
    let exporter = app::exporter(
        config,
        web,
        clock,
        Heartbeat::default(),
        tenant.clone(),
        store,
        Random::from_seed(7),
    )
    .unwrap();
    let (polling, site) = exporter.into_parts(CancellationToken::new());
    (Box::pin(polling), site)
}

/// Hours with some restarts; the counts are exact all the time.
async fn exact(habits: Habits, more: &str, target: &str) -> World {
    let mut world = World::new(habits, more);
    world.run_for(5 * MINUTE).await;
    let mut entries = 0;
    for hour in 0..2 {
        world.run_for(37 * MINUTE).await;
        let now = world.assert_exact(target);
        assert!(now > entries, "nothing happened in hour {hour}");
        entries = now;
        world.restart().await;
        world.run_for(MINUTE * 4).await;
    }
    assert_eq!(world.assert_exact(target).max(entries + 1), world.assert_exact(target));
    assert!(entries > 200, "{entries} entries");
    world
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_whether_or_not_visits_begun_before_the_window_are_reported() {
    for overlapping in [false, true] {
        for open in [Open::Null, Open::Growing] {
            let world =
                exact(Habits { open, overlapping, ..Habits::default() }, QUICK, "all").await;
            assert_eq!(world.failures(), 0.0, "{open:?} {overlapping}");
            assert_eq!(
                world.value("cxone_report_rows_late_total", &[]),
                Some(0.0),
                "{open:?} {overlapping}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn odd_rows_and_changing_page_sizes_count_the_same() {
    let habits =
        Habits { odd: true, page_sizes: vec![5, 17, 1, 40, 3], links: false, ..Habits::default() };
    let world = exact(habits, QUICK, "all").await;
    assert_eq!(world.failures(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn faults_and_expiring_tokens_within_a_window_lose_no_count() {
    let faults = vec![(7, 429), (11, 503), (13, 500)];
    let habits = Habits { page_sizes: vec![9, 20], faults, token_life: 47, ..Habits::default() };
    let world = exact(habits, QUICK, "all").await;
    assert!(world.value("cxone_api_throttled_total", &[("endpoint", "history")]).unwrap() > 0.0);
    // The first request finds that the token is invalid.
    let refused = |endpoint| {
        world
            .value("cxone_api_requests_total", &[("endpoint", endpoint), ("code", "401")])
            .unwrap_or(0.0)
    };
    assert!(refused("history") + refused("states") + refused("activity") > 0.0);
    assert!(world.tenant.submits("/auth/token") > 10);
    assert_eq!(world.tenant.submits("/openid-configuration"), 3, "once a process");
}

#[tokio::test(start_paused = true)]
async fn without_the_call_for_all_agents_each_agent_is_queried() {
    for calls in [&["each/state-history"][..], &["each/statehistory"]] {
        let habits = Habits { calls, ..Habits::default() };
        let world = exact(habits, QUICK, "all").await;
        assert_eq!(world.failures(), 0.0, "{calls:?}");
        // It is queried once per process and hour.
        let missed = world.tenant.submits("v30.0/agents/state-history");
        assert!((3..=6).contains(&missed), "{missed}");
    }
}

const EACH: &[&str] = &["each/state-history"];

#[tokio::test(start_paused = true)]
async fn the_last_rows_of_a_removed_agent_are_counted() {
    let habits =
        Habits { calls: EACH, lists_logged_in: true, open: Open::Null, ..Habits::default() };
    let world = exact(habits, QUICK, "all").await;
    assert_eq!(world.failures(), 0.0);
    let watermark =
        counted::target_time(&world.last, "cxone_target_watermark_timestamp_seconds", "all")
            .unwrap();
    let observed = counted::observed(&world.last);
    assert!(observed.values().all(|observed| *observed == watermark), "{observed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_history_is_missing_longer_than_the_overlap_is_counted_in_full_later() {
    let lost = Window { from: START.plus(20 * MINUTE), to: START.plus(50 * MINUTE) };
    let habits = Habits {
        calls: EACH,
        not_found: vec![("user-002", lost), ("user-003", lost)],
        ..Habits::default()
    };
    let mut world = World::new(habits, QUICK);
    world.run_for(40 * MINUTE).await;
    world.assert_exact("all");
    let at = |world: &World| counted::observed(&world.last)["user-002"];
    assert!(at(&world) < lost.from.plus(MINUTE), "known no further than it was read");
    world.restart().await;
    world.run_for(5 * MINUTE).await;
    world.assert_exact("all");
    assert!(at(&world) < lost.from.plus(MINUTE));
    world.run_for(10 * MINUTE).await;
    world.assert_exact("all");
    assert!(at(&world) > lost.to);
    assert_eq!(world.value("cxone_report_rows_late_total", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_agent_has_no_state_and_keeps_its_counts() {
    let gone = START.plus(10 * MINUTE);
    let habits = Habits { calls: EACH, deleted: vec![("user-002", gone)], ..Habits::default() };
    let mut world = World::new(habits, QUICK);
    let starts = |world: &World| {
        let all = counted::all(&world.last, "cxone_agent_state_start_timestamp_seconds");
        all.keys().filter(|labels| labels["agent"] == "user-002").count()
    };
    world.run_for(9 * MINUTE).await;
    assert_eq!(starts(&world), 1);
    for _ in 0..2 {
        world.run_for(20 * MINUTE).await;
        world.assert_exact("all");
        assert_eq!(starts(&world), 0);
        let observed = counted::observed(&world.last)["user-002"];
        assert!(observed <= gone, "{observed}");
        world.restart().await;
    }
    assert_eq!(world.failures(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn nothing_counts_as_read_when_no_history_is_found() {
    let ever = Window { from: START, to: START.plus(600 * MINUTE) };
    let not_found = AGENTS.map(|agent| (agent, ever)).to_vec();
    let mut world = World::new(Habits { calls: EACH, not_found, ..Habits::default() }, QUICK);
    world.run_for(10 * MINUTE).await;
    assert_eq!(world.value("cxone_up", &[]), Some(0.0));
    assert!(world.failures() > 0.0);
    let watermark =
        counted::target_time(&world.last, "cxone_target_watermark_timestamp_seconds", "all");
    assert_eq!(watermark, None);
}

/// All agents of the tenant.
const AGENTS: [&str; 8] = [
    "user-001", "user-002", "user-003", "user-004", "user-005", "user-006", "user-007", "user-008",
];

#[tokio::test(start_paused = true)]
async fn a_target_of_one_agent_is_queried_alone() {
    let more = format!("{QUICK}targets: [{{user: user-002}}]\n");
    let mut world = World::new(Habits::default(), &more);
    world.run_for(120 * MINUTE).await;
    assert!(world.assert_exact("user:user-002") > 10);
    assert_eq!(counted::observed(&world.last).len(), 1);
    assert_eq!(world.tenant.submits("v30.0/agents/state-history"), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_stay_within_the_budget_and_polls_are_spread_out() {
    let mut world = World::new(
        Habits::default(),
        "poll: {live_interval: 1h}\nquota: {requests_per_minute: 10}\n",
    );
    world.run_for(90 * MINUTE).await;
    assert!(world.assert_exact("all") > 0);
    let asked = world.tenant.asked();
    for (place, (first, _)) in asked.iter().enumerate() {
        let within =
            asked[place..].iter().filter(|(later, _)| later.since(*first) <= MINUTE).count();
        assert!(within <= 10, "{within} requests in a minute");
    }
    let polls: Vec<Timestamp> = asked
        .iter()
        .filter(|(_, what)| what.ends_with("/state-history"))
        .map(|(at, _)| *at)
        .collect();
    let apart: Vec<u64> =
        polls.windows(2).skip(40).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    let (least, most) = (apart.iter().min().unwrap(), apart.iter().max().unwrap());
    assert!(*least >= 52 && *most <= 68 && most - least >= 5, "{apart:?}");
    assert!(world.value("cxone_quota_wait_seconds_total", &[]).unwrap() > 60.0);
}
