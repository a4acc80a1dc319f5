//! How long commits and starts take with 1,000,000 series, and how much memory they need. Run by
//! `cargo bench --bench store`, or one half of it by `cargo bench --bench store -- quiet` (or
//! `busy`).
//!
//! The results are in `docs/performance.md`. Two floors of 50,000 agents each: on the *quiet*
//! one an agent's state changes every four hours and next to nothing is in the window; on the
//! *busy* one it changes 200 times a day and all of it is in the window of 24 h.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::alloc::System;
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use cap::Cap;
use cxone_core::checkpoint;
use cxone_core::counts::Fingerprint;
use cxone_core::counts::{
    CountingRules, Detail, LabelLimits, Ledger, ReportOrigin, RowKind, SubmitOrder, TargetId,
};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::privacy::AgentIds;
use cxone_core::report::{RawRow, Report, ReportFilter};
use cxone_core::store::Store;
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::clock::Clock;
use cxone_exporter::exposition::render;
use cxone_exporter::store::DiskStore;

/// Counts what is asked of it, to the byte.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const AGENTS: u64 = 50_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const NOON: i64 = 1_795_348_800_000;
const OVERLAP: i64 = 15 * MINUTE;
const SKILLS: u64 = 100;
/// The number of samples of each median.
const RUNS: usize = 7;

/// Who there is, and how often their state changes.
struct Floor {
    name: &'static str,
    /// Between two state changes, in milliseconds.
    period: i64,
    lookback: Duration,
    /// How many agents each target has; the first one's report is measured.
    targets: Vec<u64>,
}

impl Floor {
    fn quiet() -> Self {
        Self {
            name: "quiet",
            period: 4 * HOUR,
            lookback: Duration::from_secs(3600),
            targets: vec![28_000, 22_000],
        }
    }

    fn busy() -> Self {
        let rest = (AGENTS - 9_400) / 4;
        Self {
            name: "busy",
            period: 432_000,
            lookback: Duration::from_secs(24 * 3600),
            targets: vec![9_400, rest, rest, rest, rest],
        }
    }

    fn rules(&self) -> CountingRules {
        let wrap_up = vec!["Wrap-up".to_owned()];
        CountingRules {
            rows: RowKind::Intervals,
            lookback: self.lookback,
            overlap: Duration::from_secs(900),
            wrap_up,
            detail: Detail::AgentSkill,
            labels: LabelLimits::default(),
        }
    }

    fn filters(&self) -> Vec<ReportFilter> {
        (0..self.targets.len())
            .map(|place| ReportFilter { kind: "team".to_owned(), id: format!("team-{place}") })
            .collect()
    }

    fn show(&self) -> SnapshotOptions {
        let shown = |filter: ReportFilter| TargetHealth {
            name: filter.id.into(),
            up: true,
            last_success: None,
            stale: false,
        };
        let targets = self.filters().into_iter().map(shown).collect();
        SnapshotOptions {
            targets,
            limits: std::iter::once(("Wrap-up".into(), Duration::from_secs(300))).collect(),
            max_series: u64::MAX,
            agent_info: false,
        }
    }

    /// CXone's report of a target's window, cut at its edges.
    fn report(&self, place: usize, window: Window) -> Report {
        let first: u64 = self.targets[..place].iter().sum();
        let mut report = Report::default();
        for agent in first..first + self.targets[place] {
            let id = format!("0f8fad5b-d9cb-469f-a165-{agent:012}");
            let phase = i64::try_from(agent).expect("few agents") * 7_919 % self.period;
            let mut visit = (window.from.millis() - phase).div_euclid(self.period);
            while visit * self.period + phase < window.to.millis() {
                let start = visit * self.period + phase;
                let (state, skill) = place_of(agent, visit);
                let from = Timestamp::from_millis(start).max(window.from);
                let to = Timestamp::from_millis(start + self.period).min(window.to);
                let (user_id, state_name) = (Cow::Borrowed(&*id), Cow::Borrowed(state));
                let row = RawRow {
                    user_id,
                    state_name,
                    skill_name: skill.into(),
                    count: 1,
                    from,
                    to: Some(to),
                    ..RawRow::default()
                };
                report.push(&row);
                visit += 1;
            }
        }
        report
    }
}

