//! A day with one failure after another: clocks, gateways, forms of answers, the disk, the process
//! itself. At its end the counts are exact.
//!
//! More of them: `HOSTILE_SEEDS=20 HOSTILE_HOURS=24 cargo test --test restart hostile --
//! --nocapture`.

use std::env;
use std::time::{Duration, SystemTime};

use cxone_core::store::SharedRecords;
use cxone_core::time::Timestamp;
use cxone_simulator::{Faults, RequestFault, RowFault, SimulatorOptions};
use http::StatusCode;
use http::header::DATE;

use crate::chance::Chance;
use crate::direct::Interception;
use crate::world::{self, Plan, World, minutes, tenant};

const HOUR: i64 = 3_600_000;

const CONFIG: &str = "
poll: {interval: 60s, lookback: 2h, overlap: 15m}
metrics: {max_staleness: 5m}
targets:
  - filter: {type: team, id: team-1}
  - user: user-001
  - filter: {type: team, id: team-2}
";

/// A failure that lasts for a while.
#[derive(Clone, Copy, Debug)]
enum Evil {
    /// Of some answers, each with another wrong `Date`.
    LeapingDates,
    /// Of every other answer, always by as much.
    WrongDates,
    FrozenDates,
    /// Of all answers.
    DatesBehind,
    OurClock,
    Gateway,
    RejectsAll,
    Throttled,
    NoData,
    RowsRejected,
    Timeouts,
    Fails,
    Cut,
    Hangs,
    FullDisk,
    HangingDisk,
    Killed,
    Reloaded,
}

const EVILS: [Evil; 18] = [
    Evil::LeapingDates,
    Evil::WrongDates,
    Evil::FrozenDates,
    Evil::DatesBehind,
    Evil::OurClock,
    Evil::Gateway,
    Evil::RejectsAll,
    Evil::Throttled,
    Evil::NoData,
    Evil::RowsRejected,
    Evil::Timeouts,
    Evil::Fails,
    Evil::Cut,
    Evil::Hangs,
    Evil::FullDisk,
    Evil::HangingDisk,
    Evil::Killed,
    Evil::Reloaded,
];

/// A world on a bad day.
struct Day {
    world: World,
    shelf: SharedRecords,
    chance: Chance,
    /// Our clock less the true time.
    off: i64,
}

