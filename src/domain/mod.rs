//! The pure core: what is counted and what is asked for. No clock, no socket, no task; time and randomness are arguments.

pub mod ledger;
pub mod names;
pub mod report;
pub mod snapshot;
pub mod time;
