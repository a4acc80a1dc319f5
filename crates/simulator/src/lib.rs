//! A simulated contact centre with CXone's APIs in front of it: to try the exporter without a
//! tenant, and to test it against a tenant whose every agent and failure is known.
//!
//! - [`Floor`] is the contact centre: who is in which state when, as a pure function of a seed and
//!   the time. [`Floor::actual_totals`] adds it up, as the reference for exact counts.
//! - [`Simulator`] is the tenant: it answers requests of the Reporting API and of the platform API,
//!   both about the same floor. It enforces the quota, token lifetimes and strict requests.
//! - [`Faults`] are what goes wrong on purpose: failing requests, late and revised rows, and valid
//!   answers in unusual forms. Chance follows from the seed, so every run is the same.
//!
//! The crate opens no socket and reads no clock: the time of a request is an argument, and a
//! [`SimulatedResponse`] says how it should be delivered. It has its own wire types and shares no
//! code with the client, so a misreading of the API in one of them shows.
//!
//! ```
//! use cxone_core::time::{Timestamp, Window};
//! use cxone_simulator::{Faults, Simulator, SimulatorOptions};
//!
//! let faults: Faults = "throttle=0.1,late=0.5,late-by=2m".parse()?;
//! let simulator = Simulator::new(SimulatorOptions { agents: 3, faults, ..Default::default() });
//!
//! let now = Timestamp::from_millis(1_698_393_600_000);
//! let request = http::Request::get("/api/v2/reports/job-1").body(Default::default())?;
//! let answer = simulator.handle(now, &request);
//! assert_eq!(answer.response.status(), 401, "without a token nothing is reported");
//!
//! let day = Window { from: Timestamp::from_millis(now.millis() - 24 * 3_600_000), to: now };
//! assert!(simulator.floor().actual_totals(day).iter().any(|total| total.state == "Wrap-up"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod counters;
mod dates;
mod endpoint;
mod faults;
mod floor;
mod jobs;
mod named;
mod oauth;
mod options;
mod platform;
mod random;
mod reported_visit;
mod reports;
mod response;
mod rewrite;
mod simulator;
mod tenant;

pub use counters::{CallRecord, Counters, SubmitRecord};
pub use endpoint::SimulatedEndpoint;
pub use faults::{Faults, FaultsError, Injection, Quirk, RequestFault, RowFault};
pub use floor::{
    ActualTotals, AgentProfile, AgentState, Floor, FloorOptions, Visit, VisitPosition,
};
pub use named::UnknownName;
pub use options::{HistoryRows, OpenEnd, ReportRows, SimulatorOptions};
pub use response::{Delivery, SimulatedResponse};
pub use simulator::Simulator;
