//! The status page: what a person looks at first, who wants to know whether it works and why not.
//! Plain HTML that works in the dark, on a phone and without scripts.

mod problems;
mod quota;
#[cfg(test)]
pub(in crate::server) mod tests;
mod words;

use std::fmt::{self, Write as _};
use std::time::Duration;

use cxone_core::page::status::{
    ClockStatus, FeedStatus, PollStatus, RecentError, Status, TargetStatus,
};
use cxone_core::time::Timestamp;

use problems::{DOUBTED, problems, verdict};
use quota::write_quota;
pub use quota::{QuotaStatus, QuotaUnit};
use words::{Bytes, Html, Maybe, Names, Span, Took, When};

/// What the status page shows. It names targets, but no agent.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusView {
    /// The exporter's version.
    pub version: String,
    /// Wall time now.
    pub now: Timestamp,
    /// When the process was started.
    pub started: Timestamp,
    /// The address of CXone's API.
    pub api: String,
    /// Agents that are known.
    pub agents_seen: u64,
    /// Samples about the contact centre on the metrics page.
    pub series: u64,
    /// Series of single agents that the limit leaves out.
    pub series_dropped: u64,
    /// What the quota is.
    pub quota: QuotaStatus,
    /// How what is polled is doing, and the store.
    pub standings: Status,
    /// When the access token expires; `None` while there is none.
    pub token_expiry: Option<Timestamp>,
    /// Whether the last attempt to get one failed.
    pub token_refresh_failed: bool,
    /// When the configuration was taken that counts.
    pub config_loaded_at: Option<Timestamp>,
    /// When one was last refused since; `None` while what was last read is right.
    pub config_rejected_at: Option<Timestamp>,
    /// Whether the web configuration that was last read is right; `None` without one.
    pub web_config_is_valid: Option<bool>,
    /// When the server's certificate expires; `None` without TLS.
    pub certificate_expiry: Option<Timestamp>,
}

/// Whether the process has something to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A report of some target was read, or data was restored.
    Ready,
    /// It has nothing yet, and why.
    NotReady(String),
}

/// What the server knows server the view.
pub(super) struct ServerStatus<'a> {
    /// The path of the metrics page.
    pub(super) metrics_path: &'a str,
    /// Scrapes that were refused because too many ran at a time, and those that were cut off for
    /// others.
    pub(in super::super) rejected_scrapes: u64,
    pub(in super::super) evicted_scrapes: u64,
    /// After how many seconds the page is loaded again, if who reads it asks for that.
    pub(super) refresh: Option<u32>,
}

/// How often a page loads itself again for whom it does not disturb, in seconds.
const REFRESH: u32 = 15;

/// The only style of the page. Browsers apply it because [`CONTENT_SECURITY_POLICY`] names its
/// hash; one of the tests tells the hash.
const STYLE: &str = include_str!("status/style.css");

/// The header `Content-Security-Policy` of the page: nothing but the page itself and its style.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-mJ/tEqIvFLUMsg25l2cCDtd2Btiz0xuRabQNUFeZ9Mg='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// After how many seconds the page is to be loaded again, as `?refresh=15` in its address says;
/// nothing otherwise, since a page that does so disturbs who reads it.
pub(super) fn refresh(query: Option<&str>) -> Option<u32> {
    let wanted = query?.split('&').find_map(|pair| pair.strip_prefix("refresh="))?;
    wanted.parse().ok().map(|seconds: u32| seconds.clamp(5, 3600))
}

/// The page as HTML. Its links are relative, so that it works under a proxy's path too.
pub(super) fn html(view: &StatusView, readiness: &Readiness, server: &ServerStatus<'_>) -> String {
    let mut page = String::with_capacity(16 * 1024);
    write_page(&mut page, view, readiness, server).expect("writing to a string does not fail");
    page
}

fn write_page(
    page: &mut String,
    view: &StatusView,
    readiness: &Readiness,
    server: &ServerStatus<'_>,
) -> fmt::Result {
    page.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    if let Some(seconds) = server.refresh {
        writeln!(page, "<meta http-equiv=\"refresh\" content=\"{seconds}\">")?;
    }
    write!(page, "<title>cxone-exporter</title>\n<style>{STYLE}</style>\n</head>\n<body>\n")?;
    writeln!(page, "<h1>cxone-exporter <small>{}</small></h1>", Html(&view.version))?;
    write_verdict(page, view, readiness)?;
    write_facts(page, view, server)?;
    page.push_str("<h2>Targets</h2>\n");
    write_targets(page, view)?;
    if !view.standings.feeds.is_empty() {
        page.push_str("<h2>Live feeds</h2>\n");
        write_feeds(page, view)?;
    }
    page.push_str("<h2>Recent errors</h2>\n");
    write_errors(page, view)?;
    write_end(page, view, server)
}