/// Six labels an agent make 20 lines each: 6 × (entries, seconds, window), the start and the
/// observed time.
fn place_of(agent: u64, visit: i64) -> (&'static str, String) {
    let skill = |nth: u64| format!("Skill {}", (agent + nth * 37) % SKILLS);
    match visit.rem_euclid(6) {
        0 => ("Available", String::new()),
        1 => ("Handling contact", skill(0)),
        2 => ("Wrap-up", skill(0)),
        3 => ("Handling contact", skill(1)),
        4 => ("Wrap-up", skill(1)),
        _ => ("Break", String::new()),
    }
}

/// A ledger and what goes with it.
struct Bench {
    clock: Clock,
    floor: Floor,
    ledger: Ledger,
    order: u64,
}

impl Bench {
    fn new(floor: Floor) -> Self {
        let ledger = Ledger::new(floor.rules(), floor.targets.len());
        Self { clock: Clock::system(), floor, ledger, order: 0 }
    }

    fn origin(&mut self, place: usize, window: Window) -> ReportOrigin {
        self.order += 1;
        let order = SubmitOrder(self.order);
        ReportOrigin { target: TargetId::new(place), order, oldest_pending: order, window }
    }

    /// Every target's report of `window`, kept in `store`.
    fn round(&mut self, window: Window, store: &mut dyn Store) {
        for place in 0..self.floor.targets.len() {
            let report = self.floor.report(place, window);
            let origin = self.origin(place, window);
            let (_, change) = self.ledger.apply(&origin, &report);
            let records = self.ledger.records(&change, &self.floor.filters(), Some(window.to));
            store.commit(&records).expect("there is room");
        }
    }

    fn timed<T>(&self, times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
        timed(times, work)
    }
}

/// The CPU time of `work`; the start and the whole of a commit are timed by the clock.
fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let began = cpu();
    let result = work();
    times.push(cpu() - began);
    result
}

/// The CPU time of this thread, the only one.
fn cpu() -> Duration {
    let schedstat =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux reports CPU time");
    let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}

fn window(from: i64, to: i64) -> Window {
    Window { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }
}

