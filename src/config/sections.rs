//! The sections `poll`, `jobs`, `quota`, `states` and `metrics`.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use super::api::Chosen;
use super::credentials::refuse_placeholder;
use super::duration::{parse_duration, show_duration, within};
use super::mistake::quote;
use super::reader::Section;
use super::settings::LIMITS;
use super::{
    AgentIds, Detail, FileContent, IdKey, JobsConfig, MetricsConfig, PollConfig, QuotaConfig,
    RowKind, StatesConfig, WRAP_UP,
};
use cxone_core::names::{MAX_LABEL_BYTES, label_value};
use cxone_core::plan::planner::least_news;

/// With the dialect `platform` a visit in progress comes with its length so far: a window must have
/// ended for CXone, too, when it is requested.
const MIN_PLATFORM_DELAY: Duration = Duration::from_secs(3);
const DEFAULT_PLATFORM_DELAY: Duration = Duration::from_secs(5);

pub(super) fn poll(section: &Section<'_>, chosen: Chosen) -> PollConfig {
    let mut poll = PollConfig {
        interval: section.duration("interval"),
        lookback: section.duration("lookback"),
        overlap: Duration::ZERO,
        settle_delay: section.duration("settle_delay"),
        retention: section.duration("retention"),
        live_interval: section.duration("live_interval"),
    };
    let show = show_duration;
    if chosen.rows != RowKind::Buckets {
        poll.overlap = section.duration("overlap");
        if poll.overlap >= poll.lookback && section.is_valid(&["overlap", "lookback"]) {
            let (overlap, lookback) = (show(poll.overlap), show(poll.lookback));
            let message = format!("{overlap} must be shorter than poll.lookback ({lookback})");
            section.mistake("overlap", message);
        }
    } else if section.has("overlap") && !section.parsed("overlap", parse_duration).is_zero() {
        let message = "has no effect with `rows: buckets`, whose windows never overlap";
        section.warn("overlap", message);
    }
    if chosen.is_platform() {
        if !section.has("settle_delay") {
            poll.settle_delay = DEFAULT_PLATFORM_DELAY;
        } else if poll.settle_delay < MIN_PLATFORM_DELAY && section.is_valid(&["settle_delay"]) {
            let (delay, min) = (show(poll.settle_delay), show(MIN_PLATFORM_DELAY));
            let message = format!("{delay} must be at least {min} with `dialect: platform`");
            section.mistake("settle_delay", message);
        }
    }
    if poll.lookback > poll.retention && section.is_valid(&["lookback", "retention"]) {
        let (lookback, retention) = (show(poll.lookback), show(poll.retention));
        let message = format!("{lookback} must be at most poll.retention ({retention})");
        section.mistake("lookback", message);
    }
    poll
}

pub(super) fn jobs(section: &Section<'_>) -> JobsConfig {
    let jobs = JobsConfig {
        poll_every: section.duration("poll_every"),
        timeout: section.duration("timeout"),
    };
    if jobs.timeout < jobs.poll_every && section.is_valid(&["timeout", "poll_every"]) {
        let (timeout, poll_every) = (show_duration(jobs.timeout), show_duration(jobs.poll_every));
        let message = format!("{timeout} must be at least jobs.poll_every ({poll_every})");
        section.mistake("timeout", message);
    }
    jobs
}

pub(super) fn quota(section: &Section<'_>) -> QuotaConfig {
    let quota = QuotaConfig {
        requests_per_minute: section.number("requests_per_minute"),
        report_jobs_per_minute: section.number("report_jobs_per_minute"),
        reserve: section.number("reserve"),
    };
    let QuotaConfig { report_jobs_per_minute: jobs, reserve, .. } = quota;
    if reserve >= jobs && section.is_valid(&["reserve", "report_jobs_per_minute"]) {
        let message = format!(
            "{reserve} must be less than quota.report_jobs_per_minute ({jobs}), or no job is left \
             for the targets"
        );
        section.mistake("reserve", message);
    }
    quota
}

