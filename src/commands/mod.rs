//! One file a command.

pub mod check;
mod check_platform;
#[cfg(feature = "simulator")]
pub mod demo;
pub mod erase;
mod healthy;
pub mod history;
mod live;
pub mod pages;
pub mod serve;
#[cfg(feature = "simulator")]
pub mod simulate;
mod systemd;

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, EXIT_CONFIG, EXIT_FAILURE};
use crate::config::{Config, ConfigErrors, Dialect};
use crate::cxone::ProxyRoute;
use crate::tasks::{Hangups, Signals};
use crate::{app, build_info, logging, tasks};
use cxone_core::plan::backoff::Random;
use cxone_core::store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Both the configuration and the web configuration are wrong.
    #[error("{0}\n{1}")]
    BothConfigs(ConfigErrors, ConfigErrors),
    /// The way to CXone cannot be made.
    #[error("{0}")]
    Connect(#[from] app::ConnectError),
    /// The exporter cannot start.
    #[error("{0}")]
    Start(#[from] app::StartError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Something else.
    #[error("{0}")]
    Failed(String),
    /// It has been told already.
    #[error("")]
    Told,
}

impl CommandError {
    /// The exit status that it ends the process with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::BothConfigs(..)
            | Self::Connect(app::ConnectError::Proxy(_)) => EXIT_CONFIG,
            Self::Connect(_) | Self::Start(_) | Self::Store(_) | Self::Failed(_) | Self::Told => {
                EXIT_FAILURE
            }
        }
    }
}

/// Runs the command and gives its exit status; errors go to stderr.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    logging::begin(cli.log.level, cli.log.format);
    let code = execute(cli.command).map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    logging::flush();
    code
}

fn execute(command: Command) -> Result<(), CommandError> {
    let no_start = |cause| CommandError::Failed(format!("cannot start: {cause}"));
    tasks::allow_open_files().map_err(no_start)?;
    let runtime = Runtime::new().map_err(|cause| no_start(cause.to_string()))?;
    if command.runs_until_told() {
        tracing::info!(
            version = build_info::VERSION,
            revision = build_info::REVISION,
            branch = build_info::BRANCH,
            rustversion = build_info::RUST_VERSION,
            os = build_info::OS,
            arch = build_info::ARCH,
            "starting cxone-exporter"
        );
    } else {
        // Any of them ends the commands that end by themselves, too.
        tasks::release_signals();
    }
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(args, hangups()?, signals()?).await,
            #[cfg(feature = "simulator")]
            Command::Demo(args) => demo::run(args, signals()?).await,
            Command::History(args) => history::run(args).await,
            Command::Check(args) => check::run(args).await,
            #[cfg(feature = "simulator")]
            Command::Simulate(args) => simulate::run(*args, signals()?).await,
            Command::Erase(args) => erase::run(&args),
            Command::Completions(args) => pages::completions(&args),
            Command::Man(args) => pages::man(&args),
        }
    });
    // What still computes is of no use any more; it must not hold up the end.
    runtime.shutdown_background();
    result
}

fn fail(error: &CommandError) -> ExitCode {
    let text = error.to_string();
    if !text.is_empty() {
        logging::say(text.trim_end());
    }
    ExitCode::from(error.exit_code())
}

/// Takes the signals that ask the process to end, those that have come already among them.
fn signals() -> Result<Signals, CommandError> {
    let signals = Signals::listen().map_err(|cause| no_signals(&cause));
    tasks::release_signals();
    signals
}

fn hangups() -> Result<Hangups, CommandError> {
    Hangups::listen().map_err(|cause| no_signals(&cause))
}

fn no_signals(cause: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot listen for signals: {cause}"))
}

/// What `starting` arrives at, unless a signal asks the process to end meanwhile.
async fn unless_told_to_end<T>(
    signals: &mut Signals,
    starting: impl Future<Output = Result<T, CommandError>>,
) -> Result<Option<T>, CommandError> {
    tokio::select! {
        started = starting => started.map(Some),
        signal = signals.next() => {
            tracing::info!(signal, "ended while starting");
            Ok(None)
        }
    }
}

/// Randomness that differs from process to process, so that many of them do not move in step.
fn random() -> Random {
    Random::from_seed(RandomState::new().hash_one("cxone-exporter"))
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// What is polled where and how much of it, in the log.
fn announce(config: &Config) {
    let (api, targets) = (config.api.address(), config.targets.len());
    let proxies = app::proxies().unwrap_or_default();
    let proxy = match proxies.route(api.url()) {
        ProxyRoute::Via(proxy) => Some(proxy.to_string()),
        ProxyRoute::Exempt(_) | ProxyRoute::Direct => None,
    };
    match config.api.dialect {
        Dialect::Reports(_) => tracing::info!(
            dialect = "reports",
            %api,
            proxy,
            targets,
            jobs_per_minute = config.quota.report_jobs_per_minute,
            "polling CXone in the background"
        ),
        Dialect::Platform(_) => tracing::info!(
            dialect = "platform",
            %api,
            proxy,
            targets,
            requests_per_minute = config.quota.requests_per_minute,
            "polling CXone in the background"
        ),
    }
}

/// Waits for a signal, or for a task's unexpected end; then lets everything end, in time or at the
/// second signal at once.
async fn until_told_to_end(
    running: &tasks::Tasks,
    stop: &CancellationToken,
    mut signals: Signals,
) -> Result<(), CommandError> {
    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "ending; a second signal ends at once");
            Ok(())
        }
        dead = running.dead() => Err(CommandError::Failed(dead.to_string())),
    };
    systemd::stopping();
    stop.cancel();
    tokio::select! {
        left = running.drain(app::DRAIN) => {
            if left.is_empty() {
                tracing::info!("ended");
            } else {
                tracing::warn!(tasks = left.join(","), "ended without waiting any longer");
            }
        }
        signal = signals.next() => tracing::warn!(signal, "ended at once"),
    }
    ended
}
