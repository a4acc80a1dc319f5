//! The table of every metric family that `/metrics` may show: the only place with their names,
//! types, labels and HELP texts.

/// The type of a family.
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
    /// What it is, with its unit. Without a full stop at its end: both writers add one.
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

macro_rules! families {
    ($($constant:ident = $kind:ident $source:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub const $constant: Family = Family {
                name: $name,
                kind: FamilyKind::$kind,
                labels: &[$($label),*],
                source: FamilySource::$source,
                help: $help,
            };
        )+

        /// Every family, the snapshot's in the order of the page.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    AGENTS = Gauge Snapshot "cxone_agents" ["state"]
        "Number of agents currently in this state";
    AGENTS_SEEN = Gauge Snapshot "cxone_agents_seen" []
        "Number of known agents, with or without a current state";
    AGENTS_OVER_LIMIT = Gauge Snapshot "cxone_agents_over_limit" ["state"]
        "Number of agents in this state for longer than its limit, each as of its own observed time";
    SKILL_AGENTS = Gauge Snapshot "cxone_skill_agents" ["skill", "state"]
        "Number of agents currently in this state for this skill; an agent counts once for each of its skills";
    STATE_ENTRIES = Counter Snapshot "cxone_state_entries_total" ["state", "skill"]
        "Number of times agents entered this state for this skill since the epoch";
    STATE_SECONDS = Counter Snapshot "cxone_state_seconds_total" ["state", "skill"]
        "Time agents spent in this state for this skill since the epoch, in seconds; an agent counts for each of its skills";
    STATE_VISIT_DURATION = Histogram Snapshot "cxone_state_visit_duration_seconds" ["state", "skill"]
        "Duration of finished visits to this state for this skill, in seconds";
    STATE_AGENT_SECONDS = Counter Snapshot "cxone_state_agent_seconds_total" ["state"]
        "Time agents spent in this state since the epoch, in seconds; an agent counts once, whatever its skills";
    STATE_DURATION_LIMIT = Gauge Snapshot "cxone_state_duration_limit_seconds" ["state"]
        "Maximum duration of a visit to this state before its agent is over the limit, in seconds";
    UNAVAILABLE_AGENTS = Gauge Snapshot "cxone_unavailable_agents" ["reason"]
        "Number of agents currently unavailable with this unavailable code, from the live feed";
    TEAM_AGENTS = Gauge Snapshot "cxone_team_agents" ["team", "state"]
        "Number of agents of this team currently in this state, from the live feed";
    SKILL_QUEUE_CONTACTS = Gauge Snapshot "cxone_skill_queue_contacts" ["skill"]
        "Number of contacts waiting in the queue of this skill";
    SKILL_QUEUE_OLDEST = Gauge Snapshot "cxone_skill_queue_oldest_timestamp_seconds" ["skill"]
        "Unix time at which the longest-waiting contact entered the queue of this skill";
    SKILL_ACTIVITY_AGENTS = Gauge Snapshot "cxone_skill_activity_agents" ["skill", "activity"]
        "Number of agents with this skill by current activity, as counted by CXone; logged_in includes all others";
    SKILL_SERVICE_LEVEL_CONTACTS = Gauge Snapshot "cxone_skill_service_level_contacts" ["skill", "result"]
        "Number of contacts of this skill inside or outside of its service level, over a period chosen by CXone";
    SKILL_SERVICE_LEVEL = Gauge Snapshot "cxone_skill_service_level_ratio" ["skill"]
        "Service level of this skill, from 0 to 1, over a period chosen by CXone";
    SKILL_SERVICE_LEVEL_GOAL = Gauge Snapshot "cxone_skill_service_level_goal_ratio" ["skill"]
        "Target service level of this skill, from 0 to 1";
    LIVE_UP = Gauge Snapshot "cxone_live_up" ["feed"]
        "Whether the last poll of this live feed succeeded (1) or failed (0)";
    LIVE_LAST_SUCCESS = Gauge Snapshot "cxone_live_last_success_timestamp_seconds" ["feed"]
        "Unix time of the last successful poll of this live feed";
    AGENT_STATE_START = Gauge Snapshot "cxone_agent_state_start_timestamp_seconds" ["agent", "state", "skill"]
        "Unix time at which the agent entered its current state; compare with its observed time";
    AGENT_OBSERVED = Gauge Snapshot "cxone_agent_observed_timestamp_seconds" ["agent"]
        "Unix time up to which the state of the agent is known";
    AGENT_WINDOW_ENTRIES = Gauge Snapshot "cxone_agent_state_window_entries" ["agent", "state", "skill"]
        "Number of times the agent entered this state for this skill within the lookback before its observed time";
    AGENT_STATE_ENTRIES = Counter Snapshot "cxone_agent_state_entries_total" ["agent", "state", "skill"]
        "Number of times the agent entered this state for this skill since the epoch";
    AGENT_STATE_SECONDS = Counter Snapshot "cxone_agent_state_seconds_total" ["agent", "state", "skill"]
        "Time the agent spent in this state for this skill since the epoch, in seconds; counts for each of its skills";
    AGENT_SECONDS = Counter Snapshot "cxone_agent_seconds_total" ["agent", "state"]
        "Time the agent spent in this state since the epoch, in seconds; counts once, whatever its skills";
    AGENT_INFO = Info Snapshot "cxone_agent_info" ["agent", "agent_name"]
        "Display name of the agent, always 1";
    TARGET_UP = Gauge Snapshot "cxone_target_up" ["target"]
        "Whether the most recently finished report job of the target succeeded (1) or failed (0)";
    TARGET_LAST_SUCCESS = Gauge Snapshot "cxone_target_last_success_timestamp_seconds" ["target"]
        "Unix time at which a report job of the target last succeeded";
    TARGET_WATERMARK = Gauge Snapshot "cxone_target_watermark_timestamp_seconds" ["target"]
        "Unix time up to which the history of the target is known";
    TARGET_EPOCH = Gauge Snapshot "cxone_target_epoch_timestamp_seconds" ["target"]
        "Unix time from which the target is counted";
    DATA_WATERMARK = Gauge Snapshot "cxone_data_watermark_timestamp_seconds" []
        "Unix time up to which the history of every target is known";
    EXPORTER_SERIES = Gauge Snapshot "cxone_exporter_series" []
        "Number of samples about the contact centre on this page";
    EXPORTER_SERIES_LIMIT = Gauge Snapshot "cxone_exporter_series_limit" []
        "Maximum number of samples about the contact centre (metrics.max_series)";
    EXPORTER_SERIES_DROPPED = Gauge Snapshot "cxone_exporter_series_dropped" []
        "Number of series of single agents dropped by the limit";
    EXPORTER_LABEL_SETS = Gauge Snapshot "cxone_exporter_label_sets" ["kind"]
        "Number of label sets of this kind with series of their own";
    EXPORTER_LABEL_SETS_LIMIT = Gauge Snapshot "cxone_exporter_label_sets_limit" ["kind"]
        "Maximum number of label sets of this kind with series of their own";
    EXPORTER_LABEL_SETS_OVER_LIMIT = Gauge Snapshot "cxone_exporter_label_sets_over_limit" ["kind"]
        "Number of label sets of this kind aggregated as `other`";

    UP = Gauge Exporter "cxone_up" []
        "Whether the most recently finished report job succeeded (1) or failed (0)";
    REPORT_ROWS = Counter Exporter "cxone_report_rows_total" []
        "Number of rows read from finished reports";
    REPORT_ROWS_REVISED = Counter Exporter "cxone_report_rows_revised_total" []
        "Number of rows that revised what an earlier report contained";
    REPORT_ROWS_LATE = Counter Exporter "cxone_report_rows_late_total" []
        "Number of rows that arrived too late to be counted";
    REPORT_ROWS_REJECTED = Counter Exporter "cxone_report_rows_rejected_total" ["reason"]
        "Number of invalid rows that were rejected, by reason";
    REPORT_ROWS_LENIENT = Counter Exporter "cxone_report_rows_lenient_total" ["form"]
        "Number of rows accepted although they differ from the documented form, by form";
    HISTORY_GAP_SECONDS = Counter Exporter "cxone_history_gap_seconds_total" []
        "Event time that no report ever covered, in seconds over all targets";
    REPORT_JOBS = Counter Exporter "cxone_report_jobs_total" []
        "Number of report jobs submitted to CXone";
    REPORT_JOB_FAILURES = Counter Exporter "cxone_report_job_failures_total" ["reason"]
        "Number of report jobs that failed, by reason";
    REPORT_JOBS_IN_FLIGHT = Gauge Exporter "cxone_report_jobs_in_flight" []
        "Number of report jobs in progress";
    REPORT_JOB_DURATION = Histogram Exporter "cxone_report_job_duration_seconds" []
        "Time from the submission of a report job until its data was read, in seconds";
    API_REQUESTS = Counter Exporter "cxone_api_requests_total" ["endpoint", "code"]
        "Number of requests to CXone by endpoint and HTTP status code; the code is `error` if there was no response";
    API_REQUEST_DURATION = Histogram Exporter "cxone_api_request_duration_seconds" ["endpoint"]
        "Time until CXone responded to a request, in seconds";
    API_THROTTLED = Counter Exporter "cxone_api_throttled_total" ["endpoint"]
        "Number of requests that CXone throttled with 429 Too Many Requests";
    QUOTA_REPORT_JOBS_LIMIT = Gauge Exporter "cxone_quota_report_jobs_limit" []
        "Maximum number of report jobs per minute (quota.report_jobs_per_minute)";
    QUOTA_REPORT_JOBS_RESERVED = Gauge Exporter "cxone_quota_report_jobs_reserved" []
        "Report jobs per minute reserved for the commands history and check (quota.reserve)";
    QUOTA_DEMAND_RATIO = Gauge Exporter "cxone_quota_demand_ratio" []
        "Report jobs per minute that the targets require, relative to the quota; data gets older as it approaches 1";
    QUOTA_WAIT_SECONDS = Counter Exporter "cxone_quota_wait_seconds_total" []
        "Time report jobs waited for the quota, in seconds";
    TOKEN_EXPIRY = Gauge Exporter "cxone_token_expiry_timestamp_seconds" []
        "Unix time at which the access token expires";
    TOKEN_REFRESHES = Counter Exporter "cxone_token_refreshes_total" []
        "Number of access tokens fetched";
    TOKEN_REFRESH_FAILURES = Counter Exporter "cxone_token_refresh_failures_total" []
        "Number of failed attempts to fetch an access token";
    CLOCK_SKEW = Gauge Exporter "cxone_clock_skew_seconds" []
        "Difference between the clock of CXone and the local clock, in seconds; positive if CXone is ahead";
    CLOCK_DATES_REJECTED = Counter Exporter "cxone_clock_dates_rejected_total" ["reason"]
        "Number of responses whose Date was rejected, by reason";
    CLOCK_STEPS = Counter Exporter "cxone_clock_steps_total" []
        "Number of steps in the estimate of the clock of CXone";
    STORE_UP = Gauge Exporter "cxone_store_up" []
        "Whether the most recent commit to the store succeeded (1) or failed (0)";
    STORE_COMMIT_FAILURES = Counter Exporter "cxone_store_commit_failures_total" []
        "Number of failed commits to the store";
    STORE_COMMIT_DURATION = Histogram Exporter "cxone_store_commit_duration_seconds" []
        "Duration of commits to the store, in seconds";
    STORE_SIZE = Gauge Exporter "cxone_store_size_bytes" []
        "Size of the store on disk, in bytes";
    CERTIFICATE_EXPIRY = Gauge Exporter "cxone_exporter_certificate_expiry_timestamp_seconds" []
        "Unix time at which the first certificate of the served chain expires";
    WEB_CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge Exporter "cxone_exporter_web_config_last_reload_successful" []
        "Whether the last reload of the web configuration file succeeded (1) or failed (0)";
    CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge Exporter "cxone_exporter_config_last_reload_successful" []
        "Whether the last reload of the configuration succeeded (1) or failed (0)";
    CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP = Gauge Exporter "cxone_exporter_config_last_reload_success_timestamp_seconds" []
        "Unix time at which the configuration was last loaded successfully";
    LOG_MESSAGES = Counter Exporter "cxone_exporter_log_messages_total" ["level"]
        "Number of log messages by level, including those suppressed as repetitions";
    LOG_MESSAGES_DROPPED = Counter Exporter "cxone_exporter_log_messages_dropped_total" []
        "Number of log messages lost because stderr was closed or not read";
    BUILD_INFO = Info Exporter "cxone_exporter_build_info" ["version", "revision", "branch", "rustversion", "os", "arch"]
        "Version of the exporter and how it was built, always 1";
    PROCESS_CPU_SECONDS = Counter Exporter "process_cpu_seconds_total" []
        "Total user and system CPU time spent in seconds";
    PROCESS_RESIDENT_MEMORY = Gauge Exporter "process_resident_memory_bytes" []
        "Resident memory size in bytes";
    PROCESS_VIRTUAL_MEMORY = Gauge Exporter "process_virtual_memory_bytes" []
        "Virtual memory size in bytes";
    PROCESS_START_TIME = Gauge Exporter "process_start_time_seconds" []
        "Start time of the process since unix epoch in seconds";
    PROCESS_OPEN_FDS = Gauge Exporter "process_open_fds" []
        "Number of open file descriptors";
    PROCESS_MAX_FDS = Gauge Exporter "process_max_fds" []
        "Maximum number of open file descriptors";
    PROCESS_THREADS = Gauge Exporter "process_threads" []
        "Number of OS threads in the process";
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
            if name.contains("timestamp_seconds") {
                assert!(help.starts_with("Unix time"), "{name}: {help}");
            } else if name.contains("_seconds") {
                assert!(help.contains("in seconds"), "{name}: {help}");
            }
        }
    }
}
