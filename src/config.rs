//! Text → typed configuration, with all mistakes in one run, each with its line and key.
//!
//! [`Config::parse`] is pure; [`load`] reads the files and the environment for it. Flags take
//! precedence over the file, the file over the environment.

mod address;
mod api;
mod credentials;
mod duration;
mod files;
mod mistake;
mod overrides;
mod reader;
mod sections;
mod settings;
mod source;
mod targets;
#[cfg(test)]
mod tests;
pub mod web;
mod yaml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};

use crate::base_url::BaseUrl;
use cxone_core::store::Owner;

pub use duration::{parse_duration, show_duration};
pub use files::{FileContent, FileStates};
pub use mistake::{ConfigErrors, Mistake, without_secrets};
pub use overrides::{Flags, Overrides, environment_variables};
pub use settings::{DialectName, SETTINGS, Setting, SettingKind, WEB_SETTINGS};
pub use source::{ConfigSource, LoadedConfig};
pub use targets::{ALL_AGENTS, user_id_doubt};

pub use cxone_core::counts::{Detail, RowKind};
pub use cxone_core::names::WRAP_UP;
pub use cxone_core::privacy::{AgentIds, IdKey};
pub use cxone_core::report::ReportFilter;

use mistake::Findings;
use reader::{ConfigDocument, Section};

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

/// The largest file with a secret, in bytes.
const MAX_SECRET_FILE_BYTES: usize = 1 << 16;

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "a section each")]
pub struct Config {
    pub api: ApiConfig,
    /// No two have the same name or filter.
    pub targets: Vec<TargetConfig>,
    pub poll: PollConfig,
    pub jobs: JobsConfig,
    pub quota: QuotaConfig,
    pub states: StatesConfig,
    pub metrics: MetricsConfig,
}

/// The section `api`.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Which of CXone's APIs is used, and what it needs.
    pub dialect: Dialect,
    /// What the rows of a report are.
    pub rows: RowKind,
    /// Authorities that are trusted in addition to those of the system.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// One of CXone's APIs.
#[derive(Clone, Debug, PartialEq)]
pub enum Dialect {
    /// The Reporting API.
    Reports(ReportsApi),
    /// The platform's documented calls.
    Platform(Box<PlatformApi>),
}

/// Where the Reporting API is, and the credentials for it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportsApi {
    /// Its address.
    pub base_url: BaseUrl,
    /// The OAuth client.
    pub client: IdAndSecret,
}

/// An OAuth client or an access key.
#[derive(Clone, Debug)]
pub struct IdAndSecret {
    /// Its ID.
    pub id: String,
    /// Its secret; never empty, of one line.
    pub secret: SecretString,
}

impl PartialEq for IdAndSecret {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.secret.expose_secret() == other.secret.expose_secret()
    }
}

/// Where the platform's calls are, and the credentials for them.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformApi {
    /// Where tokens come from and the API's address is discovered.
    pub issuer: BaseUrl,
    /// The API's address, instead of the discovered one.
    pub base_url: Option<BaseUrl>,
    /// The version in the calls' paths.
    pub version: u16,
    /// Where the token call is that needs no OAuth client.
    pub access_key_base: Option<BaseUrl>,
    /// The access key.
    pub access_key: IdAndSecret,
    /// The OAuth client; without one, the token comes from `access_key_base`. One of the two is
    /// there.
    pub client: Option<IdAndSecret>,
}

impl Dialect {
    /// As `api.dialect` names it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reports(_) => "reports",
            Self::Platform(_) => "platform",
        }
    }
}

impl ApiConfig {
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
        self.dialect == other.dialect && self.authorities == other.authorities
    }

    /// Whose the store is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let client = match &self.dialect {
            Dialect::Reports(api) => &api.client.id,
            Dialect::Platform(api) => &api.access_key.id,
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

/// What one report job covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetConfig {
    /// The label `target`: `user:ID`, `team:ID`, or the name that was given. At most 256 bytes.
    pub name: String,
    /// The report's filter.
    pub filter: ReportFilter,
}

