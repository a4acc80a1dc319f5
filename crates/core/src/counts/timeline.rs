//! One agent's visits after the horizon, and how a report replaces what earlier reports said.
//!
//! Windows overlap on purpose, reports come back in any order, and each is the truth about its
//! window as of the moment when its job was submitted. So a report first *erases* what is known of
//! the parts of its window that no later-submitted report has covered, then *adds* its own rows
//! clipped to those parts, and at last *joins* what a window's edge had cut:
//!
//! ```text
//! known       |---- Ready ----|-- Break --|---- Ready ----      observed
//! window                   [------------------------------)
//! erased      |---- Ready --                                    Ready is cut at the window's start
//! rows                     |-R-|--- Break ----|-- Ready -->     the first row may be cut as well
//! joined      |---- Ready -----|--- Break ----|-- Ready -->     and continues the visit it reaches
//! ```
//!
//! What lies before the horizon is settled: it is summed up, and no report changes it any more.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::label::VisitLabel;
use crate::names::NameId;
use crate::time::{Timestamp, Window};

/// What distinguishes states: a name and, where several states share the name `other`, a hash.
type StateKey = (NameId, u64);

/// Disjoint windows, in order.
type Windows = SmallVec<[Window; 2]>;

/// What is known of one visit, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownVisit {
    pub(super) label: VisitLabel,
    pub(super) start: Timestamp,
    /// `None` (events only): until the agent's next row in another state.
    pub(super) end: Option<Timestamp>,
    /// State changes at `start`: 0 where a window cut the visit, more than 1 for a row with a
    /// count.
    pub(super) entries: u32,
    /// Whether the histogram of visits contains it.
    pub(super) measured: bool,
}

impl KnownVisit {
    fn key(&self) -> (VisitLabel, Timestamp) {
        (self.label, self.start)
    }

    /// Takes the end that a newer report contains. A row of no length is not the end of a visit
    /// that is known to be longer: it is another visit, at the same instant.
    fn update_end(&mut self, end: Option<Timestamp>) {
        if end != Some(self.start) {
            self.end = end.or(self.end);
        }
    }

    fn touches(&self, part: Window) -> bool {
        part.contains(self.start)
            || (self.start < part.from && self.end.is_none_or(|end| end > part.from))
    }
}

/// A row of a report, without its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VisitRow {
    pub(super) label: VisitLabel,
    pub(super) start: Timestamp,
    /// `None` while the visit is in progress.
    pub(super) end: Option<Timestamp>,
    pub(super) count: u32,
}

/// Sorts `rows` and merges those with the same label and start: visits that cannot be distinguished
/// are one visit, as long as the longest of them. A row with a count has no length.
pub(super) fn merge_same_start(rows: &mut Vec<VisitRow>) {
    for row in rows.iter_mut().filter(|row| row.count > 1) {
        row.end = Some(row.start);
    }
    rows.sort_by_key(|row| (row.label, row.start));
    rows.dedup_by(|later, kept| {
        let same = (later.label, later.start) == (kept.label, kept.start);
        if same {
            kept.count = kept.count.max(later.count);
            // One in progress is the longest.
            kept.end = kept.end.zip(later.end).map(|(kept, later)| kept.max(later));
        }
        same
    });
}

/// What ends a visit whose rows contain no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImpliedEnd {
    /// The agent's next row in another state.
    NextState,
    /// The agent's next row.
    NextStart,
}

/// What a report may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportScope<'a> {
    pub(super) window: Window,
    /// What lies before this is settled.
    pub(super) settled_to: Timestamp,
    /// The windows of reports that were submitted later and are already applied.
    pub(super) newer: &'a [Window],
}

impl ReportScope<'_> {
    /// The parts of the window about which this report is the newest.
    fn parts(&self) -> Windows {
        uncovered(Window { from: self.window.from.max(self.settled_to), ..self.window }, self.newer)
    }
}

/// The visits of one agent, sorted by label and start. With rows that are intervals, those of one
/// label never overlap: together they are the time spent there, split where a visit begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timeline {
    pub(super) visits: Vec<KnownVisit>,
}

