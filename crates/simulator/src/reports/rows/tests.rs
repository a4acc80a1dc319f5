use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use cxone_core::time::Timestamp;

use super::*;
use crate::floor::{FloorOptions, Visit};
use crate::jobs::AgentFilter;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// 2023-10-27T08:00:00Z.
fn morning() -> Timestamp {
    Timestamp::from_millis(1_698_393_600_000)
}

fn floor() -> Floor {
    Floor::new(FloorOptions { seed: 5, agents: 12, pace: NonZeroU32::new(4).expect("not zero") })
}

/// Two hours, submitted five minutes after they ended.
fn query() -> ReportQuery {
    let window = Window { from: morning(), to: morning().plus(2 * HOUR) };
    ReportQuery {
        submitted_at: window.to.plus(5 * MINUTE),
        window,
        filter: AgentFilter::All,
        job: 1,
    }
}

fn faults(text: &str) -> Faults {
    text.parse().expect("faults")
}

fn writer<'a>(floor: &'a Floor, rows: ReportRows, faults: &'a Faults) -> ReportWriter<'a> {
    ReportWriter { floor, rows, open_end: OpenEnd::Absent, faults, max_rows: 100_000 }
}

fn rows_with(rows: ReportRows, faults: &Faults, query: &ReportQuery) -> Vec<Value> {
    let floor = floor();
    writer(&floor, rows, faults)
        .write(query)
        .expect("few rows")
        .iter()
        .map(|row| json!(row))
        .collect()
}

fn rows_of(rows: ReportRows, query: &ReportQuery) -> Vec<Value> {
    rows_with(rows, &Faults::default(), query)
}

/// All visits around the window.
fn visits(query: &ReportQuery) -> Vec<Visit> {
    let floor = floor();
    let around =
        Window { from: query.window.from.minus(100 * HOUR), to: query.window.to.plus(100 * HOUR) };
    (0..12).flat_map(|agent| floor.visits(agent, around)).collect()
}

/// The row that should report `visit`.
fn expected(visit: &Visit, from: Timestamp, to: Option<Timestamp>) -> Value {
    let mut row = json!({
        "userId": visit.agent.id, "userName": visit.agent.name, "stateName": visit.state.name(), "stateId": visit.state.id(),
        "count": 1, "dateFrom": from.to_string(),
    });
    if let Some(to) = to {
        row["dateTo"] = json!(to.to_string());
    }
    if let Some(skill) = visit.skill.or((visit.agent.index % 2 == 1).then_some("")) {
        row["skillName"] = json!(skill);
    }
    row
}

fn true_end(visit: &Visit, query: &ReportQuery) -> Option<Timestamp> {
    (visit.end <= query.submitted_at).then_some(visit.end)
}

#[test]
fn whole_intervals_have_their_true_edges_and_open_visits_no_end() {
    let query = query();
    let touching = visits(&query).into_iter().filter(|visit| visit.touches(query.window));
    let expected: Vec<_> =
        touching.map(|visit| expected(&visit, visit.start, true_end(&visit, &query))).collect();
    let reported = rows_of(ReportRows::WholeIntervals, &query);
    assert_eq!(reported, expected);
    let (from, to) = (json!(query.window.from.to_string()), json!(query.window.to.to_string()));
    assert!(reported.iter().any(|row| row.get("dateTo").is_none()), "a visit is open");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    assert!(
        reported.iter().any(|row| text(&row["dateFrom"]) < text(&from)),
        "a start before the window"
    );
    assert!(reported.iter().any(|row| text(&row["dateTo"]) > text(&to)), "an end after the window");
}

