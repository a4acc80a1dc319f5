//! Log messages on stderr, as logfmt or JSON: counted by level, and those that repeat folded.

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

use lines::Lines;
use output::Output;

/// The least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Details for debugging.
    Debug,
    /// Normal operation.
    Info,
    /// What somebody should look at.
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

/// Messages of one kind, that is from one place in the code, that are written within
/// [`FOLDED_WITHIN`]; more of them are only counted.
const MOST_OF_A_KIND: u32 = 30;

/// The time that [`MOST_OF_A_KIND`] is about.
const FOLDED_WITHIN: Duration = Duration::from_secs(60);

/// How long the end may wait for the last lines.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The levels, as [`messages`] counts them.
pub const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

static MESSAGES: [AtomicU64; LEVELS.len()] = [const { AtomicU64::new(0) }; LEVELS.len()];
static OUTPUT: Output = Output::new();
/// Whether a thread writes what is put out.
static WRITING: AtomicBool = AtomicBool::new(false);
static FOLDED: AtomicU64 = AtomicU64::new(0);
static KINDS: LazyLock<Mutex<HashMap<Identifier, Kind>>> = LazyLock::new(Mutex::default);

/// How many messages there were since the process began, by level as in [`LEVELS`], those that were
/// folded among them.
#[must_use]
pub fn messages() -> [u64; LEVELS.len()] {
    MESSAGES.each_ref().map(|count| count.load(Ordering::Relaxed))
}

/// How many messages were left out since this was last asked.
#[must_use]
pub fn take_folded() -> u64 {
    FOLDED.swap(0, Ordering::Relaxed)
}

/// How many lines could not be written since the process began.
#[must_use]
pub fn dropped() -> u64 {
    OUTPUT.dropped()
}

/// Has a text written on stderr that is no log message, in turn with those.
pub fn say(text: &str) {
    put(format!("{}\n", visible_lines(text)).as_bytes());
}

/// Waits until all is written, at most for a second: nothing that is not read by then ever is.
pub fn flush() {
    OUTPUT.flush(FLUSH_TIME);
}

fn put(text: &[u8]) {
    if WRITING.load(Ordering::Relaxed) {
        OUTPUT.put(text);
    } else {
        // A stderr that cannot be written leaves nowhere to say so.
        let _written = std::io::stderr().write_all(text);
    }
}

/// A panic is told as the rest is, and can no more block than that.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = if backtrace.status() == BacktraceStatus::Captured {
        format!("\n{backtrace}")
    } else {
        String::new()
    };
    say(&format!("thread '{}' {panic}{backtrace}", thread.name().unwrap_or("unnamed")));
}

/// Begins to log. Libraries only log warnings and errors.
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
        .event_format(Lines { format, clock: Clock::system() })
        .with_writer(&OUTPUT);
    let writing = tasks::thread("log", || OUTPUT.write_to(std::io::stderr()));
    WRITING.store(writing.is_ok(), Ordering::Relaxed);
    std::panic::set_hook(Box::new(tell_of_panic));
    tracing_subscriber::registry()
        .with(filter)
        .with(layer.with_filter(Fold { clock: Clock::system() }))
        .init();
}

/// How many messages of one kind there were in its minute.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    since: Monotonic,
    count: u32,
}

impl Kind {
    /// Whether one more at `now` is to be written.
    fn takes(&mut self, now: Monotonic) -> bool {
        if self.count == 0 || now.since(self.since) >= FOLDED_WITHIN {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= MOST_OF_A_KIND
    }
}

/// Counts every message, and lets the first of each kind through.
struct Fold {
    clock: Clock,
}

impl<S: Subscriber> Filter<S> for Fold {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        MESSAGES[place(*metadata.level())].fetch_add(1, Ordering::Relaxed);
        let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        let written = kinds.entry(metadata.callsite()).or_default().takes(self.clock.now().instant);
        if !written {
            FOLDED.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

fn place(level: Level) -> usize {
    [Level::ERROR, Level::WARN, Level::INFO].iter().position(|known| *known == level).unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_messages_of_a_kind_are_written_and_after_a_minute_again() {
        let mut kind = Kind::default();
        let at = |seconds| Monotonic::from_elapsed(Duration::from_secs(seconds));
        let written = (0..100).filter(|_| kind.takes(at(5))).count();
        assert_eq!(written, 30);
        assert!(!kind.takes(at(64)));
        assert!(kind.takes(at(65)));
    }

    #[test]
    fn every_level_has_its_place() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
        assert_eq!(levels.map(place), [0, 1, 2, 3]);
        assert_eq!(LEVELS, ["error", "warn", "info", "debug"]);
    }
}