/// The section `poll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings has them")]
pub struct PollConfig {
    pub interval: Duration,
    pub lookback: Duration,
    /// Zero with [`RowKind::Buckets`].
    pub overlap: Duration,
    pub settle_delay: Duration,
    pub retention: Duration,
    pub live_interval: Duration,
}

/// The section `jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings has them")]
pub struct JobsConfig {
    pub poll_every: Duration,
    pub timeout: Duration,
}

/// The section `quota`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings has them")]
pub struct QuotaConfig {
    pub requests_per_minute: u32,
    pub report_jobs_per_minute: u32,
    pub reserve: u32,
}

/// The section `states`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatesConfig {
    /// The names that all become [`WRAP_UP`].
    pub wrap_up: Vec<String>,
    /// How long an agent should at most be in a state, by the state's name after aliases are
    /// resolved.
    pub limits: BTreeMap<String, Duration>,
}

/// The section `metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings has them")]
pub struct MetricsConfig {
    pub detail: Detail,
    pub max_series: u64,
    /// Never with hashed IDs.
    pub agent_info: bool,
    /// Those of the label `agent` and of the store.
    pub agent_ids: AgentIds,
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

/// A configuration file's text.
#[derive(Clone, Copy, Debug)]
pub struct ConfigText<'a> {
    /// The file's path as the user wrote it, for messages; relative paths in the text begin at its
    /// folder.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Config {
    /// Parses the configuration of `file`, if there is one, and `overrides`. Also returns warnings:
    /// what is allowed, but may be a slip. `read_file` reads the files that the configuration
    /// names.
    ///
    /// # Errors
    /// Every mistake there is, each with its line and key, flag or variable.
    pub fn parse(
        file: Option<ConfigText<'_>>,
        overrides: &Overrides,
        targets_needed: TargetsNeeded,
        read_file: impl Fn(&Path, FileContent) -> io::Result<String>,
    ) -> Result<(Self, Vec<String>), ConfigErrors> {
        let mut findings = Findings { mistakes: overrides.mistakes.clone(), ..Findings::default() };
        let name = file.map_or("", |file| file.name);
        let tree = match file.map(|file| yaml::read(file.text, &mut findings)) {
            Some(None) => return Err(ConfigErrors::new(name, findings.mistakes)),
            Some(tree) => tree,
            None => None,
        };
        let document = ConfigDocument {
            schema: &settings::MAIN,
            folder: Path::new(name).parent().unwrap_or(Path::new("")),
            overrides,
            findings: RefCell::new(findings),
        };
        let top = Section::top(&document, tree.as_ref());
        let (api, chosen) = api::read(&top, &read_file);
        let mut targets = targets::read(&top, chosen, targets_needed == TargetsNeeded::Yes);
        let poll_section = top.section("poll");
        let poll = sections::poll(&poll_section, chosen);
        let jobs = sections::jobs(&top.section("jobs"));
        let quota = sections::quota(&top.section("quota"));
        let states = sections::states(&top.section("states"));
        let metrics = sections::metrics(&top.section("metrics"), &read_file);
        if document.mistakes() == 0 {
            sections::check_catch_up(&poll_section, chosen, &poll, &quota, targets.len());
        }
        // A name that was given is the user's; one made of an agent's ID is shown as that is.
        for TargetConfig { name, filter } in &mut targets {
            if *name == targets::default_name(filter) {
                *name = targets::default_name(&metrics.agent_ids.of_filter(filter));
            }
        }
        let config = api.map(|api| Self { api, targets, poll, jobs, quota, states, metrics });
        document.findings.into_inner().outcome(name, config)
    }
}

/// [`ConfigSource::read`] for a configuration that is read once.
///
/// # Errors
/// As [`ConfigSource::read`].
pub fn load(
    path: Option<&Path>,
    flags: &Flags,
    targets_needed: TargetsNeeded,
) -> Result<(Config, Vec<String>), ConfigErrors> {
    ConfigSource::read(path, flags, targets_needed).map(|(config, warnings, _)| (config, warnings))
}
