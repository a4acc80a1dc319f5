//! A disk that hangs for a long time and recovers.

use std::time::Duration;

use cxone_core::store::SharedRecords;
use http::StatusCode;

use crate::restarts::AT_ONCE;
use crate::world::{self, Plan, World};
use crate::{TWO_TEAMS, minutes, tenant};

fn world(shelf: &SharedRecords) -> World {
    let plan =
        Plan { simulator: tenant(), config: TWO_TEAMS, store: world::on(shelf), ..Plan::default() };
    World::new(plan)
}

fn counted(world: &World) -> (f64, f64) {
    (world.sum("cxone_agent_state_entries_total"), world.sum("cxone_state_seconds_total"))
}

/// Releases the disk at the end, so a failing test ends.
struct Released(SharedRecords);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.set_hanging(false);
    }
}

/// Makes the disk hang in the next commit of a report (a job is in progress) or of a submit.
async fn hang(world: &mut World, shelf: &SharedRecords, in_a_report: bool) {
    let jobs = if in_a_report { 1.0 } else { 0.0 };
    let wanted = |world: &World| world.value("cxone_report_jobs_in_flight", &[]) == Some(jobs);
    world.run_until("jobs under way, or none", minutes(5), wanted).await;
    shelf.set_hanging(true);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_commit_does_not_block_the_loop_and_nothing_is_lost_or_counted_twice() {
    for in_a_report in [true, false] {
        for is_kept in [true, false] {
            let shelf = SharedRecords::default();
            let mut world = world(&shelf);
            world.run_for(minutes(20)).await;
            hang(&mut world, &shelf, in_a_report).await;
            let _released = Released(shelf.clone());
            world.run_for_by_hand(Duration::from_secs(35)).await;
            let (before, accepted) = (counted(&world), world.simulator.counters().accepted);
            world.run_for_by_hand(Duration::from_secs(50)).await;
            assert_eq!(
                (world.value("cxone_store_up", &[]), world.value("cxone_up", &[])),
                (Some(0.0), Some(0.0))
            );
            assert!(world.failures("store") >= 1.0);
            let (status, page) = world.ask("/").await;
            assert!(status == StatusCode::OK && page.contains("does not answer"), "{page}");
            // Staleness is detected nevertheless.
            assert!(world.sum("cxone_agents") > 0.0);
            world.run_for_by_hand(minutes(6)).await;
            assert_eq!(world.sum("cxone_agents"), 0.0);
            assert_eq!(counted(&world), before, "nothing counts");
            assert_eq!(world.simulator.counters().accepted, accepted, "nothing is submitted");

            shelf.set_full(!is_kept);
            shelf.set_hanging(false);
            world.run_for(Duration::from_secs(5)).await;
            shelf.set_full(false);
            world.run_for(minutes(10)).await;
            assert_eq!(
                (world.value("cxone_store_up", &[]), world.value("cxone_up", &[])),
                (Some(1.0), Some(1.0))
            );
            assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
            assert!(world.assert_exact(true) > 30);
            world.assert_floor();
            world.restart(AT_ONCE).await;
            world.assert_exact(true);
            world.run_for(minutes(5)).await;
            world.assert_exact(true);
            world.assert_quota();
        }
    }
}
