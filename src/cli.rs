//! The command line: the arguments of each command, and the exit codes. Whether a configuration is
//! valid is checked by [`crate::config`].

mod listen;
mod settings;
#[cfg(feature = "simulator")]
mod simulated;
mod store;
#[cfg(test)]
mod tests;
mod values;
mod web;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::base_url::BaseUrl;
use crate::config::without_secrets;
use crate::logging::{LogFormat, LogLevel};
pub use listen::{Listen, ListenAddress};
pub use settings::{ConfigArgs, TargetArgs};
#[cfg(feature = "simulator")]
pub use simulated::{DemoArgs, DemoDialect, SimulateArgs};
pub use store::{
    DatabaseArgs, DatabasePasswordArgs, StoreArgs, StoreCommand, StoreCopyArgs, StoreInitArgs,
    StoreStatusArgs,
};
use values::{span_of_history, user_id};
pub use web::{ExternalUrl, ProxyArgs, WebArgs};

/// Exit status of success.
pub const EXIT_OK: u8 = 0;
/// Exit status of a failure.
pub const EXIT_FAILURE: u8 = 1;
/// Exit status of an invalid command line.
pub const EXIT_USAGE: u8 = 64;
/// Exit status of an invalid configuration.
pub const EXIT_CONFIG: u8 = 78;

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cxone-exporter",
    bin_name = "cxone-exporter",
    about = "Prometheus exporter for the agent states of a NICE CXone contact centre",
    version,
    propagate_version = true,
    max_term_width = 120,
    after_help = EXAMPLES,
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How messages are logged.
    #[command(flatten)]
    pub log: LogArgs,
}

#[cfg(feature = "simulator")]
macro_rules! demo_example {
    () => {
        "  Try it, without configuration or credentials:
    cxone-exporter demo
"
    };
}

#[cfg(not(feature = "simulator"))]
macro_rules! demo_example {
    () => {
        ""
    };
}

const EXAMPLES: &str = concat!(
    "Examples:\n",
    demo_example!(),
    "  Check the configuration and the credentials:
    cxone-exporter check --config.file=cxone-exporter.yml --live
  Run the exporter:
    cxone-exporter serve --config.file=cxone-exporter.yml

Exit status: 0 success, 1 failure, 64 invalid command line, 78 invalid configuration."
);

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the exporter
    Serve(ServeArgs),
    /// Run the exporter with a simulated contact centre
    #[cfg(feature = "simulator")]
    Demo(DemoArgs),
    /// Fetch one agent's state history and print it
    History(HistoryArgs),
    /// Check the configuration; with --live also the credentials and a report job
    Check(CheckArgs),
    /// Run a simulated contact centre with CXone's APIs
    #[cfg(feature = "simulator")]
    Simulate(Box<SimulateArgs>),
    /// Erase an agent from the store; stop the exporter first
    Erase(EraseArgs),
    /// Set up, show and copy a store in a PostgreSQL database
    Store(StoreArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print a man page
    Man(ManArgs),
}

impl Command {
    /// Whether it runs until a signal ends it.
    #[must_use]
    pub const fn is_long_running(&self) -> bool {
        match self {
            Self::Serve(_) => true,
            #[cfg(feature = "simulator")]
            Self::Demo(_) | Self::Simulate(_) => true,
            Self::History(_)
            | Self::Check(_)
            | Self::Erase(_)
            | Self::Store(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// Logging to stderr.
#[derive(Clone, Copy, Debug, Args)]
pub struct LogArgs {
    /// Only log messages with this severity or above: debug, info, warn or error
    #[arg(id = "log.level", long = "log.level", value_enum, ignore_case = true, default_value_t = LogLevel::Info, global = true, value_name = "LEVEL", help_heading = "Logging", hide_possible_values = true)]
    pub level: LogLevel,

    /// Output format of log messages: logfmt or json
    #[arg(id = "log.format", long = "log.format", value_enum, ignore_case = true, default_value_t = LogFormat::Logfmt, global = true, value_name = "FORMAT", help_heading = "Logging", hide_possible_values = true)]
    pub format: LogFormat,
}

/// `serve`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cxone-exporter serve --config.file=cxone-exporter.yml
  export CXONE_CLIENT_SECRET=…
  cxone-exporter serve --api.tenant=acme --api.client-id=my-client --target.user=user-abc-123

It serves /metrics, a status page at /, /-/healthy and /-/ready.")]
pub struct ServeArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// The agents to poll.
    #[command(flatten)]
    pub targets: TargetArgs,

    /// Directory for the store; created if missing
    #[arg(
        long = "storage.path",
        value_name = "DIR",
        default_value = "data/",
        help_heading = "Storage"
    )]
    pub storage_path: PathBuf,

    /// Take over the store of another address or client of the same tenant, which is rejected
    /// otherwise
    #[arg(long = "storage.adopt", help_heading = "Storage")]
    pub storage_adopt: bool,

    /// The server.
    #[command(flatten)]
    pub web: WebArgs,
}

/// `history`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Records go to stdout, progress and messages to stderr.

Examples:
  cxone-exporter history --config.file=cxone-exporter.yml --user user-abc-123 --last 7d
  cxone-exporter history --config.file=cxone-exporter.yml --user user-abc-123 --format csv

With `cxone-exporter simulate`, which prints some user IDs, and without a configuration file:
  export CXONE_BASE_URL=http://127.0.0.1:8080
  export CXONE_CLIENT_ID=simulated-client CXONE_CLIENT_SECRET=simulated-secret
  cxone-exporter history --user user-001")]
pub struct HistoryArgs {
    /// Internal ID of the agent, which begins with user-; an e-mail address finds nothing
    #[arg(long, value_name = "ID", value_parser = user_id)]
    pub user: String,