fn write_verdict(page: &mut String, view: &StatusView, readiness: &Readiness) -> fmt::Result {
    let problems = problems(view);
    let (severity, words) = verdict(view, readiness, &problems);
    write!(page, "<p class=\"verdict\"><strong class=\"{}\">{words}</strong>", severity.class())?;
    match readiness {
        Readiness::NotReady(why) => write!(page, " <span class=\"told\">{}</span>", Html(why))?,
        Readiness::Ready => {
            let (targets, feeds) = (&view.standings.targets, &view.standings.feeds);
            let up = targets.iter().filter(|target| target.up == Some(true)).count();
            write!(page, " {up} of {} targets up", targets.len())?;
            if !feeds.is_empty() {
                let up = feeds.iter().filter(|feed| feed.up == Some(true)).count();
                write!(page, ", {up} of {} live feeds", feeds.len())?;
            }
            page.push('.');
        }
    }
    page.push_str("</p>\n");
    if !problems.is_empty() {
        page.push_str("<ul class=\"problems\">\n");
        for (severity, text) in problems {
            writeln!(page, "<li class=\"{}\">{text}</li>", severity.class())?;
        }
        page.push_str("</ul>\n");
    }
    let started = When { time: view.started, now: view.now };
    writeln!(
        page,
        "<p class=\"soft\">Agent states of {}, polled in the background; started {started}.</p>",
        Html(&view.api)
    )
}

/// One of the facts: a name, a value, and more about it.
fn fact(
    page: &mut String,
    name: &str,
    value: fmt::Arguments<'_>,
    more: fmt::Arguments<'_>,
) -> fmt::Result {
    write!(page, "<div><dt>{name}</dt><dd>{value}")?;
    let more = more.to_string();
    if !more.is_empty() {
        write!(page, "<small>{more}</small>")?;
    }
    page.push_str("</dd></div>\n");
    Ok(())
}

fn write_facts(page: &mut String, view: &StatusView, server: &ServerStatus<'_>) -> fmt::Result {
    let now = view.now;
    page.push_str("<dl>\n");
    write_quota(page, view)?;
    write_token(page, view)?;
    write_clock(page, view)?;
    write_store(page, view)?;
    let taken = Maybe { time: view.config_loaded_at, now, otherwise: "not yet" };
    match view.config_rejected_at {
        None => fact(
            page,
            "Configuration",
            format_args!("<span class=\"good\">right</span>"),
            format_args!("read {taken}"),
        )?,
        Some(refused) => {
            let refused = When { time: refused, now };
            let more = format_args!("read again {refused}; that of {taken} goes on");
            fact(page, "Configuration", format_args!("<span class=\"bad\">wrong</span>"), more)?;
        }
    }
    if let Some(right) = view.web_config_is_valid {
        let (class, words) =
            if right { ("good", "right") } else { ("bad", "wrong; the one before goes on") };
        let value = format_args!("<span class=\"{class}\">{words}</span>");
        match view.certificate_expiry {
            Some(expiry) => {
                let verb = if expiry <= now { "expired" } else { "expires" };
                fact(
                    page,
                    "Web configuration",
                    value,
                    format_args!("certificate {verb} {}", When { time: expiry, now }),
                )?;
            }
            None => fact(page, "Web configuration", value, format_args!("no TLS"))?,
        }
    }
    fact(page, "Agents known", format_args!("{}", view.agents_seen), format_args!(""))?;
    let left_out = format_args!("{} left out by metrics.max_series", view.series_dropped);
    fact(page, "Series on the metrics page", format_args!("{}", view.series), left_out)?;
    fact(
        page,
        "Scrapes refused",
        format_args!("{}", server.rejected_scrapes),
        format_args!("by --web.max-requests; {} cut off", server.evicted_scrapes),
    )?;
    page.push_str("</dl>\n");
    Ok(())
}

