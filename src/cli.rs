//! The command line: what each command takes, and the exit codes. What is parsed here is well-formed; whether a configuration makes
//! sense is [`crate::config`]'s matter.

mod listen;
mod maintenance;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::config::{Config, ConfigErrors, Flags, TargetsNeeded, load, parse_duration};
use crate::cxone::BaseUrl;
use crate::simulator::{Faults, Rows};
pub use listen::ListenAddress;
pub use maintenance::{CompletionsArgs, EraseArgs, ManArgs};
use values::{at_least_a_second, count, plain_http, telemetry_path, user_id};

/// Exit status of success.
pub const EXIT_OK: u8 = 0;
/// Exit status of a failure.
pub const EXIT_FAILURE: u8 = 1;
/// Exit status of a wrong command line.
pub const EXIT_USAGE: u8 = 64;
/// Exit status of a wrong configuration.
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

const EXAMPLES: &str = "Examples:
  Try it, without configuration and credentials:
    cxone-exporter demo
  Is the configuration right, and does CXone agree?
    cxone-exporter check --config.file=cxone-exporter.yml --live
  Run the exporter:
    cxone-exporter serve --config.file=cxone-exporter.yml

Exit status: 0 success, 1 failure, 64 wrong command line, 78 wrong configuration.";

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the exporter
    Serve(ServeArgs),
    /// Run a simulated contact centre and an exporter of it, to try
    Demo(DemoArgs),
    /// Fetch one agent's state history and print it
    History(HistoryArgs),
    /// Check the configuration; with --live also the credentials and a report job
    Check(CheckArgs),
    /// Run a simulated contact centre with CXone's Reporting API
    Simulate(SimulateArgs),
    /// Forget an agent in the store; the exporter must be stopped
    Erase(EraseArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print the manual
    Man(ManArgs),
}

/// How messages are logged, on stderr.
#[derive(Clone, Copy, Debug, Args)]
pub struct LogArgs {
    /// Only messages of at least this severity are logged: debug, info, warn or error
    #[arg(id = "log.level", long = "log.level", value_enum, default_value_t = LogLevel::Info, global = true, value_name = "LEVEL", help_heading = "Logging", hide_possible_values = true)]
    pub level: LogLevel,

    /// How a message is written: logfmt or json
    #[arg(id = "log.format", long = "log.format", value_enum, default_value_t = LogFormat::Logfmt, global = true, value_name = "FORMAT", help_heading = "Logging", hide_possible_values = true)]
    pub format: LogFormat,
}

/// The severity of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What happens in normal work.
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The configuration: a file, flags, or both.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// The configuration file (YAML); without one, the flags below or their CXONE_… environment variables are enough
    #[arg(long = "config.file", value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The tenant's name: the API is at TENANT.api.cxone.com [env: CXONE_TENANT]
    #[arg(long = "api.tenant", value_name = "TENANT")]
    pub tenant: Option<String>,

    /// The API's address, instead of the one made from the tenant [env: CXONE_BASE_URL]
    #[arg(long = "api.base-url", value_name = "URL")]
    pub base_url: Option<String>,

    /// The OAuth client's id [env: CXONE_CLIENT_ID]
    #[arg(long = "api.client-id", value_name = "ID")]
    pub client_id: Option<String>,

    /// The file that holds the OAuth client's secret [env: CXONE_CLIENT_SECRET_FILE, or the secret itself in CXONE_CLIENT_SECRET]
    #[arg(long = "api.client-secret-file", value_name = "FILE")]
    pub client_secret_file: Option<String>,

    /// Which of CXone's APIs is spoken: reports or platform [env: CXONE_DIALECT]
    #[arg(long = "api.dialect", value_name = "DIALECT")]
    pub dialect: Option<String>,

    /// Platform: where tokens come from [env: CXONE_ISSUER]
    #[arg(long = "api.issuer", value_name = "URL")]
    pub issuer: Option<String>,

    /// Platform, without an OAuth client: the tenant's area, such as na1 [env: CXONE_AREA]
    #[arg(long = "api.area", value_name = "AREA")]
    pub area: Option<String>,

    /// Platform: the access key's id [env: CXONE_ACCESS_KEY_ID]
    #[arg(long = "api.access-key-id", value_name = "ID")]
    pub access_key_id: Option<String>,

    /// Platform: the file that holds the access key's secret [env: CXONE_ACCESS_KEY_SECRET_FILE, or the secret itself in
    /// CXONE_ACCESS_KEY_SECRET]
    #[arg(long = "api.access-key-secret-file", value_name = "FILE")]
    pub access_key_secret_file: Option<String>,
}

