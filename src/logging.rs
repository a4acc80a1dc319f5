//! Log messages on stderr, as logfmt or JSON.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::{LogArgs, LogFormat, LogLevel};

/// Begins to log as the command line says. Libraries only tell what somebody should look at.
pub fn begin(args: LogArgs) {
    let level = match args.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let others = level.min(LevelFilter::WARN);
    let filter = EnvFilter::builder().with_default_directive(others.into()).parse_lossy(format!("cxone_exporter={level}"));
    let layer = match args.format {
        LogFormat::Logfmt => {
            tracing_logfmt::builder().with_target(false).with_span_name(false).layer().with_writer(std::io::stderr).boxed()
        }
        LogFormat::Json => {
            tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(std::io::stderr).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
}
