//! The meaning of the counts, case by case.

mod buckets;
mod labels;
mod live;
mod model;
mod reconfiguration;
mod set_back;
mod snapshot;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    CountingRules, Detail, LabelLimits, Ledger, ReportOrigin, RowCounts, RowKind, SubmitOrder,
    TargetId,
};
use crate::page::snapshot::{AgentSeries, LabelSeries, Snapshot};
use crate::page::{SnapshotOptions, TargetHealth};
use crate::report::{RawRow, Report};
use crate::time::{Timestamp, Window};

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn ledger(rows: RowKind, detail: Detail, overlap: i64, targets: usize) -> Ledger {
    let overlap = Duration::from_millis(u64::try_from(overlap).expect("positive"));
    let wrap_up = vec!["Wrap-up".to_owned(), "ACW".to_owned()];
    Ledger::new(
        CountingRules {
            rows,
            lookback: Duration::from_secs(3600),
            overlap,
            wrap_up,
            detail,
            labels: LabelLimits::default(),
        },
        targets,
    )
}

pub(super) fn origin(target: usize, order: usize, from: i64, to: i64) -> ReportOrigin {
    let order = SubmitOrder(u64::try_from(order).expect("small"));
    ReportOrigin {
        target: TargetId::new(target),
        order,
        oldest_pending: order,
        window: Window { from: at(from), to: at(to) },
    }
}

pub(super) fn row(
    agent: &'static str,
    state: &'static str,
    skill: &'static str,
    from: i64,
    to: Option<i64>,
) -> RawRow<'static> {
    RawRow {
        user_id: Cow::Borrowed(agent),
        state_name: Cow::Borrowed(state),
        skill_name: Cow::Borrowed(skill),
        count: 1,
        from: at(from),
        to: to.map(at),
        ..RawRow::default()
    }
}

pub(super) fn report(rows: &[RawRow<'_>]) -> Report {
    let mut report = Report::default();
    rows.iter().for_each(|row| report.push(row));
    report
}

pub(super) fn show(targets: usize) -> SnapshotOptions {
    let target = |index: usize| TargetHealth {
        name: Arc::from(format!("target-{index}")),
        up: true,
        last_success: None,
        stale: false,
    };
    SnapshotOptions {
        targets: (0..targets).map(target).collect(),
        limits: BTreeMap::new(),
        max_series: 200_000,
        agent_info: false,
    }
}

/// The first agent that is shown.
pub(super) fn first(snapshot: &Snapshot) -> AgentSeries {
    snapshot.agents().next().expect("an agent")
}

/// A ledger with one target, and its reports in order.
struct SingleTarget {
    ledger: Ledger,
    order: usize,
}

impl SingleTarget {
    fn new(rows: RowKind, detail: Detail) -> Self {
        Self { ledger: ledger(rows, detail, 100, 1), order: 0 }
    }

    fn read(&mut self, from: i64, to: i64, rows: &[RawRow<'_>]) -> RowCounts {
        self.order += 1;
        self.ledger.apply(&origin(0, self.order, from, to), &report(rows)).0
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.ledger, &show(1))
    }

    fn label(&self, agent: &str, state: &str, skill: &str) -> LabelSeries {
        let snapshot = self.snapshot();
        let agent = snapshot.agents().find(|series| &*series.agent == agent).expect("the agent");
        agent
            .labels
            .iter()
            .find(|label| &*label.state == state && &*label.skill == skill)
            .expect("the label")
            .clone()
    }

    fn counts(&self, state: &str, skill: &str) -> (u64, u64) {
        let label = self.label("user-1", state, skill);
        (label.entries, label.millis)
    }
}

#[test]
fn the_first_report_shows_its_label_sets_at_zero() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(
        0,
        1_000,
        &[row("user-1", "Ready", "English", 100, Some(200)), row("user-1", "Lunch", "", 200, None)],
    );
    assert_eq!(one.counts("Ready", "English"), (0, 0));
    assert_eq!(one.label("user-1", "Ready", "English").window_entries, Some(1));
    assert_eq!(one.counts("Lunch", ""), (0, 0));
    assert_eq!(one.label("user-1", "Lunch", "").start, Some(at(200)));
    assert_eq!(one.ledger.epoch(TargetId::new(0)), Some(at(1_000)));
}