fn write_token(page: &mut String, view: &StatusView) -> fmt::Result {
    let (name, now) = ("Access token", view.now);
    let failed = if view.token_refresh_failed { "the last attempt to get one failed" } else { "" };
    match view.token_expiry.map(|expiry| (expiry, expiry > now)) {
        None => fact(page, name, format_args!("none yet"), format_args!("{failed}")),
        Some((expiry, true)) => {
            let expiry = When { time: expiry, now };
            fact(page, name, format_args!("expires {expiry}"), format_args!("{failed}"))
        }
        // One is fetched when it is needed, and not before.
        Some((expiry, false)) => {
            let expiry = When { time: expiry, now };
            let next =
                if failed.is_empty() { "the next request fetches a new one" } else { failed };
            fact(
                page,
                name,
                format_args!("none in use"),
                format_args!("the last one expired {expiry}; {next}"),
            )
        }
    }
}

fn write_store(page: &mut String, view: &StatusView) -> fmt::Result {
    let store = view.standings.store;
    let last = Maybe { time: store.last_commit, now: view.now, otherwise: "none since the start" };
    let size = Bytes(store.size_bytes);
    match (store.healthy, store.format) {
        (false, _) => fact(
            page,
            "Store",
            format_args!("<span class=\"bad\">cannot be written to</span>"),
            format_args!("{size}, last commit: {last}"),
        ),
        (true, Some(format)) => fact(
            page,
            "Store",
            format_args!("<span class=\"good\">works</span>"),
            format_args!("{size}, format {format}, last commit: {last}"),
        ),
        (true, None) => fact(
            page,
            "Store",
            format_args!("in memory"),
            format_args!("{size}; nothing outlives the process"),
        ),
    }
}

fn write_clock(page: &mut String, view: &StatusView) -> fmt::Result {
    let ClockStatus { skew_millis, doubted } = view.standings.clock;
    let name = "CXone's clock";
    let Some(millis) = skew_millis else {
        let more = format_args!("no answer has told the time so far");
        return fact(page, name, format_args!("not known yet"), more);
    };
    let more = format_args!("{doubted} of the last 16 times rejected");
    let apart = Span(Duration::from_millis(millis.unsigned_abs()));
    let class = if doubted < DOUBTED { "good" } else { "wait" };
    match millis {
        -5_000..=5_000 => fact(
            page,
            name,
            format_args!("<span class=\"{class}\">agrees with this machine's</span>"),
            more,
        ),
        5_001.. => fact(
            page,
            name,
            format_args!("<span class=\"wait\">{apart} ahead of this machine's</span>"),
            more,
        ),
        i64::MIN..=-5_001 => fact(
            page,
            name,
            format_args!("<span class=\"wait\">{apart} behind this machine's</span>"),
            more,
        ),
    }
}

/// A cell; its label is shown where there is no room for columns.
fn cell(page: &mut String, label: &str, class: &str, content: impl fmt::Display) -> fmt::Result {
    write!(page, "<td data-label=\"{label}\"><span class=\"{class}\">{content}</span></td>")
}

