//! Failures of the platform API lose no count and have no effect once they are over.

use std::time::Duration;

use cxone_simulator::{Injection, RequestFault, SimulatedEndpoint, SimulatorOptions};
use http::StatusCode;

use crate::direct::Interception;
use crate::world::{Plan, World};
use crate::{
    CONFIG, KEY_ALONE, PASSWORD, assert_budget, assert_exact, counted_up_to, minutes, tenant, world,
};

#[tokio::test(start_paused = true)]
async fn no_request_fault_loses_a_count() {
    let faults = [
        RequestFault::Throttle,
        RequestFault::ThrottleDate,
        RequestFault::ThrottleBare,
        RequestFault::ServerError,
        RequestFault::Cut,
        RequestFault::Drop,
        RequestFault::NotJson,
        RequestFault::Slow,
        RequestFault::Revoke,
    ];
    let mut world = world(tenant("none"));
    world.run_for(minutes(5)).await;
    for endpoint in [
        SimulatedEndpoint::History,
        SimulatedEndpoint::States,
        SimulatedEndpoint::Skills,
        SimulatedEndpoint::Codes,
        SimulatedEndpoint::SignIn,
    ] {
        for fault in faults.into_iter().filter(|fault| fault.applies_to(endpoint)) {
            let before = world.simulator.counters().fault_count(fault);
            // A slow answer is not retried.
            let times = if fault == RequestFault::Slow { 1 } else { 2 };
            world.simulator.inject(Injection { fault, endpoint: Some(endpoint), times });
            if endpoint == SimulatedEndpoint::SignIn {
                world.simulator.revoke_tokens();
            } else if endpoint == SimulatedEndpoint::Codes {
                // A new process queries the codes.
                world.restart(Duration::from_secs(1)).await;
            }
            world.run_for(minutes(4)).await;
            assert_eq!(
                world.simulator.counters().fault_count(fault),
                before + u64::from(times),
                "{fault:?} of {endpoint:?}"
            );
            assert_exact(&world, 8);
            let age = world.direct.now().since(counted_up_to(&world));
            assert!(age < minutes(2), "{fault:?} of {endpoint:?}: {age:?}");
        }
    }
    assert_budget(&world);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_hours_withdraws_gauges_keeps_counters_and_is_caught_up_exactly() {
    let mut world = world(tenant("none"));
    world.run_for(minutes(10)).await;
    let (watermark, entries) =
        (counted_up_to(&world), world.sum("cxone_agent_state_entries_total"));
    world.direct.interfere(Some(Box::new(|_| Interception::Dropped)));
    world.run_for(minutes(5 * 60)).await;
    assert!(world.observed().is_empty() && world.all("cxone_team_agents").is_empty());
    assert_eq!((world.sum("cxone_agents"), world.value("cxone_up", &[])), (0.0, Some(0.0)));
    assert_eq!(
        (counted_up_to(&world), world.sum("cxone_agent_state_entries_total")),
        (watermark, entries)
    );
    assert_eq!(world.ask("/-/healthy").await.0, StatusCode::OK);
    world.direct.interfere(None);
    world.run_for(minutes(10)).await;
    assert!(assert_exact(&world, 8) > 300);
    assert_eq!(
        (world.value("cxone_up", &[]), world.value("cxone_history_gap_seconds_total", &[])),
        (Some(1.0), Some(0.0))
    );
    assert_budget(&world);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_history_does_not_affect_live_states_nor_the_other_way_round() {
    for (hangs, goes_on) in [("state-history", "agent_states"), ("agents/states", "skill_activity")]
    {
        let mut world = world(tenant("none"));
        world.run_for(minutes(5)).await;
        world.direct.interfere(Some(Box::new(move |request| {
            if request.uri().path().ends_with(hangs) {
                Interception::Hangs
            } else {
                Interception::Forwarded
            }
        })));
        world.run_for(minutes(40)).await;
        assert_eq!(world.value("cxone_live_up", &[("feed", goes_on)]), Some(1.0));
        assert_eq!(world.observed().len(), 8, "{hangs}: one source is enough");
        let up = world.value("cxone_up", &[]);
        assert_eq!(up, Some(if hangs == "state-history" { 0.0 } else { 1.0 }), "{hangs}");
        world.direct.interfere(None);
        world.run_for(minutes(15)).await;
        assert_exact(&world, 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cxone_clock_ahead_or_behind_is_followed() {
    for skew_minutes in [10, -10] {
        let skew_millis = skew_minutes * 60_000;
        let mut world = World::new(Plan {
            simulator: tenant("none"),
            api: Some(KEY_ALONE),
            config: CONFIG,
            skew_millis,
            ..Plan::default()
        });
        for _ in 0..3 {
            world.run_for(minutes(10)).await;
            assert_exact(&world, 8);
            let behind = world.direct.now().millis() - counted_up_to(&world).millis();
            assert!((0..90_000).contains(&behind), "{behind} ms behind CXone's clock");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_lifetime_of_twenty_seconds_is_enough() {
    let simulator = SimulatorOptions { token_life: Duration::from_secs(20), ..tenant("none") };
    let mut world =
        World::new(Plan { simulator, api: Some(PASSWORD), config: CONFIG, ..Plan::default() });
    world.run_for(minutes(30)).await;
    assert_exact(&world, 8);
    let issued = world.simulator.counters().tokens_issued;
    assert!((60..=181).contains(&issued), "{issued} tokens in 30 minutes");
    let refused = world
        .all("cxone_api_requests_total")
        .into_iter()
        .any(|(labels, _)| labels["code"] == "401");
    assert!(!refused, "no token is used when it is over");
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_and_missing_rights_are_reported_and_not_retried_in_a_loop() {
    const WRONG: &str = "a-secret-that-nobody-may-see";
    let narrow = SimulatorOptions { scope_granted: false, ..tenant("none") };
    for (simulator, secret, reason) in
        [(tenant("none"), WRONG, "credentials"), (narrow, "simulated-secret", "forbidden")]
    {
        let mut world = World::new(Plan {
            simulator,
            secret,
            api: Some(PASSWORD),
            config: CONFIG,
            ..Plan::default()
        });
        world.run_for(minutes(30)).await;
        let (status, text) = world.ask("/-/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
        for path in ["/-/ready", "/", "/metrics"] {
            let text = world.ask(path).await.1;
            assert!(
                !text.contains(WRONG) && !text.contains("simulated-key-secret"),
                "{path}: {text}"
            );
        }
        assert!(world.failures(reason) >= 2.0, "{reason}");
        let asked = world.direct.sent().len();
        assert!((6..=120).contains(&asked), "{reason}: {asked} requests in half an hour");
    }
}
