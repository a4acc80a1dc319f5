//! The limits on labels: what they bound, what is added up, and what is forgotten.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Change, CountingRules, Detail, LabelLimits, Ledger, RowKind};
use super::{at, ledger, origin, report, row, show};
use crate::counts::RecordKey;
use crate::names::LabelSets;
use crate::page::snapshot::{Snapshot, StateSeries};
use crate::privacy::AgentIds;
use crate::report::{RawRow, Report, ReportFilter};
use crate::store::{MemoryStore, Store};

const DAY: i64 = 24 * 3600 * 1000;

fn filters() -> Vec<ReportFilter> {
    vec![ReportFilter { kind: "team".to_owned(), id: "1".to_owned() }]
}

/// A ledger with one target that is committed to a store.
struct LabelsInStore {
    ledger: Ledger,
    store: MemoryStore,
    order: usize,
}

impl LabelsInStore {
    fn new(rows: RowKind, limits: LabelLimits) -> Self {
        let mut ledger = ledger(rows, Detail::AgentSkill, 100, 1);
        Arc::make_mut(&mut ledger.catalog.rules).labels = limits;
        Self { ledger, store: MemoryStore::default(), order: 0 }
    }

    fn apply(&mut self, from: i64, to: i64, report: &Report) -> Change {
        self.order += 1;
        let (_, change) = self.ledger.apply(&origin(0, self.order, from, to), report);
        self.store.commit(&self.ledger.records(&change, &filters(), None)).expect("there is room");
        change
    }

    fn read(&mut self, from: i64, to: i64, rows: &[RawRow<'_>]) {
        self.apply(from, to, &report(rows));
    }

    /// As another process finds it.
    fn restart(&mut self, limits: LabelLimits) {
        let rules = CountingRules { labels: limits, ..(*self.ledger.catalog.rules).clone() };
        let checkpoint =
            crate::checkpoint::read(&mut self.store, rules, &filters(), &AgentIds::Raw, None);
        self.ledger = checkpoint.expect("whole").ledger;
        assert_eq!(self.everything(), self.kept());
    }

    fn everything(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let records = self.ledger.all_records(&filters(), &[None]);
        records.into_iter().filter_map(|record| Some((record.key, record.value?))).collect()
    }

    fn kept(&mut self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut kept = BTreeMap::new();
        self.store
            .read(&mut |key, value| drop(kept.insert(key.to_vec(), value.to_vec())))
            .expect("readable");
        kept
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.ledger, &show(1))
    }

    fn counts(&self, state: &str, skill: &str) -> Option<(u64, u64)> {
        let states = self.snapshot().states;
        let found = states.iter().find(|one| &*one.state == state && &*one.skill == skill)?;
        Some((found.entries, found.millis))
    }
}

fn sums(states: &[StateSeries]) -> (u64, u64, u64) {
    let add = |sum: (u64, u64, u64), one: &StateSeries| {
        (sum.0 + one.entries, sum.1 + one.millis, sum.2 + one.visits.count())
    };
    states.iter().fold((0, 0, 0), add)
}

fn label_sets(snapshot: &Snapshot, kind: &str) -> LabelSets {
    snapshot.label_sets.iter().find(|sets| sets.kind == kind).expect("the kind").clone()
}

/// Visits of 7 ms each to as many new skills, or states, by ten agents in turn.
fn new_names(first: u32, count: u32, window_from: i64, in_states: bool) -> Report {
    let mut report = Report::default();
    for nth in 0..count {
        let start = window_from + i64::from(nth / 10) * 8;
        let name = format!("Name {:06}", first + nth);
        let (state, skill) = if in_states { (name, String::new()) } else { ("Ready".into(), name) };
        let row = RawRow {
            user_id: Cow::Owned(format!("user-{}", nth % 10)),
            state_name: Cow::Owned(state),
            skill_name: Cow::Owned(skill),
            ..row("", "", "", start, Some(start + 7))
        };
        report.push(&row);
    }
    report
}

