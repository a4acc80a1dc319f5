//! Clocks that step, and clocks that disagree.

use std::time::Duration;

use cxone_exporter::simulator::{Endpoint, Fault, Faults, Injection, SimulatorOptions};

use crate::chance::Chance;
use crate::restarts::AT_ONCE;
use crate::world::{Plan, World};
use crate::{TWO_TEAMS, minutes, tenant};

const HOUR: i64 = 3_600_000;

/// Two minutes, three times: whatever the clock does, nothing lies in the future, and counts are
/// exact.
async fn settle(world: &mut World) {
    for _ in 0..3 {
        world.run_for(minutes(2)).await;
        world.assert_exact(true);
    }
    world.assert_no_window_in_the_future();
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
}

fn skew(world: &World) -> f64 {
    world.value("cxone_clock_skew_seconds", &[]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_while_the_exporter_runs_changes_no_count() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.run_for(minutes(10)).await;
    let mut off = 0;
    for step in [HOUR, -HOUR, -HOUR, HOUR, 7 * 60_000, -HOUR / 2] {
        world.clock.step(step);
        off += step;
        settle(&mut world).await;
        let seconds = Duration::from_millis(off.unsigned_abs()).as_secs_f64()
            * if off > 0 { -1.0 } else { 1.0 };
        assert!((skew(&world) - seconds).abs() < 1.5, "{} instead of {seconds}", skew(&world));
        assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    }
    world.assert_floor();
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_between_two_processes_changes_no_count() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.run_for(minutes(10)).await;
    for step in [-HOUR, HOUR, HOUR, -HOUR] {
        for downtime in [AT_ONCE, minutes(5)] {
            world.kill(downtime).await;
            world.clock.step(step);
            world.start_again(None);
            world.scrape().await;
            settle(&mut world).await;
        }
        world.assert_floor();
    }
    // A clock that runs ahead makes what was submitted a moment ago look old; at worst each step
    // costs one more minute's worth.
    assert!(world.simulator.counters().over_quota == 0);
}

#[tokio::test(start_paused = true)]
async fn minutes_between_cxones_clock_and_ours_make_no_difference() {
    for seconds in [-420_i64, 420, -45, 45] {
        let config = TWO_TEAMS.replace("overlap: 10m", "overlap: 1m");
        let mut world = World::new(Plan {
            simulator: tenant(),
            config: &config,
            skew_millis: seconds * 1000,
            ..Plan::default()
        });
        world.run_for(minutes(10)).await;
        let mut chance = Chance::new(51);
        for _ in 0..5 {
            settle(&mut world).await;
            assert!(
                (skew(&world)
                    - if seconds > 0 { 1.0 } else { -1.0 }
                        * Duration::from_secs(seconds.unsigned_abs()).as_secs_f64())
                .abs()
                    < 1.5
            );
            world.restart(chance.millis(1, 90_000)).await;
        }
        settle(&mut world).await;
        world.assert_floor();
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_is_planned_by_a_clock_that_may_be_wrong_though_the_first_sign_in_fails() {
    for fault in [Fault::Drop, Fault::ServerError] {
        let config = TWO_TEAMS.replace("overlap: 10m", "overlap: 1m");
        let mut world = World::new(Plan {
            simulator: tenant(),
            config: &config,
            skew_millis: -HOUR,
            ..Plan::default()
        });
        for times in 1..=4 {
            world.simulator.inject(Injection { fault, endpoint: Some(Endpoint::Token), times });
            world.run_for(minutes(10)).await;
            settle(&mut world).await;
            world.restart(AT_ONCE).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_step_at_any_moment_under_faults_change_no_count() {
    let mut chance = Chance::new(61);
    let simulator = SimulatorOptions { faults: Faults::some(), ..tenant() };
    let mut world = World::new(Plan { simulator, config: TWO_TEAMS, ..Plan::default() });
    let mut off = 0;
    for _ in 0..40 {
        world.run_for(chance.millis(1, 4 * 60_000)).await;
        let to = [0, HOUR, -HOUR, 90_000, -90_000][usize::try_from(chance.between(0, 5)).unwrap()];
        if chance.between(0, 3) == 0 {
            world.kill(chance.millis(1, 60_000)).await;
            world.clock.step(to - off);
            world.start_again(None);
            world.scrape().await;
        } else {
            world.clock.step(to - off);
        }
        off = to;
        world.assert_not_too_high(true);
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(12)).await;
    world.assert_no_window_in_the_future();
    assert!(world.assert_exact(true) > 100);
    world.assert_floor();
}
