//! Restarts at any moment, failures of disk and clock, changed configurations: counting continues
//! as if nothing had happened. Hours and days of virtual time against the simulator, without
//! sockets.
//!
//! The soak's long form: `SOAK_DAYS=30 SOAK_AGENTS=200 cargo test --release --test restart soak --
//! --nocapture`.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "support/chance.rs"]
mod chance;
#[path = "support/counted.rs"]
mod counted;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "support/direct.rs"]
mod direct;
#[path = "support/restarts.rs"]
mod restarts;
#[path = "support/strict.rs"]
mod strict;
#[allow(dead_code, reason = "the tests without restarts use more of it")]
#[path = "support/world.rs"]
mod world;

#[path = "restart/any_moment.rs"]
mod any_moment;
#[path = "restart/clocks.rs"]
mod clocks;
#[path = "restart/configuration.rs"]
mod configuration;
#[path = "restart/disk.rs"]
mod disk;
#[path = "restart/gaps.rs"]
mod gaps;
#[path = "restart/hostile_day.rs"]
mod hostile_day;
#[path = "restart/privacy.rs"]
mod privacy;
#[path = "restart/reload.rs"]
mod reload;
#[path = "restart/resume.rs"]
mod resume;
#[path = "restart/soak.rs"]
mod soak;

/// Two targets that share no agents.
const TWO_TEAMS: &str = "
poll: {interval: 30s, lookback: 2h, overlap: 10m}
metrics: {max_staleness: 5m}
targets:
  - filter: {type: team, id: team-1}
  - filter: {type: team, id: team-2}
";
