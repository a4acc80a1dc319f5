//! A configuration other than that of the previous process: what is still known is kept.

use crate::counted;
use crate::direct::Interception;
use crate::world::{Plan, World, minutes, tenant};

const POLL: &str = "poll: {interval: 30s, lookback: 2h, overlap: 10m}\n";
const TEAM_1: &str = "{filter: {type: team, id: team-1}}";
const TEAM_2: &str = "{filter: {type: team, id: team-2}}";

fn targets(targets: &[&str]) -> String {
    format!("{POLL}targets: [{}]\n", targets.join(", "))
}

async fn world(config: &str) -> World {
    let mut world = World::new(Plan { simulator: tenant(), config, ..Plan::default() });
    world.run_for(minutes(15)).await;
    world.run_until_idle().await;
    world
}

async fn go_on_exactly(world: &mut World) {
    world.run_for(minutes(10)).await;
    assert!(world.assert_exact(true) > 0);
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn an_added_target_begins_at_zero_and_the_others_continue() {
    let mut world = world(&targets(&[TEAM_1])).await;
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1");
    world.restart_as(&targets(&[TEAM_2, TEAM_1, "{user: user-001}"])).await;
    assert_eq!(world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-1"), epoch);
    assert_eq!(world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-2"), None);
    go_on_exactly(&mut world).await;
    assert!(world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-2") > epoch);
    world.restart_as(&targets(&["{user: user-001}", TEAM_1, TEAM_2])).await;
    go_on_exactly(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn reordered_and_renamed_targets_continue() {
    let mut world = world(&targets(&[TEAM_1, TEAM_2])).await;
    let epochs = |world: &World, names: [&str; 2]| {
        names.map(|name| world.target_time("cxone_target_epoch_timestamp_seconds", name).unwrap())
    };
    let before = epochs(&world, ["team:team-1", "team:team-2"]);
    let orders = [
        [TEAM_2, TEAM_1].map(str::to_owned),
        [
            TEAM_2.replace("{filter", "{name: support, filter"),
            TEAM_1.replace("{filter", "{name: sales, filter"),
        ],
        [
            TEAM_1.replace("{filter", "{name: x, filter"),
            TEAM_2.replace("{filter", "{name: y, filter"),
        ],
    ];
    for (order, names) in
        orders.into_iter().zip([["team:team-1", "team:team-2"], ["sales", "support"], ["x", "y"]])
    {
        // The epoch is kept under the new name.
        world.last.samples.retain(|series, _| !series.0.starts_with("cxone_target"));
        world.restart_as(&targets(&[&order[0], &order[1]])).await;
        assert_eq!(epochs(&world, names), before);
        // Each agent still belongs to its own target: missing reports of one team do not affect the
        // other.
        world.direct.interfere(Some(Box::new(|request| {
            let of_team_2 = request.body().windows(6).any(|part| part == b"team-2");
            if of_team_2 { Interception::Dropped } else { Interception::Forwarded }
        })));
        world.run_for(minutes(3)).await;
        world.assert_floor();
        world.direct.interfere(None);
        go_on_exactly(&mut world).await;
    }
    assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_removed_target_keeps_its_counters_and_loses_its_gauges() {
    let mut world = world(&targets(&[TEAM_1, TEAM_2])).await;
    let of_team_2: Vec<_> =
        world.simulator.floor().agents().filter(|agent| agent.team == "team-2").cloned().collect();
    let epoch = world.target_time("cxone_target_epoch_timestamp_seconds", "team:team-2").unwrap();
    let before: Vec<_> =
        of_team_2.iter().map(|agent| counted::counted(&world.last, Some(&agent.id))).collect();
    world.restart_as(&targets(&[TEAM_1])).await;
    world.run_for(minutes(40)).await;
    for (agent, before) in of_team_2.iter().zip(&before) {
        assert_eq!(counted::counted(&world.last, Some(&agent.id)), *before);
        let labels = world.all("cxone_agent_state_start_timestamp_seconds");
        assert!(
            labels.keys().all(|labels| labels["agent"] != agent.id),
            "nobody knows where {} is",
            agent.id
        );
    }
    for agent in world.simulator.floor().agents().filter(|agent| agent.team == "team-1") {
        world.assert_exact_for(agent, true);
    }
    // Added again: the counts are kept, and nothing counts twice.
    world.restart_as(&targets(&[TEAM_2, TEAM_1])).await;
    world.run_for(minutes(10)).await;
    for (agent, before) in of_team_2.iter().zip(&before) {
        let window = cxone_core::time::Window { from: epoch, to: world.observed()[&agent.id] };
        let actual = counted::actual(world.simulator.floor(), &agent.id, &[window], true);
        for (label, reported) in counted::counted(&world.last, Some(&agent.id)) {
            let (most, least) = (actual[&label], before.get(&label).copied().unwrap_or_default());
            assert!(
                least.0 <= reported.0
                    && reported.0 <= most.0
                    && least.1 <= reported.1
                    && reported.1 <= most.1,
                "{} {label:?}: {reported:?}",
                agent.id
            );
        }
    }
    world.assert_floor();
}

#[tokio::test(start_paused = true)]
async fn another_lookback_or_overlap_changes_no_count() {
    let config = targets(&[TEAM_1, TEAM_2]);
    let mut world = world(&config).await;
    for poll in [
        "{interval: 30s, lookback: 30m, overlap: 10m}",
        "{interval: 30s, lookback: 20h, overlap: 1m}",
        "{interval: 20s, lookback: 3h, overlap: 90m}",
        "{interval: 60s, lookback: 1m, overlap: 1s}",
        "{interval: 30s, lookback: 2h, overlap: 10m, settle_delay: 3m}",
    ] {
        world
            .restart_as(&config.replace("{interval: 30s, lookback: 2h, overlap: 10m}", poll))
            .await;
        go_on_exactly(&mut world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changing_the_detail_of_agents_changes_no_count() {
    let fine = targets(&[TEAM_1, TEAM_2]);
    let mut world = world(&fine).await;
    for detail in ["agent", "aggregate", "agent-skill"] {
        let before = counted::counted(&world.last, None);
        world.last.samples.retain(|series, _| !series.0.starts_with("cxone_agent_state"));
        world.restart_as(&format!("{fine}metrics: {{detail: {detail}}}\n")).await;
        assert_eq!(counted::counted(&world.last, None), before, "{detail}");
        let skills = world
            .all("cxone_agent_state_entries_total")
            .keys()
            .any(|labels| !labels["skill"].is_empty());
        assert_eq!(
            (world.observed().is_empty(), skills),
            (detail == "aggregate", detail == "agent-skill"),
            "{detail}"
        );
        world.run_for(minutes(15)).await;
        world.run_until_idle().await;
    }
    assert!(world.assert_exact(true) > 50);
    world.assert_floor();
}
