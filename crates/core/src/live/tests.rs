//! The live list, what is added up of it, and when it is requested.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use super::{MAX_REASONS, MAX_TEAM_PAIRS, MAX_TEAMS};
use crate::names::{LabelSets, OTHER};
use crate::plan::backoff::Random;
use crate::privacy::{AgentIds, IdKey};
use crate::time::{Monotonic, Now};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn row(agent: &str, state: &str, team: &str, reason: Option<&str>) -> LiveRow {
    LiveRow {
        agent: agent.to_owned(),
        state: state.to_owned(),
        team: team.to_owned(),
        reason: reason.map(str::to_owned),
        start: Some(at(1)),
        ..LiveRow::default()
    }
}

fn counts(agents: &[(Arc<str>, u64)]) -> Vec<(&str, u64)> {
    agents.iter().map(|(name, agents)| (&**name, *agents)).collect()
}

#[test]
fn a_whole_list_replaces_and_changes_add_and_only_what_changed_has_a_new_revision() {
    let mut live = Live::new(vec!["ACW".to_owned()], Privacy::default());
    live.replace(vec![row("a", "Available", "", None), row("b", "Available", "", None)], at(10));
    let revisions = |live: &Live| {
        live.agents().map(|(name, agent)| (name.to_string(), agent.revision)).collect::<Vec<_>>()
    };
    let first = revisions(&live);
    live.update(vec![row("a", "Available", "", None), row("b", "ACW", "", None)], at(20));
    let second = revisions(&live);
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
    assert_eq!(
        live.agents().map(|(_, agent)| live.name(agent.state).to_string()).collect::<Vec<_>>(),
        ["Available", WRAP_UP]
    );
    live.replace(vec![row("b", "ACW", "", None), row("c", "Available", "", None)], at(15));
    assert_eq!(
        revisions(&live).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["b", "c"]
    );
    assert_eq!(revisions(&live)[0], second[1]);
    assert_eq!(live.observed(), Some(at(20)), "time does not run backwards");
}

#[test]
fn only_what_privacy_allows_is_kept_of_agents() {
    let row = LiveRow { agent_name: "Ann".to_owned(), ..row("4711", "Available", "", None) };
    let ids = AgentIds::Hmac(IdKey::new(b"0123456789abcdef").expect("long enough"));
    for (names, kept) in [(false, None), (true, Some("Ann"))] {
        let mut live = Live::new(Vec::new(), Privacy { ids: ids.clone(), names });
        live.update(vec![row.clone()], at(10));
        let (name, agent) = live.agents().next().expect("an agent");
        assert_eq!((&**name, agent.agent_name.as_deref()), (&*ids.of("4711"), kept));
    }
}

#[test]
fn unused_names_are_dropped_when_there_are_too_many() {
    let mut live = Live::default();
    for round in 0..3 {
        let rows = (0..40_000)
            .map(|number| row(&number.to_string(), &format!("state {round} {number}"), "", None))
            .collect();
        live.replace(rows, at(round));
    }
    live.replace(vec![row("a", "Ready", "", None)], at(4));
    assert!(live.names.len() < 10, "{} names", live.names.len());
    assert_eq!(live.labels().count(), 1);
}

#[test]
fn unavailable_agents_are_counted_by_reason_and_team_members_by_state() {
    let mut live = Live::default();
    live.add_reasons(["Training"]);
    assert!(live.unavailable().is_empty() && live.teams().is_empty(), "nothing is known yet");
    let rows = vec![
        row("a", "Unavailable", "North", Some("Lunch")),
        row("b", "Unavailable", "North", Some("Lunch")),
        row("c", "Unavailable", "", Some("")),
        row("d", "Available", "North", None),
    ];
    live.replace(rows, at(10));
    assert_eq!(counts(&live.unavailable()), [("", 1), ("Lunch", 2), ("Training", 0)]);
    let teams = |live: &Live| {
        live.teams()
            .iter()
            .map(|team| (team.team.to_string(), team.state.to_string(), team.agents))
            .collect::<Vec<_>>()
    };
    let team = |team: &str, state: &str, agents| (team.to_owned(), state.to_owned(), agents);
    assert_eq!(
        teams(&live),
        [
            team("", "Unavailable", 1),
            team("North", "Available", 1),
            team("North", "Unavailable", 2)
        ]
    );
    live.update(vec![row("a", "Available", "South", None)], at(20));
    assert_eq!(counts(&live.unavailable()), [("", 1), ("Lunch", 1), ("Training", 0)]);
    assert!(
        teams(&live).contains(&team("South", "Available", 1))
            && teams(&live).contains(&team("North", "Unavailable", 1))
    );
    assert!(live.set_stale(true) && !live.set_stale(true));
    assert!(live.unavailable().is_empty() && live.teams().is_empty());
}

