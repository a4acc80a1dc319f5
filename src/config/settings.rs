//! The settings: every key of the configuration files with all that is known of it. Parsing, flags,
//! environment variables, hints for unknown keys and the tables in the documentation follow from
//! these tables.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration::show_duration;
use super::mistake::quote;

const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

const SECOND: Duration = millis(1000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest of every duration that has no narrower bound: beyond it is a slip, and sums stay far
/// from the end of all types.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// The bounds of `states.limits`.
pub(super) const LIMITS: RangeInclusive<Duration> = SECOND..=MONTH;
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 86_400);

/// Longer keys are not compared with known ones.
const MAX_COMPARED: usize = 40;

/// A key of a configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its path. `[]` stands for each item of a list.
    pub key: &'static str,
    /// What its value is.
    pub kind: SettingKind,
    /// The default as it would be written; empty without one.
    pub default: &'static str,
    /// What it is for: one sentence.
    pub help: &'static str,
    /// The name of its flag, without the dashes, and of the flag's value.
    pub flag: Option<(&'static str, &'static str)>,
    /// The only dialect that uses it; `None` for both.
    pub dialect: Option<DialectName>,
}

/// What a value is, and its bounds.
#[derive(Clone, Copy, Debug)]
pub enum SettingKind {
    /// `15m`, from the least to the most.
    Duration(Duration, Duration),
    /// A whole number, from the least to the most.
    Number(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Another single value: its type and bounds as the documentation names them.
    Text(&'static str, &'static str),
    /// A list of texts: its type and bounds.
    List(&'static str, &'static str),
    /// A map with keys of its own: its type and bounds.
    Map(&'static str, &'static str),
}

/// The name of one of CXone's APIs in `api.dialect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectName {
    /// The Reporting API.
    Reports,
    /// The platform's documented calls.
    Platform,
}

impl DialectName {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Platform => "platform",
        }
    }
}

const fn setting(
    key: &'static str,
    kind: SettingKind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, kind, default, help, flag: None, dialect: None }
}

impl Setting {
    const fn flag(self, name: &'static str, value_name: &'static str) -> Self {
        Self { flag: Some((name, value_name)), ..self }
    }

    const fn only(self, dialect: DialectName) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    /// The variables that give it, the long name first, if it has a flag.
    #[must_use]
    pub fn variables(&self) -> Option<[String; 2]> {
        self.flag.map(|_| variables_of(self.key))
    }

    /// The variables that give the secret itself, if its file is named by this setting.
    #[must_use]
    pub fn secret_variables(&self) -> Option<[String; 2]> {
        self.secret_key().map(variables_of)
    }

    /// The key of the secret itself, if this setting names its file. No file may contain it.
    pub(super) fn secret_key(&self) -> Option<&'static str> {
        self.flag.and_then(|_| self.key.strip_suffix("_file")).filter(|key| key.ends_with("secret"))
    }

    /// Type and bounds as the documentation has them.
    #[must_use]
    pub fn type_and_bounds(&self) -> (&'static str, String) {
        match self.kind {
            SettingKind::Duration(min, max) => {
                ("duration", format!("{} to {}", show_duration(min), show_duration(max)))
            }
            SettingKind::Number(min, max) => ("number", format!("{min} to {max}")),
            SettingKind::Word(words) => {
                let name = if words.contains(&"true") { "boolean" } else { "word" };
                (name, words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(", "))
            }
            SettingKind::Text(name, bounds)
            | SettingKind::List(name, bounds)
            | SettingKind::Map(name, bounds) => (name, bounds.to_owned()),
        }
    }
}

/// `CXONE_API_TENANT` and `CXONE_TENANT` for `api.tenant`.
pub(super) fn variables_of(key: &str) -> [String; 2] {
    let short = key.strip_prefix("api.").unwrap_or(key);
    [key, short].map(|name| format!("CXONE_{}", name.replace('.', "_").to_ascii_uppercase()))
}

use DialectName::{Platform, Reports};
use SettingKind::{Duration as Span, List, Map, Number, Text, Word};

const ID: SettingKind = Text("text", "1 to 256 bytes");
const URL: SettingKind = Text("URL", "http or https; no user name, `?` or `#`");
const SECRET_FILE: SettingKind = Text("path", "one line of at most 8192 bytes");
const BOOLEAN: SettingKind = Word(&["true", "false"]);

