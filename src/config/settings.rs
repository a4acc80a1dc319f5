//! The sections that have a default for every key.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use super::credentials::refuse_placeholder;
use super::duration::{parse_duration, show_duration, within};
use super::mistake::{Notes, quote};
use super::section::{Found, Section};
use super::targets::default_name;
use super::{
    AgentIds, Api, Config, Detail, IdKey, Jobs, Metrics, Poll, Quota, RowKind, States, Target,
    WRAP_UP,
};
use cxone_core::names::{MAX_LABEL_BYTES, label_value};
use cxone_core::plan::planner::least_news;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest of every duration that has no narrower bound: beyond it is a slip, and sums stay far
/// from the end of all types.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// The longest `poll.retention`.
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 86_400);

/// The largest `quota.report_jobs_per_minute`: one a millisecond.
const MAX_JOBS_PER_MINUTE: u32 = 60_000;

/// Our own choice, for no quota of the platform's calls is published: one a second.
const REQUESTS_PER_MINUTE: u32 = 60;

/// The dialect `platform` tells a visit that lasts with its length so far: a window must have ended
/// for CXone, too, when it is asked for.
const LEAST_PLATFORM_DELAY: Duration = Duration::from_secs(3);

/// The largest `metrics.max_series`.
const MAX_SERIES: u64 = 10_000_000;

/// All but `api` and `targets`.
pub(super) struct Settings {
    poll: Poll,
    jobs: Jobs,
    quota: Quota,
    states: States,
    metrics: Metrics,
}

impl Settings {
    /// That a target would never catch up with so little new history in each window, if it would
    /// not.
    pub(super) fn catches_up(&self, targets: usize, dialect: RowKind) -> Result<(), String> {
        let (jobs, what) = match dialect {
            RowKind::States => (self.quota.requests_per_minute, "request"),
            RowKind::Intervals | RowKind::Events | RowKind::Buckets => {
                let Quota { report_jobs_per_minute, reserve, .. } = self.quota;
                (report_jobs_per_minute.saturating_sub(reserve), "report job")
            }
        };
        let jobs = NonZeroU32::new(jobs).unwrap_or(NonZeroU32::MIN);
        let Poll { interval, lookback, overlap, .. } = self.poll;
        let (news, least) =
            (lookback.saturating_sub(overlap), least_news(interval, jobs, targets.max(1)));
        if news >= least {
            return Ok(());
        }
        // Rounded up, so that the advice is enough.
        let least = Duration::from_secs(least.as_secs() + u64::from(least.subsec_nanos() > 0));
        Err(format!(
            "{} less poll.overlap, {}, leaves a window only {} of new history: with poll.interval {}, {} and {} a minute \
             a target that falls behind would never catch up; it must be at least {}",
            show_duration(lookback),
            show_duration(overlap),
            show_duration(news),
            show_duration(interval),
            counted(targets, "target"),
            counted(usize::try_from(jobs.get()).unwrap_or(usize::MAX), what),
            show_duration(overlap + least),
        ))
    }

    /// The whole configuration.
    pub(super) fn with(self, api: Api, mut targets: Vec<Target>) -> Config {
        let Self { poll, jobs, quota, states, metrics } = self;
        // A name that was given is the user's; one that is made of an agent's id is told as that
        // is.
        for Target { name, filter } in &mut targets {
            if *name == default_name(filter) {
                *name = default_name(&metrics.agent_ids.of_filter(filter));
            }
        }
        Config { api, targets, poll, jobs, quota, states, metrics }
    }
}

