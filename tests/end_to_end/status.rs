//! The status page in the course of events.

use std::time::Duration;

use bytes::Bytes;
use cxone_core::store::SharedRecords;
use cxone_simulator::{Injection, RequestFault, SimulatedEndpoint, SimulatorOptions};
use http::Request;

use crate::TWO_TEAMS;
use crate::direct::Interception;
use crate::world::{Plan, World, on, tenant};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn page(world: &World) -> String {
    world.ask("/").await.1
}

#[track_caller]
fn assert_contains(page: &str, all: &[&str]) {
    for text in all {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
}

/// The row of a target.
fn row<'a>(page: &'a str, target: &str) -> &'a str {
    let from = page.find(&format!(">{target}</th>")).unwrap();
    page[from..].split("</tr>").next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_is_shown_from_its_submit_to_its_end() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    assert_contains(
        &page(&world).await,
        &["Not ready:", "the first one is in progress", "none yet", "0 of 10"],
    );
    world.run_for(seconds(2)).await;
    assert_contains(
        row(&page(&world).await, "team:team-1"),
        &["no report yet", "in progress for 1s", "none since the start"],
    );
    world.run_for(seconds(20)).await;
    let well = page(&world).await;
    assert_contains(
        &well,
        &[
            "Healthy.</strong> 2 of 2 targets up.",
            "2 of 10",
            "1 reserved; the targets require 4.0 per minute",
            "expires <time",
        ],
    );
    assert_contains(&well, &["None since the start.", "https://cxone.test"]);
    assert_contains(row(&well, "team:team-1"), &[">up<", "took ", ">in "]);
    assert!(!well.contains("user-00"), "no agent is named");
    for agent in world.simulator.floor().agents() {
        assert!(!well.contains(&*agent.name), "no agent is named");
    }
    world.run_for(seconds(300)).await;
    assert_contains(&page(&world).await, &["4 of 10"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shown_until_it_recovers_and_remembered_after() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.run_for(seconds(60)).await;
    let of_team_2 =
        |request: &Request<Bytes>| request.body().windows(6).any(|window| window == b"team-2");
    world.direct.interfere(Some(Box::new(move |request| {
        if of_team_2(request) { Interception::Dropped } else { Interception::Forwarded }
    })));
    world.run_for(seconds(120)).await;
    let failing = page(&world).await;
    assert_contains(
        &failing,
        &[
            "Unhealthy:</strong> 1 of 2 targets up.",
            "The last job failed: <b class=\"external\">team:team-2</b>.",
        ],
    );
    assert_contains(
        &failing,
        &[
            "<b class=\"external\">team:team-2</b> <span class=\"soft\">unreachable, ",
            " times, first ",
            "As a rule this passes",
        ],
    );
    assert_contains(row(&failing, "team:team-2"), &[">down<", "failed after"]);
    assert_eq!(failing.matches("<li><p>").count(), 1, "repetitions are folded");
    world.run_for(seconds(300)).await;
    assert_contains(&page(&world).await, &["Stale: <b class=\"external\">team:team-2</b>."]);

    world.direct.interfere(None);
    world.run_for(seconds(120)).await;
    let again = page(&world).await;
    assert_contains(
        &again,
        &[
            "Healthy.</strong> 2 of 2",
            "<b class=\"external\">team:team-2</b> <span class=\"soft\">unreachable, ",
        ],
    );
    assert!(!row(&again, "team:team-2").contains("bad"));
}

#[tokio::test(start_paused = true)]
async fn throttling_is_an_error_that_fails_no_job() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.run_for(seconds(60)).await;
    world.simulator.inject(Injection {
        fault: RequestFault::Throttle,
        endpoint: Some(SimulatedEndpoint::Poll),
        times: 2,
    });
    world.run_for(seconds(60)).await;
    assert_contains(
        &page(&world).await,
        &["2 of 2 targets up.", ">throttled", "a longer jobs.poll_every"],
    );
}

