//! Current states: the live feed over the history, against where every agent really was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cxone_core::time::{Timestamp, Window};
use cxone_simulator::{AgentProfile, AgentState, Faults, SimulatorOptions, Visit};
use http::StatusCode;

use crate::counted::time;
use crate::direct::{Interception, ONE_WAY};
use crate::world::{Plan, World};
use crate::{
    CONFIG, KEY_ALONE, assert_budget, assert_exact, counted_up_to, minutes, tenant, world,
};

type Counts = BTreeMap<(String, String), u64>;

/// At any time some Wrap-ups exceed their limit and some do not; breaks are long enough at this
/// pace.
const LIMITS: [(&str, u64); 2] = [("Unavailable", 90), ("Wrap-up", 60)];

fn limits() -> String {
    format!("{CONFIG}\nstates: {{limits: {{Unavailable: 90s, Wrap-up: 60s}}}}\n")
}

/// The visit of `agent` that contains the millisecond before `moment`.
fn visit_at(world: &World, agent: &AgentProfile, moment: Timestamp) -> Option<Visit> {
    let before = Timestamp::from_millis(moment.millis() - 1);
    let index = usize::try_from(agent.index).unwrap();
    world.simulator.floor().platform_visits(index, Window { from: before, to: moment }).pop()
}

fn profiles(world: &World) -> BTreeMap<String, &AgentProfile> {
    world.simulator.floor().agents().map(|agent| (agent.platform_id().to_string(), agent)).collect()
}

