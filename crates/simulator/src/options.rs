//! What the simulated tenant is like.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::faults::Faults;
use crate::floor::FloorOptions;
use crate::named::{UnknownName, named_enum};

named_enum! {
    /// What a row of a report is.
    pub enum ReportRows {
        /// Every visit that touches the window, with its true start and end.
        WholeIntervals => "intervals",
        /// Every visit that touches the window, cut at the window's edges; one that has not ended
        /// ends with the window.
        CutIntervals => "cut-intervals",
        /// The visits that begin in the window, with their ends.
        Events => "events",
        /// The visits that begin in the window, without their ends.
        EventsWithoutEnd => "events-without-end",
        /// One row for agent, state and skill, with the number of visits that began in the window.
        Buckets => "buckets",
    }
}

impl fmt::Display for ReportRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ReportRows {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(&name.to_ascii_lowercase())
            .ok_or_else(|| UnknownName::new("kind of rows", name, &Self::ALL.map(Self::name)))
    }
}

/// How a row says that its visit has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenEnd {
    /// It has no `dateTo`.
    Absent,
    /// Its `dateTo` is `null`.
    Null,
}

named_enum! {
    /// Which rows the history of a window has.
    pub enum HistoryRows {
        /// Every visit that touches the window, with its true start and length.
        Touching => "touching",
        /// The visits that begin in the window.
        Starting => "starting",
    }
}

impl fmt::Display for HistoryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HistoryRows {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name)
            .ok_or_else(|| UnknownName::new("kind of history", name, &Self::ALL.map(Self::name)))
    }
}

/// What the simulated tenant is like.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// All chance follows from it.
    pub seed: u64,
    /// How many agents there are.
    pub agents: u32,
    /// How many times faster than real agents these change state.
    pub pace: NonZeroU32,
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
    /// The id of the access key, for the platform API.
    pub access_key_id: String,
    /// The secret of the access key.
    pub access_key_secret: SecretString,
    /// Whether the client gets tokens; else 403.
    pub client_enabled: bool,
    /// Whether the client has the scope `reports:read` and a role for the platform API; else 403
    /// for every report and call.
    pub scope_granted: bool,
    /// How long a token is valid, in whole seconds.
    pub token_life: Duration,
    /// Report jobs that are accepted in any 60 s.
    pub report_jobs_per_minute: u32,
    /// From submit to data. A job is PENDING for the first quarter of it, then RUNNING.
    pub job_time: Duration,
    /// How long a job is known after its submit.
    pub job_life: Duration,
    /// What a row of a report is.
    pub rows: ReportRows,
    /// How a row says that its visit has not ended.
    pub open_end: OpenEnd,
    /// The longest window of a report; a longer one is rejected with 422.
    pub max_window: Duration,
    /// How far back history is kept: a report of an earlier window is rejected with 422, a call of
    /// the platform API omits earlier rows. `None`: without limit.
    pub retention: Option<Duration>,
    /// The most rows of a report; a job with more of them fails.
    pub max_rows: usize,
    /// The origin of `statusUrl`, such as `https://elsewhere.example`; `None`: that of the submit.
    pub status_url_origin: Option<String>,
    /// Calls of the platform API that are answered in any 60 s. `None`: all.
    pub calls_per_minute: Option<NonZeroU32>,
    /// The most rows of a page of the platform API.
    pub page_rows: usize,
    /// Which rows the history of the platform API has.
    pub history: HistoryRows,
    /// The base URL of the platform API that discovery reports; `None`: the origin of the request.
    pub api_endpoint: Option<String>,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

impl Default for SimulatorOptions {
    /// A tenant as CXone documents it: whole intervals, 10 jobs a minute, tokens valid for 20
    /// minutes, no faults.
    fn default() -> Self {
        let floor = FloorOptions::default();
        Self {
            seed: floor.seed,
            agents: floor.agents,
            pace: floor.pace,
            client_id: "simulated-client".to_owned(),
            client_secret: SecretString::from("simulated-secret"),
            access_key_id: "simulated-key".to_owned(),
            access_key_secret: SecretString::from("simulated-key-secret=="),
            client_enabled: true,
            scope_granted: true,
            token_life: Duration::from_secs(1200),
            report_jobs_per_minute: 10,
            job_time: Duration::from_secs(4),
            job_life: Duration::from_hours(1),
            rows: ReportRows::WholeIntervals,
            open_end: OpenEnd::Absent,
            max_window: Duration::from_hours(31 * 24),
            retention: None,
            max_rows: 1_000_000,
            status_url_origin: None,
            calls_per_minute: None,
            page_rows: 10_000,
            history: HistoryRows::Touching,
            api_endpoint: None,
            faults: Faults::default(),
        }
    }
}
