//! Live states over the history: who says where an agent is now.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;
use crate::live::{Live, LiveRow};
use crate::page::snapshot::LiveSeries;
use crate::privacy::Privacy;

fn lives(agent: &str, state: &str, skill: &str, start: Option<i64>) -> LiveRow {
    let text = str::to_owned;
    LiveRow {
        agent: text(agent),
        state: text(state),
        skill: text(skill),
        start: start.map(at),
        ..LiveRow::default()
    }
}

/// One target, known up to 10,000: user-1 is in Ready since 5,000, user-2 left Lunch at 6,000 and
/// is in no state since.
fn history() -> SingleTarget {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(0, 1_000, &[row("user-1", "Lunch", "", 200, None)]);
    one.read(
        900,
        10_000,
        &[
            row("user-1", "Ready", "Sales", 5_000, None),
            row("user-2", "Lunch", "", 2_000, Some(6_000)),
        ],
    );
    one
}

fn live(observed: i64, rows: &[LiveRow]) -> Live {
    let mut live = Live::new(vec!["ACW".to_owned()], Privacy::default());
    live.replace(rows.to_vec(), at(observed));
    live
}

fn over(one: &SingleTarget, live: &Live, show: &SnapshotOptions) -> Snapshot {
    Snapshot::build(&one.ledger, Some((live, LiveSeries::default())), show, &HashSet::new())
}

/// State, skill, and since when.
type StateStart = (String, String, i64);

/// Each agent's start and observed time.
type CurrentStates = BTreeMap<String, (Option<StateStart>, Option<i64>)>;

fn now(snapshot: &Snapshot) -> CurrentStates {
    let of = |agent: AgentSeries| {
        let from_history = agent
            .labels
            .iter()
            .filter_map(|label| Some((&label.state, &label.skill, label.start?)));
        let mut starts: Vec<_> = from_history
            .chain(agent.live.iter().map(|live| (&live.state, &live.skill, live.start)))
            .collect();
        assert!(starts.len() <= 1, "{agent:?}");
        let start = starts
            .pop()
            .map(|(state, skill, start)| (state.to_string(), skill.to_string(), start.millis()));
        (agent.agent.to_string(), (start, agent.observed.map(Timestamp::millis)))
    };
    snapshot.agents().map(of).collect()
}

fn is(state: &str, skill: &str, start: i64, observed: i64) -> (Option<StateStart>, Option<i64>) {
    (Some((state.to_owned(), skill.to_owned(), start)), Some(observed))
}

#[test]
fn the_source_with_the_later_observation_says_where_an_agent_is() {
    let one = history();
    for (observed, live_holds) in [(9_999, false), (10_000, false), (10_001, true)] {
        let live = live(observed, &[lives("user-1", "Lunch", "", Some(5_500))]);
        let now = now(&over(&one, &live, &show(1)));
        let expected = if live_holds {
            is("Lunch", "", 5_500, observed)
        } else {
            is("Ready", "Sales", 5_000, 10_000)
        };
        assert_eq!(now["user-1"], expected, "observed at {observed}");
    }
}

#[test]
fn history_that_knows_only_an_earlier_state_is_behind_however_far_it_is_said_to_be_known() {
    let one = history();
    let start_of = |start| {
        now(&over(&one, &live(9_000, &[lives("user-1", "ACW", "Sales", Some(start))]), &show(1)))["user-1"].clone()
    };
    assert_eq!(start_of(6_001), is("Wrap-up", "Sales", 6_001, 9_000));
    assert_eq!(
        start_of(6_000),
        is("Ready", "Sales", 5_000, 10_000),
        "within a second it is the same change"
    );
}

#[test]
fn live_states_and_skills_over_the_limits_are_other_and_those_of_the_history_are_not() {
    let mut one = history();
    Arc::make_mut(&mut one.ledger.catalog.rules).labels = LabelLimits { states: 3, pairs: 2 };
    // The history has two states and one pair: there is room for one more of each, by name.
    let rows = [
        lives("user-3", "Break", "", Some(7_000)),
        lives("user-4", "Meeting", "Art", Some(7_000)),
        lives("user-5", "Ready", "Art", Some(7_000)),
        lives("user-6", "Ready", "Sales", Some(7_000)),
        lives("user-7", "Ready", "Zoo", Some(7_000)),
        lives("user-8", "Ready", "Zoology", Some(7_000)),
    ];
    let snapshot = over(&one, &live(11_000, &rows), &show(1));
    let now = now(&snapshot);
    for (agent, state, skill) in [
        ("user-3", "Break", ""),
        ("user-4", "other", "other"),
        ("user-5", "Ready", "Art"),
        ("user-6", "Ready", "Sales"),
        ("user-7", "Ready", "other"),
        ("user-8", "Ready", "other"),
    ] {
        assert_eq!(now[agent], is(state, skill, 7_000, 11_000), "{agent}");
    }
    let present = snapshot.skill_agents.iter().filter(|skill| skill.agents > 0);
    let present: Vec<_> =
        present.map(|skill| (&*skill.state, &*skill.skill, skill.agents)).collect();
    let expected = [
        ("Break", "", 1),
        ("Ready", "Art", 1),
        ("Ready", "Sales", 2),
        ("Ready", "other", 2),
        ("other", "other", 1),
    ];
    assert_eq!(BTreeSet::from_iter(present), BTreeSet::from(expected));
    let over = snapshot.label_sets.iter().map(|sets| (sets.kind, sets.over));
    assert_eq!(over.collect::<Vec<_>>(), [("state", 1), ("state_skill", 3)]);
}