#[test]
fn a_visit_that_began_before_the_epoch_is_time_but_no_entry() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, None)]);
    one.read(
        900,
        1_500,
        &[row("user-1", "Lunch", "", 200, Some(1_300)), row("user-1", "Ready", "", 1_300, None)],
    );
    assert_eq!(one.counts("Lunch", ""), (0, 300));
    assert_eq!(one.counts("Ready", ""), (1, 200));
}

#[test]
fn a_row_cut_at_its_windows_start_is_the_visit_that_reaches_there() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, Some(1_000))]);
    one.read(
        900,
        1_500,
        &[
            row("user-1", "Lunch", "", 900, Some(1_100)),
            row("user-1", "Ready", "", 1_100, Some(1_500)),
        ],
    );
    one.read(1_400, 2_000, &[row("user-1", "Ready", "", 1_400, Some(2_000))]);
    assert_eq!(one.counts("Lunch", ""), (0, 100));
    assert_eq!(one.counts("Ready", ""), (1, 900));
    assert_eq!(one.label("user-1", "Ready", "").start, Some(at(1_100)));
}

#[test]
fn a_row_cut_at_its_windows_start_with_nothing_known_adds_time_and_no_entry() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-2", "Ready", "", 10, None)]);
    one.read(900, 1_500, &[row("user-1", "Ready", "", 900, None)]);
    assert_eq!(one.counts("Ready", ""), (0, 500));
    assert_eq!(one.label("user-1", "Ready", "").start, Some(at(900)));
}

#[test]
fn a_visit_that_starts_exactly_at_a_later_windows_start_stays_one_entry() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, None)]);
    one.read(
        900,
        2_000,
        &[row("user-1", "Lunch", "", 200, Some(1_900)), row("user-1", "Ready", "", 1_900, None)],
    );
    one.read(1_900, 2_500, &[row("user-1", "Ready", "", 1_900, None)]);
    assert_eq!(one.counts("Ready", ""), (1, 600));
}

#[test]
fn neighbours_in_one_state_are_two_visits_and_a_visit_of_no_length_is_one_entry() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, None)]);
    let rows = [
        row("user-1", "Lunch", "", 200, Some(1_100)),
        row("user-1", "Ready", "", 1_100, Some(1_200)),
        row("user-1", "Ready", "", 1_200, Some(1_300)),
        row("user-1", "Login", "", 1_300, Some(1_300)),
        row("user-1", "Ready", "", 1_300, None),
    ];
    one.read(900, 1_500, &rows);
    one.read(1_150, 1_500, &rows[1..]);
    assert_eq!(one.counts("Ready", ""), (3, 400));
    assert_eq!(one.counts("Login", ""), (1, 0));
}

#[test]
fn several_skills_at_once_are_one_visit_each_and_with_detail_agent_one() {
    let rows = [
        row("user-1", "Ready", "English", 1_100, Some(1_300)),
        row("user-1", "Ready", "Spanish", 1_100, Some(1_400)),
    ];
    for (detail, expected) in [
        (Detail::AgentSkill, vec![("English", 1, 200), ("Spanish", 1, 300)]),
        (Detail::Agent, vec![("", 1, 300)]),
    ] {
        let mut one = SingleTarget::new(RowKind::Intervals, detail);
        one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, Some(500))]);
        one.read(900, 2_000, &rows);
        one.read(1_900, 9_000, &[row("user-1", "Lunch", "", 8_000, None)]);
        one.read(8_900, 9_500, &[row("user-1", "Lunch", "", 8_000, None)]);
        for (skill, entries, millis) in expected {
            let label = one.label("user-1", "Ready", skill);
            assert_eq!(
                (label.entries, label.millis, label.window_entries),
                (entries, millis, Some(1)),
                "{detail:?} {skill}"
            );
        }
        let states = one.snapshot().states;
        let total: Vec<(&str, u64)> =
            states.iter().filter(|s| &*s.state == "Ready").map(|s| (&*s.skill, s.millis)).collect();
        assert_eq!(
            total,
            [("English", 200), ("Spanish", 300)],
            "aggregates distinguish skills at every level of detail"
        );
    }
}

