//! The arguments of `demo` and `simulate`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

use super::values::{at_least_a_second, count};
use super::{ListenAddress, ProxyArgs};
use crate::config::parse_duration;
use cxone_simulator::{Faults, HistoryRows, ReportRows};

/// `demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example, the second line in another terminal:
  cxone-exporter demo
  curl -s http://127.0.0.1:10962/metrics | grep ^cxone_agents")]
pub struct DemoArgs {
    /// Address that the exporter listens on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10962")]
    pub listen_address: ListenAddress,

    /// Where the exporter's pages are behind a reverse proxy.
    #[command(flatten)]
    pub proxy: ProxyArgs,

    /// Address that the simulated contact centre listens on
    #[arg(
        long = "simulate.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub simulate_listen_address: ListenAddress,

    /// CXone API to use: reports or platform
    #[arg(long, value_enum, ignore_case = true, value_name = "DIALECT", default_value_t = DemoDialect::Reports, hide_possible_values = true)]
    pub dialect: DemoDialect,

    /// Number of simulated agents
    #[arg(long = "demo.agents", value_name = "N", default_value_t = 60, value_parser = count(10_000))]
    pub agents: u32,
}

/// The API of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoDialect {
    /// The Reporting API.
    Reports,
    /// The platform's documented calls.
    Platform,
}

/// `simulate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Prints its address, credentials and a few user IDs when it starts.

Examples:
  cxone-exporter simulate
  cxone-exporter simulate --agents 200 --rows events --token-life 20s
  cxone-exporter simulate --faults some,throttle=0.2,late-by=2m
  cxone-exporter simulate --history-rows starting --faults odd-keys=0.5,open-untold=1")]
pub struct SimulateArgs {
    /// Address to listen on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen_address: ListenAddress,

    /// Seed of the agents and what they do: the same seed gives the same days on every run
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Number of agents
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = count(100_000))]
    pub agents: u32,

    /// Factor by which agents change state faster than real ones; shifts keep their length
    #[arg(long, value_name = "N", default_value = "1")]
    pub pace: NonZeroU32,

    /// Rows of a report: intervals, cut-intervals, events, events-without-end or buckets
    #[arg(long, value_name = "ROWS", default_value_t = ReportRows::WholeIntervals)]
    pub rows: ReportRows,

    /// Faults to inject: none, some, many, or NAME=PROBABILITY with commas between several; an
    /// unknown name lists all names
    #[arg(long, value_name = "FAULTS", default_value = "none")]
    pub faults: Faults,

    /// Lifetime of a token
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = at_least_a_second)]
    pub token_life: Duration,

    /// Time that a report job takes from submit to data
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub job_time: Duration,

    /// Maximum number of report jobs per minute; further ones get 429
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count(60_000))]
    pub quota: u32,

    /// Rows of the platform API's history of a span of time: touching or starting
    #[arg(long, value_name = "ROWS", default_value_t = HistoryRows::Touching)]
    pub history_rows: HistoryRows,

    /// Maximum number of platform API calls per minute; further ones get 429; unlimited by default
    #[arg(long, value_name = "N")]
    pub calls: Option<NonZeroU32>,

    /// OAuth client ID to accept
    #[arg(long, value_name = "ID", default_value = "simulated-client")]
    pub client_id: String,

    /// OAuth client secret to accept; it protects nothing
    #[arg(long, value_name = "SECRET", default_value = "simulated-secret")]
    pub client_secret: SecretString,

    /// Access key ID to accept
    #[arg(long, value_name = "ID", default_value = "simulated-key")]
    pub access_key_id: String,

    /// Secret of the access key; it protects nothing
    #[arg(long, value_name = "SECRET", default_value = "simulated-key-secret==")]
    pub access_key_secret: SecretString,
}