#[tokio::test(start_paused = true)]
async fn no_job_is_counted_that_was_never_submitted() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.direct.interfere(Some(Box::new(|request| {
        if request.uri().path().contains("token") {
            Interception::Dropped
        } else {
            Interception::Forwarded
        }
    })));
    world.run_for(seconds(300)).await;
    assert_contains(&page(&world).await, &["0 of 10 report jobs", "There is no access token: "]);
    assert_eq!(world.value("cxone_report_jobs_total", &[]), Some(0.0));
    world.direct.interfere(None);
    world.run_for(seconds(400)).await;
    assert_contains(&page(&world).await, &["Healthy.</strong>", "4 of 10 report jobs"]);
    assert!(world.value("cxone_report_jobs_total", &[]) > Some(4.0));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_between_two_polls_is_not_a_failure() {
    let simulator = SimulatorOptions { token_life: seconds(20), ..tenant() };
    let config = "poll: {interval: 2m}\ntargets: [{filter: {type: team, id: team-1}}]";
    let mut world = World::new(Plan { simulator, config, ..Plan::default() });
    world.run_for(seconds(150)).await;
    world.run_for(seconds(60)).await;
    let expired = page(&world).await;
    assert_contains(
        &expired,
        &["Healthy.</strong>", "<dd>none in use<small>", "the next request fetches a new one"],
    );
    assert!(!expired.contains("<ul class=\"problems\">"), "{expired}");
}

#[tokio::test(start_paused = true)]
async fn more_targets_than_the_quota_allows_are_shown() {
    let config = "poll: {interval: 10s}\ntargets: [{filter: {type: team, id: team-1}}, {filter: {type: team, id: team-2}}]";
    let mut world = World::new(Plan { simulator: tenant(), config, ..Plan::default() });
    world.run_for(seconds(180)).await;
    assert_contains(
        &page(&world).await,
        &["The targets require 12.0 report jobs per minute, and 9 are allowed", "9 of 10"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_and_an_invalid_configuration_are_shown_until_they_are_fixed() {
    let shelf = SharedRecords::default();
    let mut world = World::new(Plan {
        simulator: tenant(),
        config: TWO_TEAMS,
        store: on(&shelf),
        ..Plan::default()
    });
    world.run_for(seconds(60)).await;
    assert_contains(
        &page(&world).await,
        &["<dd>in memory<small>", ">valid</span><small>loaded <time"],
    );
    shelf.set_full(true);
    world.run_for(seconds(60)).await;
    assert_contains(
        &page(&world).await,
        &["The store cannot be written, so nothing is counted", "no space left", ">store, "],
    );
    shelf.set_full(false);
    world.run_for(seconds(120)).await;
    let before = page(&world).await;
    assert_contains(&before, &["Healthy.</strong>", "no space left"]);

    world.reload(Err("line 3: poll.interval is wrong <i>")).await.unwrap_err();
    let wrong = page(&world).await;
    assert_contains(&wrong, &["stays in effect", "rejected <time"]);
    assert!(!wrong.contains("line 3"), "mistakes are for those who may reload");
    world.reload(Ok(TWO_TEAMS)).await.unwrap();
    world.run_for(seconds(60)).await;
    let right = page(&world).await;
    assert_contains(
        &right,
        &["Healthy.</strong>", ">valid</span><small>loaded <time", "no space left"],
    );
}

#[tokio::test(start_paused = true)]
async fn the_page_after_a_restart_shows_what_was_known() {
    let mut world = World::new(Plan { simulator: tenant(), config: TWO_TEAMS, ..Plan::default() });
    world.run_for(seconds(120)).await;
    world.polling = Box::pin(std::future::pending());
    world.start_again(None);
    let page = page(&world).await;
    assert_contains(&page, &["Healthy.</strong> 2 of 2 targets up."]);
    assert_contains(row(&page, "team:team-1"), &[">up<", "none since the start"]);
}

#[tokio::test(start_paused = true)]
async fn the_platforms_feeds_and_requests_are_shown() {
    let api = "dialect: platform, issuer: 'https://cxone.test', access_key_id: simulated-key, access_key_secret_file: k";
    let config =
        "poll: {interval: 40s, lookback: 2h}\nmetrics: {agent_ids: hmac, hmac_key_file: s}\n";
    let secret = "a key of thirty-two bytes at least, for ids";
    let mut world =
        World::new(Plan { simulator: tenant(), api: Some(api), config, secret, ..Plan::default() });
    world.run_for(seconds(120)).await;
    let well = page(&world).await;
    assert_contains(
        &well,
        &[
            "1 of 1 targets up, 2 of 2 live feeds.",
            " requests<svg",
            ">agent_states</th>",
            ">skill_activity</th>",
        ],
    );
    assert!(!well.contains("dd>0 of "), "the feeds make requests all the time");
    for agent in world.simulator.floor().agents() {
        assert!(!well.contains(&agent.id) && !well.contains(&*agent.name));
    }
    world.direct.interfere(Some(Box::new(|_| Interception::Dropped)));
    world.run_for(seconds(60)).await;
    assert_contains(&page(&world).await, &["Live feed down: ", "live feed agent_states"]);
}