#[test]
fn time_on_several_skills_counts_once_for_the_agent_and_once_over_all_agents() {
    let rows = [
        row("user-1", "Ready", "English", 1_100, Some(1_300)),
        row("user-1", "Ready", "Spanish", 1_200, Some(1_400)),
        row("user-1", "Ready", "French", 1_150, Some(1_160)),
        row("user-1", "Ready", "English", 1_500, Some(1_600)),
        row("user-1", "Ready", "French", 1_500, Some(1_550)),
        row("user-2", "Ready", "English", 1_000, Some(1_100)),
    ];
    for detail in [Detail::AgentSkill, Detail::Agent, Detail::Aggregate] {
        let mut one = SingleTarget::new(RowKind::Intervals, detail);
        one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, Some(500))]);
        one.read(900, 2_000, &rows);
        let snapshot = one.snapshot();
        let over_all = [(Arc::from("Lunch"), 0), (Arc::from("Ready"), 500)];
        assert_eq!(snapshot.state_millis, over_all, "{detail:?}");
        let of_one = snapshot.agents().find(|agent| &*agent.agent == "user-1");
        if detail == Detail::Aggregate {
            assert!(of_one.is_none());
            continue;
        }
        let states = of_one.expect("the agent").states;
        assert_eq!(states, [(Arc::from("Lunch"), 0), (Arc::from("Ready"), 400)], "{detail:?}");
    }
}

#[test]
fn a_late_row_counts_when_it_comes() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, None)]);
    one.read(900, 1_500, &[row("user-1", "Lunch", "", 200, Some(1_450))]);
    one.read(
        1_400,
        2_000,
        &[
            row("user-1", "Lunch", "", 200, Some(1_450)),
            row("user-1", "Ready", "", 1_450, Some(1_480)),
        ],
    );
    assert_eq!(one.counts("Ready", ""), (1, 30));
}

#[test]
fn a_revision_never_lets_a_counter_fall_and_is_counted() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, Some(1_000))]);
    one.read(900, 2_000, &[row("user-1", "Ready", "", 1_950, Some(1_990))]);
    let applied = one.read(1_900, 2_500, &[row("user-1", "Training", "", 1_950, Some(1_960))]);
    assert_eq!(applied.revised, 1);
    assert_eq!(one.counts("Ready", ""), (1, 40));
    assert_eq!(one.counts("Training", ""), (1, 10));
    one.read(2_400, 3_000, &[row("user-1", "Ready", "", 2_600, Some(2_700))]);
    assert_eq!(one.counts("Ready", ""), (1, 100), "the truth has caught up");
}

#[test]
fn a_repeated_report_changes_nothing() {
    let rows =
        [row("user-1", "Ready", "", 1_000, Some(1_450)), row("user-1", "Wrap-up", "", 1_450, None)];
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[]);
    one.read(900, 1_500, &rows);
    let before = one.snapshot();
    let applied = one.read(900, 1_500, &rows);
    let mut after = one.snapshot();
    assert!(after.agents().eq(before.agents()));
    after.shards.clone_from(&before.shards);
    assert_eq!(after, before);
    assert_eq!((applied.revised, applied.late), (0, 0));
}

#[test]
fn every_name_of_wrap_up_becomes_one_state() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(
        0,
        1_000,
        &[row("user-1", "ACW", "", 500, Some(600)), row("user-1", "Wrap-up", "", 700, None)],
    );
    assert_eq!(one.label("user-1", "Wrap-up", "").window_entries, Some(2));
    assert_eq!(one.snapshot().state_agents, [(Arc::from("Wrap-up"), 1)]);
}

#[test]
fn an_aggregated_row_adds_its_count_at_its_start_and_is_rejected_where_its_window_may_have_cut_it()
{
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, None)]);
    let bucket = |from| RawRow { count: 4, ..row("user-1", "Ready", "", from, Some(1_400)) };
    let applied = one.read(900, 1_500, &[bucket(1_200), bucket(900)]);
    assert_eq!(applied.cut_buckets, 1);
    assert_eq!(one.counts("Ready", ""), (4, 0));
    one.read(1_100, 1_500, &[bucket(1_200)]);
    assert_eq!(one.counts("Ready", ""), (4, 0));
}

#[test]
fn a_count_of_zero_adds_nothing() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[RawRow { count: 0, ..row("user-1", "Ready", "", 200, None) }]);
    assert!(first(&one.snapshot()).labels.is_empty());
    assert_eq!(one.snapshot().agents_seen, 1);
}

#[test]
fn an_agent_that_the_newest_report_leaves_out_has_no_state_and_stands_still() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, None)]);
    one.read(900, 2_000, &[row("user-2", "Ready", "", 950, None)]);
    let snapshot = one.snapshot();
    assert_eq!(snapshot.state_agents, [(Arc::from("Ready"), 1)]);
    assert_eq!(first(&snapshot).observed, Some(at(1_000)));
    assert_eq!(first(&snapshot).labels[0].start, None);
    assert_eq!(snapshot.agents_seen, 2);
}

