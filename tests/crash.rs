//! The real binary, repeatedly killed with SIGKILL at random moments, some within commits:
//! afterwards its counters are exact, entry for entry and millisecond for millisecond, and it never
//! exceeded the quota. With both of CXone's APIs.
//!
//! The short form takes about a minute. The long form: `CRASH_KILLS=500 cargo test --release --test
//! crash -- --nocapture`. `CRASH_SEED=N` repeats the simulated floor, its faults and the plan of
//! kills (moments are real, so not to the microsecond).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "in a test, a panic is the way to say it"
)]

#[path = "support/chance.rs"]
mod chance;
#[allow(dead_code, reason = "tests in virtual time use more of it")]
#[path = "support/counted.rs"]
mod counted;
#[path = "support/platform_totals.rs"]
mod platform_totals;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "support/process.rs"]
mod process;
#[path = "support/strict.rs"]
mod strict;

use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chance::Chance;
use counted::Sums;
use cxone_core::time::Window;
use cxone_exporter::clock::Clock;
use cxone_exporter::commands::simulate::handler;
use cxone_exporter::server::{Server, ServerLimits, bind};
use cxone_exporter::tasks::Tasks;
use cxone_simulator::{Faults, ReportRows, SimulatedEndpoint, Simulator, SimulatorOptions};
use process::{Running, command, get, wait_for_at_most};
use strict::{Dialect, Page, parse};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

const QUOTA: u32 = 200;

/// Which API, and which targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CxoneApi {
    Reports,
    Platform,
}

/// Requests fail as on a bad day, rows are late, repeated and revised more often. Late rows come
/// well within the overlap.
const FAULTS: &str = "some,late=0.15,repeated=0.15,revised-end=0.15,malformed=0.1,shuffled=0.5,late-by=4s,revised-for=3s,slow-by=300ms,retry-after=1s";

const REPORTS: &str = "
poll: {interval: 1s, lookback: 2m, overlap: 10s}
jobs: {poll_every: 100ms, timeout: 10s}
quota: {report_jobs_per_minute: 200, reserve: 1}
targets: [{filter: {type: all, id: all}}, {user: user-001}]
";

const PLATFORM: &str = "
poll: {interval: 1s, live_interval: 1s, lookback: 1m, overlap: 10s}
jobs: {timeout: 10s}
quota: {requests_per_minute: 1200}
";

impl CxoneApi {
    const fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Reports => &["all:all", "user:user-001"],
            Self::Platform => &["all"],
        }
    }

    fn config(self, api: &str) -> String {
        match self {
            Self::Reports => {
                format!(
                    "api: {{base_url: 'http://{api}', client_id: simulated-client, client_secret_file: secret}}\n{REPORTS}"
                )
            }
            Self::Platform => format!(
                "api: {{dialect: platform, issuer: 'http://{api}', access_key_id: simulated-key, access_key_secret_file: key}}\n{PLATFORM}"
            ),
        }
    }

    /// How many agents, and how much faster than real ones: each page and each live list costs the
    /// simulator the shifts of all.
    fn floor(self) -> (u32, NonZeroU32) {
        let (agents, pace) = match self {
            Self::Reports => (120, 300),
            Self::Platform => (40, 60),
        };
        (agents, NonZeroU32::new(pace).unwrap())
    }

    const fn asking(self) -> &'static str {
        match self {
            Self::Reports => "report job submitted",
            Self::Platform => "state history requested",
        }
    }

    /// The requests after whose answers a commit begins.
    const fn endpoint(self) -> SimulatedEndpoint {
        match self {
            Self::Reports => SimulatedEndpoint::Poll,
            Self::Platform => SimulatedEndpoint::History,
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap())
}

/// A simulated contact centre behind a real socket, and an exporter that is started again and
/// again.
struct Site {
    api: CxoneApi,
    simulator: Arc<Simulator>,
    folder: tempfile::TempDir,
    _runtime: Runtime,
}