impl Timeline {
    /// Applies a report's intervals. `observed` is up to when the agent was known before. Returns
    /// the number of visits that an earlier report contained otherwise.
    pub(super) fn replace_intervals(
        &mut self,
        scope: &ReportScope<'_>,
        observed: Option<Timestamp>,
        rows: &[VisitRow],
    ) -> u64 {
        let ReportScope { window, newer, .. } = *scope;
        let parts = scope.parts();
        let is_affected = |visit: &&KnownVisit| parts.iter().any(|part| visit.touches(*part));
        // Sorted, as the timeline is.
        let before: Vec<KnownVisit> = self.visits.iter().filter(is_affected).copied().collect();
        for part in &parts {
            self.erase(*part);
        }
        self.join_started_before(rows, window.from, newer);
        for row in rows.iter().filter(|row| row.start < window.to) {
            // A row that starts exactly where its window does may be cut there. It is an entry only
            // if a visit is known to have started at that moment.
            let entries = if row.start == window.from {
                let known = before.binary_search_by_key(&(row.label, row.start), KnownVisit::key);
                known.map_or(0, |index| before[index].entries)
            } else {
                row.count
            };
            let end =
                if row.count > 1 { row.start } else { row.end.unwrap_or(window.to).min(window.to) };
            self.add(row.label, Window { from: row.start, to: end }, entries, newer);
        }
        self.join_cut();
        self.restore_measured(&before);
        let had_ended = |visit: &KnownVisit| {
            observed.is_some_and(|observed| visit.end.is_some_and(|end| end < observed))
        };
        self.count_revised(&before, had_ended)
    }

