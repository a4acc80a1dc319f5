//! What to request from CXone, and when.

pub mod backoff;
pub mod fetch;
pub mod planner;
pub mod quota;
pub mod server_clock;
pub mod window;