    /// How far back to fetch
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = span_of_history)]
    pub last: Duration,

    /// Output format: table, json or csv
    #[arg(long, value_enum, ignore_case = true, value_name = "FORMAT", default_value_t = HistoryFormat::Table, hide_possible_values = true)]
    pub format: HistoryFormat,

    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// How `history` writes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
    /// Aligned columns for a person.
    Table,
    /// One JSON array.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// `check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cxone-exporter check --config.file=cxone-exporter.yml
  cxone-exporter check --config.file=cxone-exporter.yml --live
  cxone-exporter check --web.config.file=web-config.yml

Health check of the exporter on this machine, which reads no configuration:
  cxone-exporter check --healthy")]
pub struct CheckArgs {
    /// Also check CXone: a token, its scope, and one report job, which counts against the quota
    #[arg(long)]
    pub live: bool,

    /// Request /-/healthy of a running exporter instead, by default at http://127.0.0.1:10962
    /// (https:// with TLS)
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "http://127.0.0.1:10962",
        conflicts_with_all = ["live", "web_config_file", "file", "settings", "users"],
    )]
    pub healthy: Option<BaseUrl>,

    /// Also check this web configuration file, or only it if there is no other configuration
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,

    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// The agents to poll.
    #[command(flatten)]
    pub targets: TargetArgs,
}

/// `erase`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Aggregate counters do not change. First remove the agent from the targets: later reports of it are counted as those of a new agent.

Example:
  cxone-exporter erase --agent user-abc-123 --storage.path=/var/lib/cxone-exporter"
)]
pub struct EraseArgs {
    /// ID of the agent: its internal one, or the one in the metrics
    #[arg(long, value_name = "ID", value_parser = user_id)]
    pub agent: String,

    /// Directory of the store
    #[arg(
        long = "storage.path",
        value_name = "DIR",
        default_value = "data/",
        help_heading = "Storage"
    )]
    pub storage_path: PathBuf,

    /// Configuration file; required if IDs are hashed
    #[arg(long = "config.file", value_name = "FILE", help_heading = "Configuration")]
    pub config_file: Option<PathBuf>,
}

/// `completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:
  cxone-exporter completions bash > /etc/bash_completion.d/cxone-exporter")]
pub struct CompletionsArgs {
    /// Shell: bash, elvish, fish, powershell or zsh
    #[arg(value_enum, ignore_case = true, value_name = "SHELL", hide_possible_values = true)]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cxone-exporter man | man -l -
  cxone-exporter man serve | man -l -")]
pub struct ManArgs {
    /// Command to describe; by default the program
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// The process exits at once with this text and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// [`EXIT_OK`] for help and version, whose text goes to stdout; else [`EXIT_USAGE`], whose text
    /// goes to stderr.
    pub code: u8,
    /// The text, with its last newline.
    pub text: String,
}

/// Parses the command line; `args` begins with the program's name.
///
/// # Errors
/// A [`Stop`] for `--help`, `--version` and every invalid command line.
pub fn parse_args<I, T>(args: I) -> Result<Cli, Stop>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    Cli::try_parse_from(args).map_err(|error| {
        if error.kind() == ErrorKind::DisplayVersion {
            return Stop { code: EXIT_OK, text: version_text() };
        }
        let text = error.render().to_string();
        if error.kind() == ErrorKind::DisplayHelp {
            return Stop { code: EXIT_OK, text };
        }
        // The message repeats invalid values: a password in an address must not be among them.
        Stop { code: EXIT_USAGE, text: without_secrets(&text) }
    })
}

/// The output of `--version`, in Prometheus's form.
#[must_use]
pub fn version_text() -> String {
    use crate::build_info::{ARCH, BRANCH, OS, REVISION, RUST_VERSION, VERSION};
    format!(
        "cxone-exporter, version {VERSION} (branch: {BRANCH}, revision: {REVISION})\n  \
         rust version:     {RUST_VERSION}\n  platform:         {OS}/{ARCH}\n"
    )
}
