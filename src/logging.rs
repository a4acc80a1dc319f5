//! Log messages on stderr, as logfmt or JSON: counted by level, and bursts of one message cut off.

mod lines;
mod output;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::HashMap;
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::clock::Clock;
use crate::tasks;
use cxone_core::hidden::visible_lines;
use cxone_core::time::Monotonic;

use lines::LineFormat;
use output::LogOutput;

/// The least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Details for debugging.
    Debug,
    /// Normal operation.
    Info,
    /// What needs attention.
    Warn,
    /// What failed.
    Error,
}

/// The encoding of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// How many messages from one place in the code are written within [`BURST_TIME`]; more are
/// suppressed, and only counted.
const MAX_BURST: u32 = 30;
const BURST_TIME: Duration = Duration::from_secs(60);

/// How long the process waits at its end for the last lines.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The levels, as [`messages`] counts them.
pub const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

static MESSAGES: [AtomicU64; LEVELS.len()] = [const { AtomicU64::new(0) }; LEVELS.len()];
static OUTPUT: LogOutput = LogOutput::new();
/// Whether a thread writes the output.
static HAS_WRITER: AtomicBool = AtomicBool::new(false);
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);
static BURSTS: LazyLock<Mutex<HashMap<Identifier, Burst>>> = LazyLock::new(Mutex::default);

/// How many messages there were since the process began, suppressed ones included, by level as in
/// [`LEVELS`].
#[must_use]
pub fn messages() -> [u64; LEVELS.len()] {
    MESSAGES.each_ref().map(|count| count.load(Ordering::Relaxed))
}

/// How many messages were suppressed since the last call.
#[must_use]
pub fn take_suppressed() -> u64 {
    SUPPRESSED.swap(0, Ordering::Relaxed)
}

/// How many lines could not be written since the process began.
#[must_use]
pub fn dropped() -> u64 {
    OUTPUT.dropped()
}

/// Prints a text that is not a log message on stderr, in order with those.
pub fn print(text: &str) {
    put(format!("{}\n", visible_lines(text)).as_bytes());
}

/// Waits until everything is written, at most for a second: what nobody has read by then is lost.
pub fn flush() {
    OUTPUT.flush(FLUSH_TIME);
}

fn put(text: &[u8]) {
    if HAS_WRITER.load(Ordering::Relaxed) {
        OUTPUT.put(text);
    } else {
        // If stderr cannot be written, there is nowhere to report it.
        let _written = std::io::stderr().write_all(text);
    }
}

/// Prints a panic through the same queue, so that it cannot block either.
fn print_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = if backtrace.status() == BacktraceStatus::Captured {
        format!("\n{backtrace}")
    } else {
        String::new()
    };
    print(&format!("thread '{}' {panic}{backtrace}", thread.name().unwrap_or("unnamed")));
}

/// Starts logging. Libraries only log warnings and errors.
pub fn begin(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let others = level.min(LevelFilter::WARN);
    let filter = EnvFilter::builder()
        .with_default_directive(others.into())
        .parse_lossy(format!("cxone_exporter={level}"));
    let layer = tracing_subscriber::fmt::layer()
        .event_format(LineFormat { format, clock: Clock::system() })
        .with_writer(&OUTPUT);
    let writing = tasks::thread("log", || OUTPUT.write_to(std::io::stderr()));
    HAS_WRITER.store(writing.is_ok(), Ordering::Relaxed);
    std::panic::set_hook(Box::new(print_panic));
    tracing_subscriber::registry()
        .with(filter)
        .with(layer.with_filter(BurstFilter { clock: Clock::system() }))
        .init();
}

/// The messages from one place in the code.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    since: Monotonic,
    count: u32,
}

impl Burst {
    /// Counts one more; whether it is to be written.
    fn admit(&mut self, now: Monotonic) -> bool {
        if self.count == 0 || now.since(self.since) >= BURST_TIME {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= MAX_BURST
    }
}

/// Counts every message, and passes the first of each burst.
struct BurstFilter {
    clock: Clock,
}

impl<S: Subscriber> Filter<S> for BurstFilter {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        MESSAGES[level_index(*metadata.level())].fetch_add(1, Ordering::Relaxed);
        let mut bursts = BURSTS.lock().unwrap_or_else(PoisonError::into_inner);
        let written =
            bursts.entry(metadata.callsite()).or_default().admit(self.clock.now().instant);
        if !written {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

fn level_index(level: Level) -> usize {
    [Level::ERROR, Level::WARN, Level::INFO].iter().position(|known| *known == level).unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_cut_off_and_messages_are_written_again_after_a_minute() {
        let mut burst = Burst::default();
        let at = |seconds| Monotonic::from_elapsed(Duration::from_secs(seconds));
        let written = (0..100).filter(|_| burst.admit(at(5))).count();
        assert_eq!(written, 30);
        assert!(!burst.admit(at(64)));
        assert!(burst.admit(at(65)));
    }

    #[test]
    fn every_level_has_its_index() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
        assert_eq!(levels.map(level_index), [0, 1, 2, 3]);
        assert_eq!(LEVELS, ["error", "warn", "info", "debug"]);
    }
}