#[test]
fn twenty_thousand_new_names_a_report_keep_within_the_limits_and_no_visit_is_lost() {
    for in_states in [false, true] {
        let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits::of(20_000));
        kept.read(0, 1_000, &[row("user-0", "Break", "", 200, Some(900))]);
        let mut now = 1_000;
        for round in 0..3 {
            kept.apply(now, now + 20_000, &new_names(round * 20_000, 20_000, now + 1, in_states));
            now += 20_000;
        }
        kept.apply(now, now + 1_000, &new_names(0, 1, now + 1, in_states));
        let snapshot = kept.snapshot();
        let expected = (60_001, 60_001 * 7, 60_001);
        assert_eq!(sums(&snapshot.states), expected, "in states: {in_states}");
        assert!(snapshot.series() <= 20_000, "{} series", snapshot.series());
        let kind = if in_states { "state" } else { "state_skill" };
        let sets = label_sets(&snapshot, kind);
        assert_eq!((sets.own, sets.limit), (sets.limit, if in_states { 50 } else { 500 }));
        assert_eq!(sets.over, 0, "the newest report has names that were there first");
        let records = kept.kept();
        let labels = records.keys().filter(|key| key[0] == b'l' || key[0] == b's').count();
        assert!(labels <= 2 * 700, "{labels} records of labels and totals");
        assert!(
            kept.ledger.catalog.names.len() <= 700,
            "{} names",
            kept.ledger.catalog.names.len()
        );
        let before = snapshot.states;
        kept.restart(LabelLimits::of(20_000));
        assert_eq!(kept.snapshot().states, before, "the same labels on every run");
    }
}

#[test]
fn a_label_that_is_shown_keeps_its_series_and_the_newest_report_says_how_many_are_over() {
    let limits = LabelLimits { states: 2, pairs: 1 };
    let mut kept = LabelsInStore::new(RowKind::Intervals, limits);
    let rows = [
        row("user-1", "Ready", "English", 1_000, Some(1_100)),
        row("user-1", "Ready", "Spanish", 1_000, Some(1_050)),
        row("user-1", "Ready", "French", 1_000, Some(1_080)),
        row("user-1", "Break", "", 1_100, Some(1_110)),
        row("user-1", "Lunch", "", 1_110, Some(1_130)),
    ];
    kept.read(0, 1_000, &[row("user-1", "Ready", "English", 500, Some(600))]);
    kept.read(900, 1_500, &rows);
    let counts = [("Ready", "English"), ("Ready", "other"), ("Break", ""), ("other", "")]
        .map(|(state, skill)| kept.counts(state, skill));
    assert_eq!(counts, [(1, 100), (2, 130), (1, 10), (1, 20)].map(Some));
    let once = [("Break", 10), ("Ready", 100), ("other", 20)];
    let once: Vec<(Arc<str>, u64)> = once.map(|(state, ms)| (Arc::from(state), ms)).into();
    assert_eq!(kept.snapshot().state_millis, once);
    let sets = ["state", "state_skill"].map(|kind| label_sets(&kept.snapshot(), kind));
    assert_eq!(sets.map(|sets| (sets.own, sets.over)), [(2, 1), (1, 3)]);
    kept.restart(LabelLimits { states: 1, pairs: 0 });
    assert_eq!(kept.counts("Ready", "English"), Some((1, 100)), "lower limits take nothing away");
}

#[test]
fn where_several_skills_are_other_the_agent_is_there_once() {
    let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits { states: 9, pairs: 0 });
    let ready = |skill| row("user-1", "Ready", skill, 500, None);
    kept.read(0, 1_000, &[ready("English"), ready("Spanish"), ready("")]);
    let agents = kept.snapshot().skill_agents;
    let agents: Vec<(&str, u64)> = agents.iter().map(|one| (&*one.skill, one.agents)).collect();
    assert_eq!(agents, [("", 1), ("other", 1)]);
}