#[test]
fn with_events_an_agent_that_is_not_mentioned_is_still_where_it_was() {
    let mut one = SingleTarget::new(RowKind::Events, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, None)]);
    one.read(900, 2_000, &[]);
    let snapshot = one.snapshot();
    assert_eq!(snapshot.state_agents, [(Arc::from("Ready"), 1)]);
    assert_eq!(first(&snapshot).observed, Some(at(2_000)));
    assert_eq!(one.counts("Ready", ""), (0, 1_000));
}

#[test]
fn one_state_at_a_time_ends_where_the_next_row_begins_whatever_its_state() {
    let mut one = SingleTarget::new(RowKind::States, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Unavailable", "", 200, Some(1_000))]);
    one.read(900, 2_000, &[row("user-1", "Unavailable", "", 1_300, None)]);
    one.read(1_900, 3_000, &[row("user-1", "Ready", "", 2_500, None)]);
    assert_eq!(
        one.counts("Unavailable", ""),
        (1, 1_500),
        "300 ms of the first visit, and 1,200 of the second"
    );
    assert_eq!(one.counts("Ready", ""), (1, 500));
}

#[test]
fn the_end_of_a_state_that_began_before_the_window_is_taken_and_is_not_late() {
    let mut one = SingleTarget::new(RowKind::States, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, Some(1_500))]);
    for (from, to) in [(900, 2_000), (1_900, 3_000)] {
        let applied = one.read(from, to, &[row("user-1", "Ready", "", 200, Some(to + 7))]);
        assert_eq!((applied.late, applied.revised), (0, 0));
    }
    one.read(2_900, 4_000, &[row("user-1", "Ready", "", 200, Some(3_500))]);
    assert_eq!(one.counts("Ready", ""), (0, 2_500));
    let unknown = one.read(3_900, 5_000, &[row("user-1", "Break", "", 3_500, Some(4_500))]);
    assert_eq!(unknown.late, 1, "what is first reported after the overlap is too late");
}

#[test]
fn a_visit_of_no_length_takes_no_time_from_another_at_the_same_instant() {
    let twins = |ends: &[Option<i64>]| {
        ends.iter().map(|end| row("user-1", "Ready", "", 1_200, *end)).collect::<Vec<_>>()
    };
    for rows in [RowKind::States, RowKind::Events] {
        for ends in [
            &[Some(1_200), None][..],
            &[None, Some(1_200)],
            &[Some(1_200), Some(9_000)],
            &[Some(1_200), Some(1_300), Some(9_000)],
            &[Some(9_000), Some(1_300), Some(1_200)],
        ] {
            let mut one = SingleTarget::new(rows, Detail::AgentSkill);
            one.read(0, 1_000, &[row("user-1", "Break", "", 200, Some(1_200))]);
            one.read(900, 2_000, &twins(ends));
            assert_eq!(one.counts("Ready", ""), (1, 800), "{rows:?} {ends:?}");
            let now = one.snapshot().state_agents;
            assert_eq!(now, [(Arc::from("Break"), 0), (Arc::from("Ready"), 1)], "{ends:?}");
            // It lasts longer than the overlap, and the one of no length is reported once more.
            one.read(1_900, 3_000, &twins(&[Some(1_200)]));
            one.read(2_900, 9_500, &[row("user-1", "Break", "", 9_000, None)]);
            assert_eq!(one.counts("Ready", ""), (1, 7_800), "{rows:?} {ends:?}");
        }
    }
}

#[test]
fn states_in_progress_may_be_reported_with_no_length() {
    let mut one = SingleTarget::new(RowKind::States, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, Some(200))]);
    one.read(900, 2_000, &[]);
    assert_eq!(one.counts("Ready", ""), (0, 1_000));
    one.read(1_900, 3_000, &[row("user-1", "Break", "", 2_500, Some(2_500))]);
    assert_eq!((one.counts("Ready", ""), one.counts("Break", "")), ((0, 1_500), (1, 500)));
    let both = [
        row("user-1", "Break", "", 2_500, Some(3_200)),
        row("user-1", "Ready", "", 3_200, Some(3_200)),
    ];
    one.read(2_400, 4_000, &both);
    assert_eq!((one.counts("Ready", ""), one.counts("Break", "")), ((1, 2_300), (1, 700)));
}

