//! A visit as an API reports it at some moment: correct, or not yet.

use std::time::Duration;

use cxone_core::time::{Timestamp, Window};

use crate::faults::{Faults, RowFault};
use crate::floor::{AgentState, Visit};

/// What an API reports of one visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportedVisit {
    /// The visit's own number.
    pub(crate) key: u64,
    pub(crate) state: AgentState,
    pub(crate) skill: Option<&'static str>,
    pub(crate) start: Timestamp,
    /// `None` until the visit ends.
    pub(crate) end: Option<Timestamp>,
    /// When it was first reported.
    pub(crate) since: Timestamp,
}

impl ReportedVisit {
    /// `visit` as it is reported at `now`; `None` if it has not begun or is late.
    ///
    /// A wrong row is corrected at the latest `revised_for` after its start, and is wrong only
    /// about that span. So a report of a window that reaches back that far corrects everything,
    /// with any kind of rows.
    pub(crate) fn new(visit: &Visit, now: Timestamp, seed: u64, faults: &Faults) -> Option<Self> {
        let key = visit.key(seed);
        let late = faults.row_fault(key, RowFault::Late);
        let delay = late.map_or(Duration::ZERO, |number| span_below(faults.late_by, number));
        let since = visit.start.plus(delay);
        if now < since {
            return None;
        }
        let end = (visit.end <= now).then_some(visit.end);
        let Visit { state, skill, start, .. } = *visit;
        let mut reported = Self { key, state, skill, start, end, since };
        let wrong = |fault| {
            let number = faults.row_fault(key, fault)?;
            (now < start.plus(span_below(faults.revised_for, number))).then_some(number)
        };
        if let Some(number) = wrong(RowFault::RevisedState) {
            reported.state = another_state(state, number);
        } else if wrong(RowFault::RevisedEnd).is_some() {
            reported.end = Some(start.plus(visit.end.min(now).since(start) / 2));
        } else if wrong(RowFault::RevisedOpen).is_some() {
            reported.end = None;
        }
        Some(reported)
    }

    /// Whether a part of it lies in `window`, or its start if it has no length.
    pub(crate) fn touches(&self, window: Window) -> bool {
        self.start < window.to
            && (self.start >= window.from || self.end.is_none_or(|end| end > window.from))
    }
}

/// The window whose visits a report of `window` at `now` may contain: one that ended before it may
/// be reported as open, and none is reported before it begins.
pub(crate) fn reportable(window: Window, now: Timestamp, faults: &Faults) -> Window {
    Window {
        from: window.from.minus(faults.revised_for),
        to: window.to.min(now.plus(Duration::from_millis(1))),
    }
}

/// A span below `limit` that follows from `number`.
fn span_below(limit: Duration, number: u64) -> Duration {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis((number >> 8) % millis)
}

/// A state other than `state`.
fn another_state(state: AgentState, number: u64) -> AgentState {
    use AgentState as S;
    let (first, second) =
        if number.is_multiple_of(2) { (S::Ready, S::InboundCall) } else { (S::WrapUp, S::Break) };
    if first == state { second } else { first }
}