#[test]
fn reasons_and_teams_beyond_their_limits_are_counted_as_other() {
    let mut live = Live::default();
    let many = |number: usize| {
        row(
            &number.to_string(),
            "Unavailable",
            &format!("team {number:05}"),
            Some(&format!("reason {number:05}")),
        )
    };
    live.replace((0..MAX_TEAMS + 7).map(many).collect(), at(10));
    let reasons = live.unavailable();
    assert_eq!(reasons.len(), MAX_REASONS + 1);
    assert_eq!(reasons.iter().map(|(_, agents)| agents).sum::<u64>(), 1_007);
    assert_eq!(
        live.teams().iter().find(|team| &*team.team == OTHER).map(|team| team.agents),
        Some(7)
    );
    assert_eq!(live.teams().len(), MAX_TEAMS + 1);
}

#[test]
fn skills_of_one_name_are_added_up_with_the_worst_service_level() {
    let mut skills = Skills::default();
    let one = SkillRow {
        skill: "Sales".to_owned(),
        queue: Some(2),
        oldest: Some(at(5)),
        agents: [Some(1), None, None, Some(4), None, None],
        level: Some(900),
        goal: Some(800),
        ..SkillRow::default()
    };
    let other = SkillRow {
        queue: Some(3),
        oldest: Some(at(3)),
        agents: [Some(1); 6],
        level: Some(700),
        goal: None,
        ..one.clone()
    };
    skills.replace(vec![one, other]);
    let series = skills.series();
    assert_eq!(series.len(), 1);
    let (queue, oldest, agents, level) =
        (series[0].queue, series[0].oldest, series[0].agents, series[0].level);
    assert_eq!(
        (queue, oldest, level, series[0].goal, series[0].inside),
        (Some(5), Some(at(3)), Some(700), Some(800), None)
    );
    assert_eq!(agents, [Some(2), Some(1), Some(1), Some(5), Some(1), Some(1)]);
    skills.set_stale(true);
    assert!(skills.series().is_empty());
}

#[test]
fn skills_beyond_the_limit_are_added_up_as_other() {
    let mut skills = Skills::default();
    skills.replace(
        (0..5_002)
            .map(|number| SkillRow {
                skill: format!("{number:05}"),
                queue: Some(1),
                ..SkillRow::default()
            })
            .collect(),
    );
    let series = skills.series();
    let queue: u64 = series.iter().filter_map(|skill| skill.queue).sum();
    let other = series.iter().find(|skill| &*skill.skill == OTHER).expect("there is one");
    assert_eq!((series.len(), queue, other.queue), (5_001, 5_002, Some(2)));
    let LabelSets { own, limit, over, .. } = skills.label_sets();
    assert_eq!((own, limit, over), (5_000, 5_000, 2));
}

#[test]
fn pairs_of_team_and_state_beyond_the_limit_are_counted_as_other() {
    let rows = (0..900_u32).flat_map(|team| {
        (0..10).map(move |state| LiveRow {
            agent: format!("{team}-{state}"),
            team: format!("{team:03}"),
            state: format!("State {state}"),
            ..LiveRow::default()
        })
    });
    let mut live = Live::new(Vec::new(), Privacy::default());
    live.replace(rows.collect(), Timestamp::from_millis(1));
    let teams = live.teams();
    assert_eq!(teams.len(), MAX_TEAM_PAIRS + 10);
    assert_eq!(teams.iter().map(|pair| pair.agents).sum::<u64>(), 9_000);
    let other = teams.iter().filter(|pair| &*pair.team == OTHER);
    assert_eq!(other.map(|pair| pair.agents).sum::<u64>(), 4_000);
    assert!(live.label_sets().iter().any(|sets| sets.kind == "team" && sets.over > 0));
}

#[test]
fn a_name_that_is_really_other_is_not_mixed_with_what_is_over_a_limit() {
    let mut live = Live::new(Vec::new(), Privacy::default());
    let named = || OTHER.to_owned();
    let row = LiveRow { team: named(), reason: Some(named()), ..LiveRow::default() };
    live.replace(vec![row], Timestamp::from_millis(1));
    live.add_reasons([OTHER]);
    let (reasons, teams) = (live.unavailable(), live.teams());
    assert_eq!((reasons.len(), teams.len()), (1, 1));
    assert!(reasons[0].0.starts_with("other…") && teams[0].team.starts_with("other…"));
}

