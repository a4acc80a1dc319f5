use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::super::floor::{FloorOptions, Visit};
use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// 2023-10-27T08:00:00Z.
fn morning() -> Timestamp {
    Timestamp::from_millis(1_698_393_600_000)
}

fn floor() -> Floor {
    Floor::new(FloorOptions { seed: 5, agents: 12, pace: NonZeroU32::new(4).expect("not zero") })
}

/// Two hours, asked for five minutes after they ended.
fn question() -> Question {
    let window = Window { from: morning(), to: morning().plus(2 * HOUR) };
    Question { asked: window.to.plus(5 * MINUTE), window, filter: Filter::All, job: 1 }
}

fn faults(text: &str) -> Faults {
    text.parse().expect("faults")
}

fn tell_with(rows: ReportRows, faults: &Faults, question: &Question) -> Vec<Value> {
    let floor = floor();
    let teller =
        Teller { floor: &floor, rows, open_end: OpenEnd::Absent, faults, max_rows: 100_000 };
    teller.tell(question).expect("few rows").iter().map(|row| json!(row)).collect()
}

fn tell(rows: ReportRows, question: &Question) -> Vec<Value> {
    tell_with(rows, &Faults::default(), question)
}

/// All visits around the question's window.
fn visits(question: &Question) -> Vec<Visit> {
    let floor = floor();
    let around = Window {
        from: question.window.from.minus(100 * HOUR),
        to: question.window.to.plus(100 * HOUR),
    };
    (0..12).flat_map(|agent| floor.visits(agent, around)).collect()
}

/// A visit as the row that should tell it.
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

fn true_end(visit: &Visit, question: &Question) -> Option<Timestamp> {
    (visit.end <= question.asked).then_some(visit.end)
}

#[test]
fn whole_intervals_keep_their_true_edges_and_what_goes_on_has_no_end() {
    let question = question();
    let touching = visits(&question).into_iter().filter(|visit| visit.touches(question.window));
    let expected: Vec<_> =
        touching.map(|visit| expected(&visit, visit.start, true_end(&visit, &question))).collect();
    let told = tell(ReportRows::WholeIntervals, &question);
    assert_eq!(told, expected);
    let (from, to) =
        (json!(question.window.from.to_string()), json!(question.window.to.to_string()));
    assert!(told.iter().any(|row| row.get("dateTo").is_none()), "something goes on");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    assert!(
        told.iter().any(|row| text(&row["dateFrom"]) < text(&from)),
        "a start before the window"
    );
    assert!(told.iter().any(|row| text(&row["dateTo"]) > text(&to)), "an end after the window");
}

#[test]
fn a_visit_that_ends_where_the_window_begins_is_not_told() {
    let mut question = question();
    let inside = |visit: &&Visit| {
        question.window.contains(visit.start)
            && visit.start < visit.end
            && question.window.contains(visit.end)
    };
    let ends: Vec<_> =
        visits(&question).iter().filter(inside).map(|visit| visit.end).take(20).collect();
    for end in ends {
        question.window.from = end;
        for rows in [ReportRows::WholeIntervals, ReportRows::CutIntervals] {
            let touching = visits(&question)
                .into_iter()
                .filter(|visit| visit.touches(question.window))
                .count();
            assert_eq!(tell(rows, &question).len(), touching, "{end}");
        }
    }
}

#[test]
fn cut_intervals_end_at_the_windows_edges() {
    let question = question();
    let window = question.window;
    let touching = visits(&question).into_iter().filter(|visit| visit.touches(window));
    let expected: Vec<_> = touching
        .map(|visit| expected(&visit, visit.start.max(window.from), Some(visit.end.min(window.to))))
        .collect();
    assert_eq!(tell(ReportRows::CutIntervals, &question), expected);
}

#[test]
fn events_begin_in_the_window_and_tell_their_end_or_not() {
    let question = question();
    let starts: Vec<_> = visits(&question)
        .into_iter()
        .filter(|visit| question.window.contains(visit.start))
        .collect();
    let with_end: Vec<_> = starts
        .iter()
        .map(|visit| expected(visit, visit.start, true_end(visit, &question)))
        .collect();
    assert_eq!(tell(ReportRows::Events, &question), with_end);
    let without_end: Vec<_> =
        starts.iter().map(|visit| expected(visit, visit.start, None)).collect();
    assert_eq!(tell(ReportRows::EventsWithoutEnd, &question), without_end);
}