/// The samples of a family by two labels, where they are not 0.
fn reported(world: &World, name: &str, labels: [&str; 2]) -> Counts {
    let label =
        |of: &BTreeMap<String, String>, name: &str| of.get(name).cloned().unwrap_or_default();
    let all = world.all(name).into_iter();
    all.map(|(of, value)| ((label(of, labels[0]), label(of, labels[1])), value.parse().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn count(of: impl IntoIterator<Item = (String, String)>) -> Counts {
    let mut counts = Counts::new();
    for key in of {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// How many agents the live feed and the history reported, and how many were over a limit.
#[derive(Debug, Default)]
struct Seen {
    live: u64,
    past: u64,
    over: u64,
    /// How often the series of the live feed alone were compared.
    sums: u64,
}

/// Compares the current state of each agent with the actual one at its own observed time.
fn assert_now(world: &World, seen: &mut Seen) {
    let (profiles, known) = (profiles(world), counted_up_to(world));
    let observed = world.observed();
    let visits: BTreeMap<&str, (Visit, Timestamp)> = observed
        .iter()
        .filter_map(|(agent, at)| {
            Some((agent.as_str(), (visit_at(world, profiles[agent], *at)?, *at)))
        })
        .collect();
    let plain = |text: &str| text.to_owned();
    let by_state = count(
        visits.values().map(|(visit, _)| (plain(visit.state.platform_label()), String::new())),
    );
    assert_eq!(reported(world, "cxone_agents", ["state", ""]), by_state, "cxone_agents");
    let by_skill =
        count(visits.values().map(|(visit, _)| {
            (plain(visit.skill.unwrap_or("")), plain(visit.state.platform_label()))
        }));
    assert_eq!(
        reported(world, "cxone_skill_agents", ["skill", "state"]),
        by_skill,
        "cxone_skill_agents"
    );
    let over = visits.values().filter_map(|(visit, at)| {
        let (state, limit) =
            LIMITS.into_iter().find(|(state, _)| *state == visit.state.platform_label())?;
        (at.since(visit.start) > Duration::from_secs(limit)).then(|| (plain(state), String::new()))
    });
    let over = count(over);
    assert_eq!(
        reported(world, "cxone_agents_over_limit", ["state", ""]),
        over,
        "cxone_agents_over_limit"
    );
    let starts: BTreeMap<String, (String, String, Timestamp)> = world
        .all("cxone_agent_state_start_timestamp_seconds")
        .into_iter()
        .map(|(labels, start)| {
            (
                labels["agent"].clone(),
                (labels["state"].clone(), labels["skill"].clone(), time(start)),
            )
        })
        .collect();
    let expected = visits.iter().map(|(agent, (visit, _))| {
        (
            plain(agent),
            (plain(visit.state.platform_label()), plain(visit.skill.unwrap_or("")), visit.start),
        )
    });
    assert_eq!(starts, expected.collect(), "cxone_agent_state_start_timestamp_seconds");
    assert!(
        observed.values().all(|at| *at >= known),
        "the later of the two sources: {observed:?}, and history up to {known}"
    );
    let live = observed.values().filter(|at| **at > known).count();
    seen.live += u64::try_from(live).unwrap();
    seen.past += u64::try_from(observed.len() - live).unwrap();
    seen.over += over.values().sum::<u64>();
    if live == observed.len() {
        seen.sums += 1;
        let teams = visits
            .values()
            .map(|(visit, _)| (visit.agent.team.clone(), plain(visit.state.platform_label())));
        assert_eq!(
            reported(world, "cxone_team_agents", ["team", "state"]),
            count(teams),
            "cxone_team_agents"
        );
        let reasons =
            visits.values().filter(|(visit, _)| visit.state.platform_label() == "Unavailable");
        let reasons = reasons
            .map(|(visit, _)| (plain(visit.state.unavailable_code().unwrap().1), String::new()));
        assert_eq!(
            reported(world, "cxone_unavailable_agents", ["reason", ""]),
            count(reasons),
            "cxone_unavailable_agents"
        );
    }
}

fn floor(faults: &str) -> World {
    let simulator = SimulatorOptions { agents: 12, ..tenant(faults) };
    World::new(Plan { simulator, api: Some(KEY_ALONE), config: &limits(), ..Plan::default() })
}

/// Compares repeatedly, at moments independent of the exporter's schedule.
async fn watch(world: &mut World, times: u64) -> Seen {
    let mut seen = Seen::default();
    for round in 0..times {
        world.run_for(Duration::from_millis(11_300 + 7_919 * (round % 5))).await;
        assert_now(world, &mut seen);
    }
    seen
}

/// The working agents by skill are those at the time of the query for skills.
fn assert_skills(world: &World) {
    let reported = reported(world, "cxone_skill_activity_agents", ["activity", "skill"]);
    let answered = world.all("cxone_live_last_success_timestamp_seconds");
    let answered = answered
        .into_iter()
        .find(|(labels, _)| labels["feed"] == "skill_activity")
        .map(|(_, at)| time(at))
        .unwrap();
    let asked = answered.minus(ONE_WAY);
    let visits = world.simulator.floor().agents().filter_map(|agent| visit_at(world, agent, asked));
    let on_the_phone = visits
        .filter(|visit| matches!(visit.state, AgentState::InboundCall | AgentState::OutboundCall));
    let working =
        count(on_the_phone.map(|visit| ("working".to_owned(), visit.skill.unwrap().to_owned())));
    assert!(!working.is_empty());
    assert_eq!(
        reported.into_iter().filter(|((activity, _), _)| activity == "working").collect::<Counts>(),
        working
    );
}

#[tokio::test(start_paused = true)]
async fn current_states_match_the_live_poll_and_counts_are_exact() {
    for odd in [
        "none",
        "odd-keys=0.5,strings=0.5,nulls=0.5,missing=0.5,odd-times=0,no-content=0.5,not-modified=0.5,short-pages=0.7",
    ] {
        let mut world = floor(odd);
        world.run_for(minutes(5)).await;
        let seen = watch(&mut world, 40).await;
        assert!(
            seen.live > 300 && seen.past > 5 && seen.over > 20 && seen.sums > 25,
            "{odd}: {seen:?}"
        );
        assert!(assert_exact(&world, 12) > 50);
        assert_budget(&world);
        if odd == "none" {
            assert_skills(&world);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_tenants_timeouts_are_the_limits_unless_configured() {
    let mut world = world(tenant("none"));
    world.run_for(minutes(2)).await;
    let limit = |world: &World, state| {
        world.value("cxone_state_duration_limit_seconds", &[("state", state)])
    };
    assert_eq!(
        (limit(&world, "Wrap-up"), limit(&world, "Unavailable")),
        (Some(300.0), Some(1800.0))
    );
    world.reload(Ok(&format!("{CONFIG}\nstates: {{limits: {{}}}}\n"))).await.unwrap();
    world.run_for(minutes(2)).await;
    assert_eq!(
        (limit(&world, "Wrap-up"), limit(&world, "Unavailable")),
        (Some(5400.0), Some(1800.0))
    );
}

#[tokio::test(start_paused = true)]
async fn agents_hidden_from_the_role_have_no_series() {
    let mut world = floor("hidden-agents=0.4");
    world.run_for(minutes(5)).await;
    let shown = world.observed().len();
    assert!((3..12).contains(&shown), "{shown} of 12");
    watch(&mut world, 20).await;
    assert_eq!(world.sum("cxone_agents"), f64::from(u32::try_from(shown).unwrap()));
    assert_eq!(world.value("cxone_agents_seen", &[]), Some(world.sum("cxone_agents")));
    assert_exact(&world, shown);
}

#[tokio::test(start_paused = true)]
async fn a_live_feed_that_freezes_and_then_fails_shows_nobody_as_stuck() {
    let mut world = floor("none");
    world.run_for(minutes(5)).await;
    // From now on CXone answers each request for live states as it would have at this moment.
    let (simulator, frozen) = (Arc::clone(&world.simulator), world.direct.now());
    let fails = Arc::new(Mutex::new(false));
    let failing = Arc::clone(&fails);
    world.direct.interfere(Some(Box::new(move |request| {
        match request.uri().path().ends_with("/agents/states") {
            true if *failing.lock().unwrap() => Interception::Dropped,
            true => {
                let (head, body) = simulator.handle(frozen, request).response.into_parts();
                // A token issued later is unknown at that time.
                if head.status == StatusCode::UNAUTHORIZED {
                    Interception::Forwarded
                } else {
                    Interception::Answered(body)
                }
            }
            false => Interception::Forwarded,
        }
    })));
    let seen = watch(&mut world, 60).await;
    assert!(seen.past > 500 && seen.over > 30, "{seen:?}");
    *fails.lock().unwrap() = true;
    watch(&mut world, 30).await;
    world.run_for(minutes(16)).await;
    assert_eq!(world.value("cxone_live_up", &[("feed", "agent_states")]), Some(0.0));
    assert!(
        world.all("cxone_team_agents").is_empty()
            && world.all("cxone_unavailable_agents").is_empty()
    );
    let seen = watch(&mut world, 20).await;
    assert_eq!(seen.live, 0, "{seen:?}");
    world.direct.interfere(None);
    world.run_for(minutes(5)).await;
    let seen = watch(&mut world, 20).await;
    assert!(seen.live > 150, "{seen:?}");
    assert_exact(&world, 12);
}

#[tokio::test(start_paused = true)]
async fn current_states_recover_after_restarts_reloads_and_faults() {
    let mut world = floor("some");
    for round in 0..4 {
        world.run_for(minutes(4)).await;
        world.restart(Duration::from_secs(50 * round)).await;
        assert!(world.all("cxone_team_agents").is_empty(), "nothing of the live feed is kept");
        world.run_for(minutes(1)).await;
        let wider = limits().replace(
            "overlap: 10m",
            &format!("overlap: {}m, live_interval: {}s", 11 + round, 5 + round),
        );
        world.reload(Ok(&wider)).await.unwrap();
        assert!(world.reload(Err("wrong")).await.is_err());
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(15)).await;
    let seen = watch(&mut world, 20).await;
    assert!(seen.live > 150, "{seen:?}");
    assert!(assert_exact(&world, 12) > 100);
    // A configuration with one agent only.
    let one = "poll: {interval: 40s, lookback: 2h, overlap: 10m}\ntargets: [{user: 100001}]\n";
    world.reload(Ok(one)).await.unwrap();
    world.run_for(minutes(3)).await;
    assert_eq!(world.value("cxone_target_up", &[("target", "user:100001")]), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_live_states_and_their_failures() {
    let mut world = floor("none");
    world.run_for(minutes(5)).await;
    let live = |world: &World| {
        ["cxone_live_up", "cxone_team_agents", "cxone_unavailable_agents", "cxone_agents"].map(
            |name| {
                let all = world.all(name).into_iter();
                all.map(|(labels, value)| (labels.clone(), value.to_owned())).collect::<Vec<_>>()
            },
        )
    };
    let up = |world: &World| world.value("cxone_live_up", &[("feed", "agent_states")]);
    assert_eq!(up(&world), Some(1.0));
    world.direct.interfere(Some(Box::new(|_| Interception::Dropped)));
    for expected in [1.0, 0.0] {
        world.scrape().await;
        let before = live(&world);
        assert_eq!(up(&world), Some(expected));
        assert!(!before[1].is_empty());
        for _ in 0..3 {
            world.reload(Ok(&limits())).await.unwrap();
            world.scrape().await;
            assert_eq!(live(&world), before);
        }
        let wanted = |world: &World| up(world) == Some(0.0);
        world.run_until("a live feed that fails", minutes(2), wanted).await;
    }
}
