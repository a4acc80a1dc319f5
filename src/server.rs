//! The HTTP server: listeners, admission, access control, and the exporter's pages.

mod accept;
mod access;
mod admission;
mod limits;
mod listen;
mod pages;
mod response;
#[cfg(test)]
mod tests;

pub use accept::{Handler, HandlerResult, Server, handler};
pub use access::AccessControl;
pub use access::reload::{WebConfigChange, watch_web_config};
pub use limits::ServerLimits;
pub use listen::{Address, BindError, Bound, bind, bind_unix, from_systemd};
pub use pages::negotiate;
pub use pages::status::{QuotaStatus, QuotaUnit, Readiness, StatusView};
pub use pages::{PageSources, Pages, RESERVED_PATHS, Reload};
pub use response::{Abort, ResponseBody};
