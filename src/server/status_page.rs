//! The status page: what an operator looks at first. Plain HTML that works in the dark, on a phone and without scripts.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::domain::time::Timestamp;

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
    /// How much of the quota is used.
    pub quota: QuotaStatus,
    /// When the access token expires; `None` while there is none.
    pub token_expiry: Option<Timestamp>,
    /// The targets.
    pub targets: Vec<TargetStatus>,
}

/// How much of the quota is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaStatus {
    /// Report jobs a minute that CXone allows.
    pub limit: u32,
    /// Of these, left free for `history` and `check`.
    pub reserved: u32,
    /// Report jobs submitted in the last minute.
    pub used: u32,
    /// What the targets ask for over what this process may use: 1 is all of it.
    pub demand_ratio: f64,
}

/// How one target does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// The label `target`.
    pub name: String,
    /// Whether the newest finished job succeeded; `None` before the first one.
    pub up: Option<bool>,
    /// Whether no poll succeeded for so long that its agents' gauges are gone.
    pub stale: bool,
    /// Event time up to which its history is known.
    pub watermark: Option<Timestamp>,
    /// Event time at which its counting began.
    pub epoch: Option<Timestamp>,
    /// When a job last succeeded.
    pub last_success: Option<Timestamp>,
    /// What went wrong with the newest finished job; `None` when it succeeded.
    pub last_error: Option<String>,
    /// When the job that is in flight was submitted.
    pub job_since: Option<Timestamp>,
}

/// Whether the process has something to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A report of some target was read, or data was restored.
    Ready,
    /// It has nothing yet, and why.
    NotReady(String),
}

/// The only style of the page. Browsers apply it because [`CONTENT_SECURITY_POLICY`] names its hash; one of the tests tells the hash.
const STYLE: &str = ":root{color-scheme:light dark;--line:#d0d5dd;--soft:#667085;--good:#067647;--bad:#b42318;--wait:#93370d;--card:#f9fafb}\
@media(prefers-color-scheme:dark){:root{--line:#333c4d;--soft:#98a2b3;--good:#47cd89;--bad:#f97066;--wait:#fdb022;--card:#161b26}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem}\
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}small,.soft{color:var(--soft);font-weight:400}\
.good{color:var(--good)}.bad{color:var(--bad)}.wait{color:var(--wait)}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.75rem;margin:1rem 0}\
dl div{border:1px solid var(--line);border-radius:.5rem;background:var(--card);padding:.6rem .8rem}\
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-weight:600}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th,td{border-bottom:1px solid var(--line);padding:.4rem .8rem .4rem 0;text-align:left;vertical-align:top}\
th{color:var(--soft);font-size:.85rem;font-weight:400;white-space:nowrap}td:nth-child(-n+2),time{white-space:nowrap}td:last-child{min-width:16rem}\
nav a{margin-right:1.25rem}";

/// The header `Content-Security-Policy` of the page: nothing but the page itself and its style.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-YxIokOfWHPwATrlgvtFXW1WqXLM7I/Qybt6Pb9fL+gY='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page as HTML. Its links are relative, so that it works under a proxy's path too. `refused` counts the scrapes that were refused because too many ran at a time.
pub(super) fn html(view: &StatusView, readiness: &Readiness, metrics_path: &str, refused: u64) -> String {
    let mut page = String::with_capacity(4096);
    write_page(&mut page, view, readiness, metrics_path, refused).expect("writing to a string does not fail");
    page
}

fn write_page(page: &mut String, view: &StatusView, readiness: &Readiness, metrics_path: &str, refused: u64) -> fmt::Result {
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>cxone-exporter</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>cxone-exporter <small>{}</small></h1>\n",
        Html(&view.version)
    )?;
    match readiness {
        Readiness::Ready => page.push_str("<p><strong class=\"good\">Ready.</strong> "),
        Readiness::NotReady(why) => write!(page, "<p><strong class=\"wait\">Not ready:</strong> {} ", Html(why))?,
    }
    writeln!(
        page,
        "<span class=\"soft\">Agent states of {}, polled in the background; started {}.</span></p>",
        Html(&view.api),
        When { time: view.started, now: view.now }
    )?;
    write_facts(page, view, refused)?;
    page.push_str("<h2>Targets</h2>\n");
    write_targets(page, view)?;
    writeln!(
        page,
        "<nav><h2>Pages</h2>\n<a href=\".{path}\">Metrics <small>{path}</small></a> <a href=\"./-/healthy\">Health <small>/-/healthy</small></a> \
         <a href=\"./-/ready\">Readiness <small>/-/ready</small></a></nav>\n<p class=\"soft\">Written at {}. Load the page again for newer values.</p>\n</body>\n</html>",
        view.now,
        path = Html(metrics_path),
    )
}

