//! A visit as it is told at some moment: true, or not yet.

use std::time::Duration;

use cxone_core::time::{Timestamp, Window};

use super::super::faults::{Faults, RowFault};
use super::super::floor::{AgentState, Visit};

/// What is told of one visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Told {
    /// The visit's own number.
    pub(in super::super) key: u64,
    pub(in super::super) state: AgentState,
    pub(in super::super) skill: Option<&'static str>,
    pub(in super::super) start: Timestamp,
    /// `None` while the visit goes on.
    pub(in super::super) end: Option<Timestamp>,
    /// When it was told first.
    pub(in super::super) since: Timestamp,
}

impl Told {
    /// `visit` as it is told at `asked`; `None` when it has not begun or is late.
    ///
    /// A wrong row is put right at the latest `revised_for` after its start, and is wrong only
    /// about that span: a report of a window that reaches back so far puts everything right, in
    /// every kind of rows.
    pub(in super::super) fn new(
        visit: &Visit,
        asked: Timestamp,
        seed: u64,
        faults: &Faults,
    ) -> Option<Self> {
        let key = visit.key(seed);
        let late = faults
            .of_row(key, RowFault::Late)
            .map_or(Duration::ZERO, |number| below(number, faults.late_by));
        let since = visit.start.plus(late);
        if asked < since {
            return None;
        }
        let end = (visit.end <= asked).then_some(visit.end);
        let mut told =
            Self { key, state: visit.state, skill: visit.skill, start: visit.start, end, since };
        let wrong = |fault| {
            let number = faults.of_row(key, fault)?;
            (asked < visit.start.plus(below(number, faults.revised_for))).then_some(number)
        };
        if let Some(number) = wrong(RowFault::RevisedState) {
            told.state = another(visit.state, number);
        } else if wrong(RowFault::RevisedEnd).is_some() {
            told.end = Some(visit.start.plus(visit.end.min(asked).since(visit.start) / 2));
        } else if wrong(RowFault::RevisedOpen).is_some() {
            told.end = None;
        }
        Some(told)
    }

    /// Whether a part of it lies in `window`, or its start when it has no length.
    pub(in super::super) fn touches(&self, window: Window) -> bool {
        self.start < window.to
            && (self.start >= window.from || self.end.is_none_or(|end| end > window.from))
    }
}

/// A span below `limit` that follows from `number`.
fn below(number: u64, limit: Duration) -> Duration {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis((number >> 8) % millis)
}

/// A state that is not `state`.
fn another(state: AgentState, number: u64) -> AgentState {
    let others =
        [AgentState::Ready, AgentState::InboundCall, AgentState::WrapUp, AgentState::Break];
    let first = if number.is_multiple_of(2) { 0 } else { 2 };
    if others[first] == state { others[first + 1] } else { others[first] }
}
