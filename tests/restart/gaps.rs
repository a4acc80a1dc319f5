//! Time that CXone can no longer tell of, or refuses to.

use std::time::Duration;

use cxone_exporter::domain::time::Window;
use cxone_exporter::simulator::{Rows, SimulatorOptions};

use crate::restarts::AT_ONCE;
use crate::world::{Plan, World};
use crate::{minutes, tenant};

/// Cut at the window's edges, so that a report tells nothing of the time before it.
fn cut(retention: Option<Duration>) -> SimulatorOptions {
    SimulatorOptions { rows: Rows::CutIntervals, retention, ..tenant() }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_retention_is_a_gap_and_the_rest_is_exact() {
    let config = "poll: {interval: 30s, lookback: 2h, overlap: 10m, retention: 5h}\ntargets: [{filter: {type: team, id: team-1}}, {filter: {type: team, id: team-2}}]";
    // CXone keeps no more than what the configuration says: at that edge nothing may be refused.
    let mut world =
        World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let before = world.direct.asked_for().len();
    let known = ["team-1", "team-2"].map(|team| {
        let target = format!("team:{team}");
        let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", &target).unwrap();
        (team, Window { from: epoch, to: world.watermark(&target) })
    });
    world.restart(minutes(9 * 60)).await;
    world.run_for(minutes(5)).await;
    let mut lost = Duration::ZERO;
    for (team, told) in known {
        let asked = world.asked_since(before, &format!("team:{team}"));
        let from = asked[0].window.from;
        assert!(
            asked[0].at.since(from) < minutes(5 * 60)
                && asked[0].at.since(from) > minutes(5 * 60 - 2),
            "{:?}",
            asked[0]
        );
        lost += from.since(told.to);
        world.assert_exact_in(
            team,
            &[told, Window { from, to: world.watermark(&format!("team:{team}")) }],
        );
    }
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    assert!(lost > minutes(7 * 60) && lost < minutes(9 * 60), "{lost:?}");
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(lost.as_secs_f64()));
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    assert_eq!(
        world.value("cxone_history_gap_seconds_total", &[]),
        Some(0.0),
        "each gap is told once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_cxone_refuses_is_a_gap_and_what_follows_is_exact() {
    let config = "poll: {interval: 30s, lookback: 2h, overlap: 10m}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world =
        World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1").unwrap();
    let told = Window { from: epoch, to: world.watermark("team:team-1") };
    let before = world.direct.asked_for().len();
    world.restart(minutes(9 * 60)).await;
    world.run_for(minutes(15)).await;
    let asked = world.asked_since(before, "team:team-1");
    let first =
        asked.iter().find(|asked| asked.at.since(asked.window.from) < minutes(5 * 60)).unwrap();
    assert!(world.failures("rejected") >= 2.0);
    world.assert_exact_in(
        "team-1",
        &[told, Window { from: first.window.from, to: world.watermark("team:team-1") }],
    );
    let lost = first.window.from.since(told.to);
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(lost.as_secs_f64()));
    assert_eq!(world.value("cxone_up", &[]), Some(1.0));
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    world.assert_exact_in(
        "team-1",
        &[told, Window { from: first.window.from, to: world.watermark("team:team-1") }],
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_window_as_long_as_cxone_keeps_history_is_not_refused() {
    let config = "poll: {interval: 30s, lookback: 5h, overlap: 10m, settle_delay: 1m, retention: 5h}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world =
        World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(10)).await;
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    assert!(world.assert_exact(true) > 0);
}