/// The settings of the configuration file, in the order of the documentation. What is not here is an
/// unknown key.
#[rustfmt::skip] // A row is a line or two: one would not see the table otherwise.
pub static SETTINGS: [Setting; 35] = [
    setting("api.dialect", Word(&["reports", "platform"]), "reports",
        "Which CXone API to use: the Reporting API, or the documented platform API").flag("api.dialect", "DIALECT"),
    setting("api.tenant", Text("text", "1 to 63 letters, digits or `-`"), "",
        "Name of the tenant: the API is at https://TENANT.api.cxone.com").flag("api.tenant", "TENANT").only(Reports),
    setting("api.base_url", URL, "",
        "Address of the API, instead of the one that follows from the tenant or is discovered").flag("api.base-url", "URL"),
    setting("api.ca_file", Text("path", "at most 1 MiB of certificates in PEM"), "",
        "Certificate authorities to trust in addition to those of the system, in PEM").flag("api.ca-file", "FILE"),
    setting("api.client_id", ID, "",
        "ID of the OAuth client").flag("api.client-id", "ID"),
    setting("api.client_secret_file", SECRET_FILE, "",
        "File that contains the secret of the OAuth client").flag("api.client-secret-file", "FILE"),
    setting("api.rows", Word(&["intervals", "events", "buckets"]), "intervals",
        "What a row of a report is: a visit that touches the window, a visit that begins in it, or a count for a group and window").only(Reports),
    setting("api.issuer", URL, "https://cxone.niceincontact.com",
        "Where tokens are requested and the address of the API is discovered").flag("api.issuer", "URL").only(Platform),
    setting("api.version", Number(1, 999), "30",
        "Version in the paths of the calls").only(Platform),
    setting("api.area", Text("text", "1 to 63 letters or digits"), "",
        "Area of the tenant, such as na1, where there is no OAuth client").flag("api.area", "AREA").only(Platform),
    setting("api.access_key_id", ID, "",
        "ID of the access key").flag("api.access-key-id", "ID").only(Platform),
    setting("api.access_key_secret_file", SECRET_FILE, "",
        "File that contains the secret of the access key").flag("api.access-key-secret-file", "FILE").only(Platform),
    setting("targets[].user", ID, "",
        "Internal ID of an agent, which begins with `user-`"),
    setting("targets[].filter.type", ID, "",
        "Type of the report's filter, such as `team`, instead of `user`"),
    setting("targets[].filter.id", ID, "",
        "ID for that filter"),
    setting("targets[].name", ID, "",
        "Value of the label `target`; without it `TYPE:ID`"),
    setting("poll.interval", Span(SECOND, MONTH), "60s",
        "How often each target is polled, quota permitting"),
    setting("poll.lookback", Span(MINUTE, MONTH), "24h",
        "The first window, the longest window, and the span of the window gauges; at most `poll.retention`"),
    setting("poll.overlap", Span(SECOND, MONTH), "15m",
        "How much of each window is requested again, for late and revised rows; shorter than `poll.lookback`"),
    setting("poll.settle_delay", Span(Duration::ZERO, MONTH), "0s",
        "How far behind the present a window ends; with `platform` `5s`, and at least 3s"),
    setting("poll.retention", Span(MINUTE, TEN_YEARS), "30d",
        "How far back CXone keeps history"),
    setting("poll.live_interval", Span(SECOND, HOUR), "15s",
        "How often each live feed is polled, quota permitting").only(Platform),
    setting("jobs.poll_every", Span(millis(100), MINUTE), "2s",
        "How often the status of a report job is polled").only(Reports),
    setting("jobs.timeout", Span(millis(100), DAY), "60s",
        "When a report job, or with `platform` a window of which no page comes, is given up; at least `jobs.poll_every`"),
    setting("quota.report_jobs_per_minute", Number(1, 60_000), "10",
        "Maximum number of report jobs in any 60 seconds").only(Reports),
    setting("quota.reserve", Number(0, 60_000), "1",
        "How many of them `serve` leaves to `history` and `check`; less than `quota.report_jobs_per_minute`").only(Reports),
    setting("quota.requests_per_minute", Number(1, 60_000), "60",
        "Maximum number of requests in any 60 seconds, those for tokens included").only(Platform),
    setting("states.wrap_up", List("list of text", "1 to 256 bytes each"), "[Wrap-up, ACW, After Contact Work]",
        "State names that all become `Wrap-up`; a list replaces the default"),
    setting("states.limits", Map("map: state to duration", "1s to 30d each"), "{Wrap-up: 5m}",
        "How long an agent should at most be in a state; a map replaces the default"),
    setting("metrics.detail", Word(&["agent-skill", "agent", "aggregate"]), "agent-skill",
        "Series by agent, state and skill, by agent and state, or of no single agents"),
    setting("metrics.max_series", Number(1, 10_000_000), "200000",
        "Maximum number of series about the contact centre; agents above it are dropped whole"),
    setting("metrics.agent_info", BOOLEAN, "false",
        "Whether `cxone_agent_info` contains the names of agents, which are personal data"),
    setting("metrics.agent_ids", Word(&["raw", "hmac"]), "raw",
        "Value of the label `agent`: the user ID, or a keyed hash of it"),
    setting("metrics.hmac_key_file", Text("path", "at least 16 bytes"), "",
        "File that contains the key of the hashes; required with `hmac`"),
    setting("metrics.max_staleness", Span(SECOND, MONTH), "15m",
        "How long after its last successful poll a target is stale, or three planned cycles if longer"),
];