#[test]
fn a_states_limit_is_the_lowest_timeout_of_its_codes() {
    let code =
        |is_acw, minutes: u64| CodeTimeout { is_acw, timeout: Duration::from_secs(60 * minutes) };
    let limits = tenant_limits([code(false, 120), code(true, 60), code(false, 30), code(true, 90)]);
    let limits: Vec<(&str, u64)> =
        limits.iter().map(|(state, limit)| (&**state, limit.as_secs())).collect();
    assert_eq!(limits, [(UNAVAILABLE, 1_800), (WRAP_UP, 3_600)]);
    assert!(tenant_limits([]).is_empty());
}

/// A plan, and its clock.
struct World {
    plan: LivePlan,
    now: Now,
}

const RULES: LiveRules = LiveRules {
    interval: Duration::from_secs(15),
    full_every: Duration::from_secs(300),
    max_staleness: Duration::from_secs(900),
};

impl World {
    fn new() -> Self {
        let now =
            Now { instant: Monotonic::from_elapsed(Duration::ZERO), utc: at(1_000_000_000_000) };
        Self { plan: LivePlan::new(RULES, Random::from_seed(7), now.instant), now }
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant.plus(time), utc: self.now.utc.plus(time) };
    }

    /// Lets time pass until the agents' states are requested; skills are answered on the way.
    fn ask(&mut self) -> (Option<String>, u64) {
        loop {
            let due = self.plan.wake_at().expect("something is not in progress");
            self.pass(due.since(self.now.instant));
            match self.plan.next(self.now.instant, self.now.utc).expect("it is due") {
                FeedRequest::States { since, skip } => return (since, skip),
                FeedRequest::Skills { .. } => {
                    drop(self.plan.skills(self.now, self.now.utc, FeedPage::default()))
                }
            }
        }
    }

    fn answer(&mut self, page: FeedPage<LiveRow>) -> Option<FeedUpdate<LiveRow>> {
        self.plan.states(self.now, self.now.utc, page).expect("not too long")
    }
}

fn page(agents: &[&str], next: Option<bool>, poll_time: Option<i64>) -> FeedPage<LiveRow> {
    let rows: Vec<LiveRow> = agents.iter().map(|agent| row(agent, "Available", "", None)).collect();
    let received = u64::try_from(rows.len()).expect("few");
    FeedPage { rows, received, poll_time: poll_time.map(at), next, ..FeedPage::default() }
}

/// What is requested after an answer as of this moment.
fn a_margin_before(millis: i64) -> String {
    at(millis - 10_000).to_string()
}

fn agents(update: Option<FeedUpdate<LiveRow>>) -> (bool, Vec<String>, Timestamp) {
    let (is_all, rows, observed) = match update.expect("the last page") {
        FeedUpdate::Full(rows, observed) => (true, rows, observed),
        FeedUpdate::Changes(rows, observed) => (false, rows, observed),
    };
    (is_all, rows.into_iter().map(|row| row.agent).collect(), observed)
}

#[test]
fn the_whole_list_comes_first_and_every_few_minutes_and_only_changes_in_between() {
    let mut world = World::new();
    let began = world.now.utc.millis();
    assert_eq!(world.ask(), (None, 0));
    assert_eq!(
        agents(world.answer(page(&["a"], None, Some(began)))),
        (true, vec!["a".to_owned()], at(began))
    );
    let mut since = began;
    let mut wholes = Vec::new();
    for _ in 0..50 {
        let before = world.now.instant;
        let (asked, _) = world.ask();
        let wait = world.now.instant.since(before);
        assert!(wait >= RULES.interval * 9 / 10 && wait <= RULES.interval * 11 / 10, "{wait:?}");
        match asked {
            Some(text) => assert_eq!(text, a_margin_before(since)),
            None => wholes.push(world.now.instant.elapsed()),
        }
        since += 1;
        let (is_all, ..) = agents(world.answer(page(&[], None, Some(since))));
        assert_eq!(is_all, wholes.last() == Some(&world.now.instant.elapsed()));
    }
    assert_eq!(wholes.len(), 2, "{wholes:?}");
    assert!(
        wholes[0] >= Duration::from_secs(270) && wholes[1] - wholes[0] <= Duration::from_secs(350),
        "{wholes:?}"
    );
}

