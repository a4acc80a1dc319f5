//! The flags of the server, as Prometheus has them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use url::Url;

use super::listen::Listen;
use super::values::{count, plain_path, telemetry_path};

/// The server of `serve`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Web")]
pub struct WebArgs {
    /// Address to listen on: :PORT for all interfaces, unix:PATH for a Unix socket; repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10962")]
    pub listen_address: Vec<Listen>,

    /// Use systemd socket activation listeners instead of --web.listen-address
    #[arg(long = "web.systemd-socket")]
    pub systemd_socket: bool,

    /// Web configuration file (YAML) that can enable TLS or authentication; reloaded when it changes
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Where the pages are behind a reverse proxy.
    #[command(flatten)]
    pub proxy: ProxyArgs,

    /// Path under which to expose metrics, below --web.route-prefix
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,

    /// Maximum number of concurrent scrapes; further ones get 503
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40, value_parser = count(10_000))]
    pub max_requests: u32,

    /// Enable reloading via POST /-/reload (SIGHUP always works)
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
}

/// Flags for a reverse proxy.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Web")]
pub struct ProxyArgs {
    /// URL under which the exporter is externally reachable, for example via a reverse proxy; its
    /// path is the default of --web.route-prefix
    #[arg(long = "web.external-url", value_name = "URL")]
    pub external_url: Option<ExternalUrl>,

    /// Prefix for the paths of all pages; defaults to the path of --web.external-url
    #[arg(long = "web.route-prefix", value_name = "PATH", value_parser = route_prefix)]
    pub route_prefix: Option<String>,
}

/// A URL, or the path of one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Scheme, host and port, where they are given.
    origin: Option<String>,
    /// Without a slash at its end; empty, or begins with one.
    path: String,
}

impl ProxyArgs {
    /// The prefix of every page's path: empty, or a path without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let external = || self.external_url.as_ref().map(|url| url.path.as_str());
        self.route_prefix.as_deref().or_else(external).unwrap_or_default()
    }

    /// The address of the pages for users, without a slash at its end, of an exporter that listens
    /// on `bound`.
    #[must_use]
    pub fn address(&self, bound: &impl fmt::Display) -> String {
        match &self.external_url {
            Some(ExternalUrl { origin: Some(origin), path }) => format!("{origin}{path}"),
            Some(_) | None => format!("http://{bound}{}", self.prefix()),
        }
    }
}

impl FromStr for ExternalUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
            return Err("must not begin or end with quotes".to_owned());
        }
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self { origin: None, path: trimmed(text)? });
        }
        let wrong = || "must be like https://example.org/cxone, or a path alone".to_owned();
        let url = Url::parse(text).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or a password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not contain a query or a fragment".to_owned());
        }
        let origin = url.origin().ascii_serialization();
        Ok(Self { origin: Some(origin), path: trimmed(url.path())? })
    }
}

fn trimmed(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    plain_path(path).map(|()| path.to_owned())
}

/// A prefix: with one slash at its beginning and none at its end, as Prometheus makes it; empty for
/// `/`.
fn route_prefix(text: &str) -> Result<String, String> {
    let path = text.trim_matches('/');
    plain_path(path)?;
    Ok(if path.is_empty() { String::new() } else { format!("/{path}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_that_of_prometheus() {
        for (external, given, prefix, address) in [
            (None, None, "", "http://[::]:1"),
            (None, Some("/"), "", "http://[::]:1"),
            (None, Some("cxone/"), "/cxone", "http://[::]:1/cxone"),
            (Some("https://example.org"), None, "", "https://example.org"),
            (Some("https://example.org/"), None, "", "https://example.org"),
            (Some("https://example.org:8443/a/b/"), None, "/a/b", "https://example.org:8443/a/b"),
            (Some("https://example.org/a"), Some("/"), "", "https://example.org/a"),
            (Some("https://example.org/a"), Some("/b"), "/b", "https://example.org/a"),
            (Some("/a/"), None, "/a", "http://[::]:1/a"),
            (Some(""), None, "", "http://[::]:1"),
        ] {
            let args = ProxyArgs {
                external_url: external.map(|text| text.parse().unwrap()),
                route_prefix: given.map(|text| route_prefix(text).unwrap()),
            };
            assert_eq!((args.prefix(), &*args.address(&"[::]:1")), (prefix, address));
        }
    }

    #[test]
    fn invalid_external_urls_and_prefixes_are_rejected() {
        for text in [
            "example.org/a",
            "ftp://example.org",
            "https://",
            "\"https://example.org\"",
            "https://me:pass@example.org",
            "https://example.org/?a",
            "https://example.org/#a",
            "https://example.org/a%20b",
            "/a//b",
            "/a/../b",
            "/a?b",
        ] {
            let message = text.parse::<ExternalUrl>().expect_err(text);
            assert!(!message.contains("pass@"), "{message}");
        }
        for text in ["/a b", "/a?b", "/a//b", "/..", "/é"] {
            assert!(route_prefix(text).is_err(), "{text}");
        }
    }
}
