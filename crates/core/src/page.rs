//! What the pages show: plain data on its way from the loop to `/metrics` and the status page.

pub mod snapshot;
pub mod status;
