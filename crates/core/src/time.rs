//! Time as the core knows it: values that are handed in, never read from a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point of event or wall time in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// The Reporting API has all times in UTC with three digits of milliseconds, so this loses nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest point that can be represented.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest point that can be represented.
    pub const MAX: Self = Self(i64::MAX);

    /// The point `millis` milliseconds after 1970-01-01T00:00:00Z (before it, when negative).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whether an event can have happened then. A missing time is the year 1 in .NET and 1970 (in
    /// whatever zone) in many other languages; the calendar ends with the year 9999.
    #[must_use]
    pub const fn is_plausible(self) -> bool {
        const DAY_2: i64 = 86_400_000;
        const YEAR_9999: i64 = 253_370_764_800_000;
        DAY_2 <= self.0 && self.0 < YEAR_9999
    }

    /// This point plus `span`; saturates at [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span_millis(span)))
    }

    /// This point minus `span`; saturates at [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span_millis(span)))
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// Whole milliseconds of `span`, as signed arithmetic wants them.
fn span_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`, the format that the Reporting API requires (never an offset).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point on a clock that never steps: the time since the process began. Points before that exist
/// too, since an earlier process may have left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

/// How far points may lie before the beginning of the process.
const BEFORE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Default for Monotonic {
    fn default() -> Self {
        Self(BEFORE)
    }
}

impl Monotonic {
    /// The point `elapsed` after the process began.
    #[must_use]
    pub const fn from_elapsed(elapsed: Duration) -> Self {
        Self(BEFORE.saturating_add(elapsed))
    }

    /// The time since the process began; zero for points before.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        self.0.saturating_sub(BEFORE)
    }

    /// The point `span` before this one.
    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// This point plus `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Now by both clocks: waits are measured by one, event time is compared with the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For waits and deadlines: never steps.
    pub instant: Monotonic,
    /// For event time: may step when the wall clock is set.
    pub utc: Timestamp,
}

/// The span of event time that a report is about: `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first millisecond of it.
    pub from: Timestamp,
    /// The first millisecond after it.
    pub to: Timestamp,
}

impl Window {
    /// Its length.
    #[must_use]
    pub fn length(self) -> Duration {
        self.to.since(self.from)
    }

    /// Whether `point` lies in `[from, to)`.
    #[must_use]
    pub fn contains(self, point: Timestamp) -> bool {
        self.from <= point && point < self.to
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_three_digits_and_a_literal_z() {
        assert_eq!(
            Timestamp::from_millis(1_698_393_600_000).to_string(),
            "2023-10-27T08:00:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_698_393_600_007).to_string(),
            "2023-10-27T08:00:00.007Z"
        );
    }

    #[test]
    fn time_never_runs_backwards() {
        let early = Timestamp::from_millis(5);
        let late = Timestamp::from_millis(9);
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
    }
}
