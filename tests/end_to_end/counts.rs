//! The counters are exact with any kind of rows and despite any faults.

use std::time::Duration;

use cxone_simulator::{Faults, OpenEnd, ReportRows, SimulatedEndpoint, SimulatorOptions};

use crate::world::{self, BUCKET_TARGETS, OVERLAPPING_TARGETS, Plan, World, for_events, minutes};

fn tenant(rows: ReportRows, faults: Faults) -> SimulatorOptions {
    SimulatorOptions { rows, faults, ..world::tenant() }
}

/// Runs without faults and compares counters and floor every ten minutes.
async fn flawless(rows: ReportRows, name: &str, config: &str) {
    let mut world = World::new(Plan {
        simulator: tenant(rows, Faults::default()),
        config,
        rows: name,
        ..Plan::default()
    });
    let mut entries = 0;
    for _ in 0..12 {
        world.run_for(minutes(10)).await;
        entries = world.assert_exact(rows != ReportRows::Buckets);
        if rows != ReportRows::Buckets {
            world.assert_floor();
        }
    }
    assert!(entries > 120, "only {entries} entries: too little happened");
    assert_eq!(
        world.sum("cxone_report_job_failures_total")
            + world.sum("cxone_report_rows_rejected_total"),
        0.0
    );
    assert_eq!(world.value("cxone_report_rows_late_total", &[]), Some(0.0));
    world.assert_quota();
}

