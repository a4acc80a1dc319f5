use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2023-10-27T08:00:00Z.
const MORNING: i64 = 1_698_393_600_000;

fn floor(seed: u64, agents: u32, pace: u32) -> Floor {
    Floor::new(FloorOptions { seed, agents, pace: NonZeroU32::new(pace).expect("a pace") })
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn window(from: i64, to: i64) -> Window {
    Window { from: at(from), to: at(to) }
}

fn all(floor: &Floor, window: Window) -> Vec<Visit> {
    (0..floor.agents().len()).flat_map(|index| floor.visits(index, window)).collect()
}

#[test]
fn the_same_seed_gives_the_same_floor_and_another_seed_another() {
    let day = window(MORNING, MORNING + 24 * HOUR);
    assert_eq!(all(&floor(7, 12, 1), day), all(&floor(7, 12, 1), day));
    assert_ne!(all(&floor(7, 12, 1), day), all(&floor(8, 12, 1), day));
}

#[test]
fn windows_compose() {
    let floor = floor(3, 9, 4);
    for agent in 0..9 {
        for (a, b, c) in [
            (0, 37 * MINUTE, 5 * HOUR),
            (-30 * HOUR, 1, 40 * HOUR),
            (-90 * HOUR, -10 * HOUR, -9 * HOUR),
        ] {
            let (a, b, c) = (MORNING + a, MORNING + b, MORNING + c);
            let whole = floor.visits(agent, window(a, c));
            let mut parts = floor.visits(agent, window(a, b));
            for visit in floor.visits(agent, window(b, c)) {
                if !parts.contains(&visit) {
                    parts.push(visit);
                }
            }
            assert_eq!(whole, parts, "agent {agent}");
        }
    }
}

#[test]
fn a_window_at_any_edge_of_a_visit_contains_what_touches_it() {
    let floor = floor(5, 6, 1);
    let around = floor.visits(4, window(MORNING - 100 * HOUR, MORNING + 100 * HOUR));
    for visit in around.iter().filter(|visit| {
        at(MORNING - 90 * HOUR) < visit.start && visit.end < at(MORNING + 90 * HOUR)
    }) {
        for (from, to) in
            [(visit.start, visit.end), (visit.end, visit.end.plus(Duration::from_millis(1)))]
        {
            let small = Window { from, to };
            let expected: Vec<_> =
                around.iter().filter(|visit| visit.touches(small)).cloned().collect();
            assert_eq!(floor.visits(4, small), expected, "{small}");
        }
    }
}

#[test]
fn an_agents_shifts_have_no_gaps_and_one_state_at_a_time() {
    let floor = floor(11, 20, 1);
    for agent in floor.agents() {
        let visits = floor.visits(agent.index as usize, window(MORNING, MORNING + 7 * 24 * HOUR));
        assert!(visits.is_sorted_by_key(|visit| visit.start));
        for pair in visits.windows(2) {
            let several_skills = pair[0].start == pair[1].start
                && pair[0].state == pair[1].state
                && pair[0].skill != pair[1].skill;
            let follows = pair[1].start == pair[0].end;
            let rested = pair[0].state == AgentState::Logout
                && !agent.has_logout_state
                && pair[1].state == AgentState::Login;
            assert!(several_skills || follows || rested, "{pair:?}");
        }
    }
}

#[test]
fn no_two_visits_share_agent_state_skill_and_start() {
    let visits = all(&floor(11, 30, 10), window(MORNING, MORNING + 24 * HOUR));
    let keys: BTreeSet<_> = visits
        .iter()
        .map(|visit| (visit.agent.index, visit.state, visit.skill, visit.start))
        .collect();
    assert_eq!(keys.len(), visits.len());
    let hashes: BTreeSet<_> = visits.iter().map(|visit| visit.key(11)).collect();
    assert_eq!(hashes.len(), visits.len());
}

#[test]
fn a_day_has_every_shape_of_visit() {
    let visits = all(&floor(2, 30, 1), window(MORNING, MORNING + 24 * HOUR));
    let states: BTreeSet<_> = visits.iter().map(|visit| visit.state).collect();
    assert_eq!(states.len(), 9, "{states:?}");
    assert!(visits.iter().any(|visit| visit.start == visit.end), "a visit of no length");
    let pairs = || {
        visits
            .windows(2)
            .filter(|pair| pair[0].agent == pair[1].agent && pair[0].state == pair[1].state)
    };
    assert!(
        pairs().any(|pair| pair[0].start == pair[1].start && pair[0].skill != pair[1].skill),
        "several skills at once"
    );
    assert!(
        pairs().any(|pair| pair[0].end == pair[1].start && pair[0].skill == pair[1].skill),
        "same-state neighbours"
    );
    assert!(
        visits.iter().all(|visit| visit.state != AgentState::WrapUp || visit.skill.is_some()),
        "Wrap-up is on the call's skill"
    );
}

#[test]
fn somebody_is_stuck_in_wrap_up_at_the_pace_of_real_agents() {
    let day = window(MORNING, MORNING + 24 * HOUR);
    let is_stuck = |visit: &&Visit| {
        visit.state == AgentState::WrapUp && visit.end.since(visit.start) > Duration::from_mins(8)
    };
    assert!(all(&floor(1, 3, 1), day).iter().filter(is_stuck).count() > 50);
    let quick = |visit: &&Visit| {
        visit.state == AgentState::WrapUp && visit.end.since(visit.start) < Duration::from_mins(2)
    };
    assert!(all(&floor(1, 30, 1), day).iter().filter(quick).count() > 500);
}

#[test]
fn somebody_exceeds_a_minute_of_wrap_up_at_least_every_two_minutes() {
    for (seed, agents, pace) in [(1, 3, 10), (2, 12, 5), (3, 30, 10)] {
        let floor = floor(seed, agents, pace);
        let (from, to) = (MORNING, MORNING + 8 * 24 * HOUR);
        let mut over: Vec<(i64, i64)> = all(&floor, window(from, to))
            .iter()
            .filter(|visit| visit.state == AgentState::WrapUp)
            .map(|visit| (visit.start.millis() + MINUTE, visit.end.millis()))
            .filter(|(over_from, end)| over_from + 20_000 < *end)
            .collect();
        over.sort_unstable();
        let mut covered = from + 3 * MINUTE;
        for (over_from, end) in over {
            assert!(
                over_from - covered < 100_000,
                "seed {seed}: nobody over the limit for {} ms",
                over_from - covered
            );
            covered = covered.max(end);
        }
        assert!(to - covered < 100_000);
    }
}

#[test]
fn a_fast_floor_changes_within_seconds_at_any_hour() {
    let floor = floor(1, 60, 15);
    for hour in 0..7 * 24 {
        let start = MORNING + hour * HOUR;
        let began = all(&floor, window(start, start + 10_000))
            .into_iter()
            .filter(|visit| visit.start >= at(start))
            .count();
        assert!(began > 0, "hour {hour}");
        let at_work =
            floor.at(at(start)).iter().filter(|visit| visit.state != AgentState::Logout).count();
        assert!(at_work >= 3, "hour {hour}: {at_work} at work");
    }
}

#[test]
fn current_visits_agree_with_all_visits() {
    let floor = floor(4, 12, 1);
    let moment = at(MORNING + 123_456);
    let here = floor.at(moment);
    let expected: Vec<_> = all(&floor, window(MORNING - HOUR, MORNING + HOUR))
        .into_iter()
        .filter(|visit| visit.start <= moment && moment < visit.end)
        .collect();
    assert_eq!(here, expected);
    assert!(!here.is_empty());
}

#[test]
fn actual_totals_are_the_naive_sums_of_the_visits() {
    let floor = floor(9, 8, 2);
    let span = window(MORNING + 1234, MORNING + 9 * HOUR + 77);
    let totals = floor.actual_totals(span);
    // Every visit of the days around is compared, one by one and without the floor's own rule for
    // what touches a window.
    let around = all(&floor, window(MORNING - 120 * HOUR, MORNING + 120 * HOUR));
    let mut entries = 0;
    for agent in floor.agents() {
        let mut spent = 0;
        for total in totals.iter().filter(|total| total.agent == agent.id) {
            let same = |visit: &&Visit| {
                visit.agent.id == agent.id
                    && visit.state.name() == total.state
                    && visit.skill == total.skill
            };
            let of_label: Vec<_> = around.iter().filter(same).collect();
            let began = of_label
                .iter()
                .filter(|visit| span.from <= visit.start && visit.start < span.to)
                .count();
            let millis: i64 = of_label
                .iter()
                .map(|visit| {
                    (visit.end.millis().min(span.to.millis())
                        - visit.start.millis().max(span.from.millis()))
                    .max(0)
                })
                .sum();
            assert_eq!(
                (total.entries, total.millis),
                (began as u64, millis.cast_unsigned()),
                "{total:?}"
            );
            entries += began;
            spent += total.millis;
        }
        assert!(spent > 0 || !agent.has_logout_state, "{} had a state", agent.id);
    }
    assert_eq!(
        entries,
        around.iter().filter(|visit| span.contains(visit.start)).count(),
        "nothing is missing"
    );
}

#[test]
fn actual_totals_of_adjacent_windows_add_up() {
    let floor = floor(9, 5, 1);
    let (a, b, c) = (MORNING, MORNING + 3 * HOUR + 5, MORNING + 20 * HOUR);
    let sum = |totals: Vec<super::super::ActualTotals>| {
        totals.iter().fold((0, 0), |sum, one| (sum.0 + one.entries, sum.1 + one.millis))
    };
    let (first, second) =
        (sum(floor.actual_totals(window(a, b))), sum(floor.actual_totals(window(b, c))));
    assert_eq!(sum(floor.actual_totals(window(a, c))), (first.0 + second.0, first.1 + second.1));
}
