//! What `demo` and `simulate` take.

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
    /// The address that the exporter listens on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10962")]
    pub listen_address: ListenAddress,

    /// Where the exporter's pages are behind a reverse proxy.
    #[command(flatten)]
    pub proxy: ProxyArgs,

    /// The address that the simulated contact centre listens on
    #[arg(
        long = "simulate.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub simulate_listen_address: ListenAddress,

    /// Which of CXone's APIs the two speak with each other: reports or platform
    #[arg(long, value_enum, ignore_case = true, value_name = "DIALECT", default_value_t = DemoDialect::Reports, hide_possible_values = true)]
    pub dialect: DemoDialect,

    /// How many agents the simulated contact centre has
    #[arg(long = "demo.agents", value_name = "N", default_value_t = 60, value_parser = count(10_000))]
    pub agents: u32,
}

/// Which API is spoken in the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoDialect {
    /// The Reporting API.
    Reports,
    /// The platform's documented calls.
    Platform,
}

/// `simulate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "It prints its address, credentials and a few user ids when it starts.

Examples:
  cxone-exporter simulate
  cxone-exporter simulate --agents 200 --rows events --token-life 20s
  cxone-exporter simulate --faults some,throttle=0.2,late-by=2m
  cxone-exporter simulate --history-rows starting --faults odd-keys=0.5,open-untold=1")]
pub struct SimulateArgs {
    /// The address to listen on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen_address: ListenAddress,

    /// Which agents there are and what they do when: the same number gives the same days on every
    /// run
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How many agents there are
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = count(100_000))]
    pub agents: u32,

    /// How many times faster than real agents these change state; shifts keep their length
    #[arg(long, value_name = "N", default_value = "1")]
    pub pace: NonZeroU32,

    /// What the rows of a report are: intervals, cut-intervals, events, events-without-end or
    /// buckets
    #[arg(long, value_name = "ROWS", default_value_t = ReportRows::WholeIntervals)]
    pub rows: ReportRows,

    /// What goes wrong on purpose: none, some, many, or NAME=PROBABILITY, with commas between
    /// several; a wrong name lists all names
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

    /// Which rows the platform's history of a span of time has: touching or starting
    #[arg(long, value_name = "ROWS", default_value_t = HistoryRows::Touching)]
    pub history_rows: HistoryRows,

    /// How many calls of the platform's API a minute it allows before it answers 429; without it,
    /// all
    #[arg(long, value_name = "N")]
    pub calls: Option<NonZeroU32>,

    /// The client id that it accepts
    #[arg(long, value_name = "ID", default_value = "simulated-client")]
    pub client_id: String,

    /// The client secret that it accepts; it guards nothing
    #[arg(long, value_name = "SECRET", default_value = "simulated-secret")]
    pub client_secret: SecretString,

    /// The id of the access key that the platform's API accepts
    #[arg(long, value_name = "ID", default_value = "simulated-key")]
    pub access_key_id: String,

    /// The secret of that access key; it guards nothing
    #[arg(long, value_name = "SECRET", default_value = "simulated-key-secret==")]
    pub access_key_secret: SecretString,
}
