//! The dialect `platform`, from sign-in to `/metrics`, against the simulator: hours of virtual
//! time, no sockets.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "support/counted.rs"]
mod counted;
#[allow(dead_code, reason = "the tests of report jobs use more of it")]
#[path = "support/direct.rs"]
mod direct;
#[path = "support/platform_totals.rs"]
mod platform_totals;
#[allow(dead_code, reason = "the Reporting API's restarts use more of it")]
#[path = "support/restarts.rs"]
mod restarts;
#[path = "support/strict.rs"]
mod strict;
#[allow(dead_code, reason = "the Reporting API's tests use more of it")]
#[path = "support/world.rs"]
mod world;

#[path = "platform_simulator/current.rs"]
mod current;
#[path = "platform_simulator/failures.rs"]
mod failures;
#[path = "platform_simulator/quota.rs"]
mod quota;

use std::num::NonZeroU32;
use std::time::Duration;

use counted::{Once, Sums};
use cxone_core::time::{Timestamp, Window};
use cxone_simulator::{Faults, HistoryRows, SimulatedEndpoint, SimulatorOptions};
use world::{Plan, World, minutes};

/// Signs in with the access key alone and discovers the rest.
const KEY_ALONE: &str = "dialect: platform, issuer: 'https://cxone.test', access_key_id: simulated-key, access_key_secret_file: k";

/// Signs in with the password grant.
const PASSWORD: &str = "dialect: platform, issuer: 'https://cxone.test', access_key_id: simulated-key, access_key_secret_file: k, \
                        client_id: simulated-client, client_secret_file: s";

const CONFIG: &str = "poll: {interval: 40s, lookback: 2h, overlap: 10m}";

/// Some histories omit visits that began before the first window: a long one contains the beginning
/// of every Logout.
const LONG: &str = "poll: {interval: 40s, lookback: 90h, overlap: 10m}";

fn tenant(faults: &str) -> SimulatorOptions {
    let faults: Faults = faults.parse().unwrap();
    let pace = NonZeroU32::new(6).unwrap();
    SimulatorOptions {
        agents: 8,
        pace,
        faults,
        calls_per_minute: NonZeroU32::new(60),
        page_rows: 50,
        ..SimulatorOptions::default()
    }
}

fn world(simulator: SimulatorOptions) -> World {
    World::new(Plan { simulator, api: Some(KEY_ALONE), config: CONFIG, ..Plan::default() })
}

fn epoch(world: &World) -> Timestamp {
    world.target_time("cxone_target_epoch_timestamp_seconds", "all").unwrap()
}

/// Entries and milliseconds of one agent in [epoch, observed).
fn actual(world: &World, agent: &str, observed: Timestamp) -> Sums {
    platform_totals::actual(
        world.simulator.floor(),
        agent,
        Window { from: epoch(world), to: observed },
    )
}

/// Up to when the history is counted. The live feed observes agents later than that.
fn counted_up_to(world: &World) -> Timestamp {
    world.watermark("all")
}

/// Compares every counter with what really happened; returns the number of entries.
fn assert_exact(world: &World, agents: usize) -> u64 {
    let (observed, known) = (world.observed(), counted_up_to(world));
    assert_eq!(observed.len(), agents);
    let mut over_all = Sums::new();
    for agent in observed.into_keys() {
        let actual = actual(world, &agent, known);
        assert_eq!(counted::counted(&world.last, Some(&agent)), actual, "{agent} up to {known}");
        let once = whatever_the_skills(&actual);
        assert_eq!(counted::counted_once(&world.last, Some(&agent)), once, "{agent}");
        counted::add(&mut over_all, &actual);
    }
    assert_eq!(counted::counted(&world.last, None), over_all, "over all agents");
    let once = whatever_the_skills(&over_all);
    assert_eq!(counted::counted_once(&world.last, None), once, "each agent once");
    over_all.values().map(|sums| sums.0).sum()
}

/// By state: the platform's agents are in one state at a time, and for one skill.
fn whatever_the_skills(sums: &Sums) -> Once {
    let mut once = Once::new();
    for ((state, _), (_, millis)) in sums.iter().filter(|(_, (_, millis))| *millis > 0) {
        *once.entry(state.clone()).or_default() += millis;
    }
    once
}

/// No counter is above what really happened.
fn assert_not_too_high(world: &World) {
    for agent in world.observed().into_keys() {
        let actual = actual(world, &agent, counted_up_to(world));
        for (label, reported) in counted::counted(&world.last, Some(&agent)) {
            let most = actual.get(&label).copied().unwrap_or_default();
            assert!(
                reported.0 <= most.0 && reported.1 <= most.1,
                "{agent} {label:?}: {reported:?} but at most {most:?}"
            );
        }
    }
}

