//! No minute has more requests than `quota.requests_per_minute`, whatever their purpose and however
//! often the process restarts; and the purposes take turns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use cxone_core::time::Timestamp;
use cxone_simulator::{Faults, SimulatorOptions};

use crate::direct::Interception;
use crate::world::{Plan, World};
use crate::{CONFIG, KEY_ALONE, PASSWORD, assert_exact, counted_up_to, minutes, tenant};

/// The most requests of any 60 s, sign-in and discovery included.
fn most_in_a_minute(sent: &[(Timestamp, String)]) -> usize {
    let minute = |first: Timestamp| {
        sent.iter()
            .filter(|(at, _)| *at >= first && at.since(first) <= Duration::from_secs(60))
            .count()
    };
    sent.iter().map(|(at, _)| minute(*at)).max().unwrap_or_default()
}

/// How many requests there were, by path.
fn by_path(sent: &[(Timestamp, String)]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (_, path) in sent {
        *counts
            .entry(path.strip_prefix("/incontactapi/services/v30.0").unwrap_or(path))
            .or_default() += 1;
    }
    counts
}

/// Live answers for hundreds of agents are expensive for the simulator: most of them are replaced
/// by empty ones.
fn with_quick_live_answers(world: &World) {
    let mut place = 0;
    world.direct.interfere(Some(Box::new(move |request| {
        place += 1;
        let path = request.uri().path();
        let is_live = path.ends_with("/agents/states") || path.ends_with("/skills/activity");
        if is_live && place % 40 != 0 {
            Interception::Answered(Bytes::from_static(br#"{"agentStates":[],"skillActivity":[]}"#))
        } else {
            Interception::Forwarded
        }
    })));
}

#[tokio::test(start_paused = true)]
async fn single_agents_live_states_and_sign_in_share_the_budget_on_a_bad_day() {
    const AGENTS: usize = 200;
    let faults: Faults = "some,throttle-bare=0.05,revoke=0.02".parse().unwrap();
    let agents = u32::try_from(AGENTS).unwrap();
    let simulator = SimulatorOptions {
        agents,
        faults,
        token_life: minutes(3),
        calls_per_minute: None,
        ..tenant("none")
    };
    let mut config =
        "poll: {interval: 60s, live_interval: 1s, lookback: 1h, overlap: 10m}\nquota: {requests_per_minute: 120}\ntargets:\n".to_owned();
    for agent in 0..AGENTS {
        writeln!(config, "  - user: {}", 100_001 + agent).unwrap();
    }
    let scrape_every = minutes(5);
    let mut world = World::new(Plan {
        simulator,
        api: Some(PASSWORD),
        config: &config,
        scrape_every,
        ..Plan::default()
    });
    with_quick_live_answers(&world);
    world.run_for(minutes(15)).await;
    let sent = world.direct.sent();
    assert!(most_in_a_minute(&sent) <= 120, "{} requests in a minute", most_in_a_minute(&sent));
    assert!(sent.len() > 15 * 110, "{} requests: the budget is used", sent.len());
    let counts = by_path(&sent);
    let histories: Vec<usize> = (0..AGENTS)
        .map(|agent| counts[format!("/agents/{}/state-history", 100_001 + agent).as_str()])
        .collect();
    let (least, most) = (histories.iter().min().unwrap(), histories.iter().max().unwrap());
    assert!(*least >= 2 && *most <= least + 6, "{least} to {most} requests for each agent");
    let live = counts["/agents/states"] + counts["/skills/activity"];
    let history: usize = histories.iter().sum();
    assert!(
        live > sent.len() / 3 && history > sent.len() / 3,
        "{live} live and {history} of the history, of {}",
        sent.len()
    );
    assert!(counts["/unavailable-codes"] < 8, "one for all: {}", counts["/unavailable-codes"]);
    // No token is requested long before its use: only revoked ones are rejected.
    let refused = world
        .all("cxone_api_requests_total")
        .into_iter()
        .filter(|(labels, _)| labels["code"] == "401");
    let refused: usize = refused.map(|(_, count)| count.parse::<usize>().unwrap()).sum();
    assert!(refused < sent.len() / 25, "{refused} refused for the token");
    assert_eq!(world.value("cxone_up", &[]), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_makes_no_more_requests_than_a_running_process() {
    for (limit, pause) in [(20, 7), (60, 2), (60, 11)] {
        let config = format!(
            "poll: {{interval: 5s, live_interval: 1s, lookback: 2h, overlap: 10m}}\nquota: {{requests_per_minute: {limit}}}"
        );
        let simulator = SimulatorOptions { calls_per_minute: None, ..tenant("none") };
        let mut world =
            World::new(Plan { simulator, api: Some(PASSWORD), config: &config, ..Plan::default() });
        for round in 0..60 {
            world.run_for(Duration::from_millis(pause * 300 + 431 * (round % 7))).await;
            if round % 3 == 0 {
                world
                    .reload(Ok(&format!("{config}\nmetrics: {{max_staleness: {}s}}", 600 + round)))
                    .await
                    .unwrap();
            } else {
                world.restart(Duration::from_millis(1 + 173 * (round % 5))).await;
            }
        }
        let sent = world.direct.sent();
        let most = most_in_a_minute(&sent);
        assert!(
            most <= limit && sent.len() > 30,
            "{most} requests in a minute, {limit} are allowed; {} in all",
            sent.len()
        );
        world.run_for(minutes(12)).await;
        assert_exact(&world, 8);
        assert!(most_in_a_minute(&world.direct.sent()) <= limit);
    }
}

#[tokio::test(start_paused = true)]
async fn neither_live_states_nor_a_history_of_many_pages_starves_the_other() {
    let simulator = SimulatorOptions { page_rows: 3, ..tenant("none") };
    let config = CONFIG.replace("overlap: 10m", "overlap: 10m, live_interval: 1s");
    let mut world =
        World::new(Plan { simulator, api: Some(KEY_ALONE), config: &config, ..Plan::default() });
    world.run_for(minutes(60)).await;
    let sent = world.direct.sent();
    assert!(most_in_a_minute(&sent) <= 60);
    let counts = by_path(&sent);
    let live = counts["/agents/states"] + counts["/skills/activity"];
    assert!(live > 1_000 && counts["/agents/state-history"] > 1_000, "{counts:?}");
    for (agent, observed) in world.observed() {
        let age = world.direct.now().since(observed);
        assert!(age < Duration::from_secs(20), "{agent} was seen {age:?} ago");
    }
    let age = world.direct.now().since(counted_up_to(&world));
    assert!(age < minutes(4), "the history is {age:?} old");
    assert_exact(&world, 8);
}