/// Complains if a target that falls behind would never catch up, for lack of new history in each
/// window.
pub(super) fn check_catch_up(
    section: &Section<'_>,
    chosen: Chosen,
    poll: &PollConfig,
    quota: &QuotaConfig,
    targets: usize,
) {
    let (jobs, what) = if chosen.is_platform() {
        (quota.requests_per_minute, "request")
    } else {
        (quota.report_jobs_per_minute.saturating_sub(quota.reserve), "report job")
    };
    let jobs = NonZeroU32::new(jobs).unwrap_or(NonZeroU32::MIN);
    let PollConfig { interval, lookback, overlap, .. } = *poll;
    let news = lookback.saturating_sub(overlap);
    let least = least_news(interval, jobs, targets.max(1));
    if news >= least {
        return;
    }
    // Rounded up, so that the advice is enough.
    let least = Duration::from_secs(least.as_secs() + u64::from(least.subsec_nanos() > 0));
    let counted = |number: usize, what: &str| {
        format!("{number} {what}{}", if number == 1 { "" } else { "s" })
    };
    let message = format!(
        "{} must be at least {}: less poll.overlap ({}) it leaves {} of new history in a window, and \
         a target that falls behind would never catch up with poll.interval {}, {} and {} a minute",
        show_duration(lookback),
        show_duration(overlap + least),
        show_duration(overlap),
        show_duration(news),
        show_duration(interval),
        counted(targets, "target"),
        counted(usize::try_from(jobs.get()).unwrap_or(usize::MAX), what),
    );
    section.mistake("lookback", message);
}

pub(super) fn states(section: &Section<'_>) -> StatesConfig {
    let wrap_up = match section.texts("wrap_up") {
        None => [WRAP_UP, "ACW", "After Contact Work"].map(str::to_owned).to_vec(),
        Some(texts) => {
            let mut wrap_up: Vec<String> = Vec::new();
            for (at, text) in texts {
                if text.is_empty() || text.len() > MAX_LABEL_BYTES {
                    let message = format!("must have 1 to {MAX_LABEL_BYTES} bytes");
                    section.document.mistake(at, message);
                } else if wrap_up.iter().any(|known| known == text) {
                    section.document.mistake(at, format!("{} is a duplicate", quote(text)));
                } else {
                    wrap_up.push(text.to_owned());
                }
            }
            wrap_up
        }
    };
    let limits = limits(section, &wrap_up);
    StatesConfig { wrap_up, limits }
}

fn limits(section: &Section<'_>, wrap_up: &[String]) -> BTreeMap<String, Duration> {
    let Some(entries) = section.texts_by_key("limits") else {
        return BTreeMap::from([(WRAP_UP.to_owned(), Duration::from_secs(300))]);
    };
    let mut limits = BTreeMap::new();
    for (at, name, text) in entries {
        let is_alias = wrap_up.iter().any(|alias| alias == name);
        let state = if is_alias { WRAP_UP.into() } else { label_value(name) };
        match parse_duration(text).and_then(|limit| within(text, limit, &LIMITS)) {
            Err(message) => section.document.mistake(at, message),
            Ok(_) if state.is_empty() => {
                section.document.mistake(at, "must not be an empty name of a state");
            }
            Ok(limit) => {
                if limits.insert(state.clone().into_owned(), limit).is_some() {
                    let state = quote(&state);
                    let message = format!("{state} has a limit already, by another of its names");
                    section.document.mistake(at, message);
                }
            }
        }
    }
    limits
}

pub(super) fn metrics(
    section: &Section<'_>,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> MetricsConfig {
    let is_hashed = section.word("agent_ids", [false, true]);
    let metrics = MetricsConfig {
        detail: section.word("detail", [Detail::AgentSkill, Detail::Agent, Detail::Aggregate]),
        max_series: section.number("max_series"),
        agent_info: section.word("agent_info", [true, false]),
        agent_ids: id_key(section, is_hashed, read_file).map_or(AgentIds::Raw, AgentIds::Hmac),
        max_staleness: section.duration("max_staleness"),
    };
    if is_hashed && metrics.agent_info {
        section.mistake("agent_info", "shows whom `agent_ids: hmac` hides: choose one of them");
    }
    metrics
}

/// The key of hashed ids, from its file; `None` when there is none, or something is wrong.
fn id_key(
    section: &Section<'_>,
    is_hashed: bool,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> Option<IdKey> {
    let name = "hmac_key_file";
    match (section.has(name), is_hashed) {
        (true, false) if section.is_valid(&["agent_ids"]) => {
            section.mistake(name, "is only used with `agent_ids: hmac`");
        }
        (false, true) => section.mistake(
            name,
            "is missing: name a file with a key, which `head -c 32 /dev/urandom | base64` makes",
        ),
        (true | false, _) => {}
    }
    let path = section.text(name).filter(|_| is_hashed)?;
    let key = refuse_placeholder(path).and_then(|()| {
        // The path is not repeated: it may be the key itself, written into the wrong place.
        let text = read_file(&section.document.folder.join(path), FileContent::Secret)
            .map_err(|error| format!("the file with the key cannot be read: {error}"))?;
        IdKey::new(text.trim_end_matches(['\r', '\n']).as_bytes())
            .ok_or_else(|| format!("the key must have at least {} bytes", IdKey::MIN_BYTES))
    });
    key.map_err(|message| section.mistake(name, message)).ok()
}
