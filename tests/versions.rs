//! The format of the store is frozen: a store that was written before goes on being read, with all
//! that it holds, and counting continues from there.
//!
//! `tests/versions/*.redb.gz` were written by [`history`] with the format that they are named
//! after, by `keep_a_store_of_this_format`.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

use std::borrow::Cow;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cxone_core::checkpoint;
use cxone_core::counts::{
    CountingRules, Detail, LabelLimits, Ledger, ReportOrigin, RowKind, SubmitOrder, TargetId,
};
use cxone_core::page::snapshot::{AgentSeries, Snapshot};
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::privacy::AgentIds;
use cxone_core::report::{RawRow, Report, ReportFilter};
use cxone_core::store::{MemoryStore, Store, VERSION};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::store::DiskStore;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

const FILE: &str = "cxone-exporter.redb";
const MINUTE: i64 = 60_000;
const NOON: i64 = 1_795_348_800_000;
const OVERLAP: i64 = 15;
const TARGETS: usize = 2;
/// Reports of each target in the stores.
const STORED: i64 = 12;

fn rules(rows: RowKind) -> CountingRules {
    let (lookback, overlap) = (Duration::from_secs(24 * 3600), Duration::from_secs(900));
    CountingRules {
        rows,
        lookback,
        overlap,
        wrap_up: vec!["ACW".to_owned()],
        detail: Detail::AgentSkill,
        labels: LabelLimits::default(),
    }
}

fn filters() -> Vec<ReportFilter> {
    ["support", "sales"]
        .map(|id| ReportFilter { kind: "team".to_owned(), id: id.to_owned() })
        .to_vec()
}

/// Both targets' reports of one round: eight agents, the fourth and the fifth in both, on one skill
/// or on three at once.
fn reports(rows: RowKind, round: i64) -> [(ReportOrigin, Report); TARGETS] {
    std::array::from_fn(|target| {
        let order =
            SubmitOrder(u64::try_from(round).unwrap() * 2 + u64::try_from(target).unwrap() + 1);
        let end = NOON + (round * 45 + i64::try_from(target).unwrap()) * MINUTE;
        let overlap = if rows == RowKind::Buckets { 0 } else { OVERLAP };
        let from = if round == 0 { end - 24 * 60 * MINUTE } else { end - (45 + overlap) * MINUTE };
        let window = Window { from: Timestamp::from_millis(from), to: Timestamp::from_millis(end) };
        let origin =
            ReportOrigin { target: TargetId::new(target), order, oldest_pending: order, window };
        let agents = if target == 0 { 0..5 } else { 3..8 };
        let mut report = Report::default();
        agents.for_each(|agent| push_rows(rows, agent, window, &mut report));
        (origin, report)
    })
}

/// The rows of an agent, whose states last 7 to 29 minutes.
fn push_rows(rows: RowKind, agent: i64, window: Window, report: &mut Report) {
    let length =
        |visit: i64| (7 + (agent * 5 + visit * 11).rem_euclid(23)) * MINUTE + agent * 1_001;
    let mut start = NOON - 3 * 24 * 60 * MINUTE;
    for visit in 0.. {
        let end = start + length(visit);
        if start >= window.to.millis() {
            break;
        }
        let skills: &[&str] =
            if (agent + visit) % 3 == 0 { &["English", "Spanish", "Français"] } else { &[""] };
        let state = ["Available", "Handling contact", "ACW", "Wrap-up", "Break"]
            [usize::try_from(visit % 5).unwrap()];
        for (nth, skill) in (0..).zip(skills) {
            // Of those on several skills at once, one begins a little later: the state over all
            // skills has one entry less.
            let began = start + if nth == 2 { 61_000 } else { 0 };
            let (from, to) = (Timestamp::from_millis(began), Timestamp::from_millis(end));
            let row = |from, to, count| RawRow {
                user_id: Cow::Owned(format!("user-{agent}")),
                user_name: Cow::Owned(format!("Agent {agent}")),
                state_name: state.into(),
                skill_name: (*skill).into(),
                count,
                from,
                to,
                ..RawRow::default()
            };
            match rows {
                RowKind::Intervals if from < window.to && to > window.from => {
                    report.push(&row(from, (to < window.to).then_some(to), 1))
                }
                RowKind::Events | RowKind::States if window.contains(from) => {
                    report.push(&row(from, None, 1))
                }
                RowKind::Buckets if window.contains(from) => report.push(&row(
                    window.from,
                    Some(window.to),
                    1 + u32::try_from(visit % 3).unwrap(),
                )),
                RowKind::Intervals | RowKind::Events | RowKind::States | RowKind::Buckets => {}
            }
        }
        start = end;
    }
}

