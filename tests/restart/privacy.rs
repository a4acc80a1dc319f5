//! Pseudonymised agents: nothing identifies them, and counts are the same.

use cxone_core::checkpoint::RestoreError;
use cxone_core::plan::backoff::Random;
use cxone_core::store::{MemoryStore, SharedRecords, Store};
use cxone_exporter::app;
use cxone_exporter::config::{AgentIds, IdKey};
use cxone_exporter::engine::Heartbeat;

use crate::counted;
use crate::world::{Plan, World, minutes, on, tenant};

const HASHED: &str = "
poll: {interval: 30s, lookback: 2h, overlap: 10m}
metrics: {agent_ids: hmac, hmac_key_file: id-key}
targets:
  - filter: {type: team, id: team-1}
  - user: user-002
";

/// How often an agent's id occurs in the store.
fn ids_in(shelf: &SharedRecords) -> usize {
    let mut found = 0;
    let mut count =
        |bytes: &[u8]| found += bytes.windows(7).filter(|part| part == b"user-00").count();
    MemoryStore::on(shelf.clone())
        .read(&mut |key, value| {
            count(key);
            count(value);
        })
        .unwrap();
    found
}

#[tokio::test(start_paused = true)]
async fn neither_pages_nor_store_contain_a_pseudonymised_id_and_counts_are_complete() {
    let shelf = SharedRecords::default();
    let mut world = World::new(Plan {
        simulator: tenant(),
        config: HASHED,
        store: on(&shelf),
        ..Plan::default()
    });
    world.run_for(minutes(15)).await;
    world.run_until_idle().await;
    world.restart(minutes(1)).await;
    world.run_for(minutes(10)).await;
    world.run_until_idle().await;
    // The simulator's secret is what the test's configuration reads from every file.
    let ids = AgentIds::Hmac(IdKey::new(b"simulated-secret").unwrap());
    let observed = world.observed();
    let mut entries = 0;
    for agent in world.simulator.floor().agents() {
        let Some(to) = observed.get(&*ids.of(&agent.id)).copied() else { continue };
        let epochs = ["team:team-1".to_owned(), format!("user:{}", ids.of("user-002"))];
        let from = epochs.iter().enumerate().filter(|(place, _)| {
            if *place == 0 { agent.team == "team-1" } else { agent.id == "user-002" }
        });
        let from = from
            .map(|(_, target)| {
                world.target_time("cxone_target_epoch_timestamp_seconds", target).unwrap()
            })
            .min()
            .unwrap();
        let window = cxone_core::time::Window { from, to };
        let actual = counted::actual(world.simulator.floor(), &agent.id, &[window], true);
        assert_eq!(counted::counted(&world.last, Some(&ids.of(&agent.id))), actual);
        entries += actual.values().map(|sums| sums.0).sum::<u64>();
    }
    assert!(observed.len() > 2 && entries > 20, "{} agents, {entries} entries", observed.len());
    for page in ["/metrics", "/", "/-/ready"] {
        let (_, text) = world.ask(page).await;
        assert!(!text.contains("user-00"), "{page}");
    }
    assert_eq!(ids_in(&shelf), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_with_other_pseudonyms_is_not_mixed_with_new_ones() {
    let shelf = SharedRecords::default();
    let mut world = World::new(Plan {
        simulator: tenant(),
        config: HASHED,
        store: on(&shelf),
        ..Plan::default()
    });
    world.run_for(minutes(5)).await;
    world.kill(minutes(1)).await;
    for ids in [AgentIds::Raw, AgentIds::Hmac(IdKey::new(b"another key of ours").unwrap())] {
        let mut config = world.config.clone();
        config.metrics.agent_ids = ids;
        let web = app::Web { telemetry_path: "/metrics".to_owned(), max_requests: 1, reload: None };
        let store = Box::new(MemoryStore::on(shelf.clone()));
        let result = app::exporter(
            &config,
            web,
            &world.clock,
            Heartbeat::default(),
            world.direct.clone(),
            store,
            Random::from_seed(1),
        );
        assert!(matches!(result, Err(RestoreError::OtherIds)));
    }
    world.start_again(None);
    world.scrape().await;
    assert!(world.sum("cxone_agent_state_entries_total") >= 0.0);
}
