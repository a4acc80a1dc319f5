//! Failures are counted by reason, change no count, and have no effect once they are over.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use cxone_core::time::Timestamp;
use cxone_simulator::{
    Faults, Injection, ReportRows, RequestFault, SimulatedEndpoint, SimulatorOptions,
};
use http::{Method, Request, StatusCode};

use crate::TWO_TEAMS;
use crate::direct::Interception;
use crate::world::{Plan, START, World, minutes, tenant};

/// The gauges of single agents, without the counters.
const AGENT_GAUGES: [&str; 4] = [
    "cxone_agent_state_start_timestamp_seconds",
    "cxone_agent_observed_timestamp_seconds",
    "cxone_agent_state_window_entries",
    "cxone_agent_info",
];

fn world(config: &str) -> World {
    World::new(Plan { simulator: tenant(), config, ..Plan::default() })
}

/// Only injected faults; throttled answers have this `Retry-After`.
fn retry_after(seconds: u64) -> Faults {
    let mut faults = Faults::default();
    faults.retry_after = Duration::from_secs(seconds);
    faults
}

fn asks_for(request: &Request<Bytes>, text: &str) -> bool {
    request.body().windows(text.len()).any(|window| window == text.as_bytes())
}

fn is_poll(request: &Request<Bytes>) -> bool {
    request.method() == Method::GET
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_hours_withdraws_gauges_keeps_counters_and_is_caught_up_exactly() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(10)).await;
    let watermark = world.target_time("cxone_target_watermark_timestamp_seconds", "team:team-1");
    let entries = world.sum("cxone_agent_state_entries_total");
    assert!(
        AGENT_GAUGES.iter().all(|name| !world.all(name).is_empty())
            && world.sum("cxone_agents") > 0.0
    );

    world.direct.interfere(Some(Box::new(|_| Interception::Dropped)));
    world.run_for(minutes(3)).await;
    assert_eq!(world.value("cxone_up", &[]), Some(0.0));
    assert_eq!(world.value("cxone_target_up", &[("target", "team:team-1")]), Some(0.0));
    assert!(!world.all("cxone_agent_observed_timestamp_seconds").is_empty(), "not stale yet");
    world.run_for(minutes(5 * 60)).await;
    for name in AGENT_GAUGES {
        assert!(world.all(name).is_empty(), "{name} is still there");
    }
    assert_eq!(world.sum("cxone_agents") + world.sum("cxone_skill_agents"), 0.0);
    assert!(
        world.value("cxone_agents", &[("state", "Ready")]).is_some(),
        "known states stay, at 0"
    );
    assert!(world.value("cxone_agents_seen", &[]).is_some_and(|seen| seen > 0.0));
    assert_eq!(world.sum("cxone_agent_state_entries_total"), entries);
    assert_eq!(
        world.target_time("cxone_target_watermark_timestamp_seconds", "team:team-1"),
        watermark
    );
    assert!(world.value("cxone_data_watermark_timestamp_seconds", &[]).is_some());
    assert!(world.failures("unreachable") > 10.0);
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK, "what was read once can be shown");
    assert_eq!(world.ask("/-/healthy").await.0, StatusCode::OK);

    let before = world.value("cxone_report_jobs_total", &[]).unwrap();
    world.direct.interfere(None);
    world.run_for(minutes(6)).await;
    assert!(world.assert_exact(true) > 300);
    world.assert_floor();
    assert_eq!(
        (
            world.value("cxone_up", &[]),
            world.value("cxone_target_up", &[("target", "team:team-1")])
        ),
        (Some(1.0), Some(1.0))
    );
    let submitted = world.value("cxone_report_jobs_total", &[]).unwrap() - before;
    assert!(submitted >= 2.0 * 3.0, "five hours in windows of at most two: {submitted} jobs");
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn a_target_without_an_answer_does_not_block_the_other() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    world.direct.interfere(Some(Box::new(|request| {
        if asks_for(request, "team-2") { Interception::Hangs } else { Interception::Forwarded }
    })));
    world.run_for(minutes(20)).await;
    let behind = |world: &World, target: &str| {
        let watermark =
            world.target_time("cxone_target_watermark_timestamp_seconds", target).unwrap();
        world.clock.now().utc.since(watermark)
    };
    assert!(
        behind(&world, "team:team-1") < minutes(1) && behind(&world, "team:team-2") > minutes(19)
    );
    let up = |target| world.value("cxone_target_up", &[("target", target)]);
    assert_eq!((up("team:team-1"), up("team:team-2")), (Some(1.0), Some(0.0)));
    let teams: Vec<String> = world.observed().into_keys().collect();
    assert!(
        teams.contains(&"user-001".to_owned()) && !teams.contains(&"user-002".to_owned()),
        "{teams:?}"
    );
    for agent in world.simulator.floor().agents().filter(|agent| agent.team == "team-1") {
        world.assert_exact_for(agent, true);
    }

    world.direct.interfere(None);
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn jobs_that_never_end_time_out() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    world.simulator.set_faults(Faults::default().with(RequestFault::Endless, 1.0));
    world.run_for(minutes(5)).await;
    assert!(world.failures("timeout") >= 4.0);
    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
    world.assert_quota();
}

