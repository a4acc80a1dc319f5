//! The whole exporter, from CXone's answers to `/metrics`, against the simulator: hours of virtual
//! time, no sockets.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the way to say it")]

#[path = "support/counted.rs"]
mod counted;
#[allow(dead_code, reason = "the tests of restarts use more of it")]
#[path = "support/direct.rs"]
mod direct;
#[path = "support/strict.rs"]
mod strict;
#[allow(dead_code, reason = "the tests of restarts use more of it")]
#[path = "support/world.rs"]
mod world;

#[path = "end_to_end/counts.rs"]
mod counts;
#[path = "end_to_end/detail.rs"]
mod detail;
#[path = "end_to_end/failures.rs"]
mod failures;
#[path = "end_to_end/status.rs"]
mod status;

const TWO_TEAMS: &str = "
poll: {interval: 30s, lookback: 2h, overlap: 10m}
metrics: {max_staleness: 5m, agent_info: true}
targets:
  - filter: {type: team, id: team-1}
  - filter: {type: team, id: team-2}
";
