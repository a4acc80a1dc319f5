//! The HTTP server: its accept loop and limits, and the exporter's pages.

mod accept;
mod body;
mod guard;
mod negotiate;
mod routes;
mod status_page;
#[cfg(test)]
mod tests;

pub use accept::{BindError, Bound, Limits, bind, serve};
pub use body::{Abort, Body};
pub use routes::{RESERVED_PATHS, Site, Sources};
pub use status_page::{QuotaStatus, Readiness, StatusView, TargetStatus};