#[test]
fn a_skill_that_is_really_called_other_is_not_what_is_over_the_limit() {
    let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits { states: 9, pairs: 1 });
    kept.read(0, 1_000, &[row("user-1", "Break", "", 500, Some(600))]);
    let rows = [
        row("user-1", "Ready", "other", 1_000, Some(1_100)),
        row("user-1", "Ready", "Spanish", 1_100, Some(1_150)),
    ];
    kept.read(900, 1_500, &rows);
    let skills = kept.snapshot().states;
    let ready = skills.iter().filter(|one| &*one.state == "Ready");
    let ready: Vec<(&str, u64)> = ready.map(|one| (&*one.skill, one.millis)).collect();
    assert_eq!((ready[0], ready.len()), (("other", 50), 2));
    assert!(ready[1].0.starts_with("other…") && ready[1].1 == 100, "{ready:?}");
}

#[test]
fn a_visit_that_began_as_other_stays_there_when_its_label_gets_room() {
    let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits { states: 1, pairs: 0 });
    kept.read(0, 1_000, &[row("user-1", "Ready", "", 500, Some(600))]);
    let early =
        [row("user-1", "Ready", "Spanish", 1_200, None), row("user-1", "Lunch", "", 1_250, None)];
    kept.read(900, 1_500, &early);
    kept.restart(LabelLimits::default());
    let late = [
        row("user-1", "Ready", "Spanish", 1_200, Some(1_600)),
        row("user-1", "Ready", "Spanish", 1_700, None),
        row("user-1", "Lunch", "", 1_250, Some(1_300)),
        row("user-1", "Lunch", "", 1_750, Some(1_800)),
    ];
    kept.read(1_400, 2_000, &late);
    kept.read(1_400, 2_000, &late);
    let counts = [("Ready", "other"), ("Ready", "Spanish"), ("other", ""), ("Lunch", "")]
        .map(|(state, skill)| kept.counts(state, skill));
    assert_eq!(counts[..2], [Some((1, 400)), Some((1, 300))]);
    assert_eq!(counts[2..], [Some((1, 250)), Some((1, 50))], "it was known up to 1500");
}

#[test]
fn a_label_that_nobody_used_for_thirty_days_is_forgotten_and_its_number_is_free_again() {
    let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits { states: 2, pairs: 2 });
    let daily = |day: i64, skill| row("user-1", "Ready", skill, day * DAY + 1, Some(day * DAY + 9));
    kept.read(0, 1_000, &[row("user-1", "Lunch", "", 200, Some(300)), daily(0, "Old")]);
    kept.read(900, DAY, &[row("user-1", "Ready", "Old", 1_500, Some(1_600)), daily(0, "New")]);
    for day in 1..31 {
        kept.read(day * DAY, (day + 1) * DAY, &[daily(day, "New")]);
        let is_there = kept.counts("Ready", "Old").is_some();
        assert_eq!(is_there, day < 30, "on day {day}");
        assert_eq!(kept.counts("Lunch", "").is_some(), day < 30, "on day {day}");
    }
    let states = kept.snapshot().state_agents;
    assert_eq!(states.iter().map(|(state, _)| &**state).collect::<Vec<_>>(), ["Ready"]);
    assert_eq!(kept.snapshot().state_millis[0].1, 100 + 8 * 30, "the state keeps all its time");
    kept.restart(LabelLimits { states: 2, pairs: 2 });
    let numbers = kept.ledger.catalog.labels.numbers();
    let change = {
        let rows =
            [daily(31, "New"), daily(31, "Next"), row("user-2", "Break", "", 31 * DAY, None)];
        kept.order += 1;
        let origin = origin(0, kept.order, 31 * DAY - 100, 32 * DAY);
        kept.ledger.apply(&origin, &report(&rows)).1
    };
    assert_eq!(
        kept.ledger.catalog.labels.numbers(),
        numbers,
        "where labels were forgotten is room"
    );
    assert_eq!(kept.counts("Ready", "Next"), Some((1, 8)));
    kept.ledger.take_back(change);
    assert_eq!(kept.everything(), kept.kept());
}

