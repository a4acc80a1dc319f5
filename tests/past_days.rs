//! Writes days of scrapes as OpenMetrics text with timestamps, to draw dashboards of: the whole
//! exporter and a simulated contact centre in virtual time. `scripts/draw-dashboards` runs it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/counted.rs"]
mod counted;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/direct.rs"]
mod direct;
#[path = "support/strict.rs"]
mod strict;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/world.rs"]
mod world;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use cxone_core::time::Timestamp;
use cxone_simulator::{Faults, RequestFault, SimulatorOptions};
use world::{Plan, START, World};

/// Long enough to compare a day with that of the week before; it ends at 13:05.
const SPAN: Duration = Duration::from_secs(8 * 86_400 + 20_100);

/// The span before the end in which everything is scraped, and often.
const LAST_DAY: Duration = Duration::from_secs(25 * 3600);

/// Four targets on an ordinary bad day.
const CONFIG: &str = "
poll: {interval: 60s, lookback: 24h, overlap: 15m}
states: {limits: {Wrap-up: 5m, Break: 15m, Lunch: 45m}}
metrics: {agent_info: true}
targets:
  - {name: team-1, filter: {type: team, id: team-1}}
  - {name: team-2, filter: {type: team, id: team-2}}
  - {name: team-3, filter: {type: team, id: team-3}}
  - {name: team-4, filter: {type: team, id: team-4}}
";

/// The same contact centre with the platform API.
const PLATFORM_API: &str = "dialect: platform, issuer: 'https://cxone.test', access_key_id: simulated-key, access_key_secret_file: k";

const PLATFORM: &str = "
poll: {interval: 60s, lookback: 24h, overlap: 15m, live_interval: 30s}
states: {limits: {Wrap-up: 5m, Unavailable: 45m}}
metrics: {agent_info: true}
";

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes and a gigabyte"]
async fn the_past_days_are_written() {
    let path = std::env::var("PAST_DAYS").expect("PAST_DAYS names the file to write");
    let mut file = BufWriter::new(File::create(path).unwrap());
    let faults = Faults::some().with(RequestFault::Throttle, 0.01);
    let simulator = SimulatorOptions { agents: 48, faults, ..SimulatorOptions::default() };
    let platform = Plan {
        simulator: simulator.clone(),
        api: Some(PLATFORM_API),
        config: PLATFORM,
        ..Plan::default()
    };
    write_days(
        "job=\"cxone-platform\",instance=\"cxone-exporter:10963\"",
        platform,
        true,
        &mut file,
    )
    .await;
    let reports = Plan { simulator, config: CONFIG, ..Plan::default() };
    write_days("job=\"cxone\",instance=\"cxone-exporter:10962\"", reports, false, &mut file).await;
    writeln!(file, "# EOF").unwrap();
    file.flush().unwrap();
    println!("{}", START.plus(SPAN).millis() / 1000);
}

/// The scrapes of one exporter, all of them or those of the last day.
async fn write_days(target: &str, plan: Plan<'_>, last_day_only: bool, file: &mut impl Write) {
    let mut world = World::new(plan);
    let (mut now, end) = (START, START.plus(SPAN));
    while now < end {
        let whole = now >= end.minus(LAST_DAY);
        let pause = Duration::from_secs(if whole { 60 } else { 240 });
        let next = world.clock.now().instant.plus(pause);
        tokio::select! {
            biased;
            () = &mut world.polling => panic!("the loop ended"),
            () = world.clock.sleep_until(next) => {}
        }
        now = now.plus(pause);
        if whole || !last_day_only {
            let (_, page) = world.ask("/metrics").await;
            write_scrape(file, &page, target, now, whole);
        }
    }
}

/// The page as one scrape of `target` stores it; single agents only when `whole`.
fn write_scrape(file: &mut impl Write, page: &str, target: &str, at: Timestamp, whole: bool) {
    let at = at.millis() / 1000;
    writeln!(file, "up{{{target}}} 1 {at}").unwrap();
    for line in page
        .lines()
        .filter(|line| !line.starts_with('#') && (whole || !line.starts_with("cxone_agent_")))
    {
        let (series, value) = line.rsplit_once(' ').unwrap();
        match series.split_once('{') {
            Some((name, labels)) => {
                writeln!(file, "{name}{{{target},{labels} {value} {at}").unwrap()
            }
            None => writeln!(file, "{series}{{{target}}} {value} {at}").unwrap(),
        }
    }
}