    /// Applies a report's events, merged by [`merge_same_start`]: they are the truth about what
    /// began in its window. Returns the number of rows that an earlier report contained otherwise.
    pub(super) fn replace_events(&mut self, scope: &ReportScope<'_>, rows: &[VisitRow]) -> u64 {
        let ReportScope { window, newer, .. } = *scope;
        let parts = scope.parts();
        let began_in_parts =
            |visit: &KnownVisit| parts.iter().any(|part| part.contains(visit.start));
        let before: Vec<KnownVisit> = self.visits.iter().copied().filter(began_in_parts).collect();
        self.visits.retain(|visit| !began_in_parts(visit));
        for row in rows.iter().filter(|row| row.start < window.to && !covers(newer, row.start)) {
            let VisitRow { label, start, end, count: entries } = *row;
            self.visits.push(KnownVisit { label, start, end, entries, measured: false });
        }
        self.visits.sort_by_key(KnownVisit::key);
        // A row from before the window, or the horizon, may repeat a visit that was kept.
        self.visits.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                kept.entries = kept.entries.max(later.entries);
                kept.update_end(later.end);
            }
            same
        });
        self.restore_measured(&before);
        self.count_revised(&before, |visit| visit.end.is_some())
    }

    /// The `uncertain` row is its agent's last one and has no length. If the visit is known to be
    /// in progress, it still is.
    pub(super) fn keep_in_progress(
        &self,
        uncertain: Option<(VisitLabel, Timestamp)>,
        rows: &mut [VisitRow],
    ) {
        let Some(key) = uncertain else { return };
        if self.find(key).is_some_and(|index| self.visits[index].end.is_none()) {
            for row in rows.iter_mut().filter(|row| (row.label, row.start) == key) {
                row.end = None;
            }
        }
    }

    /// Rows that began before the horizon are settled, but may contain the end of a visit that
    /// lasts beyond it. Returns the others.
    pub(super) fn take_ends(&mut self, late: &[VisitRow]) -> Vec<VisitRow> {
        let mut unknown = late.to_vec();
        unknown.retain(|row| {
            let known = self.find((row.label, row.start));
            if let Some(index) = known {
                self.visits[index].update_end(row.end);
            }
            known.is_none()
        });
        unknown
    }

    /// Forgets what is known of `part`: visits that began there lose their start, those that lasted
    /// through it are split in two.
    fn erase(&mut self, part: Window) {
        let mut behind = Vec::new();
        self.visits.retain_mut(|visit| {
            if !visit.touches(part) {
                return true;
            }
            if visit.end.is_some_and(|end| end > part.to) {
                behind.push(KnownVisit { start: part.to, entries: 0, ..*visit });
            }
            visit.end = Some(part.from);
            visit.start < part.from
        });
        self.visits.extend(behind);
    }

    /// Forgets what begins at `to` or later and, with `cut_ends`, that anything lasts longer.
    pub(super) fn cut(&mut self, to: Timestamp, cut_ends: bool) {
        self.visits.retain_mut(|visit| {
            if cut_ends {
                visit.end = visit.end.map(|end| end.min(to));
            }
            visit.start < to
        });
    }

    /// A row that began before its window is a single visit up to the window's start, even where
    /// earlier reports, cut at their own windows' starts, made it look like several: no other visit
    /// of its label began within it.
    fn join_started_before(
        &mut self,
        rows: &[VisitRow],
        window_start: Timestamp,
        newer: &[Window],
    ) {
        let mut early: Vec<(VisitLabel, Window)> = Vec::new();
        for row in rows.iter().filter(|row| row.start < window_start) {
            let to = row.end.map_or(window_start, |end| end.min(window_start));
            early.push((row.label, Window { from: row.start, to }));
        }
        if early.is_empty() {
            return;
        }
        early.sort_unstable_by_key(|(label, span)| (*label, span.from));
        // Rows and visits are in the same order, so one pass is enough, however many there are of
        // either. `reach` is how far the rows of a label last that began before the current visit.
        let mut early = early.into_iter().peekable();
        let mut reach: Option<(VisitLabel, Timestamp)> = None;
        for visit in &mut self.visits {
            while let Some((label, span)) =
                early.next_if(|(label, span)| (*label, span.from) < visit.key())
            {
                let so_far = reach.filter(|(reached, _)| *reached == label);
                reach = Some((label, so_far.map_or(span.to, |(_, to)| to.max(span.to))));
            }
            let is_within =
                reach.is_some_and(|(label, to)| label == visit.label && visit.start < to);
            if is_within && !covers(newer, visit.start) {
                visit.entries = 0;
            }
        }
    }

    /// Whether any visit is identified by more than its label.
    pub(super) fn has_folded(&self) -> bool {
        self.visits.iter().any(|visit| visit.label.folded != 0)
    }

    /// Whether a visit of this label is known that begins at `start` or lasts until then.
    pub(super) fn is_known_at(&self, label: VisitLabel, start: Timestamp) -> bool {
        let after = self.visits.partition_point(|visit| visit.key() <= (label, start));
        let before = after.checked_sub(1).map(|index| &self.visits[index]);
        before.is_some_and(|visit| visit.label == label && visit.end.is_none_or(|end| end >= start))
    }

    /// Adds what `newer` reports have not covered of `span`.
    fn add(&mut self, label: VisitLabel, span: Window, entries: u32, newer: &[Window]) {
        let entries = if covers(newer, span.from) { 0 } else { entries };
        let mut push = |part: Window| {
            let entries = if part.from == span.from { entries } else { 0 };
            let (start, end) = (part.from, Some(part.to));
            self.visits.push(KnownVisit { label, start, end, entries, measured: false });
        };
        if span.from != span.to {
            uncovered(span, newer).into_iter().for_each(push);
        } else if entries > 0 {
            push(span);
        }
    }

    /// Joins what a cut had separated: a part without an entry continues the visit that reaches it.
    fn join_cut(&mut self) {
        self.visits.sort_by_key(KnownVisit::key);
        self.visits.dedup_by(|later, kept| {
            let (Some(kept_end), Some(later_end)) = (kept.end, later.end) else { return false };
            if later.label != kept.label || later.start > kept_end {
                return false;
            }
            if later.entries == 0 || later.start == kept.start {
                kept.end = Some(kept_end.max(later_end));
                kept.entries = kept.entries.max(later.entries);
                return true;
            }
            // Two visits that overlap: their time counts once.
            kept.end = Some(later.start);
            later.end = Some(later_end.max(kept_end));
            false
        });
    }

    fn find(&self, key: (VisitLabel, Timestamp)) -> Option<usize> {
        self.visits.binary_search_by_key(&key, KnownVisit::key).ok()
    }

    fn restore_measured(&mut self, before: &[KnownVisit]) {
        for old in before.iter().filter(|visit| visit.measured) {
            if let Some(index) = self.find(old.key()) {
                self.visits[index].measured = true;
            }
        }
    }

    /// Number of entries of `before` that are no longer the same. The end of a visit that was still
    /// in progress is news, not a revision.
    fn count_revised(&self, before: &[KnownVisit], had_ended: impl Fn(&KnownVisit) -> bool) -> u64 {
        let is_revised = |old: &&KnownVisit| {
            let Some(index) = self.find(old.key()) else { return true };
            let now = &self.visits[index];
            now.entries != old.entries || (had_ended(old) && now.end != old.end)
        };
        let entered = before.iter().filter(|visit| visit.entries > 0);
        u64::try_from(entered.filter(is_revised).count()).unwrap_or(u64::MAX)
    }

    /// Every visit with its end. Where none is known, the visit lasts to the start that
    /// `implied_end` names or, without one, to `observed`.
    pub(super) fn spans(
        &self,
        observed: Timestamp,
        implied_end: ImpliedEnd,
        state_of: impl Fn(VisitLabel) -> StateKey,
    ) -> Vec<VisitSpan> {
        let ends = if self.visits.iter().any(|visit| visit.end.is_none()) {
            self.implied_ends(implied_end, &state_of)
        } else {
            HashMap::new()
        };
        let span = |(index, visit): (usize, &KnownVisit)| {
            let KnownVisit { label, start, entries, .. } = *visit;
            let end = visit.end.or_else(|| ends.get(&index).copied());
            VisitSpan { label, start, end: end.unwrap_or(observed.max(start)), entries, index }
        };
        self.visits.iter().enumerate().map(span).collect()
    }

    /// For each visit without an end, by its index: the first later start that ends it.
    fn implied_ends(
        &self,
        implied_end: ImpliedEnd,
        state_of: &impl Fn(VisitLabel) -> StateKey,
    ) -> HashMap<usize, Timestamp> {
        let mut latest_first: Vec<usize> = (0..self.visits.len()).collect();
        latest_first.sort_by_key(|&index| Reverse(self.visits[index].start));
        let mut ends = HashMap::new();
        // Of the starts passed so far, all of them later: the nearest, and the nearest in a state
        // other than that one's. Any state has its next different state among these two.
        let mut nearest: Option<(StateKey, Timestamp)> = None;
        let mut nearest_other: Option<Timestamp> = None;
        let same_start = |&a: &usize, &b: &usize| self.visits[a].start == self.visits[b].start;
        // Visits that begin together do not end each other, so they are passed as a group.
        for group in latest_first.chunk_by(same_start) {
            for &index in group.iter().filter(|&&index| self.visits[index].end.is_none()) {
                let end = match nearest {
                    Some((_, start)) if implied_end == ImpliedEnd::NextStart => Some(start),
                    Some((state, start)) if state != state_of(self.visits[index].label) => {
                        Some(start)
                    }
                    Some(_) | None => nearest_other,
                };
                ends.extend(end.map(|end| (index, end)));
            }
            for &index in group {
                let KnownVisit { label, start, .. } = self.visits[index];
                let state = state_of(label);
                if let Some((nearest_state, nearest_start)) = nearest
                    && nearest_state != state
                {
                    nearest_other = Some(nearest_start);
                }
                nearest = Some((state, start));
            }
        }
        ends
    }
}

/// A visit with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VisitSpan {
    pub(super) label: VisitLabel,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) entries: u32,
    /// The visit's index in the timeline.
    pub(super) index: usize,
}

fn covers(windows: &[Window], point: Timestamp) -> bool {
    windows.iter().any(|window| window.contains(point))
}

/// The parts of `span` that the `newer` windows do not cover, in order: mostly all of it.
fn uncovered(span: Window, newer: &[Window]) -> Windows {
    let mut parts = Windows::new();
    parts.extend(Some(span).filter(|part| part.from < part.to));
    for window in newer {
        parts = parts
            .into_iter()
            .flat_map(|part| {
                let before = Window { from: part.from, to: part.to.min(window.from) };
                let after = Window { from: part.from.max(window.to), to: part.to };
                [before, after]
            })
            .filter(|part| part.from < part.to)
            .collect();
    }
    parts
}
