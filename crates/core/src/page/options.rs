//! What a snapshot is made with beside the ledger: how the targets are doing, and how much is
//! shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::counts::AgentSummary;
use crate::time::Timestamp;

/// What a snapshot contains beside the counts, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// By target, in the order of the configuration.
    pub targets: Vec<TargetHealth>,
    /// The limit of a state's duration, by its name.
    pub limits: BTreeMap<Arc<str>, Duration>,
    /// Maximum number of series; single agents that exceed it are dropped.
    pub max_series: u64,
    /// Whether agents' names are shown.
    pub agent_info: bool,
}

/// How a target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its newest finished job succeeded.
    pub up: bool,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// Whether it has not succeeded for too long: what its agents do now is not known.
    pub stale: bool,
}

/// An agent is stale when every target that reports it is.
pub(super) fn is_stale(summary: &AgentSummary, options: &SnapshotOptions) -> bool {
    let mut targets = summary.memberships.iter().map(|membership| membership.target);
    targets.all(|target| options.targets[target.index()].stale)
}