/// The settings of the web configuration.
#[rustfmt::skip] // As above.
pub static WEB_SETTINGS: [Setting; 20] = [
    setting("tls_server_config.cert_file", Text("path", ""), "",
        "Certificate with its chain, in PEM"),
    setting("tls_server_config.key_file", Text("path", ""), "",
        "Private key in PEM: RSA, ECDSA (P-256, P-384) or Ed25519, not encrypted"),
    setting("tls_server_config.cert", Text("text", ""), "",
        "The certificate itself; `cert_file` takes precedence"),
    setting("tls_server_config.key", Text("text", ""), "",
        "The private key itself; `key_file` takes precedence"),
    setting("tls_server_config.client_auth_type",
        Word(&["NoClientCert", "RequestClientCert", "RequireAnyClientCert", "RequireClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]), "NoClientCert",
        "Which certificate clients need"),
    setting("tls_server_config.client_ca_file", Text("path", ""), "",
        "Authorities that sign the certificates of clients, in PEM"),
    setting("tls_server_config.client_ca", Text("text", ""), "",
        "The authorities themselves; `client_ca_file` takes precedence"),
    setting("tls_server_config.client_allowed_sans", List("list of text", ""), "",
        "Names of which a client's certificate must have one: DNS, IP, e-mail or URI, exactly so"),
    setting("tls_server_config.min_version", Word(&["TLS10", "TLS11", "TLS12", "TLS13"]), "TLS12",
        "Minimum TLS version; `TLS10` and `TLS11` mean `TLS12`, with a warning"),
    setting("tls_server_config.max_version", Word(&["TLS10", "TLS11", "TLS12", "TLS13"]), "TLS13",
        "Maximum TLS version, at least `TLS12`"),
    setting("tls_server_config.cipher_suites", List("list of words", ""), "",
        "Cipher suites of TLS 1.2 by their names in Go, in order of preference; all by default"),
    setting("tls_server_config.prefer_server_cipher_suites", BOOLEAN, "true",
        "Whether the server's order of cipher suites counts, or the client's"),
    setting("tls_server_config.curve_preferences", List("list of words", ""), "",
        "`X25519`, `CurveP256`, `CurveP384`; `CurveP521` is skipped, with a warning; all by default"),
    setting("http_server_config.http2", BOOLEAN, "true",
        "Whether HTTP/2 is offered, with TLS only"),
    setting("http_server_config.headers", Map("map", ""), "",
        "Headers of every response, in place of the page's own"),
    setting("basic_auth_users", Map("map: user to hash", ""), "",
        "Users and their passwords, hashed with bcrypt; without any, everybody is admitted"),
    setting("rate_limit.interval", Text("duration", "at most 24h"), "0",
        "Time in which a client may make one more request; `0` for no limit"),
    setting("rate_limit.burst", Number(0, 1_000_000), "0",
        "Number of requests that a client may make at once; at least 1 with `interval`"),
    setting("auth_excluded_paths", List("list of paths", ""), "",
        "Paths that need neither password nor client certificate, exactly so"),
    setting("basic_auth_excluded_paths", List("list of paths", ""), "",
        "Another name for `auth_excluded_paths`"),
];

/// Keys that are wrong for a reason worth a hint.
const HINTS: [(&str, &str); 3] = [
    (
        "api.client_secret",
        "a secret must not be in the configuration: write it to a file of its own and name that \
         file in `client_secret_file`, or set CXONE_CLIENT_SECRET",
    ),
    (
        "api.access_key_secret",
        "a secret must not be in the configuration: write it to a file of its own and name that \
         file in `access_key_secret_file`, or set CXONE_ACCESS_KEY_SECRET",
    ),
    ("targets[].team", "unknown key; write `filter: {type: team, id: …}`"),
];

/// What a kind of file may contain.
pub(super) struct Schema {
    pub(super) settings: &'static [Setting],
    hints: &'static [(&'static str, &'static str)],
    /// Whether a key without a value means its default, as for Go's YAML reader; else it is a
    /// mistake.
    pub(super) empty_is_default: bool,
}

pub(super) static MAIN: Schema =
    Schema { settings: &SETTINGS, hints: &HINTS, empty_is_default: false };

pub(super) static WEB: Schema =
    Schema { settings: &WEB_SETTINGS, hints: &[], empty_is_default: true };

impl Schema {
    /// The setting of this key.
    pub(super) fn find(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The keys that may stand under `section` (`poll`, `targets[].filter`, empty for the top), in
    /// backticks with commas between them.
    fn known(&self, section: &str) -> Vec<&'static str> {
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let rest = self.settings.iter().filter_map(|setting| setting.key.strip_prefix(&*prefix));
        let mut names: Vec<&str> = rest.filter_map(|rest| rest.split(['.', '[']).next()).collect();
        names.dedup();
        names
    }

    /// The same as a text.
    pub(super) fn known_keys(&self, section: &str) -> String {
        self.known(section).into_iter().map(quote).collect::<Vec<_>>().join(", ")
    }

    /// The mistake of the key `name` under `section`, unless it is a known one.
    pub(super) fn refusal(&self, section: &str, name: &str) -> Option<String> {
        let known = self.known(section);
        if known.contains(&name) {
            return None;
        }
        let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        if let Some((_, hint)) = self.hints.iter().find(|(wrong, _)| *wrong == key) {
            return Some((*hint).to_owned());
        }
        let distance = |known: &&&str| strsim::damerau_levenshtein(&name.to_lowercase(), known);
        let near = || {
            let near = known.iter().min_by_key(distance)?;
            (distance(&near) <= (name.chars().count() / 3).max(1)).then_some(*near)
        };
        let elsewhere = || {
            self.settings.iter().map(|it| it.key).find(|key| key.rsplit('.').next() == Some(name))
        };
        let meant = if name.len() <= MAX_COMPARED { near().or_else(elsewhere) } else { None };
        Some(match meant {
            Some(meant) => format!("unknown key; did you mean {}?", quote(meant)),
            None => format!("unknown key; known keys are {}", self.known_keys(section)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_section_are_those_of_the_table() {
        assert_eq!(
            MAIN.known(""),
            ["api", "targets", "poll", "jobs", "quota", "states", "metrics"]
        );
        assert_eq!(MAIN.known("targets[]"), ["user", "filter", "name"]);
        assert_eq!(MAIN.known("targets[].filter"), ["type", "id"]);
        assert_eq!(
            MAIN.known("poll"),
            ["interval", "lookback", "overlap", "settle_delay", "retention", "live_interval"]
        );
    }

    #[test]
    fn a_flag_is_named_like_its_key() {
        for Setting { key, flag, .. } in SETTINGS {
            assert!(flag.is_none_or(|(flag, _)| flag == key.replace('_', "-")), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        let unknown = |section, name| MAIN.refusal(section, name).unwrap();
        assert_eq!(unknown("poll", "overlpa"), "unknown key; did you mean `overlap`?");
        assert_eq!(unknown("poll", "settleDelay"), "unknown key; did you mean `settle_delay`?");
        assert_eq!(unknown("", "interval"), "unknown key; did you mean `poll.interval`?");
        assert_eq!(
            unknown("quota", "xyzzy"),
            "unknown key; known keys are `report_jobs_per_minute`, `reserve`, `requests_per_minute`"
        );
        assert_eq!(MAIN.refusal("quota", "reserve"), None);
    }
}