/// Applies the rounds of reports from `first` up to, but not including, `end`, and commits them to
/// `store`.
fn history(ledger: &mut Ledger, rows: RowKind, first: i64, end: i64, store: &mut dyn Store) {
    for round in first..end {
        for (origin, report) in reports(rows, round) {
            let (_, change) = ledger.apply(&origin, &report);
            store.commit(&ledger.records(&change, &filters(), Some(origin.window.to))).unwrap();
        }
    }
}

fn snapshot(ledger: &Ledger) -> (Snapshot, Vec<AgentSeries>) {
    let target = |filter: ReportFilter| TargetHealth {
        name: filter.id.into(),
        up: true,
        last_success: None,
        stale: false,
    };
    let targets = filters().into_iter().map(target).collect();
    let limits = std::iter::once(("Wrap-up".into(), Duration::from_secs(300))).collect();
    let mut snapshot = Snapshot::of(
        ledger,
        &SnapshotOptions { targets, limits, max_series: u64::MAX, agent_info: true },
    );
    let agents = snapshot.agents().collect();
    // Fingerprints mean nothing to another ledger.
    snapshot.shards.clear();
    (snapshot, agents)
}

fn file(version: u32, rows: RowKind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/versions/{version}-{rows:?}.redb.gz").to_lowercase())
}

const KINDS: [RowKind; 3] = [RowKind::Intervals, RowKind::Events, RowKind::Buckets];

/// Before [`VERSION`] is raised, run this with `--ignored`.
#[test]
#[ignore = "writes what the other test reads"]
fn keep_a_store_of_this_format() {
    for rows in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mut store = DiskStore::open(folder.path()).unwrap();
        history(&mut Ledger::new(rules(rows), TARGETS), rows, 0, STORED, &mut store);
        drop(store);
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&fs::read(folder.path().join(FILE)).unwrap()).unwrap();
        fs::write(file(VERSION, rows), packed.finish().unwrap()).unwrap();
    }
}

#[test]
fn a_store_of_format_1_is_read_and_counting_continues_where_it_stopped() {
    for rows in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(fs::File::open(file(1, rows)).unwrap()).read_to_end(&mut bytes).unwrap();
        fs::write(folder.path().join(FILE), bytes).unwrap();

        let mut expected = Ledger::new(rules(rows), TARGETS);
        history(&mut expected, rows, 0, STORED, &mut MemoryStore::default());
        assert!(
            snapshot(&expected)
                .1
                .iter()
                .flat_map(|agent| &agent.labels)
                .any(|label| label.entries > 2 && label.window_entries > Some(2))
        );
        for rounds in [STORED..STORED + 3, STORED + 3..STORED + 40] {
            let mut store = DiskStore::open(folder.path()).unwrap();
            let mut ledger =
                checkpoint::read(&mut store, rules(rows), &filters(), &AgentIds::Raw, None)
                    .unwrap()
                    .ledger;
            assert_eq!(snapshot(&ledger), snapshot(&expected), "{rows:?}");
            history(&mut ledger, rows, rounds.start, rounds.end, &mut store);
            history(&mut expected, rows, rounds.start, rounds.end, &mut MemoryStore::default());
            assert_eq!(snapshot(&ledger), snapshot(&expected), "{rows:?}");
        }
    }
}