impl Site {
    fn new(api: CxoneApi, seed: u64) -> Self {
        let (agents, pace) = api.floor();
        let simulator = Arc::new(Simulator::new(SimulatorOptions {
            seed,
            agents,
            pace,
            rows: if seed.is_multiple_of(2) {
                ReportRows::WholeIntervals
            } else {
                ReportRows::CutIntervals
            },
            report_jobs_per_minute: QUOTA,
            page_rows: 200,
            job_time: Duration::from_millis(150),
            faults: FAULTS.parse().unwrap(),
            ..SimulatorOptions::default()
        }));
        let runtime = Runtime::new().unwrap();
        let _within = runtime.enter();
        let bound = runtime.block_on(bind("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = bound.address().clone();
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let answer = handler(Arc::clone(&simulator), Clock::system());
        let server = Server::new(ServerLimits::default(), tasks.clone(), stop);
        tasks.essential("simulator", server.serve(bound, answer));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "simulated-secret").unwrap();
        fs::write(folder.path().join("key"), "simulated-key-secret==").unwrap();
        fs::write(folder.path().join("config.yml"), api.config(&address.to_string())).unwrap();
        Self { api, simulator, folder, _runtime: runtime }
    }

    fn start(&self) -> Running {
        let path = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        let args =
            ["serve", "--web.listen-address=127.0.0.1:0", "--log.level=debug", "--config.file"];
        Running::start(command(&args).args([
            path("config.yml"),
            "--storage.path".to_owned(),
            path("data"),
        ]))
    }

    /// Runs an exporter up to a random moment and kills it. Returns its stderr.
    fn run_until_killed(&self, chance: &mut Chance, last: &mut Page) -> String {
        let mut exporter = self.start();
        let polls = || self.simulator.counters().requests_to(self.api.endpoint());
        let said = |what: &str| exporter.stderr().matches(what).count();
        match chance.between(0, 5) {
            0 => thread::sleep(chance.millis(0, 1_500)),
            1 => {
                until(|| said(self.api.asking()) > 0);
                thread::sleep(chance.millis(0, 30));
            }
            // The commit of a report begins within moments of an answer to a poll.
            2 | 3 => {
                let enough = polls() + chance.between(2, 8);
                until(|| polls() >= enough);
                thread::sleep(chance.millis(0, 15));
            }
            _ => {
                let enough = usize::try_from(chance.between(1, 3)).unwrap();
                until(|| said("report read") >= enough);
                thread::sleep(chance.millis(0, 20));
                compare(last, page(&exporter));
            }
        }
        exporter.kill();
        exporter.stderr()
    }
}

/// Waits until it is so, but not for long: a process may also be killed before it did anything.
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..1_500 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn page(exporter: &Running) -> Page {
    let address = exporter.output_after(" address=");
    parse(&get(&address, "/metrics", OPENMETRICS).text(), Dialect::OpenMetrics).unwrap()
}

/// No counter of agents and states is lower than the previous process reported, and every epoch is
/// the same.
fn compare(last: &mut Page, page: Page) {
    for (series, before) in &last.samples {
        let of_ours = ["cxone_agent_state_", "cxone_state_"]
            .iter()
            .any(|prefix| series.0.starts_with(prefix));
        if of_ours && series.0.ends_with("_total") {
            let now = page.samples.get(series).unwrap_or_else(|| panic!("{series:?} is gone"));
            assert!(
                counted::number(now) >= counted::number(before),
                "{series:?} fell from {before} to {now}"
            );
        }
        if series.0 == "cxone_target_epoch_timestamp_seconds" {
            assert_eq!(page.samples.get(series), Some(before), "{series:?}");
        }
    }
    *last = page;
}

/// Compares all counters with what really happened. Returns the number of entries.
fn assert_exact(api: CxoneApi, simulator: &Simulator, page: &Page) -> u64 {
    let target = |name: &str, target| {
        counted::target_time(page, &format!("cxone_target_{name}_timestamp_seconds"), target)
            .unwrap()
    };
    let epoch = |place: usize| target("epoch", api.targets()[place]);
    let mut over_all = Sums::new();
    for (agent, observed) in counted::observed(page) {
        let (window, actual) = match api {
            CxoneApi::Reports => {
                let from = if agent == "user-001" { epoch(0).min(epoch(1)) } else { epoch(0) };
                let window = Window { from, to: observed };
                (window, counted::actual(simulator.floor(), &agent, &[window], true))
            }
            // Agents are observed by the live feed, too, which counts nothing.
            CxoneApi::Platform => {
                let window = Window { from: epoch(0), to: target("watermark", api.targets()[0]) };
                (window, platform_totals::actual(simulator.floor(), &agent, window))
            }
        };
        assert_eq!(counted::counted(page, Some(&agent)), actual, "{agent} in {window}");
        counted::add(&mut over_all, &actual);
    }
    assert_eq!(counted::counted(page, None), over_all, "over all agents");
    over_all.values().map(|sums| sums.0).sum()
}

#[test]
fn no_count_is_lost_or_doubled_however_often_the_process_is_killed() {
    kill_again_and_again(CxoneApi::Reports, number("CRASH_KILLS").unwrap_or(50));
}

#[test]
fn no_platform_count_is_lost_or_doubled_however_often_the_process_is_killed() {
    kill_again_and_again(CxoneApi::Platform, number("CRASH_KILLS").unwrap_or(12));
}

fn kill_again_and_again(api: CxoneApi, kills: u64) {
    let seed =
        number("CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(kills) % 1_000_000);
    println!("CRASH_SEED={seed} CRASH_KILLS={kills}");
    let clock = Clock::system();
    let began = clock.now();
    let site = Site::new(api, seed);
    let (mut chance, mut last) = (Chance::new(seed), Page::default());
    let (mut read, mut taken_up, mut submitted) = (0, 0, 0);
    for _ in 0..kills {
        let said = site.run_until_killed(&mut chance, &mut last);
        for wrong in ["panicked", "level=error", "damaged", "store"] {
            assert!(!said.contains(wrong), "{said}");
        }
        read += said.matches("report read").count();
        taken_up += said.matches("report job resumed").count();
        submitted += said.matches(api.asking()).count();
    }
    site.simulator.set_faults(Faults::default());
    let calm = Clock::system().now().utc.plus(Duration::from_secs(8));
    let exporter = site.start();
    let page = wait_for_at_most(
        Duration::from_secs(60),
        "reports of the time after the last fault",
        || {
            let page = page(&exporter);
            let watermark = |target| {
                counted::target_time(&page, "cxone_target_watermark_timestamp_seconds", target)
            };
            api.targets().iter().all(|target| watermark(target) > Some(calm)).then_some(page)
        },
    );
    let entries = assert_exact(api, &site.simulator, &page);
    compare(&mut last, page);
    let counters = site.simulator.counters();
    println!(
        "{api:?}: {kills} kills in {:?}: {submitted} jobs submitted, {taken_up} taken up, {read} reports read; {entries} entries exact; {} submits in a minute at most",
        clock.now().instant.since(began.instant),
        counters.max_submits_per_minute
    );
    assert!(
        counters.max_submits_per_minute < usize::try_from(QUOTA).unwrap()
            && counters.over_quota == 0
    );
    // Otherwise the test would prove nothing.
    assert!(
        u64::try_from(read).unwrap() > kills / 4 && submitted > read / 2 && entries > 2 * kills,
        "{read} read, {submitted} asked for"
    );
    // Pages have no id by which another process could resume them.
    assert_eq!(taken_up > 0, api == CxoneApi::Reports);
    assert!(store_size(site.folder.path()) > 0);
}

fn store_size(folder: &Path) -> u64 {
    fs::read_dir(folder.join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}