#[test]
fn buckets_count_what_began_and_span_the_window() {
    let question = question();
    let truths: Vec<_> = floor()
        .actual_totals(question.window)
        .into_iter()
        .filter(|truth| truth.entries > 0)
        .collect();
    let told = tell(ReportRows::Buckets, &question);
    assert_eq!(told.len(), truths.len());
    for (row, truth) in told.iter().zip(truths) {
        assert_eq!(row["userId"], json!(truth.agent));
        assert_eq!(row["stateName"], json!(truth.state));
        assert_eq!(row["skillName"].as_str().unwrap_or(""), truth.skill.unwrap_or(""));
        assert_eq!(row["count"], json!(truth.entries));
        assert_eq!(row["dateFrom"], json!(question.window.from.to_string()));
        assert_eq!(row["dateTo"], json!(question.window.to.to_string()));
    }
}

#[test]
fn nothing_is_told_that_had_not_begun_when_it_was_asked() {
    let mut question = question();
    question.asked = question.window.from.plus(HOUR);
    let asked = json!(question.asked.to_string());
    for rows in [ReportRows::WholeIntervals, ReportRows::Events] {
        let told = tell(rows, &question);
        assert!(!told.is_empty());
        assert!(told.iter().all(|row| row["dateFrom"].as_str() <= asked.as_str()));
        assert!(told.iter().all(|row| row.get("dateTo").and_then(Value::as_str) <= asked.as_str()));
    }
}

#[test]
fn an_open_end_can_be_null() {
    let floor = floor();
    let teller = Teller {
        floor: &floor,
        rows: ReportRows::WholeIntervals,
        open_end: OpenEnd::Null,
        faults: &Faults::default(),
        max_rows: 100_000,
    };
    let told: Vec<_> =
        teller.tell(&question()).expect("few rows").iter().map(|row| json!(row)).collect();
    assert!(told.iter().all(|row| row.get("dateTo").is_some()));
    assert!(told.iter().any(|row| row["dateTo"].is_null()));
}