fn assert_budget(world: &World) {
    let counters = world.simulator.counters();
    assert!(
        counters.max_calls_per_minute <= 60 && counters.calls_over_quota == 0,
        "{} calls",
        counters.max_calls_per_minute
    );
    assert!(!counters.calls.is_empty());
    assert_eq!(
        (
            counters.requests_to(SimulatedEndpoint::Token),
            counters.requests_to(SimulatedEndpoint::Submit)
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_with_any_history_rows_and_any_sign_in() {
    for (api, history, config) in
        [(KEY_ALONE, HistoryRows::Touching, CONFIG), (PASSWORD, HistoryRows::Starting, LONG)]
    {
        let simulator = SimulatorOptions { history, ..tenant("none") };
        let mut world = World::new(Plan { simulator, api: Some(api), config, ..Plan::default() });
        let mut entries = 0;
        for _ in 0..4 {
            world.run_for(minutes(10)).await;
            entries = assert_exact(&world, 8);
        }
        assert!(entries > 100, "{history}: only {entries} entries");
        assert_budget(&world);
    }
}

/// Counts are never too high despite faults, and exact some time after them.
async fn exact_after(faults: &str) -> World {
    let mut world = world(tenant(faults));
    for _ in 0..4 {
        world.run_for(minutes(10)).await;
        assert_not_too_high(&world);
    }
    let kept = faults.split(',').filter(|fault| fault.starts_with("no-all-history"));
    let reduced: Faults = kept.collect::<Vec<_>>().join(",").parse().unwrap();
    // A list that changes its order between two pages loses rows that no client can recover.
    world.run_until_idle().await;
    world.simulator.set_faults(reduced);
    world.run_for(minutes(12)).await;
    assert!(assert_exact(&world, 8) > 100);
    assert_budget(&world);
    world
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_with_rows_in_any_form() {
    let odd = "odd-keys=0.5,strings=0.5,nulls=0.5,missing=0.5,odd-times=0.5,seconds=0.5,no-content=0.5,not-modified=0.5,short-pages=0.7";
    exact_after(odd).await;
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_after_an_ordinary_bad_day_and_after_a_terrible_one() {
    exact_after("some").await;
    exact_after("many").await;
}

#[tokio::test(start_paused = true)]
async fn an_open_visit_reported_with_its_length_so_far_is_counted_once() {
    exact_after("open-so-far=1").await;
    exact_after("open-so-far=0.5,shuffled=1,repeated=0.3").await;
}

#[tokio::test(start_paused = true)]
async fn without_the_call_for_all_agents_each_agent_is_queried() {
    let world = exact_after("no-all-history=1").await;
    assert!(world.simulator.counters().requests_to(SimulatedEndpoint::AgentHistory) > 100);
}

#[tokio::test(start_paused = true)]
async fn hidden_agents_are_missing_and_the_others_are_exact() {
    let mut world = world(tenant("hidden-agents=0.4"));
    world.run_for(minutes(5)).await;
    let seen = world.observed().len();
    assert!((2..8).contains(&seen), "{seen} of 8");
    assert_eq!(
        world.value("cxone_agents_seen", &[]),
        Some(f64::from(u32::try_from(seen).unwrap()))
    );
    world.run_for(minutes(30)).await;
    assert_exact(&world, seen);
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_across_restarts() {
    let mut world = world(tenant("some"));
    for round in 0..6 {
        world.run_for(minutes(4) + Duration::from_millis(7919 * round)).await;
        world.restart(Duration::from_secs(70 * round)).await;
        assert_not_too_high(&world);
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(12)).await;
    assert!(assert_exact(&world, 8) > 100);
}

#[tokio::test(start_paused = true)]
async fn a_visit_reported_only_after_its_end_counts_if_it_is_no_longer_than_the_overlap() {
    let mut world = world(tenant("open-untold=1"));
    for _ in 0..6 {
        world.run_for(minutes(10)).await;
        assert_not_too_high(&world);
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(12)).await;
    let mut compared = 0;
    let known = counted_up_to(&world);
    for agent in world.observed().into_keys() {
        // Only Logout is longer than the overlap here.
        let short = |mut sums: Sums| {
            sums.retain(|(state, _), _| state != "LoggedOut");
            sums
        };
        let actual = short(actual(&world, &agent, known));
        assert_eq!(
            short(counted::counted(&world.last, Some(&agent))),
            actual,
            "{agent} up to {known}"
        );
        compared += actual.len();
    }
    assert!(compared > 10);
}
