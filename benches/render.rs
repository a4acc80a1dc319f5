//! What it costs to show a million series: all of them, and after one target of many was read.
//! `cargo bench --bench render`.
//!
//! CPU time, medians; the memory is that of the whole process, ledger and store included.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cxone_core::counts::Fingerprint;
use cxone_core::counts::{
    CountingRules, Detail, LabelLimits, Ledger, ReportOrigin, RowKind, SubmitOrder, TargetId,
};
use cxone_core::live::{Live, LiveRow};
use cxone_core::page::snapshot::{LiveSeries, Snapshot};
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::report::{RawRow, Report, ReportFilter};
use cxone_core::store::Store;
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::exposition::{Rendered, render};
use cxone_exporter::store::DiskStore;

const AGENTS: usize = 50_000;
const RUNS: usize = 7;
/// Twenty series an agent: three for each of these, the start of the one that it is in, and up to
/// when it is known.
const LABELS: [(&str, &str); 6] = [
    ("Available", "Sales"),
    ("InboundContact", "Support English"),
    ("InboundContact", "Billing"),
    ("Wrap-up", "Sales"),
    ("Lunch", ""),
    ("Break", ""),
];
/// Five minutes, in milliseconds: the time between two reports of a target.
const PAUSE: i64 = 300_000;

fn main() {
    println!(
        "{:<24} {:>8} {:>8} {:>13} {:>13} {:>13}",
        "read", "shards", "anew", "snapshot", "render", "together"
    );
    for targets in [20, 200] {
        let mut floor = Floor::new(targets);
        for target in (0..targets).chain(0..targets) {
            floor.read(target);
        }
        let before = resident();
        let all: Vec<Cost> = (0..RUNS).map(|_| floor.publish_all()).collect();
        let after = resident();
        let one: Vec<Cost> = (0..RUNS).map(|run| floor.read_and_publish(run * 2)).collect();
        let all = print_medians(&format!("all of {targets} targets"), all);
        let one = print_medians(&format!("one of {targets} targets"), one);
        println!("  one/all {:.1} %", 100.0 * one.as_secs_f64() / all.as_secs_f64());
        let page = &floor.page;
        println!("  a page of {} samples: {} bytes compressed", page.samples(), page.size());
        println!(
            "  resident: {before} MB without a page, {after} MB with one, {} MB at the highest",
            status("VmHWM:")
        );
        for (what, changed) in [
            ("live, nobody changed", 0),
            ("live, 10 agents changed", 10),
            ("live, 1,000 changed", 1_000),
        ] {
            let polls: Vec<Cost> = (0..RUNS).map(|_| floor.poll_and_publish(changed)).collect();
            print_medians(what, polls);
        }
    }
}

/// What one publication took.
struct Cost {
    shards: usize,
    anew: usize,
    snapshot: Duration,
    render: Duration,
}

