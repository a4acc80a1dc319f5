//! Days of simulated time: the store's size levels off.

use std::env;
use std::num::NonZeroU32;
use std::time::Duration;

use cxone_core::store::Store;
use cxone_exporter::store::DiskStore;
use cxone_simulator::SimulatorOptions;

use crate::restarts::AT_ONCE;
use crate::world::{Plan, World, minutes};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The size of the store: records, their bytes, and bytes of the file.
#[derive(Clone, Copy, Debug)]
struct Kept {
    records: usize,
    bytes: usize,
    file: usize,
}

#[tokio::test(start_paused = true)]
async fn a_soak_of_days_levels_off() {
    let (days, agents) = (number("SOAK_DAYS", 5), number("SOAK_AGENTS", 40));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let open = move || DiskStore::open(&path).unwrap();
    let config = "poll: {interval: 15m, lookback: 4h, overlap: 15m}\nmetrics: {max_staleness: 2h}\ntargets: [{filter: {type: all, id: all}}]";
    let simulator = SimulatorOptions {
        agents: u32::try_from(agents).unwrap(),
        pace: NonZeroU32::new(2).unwrap(),
        ..SimulatorOptions::default()
    };
    let store = {
        let open = open.clone();
        Box::new(move || Box::new(open()) as Box<_>)
    };
    let mut world = World::new(Plan {
        simulator,
        config,
        store,
        scrape_every: minutes(120),
        ..Plan::default()
    });
    let mut kept: Vec<Kept> = Vec::new();
    for day in 1..=days {
        world.run_for(Duration::from_secs(86_400)).await;
        world.kill(AT_ONCE).await;
        let mut store = open();
        let (mut records, mut bytes) = (0, 0);
        let count = &mut |key: &[u8], value: &[u8]| {
            records += 1;
            bytes += key.len() + value.len();
        };
        store.read(count).unwrap();
        kept.push(Kept { records, bytes, file: usize::try_from(store.size_bytes()).unwrap() });
        drop(store);
        println!(
            "day {day}: {:?}, {} entries",
            kept[kept.len() - 1],
            world.sum("cxone_state_entries_total")
        );
        world.start_again(None);
        world.scrape().await;
    }
    world
        .run_until("a report", minutes(20), |world| {
            world.value("cxone_report_rows_total", &[]) > Some(0.0)
        })
        .await;
    assert!(world.assert_exact(true) > agents * days * 20);
    // Shifts differ from day to day, which makes a quarter more or less; a size that grew with time
    // would be far larger.
    let (early, late) = kept.split_at(kept.len().div_ceil(2));
    let most = |kept: &[Kept], of: fn(&Kept) -> usize| kept.iter().map(of).max().unwrap();
    let [records, bytes, file] =
        [|kept: &Kept| kept.records, |kept: &Kept| kept.bytes, |kept: &Kept| kept.file]
            .map(|of| most(late, of) * 100 / most(early, of));
    assert!(records <= 130 && bytes <= 130 && file <= 200, "{early:?}, later {late:?}");
}