#[test]
fn history_without_a_state_takes_none_away() {
    let one = history();
    let live = live(9_000, &[lives("user-2", "LoggedOut", "", Some(6_000))]);
    let snapshot = over(&one, &live, &show(1));
    assert_eq!(now(&snapshot)["user-2"], is("LoggedOut", "", 6_000, 9_000));
    assert_eq!(now(&one.snapshot())["user-2"], (None, Some(10_000)));
}

#[test]
fn counters_and_window_entries_are_the_historys_alone() {
    let one = history();
    let live = live(
        20_000,
        &[lives("user-1", "Meeting", "", Some(15_000)), lives("user-3", "Ready", "Sales", Some(1))],
    );
    let (alone, both) = (one.snapshot(), over(&one, &live, &show(1)));
    assert_eq!(alone.states, both.states);
    for agent in alone.agents() {
        let other =
            both.agents().find(|other| other.agent == agent.agent).expect("the same agents");
        let counts = |agent: &AgentSeries| {
            let count = |label: &LabelSeries| {
                (
                    label.state.clone(),
                    label.skill.clone(),
                    label.entries,
                    label.millis,
                    label.window_entries,
                )
            };
            agent.labels.iter().map(count).collect::<Vec<_>>()
        };
        assert_eq!(counts(&agent), counts(&other));
    }
    assert!(
        both.agents()
            .find(|agent| &*agent.agent == "user-3")
            .expect("known by the live feed")
            .labels
            .is_empty()
    );
}

#[test]
fn the_live_states_go_when_the_feed_is_stale_or_the_whole_list_does_not_contain_the_agent() {
    let one = history();
    let rows = [
        lives("user-1", "Meeting", "", Some(15_000)),
        lives("user-3", "Meeting", "", Some(15_000)),
    ];
    let mut live = live(20_000, &rows);
    let meeting = |snapshot: &Snapshot| {
        snapshot
            .state_agents
            .iter()
            .find(|(state, _)| &**state == "Meeting")
            .map(|(_, agents)| *agents)
    };
    assert_eq!(
        (meeting(&over(&one, &live, &show(1))), over(&one, &live, &show(1)).agents_seen),
        (Some(2), 3)
    );
    live.set_stale(true);
    let stale = over(&one, &live, &show(1));
    assert_eq!((meeting(&stale), stale.agents_seen), (Some(0), 3), "known all the same");
    assert_eq!(now(&stale), now(&one.snapshot()));
    live.set_stale(false);
    live.replace(vec![lives("user-1", "Meeting", "", Some(15_000))], at(21_000));
    let snapshot = over(&one, &live, &show(1));
    assert_eq!((meeting(&snapshot), snapshot.agents_seen), (Some(1), 2));
    assert_eq!(now(&snapshot)["user-1"], is("Meeting", "", 15_000, 21_000));
}

#[test]
fn where_the_history_is_stale_the_live_state_stands_alone() {
    let one = history();
    let live = live(9_000, &[lives("user-1", "Ready", "Sales", Some(5_000))]);
    let mut show = show(1);
    show.targets[0].stale = true;
    let snapshot = over(&one, &live, &show);
    assert_eq!(now(&snapshot)["user-1"], is("Ready", "Sales", 5_000, 9_000));
    assert!(first(&snapshot).labels.iter().all(|label| label.window_entries.is_none()));
}

#[test]
fn an_agent_is_over_the_limit_by_its_own_live_observation_and_not_by_time_that_passes() {
    let one = history();
    let show = SnapshotOptions {
        limits: BTreeMap::from([(Arc::from("Wrap-up"), Duration::from_secs(3))]),
        ..show(1)
    };
    let over_limit = |observed| {
        let live = live(
            observed,
            &[lives("user-1", "ACW", "", Some(15_000)), lives("user-9", "Wrap-up", "", None)],
        );
        over(&one, &live, &show).over_limit[0].1
    };
    assert_eq!((over_limit(18_000), over_limit(18_001)), (0, 1));
}