fn print_medians(what: &str, costs: Vec<Cost>) -> Duration {
    let snapshot = median(costs.iter().map(|cost| cost.snapshot).collect());
    let render = median(costs.iter().map(|cost| cost.render).collect());
    let together = median(costs.iter().map(|cost| cost.snapshot + cost.render).collect());
    let Cost { shards, anew, .. } = costs[0];
    println!(
        "{what:<24} {shards:>8} {anew:>8} {snapshot:>13.1?} {render:>13.1?} {together:>13.1?}"
    );
    together
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A floor, and who shows it as the poller and the pages do.
struct Floor {
    ledger: Ledger,
    show: SnapshotOptions,
    reports: i64,
    live: Live,
    polls: i64,
    known: HashSet<Fingerprint>,
    page: Rendered,
    store: DiskStore,
    _folder: tempfile::TempDir,
}

impl Floor {
    fn new(targets: usize) -> Self {
        let (lookback, overlap) = (Duration::from_secs(3600), Duration::from_secs(60));
        let rules = CountingRules {
            rows: RowKind::Intervals,
            lookback,
            overlap,
            wrap_up: Vec::new(),
            detail: Detail::AgentSkill,
            labels: LabelLimits::default(),
        };
        let target = |place| TargetHealth {
            name: Arc::from(format!("team:{place}")),
            up: true,
            last_success: None,
            stale: false,
        };
        let targets: Vec<TargetHealth> = (0..targets).map(target).collect();
        let ledger = Ledger::new(rules, targets.len());
        let show = SnapshotOptions {
            targets,
            limits: BTreeMap::new(),
            max_series: 2_000_000,
            agent_info: false,
        };
        let page = render(Snapshot::of(&ledger, &show), None);
        let folder = tempfile::tempdir().expect("a folder");
        let store = DiskStore::open(folder.path()).expect("a new store");
        Self {
            ledger,
            show,
            reports: 0,
            live: Live::default(),
            polls: 0,
            known: HashSet::new(),
            page,
            store,
            _folder: folder,
        }
    }

    /// A report of one target: each of its agents goes through all its labels.
    fn read(&mut self, target: usize) {
        let targets = self.show.targets.len();
        self.reports += 1;
        let round = self.reports / i64::try_from(targets).expect("few") + 1;
        let (from, to) = (round * PAUSE - 60_000, (round + 1) * PAUSE);
        let mut report = Report::default();
        for agent in (target..AGENTS).step_by(targets) {
            let (id, noise) = identity(agent, self.reports);
            let mut start = from + 60_000 + i64::from(noise % 10_000);
            for (place, (state, skill)) in LABELS.into_iter().enumerate() {
                let end = start + 1_000 + i64::from((noise >> place) % 30_000);
                report.push(&RawRow {
                    user_id: Cow::Borrowed(&id),
                    state_name: Cow::Borrowed(state),
                    skill_name: Cow::Borrowed(skill),
                    count: 1,
                    from: Timestamp::from_millis(start),
                    to: (place + 1 < LABELS.len()).then(|| Timestamp::from_millis(end)),
                    ..RawRow::default()
                });
                start = end;
            }
        }
        let order = SubmitOrder(self.reports.unsigned_abs());
        let window = Window { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) };
        let origin =
            ReportOrigin { target: TargetId::new(target), order, oldest_pending: order, window };
        let (_, change) = self.ledger.apply(&origin, &report);
        let filters: Vec<ReportFilter> = (0..targets)
            .map(|place| ReportFilter { kind: "team".to_owned(), id: place.to_string() })
            .collect();
        self.store.commit(&self.ledger.records(&change, &filters, None)).expect("there is room");
    }

    fn publish_all(&mut self) -> Cost {
        self.known.clear();
        self.publish()
    }

    fn read_and_publish(&mut self, target: usize) -> Cost {
        self.read(target);
        self.publish()
    }

    /// A live poll of everybody, then one with `changed` agents in their next state.
    fn poll_and_publish(&mut self, changed: usize) -> Cost {
        self.polls += 1;
        let time = Timestamp::from_millis((self.reports + 1) * PAUSE + self.polls * 15_000);
        let row = |agent: usize, turn: i64| {
            let (id, _) = identity(agent, 0);
            let (state, skill) = LABELS[usize::try_from(turn).expect("positive") % LABELS.len()];
            LiveRow {
                agent: id,
                state: state.to_owned(),
                skill: skill.to_owned(),
                start: Some(time),
                ..LiveRow::default()
            }
        };
        if self.live.observed().is_none() {
            self.live.replace((0..AGENTS).map(|agent| row(agent, 0)).collect(), time);
            self.publish();
        }
        self.live.update(
            (0..changed).map(|place| row(place * (AGENTS / changed), self.polls)).collect(),
            time,
        );
        self.publish()
    }

    fn publish(&mut self) -> Cost {
        let began = cpu();
        let live = self.live.observed().map(|_| {
            (&self.live, LiveSeries { teams: self.live.teams(), ..LiveSeries::default() })
        });
        let snapshot = Snapshot::build(&self.ledger, live, &self.show, &self.known);
        let known = std::mem::replace(&mut self.known, snapshot.fingerprints());
        let snapshot_at = cpu();
        let shards = snapshot.shards.len();
        let anew = snapshot.shards.iter().filter(|shard| shard.agents.is_some()).count();
        self.page = render(snapshot, (!known.is_empty()).then_some(&self.page));
        Cost { shards, anew, snapshot: snapshot_at - began, render: cpu() - snapshot_at }
    }
}

/// An id like CXone's, which compresses badly, and a number that is another each time.
fn identity(agent: usize, time: i64) -> (String, u32) {
    let mix = |seed: u64| {
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    let seed = u64::try_from(agent).expect("small") + 1;
    let (high, low) = (
        mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        mix(seed.wrapping_mul(0xd1b5_4a32_d192_ed03)),
    );
    let id = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    let noise = mix(low ^ time.unsigned_abs()) >> 32;
    (id, u32::try_from(noise).expect("32 bits are left"))
}

/// The CPU time of this thread, the only one.
fn cpu() -> Duration {
    let schedstat =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux reports CPU time");
    let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}

/// Megabytes of memory in use now.
fn resident() -> u64 {
    status("VmRSS:")
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux reports memory");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1000
}