#[test]
fn a_label_is_not_forgotten_while_a_visit_in_no_report_is_in_progress() {
    let mut kept = LabelsInStore::new(RowKind::Events, LabelLimits::default());
    kept.read(0, 1_000, &[row("user-1", "Parental leave", "", 200, None)]);
    for day in 0..40 {
        let other = row("user-2", "Ready", "", day * DAY + 2_000, Some(day * DAY + 3_000));
        // Agents whom no report mentions are forgotten; this one has a row of no visit.
        let idle = RawRow { count: 0, ..row("user-1", "Ready", "", day * DAY + 2_000, None) };
        kept.read(day * DAY + 1_000, (day + 1) * DAY + 1_000, &[other, idle]);
    }
    let (_, millis) = kept.counts("Parental leave", "").expect("it lasts");
    assert_eq!(i64::try_from(millis), Ok(40 * DAY));
}

#[test]
fn names_that_came_and_went_take_no_memory() {
    let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits::of(200_000));
    for month in 0..4_i64 {
        let from = month * 31 * DAY;
        let first = u32::try_from(month * 3_000).expect("small");
        kept.apply(from, from + DAY, &new_names(first, 3_000, from + 1, false));
    }
    kept.read(124 * DAY, 125 * DAY, &[row("user-0", "Break", "", 124 * DAY, None)]);
    let labels = kept.ledger.catalog.labels.iter().count();
    assert!(labels <= 3_004 && kept.ledger.catalog.names.len() <= 7_100, "{labels} labels");
    let records = kept.kept();
    let of_labels =
        records.keys().filter(|key| matches!(RecordKey::from_bytes(key), Ok(RecordKey::Label(_))));
    assert_eq!(of_labels.count(), labels);
}

#[test]
fn many_rows_of_one_agent_that_began_before_the_window_are_read_in_one_pass() {
    // With a pass over all visits for each row this takes minutes.
    const ROWS: i64 = 100_000;
    let rows = |window_to: i64| {
        let mut report = Report::default();
        for nth in (0..ROWS).rev() {
            let end = if nth % 2 == 0 { Some(ROWS + 50) } else { None };
            let row = row(
                "user-1",
                "Ready",
                ["a", "b", "c"][usize::try_from(nth % 3).unwrap_or(0)],
                nth,
                end.or(Some(window_to)),
            );
            report.push(&row);
        }
        report
    };
    let mut kept = LabelsInStore::new(RowKind::Intervals, LabelLimits::default());
    kept.read(0, 1, &[row("user-1", "Break", "", 0, Some(1))]);
    kept.apply(ROWS, ROWS + 100, &rows(ROWS + 100));
    let applied = kept.snapshot();
    kept.apply(ROWS, ROWS + 100, &rows(ROWS + 100));
    let counts = |snapshot: &Snapshot| {
        let each = snapshot.states.iter().map(|one| (one.entries, one.millis));
        each.collect::<Vec<_>>()
    };
    assert_eq!(counts(&kept.snapshot()), counts(&applied));
    let ready = applied.state_millis.iter().find(|(state, _)| &**state == "Ready");
    assert_eq!(ready.expect("the state").1, u64::try_from(ROWS + 99).expect("small"));
    assert_eq!(kept.snapshot().data_watermark, Some(at(ROWS + 100)));
}

#[test]
fn many_skills_of_one_agent_and_many_states_are_looked_up_and_not_searched_for() {
    // With a search through all series for each row this takes minutes.
    let mut kept =
        LabelsInStore::new(RowKind::Intervals, LabelLimits { states: 200, pairs: 30_000 });
    kept.read(0, 1_000, &[row("user-1", "Break", "", 1, Some(2))]);
    let report_from = |from: i64| {
        let mut report = Report::default();
        for nth in 0..25_000_i64 {
            report.push(&RawRow {
                state_name: Cow::Owned(format!("State {}", nth % 199)),
                skill_name: Cow::Owned(format!("Skill {nth}")),
                ..row("user-1", "", "", from + 1 + nth % 1_000, Some(from + 2_000))
            });
        }
        report
    };
    for from in [1_000, 61_000] {
        kept.apply(from, from + 3_000, &report_from(from));
    }
    let snapshot = kept.snapshot();
    assert_eq!(sums(&snapshot.states).0, 50_000);
    assert!(snapshot.agents().all(|agent| agent.labels.len() > 25_000));
}
