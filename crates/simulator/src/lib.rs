//! A simulated contact centre with CXone's APIs in front of it, for trying things out and for
//! tests.
//!
//! [`Floor`] says who is where when, as a pure function of a seed and the time; [`Floor::truth`]
//! adds it up. [`Simulator`] is the Reporting API and beside it the platform's API, which tell of
//! the same floor: it enforces quota, token life and strict requests, and makes the [`Faults`] that
//! it is asked for. It reads no clock and opens no socket: now is an argument, and an [`Answer`]
//! says how it is to be delivered. It has its own idea of the API's bodies and knows nothing of the
//! client.

mod api;
mod counters;
mod dates;
mod endpoint;
mod faults;
mod floor;
mod platform;
mod random;
mod retelling;
mod rows;
mod wire;

pub use api::{Delivery, SimulatedResponse, Simulator, SimulatorOptions};
pub use counters::{CallRecord, Counters, SubmitRecord};
pub use endpoint::ApiEndpoint;
pub use faults::{Faults, FaultsError, Injection, Quirk, RequestFault, RowFault};
pub use floor::{
    ActualTotals, AgentProfile, AgentState, Floor, FloorOptions, Visit, VisitPosition,
};
pub use platform::{HistoryRows, UnknownHistoryRows};
pub use rows::{OpenEnd, ReportRows, UnknownReportRows};