#[test]
fn pages_are_requested_behind_the_rows_that_came_until_there_are_no_more() {
    let mut world = World::new();
    let began = world.now.utc.millis();
    assert_eq!(world.ask(), (None, 0));
    let odd = FeedPage { received: 3, ..page(&["a", "b"], Some(true), Some(began - 3)) };
    assert_eq!(world.answer(odd), None);
    assert_eq!(world.ask(), (None, 3), "the invalid row counts too");
    assert_eq!(
        world.answer(FeedPage { total: Some(5), ..page(&["c"], None, Some(began + 9)) }),
        None
    );
    assert_eq!(world.ask(), (None, 4));
    let update = agents(world.answer(FeedPage { total: Some(5), ..page(&["d"], None, None) }));
    assert_eq!(update, (true, ["a", "b", "c", "d"].map(str::to_owned).to_vec(), at(began - 3)));
    assert_eq!(
        world.ask(),
        (Some(a_margin_before(began - 3)), 0),
        "since the first page: the others may have missed something"
    );
}

#[test]
fn a_list_ends_with_an_empty_page_or_one_without_a_next_one() {
    for last in [page(&[], Some(true), None), page(&["b"], Some(false), None)] {
        let mut world = World::new();
        world.ask();
        assert_eq!(world.answer(page(&["a"], Some(true), None)), None);
        world.ask();
        assert!(world.answer(last).is_some());
    }
}

#[test]
fn a_repeated_page_is_not_the_end_since_others_moved_behind_it() {
    for total in [None, Some(6)] {
        let page = |agents: &[&str], next: bool| FeedPage {
            total,
            ..page(agents, total.is_none().then_some(next), None)
        };
        let mut world = World::new();
        world.ask();
        // While the list is read, others change and come before what is read next.
        assert_eq!(world.answer(page(&["a", "b"], true)), None);
        assert_eq!(world.ask(), (None, 2));
        assert_eq!(world.answer(page(&["a", "b"], true)), None);
        assert_eq!(world.ask(), (None, 4));
        assert_eq!(world.answer(page(&["b", "c"], true)), None);
        assert_eq!(world.ask(), (None, 6));
        assert_eq!(world.answer(page(&["d", "e"], true)), None);
        assert_eq!(world.ask(), (None, 8));
        let update = agents(world.answer(page(&["f"], false)));
        assert_eq!(update.1, ["a", "b", "b", "c", "d", "e", "f"]);
    }
}

#[test]
fn a_list_whose_pages_are_all_the_same_is_a_failure() {
    let mut world = World::new();
    let mut pages = 0;
    let fault = loop {
        world.ask();
        pages += 1;
        let same = page(&["a"], Some(true), None);
        if let Err(fault) = world.plan.states(world.now, world.now.utc, same) {
            break fault;
        }
    };
    assert_eq!((fault, pages), (ListError::Repeats, 4));
    assert_eq!(world.plan.status(Feed::AgentStates, world.now.instant).up, Some(false));
    assert_eq!(world.ask(), (None, 0), "it is begun anew");
}

#[test]
fn a_whole_list_without_a_valid_row_is_a_failure() {
    let mut world = World::new();
    world.ask();
    let senseless = FeedPage { received: 7, ..page(&[], Some(false), None) };
    let fault = world.plan.states(world.now, world.now.utc, senseless.clone()).unwrap_err();
    assert_eq!(fault, ListError::NoValidRow(7));
    assert!(fault.to_string().contains("7 rows"), "{fault}");
    world.ask();
    assert!(world.answer(page(&["a"], Some(false), None)).is_some());
    world.ask();
    assert!(!agents(world.answer(senseless)).0, "a change that says nothing changes nothing");
}

#[test]
fn a_list_that_shrinks_while_it_is_read_removes_nobody_and_is_read_again() {
    let mut world = World::new();
    world.ask();
    let began = world.now.utc.millis();
    let of = |total, page| FeedPage { total: Some(total), ..page };
    assert_eq!(world.answer(of(3, page(&["a"], Some(true), Some(began)))), None);
    world.ask();
    // Somebody went, so the next one stands where the first page was.
    let update = agents(world.answer(of(2, page(&["c"], Some(false), Some(began)))));
    assert_eq!(update, (false, vec!["a".to_owned(), "c".to_owned()], at(began)));
    assert_eq!(world.ask(), (None, 0), "the whole list is still wanted");
    assert!(agents(world.answer(of(2, page(&["b", "c"], Some(false), Some(began))))).0);
    let since = world.ask().0;
    assert_eq!(world.answer(of(2, page(&["b"], Some(true), Some(began + 60_000)))), None);
    world.ask();
    world.answer(of(1, page(&[], Some(false), Some(began + 60_000))));
    assert_eq!(world.ask().0, since, "the same changes are requested again");
}

