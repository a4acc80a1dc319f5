//! Which window to request next: always from the watermark, so that windows leave no gap.

use std::time::Duration;

use crate::time::{Timestamp, Window};

/// Windows stay this far from the end of CXone's retention: what it deletes before it reads the
/// request would make it reject the whole window.
const RETENTION_MARGIN: Duration = Duration::from_secs(60);

/// What windows depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRules {
    /// The first window, and the longest.
    pub lookback: Duration,
    /// How far a window reaches back behind the watermark; zero where windows must not overlap.
    pub overlap: Duration,
    /// How far behind now a window ends.
    pub settle_delay: Duration,
    /// How far back CXone can report.
    pub retention: Duration,
}

/// A window to request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedWindow {
    /// The window.
    pub window: Window,
    /// Event time between the watermark and the window, which CXone can no longer report.
    pub gap: Duration,
    /// Whether the window ends before what CXone can already report.
    pub behind: bool,
    /// Up to when CXone can already report.
    pub end: Timestamp,
    /// Whether nothing of the target is known yet.
    pub first: bool,
}

impl WindowRules {
    /// The window that follows `watermark` at CXone's time `now`, at most `longest` long; `None`
    /// while nothing is new.
    #[must_use]
    pub fn next(
        &self,
        watermark: Option<Timestamp>,
        now: Timestamp,
        longest: Duration,
    ) -> Option<PlannedWindow> {
        let end = now.minus(self.settle_delay);
        let oldest = now.minus(self.retention).plus(RETENTION_MARGIN).min(end);
        let (from, gap) = match watermark {
            None => (end.minus(self.lookback).max(oldest), Duration::ZERO),
            Some(watermark) if end <= watermark => return None,
            Some(watermark) => {
                let from = watermark.minus(self.overlap).max(oldest);
                (from, from.since(watermark))
            }
        };
        let to = from.plus(longest).min(end);
        let (behind, first) = (to < end, watermark.is_none());
        Some(PlannedWindow { window: Window { from, to }, gap, behind, end, first })
    }

    /// The newest window at CXone's time `now`, to find out whether CXone accepts any.
    #[must_use]
    pub fn newest(&self, now: Timestamp, length: Duration) -> PlannedWindow {
        let end = now.minus(self.settle_delay);
        let window = Window { from: end.minus(length), to: end };
        PlannedWindow { window, gap: Duration::ZERO, behind: false, end, first: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn rules() -> WindowRules {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        WindowRules {
            lookback: minutes(24 * 60),
            overlap: minutes(15),
            settle_delay: Duration::ZERO,
            retention: minutes(30 * 24 * 60),
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_first_window_is_the_lookback() {
        let planned = rules().next(None, at(100 * HOUR), rules().lookback).expect("a window");
        assert_eq!(planned.window, Window { from: at(76 * HOUR), to: at(100 * HOUR) });
    }

    #[test]
    fn later_windows_begin_an_overlap_before_the_watermark() {
        let planned =
            rules().next(Some(at(100 * HOUR)), at(101 * HOUR), rules().lookback).expect("a window");
        assert_eq!(planned.window, Window { from: at(100 * HOUR - HOUR / 4), to: at(101 * HOUR) });
        assert!(!planned.behind);
    }

    #[test]
    fn a_long_absence_is_requested_in_slices_without_gaps() {
        let (mut watermark, now) = (at(0), at(100 * HOUR));
        let mut slices = 0;
        while let Some(planned) = rules().next(Some(watermark), now, rules().lookback) {
            assert!(planned.window.from <= watermark && planned.window.to > watermark);
            assert!(planned.window.length() <= rules().lookback && planned.gap == Duration::ZERO);
            watermark = planned.window.to;
            slices += 1;
        }
        assert_eq!((slices, watermark), (5, now));
    }

    #[test]
    fn what_cxone_no_longer_keeps_is_a_gap() {
        let now = at(1_000 * HOUR);
        let planned = rules().next(Some(at(0)), now, rules().lookback).expect("a window");
        assert_eq!(planned.window.from, at((1_000 - 720) * HOUR + 60_000));
        assert_eq!(planned.gap, Duration::from_secs(280 * 3600 + 60));
        let shortest = WindowRules {
            lookback: Duration::from_secs(3600),
            retention: Duration::from_secs(3600),
            ..rules()
        };
        let planned = shortest.next(None, now, shortest.lookback).expect("a window");
        assert_eq!(planned.window, Window { from: at(999 * HOUR + 60_000), to: now });
    }

    #[test]
    fn no_window_ends_in_the_future_or_before_the_watermark() {
        let settled = WindowRules { settle_delay: Duration::from_secs(60), ..rules() };
        assert_eq!(settled.next(Some(at(HOUR)), at(HOUR), settled.lookback), None);
        assert_eq!(settled.next(Some(at(HOUR)), at(HOUR + 60_000), settled.lookback), None);
        let planned =
            settled.next(Some(at(HOUR)), at(HOUR + 60_001), settled.lookback).expect("a window");
        assert_eq!(planned.window.to, at(HOUR + 1));
    }
}
