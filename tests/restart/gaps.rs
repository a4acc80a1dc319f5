//! History that CXone no longer keeps, or rejects.

use std::sync::Arc;
use std::time::Duration;

use cxone_core::time::{Timestamp, Window};
use cxone_simulator::{ReportRows, SimulatorOptions};
use http::StatusCode;

use crate::direct::{Interception, submitted_window};
use crate::restarts::AT_ONCE;
use crate::world::{Plan, World, minutes, tenant};

/// Cut at the window's edges, so a report says nothing about the time before it.
fn cut(retention: Option<Duration>) -> SimulatorOptions {
    SimulatorOptions { rows: ReportRows::CutIntervals, retention, ..tenant() }
}

#[tokio::test(start_paused = true)]
async fn history_older_than_the_retention_is_a_gap_and_the_rest_is_exact() {
    let config = "poll: {interval: 30s, lookback: 2h, overlap: 10m, retention: 5h}\ntargets: [{filter: {type: team, id: team-1}}, {filter: {type: team, id: team-2}}]";
    // CXone's retention is that of the configuration: at its edge nothing may be rejected.
    let mut world =
        World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let before = world.direct.submits().len();
    let known = ["team-1", "team-2"].map(|team| {
        let target = format!("team:{team}");
        let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", &target).unwrap();
        (team, Window { from: epoch, to: world.watermark(&target) })
    });
    world.restart(minutes(9 * 60)).await;
    world.run_for(minutes(5)).await;
    let mut lost = Duration::ZERO;
    for (team, reported) in known {
        let asked = world.submits_since(before, &format!("team:{team}"));
        let from = asked[0].window.from;
        assert!(
            asked[0].at.since(from) < minutes(5 * 60)
                && asked[0].at.since(from) > minutes(5 * 60 - 2),
            "{:?}",
            asked[0]
        );
        lost += from.since(reported.to);
        world.assert_exact_in(
            team,
            &[reported, Window { from, to: world.watermark(&format!("team:{team}")) }],
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
        "each gap is counted once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slice_rejected_by_cxone_is_a_gap_and_what_follows_is_exact() {
    let config = "poll: {interval: 30s, lookback: 2h, overlap: 10m}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world =
        World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1").unwrap();
    let reported = Window { from: epoch, to: world.watermark("team:team-1") };
    let before = world.direct.submits().len();
    world.restart(minutes(9 * 60)).await;
    world.run_for(minutes(15)).await;
    let asked = world.submits_since(before, "team:team-1");
    // Besides the slices there is a short window that ends now, to see whether any is accepted.
    let first = asked
        .iter()
        .find(|asked| {
            asked.window.length() >= minutes(30)
                && asked.at.since(asked.window.from) < minutes(5 * 60)
        })
        .unwrap();
    assert!(world.failures("rejected") >= 3.0);
    world.assert_exact_in(
        "team-1",
        &[reported, Window { from: first.window.from, to: world.watermark("team:team-1") }],
    );
    let lost = first.window.from.since(reported.to);
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(lost.as_secs_f64()));
    assert_eq!(world.value("cxone_up", &[]), Some(1.0));
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    world.assert_exact_in(
        "team-1",
        &[reported, Window { from: first.window.from, to: world.watermark("team:team-1") }],
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_window_as_long_as_cxones_retention_is_not_rejected() {
    let config = "poll: {interval: 30s, lookback: 5h, overlap: 10m, settle_delay: 1m, retention: 5h}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world =
        World::new(Plan { simulator: cut(Some(minutes(5 * 60))), config, ..Plan::default() });
    world.run_for(minutes(10)).await;
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    assert!(world.assert_exact(true) > 0);
}

const A_WEEK: u64 = 7 * 24 * 60;

/// A tenant with one team that is a week behind.
async fn a_week_behind() -> (World, Window) {
    let config = "poll: {interval: 60s, lookback: 24h, overlap: 10m}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world = World::new(Plan { simulator: cut(None), config, ..Plan::default() });
    world.run_for(minutes(5)).await;
    world.run_until_idle().await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1").unwrap();
    let reported = Window { from: epoch, to: world.watermark("team:team-1") };
    world.restart(minutes(A_WEEK)).await;
    (world, reported)
}

/// From now on every submit that `is_refused` selects, by its time and window, is answered like
/// this.
fn refuse(
    world: &World,
    status: StatusCode,
    is_refused: impl Fn(Timestamp, Window) -> bool + Send + 'static,
) {
    let direct = Arc::downgrade(&world.direct);
    world.direct.interfere(Some(Box::new(move |request| {
        let now = direct.upgrade().unwrap().now();
        match submitted_window(request) {
            Some(window) if is_refused(now, window) => Interception::Status(status),
            Some(_) | None => Interception::Forwarded,
        }
    })));
}

#[tokio::test(start_paused = true)]
async fn only_a_rejected_window_skips_history() {
    for status in [400, 403, 404, 405, 409, 410, 413, 415, 451] {
        let (mut world, reported) = a_week_behind().await;
        let until = world.direct.now().plus(minutes(20));
        refuse(&world, StatusCode::from_u16(status).unwrap(), move |now, _| now < until);
        world.run_for(minutes(19)).await;
        assert_eq!(world.watermark("team:team-1"), reported.to, "{status}");
        assert_eq!(world.failures("rejected"), 0.0, "{status}");
        world.run_for(minutes(20)).await;
        assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0), "{status}");
        assert!(world.direct.now().since(world.watermark("team:team-1")) < minutes(3), "{status}");
        world.assert_exact(true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_422_that_is_temporary_or_affects_every_window_skips_no_history() {
    let (mut world, reported) = a_week_behind().await;
    let began = world.direct.now();
    refuse(&world, StatusCode::UNPROCESSABLE_ENTITY, move |now, window| {
        // For four minutes old windows, then for half an hour all: perhaps a problem of the filter.
        let passed = now.since(began);
        passed < minutes(4) && window.to < began || passed > minutes(6) && passed < minutes(36)
    });
    world.run_for(minutes(4)).await;
    assert_eq!(world.watermark("team:team-1"), reported.to);
    world.run_for(minutes(40)).await;
    assert!(world.failures("rejected") > 10.0);
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
    assert!(world.direct.now().since(world.watermark("team:team-1")) < minutes(3));
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn windows_too_long_for_cxone_skip_no_history() {
    let (mut world, _) = a_week_behind().await;
    refuse(&world, StatusCode::UNPROCESSABLE_ENTITY, |_, window| window.length() > minutes(400));
    world.run_for(minutes(40)).await;
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
    assert!(world.direct.now().since(world.watermark("team:team-1")) < minutes(3));
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn reports_that_are_too_large_are_split_into_shorter_windows() {
    let config = "poll: {interval: 60s, lookback: 24h, overlap: 10m}\ntargets: [{filter: {type: team, id: team-1}}]";
    // Several hours of them.
    let simulator = SimulatorOptions { max_rows: 150, ..cut(None) };
    let mut world = World::new(Plan { simulator, config, ..Plan::default() });
    let first = world.direct.now();
    world.run_for(minutes(30)).await;
    assert!(world.failures("failed") >= 3.0);
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1").unwrap();
    assert!(epoch.since(first) < minutes(2), "counting begins where the whole lookback ends");
    assert!(world.direct.submits()[0].window.length() == minutes(24 * 60));
    assert_eq!(
        world.direct.submits().iter().map(|asked| asked.window.from).min(),
        Some(world.direct.submits()[0].window.from),
        "the whole lookback is asked for"
    );
    world.assert_exact(true);
    let (_, page) = world.ask("/").await;
    world.restart(minutes(2 * 24 * 60)).await;
    world.run_for(minutes(60)).await;
    assert!(world.direct.now().since(world.watermark("team:team-1")) < minutes(3), "{page}");
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
    world.assert_exact(true);
}