#[test]
fn agents_that_only_the_live_feed_knows_are_left_out_whole_where_there_is_no_room() {
    let one = history();
    let rows: Vec<LiveRow> =
        (3..9).map(|number| lives(&format!("user-{number}"), "Ready", "", Some(9_000))).collect();
    let live = live(20_000, &rows);
    let whole = over(&one, &live, &show(1));
    let limited = over(&one, &live, &SnapshotOptions { max_series: whole.series() - 1, ..show(1) });
    assert!(limited.series() < whole.series() && limited.series_dropped > 0);
    assert_eq!(limited.series() + limited.series_dropped, whole.series());
    assert_eq!(
        (limited.agents_seen, limited.state_agents),
        (whole.agents_seen, whole.state_agents)
    );
}

const STATES: [&str; 3] = ["Ready", "Lunch", "Wrap-up"];
const SKILLS: [&str; 2] = ["", "Sales"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// The model takes the history alone and the live rows alone, and chooses between them agent by
    /// agent.
    #[test]
    fn what_is_shown_is_what_a_choice_agent_by_agent_shows(
        visits in prop::collection::vec((0..5_usize, 0..3_usize, 0..2_usize, 1_000..9_000_i64, prop::option::of(0..4_000_i64)), 0..12),
        reported in prop::collection::vec((0..8_usize, 0..3_usize, 0..2_usize, prop::option::of(1_000..12_000_i64)), 0..8),
        observed in 7_000..12_000_i64,
        is_stale in prop::bool::weighted(0.1),
    ) {
        const AGENTS: [&str; 8] = ["user-0", "user-1", "user-2", "user-3", "user-4", "user-5", "user-6", "user-7"];
        let mut one = SingleTarget::new(RowKind::Events, Detail::AgentSkill);
        let rows: Vec<_> = visits.iter().map(|(agent, state, skill, start, lasted)| {
            row(AGENTS[*agent], STATES[*state], SKILLS[*skill], *start, lasted.map(|lasted| start + lasted))
        }).collect();
        one.read(0, 9_000, &rows);
        let mut live = Live::new(Vec::new(), Privacy::default());
        live.replace(reported.iter().map(|(agent, state, skill, start)| lives(AGENTS[*agent], STATES[*state], SKILLS[*skill], *start)).collect(), at(observed));
        live.set_stale(is_stale);
        let show = SnapshotOptions { limits: BTreeMap::from([(Arc::from("Lunch"), Duration::from_secs(2))]), ..show(1) };
        let history = Snapshot::of(&one.ledger, &show);
        let shown = over(&one, &live, &show);

        let mut states: BTreeMap<String, u64> = history.state_agents.iter().map(|(state, _)| (state.to_string(), 0)).collect();
        reported.iter().for_each(|(_, state, _, _)| { states.entry(STATES[*state].to_owned()).or_default(); });
        let mut lunches = 0;
        let mut expected = CurrentStates::new();
        // An agent with several skills has several starts in the history; only that of its first label
        // is compared.
        let from_history: BTreeMap<String, (Option<StateStart>, i64)> = history.agents().map(|agent| {
            let current = agent.labels.iter().find_map(|label| Some((label.state.to_string(), label.skill.to_string(), label.start?.millis())));
            (agent.agent.to_string(), (current, agent.observed.expect("not stale").millis()))
        }).collect();
        let last: BTreeMap<&str, _> = reported.iter().map(|row| (AGENTS[row.0], row)).collect();
        for agent in AGENTS {
            let past = from_history.get(agent);
            let live_row = last.get(agent).filter(|_| !is_stale).map(|(_, state, skill, start)| (STATES[*state], SKILLS[*skill], *start));
            let live_holds = live_row.is_some_and(|(_, _, start)| match past {
                None | Some((None, _)) => true,
                Some((Some((_, _, since)), known)) => observed > *known || start.is_some_and(|start| start > since + 1_000),
            });
            let (state, start, at) = match (live_row, past) {
                (Some((state, skill, start)), _) if live_holds => {
                    expected.insert(agent.to_owned(), (start.map(|start| (state.to_owned(), skill.to_owned(), start)), Some(observed)));
                    (Some(state.to_owned()), start, observed)
                }
                (_, Some((current, known))) => {
                    expected.insert(agent.to_owned(), (current.clone(), Some(*known)));
                    (current.as_ref().map(|(state, _, _)| state.clone()), current.as_ref().map(|(_, _, start)| *start), *known)
                }
                (_, None) => (None, None, 0),
            };
            lunches += u64::from(state.as_deref() == Some("Lunch") && start.is_some_and(|start| at - start > 2_000));
            state.into_iter().for_each(|state| *states.entry(state).or_default() += 1);
        }
        let both_starts = |agent: AgentSeries| agent.labels.iter().filter(|label| label.start.is_some()).count() > 1;
        if !history.agents().any(both_starts) {
            prop_assert_eq!(now(&shown), expected);
        }
        prop_assert_eq!(shown.state_agents.iter().map(|(state, agents)| (state.to_string(), *agents)).collect::<BTreeMap<_, _>>(), states);
        prop_assert_eq!(shown.over_limit[0].1, lunches);
        prop_assert_eq!(&shown.states, &history.states);
    }
}