fn write_facts(page: &mut String, view: &StatusView, refused: u64) -> fmt::Result {
    let QuotaStatus { limit, reserved, used, demand_ratio } = view.quota;
    let demand_class = if demand_ratio > 1.0 { " class=\"bad\"" } else { "" };
    writeln!(
        page,
        "<dl>\n<div><dt>Report jobs in the last minute</dt><dd>{used} of {limit} <small>({reserved} reserved)</small></dd></div>\n\
         <div><dt>Quota that the targets ask for</dt><dd{demand_class}>{:.0} %</dd></div>\n\
         <div><dt>Access token expires</dt><dd>{}</dd></div>\n\
         <div><dt>Agents known</dt><dd>{}</dd></div>\n\
         <div><dt>Series on the metrics page</dt><dd>{} <small>({} left out by the limit)</small></dd></div>\n\
         <div><dt>Scrapes refused</dt><dd>{refused}</dd></div>\n</dl>",
        demand_ratio * 100.0,
        Maybe { time: view.token_expiry, now: view.now, otherwise: "no token yet" },
        view.agents_seen,
        view.series,
        view.series_dropped,
    )
}

fn write_targets(page: &mut String, view: &StatusView) -> fmt::Result {
    page.push_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>Target</th><th>State</th><th>Known up to</th><th>Last success</th>\
         <th>Counting since</th><th>Job in flight</th><th>Last error</th></tr></thead>\n<tbody>\n",
    );
    for target in &view.targets {
        let (class, state) = match (target.up, target.stale) {
            (None, _) => ("wait", "no report yet"),
            (Some(_), true) => ("bad", "stale"),
            (Some(false), false) => ("bad", "failing"),
            (Some(true), false) => ("good", "up"),
        };
        let when = |time, otherwise| Maybe { time, now: view.now, otherwise };
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"{class}\">{state}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Html(&target.name),
            when(target.watermark, "–"),
            when(target.last_success, "never"),
            when(target.epoch, "–"),
            when(target.job_since, "none"),
            Html(target.last_error.as_deref().unwrap_or("none")),
        )?;
    }
    page.push_str("</tbody>\n</table></div>\n");
    Ok(())
}

/// Text with everything escaped that means something in HTML, in an attribute too.
struct Html<'a>(&'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A point of time as its distance from now, the point itself on hovering.
struct When {
    time: Timestamp,
    now: Timestamp,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |span: Duration| humantime::format_duration(Duration::from_secs(span.as_secs()));
        let time = self.time;
        if self.time <= self.now {
            write!(f, "<time title=\"{time}\">{} ago</time>", whole(self.now.since(self.time)))
        } else {
            write!(f, "<time title=\"{time}\">in {}</time>", whole(self.time.since(self.now)))
        }
    }
}

/// [`When`], or words when there is no time.
struct Maybe {
    time: Option<Timestamp>,
    now: Timestamp,
    otherwise: &'static str,
}

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => When { time, now: self.now }.fmt(f),
            None => f.write_str(self.otherwise),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::server) fn view() -> StatusView {
        let at = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1000);
        let target = TargetStatus {
            name: "user:user-abc-123".to_owned(),
            up: Some(true),
            stale: false,
            watermark: Some(at(-12)),
            epoch: Some(at(-7_200)),
            last_success: Some(at(-9)),
            last_error: None,
            job_since: Some(at(-2)),
        };
        StatusView {
            version: "0.1.0".to_owned(),
            now: at(0),
            started: at(-7_205),
            api: "https://acme.api.cxone.com".to_owned(),
            agents_seen: 120,
            series: 1_894,
            series_dropped: 0,
            quota: QuotaStatus { limit: 10, reserved: 1, used: 7, demand_ratio: 1.25 },
            token_expiry: Some(at(3_000)),
            targets: vec![
                target.clone(),
                TargetStatus {
                    name: "support <script>alert('x')</script> & \"co\"".to_owned(),
                    up: Some(false),
                    last_error: Some("the report job was throttled: 429 Too Many Requests <b>".to_owned()),
                    job_since: None,
                    ..target.clone()
                },
                TargetStatus { name: "team:team-7".to_owned(), stale: true, job_since: None, ..target.clone() },
                TargetStatus {
                    name: "team:team-8".to_owned(),
                    up: None,
                    watermark: None,
                    epoch: None,
                    last_success: None,
                    job_since: None,
                    ..target
                },
            ],
        }
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let mut view = view();
        view.api = "<i>".to_owned();
        view.version = "<i>".to_owned();
        let page = html(&view, &Readiness::NotReady("<i>".to_owned()), "/<i>\"", 3);
        assert!(page.contains("support &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;co&quot;"));
        assert!(!page.contains("<i>") && !page.contains("<script") && !page.contains("<b>") && page.contains("href=\"./&lt;i&gt;&quot;\""));
    }

    #[test]
    fn the_page_tells_how_each_target_does() {
        let page = html(&view(), &Readiness::Ready, "/metrics", 0);
        for told in [
            "Ready.",
            "7 of 10",
            "125 %",
            "in 50m",
            "12s ago",
            "2h ago",
            ">up<",
            ">failing<",
            ">stale<",
            ">no report yet<",
            "2023-11-14T22:13:18.000Z",
        ] {
            assert!(page.contains(told), "{told} is missing in\n{page}");
        }
    }

    #[test]
    fn the_content_security_policy_lets_the_style_through() {
        let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
        let hash = base64(digest.as_ref());
        assert!(CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{hash}'")), "the style's hash is {hash}");
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let bits = three.iter().chain([0, 0].iter()).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            for place in 0..=three.len() {
                text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
            }
        }
        text + &"=".repeat((3 - bytes.len() % 3) % 3)
    }
}