fn heads(page: &mut String, names: &[&str]) -> fmt::Result {
    page.push_str("<table>\n<thead><tr>");
    for name in names {
        write!(page, "<th scope=\"col\">{name}</th>")?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    Ok(())
}

fn write_targets(page: &mut String, view: &StatusView) -> fmt::Result {
    let last = view.quota.of.last();
    heads(page, &["Target", "State", "Known up to", last, "Next poll", "Counting since"])?;
    for target in &view.standings.targets {
        write_target(page, target, view.quota.of, view.now)?;
    }
    page.push_str("</tbody>\n</table>\n");
    Ok(())
}

fn write_target(
    page: &mut String,
    target: &TargetStatus,
    of: QuotaUnit,
    now: Timestamp,
) -> fmt::Result {
    let when = |time, otherwise| Maybe { time, now, otherwise };
    let nothing = match of {
        QuotaUnit::ReportJobs => "no report yet",
        QuotaUnit::Requests => "no history yet",
    };
    let (class, state) = match (target.up, target.stale) {
        (_, true) => ("bad", "stale"),
        (None, false) => ("wait", nothing),
        (Some(false), false) => ("bad", "failing"),
        (Some(true), false) => ("good", "up"),
    };
    write!(page, "<tr><th scope=\"row\" class=\"told\">{}</th>", Html(&target.name))?;
    cell(page, "State", class, state)?;
    cell(page, "Known up to", "", when(target.watermark, "nothing yet"))?;
    match target.last_job {
        None => cell(page, of.last(), "soft", "none since the start")?,
        Some(job) => {
            let how = if target.last_error.is_some() { "failed after" } else { "took" };
            let ended = When { time: job.at, now };
            cell(
                page,
                of.last(),
                "",
                format_args!("{how} {} <span class=\"soft\">({ended})</span>", Took(job.took)),
            )?;
        }
    }
    match target.poll {
        PollStatus::UnderWay(since) => {
            cell(page, "Next poll", "", format_args!("under way for {}", Span(now.since(since))))?
        }
        PollStatus::Planned(time) if time <= now => {
            cell(page, "Next poll", "", "as soon as the quota allows")?
        }
        PollStatus::Planned(time) => cell(page, "Next poll", "", When { time, now })?,
    }
    cell(page, "Counting since", "", when(target.epoch, "nothing yet"))?;
    page.push_str("</tr>\n");
    if let Some(longest) = target.longest_window {
        writeln!(
            page,
            "<tr class=\"why\"><td colspan=\"6\"><span class=\"soft\">Windows are limited to {}: longer ones failed.</span></td></tr>",
            Span(longest)
        )?;
    }
    if let Some(trouble) = &target.last_error {
        let success = when(target.last_success, "never");
        write!(
            page,
            "<tr class=\"why\"><td colspan=\"6\"><span class=\"told\">{}</span>",
            Html(&trouble.message)
        )?;
        writeln!(page, " <span class=\"soft\">Last success: {success}.</span></td></tr>")?;
    }
    Ok(())
}

fn write_feeds(page: &mut String, view: &StatusView) -> fmt::Result {
    heads(page, &["Feed", "State", "Last read"])?;
    for FeedStatus { name, up, stale, last_success } in &view.standings.feeds {
        let (class, state) = match (up, stale) {
            (_, true) => ("bad", "stale"),
            (None, false) => ("wait", "not read yet"),
            (Some(false), false) => ("bad", "failing"),
            (Some(true), false) => ("good", "up"),
        };
        write!(page, "<tr><th scope=\"row\">{}</th>", Html(name))?;
        cell(page, "State", class, state)?;
        cell(
            page,
            "Last read",
            "",
            Maybe { time: *last_success, now: view.now, otherwise: "never" },
        )?;
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n");
    Ok(())
}

fn write_errors(page: &mut String, view: &StatusView) -> fmt::Result {
    if view.standings.errors.newest_first().len() == 0 {
        page.push_str("<p class=\"soft\">None since the start.</p>\n");
        return Ok(());
    }
    page.push_str("<ol>\n");
    for error in view.standings.errors.newest_first() {
        write_error(page, error, view.now)?;
    }
    page.push_str("</ol>\n");
    Ok(())
}

fn write_error(page: &mut String, error: &RecentError, now: Timestamp) -> fmt::Result {
    let affected: Vec<&str> = error.affected.iter().map(|name| &**name).collect();
    let more = if error.affects_more { " and more" } else { "" };
    let reason = error.failure.map_or("throttled", |failure| failure.as_str());
    let last = When { time: error.last, now };
    write!(page, "<li><p>{last}: {}{more} <span class=\"soft\">{reason}", Names(&affected))?;
    if error.times > 1 {
        write!(page, ", {} times, the first {}", error.times, When { time: error.first, now })?;
    }
    write!(page, "</span></p>\n<p class=\"told\">{}", Html(&error.message))?;
    for line in error.failure.map_or(&[][..], |failure| failure.advice()) {
        write!(page, " {}", Html(line))?;
    }
    page.push_str("</p></li>\n");
    Ok(())
}

fn write_end(page: &mut String, view: &StatusView, server: &ServerStatus<'_>) -> fmt::Result {
    let path = Html(server.metrics_path);
    writeln!(
        page,
        "<nav><h2>Pages</h2>\n<a href=\".{path}\">Metrics <small>{path}</small></a> <a href=\"./-/healthy\">Health <small>/-/healthy</small></a> \
         <a href=\"./-/ready\">Readiness <small>/-/ready</small></a></nav>\n\
         <p class=\"soft\">In the repository: docs/troubleshooting.md, docs/operations.md, docs/configuration.md, docs/metrics.md, \
         docs/counting.md, docs/runbooks. On the command line: <code>cxone-exporter check --live</code>.</p>",
    )?;
    write!(page, "<footer class=\"soft\">As of {}. ", view.now)?;
    match server.refresh {
        None => write!(
            page,
            "<a href=\"./?refresh={REFRESH}\">Load it again every {REFRESH} seconds</a>"
        )?,
        Some(seconds) => {
            write!(page, "Loaded again every {seconds} seconds. <a href=\"./\">Stop</a>")?
        }
    }
    page.push_str("</footer>\n</body>\n</html>\n");
    Ok(())
}
