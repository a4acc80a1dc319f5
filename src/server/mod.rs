//! The HTTP server: its accept loop and limits, who is let in, and the exporter's pages.

mod accept;
mod body;
mod client;
mod connections;
mod gate;
mod guard;
mod limiter;
mod listen;
pub mod negotiate;
mod password;
mod places;
mod routes;
mod status_page;
mod streams;
#[cfg(test)]
mod tests;
mod watch;

pub use accept::{Limits, Server, serve};
pub use body::{Abort, Body};
pub use gate::Gate;
pub use listen::{Address, BindError, Bound, bind, bind_unix, from_systemd};
pub use routes::{RESERVED_PATHS, Reload, Site, Sources};
pub use status_page::{QuotaOf, QuotaStatus, Readiness, StatusView};
pub use watch::{Changed, watch};
