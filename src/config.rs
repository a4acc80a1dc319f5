//! Text → typed configuration, with all mistakes in one run, each with its line and key.
//!
//! [`Config::parse`] is pure; [`load`] reads the files and the environment for it. Flags win over
//! the file, the file over the environment.

mod address;
mod api;
mod authorities;
mod credentials;
mod duration;
mod files;
mod keys;
mod mistake;
mod outside;
mod platform;
mod section;
mod settings;
mod source;
mod targets;
#[cfg(test)]
mod tests;
pub mod web;
mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};

use crate::base_url::BaseUrl;
use cxone_core::owner::Owner;

pub use duration::{parse_duration, show_duration};
pub use files::{Content, Seen};
pub use keys::KEYS;
pub use mistake::{ConfigErrors, Mistake, without_secrets};
pub use outside::{ENVIRONMENT, Flags, Overrides};
pub use source::{Loaded, Source};
pub use targets::{ALL_AGENTS, user_id_doubt};

pub use cxone_core::counts::{Detail, RowKind, WRAP_UP};
pub use cxone_core::privacy::{AgentIds, IdKey};
pub use cxone_core::report::ReportFilter;

use mistake::Notes;
use section::Section;

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

/// The largest file with a secret, in bytes.
const MAX_SECRET_FILE_BYTES: usize = 1 << 16;

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// CXone's API and the credentials for it.
    pub api: Api,
    /// What is asked for; no two with the same name or filter.
    pub targets: Vec<Target>,
    /// Which windows are asked for, and when.
    pub poll: Poll,
    /// How a report job is followed.
    pub jobs: Jobs,
    /// How many report jobs are allowed.
    pub quota: Quota,
    /// What is known of states.
    pub states: States,
    /// What is shown.
    pub metrics: Metrics,
}

/// The section `api`.
#[derive(Clone, Debug)]
pub struct Api {
    /// Which of CXone's APIs is spoken, and what it takes.
    pub dialect: Dialect,
    /// What the rows of a report are.
    pub rows: RowKind,
    /// Authorities that are trusted beside those of the machine.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// One of CXone's APIs.
#[derive(Clone, Debug)]
pub enum Dialect {
    /// The Reporting API.
    Reports(ReportsApi),
    /// The platform's documented calls.
    Platform(Box<PlatformApi>),
}

/// Where the Reporting API is, and the credentials for it.
#[derive(Clone, Debug)]
pub struct ReportsApi {
    /// Its address.
    pub base_url: BaseUrl,
    /// The OAuth client.
    pub client: OauthClient,
}

/// An OAuth client.
#[derive(Clone, Debug)]
pub struct OauthClient {
    /// Its id.
    pub id: String,
    /// Its secret; never empty, of one line.
    pub secret: SecretString,
}

/// Where the platform's calls are, and the credentials for them.
#[derive(Clone, Debug)]
pub struct PlatformApi {
    /// Where tokens come from and the API's address is discovered.
    pub issuer: BaseUrl,
    /// The API's address, instead of the discovered one.
    pub base_url: Option<BaseUrl>,
    /// The version in the calls' paths.
    pub version: u16,
    /// Where the call that wants no OAuth client is.
    pub access_key_base: Option<BaseUrl>,
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret; never empty, of one line.
    pub access_key_secret: SecretString,
    /// The OAuth client; without one, the token comes from the call that wants none. One of this
    /// and `access_key_base` is there.
    pub client: Option<OauthClient>,
}

impl Api {
    /// Every address that the configuration names.
    #[must_use]
    pub fn addresses(&self) -> Vec<&BaseUrl> {
        match &self.dialect {
            Dialect::Reports(api) => vec![&api.base_url],
            Dialect::Platform(api) => std::iter::once(&api.issuer)
                .chain(&api.access_key_base)
                .chain(&api.base_url)
                .collect(),
        }
    }

    /// Whether both are the same API, and the same credentials for it.
    #[must_use]
    pub fn has_access_of(&self, other: &Self) -> bool {
        let is_same = |one: &OauthClient, other: &OauthClient| {
            one.id == other.id && is_same_secret(&one.secret, &other.secret)
        };
        if self.authorities != other.authorities {
            return false;
        }
        match (&self.dialect, &other.dialect) {
            (Dialect::Reports(one), Dialect::Reports(other)) => {
                one.base_url == other.base_url && is_same(&one.client, &other.client)
            }
            (Dialect::Platform(one), Dialect::Platform(other)) => {
                let clients = match (&one.client, &other.client) {
                    (Some(one), Some(other)) => is_same(one, other),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                let places = |api: &PlatformApi| {
                    (api.issuer.clone(), api.base_url.clone(), api.access_key_base.clone())
                };
                clients
                    && (one.version, &one.access_key_id) == (other.version, &other.access_key_id)
                    && places(one) == places(other)
                    && is_same_secret(&one.access_key_secret, &other.access_key_secret)
            }
            (Dialect::Reports(_), Dialect::Platform(_))
            | (Dialect::Platform(_), Dialect::Reports(_)) => false,
        }
    }

    /// Whose the store is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let client = match &self.dialect {
            Dialect::Reports(api) => &api.client.id,
            Dialect::Platform(api) => &api.access_key_id,
        };
        let host = self.address().host().to_owned();
        Owner { host, client: client.clone() }
    }

