//! The configuration is read again while the exporter runs: no count is lost, no connection is
//! closed, and what is wrong changes nothing.

use std::time::Duration;

use cxone_exporter::simulator::{Faults, SimulatorOptions};
use http::StatusCode;

use crate::chance::Chance;
use crate::world::{Plan, World};
use crate::{TWO_TEAMS, minutes, tenant};

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
async fn targets_come_and_go_and_the_others_count_on() {
    let mut world =
        World::new(Plan { simulator: tenant(), config: &config(&[TEAM_1], ""), ..Plan::default() });
    world.run_for(minutes(15)).await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1");
    assert!(epoch.is_some());
    let (_, before) = reloads(&world);
    world.reload(Ok(&config(&[TEAM_2, TEAM_1], "states: {limits: {Ready: 1h}}\n"))).await.unwrap();
    // Before anything is asked of CXone the page is whole.
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
    let submits = |world: &World| world.direct.asked_for().len();
    let before = submits(&world);
    world.reload(Ok(&format!("{poll}{tight}"))).await.unwrap();
    world.run_for(minutes(5)).await;
    let after = submits(&world) - before;
    assert!((8..=11).contains(&after), "{after} jobs in five minutes");
    assert_eq!(world.value("cxone_quota_report_jobs_limit", &[]), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_or_does_not_fit_changes_nothing_and_is_told() {
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
    // Right by itself, but the store's agents are called otherwise: it counts on with the
    // configuration before.
    let other_ids = TWO_TEAMS
        .replace("max_staleness: 5m", "max_staleness: 5m, agent_ids: hmac, hmac_key_file: k");
    let why = world.reload(Ok(&other_ids)).await;
    assert!(why.as_ref().is_err_and(|why| why.contains("agent_ids")), "{why:?}");
    world.run_for(Duration::from_secs(50)).await;
    assert_eq!(reloads(&world).0, Some(0.0));
    world.run_for(minutes(10)).await;
    world.run_until_idle().await;
    assert!(world.assert_exact(true) > 20);
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
}
