//! The pure core: what is counted and what is asked for. No clock, no socket, no task; time and
//! randomness are arguments.

pub mod checkpoint;
pub mod counts;
pub mod hidden;
pub mod live;
pub mod names;
pub mod page;
pub mod plan;
pub mod privacy;
pub mod report;
pub mod store;
pub mod time;