#[test]
fn filters_choose_an_agent_a_team_or_everybody() {
    let ids = |filter: Filter| -> BTreeSet<String> {
        let told = tell(ReportRows::WholeIntervals, &Question { filter, ..question() });
        told.iter().map(|row| row["userId"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(Filter::User("user-002".to_owned())), BTreeSet::from(["user-002".to_owned()]));
    assert_eq!(ids(Filter::User("agent@example.com".to_owned())), BTreeSet::new());
    assert!(
        ids(Filter::Team("team-1".to_owned()))
            .is_subset(&["user-001", "user-005", "user-009"].map(str::to_owned).into())
    );
    assert!(ids(Filter::All).len() > 8);
}

#[test]
fn a_report_with_too_many_rows_is_none() {
    let floor = floor();
    let teller = Teller {
        floor: &floor,
        rows: ReportRows::Events,
        open_end: OpenEnd::Absent,
        faults: &Faults::default(),
        max_rows: 10,
    };
    assert_eq!(teller.tell(&question()), Err(TooManyRows));
}

#[test]
fn late_rows_are_missing_at_first_and_all_there_when_their_time_is_over() {
    let faults = faults("late=0.5,late-by=10m");
    let mut question = question();
    question.asked = question.window.to;
    let all = |question: &Question| tell(ReportRows::EventsWithoutEnd, question).len();
    let at_once = tell_with(ReportRows::EventsWithoutEnd, &faults, &question);
    assert!(at_once.len() < all(&question));
    let mut seen = at_once.len();
    for minutes in 1..=10 {
        question.asked = question.window.to.plus(minutes * MINUTE);
        let now = tell_with(ReportRows::EventsWithoutEnd, &faults, &question);
        assert!(now.len() >= seen, "what was told stays");
        seen = now.len();
    }
    assert_eq!(seen, all(&question));
}

#[test]
fn revised_rows_are_wrong_at_first_and_right_when_their_time_is_over() {
    for fault in [RowFault::RevisedState, RowFault::RevisedEnd, RowFault::RevisedOpen] {
        let faults = faults(&format!("{}=0.5,revised-for=15m", fault.name()));
        let mut question = question();
        question.asked = question.window.to;
        for rows in [ReportRows::WholeIntervals, ReportRows::CutIntervals, ReportRows::Events] {
            assert_ne!(
                tell_with(rows, &faults, &question),
                tell(rows, &question),
                "{fault:?} {rows:?}"
            );
            let later =
                Question { asked: question.window.to.plus(15 * MINUTE), ..question.clone() };
            assert_eq!(tell_with(rows, &faults, &later), tell(rows, &later), "{fault:?} {rows:?}");
        }
        // Never wrong beyond what a reader can accept: the end is not before the start.
        for row in tell_with(ReportRows::WholeIntervals, &faults, &question) {
            assert!(
                row.get("dateTo").is_none_or(|end| end.as_str() >= row["dateFrom"].as_str()),
                "{row}"
            );
        }
    }
}

#[test]
fn a_visit_that_ended_before_the_window_may_be_told_as_if_it_went_on() {
    let faults = faults("revised-open=1,revised-for=30m");
    let mut question = question();
    question.asked = question.window.from.plus(MINUTE);
    question.window.to = question.asked;
    let from = question.window.from;
    let ended_before = visits(&question)
        .into_iter()
        .filter(|visit| visit.end < from)
        .map(|visit| expected(&visit, visit.start, None));
    let ended_before: Vec<_> = ended_before.collect();
    assert!(
        tell_with(ReportRows::WholeIntervals, &faults, &question)
            .iter()
            .any(|row| ended_before.contains(row))
    );
}

#[test]
fn repeated_and_malformed_rows_come_beside_the_true_ones() {
    let question = question();
    let truth = tell(ReportRows::WholeIntervals, &question);
    let twice = tell_with(
        ReportRows::WholeIntervals,
        &Faults::default().with_row(RowFault::Repeated, 1.0),
        &question,
    );
    assert_eq!(twice.len(), 2 * truth.len());
    assert!(truth.iter().all(|row| twice.iter().filter(|other| *other == row).count() == 2));
    let with_malformed = tell_with(
        ReportRows::WholeIntervals,
        &Faults::default().with_row(RowFault::Malformed, 1.0),
        &question,
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
    let question = question();
    let mut truth = tell(ReportRows::WholeIntervals, &question);
    let mut shuffled = tell_with(
        ReportRows::WholeIntervals,
        &Faults::default().with_row(RowFault::Shuffled, 1.0),
        &question,
    );
    assert_ne!(shuffled, truth);
    truth.sort_by_key(ToString::to_string);
    shuffled.sort_by_key(ToString::to_string);
    assert_eq!(shuffled, truth);
}

#[test]
fn kinds_of_rows_are_known_by_name() {
    for rows in ReportRows::ALL {
        assert_eq!(rows.name().parse(), Ok(rows));
    }
    let error = "whole".parse::<ReportRows>().expect_err("no such kind").to_string();
    assert!(error.contains("`whole`") && error.contains("cut-intervals"), "{error}");
}

#[test]
fn a_reader_that_asks_again_for_the_overlap_learns_the_truth_of_many_faults() {
    // How rows are written is for other tests; this reader reads the documented form.
    let written = [Quirk::TimeFormat, Quirk::KeyCase, Quirk::Strings];
    let faults =
        written.into_iter().fold(Faults::many(), |faults, odd| faults.with_quirk(odd, 0.0));
    let (epoch, overlap) = (morning(), 15 * MINUTE);
    let mut known = BTreeMap::new();
    for minutes in 0..=60 {
        let asked = epoch.plus(minutes * MINUTE);
        let window = Window { from: asked.minus(overlap), to: asked };
        let question = Question { asked, window, filter: Filter::All, job: u64::from(minutes) };
        for row in tell_with(ReportRows::WholeIntervals, &faults, &question) {
            let text = |field: &str| row[field].as_str().map(str::to_owned);
            let (Some(agent), Some(state), Some(from)) = (
                text("userId"),
                text("stateName").filter(|state| !state.is_empty()),
                text("dateFrom"),
            ) else {
                continue;
            };
            let sound = row["count"] == json!(1)
                && crate::dates::parse(&from).is_some()
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
    let question =
        Question { asked: epoch.plus(60 * MINUTE), window: settled, filter: Filter::All, job: 0 };
    known.retain(|(_, _, _, from), _| {
        *from >= settled.from.to_string() && *from < settled.to.to_string()
    });
    let expected: BTreeMap<_, _> = visits(&question)
        .iter()
        .filter(|visit| settled.contains(visit.start))
        .map(|visit| {
            let key = (
                visit.agent.id.clone(),
                visit.state.name().to_owned(),
                visit.skill.unwrap_or("").to_owned(),
                visit.start.to_string(),
            );
            (key, true_end(visit, &question).map(|end| end.to_string()))
        })
        .collect();
    assert!(expected.len() > 100, "{} visits", expected.len());
    assert_eq!(known, expected);
}