/// What is asked for, when not by the configuration file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct TargetArgs {
    /// An agent to ask for, instead of the file's targets; repeatable [env: CXONE_TARGET_USER, with commas between several]
    #[arg(long = "target.user", value_name = "ID")]
    pub users: Vec<String>,
}

/// `serve`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cxone-exporter serve --config.file=cxone-exporter.yml
  export CXONE_CLIENT_SECRET=…
  cxone-exporter serve --api.tenant=acme --api.client-id=my-client --target.user=user-abc-123

It serves /metrics, a status page at /, /-/healthy and /-/ready.")]
pub struct ServeArgs {
    /// Where the API is and with which credentials.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// What is asked for.
    #[command(flatten)]
    pub targets: TargetArgs,

    /// The folder where the counts are kept, made if it is not there
    #[arg(long = "storage.path", value_name = "FOLDER", default_value = "data/", help_heading = "Storage")]
    pub storage_path: PathBuf,

    /// The server.
    #[command(flatten)]
    pub web: WebArgs,
}

/// The server of `serve`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Web")]
pub struct WebArgs {
    /// An address to listen on, `:PORT` for every interface; repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":10962")]
    pub listen_address: Vec<ListenAddress>,

    /// The path that the metrics are served at
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,

    /// How many scrapes are answered at once; more get 503
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40, value_parser = count(10_000))]
    pub max_requests: u32,
}

/// `demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example, the second line in another terminal:
  cxone-exporter demo
  curl -s http://127.0.0.1:10962/metrics | grep ^cxone_agents")]
pub struct DemoArgs {
    /// The address that the exporter listens on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10962")]
    pub listen_address: ListenAddress,

    /// The address that the simulated contact centre listens on
    #[arg(long = "simulate.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub simulate_listen_address: ListenAddress,

    /// How many agents the simulated contact centre has
    #[arg(long = "demo.agents", value_name = "N", default_value_t = 60, value_parser = count(10_000))]
    pub agents: u32,
}

/// `history`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Records go to stdout, progress and messages to stderr.

Examples:
  cxone-exporter history --config.file=cxone-exporter.yml --user user-abc-123 --last 7d
  cxone-exporter history --config.file=cxone-exporter.yml --user user-abc-123 --format csv

On `cxone-exporter simulate`, without a configuration file (it prints user ids that there are):
  export CXONE_BASE_URL=http://127.0.0.1:8080
  export CXONE_CLIENT_ID=simulated-client CXONE_CLIENT_SECRET=simulated-secret
  cxone-exporter history --user user-001")]
pub struct HistoryArgs {
    /// The agent: the internal id, which begins with `user-`; an e-mail address finds nothing
    #[arg(long, value_name = "ID", value_parser = user_id)]
    pub user: String,

    /// How far back to ask
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = at_least_a_second)]
    pub last: Duration,

    /// How the records are written: table, json or csv
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = HistoryFormat::Table, hide_possible_values = true)]
    pub format: HistoryFormat,

    /// Where the API is and with which credentials.
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

Is the exporter on this machine alive? (What a container's health check asks; no configuration is read.)
  cxone-exporter check --healthy")]
pub struct CheckArgs {
    /// Also ask CXone: a token, its scope, and one report job (which counts against the quota)
    #[arg(long)]
    pub live: bool,

    /// Ask a running exporter's /-/healthy instead; without URL at http://127.0.0.1:10962
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "http://127.0.0.1:10962",
        value_parser = plain_http,
        conflicts_with_all = ["live", "file", "tenant", "base_url", "client_id", "client_secret_file", "dialect", "issuer", "area",
            "access_key_id", "access_key_secret_file", "users"],
    )]
    pub healthy: Option<BaseUrl>,

    /// Where the API is and with which credentials.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// What is asked for.
    #[command(flatten)]
    pub targets: TargetArgs,
}