#[test]
fn a_last_visit_of_no_length_is_over_where_others_are_reported_with_a_length() {
    let mut one = SingleTarget::new(RowKind::States, Detail::AgentSkill);
    let others = ["user-2", "user-3"].map(|agent| row(agent, "Break", "", 300, Some(800)));
    let rows = [&others[..], &[row("user-1", "Ready", "", 700, Some(700))]].concat();
    one.read(0, 1_000, &rows);
    one.read(900, 2_000, &[row("user-1", "Ready", "", 1_700, Some(1_700))]);
    assert_eq!(one.counts("Ready", ""), (1, 0));
}

#[test]
fn a_row_that_was_counted_is_not_late_though_its_start_is_rounded_down() {
    let mut one = SingleTarget::new(RowKind::States, Detail::AgentSkill);
    one.read(0, 10_000, &[row("user-1", "Break", "", 1_000, Some(11_000))]);
    // It began at 11.9 s.
    let rounded = row("user-1", "Ready", "", 11_000, Some(11_000));
    let on = row("user-1", "Break", "", 12_000, Some(14_000));
    one.read(9_900, 12_000, &[row("user-1", "Break", "", 1_000, Some(11_000)), rounded.clone()]);
    let applied = one.read(11_900, 13_000, &[rounded, on]);
    assert_eq!((applied.late, applied.revised), (0, 0));
    assert_eq!(one.counts("Ready", ""), (1, 0));
}

#[test]
fn whose_history_was_not_read_is_known_no_further_and_counts_later() {
    let mut one = SingleTarget::new(RowKind::States, Detail::AgentSkill);
    let first = ["user-1", "user-2"].map(|agent| row(agent, "Ready", "", 200, None));
    one.read(0, 1_000, &first);
    let mut only = |from: i64, to: i64, agents: &[&str], rows: &[RawRow<'_>]| {
        let mut report = report(rows);
        report.cover(agents);
        one.order += 1;
        let applied = one.ledger.apply(&origin(0, one.order, from, to), &report).0;
        let seen = |agent: &str| {
            let snapshot = Snapshot::of(&one.ledger, &show(1));
            let found = snapshot.agents().find(|series| &*series.agent == agent).expect("known");
            (found.observed.expect("not stale").millis(), found.labels[0].start.is_some())
        };
        (applied.late, seen("user-1"), seen("user-2"))
    };
    let outcome = only(900, 2_000, &["user-1"], &[]);
    assert_eq!(outcome, (0, (2_000, true), (1_000, false)));
    only(1_900, 9_000, &["user-1", "user-3"], &[]);
    let late = row("user-2", "Break", "", 1_500, Some(8_950));
    let outcome = only(8_900, 10_000, &["user-1", "user-2"], &[late]);
    assert_eq!((outcome.0, outcome.2.0), (0, 10_000));
    let label = |state: &str| one.label("user-2", state, "");
    assert_eq!((label("Ready").millis, label("Break").millis), (500, 7_450));
    assert_eq!(label("Break").entries, 1);
}

#[test]
fn the_state_now_is_the_visit_with_the_latest_start_and_ties_go_by_name() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    let rows = [
        row("user-1", "Ready", "English", 300, None),
        row("user-1", "Lunch", "", 500, None),
        row("user-1", "Break", "a", 500, None),
        row("user-1", "Break", "b", 500, None),
        row("user-1", "Call", "", 600, Some(700)),
    ];
    one.read(0, 1_000, &rows);
    let snapshot = one.snapshot();
    let here: Vec<(&str, u64)> =
        snapshot.state_agents.iter().map(|(state, agents)| (&**state, *agents)).collect();
    assert_eq!(here, [("Break", 1), ("Call", 0), ("Lunch", 0), ("Ready", 0)]);
    let skills: u64 = snapshot.skill_agents.iter().map(|skill| skill.agents).sum();
    assert_eq!(skills, 2, "once in each skill that it is in the state for");
}

#[test]
fn an_agent_is_over_the_limit_at_its_own_observed_time() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(
        0,
        400_000,
        &[row("user-1", "Wrap-up", "", 99_999, None), row("user-2", "Wrap-up", "", 100_000, None)],
    );
    let mut show = show(1);
    show.limits.insert(Arc::from("Wrap-up"), Duration::from_secs(300));
    show.limits.insert(Arc::from("Lunch"), Duration::from_secs(60));
    assert_eq!(
        Snapshot::of(&one.ledger, &show).over_limit,
        [(Arc::from("Lunch"), 0), (Arc::from("Wrap-up"), 1)]
    );
}

