//! Targets that are reordered, removed and added again from one start to the next.

use proptest::prelude::*;

use super::model::{self, OVERLAP, ReportStyle, Truth};
use super::{at, ledger, origin, report};
use crate::checkpoint;
use crate::counts::{Detail, Ledger, RowKind, TargetId};
use crate::privacy::AgentIds;
use crate::report::{RawRow, ReportFilter};
use crate::store::MemoryStore;

/// A ledger whose targets, named by numbers, are configured in some order.
struct Configured {
    ledger: Ledger,
    store: MemoryStore,
    targets: Vec<usize>,
}

fn filters(targets: &[usize]) -> Vec<ReportFilter> {
    let filter = |target: &usize| ReportFilter { kind: "team".to_owned(), id: target.to_string() };
    targets.iter().map(filter).collect()
}

impl Configured {
    fn new(rows: RowKind, overlap: i64, targets: &[usize]) -> Self {
        let ledger = ledger(rows, Detail::AgentSkill, overlap, targets.len());
        Self { ledger, store: MemoryStore::default(), targets: targets.to_vec() }
    }

    /// The process ends, and another one continues from the store with these targets.
    fn restart(&mut self, targets: &[usize]) {
        let rules = (*self.ledger.catalog.rules).clone();
        let filters = filters(targets);
        let ids = AgentIds::Raw;
        let checkpoint = checkpoint::read(&mut self.store, rules, &filters, &ids, None);
        self.ledger = checkpoint.expect("valid").ledger;
        self.targets = targets.to_vec();
    }

    /// Polls the target at `now` if it is configured and not known that far.
    fn poll(&mut self, target: usize, order: usize, now: i64, truth: &[Truth], style: ReportStyle) {
        let Some(index) = self.targets.iter().position(|known| *known == target) else { return };
        let overlap = i64::try_from(self.ledger.catalog.rules.overlap.as_millis()).expect("small");
        let watermark = self.ledger.watermark(TargetId::new(index));
        if watermark.is_some_and(|watermark| watermark >= at(now)) {
            return;
        }
        let from = watermark.map_or(0, |watermark| (watermark.millis() - overlap).max(0));
        let origin = origin(index, order, from, now);
        let rows: Vec<RawRow<'_>> = model::rows_in(truth, style, origin.window, now);
        let (_, change) = self.ledger.apply(&origin, &report(&rows));
        let records = self.ledger.records(&change, &filters(&self.targets), None);
        crate::store::Store::commit(&mut self.store, &records).expect("there is room");
    }
}

/// The target to poll, or 3 for a restart; the pause before; and which configuration comes next.
fn steps() -> impl Strategy<Value = Vec<(usize, i64, usize)>> {
    prop::collection::vec((0..4_usize, 1..80_i64, 0..64_usize), 1..30)
}

const REORDERED: [&[usize]; 2] = [&[0, 1], &[1, 0]];

/// Target 0 is in all of them, so that there is always one that covers every agent.
const CHANGED: [&[usize]; 9] =
    [&[0], &[0, 1], &[1, 0], &[2, 0], &[0, 1, 2], &[2, 1, 0], &[1, 2, 0], &[2, 0, 1], &[0, 2, 1]];

proptest! {
    #![proptest_config(model::at_least(300))]

    #[test]
    fn reordered_targets_count_as_if_the_process_had_never_ended(
        truth in model::history(), steps in steps(),
        style in prop_oneof![Just(ReportStyle::Cut), Just(ReportStyle::EventsWithEnd), Just(ReportStyle::Buckets)],
    ) {
        let (rows, overlap) = match style {
            ReportStyle::Buckets => (RowKind::Buckets, 0),
            ReportStyle::EventsWithEnd => (RowKind::Events, OVERLAP),
            ReportStyle::Cut
            | ReportStyle::Whole
            | ReportStyle::EventsWithoutEnd
            | ReportStyle::States(..) => (RowKind::Intervals, OVERLAP),
        };
        let mut expected = Configured::new(rows, overlap, REORDERED[0]);
        let mut restarted = Configured::new(rows, overlap, REORDERED[0]);
        let mut now = 100;
        for (order, (target, pause, next)) in (1..).zip(steps) {
            now += pause;
            if target > 1 {
                restarted.restart(REORDERED[next % REORDERED.len()]);
            }
            for ledger in [&mut expected, &mut restarted] {
                ledger.poll(target % 2, order, now, &truth, style);
            }
            prop_assert_eq!(model::published(&restarted.ledger, 2), model::published(&expected.ledger, 2));
        }
    }

    #[test]
    fn removed_and_added_targets_change_no_count(
        truth in model::history(), steps in steps(),
        style in prop_oneof![Just(ReportStyle::Cut), Just(ReportStyle::Whole), Just(ReportStyle::EventsWithEnd)],
    ) {
        let rows = if style == ReportStyle::EventsWithEnd { RowKind::Events } else { RowKind::Intervals };
        let mut configured = Configured::new(rows, OVERLAP, &[0, 1, 2]);
        let mut now = 100;
        configured.poll(0, 1, now, &truth, style);
        let epoch = configured.ledger.epoch(TargetId::new(0)).expect("polled").millis();
        let mut order = 1;
        for (target, pause, next) in steps {
            (now, order) = (now + pause, order + 1);
            if target == 3 {
                configured.restart(CHANGED[next % CHANGED.len()]);
            } else {
                configured.poll(target, order, now, &truth, style);
            }
        }
        let ends = truth.iter().map(|visit| visit.end).filter(|end| *end < model::FOREVER);
        now = now.max(ends.max().unwrap_or(0)) + OVERLAP;
        for target in [0, 1, 2, 0, 1, 2] {
            (now, order) = (now + OVERLAP, order + 1);
            configured.poll(target, order, now, &truth, style);
        }
        let targets = configured.targets.len();
        let watermarks = (0..targets).filter_map(|index| configured.ledger.watermark(TargetId::new(index)));
        let watermark = watermarks.max().expect("polled").millis();
        let expected = model::true_counts(&truth, epoch, watermark);
        for (key, counts) in model::published(&configured.ledger, targets) {
            prop_assert_eq!(counts, expected.get(&key).copied().unwrap_or_default(), "{:?} {:?} in [{}, {})", style, key, epoch, watermark);
        }
    }
}