/// `simulate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "It prints its address, client id, client secret and a few user ids when it starts.

Examples:
  cxone-exporter simulate
  cxone-exporter simulate --agents 200 --rows events --token-life 20s
  cxone-exporter simulate --faults some,throttle=0.2,late-by=2m")]
pub struct SimulateArgs {
    /// The address to listen on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen_address: ListenAddress,

    /// Which agents there are and what they do when: the same number gives the same days on every run
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How many agents there are
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = count(100_000))]
    pub agents: u32,

    /// How many times faster than real agents these change state; shifts keep their length
    #[arg(long, value_name = "N", default_value = "1")]
    pub pace: NonZeroU32,

    /// What the rows of a report are: intervals, cut-intervals, events, events-without-end or buckets
    #[arg(long, value_name = "ROWS", default_value_t = Rows::WholeIntervals)]
    pub rows: Rows,

    /// What goes wrong on purpose: none, some, many, or NAME=PROBABILITY, with commas between several; a wrong name lists all names
    #[arg(long, value_name = "FAULTS", default_value = "none")]
    pub faults: Faults,

    /// How long a token lives
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = at_least_a_second)]
    pub token_life: Duration,

    /// How long a report job takes from submit to data
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub job_time: Duration,

    /// How many report jobs a minute it allows before it answers 429
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count(60_000))]
    pub quota: u32,

    /// The client id that it accepts
    #[arg(long, value_name = "ID", default_value = "simulated-client")]
    pub client_id: String,

    /// The client secret that it accepts; it guards nothing
    #[arg(long, value_name = "SECRET", default_value = "simulated-secret")]
    pub client_secret: SecretString,
}

/// The process ends here, without doing anything: with this text and exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// [`EXIT_OK`] for help and version, whose text goes to stdout; else [`EXIT_USAGE`], whose text goes to stderr.
    pub code: u8,
    /// The text, with its last newline.
    pub text: String,
}

/// Parses the command line; `args` begins with the program's name.
///
/// # Errors
/// A [`Stop`] for `--help`, `--version` and everything that is no right command line.
pub fn parse_args<I, T>(args: I) -> Result<Cli, Stop>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    Cli::try_parse_from(args).map_err(|error| {
        if error.kind() == ErrorKind::DisplayVersion {
            return Stop { code: EXIT_OK, text: version_text() };
        }
        let code = if error.kind() == ErrorKind::DisplayHelp { EXIT_OK } else { EXIT_USAGE };
        Stop { code, text: error.render().to_string() }
    })
}

/// What `--version` prints, in Prometheus's form.
#[must_use]
pub fn version_text() -> String {
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    format!("cxone-exporter, version {}\n  platform: {platform}\n", env!("CARGO_PKG_VERSION"))
}

impl ConfigArgs {
    /// Reads the configuration that these flags, their file and the environment describe; also returns warnings.
    ///
    /// # Errors
    /// Every mistake in it; the process then ends with [`EXIT_CONFIG`].
    pub fn load(&self, targets: &TargetArgs, needed: TargetsNeeded) -> Result<(Config, Vec<String>), ConfigErrors> {
        let flags = Flags {
            tenant: self.tenant.clone(),
            base_url: self.base_url.clone(),
            client_id: self.client_id.clone(),
            client_secret_file: self.client_secret_file.clone(),
            dialect: self.dialect.clone(),
            issuer: self.issuer.clone(),
            area: self.area.clone(),
            access_key_id: self.access_key_id.clone(),
            access_key_secret_file: self.access_key_secret_file.clone(),
            users: targets.users.clone(),
        };
        load(self.file.as_deref(), &flags, needed)
    }
}
