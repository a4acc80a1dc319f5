//! Restarts at random moments, with many faults.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cxone_core::store::SharedRecords;
use cxone_simulator::{Faults, ReportRows, SimulatorOptions};

use crate::chance::Chance;
use crate::restarts::{AT_ONCE, CommitFailure, FailingStore};
use crate::world::{
    self, BUCKET_TARGETS, OVERLAPPING_TARGETS, Plan, World, for_events, minutes, tenant,
};

/// Hours of restarts and faults, then none until the last late row is in.
async fn restarts(rows: ReportRows, name: &str, config: &str, seed: u64) {
    let mut chance = Chance::new(seed);
    let simulator =
        SimulatorOptions { seed, rows, faults: Faults::many(), token_life: minutes(3), ..tenant() };
    let mut world = World::new(Plan { simulator, config, rows: name, ..Plan::default() });
    let (mut times, end) = (0, world.direct.now().plus(minutes(150)));
    while world.direct.now() < end {
        world.run_for(chance.millis(1, 8 * 60_000)).await;
        let downtime =
            if times % 8 == 7 { chance.millis(1, 20 * 60_000) } else { chance.millis(1, 30_000) };
        world.restart(downtime).await;
        world.assert_not_too_high(rows != ReportRows::Buckets);
        times += 1;
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(12)).await;
    let entries = world.assert_exact(rows != ReportRows::Buckets);
    if rows != ReportRows::Buckets {
        world.assert_floor();
    }
    assert!(times > 20 && entries > 200, "seed {seed}: only {entries} entries, {times} restarts");
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn whole_intervals_are_exact_after_restarts_and_faults() {
    restarts(ReportRows::WholeIntervals, "intervals", OVERLAPPING_TARGETS, 11).await;
}

#[tokio::test(start_paused = true)]
async fn cut_intervals_are_exact_after_restarts_and_faults() {
    restarts(ReportRows::CutIntervals, "intervals", OVERLAPPING_TARGETS, 12).await;
}

#[tokio::test(start_paused = true)]
async fn events_are_exact_after_restarts_and_faults() {
    restarts(ReportRows::Events, "events", &for_events(), 13).await;
}

#[tokio::test(start_paused = true)]
async fn buckets_are_exact_after_restarts_and_faults() {
    restarts(ReportRows::Buckets, "buckets", BUCKET_TARGETS, 14).await;
}

#[tokio::test(start_paused = true)]
async fn buckets_of_two_targets_that_share_agents_are_exact_after_restarts_and_faults() {
    let config = OVERLAPPING_TARGETS.replace("overlap: 10m", "settle_delay: 6m");
    restarts(ReportRows::Buckets, "buckets", &config, 15).await;
}

/// Commits are reported as failed, whether kept or not, and the process ends then or continues.
async fn failed_commits(rows: ReportRows, name: &str, config: &str, ends: bool, seed: u64) {
    let mut chance = Chance::new(seed);
    let (shelf, failure) = (SharedRecords::default(), Arc::new(CommitFailure::default()));
    let open = world::on(&shelf);
    let store = {
        let failure = Arc::clone(&failure);
        Box::new(move || {
            Box::new(FailingStore { store: open(), failure: Arc::clone(&failure) }) as Box<_>
        })
    };
    let simulator = SimulatorOptions { seed, rows, faults: Faults::some(), ..tenant() };
    let mut world = World::new(Plan { simulator, config, rows: name, store, ..Plan::default() });
    for _ in 0..40 {
        failure.kept.store(chance.between(0, 2) == 0, Ordering::Relaxed);
        failure.failed.store(false, Ordering::Relaxed);
        failure.after.store(chance.between(1, 9), Ordering::Relaxed);
        while !failure.failed.load(Ordering::Relaxed) {
            world.run_for(Duration::from_secs(7)).await;
        }
        if ends || chance.between(0, 3) == 0 {
            world.restart(AT_ONCE).await;
        }
    }
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(12)).await;
    let entries = world.assert_exact(true);
    world.restart(AT_ONCE).await;
    world.assert_exact(true);
    assert!(entries > 50, "seed {seed}: only {entries} entries");
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_counted_twice_when_the_process_ends_in_a_commit() {
    failed_commits(ReportRows::WholeIntervals, "intervals", OVERLAPPING_TARGETS, true, 21).await;
    failed_commits(ReportRows::Events, "events", &for_events(), true, 22).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_counted_twice_when_a_commit_reported_as_failed_was_kept() {
    failed_commits(ReportRows::WholeIntervals, "intervals", OVERLAPPING_TARGETS, false, 31).await;
    failed_commits(ReportRows::CutIntervals, "intervals", OVERLAPPING_TARGETS, false, 32).await;
}

#[tokio::test(start_paused = true)]
async fn restarts_every_few_seconds_lose_no_counts() {
    let mut chance = Chance::new(41);
    let mut world =
        World::new(Plan { simulator: tenant(), config: OVERLAPPING_TARGETS, ..Plan::default() });
    for _ in 0..100 {
        world.run_for(chance.millis(1, 12_000)).await;
        world.restart(AT_ONCE).await;
    }
    world.run_for(Duration::from_secs(300)).await;
    world.assert_exact(true);
    world.assert_floor();
    world.assert_quota();
}
