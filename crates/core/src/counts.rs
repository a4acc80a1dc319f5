//! The counts: a fold over CXone's history, exact over overlapping windows, whatever order reports
//! come back in.
//!
//! A report is the truth, as of the moment when its job was submitted, about its window and every
//! agent that it contains. The [`Ledger`] keeps, for each agent, the visits after the *horizon*
//! (what lies before it is settled) and replaces those of a window by what a newer report contains.

mod agent;
mod catalog;
mod label;
mod ledger;
mod packed;
mod persistence;
mod record;
mod rows;
mod starts;
mod tally;
mod target;
mod timeline;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use catalog::Catalog;
pub(crate) use label::LabelId;
pub use label::LabelLimits;
pub use ledger::{Change, Ledger};
pub use packed::Fingerprint;
pub(crate) use packed::{AgentSummary, CurrentState, PackedAgent};
pub use persistence::{LedgerLoader, TargetRecord};
pub use record::{InvalidRecord, Record, RecordKey};
pub use tally::{VISIT_BUCKETS, VisitDurations};
pub use target::TargetId;

use crate::time::Window;

/// What the rows of a report are; it depends on the tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// Every visit that touches the window, cut at its edges or whole.
    #[default]
    Intervals,
    /// Only what begins in the window.
    Events,
    /// One row for a group and window, with its count.
    Buckets,
    /// What begins in the window, and perhaps what lasts into it, whole; the agent is in one state
    /// at a time.
    States,
}

/// How much of single agents is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Detail {
    /// Each agent by state and skill.
    #[default]
    AgentSkill,
    /// Each agent by state.
    Agent,
    /// No single agent.
    Aggregate,
}

/// What the ledger counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountingRules {
    /// What the rows of a report are.
    pub rows: RowKind,
    /// The span of the window gauges.
    pub lookback: Duration,
    /// How far each window reaches back behind the watermark.
    pub overlap: Duration,
    /// State names that all become [`WRAP_UP`](crate::names::WRAP_UP).
    pub wrap_up: Vec<String>,
    /// How much of single agents is shown.
    pub detail: Detail,
    /// How many labels may have series of their own.
    pub labels: LabelLimits,
}

/// The order in which report jobs are submitted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SubmitOrder(pub u64);

/// Where a report comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOrigin {
    /// The target whose history it contains.
    pub target: TargetId,
    /// When its job was submitted, relative to other jobs.
    pub order: SubmitOrder,
    /// No job submitted earlier than this is pending (its own order, when none is).
    pub oldest_pending: SubmitOrder,
    /// The window of the job.
    pub window: Window,
}

/// What became of a report's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows read.
    pub rows: u64,
    /// Rows of earlier reports that this report changed.
    pub revised: u64,
    /// Rows too late to count.
    pub late: u64,
    /// Rows with a count above 1 that start at their window's start.
    pub cut_buckets: u64,
}
