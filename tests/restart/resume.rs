//! What a new process knows immediately, and its first requests.

use std::collections::BTreeMap;
use std::time::Duration;

use cxone_simulator::{Injection, RequestFault, SimulatedEndpoint, SimulatorOptions};
use http::StatusCode;

use crate::TWO_TEAMS;
use crate::chance::Chance;
use crate::restarts::AT_ONCE;
use crate::world::{Plan, World, minutes, tenant};

fn world() -> World {
    World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() })
}

/// All series of agents, states and targets on the page.
fn said(world: &World) -> BTreeMap<String, String> {
    let of_ours = |name: &str| {
        ["cxone_agent", "cxone_state_", "cxone_skill", "cxone_target", "cxone_data"]
            .iter()
            .any(|part| name.starts_with(part))
    };
    let samples = world.last.samples.iter().filter(|(series, _)| of_ours(&series.0));
    samples.map(|(series, value)| (format!("{series:?}"), value.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_process_serves_at_once_what_the_old_one_served() {
    let mut world = world();
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let (before, requests) = (said(&world), world.simulator.counters().requests);
    assert!(before.len() > 200, "{}", before.len());
    world.restart(Duration::from_secs(20)).await;
    assert_eq!(said(&world), before);
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
    assert_eq!(world.simulator.counters().requests, requests, "it was asked before it asked CXone");
    assert_eq!(
        (world.value("cxone_up", &[]), world.value("cxone_store_up", &[])),
        (Some(1.0), Some(1.0))
    );
    world.run_for(minutes(10)).await;
    world.assert_exact(true);
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn restored_data_that_is_too_old_is_not_ready_until_the_first_report_but_counts() {
    let mut world = world();
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let entries = world.sum("cxone_agent_state_entries_total");
    world.restart(minutes(4)).await;
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK, "not older than max_staleness");
    world.restart(minutes(6)).await;
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.sum("cxone_agent_state_entries_total"), entries);
    assert!(
        world.all("cxone_agent_observed_timestamp_seconds").is_empty(),
        "gauges that are too old are not shown"
    );
    world
        .run_until("a report", minutes(1), |world| {
            world.value("cxone_report_rows_total", &[]) > Some(0.0)
        })
        .await;
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn the_next_window_begins_an_overlap_before_the_watermark_however_long_the_downtime() {
    for (downtime, windows) in [(AT_ONCE, 1), (minutes(45), 1), (minutes(9 * 60), 5)] {
        let mut world = world();
        world.run_for(minutes(20)).await;
        world.run_until_idle().await;
        let watermark = world.watermark("team:team-1");
        let before = world.direct.submits().len();
        world.restart(downtime).await;
        let restarted = world.direct.now();
        world.run_for(minutes(8)).await;
        let asked = world.submits_since(before, "team:team-1");
        assert_eq!(asked[0].window.from, watermark.minus(minutes(10)), "{downtime:?}");
        assert_eq!(
            asked.iter().take_while(|asked| asked.window.to < restarted).count() + 1,
            windows,
            "{downtime:?}"
        );
        for (one, next) in asked.iter().zip(&asked[1..]) {
            assert_eq!(
                next.window.from,
                one.window.to.minus(minutes(10)),
                "oldest first, each from where the last one ended"
            );
            assert!(one.window.length() <= minutes(120) && one.window.to <= one.at, "{one:?}");
        }
        assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
        let entries = world.assert_exact(true);
        assert!(entries > 20, "{entries}");
        world.assert_floor();
        world.assert_quota();
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_never_exceeds_the_quota() {
    for seed in 1..=4 {
        let mut chance = Chance::new(seed);
        let config = "poll: {interval: 1s, lookback: 2h, overlap: 10m}\ntargets: [{user: user-001}, {user: user-002}, {user: user-003}]";
        let mut world = World::new(Plan { simulator: tenant(), config, ..Plan::default() });
        world.run_for(chance.millis(1, 70_000)).await;
        for _ in 0..30 {
            world.run_for(chance.millis(1, 15_000)).await;
            world.restart(chance.millis(1, 3_000)).await;
        }
        world.run_for(minutes(3)).await;
        println!(
            "seed {seed}: {} submits in a minute at most",
            world.simulator.counters().max_submits_per_minute
        );
        world.assert_quota();
        world.assert_exact(true);
    }
}

const ONE_TEAM: &str = "poll: {interval: 60s, lookback: 2h, overlap: 10m}\ntargets: [{filter: {type: team, id: team-1}}]";

/// A world in which a job has just been submitted.
async fn with_a_job_under_way() -> World {
    let simulator = SimulatorOptions { job_time: Duration::from_secs(20), ..tenant() };
    let mut world = World::new(Plan { simulator, config: ONE_TEAM, ..Plan::default() });
    world.run_for(minutes(10)).await;
    world.run_until_idle().await;
    world
        .run_until("a job", minutes(2), |world| {
            world.value("cxone_report_jobs_in_flight", &[]) == Some(1.0)
        })
        .await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_job_in_progress_is_resumed_and_not_resubmitted() {
    let mut world = with_a_job_under_way().await;
    let accepted = world.simulator.counters().accepted;
    let window = world.direct.submits().last().unwrap().window;
    for _ in 0..3 {
        world.run_for(Duration::from_secs(2)).await;
        world.restart(Duration::from_secs(1)).await;
    }
    world
        .run_until("the report", minutes(1), |world| world.watermark("team:team-1") == window.to)
        .await;
    assert_eq!(world.simulator.counters().accepted, accepted);
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    world.assert_exact(true);
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn a_lost_job_is_forgotten_and_resubmitted() {
    let mut world = with_a_job_under_way().await;
    let accepted = world.simulator.counters().accepted;
    world.simulator.inject(Injection {
        fault: RequestFault::Lose,
        endpoint: Some(SimulatedEndpoint::Poll),
        times: 1,
    });
    world.restart(Duration::from_secs(1)).await;
    let watermark = world.watermark("team:team-1");
    world
        .run_until("a report", minutes(2), |world| world.watermark("team:team-1") > watermark)
        .await;
    assert_eq!(world.failures("lost"), 1.0);
    assert_eq!(world.simulator.counters().accepted, accepted + 1);
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    assert_eq!(world.failures("lost"), 0.0, "it is forgotten in the store, too");
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn a_job_older_than_its_time_limit_is_forgotten() {
    let mut world = with_a_job_under_way().await;
    let accepted = world.simulator.counters().accepted;
    world.restart(minutes(30)).await;
    world.run_for(minutes(2)).await;
    assert!(world.simulator.counters().accepted > accepted);
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    world.assert_exact(true);
}
