//! The commands, one file each.

pub mod check;
#[cfg(feature = "simulator")]
pub mod demo;
pub mod erase;
mod healthy;
pub mod history;
pub mod packaging;
pub mod serve;
#[cfg(feature = "simulator")]
pub mod simulate;
pub mod store;
mod systemd;

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, EXIT_CONFIG, EXIT_FAILURE, EXIT_USAGE};
use crate::config::{Config, ConfigErrors, user_id_doubt};
use crate::cxone::{CxoneClient, ProxyRoute};
use crate::server::{QuotaStatus, QuotaUnit};
use crate::tasks::{Hangups, Signals};
use crate::{app, build_info, logging, tasks};
use cxone_core::hidden::visible;
use cxone_core::plan::backoff::Random;
use cxone_core::store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Both the configuration and the web configuration are invalid.
    #[error("{0}\n{1}")]
    BothConfigs(ConfigErrors, ConfigErrors),
    /// The transport to CXone cannot be made.
    #[error("{0}")]
    Connect(#[from] app::ConnectError),
    /// The exporter cannot start.
    #[error("{0}")]
    Start(#[from] cxone_core::checkpoint::RestoreError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// Something else.
    #[error("{0}")]
    Failed(String),
    /// It has been reported already.
    #[error("")]
    Reported,
}

impl CommandError {
    /// The exit status that it ends the process with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::BothConfigs(..)
            | Self::Connect(app::ConnectError::Proxy(_)) => EXIT_CONFIG,
            Self::Usage(_) => EXIT_USAGE,
            Self::Connect(_)
            | Self::Start(_)
            | Self::Store(_)
            | Self::Failed(_)
            | Self::Reported => EXIT_FAILURE,
        }
    }
}

/// Runs the command; errors go to stderr.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    logging::begin(cli.log.level, cli.log.format);
    let code = execute(cli.command).map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    logging::flush();
    code
}

fn execute(command: Command) -> Result<(), CommandError> {
    let cannot_start = |cause: &dyn Display| CommandError::Failed(format!("cannot start: {cause}"));
    tasks::allow_open_files().map_err(|cause| cannot_start(&cause))?;
    let runtime = Runtime::new().map_err(|cause| cannot_start(&cause))?;
    if command.is_long_running() {
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
        // These commands end by themselves; until then any signal ends them.
        tasks::release_signals();
    }
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => {
                serve::run(args, Hangups::listen().map_err(cannot_listen)?, signals()?).await
            }
            #[cfg(feature = "simulator")]
            Command::Demo(args) => demo::run(args, signals()?).await,
            Command::History(args) => history::run(args).await,
            Command::Check(args) => check::run(args).await,
            #[cfg(feature = "simulator")]
            Command::Simulate(args) => simulate::run(*args, signals()?).await,
            Command::Erase(args) => erase::run(&args),
            Command::Store(args) => store::run(args).await,
            Command::Completions(args) => packaging::completions(&args),
            Command::Man(args) => packaging::man(&args),
        }
    });
    // Computations in progress are of no use any more and must not delay the exit.
    runtime.shutdown_background();
    result
}

fn fail(error: &CommandError) -> ExitCode {
    let text = error.to_string();
    if !text.is_empty() {
        logging::print(text.trim_end());
    }
    ExitCode::from(error.exit_code())
}

/// Listens for the signals that end the process, also for those that have come already.
fn signals() -> Result<Signals, CommandError> {
    let signals = Signals::listen().map_err(cannot_listen);
    tasks::release_signals();
    signals
}

fn cannot_listen(cause: std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot listen for signals: {cause}"))
}

/// The outcome of `starting`; `None` if a signal ends the process before.
async fn unless_interrupted<T>(
    signals: &mut Signals,
    starting: impl Future<Output = Result<T, CommandError>>,
) -> Result<Option<T>, CommandError> {
    tokio::select! {
        started = starting => started.map(Some),
        signal = signals.next() => {
            tracing::info!(signal, "shut down while starting");
            Ok(None)
        }
    }
}

/// Randomness that differs between processes, so that many of them do not poll in step.
fn random() -> Random {
    Random::from_seed(RandomState::new().hash_one("cxone-exporter"))
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(%warning, "configuration warning");
    }
}

fn log_polling(config: &Config) {
    let (api, targets) = (config.api.address(), config.targets.len());
    let proxies = app::proxies().unwrap_or_default();
    let proxy = match proxies.route(api.url()) {
        ProxyRoute::Via(proxy) => Some(proxy.to_string()),
        ProxyRoute::Exempt(_) | ProxyRoute::Direct => None,
    };
    let QuotaStatus { unit, limit, .. } = app::quota_status(config);
    tracing::info!(
        dialect = config.api.dialect.as_str(),
        %api,
        proxy,
        targets,
        jobs_per_minute = (unit == QuotaUnit::ReportJobs).then_some(limit),
        requests_per_minute = (unit == QuotaUnit::Requests).then_some(limit),
        "polling started"
    );
}

/// A line on stdout. A reader that has gone away is not an error.
fn print(line: &str) {
    let _written = writeln!(std::io::stdout(), "{}", visible(line));
}

/// Why a report has no rows, and what to try.
fn causes_of_no_rows(client: &CxoneClient, user: Option<&str>, lookback: Duration) -> Vec<String> {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let doubtful = user.filter(|user| user_id_doubt(user).is_some());
    let mut causes = client.causes_of_no_rows(doubtful);
    if lookback < WEEK {
        let hint = "To see whether there is any data at all, run `history --last 7d`.";
        causes.push(hint.to_owned());
    }
    causes
}

/// Waits for a signal, or for a task's unexpected end; then shuts down: gracefully, or at once at a
/// second signal.
async fn run_until_signal(
    tasks: &tasks::Tasks,
    stop: &CancellationToken,
    mut signals: Signals,
) -> Result<(), CommandError> {
    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "shutting down");
            Ok(())
        }
        dead = tasks.dead() => Err(CommandError::Failed(dead.to_string())),
    };
    systemd::stopping();
    stop.cancel();
    tokio::select! {
        left = tasks.drain(app::DRAIN) => {
            if left.is_empty() {
                tracing::info!("shutdown completed");
            } else {
                tracing::warn!(tasks = left.join(","), "shutdown timed out");
            }
        }
        signal = signals.next() => tracing::warn!(signal, "shutdown forced by a second signal"),
    }
    ended
}
