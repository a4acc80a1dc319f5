//! The flags of the server.

use std::path::PathBuf;

use clap::Args;

use super::ProxyArgs;
use super::listen::Listen;
use super::values::{count, telemetry_path};

/// The server of `serve`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Web")]
pub struct WebArgs {
    /// An address to listen on, `:PORT` for every interface, `unix:PATH` for a Unix socket;
    /// repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10962")]
    pub listen_address: Vec<Listen>,

    /// Listen on the sockets that systemd hands over, instead of --web.listen-address
    #[arg(long = "web.systemd-socket")]
    pub systemd_socket: bool,

    /// The web configuration file (YAML) for TLS, passwords and more, as Prometheus's exporters
    /// have it; read again when it changes
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Where the pages are behind a reverse proxy.
    #[command(flatten)]
    pub proxy: ProxyArgs,

    /// The path that the metrics are served at, below --web.route-prefix
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,

    /// How many scrapes are answered at once; more get 503
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40, value_parser = count(10_000))]
    pub max_requests: u32,

    /// Have the configuration read again by POST /-/reload, too; SIGHUP does it in any case
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
}