fn median(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    format!(
        "{:.1} ms (of {}, {:.1} to {:.1})",
        millis(times[times.len() / 2]),
        times.len(),
        millis(times[0]),
        millis(times[times.len() - 1])
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn print_figure(floor: &Floor, what: &str, figure: &str) {
    println!("| {} | {what} | {figure} |", floor.name);
}

fn per(bytes: usize, of: u64) -> String {
    let tenths = u64::try_from(bytes).unwrap_or(u64::MAX) * 10 / of.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The commits of one report after another, each a minute on; or of the same one again and again.
fn commits(bench: &mut Bench, store: &mut dyn Store, end: i64) {
    let (mut apply, mut records_of, mut commit, mut whole) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut whole_cpu = Vec::new();
    let (mut rows, mut bytes, mut count) = (0, 0, 0);
    for run in 0..RUNS {
        let end = end + i64::try_from(run + 1).expect("few runs") * MINUTE;
        let window = window(end - MINUTE - OVERLAP, end);
        let report = bench.floor.report(0, window);
        let origin = bench.origin(0, window);
        let (began, began_cpu) = (bench.clock.now().instant, cpu());
        let filters = bench.floor.filters();
        let (_, change) = timed(&mut apply, || bench.ledger.apply(&origin, &report));
        let records = bench
            .timed(&mut records_of, || bench.ledger.records(&change, &filters, Some(window.to)));
        bench.timed(&mut commit, || store.commit(&records)).expect("there is room");
        whole.push(bench.clock.now().instant.since(began));
        whole_cpu.push(cpu() - began_cpu);
        (rows, count) = (report.rows().len(), records.len());
        bytes = records.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum();
    }
    let floor = &bench.floor;
    print_figure(
        floor,
        "the report",
        &format!(
            "{rows} rows, {count} records of {} bytes each",
            per(bytes, u64::try_from(count).unwrap_or(1))
        ),
    );
    print_figure(floor, "`Ledger::apply`", &median(apply));
    print_figure(floor, "`Ledger::records`", &median(records_of));
    print_figure(floor, "`Store::commit`", &median(commit));
    print_figure(floor, "**one commit in all**", &median(whole_cpu));
    print_figure(floor, "the same by the clock, fsync included", &median(whole));
}

fn level(bench: &mut Bench, store: &mut dyn Store, end: i64) {
    let window = window(end - MINUTE - OVERLAP, end);
    let report = bench.floor.report(0, window);
    let sizes: Vec<u64> = (0..100)
        .map(|_| {
            let origin = bench.origin(0, window);
            let (_, change) = bench.ledger.apply(&origin, &report);
            let records = bench.ledger.records(&change, &bench.floor.filters(), Some(window.to));
            store.commit(&records).expect("there is room");
            store.size_bytes() / 1_000_000
        })
        .collect();
    print_figure(
        &bench.floor,
        "file after 1, 10, 50 and 100 more commits",
        &format!("{}, {}, {}, {} MB", sizes[0], sizes[9], sizes[49], sizes[99]),
    );
}

fn start(bench: Bench, folder: &Path) {
    let Bench { clock, floor, ledger, .. } = bench;
    let show = floor.show();
    // A snapshot shares the agents with the ledger, so only what distinguishes it from others is kept.
    let shown = |ledger: &Ledger| {
        let snapshot = Snapshot::of(ledger, &show);
        (
            snapshot.series(),
            Fingerprint::of(&snapshot.agents().collect::<Vec<_>>()),
            snapshot.states,
        )
    };
    let expected = shown(&ledger);
    let before = MEMORY.allocated();
    drop(ledger);
    let memory = before - MEMORY.allocated();
    print_figure(
        &floor,
        "memory of the ledger",
        &format!("{} bytes a series, {memory} in all", per(memory, expected.0)),
    );
    let (mut open, mut read, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..RUNS {
        drop(last.take());
        let before = MEMORY.allocated();
        let began = clock.now().instant;
        let mut store = timed(&mut open, || DiskStore::open(folder)).expect("a sound store");
        let checkpoint = timed(&mut read, || {
            checkpoint::read(&mut store, floor.rules(), &floor.filters(), &AgentIds::Raw, None)
        })
        .expect("sound records");
        whole.push(clock.now().instant.since(began));
        drop(store);
        last = Some((checkpoint, MEMORY.allocated() - before));
    }
    print_figure(&floor, "`DiskStore::open`", &median(open));
    print_figure(&floor, "`checkpoint::read`", &median(read));
    print_figure(&floor, "**the start in all**", &median(whole));
    let (checkpoint, memory) = last.expect("there were runs");
    assert!(shown(&checkpoint.ledger) == expected, "a start loses nothing");
    print_figure(
        &floor,
        "memory of the ledger after a start",
        &format!("{} bytes a series", per(memory, expected.0)),
    );
}

fn run(floor: Floor) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open(folder.path()).expect("a new store");
    let mut bench = Bench::new(floor);
    // The first window makes the labels, the second one settles it, the third makes the first one's
    // room free.
    bench.round(window(NOON - 24 * HOUR, NOON), &mut store);
    bench.round(window(NOON - OVERLAP, NOON + MINUTE), &mut store);
    let end = NOON + 2 * MINUTE;
    bench.round(window(end - MINUTE - OVERLAP, end), &mut store);

    let show = bench.floor.show();
    let (mut snapshots, mut renders) = (Vec::new(), Vec::new());
    let (mut series, mut events) = (0, 0);
    for _ in 0..5 {
        let snapshot = bench.timed(&mut snapshots, || Snapshot::of(&bench.ledger, &show));
        series = snapshot.series();
        events = snapshot
            .agents()
            .flat_map(|agent| agent.labels)
            .filter_map(|label| label.window_entries)
            .sum();
        drop(bench.timed(&mut renders, || render(snapshot, None)));
    }
    print_figure(&bench.floor, "series; events in the window", &format!("{series}; {events}"));
    print_figure(&bench.floor, "`Ledger::snapshot`", &median(snapshots));
    print_figure(&bench.floor, "`render`", &median(renders));
    print_figure(&bench.floor, "file", &format!("{} MB", store.size_bytes() / 1_000_000));
    commits(&mut bench, &mut store, end);
    let end = end + i64::try_from(RUNS + 1).expect("few runs") * MINUTE;
    level(&mut bench, &mut store, end);
    drop(store);
    start(bench, folder.path());
}

fn main() {
    println!("| floor | what | figure |\n|---|---|---|");
    let named = |floor: &Floor| {
        !std::env::args().any(|arg| ["quiet", "busy"].contains(&&*arg) && arg != floor.name)
    };
    [Floor::quiet(), Floor::busy()].into_iter().filter(named).for_each(run);
}