/// Reads the sections; `None` when something is wrong, which is then told.
pub(super) fn read(
    top: &Section<'_>,
    rows: RowKind,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<Settings> {
    let poll = poll(&top.section("poll", notes), rows, notes);
    let jobs = jobs(&top.section("jobs", notes), rows, notes);
    let quota = quota(&top.section("quota", notes), rows, notes);
    let states = states(&top.section("states", notes), notes);
    let metrics = metrics(&top.section("metrics", notes), folder, read_secret, notes);
    Some(Settings { poll: poll?, jobs: jobs?, quota: quota?, states: states?, metrics: metrics? })
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn poll(section: &Section<'_>, rows: RowKind, notes: &mut Notes) -> Option<Poll> {
    let interval = section.duration("interval", MINUTE, SECOND..=MONTH, notes);
    let lookback = section.duration("lookback", DAY, MINUTE..=MONTH, notes);
    let overlap = match rows {
        RowKind::Intervals | RowKind::Events | RowKind::States => {
            section.duration("overlap", 15 * MINUTE, SECOND..=MONTH, notes)
        }
        RowKind::Buckets => {
            section.duration("overlap", Duration::ZERO, Duration::ZERO..=MONTH, notes)
        }
    };
    if rows != RowKind::States {
        section.refuse_unused(&["live_interval"], "reports", notes);
    }
    let live_interval =
        section.duration("live_interval", 15 * SECOND, SECOND..=3_600 * SECOND, notes);
    let (usual_delay, least_delay) = if rows == RowKind::States {
        (5 * SECOND, LEAST_PLATFORM_DELAY)
    } else {
        (Duration::ZERO, Duration::ZERO)
    };
    let settle_delay = section.duration("settle_delay", usual_delay, least_delay..=MONTH, notes);
    let retention = section.duration("retention", MONTH, MINUTE..=TEN_YEARS, notes);
    if rows == RowKind::Buckets {
        if overlap.is_some_and(|overlap| !overlap.is_zero()) {
            notes.warning(
                section.at("overlap"),
                "has no effect with `rows: buckets`, whose windows never overlap",
            );
        }
    } else if let (Some(overlap), Some(lookback)) = (overlap, lookback)
        && overlap >= lookback
    {
        let message = format!(
            "{} is not less than poll.lookback, {}",
            show_duration(overlap),
            show_duration(lookback)
        );
        notes.mistake(section.at("overlap"), message);
    }
    if let (Some(lookback), Some(retention)) = (lookback, retention)
        && lookback > retention
    {
        let message = format!(
            "{} is more than poll.retention, {}",
            show_duration(lookback),
            show_duration(retention)
        );
        notes.mistake(section.at("lookback"), message);
    }
    let overlap = if rows == RowKind::Buckets { overlap.map(|_| Duration::ZERO) } else { overlap };
    Some(Poll {
        interval: interval?,
        lookback: lookback?,
        overlap: overlap?,
        settle_delay: settle_delay?,
        retention: retention?,
        live_interval: live_interval?,
    })
}

fn jobs(section: &Section<'_>, rows: RowKind, notes: &mut Notes) -> Option<Jobs> {
    if rows == RowKind::States {
        section.refuse_unused(&["poll_every"], "platform", notes);
    }
    let poll_every = section.duration("poll_every", 2 * SECOND, 100 * MILLISECOND..=MINUTE, notes);
    let timeout = section.duration("timeout", MINUTE, 100 * MILLISECOND..=DAY, notes);
    if let (Some(poll_every), Some(timeout)) = (poll_every, timeout)
        && timeout < poll_every
    {
        let message = format!(
            "{} is less than jobs.poll_every, {}",
            show_duration(timeout),
            show_duration(poll_every)
        );
        notes.mistake(section.at("timeout"), message);
    }
    Some(Jobs { poll_every: poll_every?, timeout: timeout? })
}

fn quota(section: &Section<'_>, rows: RowKind, notes: &mut Notes) -> Option<Quota> {
    if rows == RowKind::States {
        section.refuse_unused(&["report_jobs_per_minute", "reserve"], "platform", notes);
    } else {
        section.refuse_unused(&["requests_per_minute"], "reports", notes);
    }
    let requests_per_minute =
        section.number("requests_per_minute", REQUESTS_PER_MINUTE, 1..=MAX_JOBS_PER_MINUTE, notes);
    let report_jobs_per_minute =
        section.number("report_jobs_per_minute", 10, 1..=MAX_JOBS_PER_MINUTE, notes);
    let reserve = section.number("reserve", 1, 0..=MAX_JOBS_PER_MINUTE, notes);
    if let (Some(jobs), Some(reserve)) = (report_jobs_per_minute, reserve)
        && reserve >= jobs
    {
        let message = format!(
            "{reserve} is not less than quota.report_jobs_per_minute, {jobs}: nothing would be left for the targets; lower `reserve`"
        );
        notes.mistake(section.at("reserve"), message);
    }
    Some(Quota {
        requests_per_minute: requests_per_minute?,
        report_jobs_per_minute: report_jobs_per_minute?,
        reserve: reserve?,
    })
}

fn states(section: &Section<'_>, notes: &mut Notes) -> Option<States> {
    let before = notes.mistakes.len();
    let wrap_up = match section.texts("wrap_up", notes) {
        None => [WRAP_UP, "ACW", "After Contact Work"].map(str::to_owned).to_vec(),
        Some(texts) => {
            let mut wrap_up: Vec<String> = Vec::new();
            for (at, text) in texts {
                if text.is_empty() || text.len() > MAX_LABEL_BYTES {
                    notes.mistake(at, format!("a state's name has 1 to {MAX_LABEL_BYTES} bytes"));
                } else if wrap_up.iter().any(|known| known == text) {
                    notes.mistake(at, format!("{} is in the list already", quote(text)));
                } else {
                    wrap_up.push(text.to_owned());
                }
            }
            wrap_up
        }
    };
    let limits = limits(section, &wrap_up, notes);
    (notes.mistakes.len() == before).then_some(States { wrap_up, limits })
}

fn limits(
    section: &Section<'_>,
    wrap_up: &[String],
    notes: &mut Notes,
) -> BTreeMap<String, Duration> {
    let Some(entries) = section.free_map("limits", notes) else {
        return BTreeMap::from([(WRAP_UP.to_owned(), 5 * MINUTE)]);
    };
    let mut limits = BTreeMap::new();
    for (at, name, text) in entries {
        let state = if wrap_up.iter().any(|alias| alias == name) {
            WRAP_UP.into()
        } else {
            label_value(name)
        };
        let limit =
            match parse_duration(text).and_then(|limit| within(text, limit, &(SECOND..=MONTH))) {
                Ok(limit) => limit,
                Err(message) => {
                    notes.mistake(at, message);
                    continue;
                }
            };
        if state.is_empty() {
            notes.mistake(at, "a state's name is not empty");
        } else if limits.insert(state.clone().into_owned(), limit).is_some() {
            notes.mistake(
                at,
                format!(
                    "the state {} has a limit already, under another of its names",
                    quote(&state)
                ),
            );
        }
    }
    limits
}

fn metrics(
    section: &Section<'_>,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<Metrics> {
    let details = [
        ("agent-skill", Detail::AgentSkill),
        ("agent", Detail::Agent),
        ("aggregate", Detail::Aggregate),
    ];
    let detail = section.choice("detail", Detail::AgentSkill, &details, notes);
    let max_series = section.number("max_series", 200_000, 1..=MAX_SERIES, notes);
    let agent_info =
        section.choice("agent_info", false, &[("true", true), ("false", false)], notes);
    let is_hashed = section.choice("agent_ids", false, &[("raw", false), ("hmac", true)], notes);
    let id_key = id_key(section, is_hashed, folder, read_secret, notes);
    if (is_hashed, agent_info) == (Some(true), Some(true)) {
        notes.mistake(
            section.at("agent_info"),
            "shows whom `agent_ids: hmac` hides: choose one of them",
        );
    }
    let max_staleness = section.duration("max_staleness", 15 * MINUTE, SECOND..=MONTH, notes);
    Some(Metrics {
        detail: detail?,
        max_series: max_series?,
        agent_info: agent_info?,
        agent_ids: if is_hashed? { AgentIds::Hmac(id_key?) } else { AgentIds::Raw },
        max_staleness: max_staleness?,
    })
}

/// The key of hashed ids, from its file; `None` when there is none, or it is wrong, which is then
/// told.
fn id_key(
    section: &Section<'_>,
    is_hashed: Option<bool>,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<IdKey> {
    let at = section.at("hmac_key_file");
    let path = match (section.text("hmac_key_file", notes), is_hashed?) {
        (Found::Text(path), true) => path,
        (Found::Text(_), false) => {
            notes.mistake(at, "is only used with `agent_ids: hmac`");
            return None;
        }
        (Found::Absent, true) => {
            notes.mistake(at, "is missing: `head -c 32 /dev/urandom | base64 > agent-id-key` makes a key; name its file here");
            return None;
        }
        (Found::Absent, false) | (Found::Wrong, _) => return None,
    };
    if let Err(message) = refuse_placeholder(path) {
        notes.mistake(at, message);
        return None;
    }
    // The path is not repeated: it may be the key itself, written into the wrong place.
    let text = read_secret(&folder.join(path))
        .map_err(|error| format!("the file with the key cannot be read: {error}"));
    let key = text.and_then(|text| {
        let too_short = || format!("the key has less than {} bytes", IdKey::FEWEST_BYTES);
        IdKey::new(text.trim_end_matches(['\r', '\n']).as_bytes()).ok_or_else(too_short)
    });
    key.map_err(|message| notes.mistake(at, message)).ok()
}
