//! The pure core: what is counted and what is asked for. No clock, no socket, no task; time and
//! randomness are arguments.

pub mod backoff;
pub mod fetch;
pub mod hidden;
pub mod hosts;
pub mod ledger;
pub mod live;
pub mod names;
pub mod owner;
pub mod planner;
pub mod privacy;
pub mod quota;
pub mod report;
pub mod server_clock;
pub mod snapshot;
pub mod status;
pub mod time;
pub mod window;
