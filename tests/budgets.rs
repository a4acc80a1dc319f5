//! How many allocations the counting and the rendering may make: counted and not timed, so that no
//! noise hides a loss.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use allocation_counter::measure;
use cxone_core::counts::{
    Change, CountingRules, Detail, LabelLimits, Ledger, ReportOrigin, RowKind, SubmitOrder,
    TargetId,
};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::report::{RawRow, Report, ReportFilter};
use cxone_core::time::{Timestamp, Window};
use cxone_exporter::exposition::render;

const MINUTE: i64 = 60_000;
const LABELS: [(&str, &str); 4] =
    [("Available", "Sales"), ("Handling contact", "Sales"), ("Wrap-up", "Sales"), ("Break", "")];

struct Floor {
    ledger: Ledger,
    show: SnapshotOptions,
    agents: usize,
    minute: i64,
}

impl Floor {
    /// Agents of two targets, of whom half an hour is known.
    fn new(agents: usize) -> Self {
        let (lookback, overlap) = (Duration::from_secs(3600), Duration::from_secs(900));
        let rules = CountingRules {
            rows: RowKind::Intervals,
            lookback,
            overlap,
            wrap_up: Vec::new(),
            detail: Detail::AgentSkill,
            labels: LabelLimits::default(),
        };
        let targets = ["a", "b"].map(|name| TargetHealth {
            name: name.into(),
            up: true,
            last_success: None,
            stale: false,
        });
        let show = SnapshotOptions {
            targets: targets.into(),
            limits: BTreeMap::new(),
            max_series: u64::MAX,
            agent_info: false,
        };
        let mut floor = Self { ledger: Ledger::new(rules, 2), show, agents, minute: 0 };
        for _ in 0..30 {
            floor.minute += 1;
            for target in 0..2 {
                let (origin, report) = floor.report(target);
                floor.ledger.apply(&origin, &report);
            }
        }
        floor
    }

    /// The last 15 minutes of a target: each minute every agent enters another state.
    fn report(&self, target: usize) -> (ReportOrigin, Report) {
        let window = Window { from: at(self.minute - 15), to: at(self.minute) };
        let mut report = Report::default();
        for agent in (target..self.agents).step_by(2) {
            for minute in (self.minute - 15).max(0)..self.minute {
                let (state, skill) = LABELS[usize::try_from(minute % 4).unwrap()];
                let row = RawRow {
                    user_id: Cow::Owned(format!("user-{agent:05}")),
                    state_name: Cow::Borrowed(state),
                    skill_name: Cow::Borrowed(skill),
                    count: 1,
                    from: at(minute),
                    to: Some(at(minute + 1)),
                    ..RawRow::default()
                };
                report.push(&row);
            }
        }
        let order =
            SubmitOrder(u64::try_from(self.minute).unwrap() * 2 + u64::try_from(target).unwrap());
        (
            ReportOrigin { target: TargetId::new(target), order, oldest_pending: order, window },
            report,
        )
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_795_348_800_000 + minute * MINUTE)
}

/// The fewest allocations of several runs.
fn allocations<T>(mut work: impl FnMut() -> T) -> usize {
    let once = |_| count(&mut work);
    (0..3).map(once).min().unwrap()
}

fn count<T>(work: impl FnOnce() -> T) -> usize {
    let mut result = None;
    let counted = measure(|| result = Some(work()));
    usize::try_from(counted.count_total).unwrap()
}

#[test]
fn a_row_that_the_ledger_takes_in_makes_less_than_four_allocations_and_its_records_less_than_one() {
    let mut floor = Floor::new(100);
    let mut last: Option<Change> = None;
    let (mut most, mut records) = (0, 0);
    let filters = ["a", "b"].map(|id| ReportFilter { kind: "team".to_owned(), id: id.to_owned() });
    for _ in 0..3 {
        floor.minute += 1;
        let (origin, report) = floor.report(0);
        let rows = report.rows().len();
        most = most.max(count(|| last = Some(floor.ledger.apply(&origin, &report).1)) * 100 / rows);
        records = records.max(
            allocations(|| floor.ledger.records(last.as_ref().unwrap(), &filters, None)) * 100
                / rows,
        );
    }
    println!("{most} allocations for 100 rows of known agents, and {records} for their records");
    assert!(most <= 370 && records <= 40, "{most}, {records}");
    floor.ledger.take_back(last.unwrap());
}

#[test]
fn what_did_not_change_is_shown_without_an_allocation_for_each_agent() {
    let [few, many] = [300, 600].map(|agents| {
        let floor = Floor::new(agents);
        let snapshot = Snapshot::of(&floor.ledger, &floor.show);
        let (shards, known) = (snapshot.shards.len(), snapshot.fingerprints());
        let page = render(snapshot, None);
        let shown = allocations(|| Snapshot::build(&floor.ledger, None, &floor.show, &known));
        let rendered = allocations(|| render(Snapshot::build(&floor.ledger, None, &floor.show, &known), Some(&page))) - shown;
        println!("{agents} agents in {shards} shards: {shown} allocations for a snapshot without news, {rendered} to render it");
        (shards, shown, rendered)
    });
    assert_eq!((few.0, many.0), (2, 2));
    assert!(few.1 <= 34 && many.1 <= few.1 + 4, "{few:?}, {many:?}");
    assert!(few.2 <= 80 && many.2 <= few.2 + 4, "{few:?}, {many:?}");
}

#[test]
fn five_rows_of_the_page_make_at_most_six_allocations() {
    let floor = Floor::new(100);
    let shown = allocations(|| {
        render(Snapshot::build(&floor.ledger, None, &floor.show, &HashSet::new()), None)
    });
    let rows = usize::try_from(Snapshot::of(&floor.ledger, &floor.show).series()).unwrap();
    println!("{} allocations for 100 rows of a page", shown * 100 / rows);
    assert!(shown * 5 <= rows * 6, "{shown} for {rows} rows");
}
