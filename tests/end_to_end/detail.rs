//! The detail shown of single agents does not change the counts over all of them.

use std::time::Duration;

use cxone_core::time::{Timestamp, Window};
use cxone_simulator::Simulator;

use crate::world::{Plan, World, tenant};

/// Half an hour with one target that covers all agents.
async fn half_an_hour(metrics: &str) -> World {
    let config = format!(
        "poll: {{interval: 30s, lookback: 2h}}\nmetrics: {{{metrics}}}\ntargets: [{{filter: {{type: all, id: all}}}}]"
    );
    let mut world = World::new(Plan { simulator: tenant(), config: &config, ..Plan::default() });
    world.run_for(Duration::from_secs(1800)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn agents_over_the_series_limit_are_dropped_whole_and_remain_in_the_sums() {
    let whole = half_an_hour("").await;
    whole.assert_exact(true);
    let all = whole.value("cxone_exporter_series", &[]).unwrap();
    assert_eq!(whole.value("cxone_exporter_series_dropped", &[]), Some(0.0));

    let limited = half_an_hour("max_series: 480").await;
    let shown = limited.value("cxone_exporter_series", &[]).unwrap();
    let dropped = limited.value("cxone_exporter_series_dropped", &[]).unwrap();
    assert!(shown <= 480.0 && dropped > 0.0, "{shown} shown, {dropped} dropped");
    assert_eq!(shown + dropped, all);
    assert_eq!(limited.value("cxone_exporter_series_limit", &[]), Some(480.0));
    let (some, everybody) = (limited.observed(), whole.observed());
    assert!(!some.is_empty() && some.len() < everybody.len(), "{some:?}");
    for (agent, observed) in &some {
        assert_eq!(observed, &everybody[agent]);
        let agent =
            limited.simulator.floor().agents().find(|profile| profile.id == *agent).unwrap();
        limited.assert_exact_for(agent, true);
    }
    for name in [
        "cxone_state_entries_total",
        "cxone_state_seconds_total",
        "cxone_state_agent_seconds_total",
        "cxone_agents",
        "cxone_agents_seen",
        "cxone_skill_agents",
    ] {
        assert_eq!(limited.all(name), whole.all(name), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn detail_aggregate_shows_no_single_agent_and_the_same_sums() {
    let fine = half_an_hour("").await;
    let coarse = half_an_hour("detail: aggregate").await;
    assert!(
        coarse.observed().is_empty() && coarse.all("cxone_agent_state_entries_total").is_empty()
    );
    for name in [
        "cxone_state_entries_total",
        "cxone_state_seconds_total",
        "cxone_state_agent_seconds_total",
        "cxone_state_visit_duration_seconds_count",
        "cxone_agents",
    ] {
        assert!(fine.sum(name) > 0.0 && coarse.all(name) == fine.all(name), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn detail_agent_counts_a_state_once_whatever_skills_it_is_on() {
    // An agent who is ready on several skills at once has that many visits, but is ready once.
    let simulator = Simulator::new(tenant());
    assert!(simulator.floor().agents().any(|agent| agent.skills.len() > 1 && agent.index < 3));
    let fine = half_an_hour("").await;
    let coarse = half_an_hour("detail: agent").await;
    assert!(
        coarse
            .all("cxone_agent_state_seconds_total")
            .keys()
            .all(|labels| labels["skill"].is_empty())
    );
    for (agent, observed) in coarse.observed() {
        let per_state = |name: &str| {
            let series =
                coarse.all(name).into_iter().filter(|(labels, _)| labels["agent"] == agent);
            series.map(|(_, value)| value.parse::<f64>().unwrap()).sum::<f64>()
        };
        let epoch = coarse.target_time("cxone_target_epoch_timestamp_seconds", "all:all").unwrap();
        let present = present_seconds(&coarse, &agent, epoch, observed);
        assert!(
            (per_state("cxone_agent_state_seconds_total") - present).abs() < 0.01,
            "{agent}: never in two states at once"
        );
    }
    assert_eq!(
        coarse.all("cxone_state_seconds_total"),
        fine.all("cxone_state_seconds_total"),
        "the sums keep their skills"
    );
}

/// How long the agent was in any state.
fn present_seconds(world: &World, agent: &str, from: Timestamp, to: Timestamp) -> f64 {
    let floor = world.simulator.floor();
    let place = floor.agents().position(|profile| profile.id == agent).unwrap();
    let mut spans: Vec<_> = floor
        .visits(place, Window { from, to })
        .into_iter()
        .map(|visit| (visit.start.max(from), visit.end.min(to)))
        .collect();
    spans.sort_unstable();
    spans.dedup();
    spans.into_iter().map(|(start, end)| end.since(start).as_secs_f64()).sum()
}