/// Lets `fault` happen to every request to `endpoint` for some minutes: the failures are counted by
/// `reason`, and nothing else is.
async fn broken(fault: RequestFault, endpoint: SimulatedEndpoint, reason: &str) {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    world.simulator.inject(Injection { fault, endpoint: Some(endpoint), times: 16 });
    let (jobs, rows) =
        (world.sum("cxone_report_job_failures_total"), world.value("cxone_report_rows_total", &[]));
    assert_eq!(jobs, 0.0);
    let observed = world.observed();
    world
        .run_until(&format!("{fault:?} counted as {reason}"), minutes(3), |world| {
            world.failures(reason) >= 2.0
        })
        .await;
    assert_eq!(world.sum("cxone_report_job_failures_total"), world.failures(reason), "{fault:?}");
    assert_eq!(
        world.value("cxone_report_rows_total", &[]),
        rows,
        "{fault:?}: rows of a report that does not count"
    );
    assert_eq!(world.observed(), observed, "{fault:?}: the last good values stay");
    world.assert_exact(true);
    world.run_for(minutes(8)).await;
    world.assert_exact(true);
    world.assert_floor();
    world.assert_quota();
}

#[tokio::test(start_paused = true)]
async fn broken_answers_are_discarded_and_counted_by_reason() {
    broken(RequestFault::Cut, SimulatedEndpoint::Poll, "malformed").await;
    broken(RequestFault::NotJson, SimulatedEndpoint::Poll, "malformed").await;
    broken(RequestFault::NotJson, SimulatedEndpoint::Submit, "malformed").await;
    broken(RequestFault::NoId, SimulatedEndpoint::Submit, "malformed").await;
    broken(RequestFault::UnknownStatus, SimulatedEndpoint::Poll, "malformed").await;
    broken(RequestFault::NoData, SimulatedEndpoint::Poll, "malformed").await;
    broken(RequestFault::Lose, SimulatedEndpoint::Poll, "lost").await;
    broken(RequestFault::Fail, SimulatedEndpoint::Submit, "failed").await;
    broken(RequestFault::Drop, SimulatedEndpoint::Submit, "unreachable").await;
    broken(RequestFault::ServerError, SimulatedEndpoint::Submit, "server").await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_whose_answer_is_cut_needs_no_second_job() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    let submits = |world: &World| world.simulator.counters().submits.len();
    let before = submits(&world);
    let mut cut = 3;
    world.direct.interfere(Some(Box::new(move |request| {
        if is_poll(request) && cut > 0 {
            cut -= 1;
            return Interception::Answered(Bytes::from_static(
                b"{\"status\":\"COMPLETED\",\"data\":[{",
            ));
        }
        Interception::Forwarded
    })));
    world.run_for(minutes(5)).await;
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    assert!(submits(&world) - before <= 2 * 10, "one job a target and half minute");
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn a_report_larger_than_the_limit_is_discarded() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    // The limit is 5,000,000 rows, invalid ones included.
    let huge =
        Bytes::from(format!("{{\"status\":\"COMPLETED\",\"data\":[{}0]}}", "0,".repeat(5_000_000)));
    let mut left = 1;
    world.direct.interfere(Some(Box::new(move |request| {
        if is_poll(request) && left > 0 {
            left -= 1;
            return Interception::Answered(huge.clone());
        }
        Interception::Forwarded
    })));
    world.run_until("too_large", minutes(2), |world| world.failures("too_large") >= 1.0).await;
    assert_eq!(world.sum("cxone_report_rows_rejected_total"), 0.0);
    let huge_answer =
        Bytes::from(format!("{{\"id\":\"job-1\",\"padding\":\"{}\"}}", "x".repeat(1024 * 1024)));
    world.direct.interfere(Some(Box::new(move |request| {
        if asks_for(request, "agent-state-history") {
            Interception::Answered(huge_answer.clone())
        } else {
            Interception::Forwarded
        }
    })));
    world
        .run_until("too_large again", minutes(2), |world| world.failures("too_large") >= 2.0)
        .await;
    world.direct.interfere(None);
    world.run_for(minutes(5)).await;
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn invalid_rows_are_counted_by_reason_and_the_rest_of_the_report_counts() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    world.simulator.set_faults("malformed=0.5".parse().unwrap());
    world.run_for(minutes(20)).await;
    world.assert_exact(true);
    world.assert_floor();
    let rejected = world.all("cxone_report_rows_rejected_total");
    let reasons = rejected.iter().filter(|(_, count)| **count != "0").count();
    assert!(reasons >= 5, "{rejected:?}");
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_report_whose_rows_are_all_rejected_fails_and_moves_no_watermark() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    let watermark = |world: &World| {
        world.target_time("cxone_target_watermark_timestamp_seconds", "team:team-1")
    };
    let (known, rows) = (watermark(&world), world.value("cxone_report_rows_total", &[]));
    world.simulator.set_faults("unreadable=1".parse().unwrap());
    world.run_for(minutes(10)).await;
    assert!(world.failures("rows_rejected") >= 4.0);
    assert_eq!(world.sum("cxone_report_job_failures_total"), world.failures("rows_rejected"));
    assert_eq!(world.value("cxone_up", &[]), Some(0.0));
    assert_eq!(world.value("cxone_target_up", &[("target", "team:team-1")]), Some(0.0));
    assert!(
        world.value("cxone_report_rows_rejected_total", &[("reason", "bad_time")]) > Some(50.0)
    );
    assert!(watermark(&world).unwrap().since(known.unwrap()) < Duration::from_secs(60));
    let page = world.ask("/").await.1;
    assert!(page.contains("rows were rejected") && page.contains("27/10/2023"), "{page}");

    world.simulator.set_faults(Faults::default());
    world.run_for(minutes(5)).await;
    assert!(world.value("cxone_report_rows_total", &[]) > rows);
    world.assert_exact(true);
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn one_invalid_row_in_an_otherwise_empty_history_does_not_block_it_forever() {
    let mut world = world(TWO_TEAMS);
    world.run_for(minutes(5)).await;
    world.direct.interfere(Some(Box::new(|request| {
        if is_poll(request) {
            Interception::Answered(Bytes::from_static(b"{\"status\":\"COMPLETED\",\"data\":[{}]}"))
        } else {
            Interception::Forwarded
        }
    })));
    world.run_for(minutes(100)).await;
    let behind = |world: &World| {
        let known = world.target_time("cxone_target_watermark_timestamp_seconds", "team:team-1");
        world.clock.now().utc.since(known.unwrap())
    };
    assert!(behind(&world) > minutes(95), "nothing moves while the window can grow");
    assert!(world.failures("rows_rejected") > 10.0);
    world.run_for(minutes(20)).await;
    assert!(behind(&world) < minutes(60), "{:?}", behind(&world));
}

#[tokio::test(start_paused = true)]
async fn rows_in_undocumented_forms_count_exactly_and_are_reported_by_form() {
    let mut world = world(TWO_TEAMS);
    world.simulator.set_faults("odd-times=0.9,odd-keys=0.5,strings=0.5".parse().unwrap());
    world.run_for(minutes(40)).await;
    world.assert_exact(true);
    world.assert_floor();
    assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0);
    assert_eq!(world.sum("cxone_report_rows_rejected_total"), 0.0);
    let reported = world.all("cxone_report_rows_lenient_total");
    assert!(reported.len() == 6 && reported.values().all(|count| *count != "0"), "{reported:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_submit_pauses_all_submits_as_long_as_cxone_asks() {
    for fault in [RequestFault::Throttle, RequestFault::ThrottleDate] {
        let simulator = SimulatorOptions { faults: retry_after(90), ..tenant() };
        let mut world = World::new(Plan { simulator, config: TWO_TEAMS, ..Plan::default() });
        world.run_for(minutes(5)).await;
        world.simulator.inject(Injection {
            fault,
            endpoint: Some(SimulatedEndpoint::Submit),
            times: 1,
        });
        world.run_for(minutes(5)).await;
        let counters = world.simulator.counters();
        let refused = counters.submits.iter().position(|submit| !submit.accepted).unwrap();
        let wait = counters.submits[refused + 1].at.since(counters.submits[refused].at);
        assert!(
            wait >= Duration::from_secs(90) && wait < Duration::from_secs(100),
            "{fault:?}: {wait:?}"
        );
        assert_eq!(world.value("cxone_api_throttled_total", &[("endpoint", "submit")]), Some(1.0));
        assert_eq!(world.value("cxone_api_throttled_total", &[("endpoint", "poll")]), Some(0.0));
        assert_eq!(world.sum("cxone_report_job_failures_total"), 0.0, "429 does not fail a job");
        world.assert_exact(true);
        world.assert_quota();
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_poll_is_retried_and_does_not_fail_the_job() {
    let simulator = SimulatorOptions { faults: retry_after(70), ..tenant() };
    let mut world = World::new(Plan { simulator, config: TWO_TEAMS, ..Plan::default() });
    world.run_for(minutes(5)).await;
    world.simulator.inject(Injection {
        fault: RequestFault::Throttle,
        endpoint: Some(SimulatedEndpoint::Poll),
        times: 2,
    });
    world.run_for(minutes(6)).await;
    assert_eq!(world.value("cxone_api_throttled_total", &[("endpoint", "poll")]), Some(2.0));
    assert_eq!(
        world.sum("cxone_report_job_failures_total"),
        0.0,
        "the waits do not count against jobs.timeout"
    );
    world.assert_exact(true);
}

#[tokio::test(start_paused = true)]
async fn readiness_begins_with_the_first_report() {
    let mut world = world(TWO_TEAMS);
    let (status, text) = world.ask("/-/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert_eq!(world.ask("/-/healthy").await.0, StatusCode::OK);
    world
        .run_until("a report", minutes(1), |world| {
            world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1").is_some()
        })
        .await;
    assert_eq!(world.ask("/-/ready").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_reported_without_the_secret_and_not_retried_in_a_loop() {
    const WRONG: &str = "a-secret-that-nobody-may-see";
    let mut world = World::new(Plan {
        simulator: tenant(),
        config: TWO_TEAMS,
        secret: WRONG,
        ..Plan::default()
    });
    world.run_for(minutes(30)).await;
    let (status, text) = world.ask("/-/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("secret is wrong") && text.contains("team:team-1"), "{text}");
    for path in ["/-/ready", "/", "/metrics"] {
        let text = world.ask(path).await.1;
        assert!(!text.contains(WRONG), "{path}: {text}");
    }
    assert!(world.failures("credentials") >= 2.0);
    assert_eq!(world.value("cxone_up", &[]), Some(0.0));
    let asked = world.simulator.counters().requests_to(SimulatedEndpoint::Token);
    assert!((6..=20).contains(&asked), "{asked} requests for a token in half an hour");
    assert_eq!(world.simulator.counters().requests_to(SimulatedEndpoint::Submit), 0);
}

#[tokio::test(start_paused = true)]
async fn a_missing_scope_is_reported_with_its_remedy() {
    let simulator = SimulatorOptions { scope_granted: false, ..tenant() };
    let mut world = World::new(Plan { simulator, config: TWO_TEAMS, ..Plan::default() });
    world.run_for(minutes(30)).await;
    let text = world.ask("/-/ready").await.1;
    assert!(text.contains("reports:read") && text.contains("Capabilities"), "{text}");
    assert!(world.failures("forbidden") >= 2.0);
    let submits = world.simulator.counters().requests_to(SimulatedEndpoint::Submit);
    assert!((6..=40).contains(&submits), "{submits} submits in half an hour");
}

#[tokio::test(start_paused = true)]
async fn an_empty_report_is_not_an_error() {
    let config = "poll: {interval: 30s}\ntargets: [{user: user-999}]";
    let mut world = world(config);
    world.run_for(minutes(10)).await;
    assert_eq!(world.value("cxone_target_up", &[("target", "user:user-999")]), Some(1.0));
    assert_eq!(world.value("cxone_agents_seen", &[]), Some(0.0));
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "user:user-999").unwrap();
    assert!(epoch >= START && epoch < Timestamp::from_millis(START.millis() + 60_000));
}

#[tokio::test(start_paused = true)]
async fn no_bucket_of_an_agent_of_two_targets_counts_twice_when_one_of_them_fails() {
    let config = "
poll: {interval: 30s, lookback: 2h}
targets:
  - filter: {type: team, id: team-2}
  - user: user-006
";
    let simulator = SimulatorOptions {
        rows: ReportRows::Buckets,
        pace: NonZeroU32::new(120).unwrap(),
        ..tenant()
    };
    let mut world = World::new(Plan { simulator, config, rows: "buckets", ..Plan::default() });
    world.run_for(minutes(50)).await;
    for _ in 0..8 {
        world.direct.interfere(Some(Box::new(|request| {
            if asks_for(request, "team-2") {
                Interception::Dropped
            } else {
                Interception::Forwarded
            }
        })));
        world.run_for(minutes(3)).await;
        world.direct.interfere(None);
        world.run_for(minutes(3)).await;
    }
    world.assert_not_too_high(false);
}