#[test]
fn a_visit_that_ends_where_the_window_begins_is_not_reported() {
    let mut query = query();
    let inside = |visit: &&Visit| {
        query.window.contains(visit.start)
            && visit.start < visit.end
            && query.window.contains(visit.end)
    };
    let ends: Vec<_> =
        visits(&query).iter().filter(inside).map(|visit| visit.end).take(20).collect();
    for end in ends {
        query.window.from = end;
        for rows in [ReportRows::WholeIntervals, ReportRows::CutIntervals] {
            let touching =
                visits(&query).into_iter().filter(|visit| visit.touches(query.window)).count();
            assert_eq!(rows_of(rows, &query).len(), touching, "{end}");
        }
    }
}

#[test]
fn cut_intervals_end_at_the_windows_edges() {
    let query = query();
    let window = query.window;
    let touching = visits(&query).into_iter().filter(|visit| visit.touches(window));
    let expected: Vec<_> = touching
        .map(|visit| expected(&visit, visit.start.max(window.from), Some(visit.end.min(window.to))))
        .collect();
    assert_eq!(rows_of(ReportRows::CutIntervals, &query), expected);
}

#[test]
fn events_begin_in_the_window_with_or_without_their_end() {
    let query = query();
    let starts: Vec<_> =
        visits(&query).into_iter().filter(|visit| query.window.contains(visit.start)).collect();
    let with_end: Vec<_> =
        starts.iter().map(|visit| expected(visit, visit.start, true_end(visit, &query))).collect();
    assert_eq!(rows_of(ReportRows::Events, &query), with_end);
    let without_end: Vec<_> =
        starts.iter().map(|visit| expected(visit, visit.start, None)).collect();
    assert_eq!(rows_of(ReportRows::EventsWithoutEnd, &query), without_end);
}

#[test]
fn buckets_count_what_began_and_span_the_window() {
    let query = query();
    let truths: Vec<_> =
        floor().actual_totals(query.window).into_iter().filter(|truth| truth.entries > 0).collect();
    let reported = rows_of(ReportRows::Buckets, &query);
    assert_eq!(reported.len(), truths.len());
    for (row, truth) in reported.iter().zip(truths) {
        assert_eq!(row["userId"], json!(truth.agent));
        assert_eq!(row["stateName"], json!(truth.state));
        assert_eq!(row["skillName"].as_str().unwrap_or(""), truth.skill.unwrap_or(""));
        assert_eq!(row["count"], json!(truth.entries));
        assert_eq!(row["dateFrom"], json!(query.window.from.to_string()));
        assert_eq!(row["dateTo"], json!(query.window.to.to_string()));
    }
}

#[test]
fn nothing_is_reported_that_had_not_begun_at_the_submit() {
    let mut query = query();
    query.submitted_at = query.window.from.plus(HOUR);
    let submitted_at = json!(query.submitted_at.to_string());
    for rows in [ReportRows::WholeIntervals, ReportRows::Events] {
        let reported = rows_of(rows, &query);
        assert!(!reported.is_empty());
        assert!(reported.iter().all(|row| row["dateFrom"].as_str() <= submitted_at.as_str()));
        assert!(
            reported
                .iter()
                .all(|row| row.get("dateTo").and_then(Value::as_str) <= submitted_at.as_str())
        );
    }
}

#[test]
fn an_open_end_can_be_null() {
    let (floor, faults) = (floor(), Faults::default());
    let writer = ReportWriter {
        open_end: OpenEnd::Null,
        ..writer(&floor, ReportRows::WholeIntervals, &faults)
    };
    let reported: Vec<_> =
        writer.write(&query()).expect("few rows").iter().map(|row| json!(row)).collect();
    assert!(reported.iter().all(|row| row.get("dateTo").is_some()));
    assert!(reported.iter().any(|row| row["dateTo"].is_null()));
}