#[test]
fn a_stale_targets_agents_leave_the_floor_but_keep_their_counters() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, None)]);
    one.read(900, 2_000, &[row("user-1", "Ready", "", 200, None)]);
    let mut show = show(1);
    show.targets[0].stale = true;
    let snapshot = Snapshot::of(&one.ledger, &show);
    assert_eq!(snapshot.state_agents, [(Arc::from("Ready"), 0)]);
    let agent = first(&snapshot);
    assert_eq!(
        (agent.observed, agent.labels[0].start, agent.labels[0].window_entries),
        (None, None, None)
    );
    assert_eq!(agent.labels[0].millis, 1_000);
    assert_eq!(snapshot.targets[0].watermark, Some(at(2_000)));
}

#[test]
fn the_series_limit_leaves_out_whole_agents_and_keeps_the_aggregates() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    let agents = ["user-3", "user-1", "user-2"];
    one.read(0, 1_000, &agents.map(|agent| row(agent, "Ready", "", 200, None)));
    let all = one.snapshot();
    assert_eq!(
        all.agents().map(|agent| agent.agent.to_string()).collect::<Vec<_>>(),
        ["user-1", "user-2", "user-3"]
    );
    let limited =
        Snapshot::of(&one.ledger, &SnapshotOptions { max_series: all.series() - 1, ..show(1) });
    assert_eq!(limited.agents().count(), 2);
    assert_eq!(limited.states, all.states);
    assert_eq!(limited.series() + limited.series_dropped, all.series());
    assert!(limited.series() <= limited.series_limit);
}

#[test]
fn what_ended_before_the_horizon_is_late() {
    let mut ledger = ledger(RowKind::Intervals, Detail::AgentSkill, 100, 1);
    ledger.apply(&origin(0, 1, 0, 1_000), &report(&[row("user-1", "Ready", "", 200, None)]));
    ledger.apply(&origin(0, 2, 900, 2_000), &report(&[row("user-1", "Ready", "", 200, None)]));
    let (applied, _) = ledger.apply(
        &origin(0, 3, 1_900, 2_500),
        &report(&[
            row("user-1", "Lunch", "", 1_500, Some(1_899)),
            row("user-1", "Ready", "", 200, None),
        ]),
    );
    assert_eq!(applied.late, 1);
}

#[test]
fn a_finished_visit_is_measured_once() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, None)]);
    let rows = [
        row("user-1", "Ready", "", 200, Some(1_100)),
        row("user-1", "Wrap-up", "", 1_100, Some(31_100)),
    ];
    one.read(
        900,
        2_000,
        &[row("user-1", "Ready", "", 200, Some(1_100)), row("user-1", "Wrap-up", "", 1_100, None)],
    );
    one.read(1_900, 40_000, &rows);
    one.read(1_900, 40_000, &rows);
    one.read(31_000, 50_000, &rows[1..]);
    let states = one.snapshot().states;
    let wrap_up = states.iter().find(|state| &*state.state == "Wrap-up").expect("the state");
    assert_eq!(
        (wrap_up.visits.count(), wrap_up.visits.sum_millis, wrap_up.visits.buckets[3]),
        (1, 30_000, 1)
    );
    let ready = states.iter().find(|state| &*state.state == "Ready").expect("the state");
    assert_eq!(ready.visits.count(), 0, "it began before the epoch");
}

#[test]
fn an_agent_without_a_row_for_thirty_days_is_forgotten_and_the_totals_stay() {
    const DAY: i64 = 24 * 3600 * 1000;
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Ready", "", 200, Some(300))]);
    one.read(900, 2_000, &[row("user-1", "Ready", "", 1_200, Some(1_300))]);
    one.read(1_900, 30 * DAY, &[row("user-2", "Ready", "", 5_000, Some(5_001))]);
    assert_eq!(one.snapshot().agents_seen, 2);
    one.read(30 * DAY - 100, 30 * DAY + 3_600_001, &[row("user-2", "Ready", "", 30 * DAY, None)]);
    let snapshot = one.snapshot();
    assert_eq!(snapshot.agents_seen, 1);
    assert_eq!(snapshot.states[0].entries, 3);
}