    /// The address that messages name.
    #[must_use]
    pub fn address(&self) -> &BaseUrl {
        match &self.dialect {
            Dialect::Reports(api) => &api.base_url,
            Dialect::Platform(api) => api.base_url.as_ref().unwrap_or(&api.issuer),
        }
    }
}

fn is_same_secret(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

/// What one report job asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The label `target`: `user:ID`, `team:ID`, or the name that was given. At most 256 bytes.
    pub name: String,
    /// The report's filter.
    pub filter: ReportFilter,
}

/// The section `poll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// How often a target is asked for, quota permitting; at least 1 s.
    pub interval: Duration,
    /// The first window, the longest window, and the span of the window gauges; 1 minute to 30
    /// days.
    pub lookback: Duration,
    /// How much is asked again each time; at least 1 s and less than `lookback`; zero with
    /// [`Rows::Buckets`].
    pub overlap: Duration,
    /// How far behind now a window ends.
    pub settle_delay: Duration,
    /// How far back CXone can tell; at least `lookback`.
    pub retention: Duration,
    /// How often the live feeds are asked for; with the dialect `platform` only.
    pub live_interval: Duration,
}

/// The section `jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// How often a job's status is asked for; 100 ms to 60 s.
    pub poll_every: Duration,
    /// When a job is given up; at least `poll_every`.
    pub timeout: Duration,
}

/// The section `quota`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Platform: requests that any rolling 60 s may hold; 1 to 60000.
    pub requests_per_minute: u32,
    /// Report jobs that any rolling 60 s may hold; 1 to 60000.
    pub report_jobs_per_minute: u32,
    /// How many of them are left free for `history` and `check`; less than
    /// `report_jobs_per_minute`.
    pub reserve: u32,
}

/// The section `states`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct States {
    /// The names that all become [`WRAP_UP`].
    pub wrap_up: Vec<String>,
    /// How long an agent should at most be in a state, by the state's name after aliases are
    /// resolved.
    pub limits: BTreeMap<String, Duration>,
}

/// The section `metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// How finely agents are shown.
    pub detail: Detail,
    /// How many series of single agents may be shown; at least 1.
    pub max_series: u64,
    /// Whether `cxone_agent_info` shows the agents' names; never with hashed ids.
    pub agent_info: bool,
    /// What the label `agent` holds, and the store.
    pub agent_ids: AgentIds,
    /// After how long without a successful poll a target is stale.
    pub max_staleness: Duration,
}

/// Whether a configuration without targets is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetsNeeded {
    /// It is: for `serve` and `check`.
    Yes,
    /// It is not: the command brings its own.
    No,
}

/// A configuration file's text and what messages call it; its folder is where relative paths in it
/// begin.
#[derive(Clone, Copy, Debug)]
pub struct ConfigText<'a> {
    /// The file's path as the user wrote it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Config {
    /// Reads a configuration from `file`, if there is one, and from what was said beside it. Also
    /// returns warnings: what is allowed, but looks like a slip. `read_file` is asked for the
    /// text of each file that the configuration names.
    ///
    /// # Errors
    /// Every mistake there is, each with its line and key, flag or variable.
    pub fn parse(
        file: Option<ConfigText<'_>>,
        overrides: &Overrides,
        targets_needed: TargetsNeeded,
        read_file: impl Fn(&Path, Content) -> io::Result<String>,
    ) -> Result<(Self, Vec<String>), ConfigErrors> {
        let mut notes = Notes { mistakes: overrides.mistakes.clone(), warnings: Vec::new() };
        let name = file.map_or("", |file| file.name);
        let tree = match file.map(|file| yaml::read(file.text, &mut notes)) {
            Some(None) => return Err(ConfigErrors::new(name, notes.mistakes)),
            Some(Some(tree)) => Some(tree),
            None => None,
        };
        let top = tree.as_ref().map_or_else(
            || Section::none(&keys::MAIN),
            |tree| Section::top(tree, &keys::MAIN, &mut notes),
        );
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let (api, rows) =
            api::read(&top.section("api", &mut notes), overrides, folder, &read_file, &mut notes);
        let targets =
            targets::read(&top, overrides, rows, targets_needed == TargetsNeeded::Yes, &mut notes);
        let read_secret = |path: &Path| read_file(path, Content::Secret);
        let settings = settings::read(&top, rows, folder, read_secret, &mut notes);
        if let Some(Err(message)) =
            settings.as_ref().map(|settings| settings.catches_up(targets.len(), rows))
            && notes.mistakes.is_empty()
        {
            let poll = top.section("poll", &mut Notes::default());
            notes.mistake(poll.at("lookback"), message);
        }
        let warnings = notes.warnings.iter().map(|warning| warning.located(name)).collect();
        match (api, settings) {
            (Some(api), Some(settings)) if notes.mistakes.is_empty() => {
                Ok((settings.with(api, targets), warnings))
            }
            _ => Err(ConfigErrors::new(name, notes.mistakes)),
        }
    }
}

/// [`Source::read`] for a configuration that is read once.
///
/// # Errors
/// As [`Source::read`].
pub fn load(
    path: Option<&Path>,
    flags: &Flags,
    targets_needed: TargetsNeeded,
) -> Result<(Config, Vec<String>), ConfigErrors> {
    Source::read(path, flags, targets_needed).map(|(config, warnings, _)| (config, warnings))
}
