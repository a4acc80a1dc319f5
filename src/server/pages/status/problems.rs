//! What somebody should look at.

use std::time::Duration;

use super::words::{Names, Span};
use super::{QuotaUnit, Readiness, StatusView};
use cxone_core::page::status::{ClockStatus, FeedStatus, TargetStatus};

/// A certificate is spoken of when it expires within this time.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// So many of the last sixteen times that were not believed are a problem: a quarter.
pub(super) const DOUBTED: u32 = 4;

/// Clocks that are further apart than this are spoken of, as by the alert.
const APART: Duration = Duration::from_secs(5);

/// How bad it is: the class of what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It does what it should.
    Good,
    /// It works, and somebody should look at it.
    Wait,
    /// Something is missing.
    Bad,
}

impl Severity {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Wait => "wait",
            Self::Bad => "bad",
        }
    }
}

/// What is wrong and what to do about it, as HTML.
pub(super) type Problem = (Severity, String);

/// How it does in a few words, and how bad that is.
pub(super) fn verdict(
    view: &StatusView,
    readiness: &Readiness,
    problems: &[Problem],
) -> (Severity, &'static str) {
    let targets = &view.standings.targets;
    let worst = problems.iter().map(|(severity, _)| *severity).max().unwrap_or(Severity::Good);
    match (readiness, worst) {
        (Readiness::NotReady(_), Severity::Bad) => (Severity::Bad, "Not ready:"),
        (Readiness::NotReady(_), Severity::Good | Severity::Wait) => (Severity::Wait, "Not ready:"),
        (Readiness::Ready, Severity::Good) => (Severity::Good, "It works."),
        (Readiness::Ready, Severity::Wait) => (Severity::Wait, "It works, but:"),
        (Readiness::Ready, Severity::Bad)
            if targets.iter().all(|target| target.up == Some(false)) =>
        {
            let words = match view.quota.of {
                QuotaUnit::ReportJobs => "No reports come in:",
                QuotaUnit::Requests => "No history comes in:",
            };
            (Severity::Bad, words)
        }
        (Readiness::Ready, Severity::Bad) => (Severity::Bad, "Something is wrong:"),
    }
}

/// What is wrong, the worst first.
pub(super) fn problems(view: &StatusView) -> Vec<Problem> {
    let mut found = Vec::new();
    let standings = &view.standings;
    if !standings.store.healthy {
        let text = "The store cannot be written to, so nothing is counted until it can: look at the disk's free space and at the rights of the folder.";
        found.push((Severity::Bad, text.to_owned()));
    }
    let named = |wanted: fn(&TargetStatus) -> bool| -> Vec<&str> {
        standings
            .targets
            .iter()
            .filter(|target| wanted(target))
            .map(|target| &*target.name)
            .collect()
    };
    let failing = named(|target| target.up == Some(false) && !target.stale);
    if !failing.is_empty() {
        let what = match view.quota.of {
            QuotaUnit::ReportJobs => "The last job failed",
            QuotaUnit::Requests => "The history cannot be read",
        };
        found.push((Severity::Bad, format!("{what}: {}.", Names(&failing))));
    }
    let stale = named(|target| target.stale);
    if !stale.is_empty() {
        let why = match view.quota.of {
            QuotaUnit::ReportJobs => {
                "There was no report for too long (metrics.max_staleness), so gauges of single agents are gone"
            }
            QuotaUnit::Requests => {
                "The history could not be read for too long (metrics.max_staleness), so of single agents only what the live feed tells is left"
            }
        };
        found.push((
            Severity::Bad,
            format!("Stale: {}. {why}; counters go on later where they ended.", Names(&stale)),
        ));
    }
    let fails = |feed: &&FeedStatus| feed.up == Some(false) || feed.stale;
    let feeds: Vec<&str> = standings.feeds.iter().filter(fails).map(|feed| feed.name).collect();
    if !feeds.is_empty() {
        found.push((Severity::Bad, format!("The live feed does not answer: {}.", Names(&feeds))));
    }
    found.extend(clock(view));
    found.extend(settings(view));
    found.extend(limits(view));
    found.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    found
}

/// What is wrong with the time that CXone's answers tell.
fn clock(view: &StatusView) -> Option<Problem> {
    let ClockStatus { skew_millis, doubted } = view.standings.clock;
    if doubted >= DOUBTED {
        let text = format!(
            "CXone's answers disagree about the time: {doubted} of the last 16 contradict the others, which count. Look for a proxy or a cache that changes Date, and for a machine at CXone whose clock is wrong."
        );
        return Some((Severity::Wait, text));
    }
    let apart = Duration::from_millis(skew_millis?.unsigned_abs());
    (apart > APART).then(|| {
        let text = format!(
            "The clocks of this machine and of CXone are {} apart: look at this machine's time synchronisation. Windows go by CXone's.",
            Span(apart)
        );
        (Severity::Wait, text)
    })
}

/// Configurations that became wrong, what has expired or will.
fn settings(view: &StatusView) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(refused) = view.config_rejected_at {
        let ago = Span(view.now.since(refused));
        let text = format!(
            "The configuration was read again {ago} ago and is wrong; the one before goes on. The log tells every mistake, and so does <code>check</code>."
        );
        found.push((Severity::Bad, text));
    }
    if view.web_config_is_valid == Some(false) {
        let text = "The web configuration has changed and is wrong; the one before goes on. The log tells every mistake, and so does <code>check --web.config.file</code>.";
        found.push((Severity::Bad, text.to_owned()));
    }
    if let Some(expiry) = view.certificate_expiry {
        if expiry <= view.now {
            found.push((
                Severity::Bad,
                "The certificate of this server has expired: replace its file.".to_owned(),
            ));
        } else if expiry.since(view.now) < SOON {
            found.push((
                Severity::Wait,
                format!(
                    "The certificate of this server expires in {}.",
                    Span(expiry.since(view.now))
                ),
            ));
        }
    }
    if view.token_refresh_failed && view.token_expiry.is_none_or(|expiry| expiry <= view.now) {
        let text = "There is no access token: the last attempt to get one failed. The newest error says why.";
        found.push((Severity::Bad, text.to_owned()));
    }
    found
}

/// More was asked for than there may be.
fn limits(view: &StatusView) -> Vec<Problem> {
    let mut found = Vec::new();
    let quota = view.quota;
    if quota.asked_a_minute() > f64::from(quota.ours()) {
        let (who, more, mend) = match quota.of {
            QuotaUnit::ReportJobs => {
                ("The targets ask", "", "merge targets or raise poll.interval")
            }
            QuotaUnit::Requests => (
                "Targets and feeds ask",
                " or more",
                "raise poll.interval, poll.live_interval or quota.requests_per_minute",
            ),
        };
        let text = format!(
            "{who} for {:.1} {}{more} a minute, and {} are allowed: the data will be older than the configuration promises; {mend}.",
            quota.asked_a_minute(),
            quota.of.plural(),
            quota.ours()
        );
        found.push((Severity::Wait, text));
    }
    if view.series_dropped > 0 {
        let text = format!(
            "{} series of single agents are left out: metrics.max_series allows no more.",
            view.series_dropped
        );
        found.push((Severity::Wait, text));
    }
    found
}
