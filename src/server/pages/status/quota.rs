//! The quota: what it is of, and how much of it is used.

use std::fmt;

use super::{StatusView, fact};

/// What the quota is, and what is asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuotaStatus {
    /// What it is a quota of.
    pub of: QuotaUnit,
    /// So many a minute are allowed.
    pub limit: u32,
    /// Of these, left free for `history` and `check`.
    pub reserved: u32,
    /// What the targets ask for over the limit: 1 is all of it.
    pub demand_ratio: f64,
}

impl QuotaStatus {
    pub(super) fn asked_a_minute(self) -> f64 {
        self.demand_ratio * f64::from(self.limit)
    }

    pub(super) const fn ours(self) -> u32 {
        self.limit.saturating_sub(self.reserved)
    }
}

/// What a quota is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaUnit {
    /// Report jobs.
    #[default]
    ReportJobs,
    /// Requests.
    Requests,
}

impl QuotaUnit {
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::ReportJobs => "report jobs",
            Self::Requests => "requests",
        }
    }

    /// What was done last for a target.
    pub(super) const fn last(self) -> &'static str {
        match self {
            Self::ReportJobs => "Last job",
            Self::Requests => "Last read",
        }
    }
}

/// How much of the quota was used, as a bar with the reserve at its end.
pub(super) fn write_quota(page: &mut String, view: &StatusView) -> fmt::Result {
    let QuotaStatus { of, limit, reserved, .. } = view.quota;
    let used = view.standings.used_in_last_minute;
    let what = of.plural();
    let share = |count: u32| f64::from(count.min(limit)) / f64::from(limit.max(1)) * 100.0;
    let bar = format!(
        "<svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{used} of {limit} {what} used, {reserved} reserved\">\
         <rect class=\"track\" width=\"100\" height=\"6\"/><rect class=\"kept\" x=\"{:.1}\" width=\"{:.1}\" height=\"6\"/>\
         <rect class=\"used\" width=\"{:.1}\" height=\"6\"/></svg>",
        100.0 - share(reserved),
        share(reserved),
        share(used),
    );
    let name = "Quota, last minute";
    let asked = view.quota.asked_a_minute();
    match of {
        QuotaUnit::ReportJobs => fact(
            page,
            name,
            format_args!("{used} of {limit} {what}{bar}"),
            format_args!("{reserved} reserved; the targets ask for {asked:.1} a minute"),
        ),
        QuotaUnit::Requests => fact(
            page,
            name,
            format_args!("{used} of {limit} {what}{bar}"),
            format_args!("targets and feeds ask for {asked:.1} a minute or more"),
        ),
    }
}
