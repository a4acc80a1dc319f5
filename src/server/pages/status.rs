//! The status page: whether the exporter is healthy and, if not, what is wrong and what to do.
//! Plain HTML that works in dark mode, on a phone and without scripts.

mod problems;
#[cfg(test)]
pub(in crate::server) mod tests;
mod words;

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use cxone_core::page::status::{
    ClockStatus, FeedStatus, PollStatus, RecentError, Status, TargetStatus,
};
use cxone_core::time::Timestamp;

use problems::{MIN_DOUBTED, Severity, problems, verdict};
use words::{External, bytes, duration, duration_in_tenths, names, when, when_or};

/// What the status page shows. It names targets, but no agent.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusView {
    /// The exporter's version.
    pub version: String,
    /// Wall time now.
    pub now: Timestamp,
    /// When the process was started.
    pub started_at: Timestamp,
    /// The address of CXone's API.
    pub api: String,
    /// Number of known agents.
    pub agents_seen: u64,
    /// Number of samples about the contact centre on the metrics page.
    pub series: u64,
    /// Number of series of single agents dropped by the limit.
    pub series_dropped: u64,
    /// The quota and its demand.
    pub quota: QuotaStatus,
    /// The status of targets, feeds and store.
    pub status: Status,
    /// When the access token expires; `None` while there is none.
    pub token_expiry: Option<Timestamp>,
    /// Whether the last attempt to fetch one failed.
    pub token_refresh_failed: bool,
    /// When the configuration in effect was loaded.
    pub config_loaded_at: Option<Timestamp>,
    /// When a later one was rejected; `None` if the configuration in effect is the newest.
    pub config_rejected_at: Option<Timestamp>,
    /// Whether the newest web configuration is valid; `None` without one.
    pub web_config_is_valid: Option<bool>,
    /// When the server's certificate expires; `None` without TLS.
    pub certificate_expiry: Option<Timestamp>,
}

/// What the quota is, and what is required of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuotaStatus {
    /// What is limited.
    pub unit: QuotaUnit,
    /// Maximum per minute.
    pub limit: u32,
    /// Of these, reserved for `history` and `check`.
    pub reserved: u32,
    /// What the targets require, relative to the limit.
    pub demand_ratio: f64,
}

impl QuotaStatus {
    /// What the targets require per minute.
    #[must_use]
    pub fn demand_per_minute(self) -> f64 {
        self.demand_ratio * f64::from(self.limit)
    }

    /// How much of the limit is not reserved.
    #[must_use]
    pub const fn available(self) -> u32 {
        self.limit.saturating_sub(self.reserved)
    }
}

/// What a quota limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaUnit {
    /// Report jobs.
    #[default]
    ReportJobs,
    /// Requests.
    Requests,
}

impl QuotaUnit {
    /// As a message names them.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ReportJobs => "report jobs",
            Self::Requests => "requests",
        }
    }
}

/// Whether the process has data to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A report of some target was read, or data was restored.
    Ready,
    /// There is none yet, and why.
    NotReady(String),
}

/// What the server itself adds to the view.
pub(super) struct ServerStatus<'a> {
    /// The path of the metrics page.
    pub(super) metrics_path: &'a str,
    /// Scrapes rejected because too many were in progress, and scrapes evicted for others.
    pub(super) rejected_scrapes: u64,
    pub(super) evicted_scrapes: u64,
    /// After how many seconds the page refreshes itself, if requested.
    pub(super) refresh: Option<u32>,
}

/// The refresh interval that the page offers, in seconds.
const REFRESH: u32 = 15;

/// The only style of the page. Browsers apply it because [`CONTENT_SECURITY_POLICY`] contains its
/// hash, which a test computes.
const STYLE: &str = include_str!("status/style.css");

/// The header `Content-Security-Policy` of the page: nothing but the page itself and its style.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-Xdz0RMrt+q5YLkDV89+3cMUH6ZnmvS3cDOxTZxVVegk='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// After how many seconds the page refreshes itself, by a query such as `refresh=15`; not at all
/// without one, since that disturbs people who are reading.
pub(super) fn refresh(query: Option<&str>) -> Option<u32> {
    let wanted = query?.split('&').find_map(|pair| pair.strip_prefix("refresh="))?;
    wanted.parse().ok().map(|seconds: u32| seconds.clamp(5, 3600))
}

