//! The web configuration (`--web.config.file`): TLS, basic authentication, headers and rate limit,
//! with the schema of Prometheus's exporter-toolkit, so that files written for other exporters work
//! unchanged.
//!
//! Source of the keys, their defaults and what they mean: `docs/web-configuration.md`,
//! `web/tls_config.go` and `web/handler.go` of github.com/prometheus/exporter-toolkit at 0089e78;
//! of its branches that exclude paths, `auth_excluded_paths` (6ea5d3c) and
//! `basic_auth_excluded_paths` (36bcfdb).

mod clients;
mod go;
mod http;
mod read;
mod suites;
#[cfg(test)]
mod tests;
mod tls;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;

use super::mistake::Findings;
use super::overrides::Overrides;
use super::reader::{ConfigDocument, Section};
use super::{ConfigErrors, ConfigText, settings, yaml};
use cxone_core::time::Timestamp;

pub use clients::certificate_failure;
pub use read::{WebConfigRead, read_file};

/// TLS, authentication, headers and limits of the server. The default is plain HTTP for everybody.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// The server's side of TLS; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is offered, with TLS.
    pub http2: bool,
    /// Headers of every response, in place of the page's own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may come in, by name; everybody when it is empty.
    pub users: BTreeMap<String, PasswordHash>,
    /// Paths that need neither password nor client certificate.
    pub auth_excluded_paths: BTreeSet<String>,
    /// The limit of each client; `None` for no limit.
    pub rate_limit: Option<RateLimit>,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            tls: None,
            http2: true,
            headers: Vec::new(),
            users: BTreeMap::new(),
            auth_excluded_paths: BTreeSet::new(),
            rate_limit: None,
        }
    }
}

/// The server's side of TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate, key, versions, suites, and which clients are admitted.
    pub server: Arc<ServerConfig>,
    /// When the first certificate of the chain expires.
    pub expiry: Timestamp,
    /// When the certificates, and those of clients' authorities, are valid.
    dates: Vec<tls::Dates>,
    /// Whether a client without a certificate, which the handshake admits, may request
    /// `auth_excluded_paths` only.
    pub certificate_for_pages: bool,
}

/// A password as bcrypt made it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash as text, as `bcrypt` reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Does not show the hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// The limit of one client: `burst` requests at once, and one more every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time in which one more request is allowed; never zero.
    pub interval: Duration,
    /// How many requests are allowed at once.
    pub burst: NonZeroU32,
}

impl WebConfig {
    /// Whether every certificate in it, read from the file named `file`, is valid at `now`. A
    /// server starts all the same: some clients do not verify it.
    ///
    /// # Errors
    /// Those that have expired or are not valid yet, each with its line and key.
    pub fn is_valid_at(&self, file: &str, now: Timestamp) -> Result<(), ConfigErrors> {
        let dates = self.tls.iter().flat_map(|tls| &tls.dates);
        let mistakes: Vec<_> = dates.filter_map(|dates| dates.mistake_at(now)).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigErrors::new(file, mistakes)) }
    }

    /// Reads a web configuration. Also returns warnings. `read_file` reads each certificate,
    /// key and authority that it names.
    ///
    /// # Errors
    /// Every mistake there is, each with its line and key.
    pub fn parse(
        file: ConfigText<'_>,
        mut read_file: impl FnMut(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(Self, Vec<String>), ConfigErrors> {
        let mut findings = Findings::default();
        let Some(tree) = yaml::read(file.text, &mut findings) else {
            return Err(ConfigErrors::new(file.name, findings.mistakes));
        };
        let folder = Path::new(file.name).parent().unwrap_or(Path::new(""));
        let document = ConfigDocument {
            schema: &settings::WEB,
            folder,
            overrides: &Overrides::default(),
            findings: RefCell::new(findings),
        };
        let top = Section::top(&document, Some(&tree));
        let http = top.section("http_server_config");
        let http2 = http.parsed("http2", go::boolean);
        let auth_excluded_paths = http::excluded_paths(&top);
        let config = Self {
            tls: tls::read(
                &top.section("tls_server_config"),
                http2,
                !auth_excluded_paths.is_empty(),
                &mut read_file,
            ),
            http2,
            headers: http::headers(&http),
            users: http::users(&top),
            auth_excluded_paths,
            rate_limit: http::rate_limit(&top.section("rate_limit")),
        };
        if config.tls.is_none() && !config.users.is_empty() {
            top.warn(
                "basic_auth_users",
                "passwords are sent unencrypted without `tls_server_config`",
            );
        }
        document.findings.into_inner().outcome(file.name, Some(config))
    }
}
