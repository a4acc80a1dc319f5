//! A disk that fills up while the exporter runs, and has space again.

use std::time::Duration;

use cxone_core::store::SharedRecords;
use cxone_simulator::SimulatorOptions;
use http::StatusCode;

use crate::restarts::AT_ONCE;
use crate::world::{self, Plan, World};
use crate::{TWO_TEAMS, minutes, tenant};

fn world(shelf: &SharedRecords, simulator: SimulatorOptions) -> World {
    World::new(Plan { simulator, config: TWO_TEAMS, store: world::on(shelf), ..Plan::default() })
}

#[tokio::test(start_paused = true)]
async fn counting_stops_at_the_last_commit_and_resumes_without_loss() {
    let shelf = SharedRecords::default();
    let mut world = world(&shelf, tenant());
    world.run_for(minutes(20)).await;
    world.run_until_idle().await;
    let counted = |world: &World| {
        (
            world.sum("cxone_agent_state_entries_total"),
            world.sum("cxone_state_seconds_total"),
            world.observed(),
        )
    };
    let (before, accepted) = (counted(&world), world.simulator.counters().accepted);
    assert_eq!(world.value("cxone_store_commit_failures_total", &[]), Some(0.0));
    shelf.set_full(true);
    world.run_for(minutes(3)).await;
    assert_eq!(
        (world.value("cxone_up", &[]), world.value("cxone_store_up", &[])),
        (Some(0.0), Some(0.0))
    );
    assert_eq!(counted(&world), before);
    let failures = world.value("cxone_store_commit_failures_total", &[]).unwrap();
    assert!(failures >= 2.0 && world.failures("store") >= 2.0);
    world.run_for(minutes(57)).await;
    assert_eq!(world.ask("/metrics").await.0, StatusCode::OK);
    assert!(
        world.value("cxone_store_commit_failures_total", &[]).unwrap() > failures + 10.0,
        "it is tried again and again"
    );
    assert_eq!((counted(&world).0, counted(&world).1), (before.0, before.1));
    assert_eq!(
        world.simulator.counters().accepted,
        accepted,
        "no job whose submit could not be kept"
    );

    shelf.set_full(false);
    world.run_for(minutes(5)).await;
    assert_eq!(
        (world.value("cxone_up", &[]), world.value("cxone_store_up", &[])),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
    assert!(world.assert_exact(true) > 50);
    world.assert_floor();
    world.restart(AT_ONCE).await;
    world.assert_exact(true);
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_stored_does_not_count_and_is_retried() {
    let shelf = SharedRecords::default();
    let mut world =
        world(&shelf, SimulatorOptions { job_time: Duration::from_secs(15), ..tenant() });
    world.run_for(minutes(10)).await;
    for _ in 0..10 {
        world
            .run_until("a job", minutes(3), |world| {
                world.value("cxone_report_jobs_in_flight", &[]) > Some(0.0)
            })
            .await;
        let before = world.observed();
        shelf.set_full(true);
        world.run_for(Duration::from_secs(40)).await;
        assert!(world.failures("store") >= 1.0);
        assert_eq!(world.observed(), before, "nothing is shown that is not kept");
        world.assert_exact(true);
        shelf.set_full(false);
        world.run_for(minutes(2)).await;
        world.assert_exact(true);
    }
    world.restart(AT_ONCE).await;
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_quota();
}