/// Runs with faults, then without until the last late row is in, and compares.
async fn faulty(rows: ReportRows, name: &str, config: &str, faults: Faults, seed: u64) {
    let options =
        SimulatorOptions { seed, token_life: Duration::from_secs(20), ..tenant(rows, faults) };
    let mut world = World::new(Plan { simulator: options, config, rows: name, ..Plan::default() });
    for _ in 0..5 {
        world.run_for(minutes(10)).await;
        world.assert_not_too_high(rows != ReportRows::Buckets);
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(10)).await;
    let entries = world.assert_exact(rows != ReportRows::Buckets);
    assert!(entries > 120, "only {entries} entries: too little happened");
    assert!(
        world.sum("cxone_report_job_failures_total") > 0.0
            && world.sum("cxone_report_rows_rejected_total") > 0.0
    );
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn whole_intervals_give_exact_counts_and_current_states() {
    flawless(ReportRows::WholeIntervals, "intervals", OVERLAPPING_TARGETS).await;
}

#[tokio::test(start_paused = true)]
async fn cut_intervals_give_exact_counts_and_current_states() {
    flawless(ReportRows::CutIntervals, "intervals", OVERLAPPING_TARGETS).await;
}

#[tokio::test(start_paused = true)]
async fn events_give_exact_counts_and_current_states() {
    flawless(ReportRows::Events, "events", &for_events()).await;
}

#[tokio::test(start_paused = true)]
async fn buckets_give_exact_counts() {
    flawless(ReportRows::Buckets, "buckets", BUCKET_TARGETS).await;
}

#[tokio::test(start_paused = true)]
async fn buckets_of_two_targets_that_share_agents_count_once() {
    flawless(
        ReportRows::Buckets,
        "buckets",
        &OVERLAPPING_TARGETS.replace("overlap: 10m", "settle_delay: 0s"),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_bad_day_leaves_no_trace_in_the_counts() {
    faulty(ReportRows::WholeIntervals, "intervals", OVERLAPPING_TARGETS, Faults::some(), 1).await;
    faulty(ReportRows::CutIntervals, "intervals", OVERLAPPING_TARGETS, Faults::some(), 2).await;
    faulty(ReportRows::Events, "events", &for_events(), Faults::some(), 3).await;
}

#[tokio::test(start_paused = true)]
async fn whole_intervals_are_exact_after_many_faults() {
    faulty(ReportRows::WholeIntervals, "intervals", OVERLAPPING_TARGETS, Faults::many(), 4).await;
}

#[tokio::test(start_paused = true)]
async fn cut_intervals_are_exact_after_many_faults() {
    faulty(ReportRows::CutIntervals, "intervals", OVERLAPPING_TARGETS, Faults::many(), 5).await;
}

#[tokio::test(start_paused = true)]
async fn events_are_exact_after_many_faults() {
    faulty(ReportRows::Events, "events", &for_events(), Faults::many(), 6).await;
}

#[tokio::test(start_paused = true)]
async fn buckets_behind_a_settle_delay_are_exact_after_many_faults() {
    faulty(ReportRows::Buckets, "buckets", BUCKET_TARGETS, Faults::many(), 8).await;
}

#[tokio::test(start_paused = true)]
async fn buckets_of_two_targets_that_share_agents_are_exact_after_faults() {
    let config = OVERLAPPING_TARGETS.replace("overlap: 10m", "settle_delay: 6m");
    faulty(ReportRows::Buckets, "buckets", &config, Faults::some(), 9).await;
}

#[tokio::test(start_paused = true)]
async fn an_open_visit_may_have_a_null_end_or_none() {
    let simulator = SimulatorOptions {
        open_end: OpenEnd::Null,
        ..tenant(ReportRows::WholeIntervals, Faults::default())
    };
    let mut world = World::new(Plan { simulator, config: OVERLAPPING_TARGETS, ..Plan::default() });
    world.run_for(minutes(20)).await;
    world.assert_exact(true);
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn the_first_counters_are_zero_and_have_the_label_sets_of_the_lookback() {
    let simulator = tenant(ReportRows::WholeIntervals, Faults::default());
    let mut world = World::new(Plan { simulator, config: OVERLAPPING_TARGETS, ..Plan::default() });
    world.run_until("an agent", minutes(1), |world| !world.observed().is_empty()).await;
    assert!(!world.all("cxone_agent_state_entries_total").is_empty());
    assert_eq!(
        world.sum("cxone_agent_state_entries_total") + world.sum("cxone_agent_state_seconds_total"),
        0.0
    );
    assert!(
        world.sum("cxone_agent_state_window_entries") > 100.0,
        "the window gauges reach back before the epoch"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_lifetime_of_twenty_seconds_is_enough_and_tokens_are_requested_one_at_a_time() {
    let simulator = SimulatorOptions {
        token_life: Duration::from_secs(20),
        ..tenant(ReportRows::WholeIntervals, Faults::default())
    };
    let mut world = World::new(Plan { simulator, config: OVERLAPPING_TARGETS, ..Plan::default() });
    world.run_for(minutes(30)).await;
    world.assert_exact(true);
    let counters = world.simulator.counters();
    // Renewed at half of its lifetime, and only while it is needed: at most once in 10 s.
    assert!(
        (60..=181).contains(&counters.tokens_issued),
        "{} tokens in 30 minutes",
        counters.tokens_issued
    );
    assert_eq!(counters.requests_to(SimulatedEndpoint::Token), counters.tokens_issued);
    assert_eq!(world.value("cxone_token_refresh_failures_total", &[]), Some(0.0));
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    assert_eq!(
        world.value("cxone_api_requests_total", &[("endpoint", "submit"), ("code", "401")]),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_renewed_once_and_fails_no_job() {
    let simulator = tenant(ReportRows::WholeIntervals, Faults::default());
    let mut world = World::new(Plan { simulator, config: OVERLAPPING_TARGETS, ..Plan::default() });
    world.run_for(minutes(5)).await;
    assert_eq!(world.simulator.counters().tokens_issued, 1);
    world.simulator.revoke_tokens();
    world.run_for(minutes(5)).await;
    assert_eq!(world.simulator.counters().tokens_issued, 2);
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    world.assert_exact(true);
    world.assert_quota();
}

/// Windows follow CXone's clock, and the counts its history.
async fn skewed(skew_minutes: i64) {
    let simulator = tenant(ReportRows::CutIntervals, Faults::default());
    let skew_millis = skew_minutes * 60_000;
    let mut world =
        World::new(Plan { simulator, config: OVERLAPPING_TARGETS, skew_millis, ..Plan::default() });
    for _ in 0..3 {
        world.run_for(minutes(10)).await;
        world.assert_exact(true);
        world.assert_floor();
        let ours = world.clock.now().utc;
        let watermark =
            world.target_time("cxone_target_watermark_timestamp_seconds", "team:team-1").unwrap();
        let behind_cxone = ours.millis() + skew_millis - watermark.millis();
        assert!((0..90_000).contains(&behind_cxone), "{behind_cxone} ms behind CXone's clock");
    }
    let skew = world.value("cxone_clock_skew_seconds", &[]).unwrap();
    let wanted = f64::from(i32::try_from(skew_minutes * 60).unwrap());
    assert!((skew - wanted).abs() <= 1.5, "{skew}");
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn a_cxone_clock_ten_minutes_ahead_is_followed() {
    skewed(10).await;
}

#[tokio::test(start_paused = true)]
async fn a_cxone_clock_ten_minutes_behind_is_followed() {
    skewed(-10).await;
}
