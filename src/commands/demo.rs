//! `demo`: simulator and exporter in one process, without configuration and credentials.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::num::NonZeroU32;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use super::serve::{WEB_ADDRESS, bind_first, spawn};
use super::{CommandError, random, run_until_signal, simulate, unless_interrupted};
use crate::app::{self, Web};
use crate::cli::{DemoArgs, DemoDialect};
use crate::clock::Clock;
use crate::config::{Config, ConfigText, Overrides, TargetsNeeded};
use crate::engine::Heartbeat;
use crate::server::{Address, Server, ServerLimits};
use crate::tasks::{Signals, Tasks};
use cxone_core::store::MemoryStore;
use cxone_simulator::{Simulator, SimulatorOptions};

/// Days pass this much faster than real ones, so that there is something to see.
const PACE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// Runs the demo until a signal ends it.
///
/// # Errors
/// When an address cannot be listened on.
pub async fn run(args: DemoArgs, mut signals: Signals) -> Result<(), CommandError> {
    let simulator = Arc::new(Simulator::new(SimulatorOptions {
        agents: args.agents,
        pace: PACE,
        report_jobs_per_minute: 600,
        job_time: std::time::Duration::from_secs(1),
        ..SimulatorOptions::default()
    }));
    let binding = async {
        let address = &args.simulate_listen_address;
        let simulated = bind_first(address, "--simulate.listen-address").await?;
        Ok((simulated, bind_first(&args.listen_address, WEB_ADDRESS).await?))
    };
    let Some((simulated, exported)) = unless_interrupted(&mut signals, binding).await? else {
        return Ok(());
    };
    let (api, metrics) = (simulated.address().clone(), exported.address().clone());
    let clock = Clock::system();
    let config = match args.dialect {
        DemoDialect::Reports => reports(&simulator, &api)?,
        DemoDialect::Platform => platform(&simulator, &api)?,
    };
    let transport = app::connect(&config)?;
    let web = Web { telemetry_path: "/metrics".to_owned(), max_requests: 40, ..Web::default() };
    let exporter = app::exporter(
        &config,
        web,
        &clock,
        Heartbeat::default(),
        transport,
        Box::new(MemoryStore::default()),
        random(),
    )?;
    let printing = simulate::print_banner(banner(&args, &api, &args.proxy.address(&metrics)));
    if unless_interrupted(&mut signals, printing).await?.is_none() {
        return Ok(());
    }
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone());
    let server = Server::new(ServerLimits::default(), tasks.clone(), stop.clone());
    tasks.essential("simulator", server.serve(simulated, simulate::handler(simulator, clock)));
    spawn(
        exporter,
        vec![exported],
        args.proxy.prefix(),
        &Server::new(ServerLimits::default(), tasks.clone(), stop.clone()),
        &tasks,
    );
    run_until_signal(&tasks, &stop, signals).await
}

fn banner(args: &DemoArgs, api: &Address, metrics: &str) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "A simulated contact centre with {} agents, and the exporter beside it. Ctrl-C ends both.",
        args.agents
    )?;
    writeln!(out, "status page: {metrics}/")?;
    writeln!(out, "metrics:     {metrics}/metrics")?;
    writeln!(out, "CXone API:   http://{api}")?;
    writeln!(out, "Within seconds:    curl -s {metrics}/metrics | grep ^cxone_agents")?;
    writeln!(out, "Within 2 minutes:  curl -s {metrics}/metrics | grep ^cxone_agents_over_limit")?;
    Ok(out)
}

/// The same in both dialects: a limit that somebody exceeds soon.
const STATES_AND_METRICS: &str =
    "states: {limits: {Wrap-up: 1m}}\nmetrics: {agent_info: true, max_staleness: 1m}\n";

/// A configuration like a user's, but for a faster pace and a quota to match it.
fn reports(simulator: &Simulator, api: &Address) -> Result<Config, CommandError> {
    let options = simulator.options();
    let mut text = format!(
        "api: {{base_url: \"http://{api}\", client_id: {}, client_secret_file: simulated}}\n\
         poll: {{interval: 3s, lookback: 1h, overlap: 2m}}\n\
         jobs: {{poll_every: 500ms, timeout: 30s}}\n\
         quota: {{report_jobs_per_minute: {}, reserve: 0}}\n\
         {STATES_AND_METRICS}\
         targets:\n",
        options.client_id, options.report_jobs_per_minute
    );
    let teams: BTreeSet<&str> = simulator.floor().agents().map(|agent| &*agent.team).collect();
    for team in teams {
        let _written = writeln!(text, "  - filter: {{type: team, id: {team}}}");
    }
    parse(&text, &options.client_secret)
}

/// The same with an access key and all agents at once.
fn platform(simulator: &Simulator, api: &Address) -> Result<Config, CommandError> {
    let options = simulator.options();
    let text = format!(
        "api: {{dialect: platform, issuer: \"http://{api}\", access_key_id: {}, access_key_secret_file: simulated}}\n\
         poll: {{interval: 3s, lookback: 1h, overlap: 2m, settle_delay: 3s}}\n\
         quota: {{requests_per_minute: 600}}\n\
         {STATES_AND_METRICS}",
        options.access_key_id
    );
    parse(&text, &options.access_key_secret)
}

fn parse(text: &str, secret: &SecretString) -> Result<Config, CommandError> {
    let read = |_: &std::path::Path, _| Ok(secret.expose_secret().to_owned());
    let (config, _) = Config::parse(
        Some(ConfigText { name: "demo", text }),
        &Overrides::default(),
        TargetsNeeded::Yes,
        read,
    )?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_configurations_are_valid() {
        let simulator = Simulator::new(SimulatorOptions::default());
        let api = Address::Tcp(([127, 0, 0, 1], 8080).into());
        assert_eq!(reports(&simulator, &api).map(|config| config.targets.len()).ok(), Some(4));
        assert_eq!(platform(&simulator, &api).map(|config| config.targets.len()).ok(), Some(1));
    }
}
