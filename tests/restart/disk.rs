//! A disk that fills up and has space again, and one that hangs for a long time and recovers.

use std::time::Duration;

use cxone_core::store::SharedRecords;
use cxone_simulator::SimulatorOptions;
use http::StatusCode;

use crate::TWO_TEAMS;
use crate::restarts::AT_ONCE;
use crate::world::{self, Plan, World, minutes, tenant};

fn world(records: &SharedRecords, simulator: SimulatorOptions) -> World {
    World::new(Plan { simulator, config: TWO_TEAMS, store: world::on(records), ..Plan::default() })
}

fn counted(world: &World) -> (f64, f64) {
    (world.sum("cxone_agent_state_entries_total"), world.sum("cxone_state_seconds_total"))
}

fn up(world: &World) -> (Option<f64>, Option<f64>) {
    (world.value("cxone_up", &[]), world.value("cxone_store_up", &[]))
}

/// Everything is up and exact again, even after a restart.
async fn assert_recovered(world: &mut World) {
    assert_eq!(up(world), (Some(1.0), Some(1.0)));
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
    assert!(world.assert_exact(true) > 30);
    world.assert_floor();
    world.restart(AT_ONCE).await;
    world.assert_exact(true);
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn counting_stops_at_the_last_commit_and_resumes_without_loss() {
    let records = SharedRecords::default();
    let mut world = world(&records, tenant());
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let (before, observed) = (counted(&world), world.observed());
    let accepted = world.simulator.counters().accepted;
    assert_eq!(world.value("cxone_store_commit_failures_total", &[]), Some(0.0));
    records.set_full(true);
    world.run_for(minutes(3)).await;
    assert_eq!(up(&world), (Some(0.0), Some(0.0)));
    assert_eq!((counted(&world), world.observed()), (before, observed));
    let failures = world.value("cxone_store_commit_failures_total", &[]).unwrap();
    assert!(failures >= 2.0 && world.failures("store") >= 2.0);
    world.run_for(minutes(57)).await;
    assert_eq!(world.ask("/metrics").await.0, StatusCode::OK);
    assert!(
        world.value("cxone_store_commit_failures_total", &[]).unwrap() > failures + 10.0,
        "it is tried again and again"
    );
    assert_eq!(counted(&world), before);
    assert_eq!(
        world.simulator.counters().accepted,
        accepted,
        "no job whose submit could not be kept"
    );

    records.set_full(false);
    world.run_for(minutes(5)).await;
    assert_recovered(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_stored_does_not_count_and_is_retried() {
    let records = SharedRecords::default();
    let mut world =
        world(&records, SimulatorOptions { job_time: Duration::from_secs(15), ..tenant() });
    world.run_for(minutes(10)).await;
    for _ in 0..10 {
        world
            .run_until("a job", minutes(3), |world| {
                world.value("cxone_report_jobs_in_flight", &[]) > Some(0.0)
            })
            .await;
        let before = world.observed();
        records.set_full(true);
        world.run_for(Duration::from_secs(40)).await;
        assert!(world.failures("store") >= 1.0);
        assert_eq!(world.observed(), before, "nothing is shown that is not kept");
        world.assert_exact(true);
        records.set_full(false);
        world.run_for(minutes(2)).await;
        world.assert_exact(true);
    }
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_quota();
}

/// Releases the disk at the end, so a failing test ends.
struct Released(SharedRecords);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.set_hanging(false);
    }
}

/// Makes the disk hang in the next commit of a report (a job is in progress) or of a submit.
async fn hang(world: &mut World, records: &SharedRecords, in_a_report: bool) {
    let jobs = if in_a_report { 1.0 } else { 0.0 };
    let wanted = |world: &World| world.value("cxone_report_jobs_in_flight", &[]) == Some(jobs);
    world.run_until("jobs under way, or none", minutes(5), wanted).await;
    records.set_hanging(true);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_commit_does_not_block_the_loop_and_nothing_is_lost_or_counted_twice() {
    for in_a_report in [true, false] {
        for is_kept in [true, false] {
            let records = SharedRecords::default();
            let mut world = world(&records, tenant());
            world.run_for(minutes(20)).await;
            hang(&mut world, &records, in_a_report).await;
            let _released = Released(records.clone());
            world.run_for_by_hand(Duration::from_secs(35)).await;
            let (before, accepted) = (counted(&world), world.simulator.counters().accepted);
            world.run_for_by_hand(Duration::from_secs(50)).await;
            assert_eq!(up(&world), (Some(0.0), Some(0.0)));
            assert!(world.failures("store") >= 1.0);
            let (status, page) = world.ask("/").await;
            assert!(status == StatusCode::OK && page.contains("does not answer"), "{page}");
            // Staleness is detected nevertheless.
            assert!(world.sum("cxone_agents") > 0.0);
            world.run_for_by_hand(minutes(6)).await;
            assert_eq!(world.sum("cxone_agents"), 0.0);
            assert_eq!(counted(&world), before, "nothing counts");
            assert_eq!(world.simulator.counters().accepted, accepted, "nothing is submitted");

            records.set_full(!is_kept);
            records.set_hanging(false);
            world.run_for(Duration::from_secs(5)).await;
            records.set_full(false);
            world.run_for(minutes(10)).await;
            assert_recovered(&mut world).await;
        }
    }
}
