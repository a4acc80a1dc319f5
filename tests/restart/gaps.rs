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
async fn a_slice_that_cxone_refuses_is_a_gap_and_what_follows_is_exact() {
    let config = "poll: {interval: 30s, lookback: 2h, overlap: 10m}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world = World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1").unwrap();
    let told = Window { from: epoch, to: world.watermark("team:team-1") };
    let before = world.direct.asked_for().len();
    world.restart(minutes(9 * 60)).await;
    world.run_for(minutes(15)).await;
    let asked = world.asked_since(before, "team:team-1");
    let first = asked.iter().find(|asked| asked.at.since(asked.window.from) < minutes(5 * 60)).unwrap();
    assert!(world.failures("rejected") >= 2.0);
    world.assert_exact_in("team-1", &[told, Window { from: first.window.from, to: world.watermark("team:team-1") }]);
    let lost = first.window.from.since(told.to);
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(lost.as_secs_f64()));
    assert_eq!(world.value("cxone_up", &[]), Some(1.0));
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    world.assert_exact_in("team-1", &[told, Window { from: first.window.from, to: world.watermark("team:team-1") }]);
}