#[test]
fn nobody_is_observed_later_than_their_report_came() {
    let mut world = World::new();
    world.ask();
    world.pass(Duration::from_secs(1));
    let first = world.now.utc;
    let ahead = Some(first.millis() + 60_000);
    assert_eq!(world.answer(page(&["a"], Some(true), ahead)), None);
    world.pass(Duration::from_secs(30));
    world.ask();
    assert_eq!(agents(world.answer(page(&["b"], Some(false), ahead))).2, first);
}

#[test]
fn an_answer_without_a_time_is_as_of_its_request_and_one_from_the_future_as_of_now() {
    let mut world = World::new();
    world.ask();
    let began = world.now.utc;
    world.pass(Duration::from_secs(2));
    assert_eq!(agents(world.answer(page(&["a"], None, None))).2, began);
    assert_eq!(
        world.ask().0,
        Some(a_margin_before(began.millis())),
        "CXone's clock is only estimated"
    );
    let began = world.now.utc;
    world.pass(Duration::from_secs(2));
    let later = world.now.utc.millis() + 60_000;
    assert_eq!(agents(world.answer(page(&["a"], None, Some(later)))).2, world.now.utc);
    assert_eq!(world.ask().0, Some(a_margin_before(began.millis())));
    let unchanged = FeedPage { unchanged: true, ..FeedPage::default() };
    let asked = world.now.utc;
    assert_eq!(agents(world.answer(unchanged)), (false, Vec::new(), asked));
    assert_eq!(
        world.ask().0,
        Some(a_margin_before(began.millis())),
        "what was not reported again is requested again"
    );
}

#[test]
fn not_modified_is_not_an_empty_list() {
    let mut world = World::new();
    assert_eq!(world.ask(), (None, 0));
    assert!(!agents(world.answer(FeedPage { unchanged: true, ..FeedPage::default() })).0);
    assert_eq!(world.ask().0, None, "the whole list is still wanted");
    assert!(agents(world.answer(FeedPage::default())).0, "204: nobody is there");
}

#[test]
fn failures_back_off_and_a_feed_without_success_is_stale() {
    let mut world = World::new();
    world.ask();
    for failures in 0..8_u32 {
        let failed = world.now.instant;
        world.plan.failed(Feed::AgentStates, failed, None);
        world.ask();
        let wait = world.now.instant.since(failed);
        let least = (RULES.interval * 2_u32.pow(failures)).min(Duration::from_secs(300));
        assert!(wait >= least && wait <= least * 3 / 2, "{wait:?} after {failures} failures");
    }
    assert!(world.now.instant.elapsed() > RULES.max_staleness);
    let status = world.plan.status(Feed::AgentStates, world.now.instant);
    assert!(status.stale && status.up == Some(false) && status.last_success.is_none());
    assert!(!world.plan.status(Feed::SkillActivity, world.now.instant).stale);
    world.answer(page(&["a"], None, None));
    let status = world.plan.status(Feed::AgentStates, world.now.instant);
    assert!(!status.stale && status.up == Some(true));
    world.ask();
    let failed = world.now.instant;
    world.plan.failed(Feed::AgentStates, failed, Some(Duration::from_secs(3_000)));
    world.ask();
    assert!(
        world.now.instant.since(failed) >= Duration::from_secs(3_000),
        "as long as the server asks"
    );
}

#[test]
fn a_failure_drops_the_pages_before_it() {
    let mut world = World::new();
    world.ask();
    assert_eq!(world.answer(page(&["a"], Some(true), None)), None);
    world.ask();
    world.plan.failed(Feed::AgentStates, world.now.instant, None);
    assert_eq!(world.ask(), (None, 0));
    assert_eq!(agents(world.answer(page(&["b"], None, None))).1, ["b"]);
}

#[test]
fn a_list_without_end_is_a_failure() {
    let mut world = World::new();
    let mut number = 0;
    let fault = loop {
        world.ask();
        number += 1;
        let endless =
            FeedPage { received: 300_000, ..page(&[&number.to_string()], Some(true), None) };
        if let Err(fault) = world.plan.states(world.now, world.now.utc, endless) {
            break fault;
        }
    };
    assert_eq!((fault, number), (ListError::TooLong, 4));
    assert!(fault.to_string().contains("1000000"), "{fault}");
    assert_eq!(world.plan.status(Feed::AgentStates, world.now.instant).up, Some(false));
}