#[test]
fn filters_select_an_agent_a_team_or_all() {
    let ids = |filter: AgentFilter| -> BTreeSet<String> {
        let reported = rows_of(ReportRows::WholeIntervals, &ReportQuery { filter, ..query() });
        reported.iter().map(|row| row["userId"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(
        ids(AgentFilter::User("user-002".to_owned())),
        BTreeSet::from(["user-002".to_owned()])
    );
    assert_eq!(ids(AgentFilter::User("agent@example.com".to_owned())), BTreeSet::new());
    assert!(
        ids(AgentFilter::Team("team-1".to_owned()))
            .is_subset(&["user-001", "user-005", "user-009"].map(str::to_owned).into())
    );
    assert!(ids(AgentFilter::All).len() > 8);
}

#[test]
fn a_report_with_too_many_rows_is_an_error() {
    let (floor, faults) = (floor(), Faults::default());
    let writer = ReportWriter { max_rows: 10, ..writer(&floor, ReportRows::Events, &faults) };
    assert_eq!(writer.write(&query()), Err(TooManyRows));
}

#[test]
fn late_rows_are_missing_at_first_and_complete_after_late_by() {
    let faults = faults("late=0.5,late-by=10m");
    let mut query = query();
    query.submitted_at = query.window.to;
    let all = |query: &ReportQuery| rows_of(ReportRows::EventsWithoutEnd, query).len();
    let at_once = rows_with(ReportRows::EventsWithoutEnd, &faults, &query);
    assert!(at_once.len() < all(&query));
    let mut seen = at_once.len();
    for minutes in 1..=10 {
        query.submitted_at = query.window.to.plus(minutes * MINUTE);
        let now = rows_with(ReportRows::EventsWithoutEnd, &faults, &query);
        assert!(now.len() >= seen, "nothing reported is withdrawn");
        seen = now.len();
    }
    assert_eq!(seen, all(&query));
}

#[test]
fn revised_rows_are_wrong_at_first_and_correct_after_revised_for() {
    for fault in [RowFault::RevisedState, RowFault::RevisedEnd, RowFault::RevisedOpen] {
        let faults = faults(&format!("{}=0.5,revised-for=15m", fault.name()));
        let mut query = query();
        query.submitted_at = query.window.to;
        for rows in [ReportRows::WholeIntervals, ReportRows::CutIntervals, ReportRows::Events] {
            assert_ne!(
                rows_with(rows, &faults, &query),
                rows_of(rows, &query),
                "{fault:?} {rows:?}"
            );
            let later =
                ReportQuery { submitted_at: query.window.to.plus(15 * MINUTE), ..query.clone() };
            assert_eq!(
                rows_with(rows, &faults, &later),
                rows_of(rows, &later),
                "{fault:?} {rows:?}"
            );
        }
        // Even a wrong row is valid: its end is not before its start.
        for row in rows_with(ReportRows::WholeIntervals, &faults, &query) {
            assert!(
                row.get("dateTo").is_none_or(|end| end.as_str() >= row["dateFrom"].as_str()),
                "{row}"
            );
        }
    }
}

#[test]
fn a_visit_that_ended_before_the_window_may_be_reported_as_open() {
    let faults = faults("revised-open=1,revised-for=30m");
    let mut query = query();
    query.submitted_at = query.window.from.plus(MINUTE);
    query.window.to = query.submitted_at;
    let from = query.window.from;
    let ended_before = visits(&query)
        .into_iter()
        .filter(|visit| visit.end < from)
        .map(|visit| expected(&visit, visit.start, None));
    let ended_before: Vec<_> = ended_before.collect();
    assert!(
        rows_with(ReportRows::WholeIntervals, &faults, &query)
            .iter()
            .any(|row| ended_before.contains(row))
    );
}

#[test]
fn repeated_and_malformed_rows_do_not_replace_the_true_ones() {
    let query = query();
    let truth = rows_of(ReportRows::WholeIntervals, &query);
    let twice = rows_with(
        ReportRows::WholeIntervals,
        &Faults::default().with_row(RowFault::Repeated, 1.0),
        &query,
    );
    assert_eq!(twice.len(), 2 * truth.len());
    assert!(truth.iter().all(|row| twice.iter().filter(|other| *other == row).count() == 2));
    let with_malformed = rows_with(
        ReportRows::WholeIntervals,
        &Faults::default().with_row(RowFault::Malformed, 1.0),
        &query,
    );
    let (sound, malformed): (Vec<_>, Vec<_>) =
        with_malformed.into_iter().partition(|row| truth.contains(row));
    assert_eq!(sound, truth);
    assert_eq!(malformed.len(), truth.len());
    assert!(malformed.iter().any(Value::is_null));
    assert!(malformed.iter().any(|row| row["count"] == json!(1.5)));
    assert!(
        malformed.iter().any(|row| row["dateFrom"]
            .as_str()
            .is_some_and(|date| date.starts_with("2023/10/27T")))
    );
}

#[test]
fn shuffled_rows_are_the_same_rows() {
    let query = query();
    let mut truth = rows_of(ReportRows::WholeIntervals, &query);
    let mut shuffled = rows_with(
        ReportRows::WholeIntervals,
        &Faults::default().with_row(RowFault::Shuffled, 1.0),
        &query,
    );
    assert_ne!(shuffled, truth);
    truth.sort_by_key(ToString::to_string);
    shuffled.sort_by_key(ToString::to_string);
    assert_eq!(shuffled, truth);
}

#[test]
fn kinds_of_rows_are_parsed_by_name() {
    for rows in ReportRows::ALL {
        assert_eq!(rows.name().parse(), Ok(rows));
    }
    let error = "whole".parse::<ReportRows>().expect_err("no such kind").to_string();
    assert!(error.contains("`whole`") && error.contains("cut-intervals"), "{error}");
}

#[test]
fn a_client_that_polls_with_an_overlap_gets_exact_visits_despite_many_faults() {
    // The form of rows is for other tests; this client reads the documented one.
    let written = [Quirk::TimeFormat, Quirk::KeyCase, Quirk::Strings];
    let faults =
        written.into_iter().fold(Faults::many(), |faults, quirk| faults.with_quirk(quirk, 0.0));
    let (epoch, overlap) = (morning(), 15 * MINUTE);
    let mut known = BTreeMap::new();
    for minutes in 0..=60 {
        let submitted_at = epoch.plus(minutes * MINUTE);
        let window = Window { from: submitted_at.minus(overlap), to: submitted_at };
        let query =
            ReportQuery { submitted_at, window, filter: AgentFilter::All, job: u64::from(minutes) };
        for row in rows_with(ReportRows::WholeIntervals, &faults, &query) {
            let text = |field: &str| row[field].as_str().map(str::to_owned);
            let (Some(agent), Some(state), Some(from)) = (
                text("userId"),
                text("stateName").filter(|state| !state.is_empty()),
                text("dateFrom"),
            ) else {
                continue;
            };
            let sound = row["count"] == json!(1)
                && crate::dates::parse_date(&from).is_some()
                && text("dateTo").is_none_or(|to| to >= from);
            if sound {
                known.insert(
                    (agent, state, text("skillName").unwrap_or_default(), from),
                    text("dateTo"),
                );
            }
        }
    }
    // All but the last minutes, in which rows may still be late.
    let settled = Window { from: epoch, to: epoch.plus(50 * MINUTE) };
    let query = ReportQuery {
        submitted_at: epoch.plus(60 * MINUTE),
        window: settled,
        filter: AgentFilter::All,
        job: 0,
    };
    known.retain(|(_, _, _, from), _| {
        *from >= settled.from.to_string() && *from < settled.to.to_string()
    });
    let expected: BTreeMap<_, _> = visits(&query)
        .iter()
        .filter(|visit| settled.contains(visit.start))
        .map(|visit| {
            let key = (
                visit.agent.id.clone(),
                visit.state.name().to_owned(),
                visit.skill.unwrap_or("").to_owned(),
                visit.start.to_string(),
            );
            (key, true_end(visit, &query).map(|end| end.to_string()))
        })
        .collect();
    assert!(expected.len() > 100, "{} visits", expected.len());
    assert_eq!(known, expected);
}
