//! Clocks that step, and clocks that differ.

use std::time::{Duration, SystemTime};

use cxone_core::time::Timestamp;
use cxone_simulator::{Faults, Injection, RequestFault, SimulatedEndpoint, SimulatorOptions};

use http::header::DATE;
use http::{HeaderMap, HeaderValue};

use crate::TWO_TEAMS;
use crate::chance::Chance;
use crate::restarts::AT_ONCE;
use crate::world::{Plan, START, World, minutes, tenant};

const HOUR: i64 = 3_600_000;

/// Two minutes, three times: whatever the clock does, no window lies in the future, and counts are
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
    // A clock that steps ahead makes recent submits appear old; at worst each step allows another
    // minute's quota.
    assert!(world.simulator.counters().over_quota == 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_skew_of_minutes_changes_no_count() {
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
async fn no_window_is_planned_by_an_unconfirmed_clock_even_if_the_first_sign_in_fails() {
    for fault in [RequestFault::Drop, RequestFault::ServerError] {
        let config = TWO_TEAMS.replace("overlap: 10m", "overlap: 1m");
        let mut world = World::new(Plan {
            simulator: tenant(),
            config: &config,
            skew_millis: -HOUR,
            ..Plan::default()
        });
        for times in 1..=4 {
            world.simulator.inject(Injection {
                fault,
                endpoint: Some(SimulatedEndpoint::Token),
                times,
            });
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

const EVERY_SECOND: &str = "
poll: {interval: 1s, lookback: 1h, overlap: 5s}
quota: {report_jobs_per_minute: 600}
targets: [{filter: {type: team, id: team-1}}]
";

/// A tenant with a job every second, or as fast as they are done.
fn every_second(skew_millis: i64) -> World {
    let simulator = SimulatorOptions { report_jobs_per_minute: 600, ..tenant() };
    World::new(Plan { simulator, config: EVERY_SECOND, skew_millis, ..Plan::default() })
}

/// An answer's `Date`, `ahead` milliseconds wrong.
fn set_date(headers: &mut HeaderMap, time: Timestamp, ahead: i64) {
    let millis = time.millis().saturating_add(ahead).max(0);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs());
    headers.insert(DATE, httpdate::fmt_http_date(time).parse().unwrap());
}

fn rejected(world: &World) -> f64 {
    world.sum("cxone_clock_dates_rejected_total")
}

/// Polling continues up to now, and counts are exact.
#[track_caller]
fn assert_goes_on(world: &World) {
    let behind = world.direct.now().since(world.watermark("team:team-1"));
    assert!(behind < Duration::from_secs(15), "{behind:?} behind");
    world.assert_exact(true);
    world.assert_no_window_in_the_future();
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn one_wrong_date_loses_no_visit_and_does_not_stop_polling() {
    for wrong in [12_000, HOUR, -HOUR, i64::MIN, 100_000 * HOUR] {
        for place in [0, 1, 7] {
            let mut world = every_second(0);
            let mut number = 0;
            world.direct.rewrite(Some(Box::new(move |now, _, headers| {
                if number == place {
                    set_date(headers, now, wrong);
                }
                number += 1;
            })));
            world.run_for(Duration::from_secs(90)).await;
            assert_goes_on(&world);
            assert!(rejected(&world) <= 1.0 && (rejected(&world) >= 1.0 || place == 0));
            world.restart(AT_ONCE).await;
            world.run_for(Duration::from_secs(30)).await;
            assert_goes_on(&world);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_behind_the_load_balancer_loses_nothing_and_is_counted() {
    for wrong in [12_000, HOUR, -HOUR, i64::MIN] {
        let mut world = every_second(0);
        let mut number = 0;
        world.direct.rewrite(Some(Box::new(move |now, _, headers| {
            number += 1;
            if number % 2 == 1 {
                set_date(headers, now, wrong);
            }
        })));
        for _ in 0..3 {
            world.run_for(minutes(1)).await;
            assert_goes_on(&world);
            world.restart(AT_ONCE).await;
            world.run_for(minutes(1)).await;
            assert_goes_on(&world);
        }
        assert!(rejected(&world) > 5.0);
        let (_, page) = world.ask("/").await;
        assert!(page.contains("disagree about the time"), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_date_loses_nothing_and_is_counted() {
    let mut world = every_second(0);
    world.run_for(minutes(1)).await;
    let frozen = world.direct.now();
    world.direct.rewrite(Some(Box::new(move |_, _, headers| set_date(headers, frozen, 0))));
    for _ in 0..4 {
        world.run_for(minutes(5)).await;
        assert_goes_on(&world);
    }
    let frozen = world.value("cxone_clock_dates_rejected_total", &[("reason", "frozen")]);
    assert!(frozen > Some(100.0), "{frozen:?}");
    world.restart(AT_ONCE).await;
    world.run_for(minutes(2)).await;
    assert_goes_on(&world);
}

#[tokio::test(start_paused = true)]
async fn without_any_date_the_local_clock_is_used() {
    for odd in [None, Some("soon"), Some("Fri, 99 Oct 2023 08:00:00 GMT")] {
        let mut world = every_second(0);
        world.direct.rewrite(Some(Box::new(move |_, _, headers| {
            headers.remove(DATE);
            headers.extend(odd.map(|odd| (DATE, HeaderValue::from_static(odd))));
        })));
        world.run_for(minutes(2)).await;
        assert_goes_on(&world);
        assert_eq!(world.value("cxone_clock_skew_seconds", &[]), None);
    }
}

#[tokio::test(start_paused = true)]
async fn error_pages_of_a_gateway_do_not_change_the_estimate_of_cxones_clock() {
    let mut world = every_second(-HOUR);
    world.run_for(minutes(1)).await;
    world.direct.rewrite(Some(Box::new(|now, status, headers| {
        if !status.is_success() {
            set_date(headers, now, HOUR);
        }
    })));
    world.simulator.set_faults(Faults::default().with(RequestFault::ServerError, 0.9));
    world.run_for(minutes(10)).await;
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(2)).await;
    assert_goes_on(&world);
    assert_eq!(rejected(&world), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_starts_in_1970_uses_cxones_clock() {
    let mut world = every_second(0);
    world.clock.step(-START.millis());
    world.run_for(minutes(3)).await;
    assert_goes_on(&world);
    world.kill(AT_ONCE).await;
    world.clock.step(START.millis());
    world.start_again(None);
    world.scrape().await;
    world.run_for(minutes(3)).await;
    assert_goes_on(&world);
}

#[tokio::test(start_paused = true)]
async fn a_watermark_set_by_a_wrong_clock_moves_back_and_counts_remain_exact() {
    // Only CXone's clock is wrong; or ours and CXone's are wrong by the same, which is
    // undetectable.
    for (ahead, ours_too) in [(12_000, false), (HOUR, false), (240_000, true), (HOUR, true)] {
        for restarts in [false, true] {
            let mut world = every_second(0);
            let ours = if ours_too { ahead } else { 0 };
            world.clock.step(ours);
            world.direct.rewrite(Some(Box::new(move |now, _, headers| {
                set_date(headers, now, ahead);
            })));
            world.run_for(minutes(3)).await;
            assert!(world.watermark("team:team-1") > world.direct.now());
            world.direct.rewrite(None);
            if restarts {
                world.kill(AT_ONCE).await;
                world.clock.step(-ours);
                world.start_again(None);
                world.scrape().await;
            } else {
                world.clock.step(-ours);
            }
            world.run_for(minutes(3)).await;
            let behind = world.direct.now().since(world.watermark("team:team-1"));
            assert!(behind < Duration::from_secs(15), "{behind:?} behind");
            assert!(world.watermark("team:team-1") <= world.direct.now());
            let epoch = "cxone_target_epoch_timestamp_seconds";
            assert!(world.target_time(epoch, "team:team-1").unwrap() <= world.direct.now());
            world.run_for(minutes(20)).await;
            // Open visits were published with an hour too much, and counters never fall.
            if (ahead, ours_too) == (HOUR, false) {
                world.assert_entries();
            } else {
                world.assert_exact(true);
            }
        }
    }
}
