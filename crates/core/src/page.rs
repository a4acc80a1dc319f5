//! What the pages show: plain data on its way from the loop to `/metrics` and the status page.

mod build;
mod options;
mod overlay;
mod shards;
pub mod snapshot;
pub mod status;

pub use options::{SnapshotOptions, TargetHealth};