/// The page. Its links are relative, so that it works below a proxy's path as well.
pub(super) fn html(view: &StatusView, readiness: &Readiness, server: &ServerStatus<'_>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(seconds) = server.refresh {
                    meta http-equiv="refresh" content=(seconds);
                }
                title { "cxone-exporter" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "cxone-exporter " small { (External(&view.version)) } }
                (summary(view, readiness))
                (facts(view, server))
                h2 { "Targets" }
                (targets(view))
                @if !view.status.feeds.is_empty() {
                    h2 { "Live feeds" }
                    (feeds(view))
                }
                h2 { "Recent errors" }
                (errors(view))
                (links(server))
                footer.soft {
                    "As of " (view.now) "; values are as of the last poll. "
                    @match server.refresh {
                        None => a href={ "./?refresh=" (REFRESH) } {
                            "Auto-refresh every " (REFRESH) " s"
                        }
                        Some(seconds) => {
                            "Auto-refresh every " (seconds) " s. " a href="./" { "Stop" }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn summary(view: &StatusView, readiness: &Readiness) -> Markup {
    let problems = problems(view);
    let (severity, verdict) = verdict(view, readiness, &problems);
    let (targets, feeds) = (&view.status.targets, &view.status.feeds);
    html! {
        p.verdict {
            strong class=(severity.class()) { (verdict) } " "
            @match readiness {
                Readiness::NotReady(why) => span.external { (External(why)) },
                Readiness::Ready => {
                    (targets.iter().filter(|target| target.up == Some(true)).count())
                    " of " (targets.len()) " targets up"
                    @if !feeds.is_empty() {
                        ", " (feeds.iter().filter(|feed| feed.up == Some(true)).count())
                        " of " (feeds.len()) " live feeds"
                    }
                    "."
                }
            }
        }
        @if !problems.is_empty() {
            ul.problems {
                @for (severity, problem) in problems { li class=(severity.class()) { (problem) } }
            }
        }
        p.soft {
            "Agent states of " (External(&view.api)) ", polled in the background; started "
            (when(view.started_at, view.now)) "."
        }
    }
}

/// A fact: its name, its value, and more about it.
fn fact(name: &str, value: Markup, more: Markup) -> Markup {
    html! {
        div { dt { (name) } dd { (value) @if !more.0.is_empty() { small { (more) } } } }
    }
}

/// A word or two in the colour of their severity.
fn word(severity: Severity, text: &str) -> Markup {
    html! { span class=(severity.class()) { (text) } }
}

fn facts(view: &StatusView, server: &ServerStatus<'_>) -> Markup {
    let now = view.now;
    let loaded = when_or(view.config_loaded_at, now, "not yet");
    html! {
        dl {
            (quota(view))
            (token(view))
            (clock(view.status.clock))
            (store(view))
            @match view.config_rejected_at {
                None => (fact(
                    "Configuration",
                    word(Severity::Good, "valid"),
                    html! { "loaded " (loaded) },
                )),
                Some(rejected_at) => (fact(
                    "Configuration",
                    word(Severity::Bad, "invalid"),
                    html! {
                        "rejected " (when(rejected_at, now)) "; that of " (loaded)
                        " stays in effect"
                    },
                )),
            }
            @if let Some(is_valid) = view.web_config_is_valid {
                (fact(
                    "Web configuration",
                    if is_valid {
                        word(Severity::Good, "valid")
                    } else {
                        word(Severity::Bad, "invalid; the previous one stays in effect")
                    },
                    match view.certificate_expiry {
                        None => html! { "no TLS" },
                        Some(expiry) if expiry <= now => {
                            html! { "certificate expired " (when(expiry, now)) }
                        }
                        Some(expiry) => html! { "certificate expires " (when(expiry, now)) },
                    },
                ))
            }
            (fact("Agents known", html! { (view.agents_seen) }, html! {}))
            (fact(
                "Series on the metrics page",
                html! { (view.series) },
                html! { (view.series_dropped) " dropped by metrics.max_series" },
            ))
            (fact(
                "Scrapes rejected",
                html! { (server.rejected_scrapes) },
                html! { "by --web.max-requests; " (server.evicted_scrapes) " evicted" },
            ))
        }
    }
}

/// How much of the quota was used, as a bar with the reserve at its end.
fn quota(view: &StatusView) -> Markup {
    let QuotaStatus { unit, limit, reserved, .. } = view.quota;
    let (used, unit_name) = (view.status.used_in_last_minute, unit.plural());
    let percent = |count: u32| f64::from(count.min(limit)) / f64::from(limit.max(1)) * 100.0;
    let width = |count| format!("{:.1}", percent(count));
    let label = format!("{used} of {limit} {unit_name} used, {reserved} reserved");
    let demand = format!("{:.1}", view.quota.demand_per_minute());
    fact(
        "Quota, last minute",
        html! {
            (used) " of " (limit) " " (unit_name)
            svg viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(label) {
                rect.track width="100" height="6" {}
                rect.reserved x=(format!("{:.1}", 100.0 - percent(reserved)))
                    width=(width(reserved)) height="6" {}
                rect.used width=(width(used)) height="6" {}
            }
        },
        match unit {
            QuotaUnit::ReportJobs => {
                html! { (reserved) " reserved; the targets require " (demand) " per minute" }
            }
            QuotaUnit::Requests => {
                html! { "targets and feeds require at least " (demand) " per minute" }
            }
        },
    )
}

fn token(view: &StatusView) -> Markup {
    let failed = if view.token_refresh_failed { "the last refresh failed" } else { "" };
    let (value, more) = match view.token_expiry {
        None => (html! { "none yet" }, html! { (failed) }),
        Some(expiry) if expiry > view.now => {
            (html! { "expires " (when(expiry, view.now)) }, html! { (failed) })
        }
        // A token is fetched when it is needed, and not before.
        Some(expiry) => {
            let next =
                if failed.is_empty() { "the next request fetches a new one" } else { failed };
            let more = html! { "the last one expired " (when(expiry, view.now)) "; " (next) };
            (html! { "none in use" }, more)
        }
    };
    fact("Access token", value, more)
}

fn clock(ClockStatus { skew_millis, doubted }: ClockStatus) -> Markup {
    let name = "CXone's clock";
    let Some(millis) = skew_millis else {
        return fact(name, html! { "unknown" }, html! { "no response with a time so far" });
    };
    let apart = duration(Duration::from_millis(millis.unsigned_abs()));
    let severity = if doubted < MIN_DOUBTED { Severity::Good } else { Severity::Warn };
    let value = match millis {
        -5_000..=5_000 => word(severity, "in sync with the local clock"),
        5_001.. => word(Severity::Warn, &format!("{apart} ahead of the local clock")),
        ..=-5_001 => word(Severity::Warn, &format!("{apart} behind the local clock")),
    };
    fact(name, value, html! { (doubted) " of the last 16 times rejected" })
}

fn store(view: &StatusView) -> Markup {
    let store = view.status.store;
    let size = bytes(store.size_bytes);
    let last = when_or(store.last_commit, view.now, "none since the start");
    let (value, more) = match (store.healthy, store.format) {
        (false, _) => {
            (word(Severity::Bad, "not writable"), html! { (size) ", last commit: " (last) })
        }
        (true, Some(format)) => (
            word(Severity::Good, "healthy"),
            html! { (size) ", format " (format) ", last commit: " (last) },
        ),
        (true, None) => (html! { "in memory" }, html! { (size) "; lost when the process ends" }),
    };
    fact("Store", value, more)
}

fn table(heads: &[&str], rows: Markup) -> Markup {
    html! {
        table {
            thead { tr { @for head in heads { th scope="col" { (head) } } } }
            tbody { (rows) }
        }
    }
}

/// A cell; its label is shown if there is no room for columns.
fn cell(label: &str, class: &str, content: Markup) -> Markup {
    html! { td data-label=(label) { span class=(class) { (content) } } }
}

fn targets(view: &StatusView) -> Markup {
    let last = match view.quota.unit {
        QuotaUnit::ReportJobs => "Last job",
        QuotaUnit::Requests => "Last read",
    };
    table(
        &["Target", "State", "Watermark", last, "Next poll", "Counted since"],
        html! { @for one in &view.status.targets { (target(one, view, last)) } },
    )
}

fn target(target: &TargetStatus, view: &StatusView, last: &str) -> Markup {
    let now = view.now;
    let none_yet = match view.quota.unit {
        QuotaUnit::ReportJobs => "no report yet",
        QuotaUnit::Requests => "no history yet",
    };
    let last_job = target.last_job.map(|job| {
        let how = if target.last_error.is_some() { "failed after " } else { "took " };
        html! {
            (how) (duration_in_tenths(job.took)) " " span.soft { "(" (when(job.at, now)) ")" }
        }
    });
    let next_poll = match target.poll {
        PollStatus::UnderWay(since) => html! { "in progress for " (duration(now.since(since))) },
        PollStatus::Planned(time) if time <= now => html! { "as soon as the quota allows" },
        PollStatus::Planned(time) => when(time, now),
    };
    html! {
        tr {
            th.external scope="row" { (External(&target.name)) }
            (state_cell(target.up, target.stale, none_yet))
            (cell("Watermark", "", when_or(target.watermark, now, "none yet")))
            @match last_job {
                None => (cell(last, "soft", html! { "none since the start" })),
                Some(job) => (cell(last, "", job)),
            }
            (cell("Next poll", "", next_poll))
            (cell("Counted since", "", when_or(target.epoch, now, "not yet")))
        }
        @if let Some(longest) = target.longest_window {
            tr.detail {
                td colspan="6" {
                    span.soft {
                        "Windows are limited to " (duration(longest)) " because longer ones failed."
                    }
                }
            }
        }
        @if let Some(trouble) = &target.last_error {
            tr.detail {
                td colspan="6" {
                    span.external { (External(&trouble.message)) } " "
                    span.soft {
                        "Last success: " (when_or(target.last_success, now, "never")) "."
                    }
                }
            }
        }
    }
}

/// The state of a target or feed.
fn state_cell(up: Option<bool>, is_stale: bool, none_yet: &str) -> Markup {
    let (severity, state) = match (up, is_stale) {
        (_, true) => (Severity::Bad, "stale"),
        (None, false) => (Severity::Warn, none_yet),
        (Some(false), false) => (Severity::Bad, "down"),
        (Some(true), false) => (Severity::Good, "up"),
    };
    cell("State", severity.class(), html! { (state) })
}

fn feeds(view: &StatusView) -> Markup {
    table(
        &["Feed", "State", "Last success"],
        html! {
            @for FeedStatus { name, up, stale, last_success } in &view.status.feeds {
                tr {
                    th scope="row" { (name) }
                    (state_cell(*up, *stale, "not polled yet"))
                    (cell("Last success", "", when_or(*last_success, view.now, "never")))
                }
            }
        },
    )
}

fn errors(view: &StatusView) -> Markup {
    let errors = || view.status.errors.newest_first();
    html! {
        @if errors().len() == 0 {
            p.soft { "None since the start." }
        } @else {
            ol { @for one in errors() { (error(one, view.now)) } }
        }
    }
}

fn error(error: &RecentError, now: Timestamp) -> Markup {
    html! {
        li {
            p {
                (when(error.last, now)) ": " (names(&error.affected))
                @if error.affects_more { " and more" }
                " "
                span.soft {
                    (error.failure.map_or("throttled", |failure| failure.as_str()))
                    @if error.times > 1 {
                        ", " (error.times) " times, first " (when(error.first, now))
                    }
                }
            }
            p.external {
                (External(&error.message))
                @for line in error.failure.map_or(&[][..], |failure| failure.advice()) {
                    " " (line)
                }
            }
        }
    }
}

fn links(server: &ServerStatus<'_>) -> Markup {
    let metrics = External(server.metrics_path);
    html! {
        nav {
            h2 { "Pages" }
            a href={ "." (metrics) } { "Metrics " small { (metrics) } } " "
            a href="./-/healthy" { "Health " small { "/-/healthy" } } " "
            a href="./-/ready" { "Readiness " small { "/-/ready" } }
        }
        p.soft {
            "In the repository: docs/troubleshooting.md, docs/operations.md, \
             docs/configuration.md, docs/metrics.md, docs/counting.md, docs/runbooks. \
             On the command line: "
            code { "cxone-exporter check --live" } "."
        }
    }
}