impl Day {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.chance.between(0, all.len() as u64)).unwrap()]
    }

    /// From now on each `Date` is wrong by what `wrong` returns for it, if anything.
    fn rewrite_dates(&self, mut wrong: impl FnMut(Timestamp) -> Option<i64> + Send + 'static) {
        self.world.direct.rewrite(Some(Box::new(move |now, _, headers| {
            let Some(wrong) = wrong(now) else { return };
            let millis = now.millis().saturating_add(wrong).max(0).unsigned_abs();
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            headers.insert(DATE, httpdate::fmt_http_date(time).parse().unwrap());
        })));
    }

    fn refuse(&self, status: u16, is_refused: impl Fn(&str) -> bool + Send + 'static) {
        let status = StatusCode::from_u16(status).unwrap();
        self.world.direct.interfere(Some(Box::new(move |request| {
            if is_refused(request.uri().path()) {
                Interception::Status(status)
            } else {
                Interception::Forwarded
            }
        })));
    }

    fn faults(&self, faults: Faults) {
        self.world.simulator.set_faults(faults);
    }

    fn set_our_clock(&mut self, off: i64) {
        self.world.clock.step(off - self.off);
        self.off = off;
    }

    /// Kills the process and starts another one; no history may be lost until then.
    async fn kill(&mut self) {
        self.world.scrape().await;
        assert_eq!(self.world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
        let longest = self.one_of(&[10, 60_000, 20 * 60_000]);
        let downtime = self.chance.millis(1, longest);
        self.world.restart(downtime).await;
    }

    async fn go_wrong(&mut self, evil: Evil) {
        let span = self.chance.millis(1_000, 12 * 60_000);
        let mut chance = Chance::new(self.chance.between(0, u64::MAX));
        match evil {
            Evil::LeapingDates => {
                // If both clocks are wrong by the same, it is undetectable.
                self.set_our_clock(0);
                self.rewrite_dates(move |_| {
                    let hours = i64::try_from(chance.between(0, 200)).unwrap() - 100;
                    (chance.between(0, 3) == 0).then_some(hours * HOUR / 7 + 12_000)
                });
            }
            Evil::WrongDates => {
                self.set_our_clock(0);
                let wrong = self.one_of(&[12_000, HOUR, -HOUR, i64::MIN, 100_000 * HOUR]);
                let mut number = 0_u32;
                self.rewrite_dates(move |_| {
                    number += 1;
                    number.is_multiple_of(2).then_some(wrong)
                });
            }
            Evil::FrozenDates => {
                let frozen = self.world.direct.now();
                self.rewrite_dates(move |now| Some(frozen.millis() - now.millis()));
            }
            Evil::DatesBehind => {
                let wrong = self.one_of(&[-12_000, -90_000, -HOUR]);
                self.rewrite_dates(move |_| Some(wrong));
            }
            Evil::OurClock => {
                let off = self.one_of(&[0, HOUR, -HOUR, 90_000, -90_000, -5_000]);
                self.set_our_clock(off);
            }
            Evil::Gateway => {
                let status = self.one_of(&[400, 401, 403, 404, 409, 410, 413, 414, 502, 503]);
                let part = self.one_of(&["/", "/reports", "/reports/", "/oauth/token"]);
                self.refuse(status, move |path| path.contains(part));
            }
            Evil::RejectsAll => self.refuse(422, |path| path.ends_with("/reports")),
            Evil::Throttled => self.faults(
                Faults::some()
                    .with(RequestFault::ThrottleBare, 0.5)
                    .with(RequestFault::ThrottleDate, 0.3),
            ),
            Evil::NoData => self.faults(Faults::some().with(RequestFault::NoData, 0.8)),
            Evil::RowsRejected => self.faults(Faults::some().with_row(RowFault::Unreadable, 0.9)),
            Evil::Timeouts => self.faults(Faults::some().with(RequestFault::Endless, 0.9)),
            Evil::Fails => {
                self.faults(
                    Faults::some().with(RequestFault::Fail, 0.5).with(RequestFault::Lose, 0.4),
                );
            }
            Evil::Cut => self.faults(
                Faults::some().with(RequestFault::Cut, 0.5).with(RequestFault::NotJson, 0.2),
            ),
            Evil::Hangs => self.world.direct.interfere(Some(Box::new(|_| Interception::Hangs))),
            Evil::FullDisk => self.shelf.set_full(true),
            Evil::HangingDisk => {
                self.shelf.set_hanging(true);
                self.world.run_for_by_hand(span.min(minutes(2))).await;
                self.shelf.set_full(self.chance.between(0, 2) == 0);
                self.shelf.set_hanging(false);
            }
            Evil::Killed => self.kill().await,
            Evil::Reloaded => {
                let overlap = self.one_of(&["overlap: 15m", "overlap: 12m", "overlap: 20m"]);
                self.world.reload(Ok(&CONFIG.replace("overlap: 15m", overlap))).await.unwrap();
            }
        }
        self.world.run_for(span).await;
        if self.chance.between(0, 4) == 0 {
            self.kill().await;
            let span = self.chance.millis(1, 5 * 60_000);
            self.world.run_for(span).await;
        }
    }

    /// Polling continues, the counts are exact, and the quota was not exceeded.
    fn assert_well(&self) {
        let world = &self.world;
        for target in ["team:team-1", "team:team-2", "user:user-001"] {
            let behind = world.direct.now().since(world.watermark(target));
            assert!(behind < minutes(3), "{target} is {behind:?} behind");
        }
        assert_eq!(world.value("cxone_up", &[]), Some(1.0));
        assert_eq!(world.value("cxone_history_gap_seconds_total", &[]), Some(0.0));
        world.assert_exact(true);
        world.assert_floor();
        assert_eq!(world.simulator.counters().over_quota, 0);
    }

    fn recover(&mut self) {
        self.world.direct.rewrite(None);
        self.world.direct.interfere(None);
        self.faults(Faults::some());
        self.shelf.set_full(false);
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[allow(clippy::print_stdout, reason = "a failing test prints the course of events")]
async fn hostile_day(seed: u64) {
    let shelf = SharedRecords::default();
    let simulator = SimulatorOptions { seed, faults: Faults::some(), ..tenant() };
    let store = world::on(&shelf);
    let plan =
        Plan { simulator, config: CONFIG, store, scrape_every: minutes(10), ..Plan::default() };
    let mut day = Day { world: World::new(plan), shelf, chance: Chance::new(seed), off: 0 };
    day.world.run_for(minutes(5)).await;
    let end = day.world.direct.now().plus(minutes(60 * number("HOSTILE_HOURS", 6)));
    while day.world.direct.now() < end {
        for _ in 0..12 {
            let evil = day.one_of(&EVILS);
            println!("seed {seed}, {}: {evil:?}", day.world.direct.now());
            day.go_wrong(evil).await;
            day.recover();
            let span = day.chance.millis(1, 10 * 60_000);
            day.world.run_for(span).await;
            day.world.assert_no_window_in_the_future();
        }
        // The last late rows, and the last revised ones.
        day.faults(Faults::default());
        day.world.run_for(minutes(25)).await;
        day.assert_well();
        day.faults(Faults::some());
    }
    assert!(day.world.sum("cxone_state_entries_total") > 500.0);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_day_ends_with_the_true_counts() {
    let first = number("HOSTILE_SEED", 71);
    for seed in first..first + number("HOSTILE_SEEDS", 1) {
        hostile_day(seed).await;
    }
}
