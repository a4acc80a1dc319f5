//! What needs attention.

use std::cmp::Reverse;
use std::time::Duration;

use cxone_core::page::status::{ClockStatus, FeedStatus, TargetStatus};
use maud::{Markup, html};

use super::words::{duration, names};
use super::{QuotaUnit, Readiness, StatusView};

/// A certificate that expires within this time is a problem.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// As many rejected times of the last sixteen are a problem: a quarter.
pub(super) const MIN_DOUBTED: u32 = 4;

/// A larger difference between the clocks is a problem, as for the alert.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// How bad something is: its class in the style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Good,
    /// It needs attention.
    Warn,
    /// Something is missing.
    Bad,
}

impl Severity {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// What is wrong and what to do about it.
pub(super) type Problem = (Severity, Markup);

/// The verdict in a word or two, and how bad it is.
pub(super) fn verdict(
    view: &StatusView,
    readiness: &Readiness,
    problems: &[Problem],
) -> (Severity, &'static str) {
    let worst = problems.iter().map(|(severity, _)| *severity).max().unwrap_or(Severity::Good);
    let targets = &view.status.targets;
    match (readiness, worst) {
        (Readiness::NotReady(_), worst) => (worst.max(Severity::Warn), "Not ready:"),
        (Readiness::Ready, Severity::Good) => (worst, "Healthy."),
        (Readiness::Ready, Severity::Warn) => (worst, "Healthy, with warnings:"),
        (Readiness::Ready, Severity::Bad)
            if targets.iter().all(|target| target.up == Some(false)) =>
        {
            (worst, "Unhealthy, all targets down:")
        }
        (Readiness::Ready, Severity::Bad) => (worst, "Unhealthy:"),
    }
}

/// What is wrong, the worst first.
pub(super) fn problems(view: &StatusView) -> Vec<Problem> {
    let mut found = Vec::new();
    store_and_targets(view, &mut found);
    found.extend(clock(view.status.clock));
    configuration(view, &mut found);
    limits(view, &mut found);
    found.sort_by_key(|(severity, _)| Reverse(*severity));
    found
}

fn store_and_targets(view: &StatusView, found: &mut Vec<Problem>) {
    let status = &view.status;
    let mut bad = |problem| found.push((Severity::Bad, problem));
    if !status.store.healthy {
        bad(html! {
            "The store cannot be written, so nothing is counted: check the free disk space and \
             the permissions of the directory."
        });
    }
    let named = |wanted: fn(&TargetStatus) -> bool| -> Vec<&str> {
        let targets = status.targets.iter().filter(|target| wanted(target));
        targets.map(|target| &*target.name).collect()
    };
    let down = named(|target| target.up == Some(false) && !target.stale);
    if !down.is_empty() {
        let what = match view.quota.unit {
            QuotaUnit::ReportJobs => "The last job failed: ",
            QuotaUnit::Requests => "The history cannot be read: ",
        };
        bad(html! { (what) (names(&down)) "." });
    }
    let stale = named(|target| target.stale);
    if !stale.is_empty() {
        let why = match view.quota.unit {
            QuotaUnit::ReportJobs => {
                "No report within metrics.max_staleness, so gauges of single agents are withdrawn"
            }
            QuotaUnit::Requests => {
                "The history could not be read within metrics.max_staleness, so single agents \
                 have only what the live feed contains"
            }
        };
        bad(html! {
            "Stale: " (names(&stale)) ". " (why) "; counters continue later where they stopped."
        });
    }
    let is_down = |feed: &&FeedStatus| feed.up == Some(false) || feed.stale;
    let feeds: Vec<&str> = status.feeds.iter().filter(is_down).map(|feed| feed.name).collect();
    if !feeds.is_empty() {
        bad(html! { "Live feed down: " (names(&feeds)) "." });
    }
}

fn clock(ClockStatus { skew_millis, doubted }: ClockStatus) -> Option<Problem> {
    if doubted >= MIN_DOUBTED {
        let problem = html! {
            "CXone's responses disagree about the time: " (doubted) " of the last 16 were \
             rejected. Check for a proxy or a cache that changes the header Date, and for a server \
             of CXone whose clock is wrong."
        };
        return Some((Severity::Warn, problem));
    }
    let apart = Duration::from_millis(skew_millis?.unsigned_abs());
    (apart > MAX_SKEW).then(|| {
        let problem = html! {
            "The clocks of this machine and of CXone are " (duration(apart)) " apart: check the \
             time synchronisation of this machine. Windows use CXone's clock."
        };
        (Severity::Warn, problem)
    })
}

/// Rejected configurations, and what has expired or soon will.
fn configuration(view: &StatusView, found: &mut Vec<Problem>) {
    let mut bad = |problem| found.push((Severity::Bad, problem));
    if let Some(rejected_at) = view.config_rejected_at {
        bad(html! {
            "The configuration was rejected " (duration(view.now.since(rejected_at))) " ago; the \
             previous one stays in effect. The log and " code { "check" } " list every error."
        });
    }
    if view.web_config_is_valid == Some(false) {
        bad(html! {
            "The web configuration has changed and is invalid; the previous one stays in effect. \
             The log and " code { "check --web.config.file" } " list every error."
        });
    }
    if view.token_refresh_failed && view.token_expiry.is_none_or(|expiry| expiry <= view.now) {
        bad(html! { "There is no access token: the last refresh failed. See the newest error." });
    }
    match view.certificate_expiry {
        Some(expiry) if expiry <= view.now => {
            bad(html! { "The certificate of this server has expired: replace its file." });
        }
        Some(expiry) if expiry.since(view.now) < EXPIRES_SOON => {
            let left = duration(expiry.since(view.now));
            let problem = html! { "The certificate of this server expires in " (left) "." };
            found.push((Severity::Warn, problem));
        }
        Some(_) | None => {}
    }
}

/// Limits that are exceeded.
fn limits(view: &StatusView, found: &mut Vec<Problem>) {
    let quota = view.quota;
    if quota.demand_per_minute() > f64::from(quota.available()) {
        let (who, remedy) = match quota.unit {
            QuotaUnit::ReportJobs => {
                ("The targets require", "merge targets or raise poll.interval")
            }
            QuotaUnit::Requests => (
                "Targets and feeds require at least",
                "raise poll.interval, poll.live_interval or quota.requests_per_minute",
            ),
        };
        let problem = html! {
            (who) " " (format_args!("{:.1}", quota.demand_per_minute())) " " (quota.unit.plural())
            " per minute, and " (quota.available()) " are allowed: data will be older than \
            configured; " (remedy) "."
        };
        found.push((Severity::Warn, problem));
    }
    if view.series_dropped > 0 {
        let problem = html! {
            (view.series_dropped) " series of single agents are dropped: metrics.max_series is \
            reached."
        };
        found.push((Severity::Warn, problem));
    }
}
