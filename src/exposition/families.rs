//! The table of every metric family that `/metrics` may show: the one place where a name, a type, a
//! label or a HELP text stands.

/// What a family measures, as Prometheus tells types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows; its name ends in `_total`.
    Counter,
    /// Counts by upper bound; its samples are `_bucket`, `_sum` and `_count`.
    Histogram,
    /// Text in labels, always 1; its name ends in `_info`.
    Info,
}

/// Who writes a family's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilySource {
    /// [`render`](super::render), from a [`Snapshot`](cxone_core::page::snapshot::Snapshot).
    Snapshot,
    /// The exporter's own registry of metrics.
    Exporter,
}

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name of its samples (a histogram's without their `_bucket`, `_sum`, `_count`).
    pub name: &'static str,
    /// Its type.
    pub kind: FamilyKind,
    /// The names of its labels, in the order of exposition (a histogram's without `le`).
    pub labels: &'static [&'static str],
    /// Who writes its samples.
    pub source: FamilySource,
    /// What it is, with its unit. Without the full stop at its end: both writers add one.
    pub help: &'static str,
}

impl Family {
    /// The name as OpenMetrics and `prometheus_client` want it for the family: without `_total` or
    /// `_info`.
    #[must_use]
    pub fn family_name(&self) -> &'static str {
        let suffix = match self.kind {
            FamilyKind::Counter => "_total",
            FamilyKind::Info => "_info",
            FamilyKind::Gauge | FamilyKind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

macro_rules! help {
    (Cached, $text:literal) => {
        concat!($text, "; cached: read from CXone in the background")
    };
    ($other:ident, $text:literal) => {
        $text
    };
}

/// `Cached` and `Page` come from the snapshot; `Cached` ones are what CXone said, and their HELP
/// says so.
macro_rules! source {
    (Exporter) => {
        FamilySource::Exporter
    };
    ($snapshot:ident) => {
        FamilySource::Snapshot
    };
}

macro_rules! families {
    ($($constant:ident = $kind:ident $source:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub const $constant: Family = Family {
                name: $name,
                kind: FamilyKind::$kind,
                labels: &[$($label),*],
                source: source!($source),
                help: help!($source, $help),
            };
        )+

        /// Every family, the snapshot's in the order of the page.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    AGENTS = Gauge Cached "cxone_agents" ["state"]
        "Agents that are in this state now, each agent once";
    AGENTS_SEEN = Gauge Cached "cxone_agents_seen" []
        "Agents that are known, with and without a state now";
    AGENTS_OVER_LIMIT = Gauge Cached "cxone_agents_over_limit" ["state"]
        "Agents that are in this state for longer than its limit, each judged at its own observed time";
    SKILL_AGENTS = Gauge Cached "cxone_skill_agents" ["skill", "state"]
        "Agents that are in this state for this skill now; an agent counts once in each skill";
    STATE_ENTRIES = Counter Cached "cxone_state_entries_total" ["state", "skill"]
        "State changes of all agents into this state and skill since the epoch, agents without series of their own included";
    STATE_SECONDS = Counter Cached "cxone_state_seconds_total" ["state", "skill"]
        "Time of all agents in this state and skill since the epoch in seconds, agents without series of their own included; an agent on several skills at once counts for each";
    STATE_VISIT_DURATION = Histogram Cached "cxone_state_visit_duration_seconds" ["state", "skill"]
        "Length of finished stays in this state and skill in seconds";
    STATE_AGENT_SECONDS = Counter Cached "cxone_state_agent_seconds_total" ["state"]
        "Time of all agents in this state since the epoch in seconds, agents without series of their own included; each agent counts once, on however many skills";
    STATE_DURATION_LIMIT = Gauge Page "cxone_state_duration_limit_seconds" ["state"]
        "How long an agent may be in this state before it is over the limit in seconds, from the configuration or the tenant";
    UNAVAILABLE_AGENTS = Gauge Cached "cxone_unavailable_agents" ["reason"]
        "Agents that are unavailable now by the name of their unavailable code, as the live feed tells it";
    TEAM_AGENTS = Gauge Cached "cxone_team_agents" ["team", "state"]
        "Agents of this team that are in this state now, as the live feed tells it";
    SKILL_QUEUE_CONTACTS = Gauge Cached "cxone_skill_queue_contacts" ["skill"]
        "Contacts that wait in the queue of this skill now";
    SKILL_QUEUE_OLDEST = Gauge Cached "cxone_skill_queue_oldest_timestamp_seconds" ["skill"]
        "Since when the contact that waits longest in the queue of this skill does, in seconds since 1970";
    SKILL_ACTIVITY_AGENTS = Gauge Cached "cxone_skill_activity_agents" ["skill", "activity"]
        "Agents with this skill by what they are doing now, as CXone counts them; logged_in holds all the others";
    SKILL_SERVICE_LEVEL_CONTACTS = Gauge Cached "cxone_skill_service_level_contacts" ["skill", "result"]
        "Contacts of this skill inside and outside of its service level, over the span that CXone chooses";
    SKILL_SERVICE_LEVEL = Gauge Cached "cxone_skill_service_level_ratio" ["skill"]
        "Service level of this skill from 0 to 1, over the span that CXone chooses";
    SKILL_SERVICE_LEVEL_GOAL = Gauge Cached "cxone_skill_service_level_goal_ratio" ["skill"]
        "Goal for the service level of this skill from 0 to 1";
    LIVE_UP = Gauge Cached "cxone_live_up" ["feed"]
        "1 when the newest answer of this live feed was one that could be used, else 0";
    LIVE_LAST_SUCCESS = Gauge Cached "cxone_live_last_success_timestamp_seconds" ["feed"]
        "When this live feed last succeeded, in seconds since 1970";
    AGENT_STATE_START = Gauge Cached "cxone_agent_state_start_timestamp_seconds" ["agent", "state", "skill"]
        "When the agent entered the state that it is in now, in seconds since 1970; compare it with the agent's observed time";
    AGENT_OBSERVED = Gauge Cached "cxone_agent_observed_timestamp_seconds" ["agent"]
        "Event time up to which it is known where the agent is, in seconds since 1970";
    AGENT_WINDOW_ENTRIES = Gauge Cached "cxone_agent_state_window_entries" ["agent", "state", "skill"]
        "State changes of the agent into this state and skill in the configured lookback before its observed time";
    AGENT_STATE_ENTRIES = Counter Cached "cxone_agent_state_entries_total" ["agent", "state", "skill"]
        "State changes of the agent into this state and skill since the epoch";
    AGENT_STATE_SECONDS = Counter Cached "cxone_agent_state_seconds_total" ["agent", "state", "skill"]
        "Time of the agent in this state and skill since the epoch in seconds; on several skills at once it counts for each";
    AGENT_SECONDS = Counter Cached "cxone_agent_seconds_total" ["agent", "state"]
        "Time of the agent in this state since the epoch in seconds; counts once, on however many skills";
    AGENT_INFO = Info Cached "cxone_agent_info" ["agent", "agent_name"]
        "The agent's display name, always 1; only when the configuration asks for it";
    TARGET_UP = Gauge Cached "cxone_target_up" ["target"]
        "1 when the newest finished report job of the target succeeded, else 0";
    TARGET_LAST_SUCCESS = Gauge Cached "cxone_target_last_success_timestamp_seconds" ["target"]
        "When a report job of the target last succeeded, in seconds since 1970";
    TARGET_WATERMARK = Gauge Cached "cxone_target_watermark_timestamp_seconds" ["target"]
        "Event time up to which the target's history is known, in seconds since 1970";
    TARGET_EPOCH = Gauge Cached "cxone_target_epoch_timestamp_seconds" ["target"]
        "Event time at which the target's counting began, in seconds since 1970";
    DATA_WATERMARK = Gauge Cached "cxone_data_watermark_timestamp_seconds" []
        "Event time up to which the history of every target is known, in seconds since 1970";
    EXPORTER_SERIES = Gauge Page "cxone_exporter_series" []
        "Samples about the contact centre on this page: all of agents, states, skills and targets, none of the exporter itself";
    EXPORTER_SERIES_LIMIT = Gauge Page "cxone_exporter_series_limit" []
        "How many samples about the contact centre are allowed; single agents over it are left out whole (metrics.max_series)";
    EXPORTER_SERIES_DROPPED = Gauge Page "cxone_exporter_series_dropped" []
        "Series of single agents that the limit leaves out; the counts over all agents still hold them";
    EXPORTER_LABEL_SETS = Gauge Page "cxone_exporter_label_sets" ["kind"]
        "States, pairs of state and skill, and the like that have series of their own, by kind";
    EXPORTER_LABEL_SETS_LIMIT = Gauge Page "cxone_exporter_label_sets_limit" ["kind"]
        "How many of them may have series of their own; the others are added up as `other` instead";
    EXPORTER_LABEL_SETS_OVER_LIMIT = Gauge Page "cxone_exporter_label_sets_over_limit" ["kind"]
        "How many of them, in the newest reports and live states, are over the limit and added up as `other` instead";

    UP = Gauge Exporter "cxone_up" []
        "1 when the newest finished report job, of whatever target, succeeded, else 0";
    REPORT_ROWS = Counter Exporter "cxone_report_rows_total" []
        "Rows that were read from finished reports";
    REPORT_ROWS_REVISED = Counter Exporter "cxone_report_rows_revised_total" []
        "Rows that changed something that an earlier report had told";
    REPORT_ROWS_LATE = Counter Exporter "cxone_report_rows_late_total" []
        "Rows that came too late to count";
    REPORT_ROWS_REJECTED = Counter Exporter "cxone_report_rows_rejected_total" ["reason"]
        "Rows that make no sense and were left out, by reason";
    REPORT_ROWS_LENIENT = Counter Exporter "cxone_report_rows_lenient_total" ["form"]
        "Rows that differ from the documented form and were understood all the same, by form";
    HISTORY_GAP_SECONDS = Counter Exporter "cxone_history_gap_seconds_total" []
        "Event time that no report ever covered, over all targets, in seconds";
    REPORT_JOBS = Counter Exporter "cxone_report_jobs_total" []
        "Report jobs that were submitted to CXone";
    REPORT_JOB_FAILURES = Counter Exporter "cxone_report_job_failures_total" ["reason"]
        "Report jobs that gave no report, by reason";
    REPORT_JOBS_IN_FLIGHT = Gauge Exporter "cxone_report_jobs_in_flight" []
        "Report jobs that were submitted and have not ended yet";
    REPORT_JOB_DURATION = Histogram Exporter "cxone_report_job_duration_seconds" []
        "Time from the submit of a report job until its data was read, in seconds";
    API_REQUESTS = Counter Exporter "cxone_api_requests_total" ["endpoint", "code"]
        "Requests to CXone by endpoint and HTTP status code; the code is `error` when there was no answer";
    API_REQUEST_DURATION = Histogram Exporter "cxone_api_request_duration_seconds" ["endpoint"]
        "Time that CXone took to answer a request, in seconds";
    API_THROTTLED = Counter Exporter "cxone_api_throttled_total" ["endpoint"]
        "Requests that CXone answered with 429 Too Many Requests";
    QUOTA_REPORT_JOBS_LIMIT = Gauge Exporter "cxone_quota_report_jobs_limit" []
        "Report jobs a minute that CXone allows (quota.report_jobs_per_minute)";
    QUOTA_REPORT_JOBS_RESERVED = Gauge Exporter "cxone_quota_report_jobs_reserved" []
        "Report jobs a minute that this process leaves free for the commands history and check (quota.reserve)";
    QUOTA_DEMAND_RATIO = Gauge Exporter "cxone_quota_demand_ratio" []
        "Report jobs a minute that the targets ask for, over those that CXone allows; near 1 and above it the data gets older";
    QUOTA_WAIT_SECONDS = Counter Exporter "cxone_quota_wait_seconds_total" []
        "Time that report jobs waited for the quota, in seconds";
    TOKEN_EXPIRY = Gauge Exporter "cxone_token_expiry_timestamp_seconds" []
        "When the access token expires, in seconds since 1970";
    TOKEN_REFRESHES = Counter Exporter "cxone_token_refreshes_total" []
        "Access tokens that were fetched";
    TOKEN_REFRESH_FAILURES = Counter Exporter "cxone_token_refresh_failures_total" []
        "Attempts to fetch an access token that failed";
    CLOCK_SKEW = Gauge Exporter "cxone_clock_skew_seconds" []
        "CXone's clock less the clock of this machine, in seconds";
    CLOCK_DATES_REJECTED = Counter Exporter "cxone_clock_dates_rejected_total" ["reason"]
        "Answers whose Date was not believed: frozen, or an outlier among the last ones";
    CLOCK_STEPS = Counter Exporter "cxone_clock_steps_total" []
        "Steps of the estimate of CXone's clock";
    STORE_UP = Gauge Exporter "cxone_store_up" []
        "1 when the newest commit to the store succeeded, else 0: nothing is counted then";
    STORE_COMMIT_FAILURES = Counter Exporter "cxone_store_commit_failures_total" []
        "Commits to the store that failed";
    STORE_COMMIT_DURATION = Histogram Exporter "cxone_store_commit_duration_seconds" []
        "Time that a commit to the store took, in seconds";
    STORE_SIZE = Gauge Exporter "cxone_store_size_bytes" []
        "Room that the store takes on the disk, in bytes";
    CERTIFICATE_EXPIRY = Gauge Exporter "cxone_exporter_certificate_expiry_timestamp_seconds" []
        "When the first certificate of the served chain expires, in seconds since 1970; with TLS only";
    WEB_CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge Exporter "cxone_exporter_web_config_last_reload_successful" []
        "1 when the newest content of the web configuration file counts, 0 when it is wrong and the one before goes on; with the file only";
    CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge Exporter "cxone_exporter_config_last_reload_successful" []
        "1 when the configuration was right when it was last read, 0 when it was wrong and the one before goes on";
    CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP = Gauge Exporter "cxone_exporter_config_last_reload_success_timestamp_seconds" []
        "When a configuration was last taken, in seconds since 1970";
    LOG_MESSAGES = Counter Exporter "cxone_exporter_log_messages_total" ["level"]
        "Log messages by level, those that were left out because they repeat others among them";
    LOG_MESSAGES_DROPPED = Counter Exporter "cxone_exporter_log_messages_dropped_total" []
        "Log messages that are lost, because stderr could not be written or nobody read it";
    BUILD_INFO = Info Exporter "cxone_exporter_build_info" ["version", "revision", "branch", "rustversion", "os", "arch"]
        "The exporter's version and what it was built from, always 1";
    PROCESS_CPU_SECONDS = Counter Exporter "process_cpu_seconds_total" []
        "CPU time of the exporter in user and system mode, in seconds";
    PROCESS_RESIDENT_MEMORY = Gauge Exporter "process_resident_memory_bytes" []
        "Memory of the exporter that is resident, in bytes";
    PROCESS_VIRTUAL_MEMORY = Gauge Exporter "process_virtual_memory_bytes" []
        "Address space of the exporter, in bytes";
    PROCESS_START_TIME = Gauge Exporter "process_start_time_seconds" []
        "When the exporter was started, in seconds since 1970";
    PROCESS_OPEN_FDS = Gauge Exporter "process_open_fds" []
        "File descriptors that the exporter has open";
    PROCESS_MAX_FDS = Gauge Exporter "process_max_fds" []
        "File descriptors that the exporter may have open";
    PROCESS_THREADS = Gauge Exporter "process_threads" []
        "Threads of the exporter";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn is_name(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    #[test]
    fn every_name_and_label_is_valid_and_no_label_is_reserved() {
        for family in ALL {
            assert!(is_name(family.name), "{}", family.name);
            let labels: HashSet<_> = family.labels.iter().collect();
            assert_eq!(labels.len(), family.labels.len(), "{}: a label twice", family.name);
            for label in family.labels {
                assert!(
                    is_name(label) && !label.starts_with("__") && *label != "le",
                    "{}: {label}",
                    family.name
                );
            }
        }
    }

    #[test]
    fn counters_end_in_total_infos_in_info_and_nothing_else_does() {
        for family in ALL {
            assert_eq!(
                family.name.ends_with("_total"),
                family.kind == FamilyKind::Counter,
                "{}",
                family.name
            );
            assert_eq!(
                family.name.ends_with("_info"),
                family.kind == FamilyKind::Info,
                "{}",
                family.name
            );
        }
    }

    #[test]
    fn no_sample_of_one_family_could_be_taken_for_another_familys() {
        let mut taken = HashSet::new();
        for family in ALL {
            let base = family.family_name();
            let suffixes: &[&str] = match family.kind {
                FamilyKind::Gauge => &[""],
                FamilyKind::Counter => &["", "_total", "_created"],
                FamilyKind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
                FamilyKind::Info => &["", "_info"],
            };
            for suffix in suffixes {
                assert!(taken.insert(format!("{base}{suffix}")), "{base}{suffix} twice");
            }
        }
    }

    #[test]
    fn every_help_is_one_plain_line_without_a_full_stop_and_names_the_unit() {
        for Family { name, help, .. } in ALL {
            assert!(
                !help.contains(['\n', '\\', '"']) && !help.ends_with('.') && help.len() > 10,
                "{name}: {help}"
            );
            if name.contains("_seconds") {
                assert!(help.contains("in seconds") || help.contains("Time"), "{name}: {help}");
            }
        }
    }

    #[test]
    fn the_help_of_what_cxone_said_says_that_it_is_cached() {
        for family in ALL.iter().filter(|f| f.source == FamilySource::Snapshot) {
            let of_the_page =
                family.name.starts_with("cxone_exporter_") || *family == STATE_DURATION_LIMIT;
            assert_eq!(
                family.help.ends_with("; cached: read from CXone in the background"),
                !of_the_page,
                "{}",
                family.name
            );
        }
    }
}
