//! The configuration is reloaded while the exporter runs: no count is lost, no connection is
//! closed, and an invalid one changes nothing.

use std::time::Duration;

use cxone_core::store::SharedRecords;
use cxone_simulator::{Faults, SimulatorOptions};
use http::StatusCode;

use crate::TWO_TEAMS;
use crate::chance::Chance;
use crate::world::{Plan, World, minutes, on, tenant};

const POLL: &str = "poll: {interval: 30s, lookback: 2h, overlap: 10m}\n";
const TEAM_1: &str = "filter: {type: team, id: team-1}";
const TEAM_2: &str = "filter: {type: team, id: team-2}";

fn config(targets: &[&str], more: &str) -> String {
    let targets: String = targets.iter().map(|target| format!("  - {target}\n")).collect();
    format!("{POLL}targets:\n{targets}{more}")
}

fn reloads(world: &World) -> (Option<f64>, Option<f64>) {
    let name = "cxone_exporter_config_last_reload";
    (
        world.value(&format!("{name}_successful"), &[]),
        world.value(&format!("{name}_success_timestamp_seconds"), &[]),
    )
}

#[tokio::test(start_paused = true)]
async fn adding_and_removing_targets_does_not_affect_the_others() {
    let mut world =
        World::new(Plan { simulator: tenant(), config: &config(&[TEAM_1], ""), ..Plan::default() });
    world.run_for(minutes(15)).await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1");
    assert!(epoch.is_some());
    let (_, before) = reloads(&world);
    world.reload(Ok(&config(&[TEAM_2, TEAM_1], "states: {limits: {Ready: 1h}}\n"))).await.unwrap();
    // The page is complete before the first request to CXone.
    world.scrape().await;
    assert_eq!(world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1"), epoch);
    assert_eq!(
        world.value("cxone_state_duration_limit_seconds", &[("state", "Ready")]),
        Some(3600.0)
    );
    assert_eq!(reloads(&world).0, Some(1.0));
    assert!(reloads(&world).1 > before);
    world.run_for(minutes(15)).await;
    world.run_until_idle().await;
    assert!(world.assert_exact(true) > 20);
    world.assert_floor();
    world.last.samples.retain(|series, _| !series.0.starts_with("cxone_target"));
    world.reload(Ok(&config(&[TEAM_2], ""))).await.unwrap();
    world.run_for(minutes(5)).await;
    assert_eq!(world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1"), None);
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn at_any_moment_nothing_is_lost_and_the_quota_holds() {
    let mut chance = Chance::new(31);
    let simulator = SimulatorOptions { faults: Faults::some(), token_life: minutes(3), ..tenant() };
    let mut world = World::new(Plan { simulator, config: TWO_TEAMS, ..Plan::default() });
    for _ in 0..40 {
        world.run_for(chance.millis(1, 4 * 60_000)).await;
        world.reload(Ok(TWO_TEAMS)).await.unwrap();
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(12)).await;
    assert!(world.assert_exact(true) > 200);
    world.assert_floor();
    world.assert_quota();
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_smaller_quota_holds_from_the_next_job_on() {
    let roomy = "quota: {report_jobs_per_minute: 10, reserve: 0}\n";
    let tight = "quota: {report_jobs_per_minute: 2, reserve: 0}\n";
    let poll = "poll: {interval: 1s, lookback: 2h, overlap: 10m}\ntargets: [{user: user-001}]\n";
    let mut world = World::new(Plan {
        simulator: tenant(),
        config: &format!("{poll}{roomy}"),
        ..Plan::default()
    });
    world.run_for(minutes(3)).await;
    let submits = |world: &World| world.direct.submits().len();
    let before = submits(&world);
    world.reload(Ok(&format!("{poll}{tight}"))).await.unwrap();
    world.run_for(minutes(5)).await;
    let after = submits(&world) - before;
    assert!((8..=11).contains(&after), "{after} jobs in five minutes");
    assert_eq!(world.value("cxone_quota_report_jobs_limit", &[]), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_or_incompatible_configuration_changes_nothing_and_is_reported() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.run_for(minutes(10)).await;
    let (_, taken) = reloads(&world);
    assert_eq!(
        world.reload(Err("c.yml:3: poll: unknown key")).await,
        Err("c.yml:3: poll: unknown key".to_owned())
    );
    world.scrape().await;
    assert_eq!(reloads(&world), (Some(0.0), taken));
    world.reload(Ok(TWO_TEAMS)).await.unwrap();
    world.scrape().await;
    assert_eq!(reloads(&world).0, Some(1.0));
    let (_, taken) = reloads(&world);
    // Valid by itself, but the store has other pseudonyms: counting continues with the previous
    // configuration.
    let other_ids = TWO_TEAMS
        .replace("max_staleness: 5m", "max_staleness: 5m, agent_ids: hmac, hmac_key_file: k");
    let why = world.reload(Ok(&other_ids)).await;
    assert!(why.as_ref().is_err_and(|why| why.contains("agent_ids")), "{why:?}");
    world.run_for(Duration::from_secs(50)).await;
    assert_eq!(reloads(&world), (Some(0.0), taken));
    // New secrets apply, and the file is still rejected.
    world.new_secrets().await.unwrap();
    world.scrape().await;
    assert_eq!(reloads(&world), (Some(0.0), taken));
    world.run_for(minutes(10)).await;
    world.run_until_idle().await;
    assert!(world.assert_exact(true) > 20);
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
}

/// Every answer is a 5xx from now on.
fn all_down() -> Faults {
    "error=1".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_failure_outlives_a_reload_and_a_restart() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    let ups = |world: &World| {
        let target = |name| world.value("cxone_target_up", &[("target", name)]);
        (world.value("cxone_up", &[]), target("team:team-1"), target("team:team-2"))
    };
    world.run_for(minutes(10)).await;
    assert_eq!(ups(&world), (Some(1.0), Some(1.0), Some(1.0)));
    world.simulator.set_faults(all_down());
    world.run_for(minutes(3)).await;
    let down = (Some(0.0), Some(0.0), Some(0.0));
    assert_eq!(ups(&world), down);
    let asked = world.direct.submits().len();
    for _ in 0..5 {
        world.reload(Ok(TWO_TEAMS)).await.unwrap();
        world.scrape().await;
        assert_eq!(ups(&world), down, "a reload is not a successful job");
        world.run_for(Duration::from_secs(2)).await;
        assert_eq!(ups(&world), down);
    }
    let status = world.ask("/").await.1;
    assert!(status.contains("The last job failed") && status.contains("503"), "{status}");
    // The backoff after failures is not shortened.
    assert!(world.direct.submits().len() - asked <= 4, "each target twice at most");
    world.start_again(None);
    world.last.samples.clear();
    world.scrape().await;
    assert_eq!(ups(&world), down, "nor is a restart");
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(6)).await;
    assert_eq!(ups(&world), (Some(1.0), Some(1.0), Some(1.0)));
}

#[tokio::test(start_paused = true)]
async fn reloads_delay_neither_staleness_nor_readiness() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.simulator.set_faults(all_down());
    // No report for all of `max_staleness`, with a reload each minute.
    for _ in 0..6 {
        world.run_for(minutes(1)).await;
        world.reload(Ok(TWO_TEAMS)).await.unwrap();
    }
    world.run_for(Duration::from_secs(1)).await;
    assert!(world.ask("/").await.1.contains("stale"));
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(6)).await;
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
    world.simulator.set_faults(all_down());
    world.run_for(minutes(10)).await;
    world.reload(Ok(TWO_TEAMS)).await.unwrap();
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_store_is_not_up_after_a_reload() {
    let shelf = SharedRecords::default();
    let config = TWO_TEAMS;
    let plan = Plan { simulator: tenant(), config, store: on(&shelf), ..Plan::default() };
    let mut world = World::new(plan);
    world.run_for(minutes(5)).await;
    shelf.set_full(true);
    world.run_for(minutes(2)).await;
    assert_eq!(world.value("cxone_store_up", &[]), Some(0.0));
    world.reload(Ok(config)).await.unwrap();
    world.scrape().await;
    assert_eq!(world.value("cxone_store_up", &[]), Some(0.0));
    shelf.set_full(false);
    world.run_for(minutes(6)).await;
    assert_eq!(world.value("cxone_store_up", &[]), Some(1.0));
}
