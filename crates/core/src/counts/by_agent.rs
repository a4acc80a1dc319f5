//! A report's rows agent by agent, in the order of their names: that of the maps, so that what is
//! looked up next is near.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::book::Book;
use super::label::{LabelId, VisitLabel};
use super::timeline::{Told, leave_one_of_each};
use super::{ReportOrigin, RowCounts, RowKind, WRAP_UP};
use crate::names::{NameId, escape_other};
use crate::report::{Report, ReportRow};
use crate::time::{Timestamp, Window};

/// The places of a report's rows, sorted by agent: a few bytes a row, for a report may have a
/// million of them.
pub(super) struct ByAgent<'a> {
    report: &'a Report,
    agents: Vec<NameId>,
    /// For each name, where its rows end among the sorted ones.
    ends: Vec<usize>,
    sorted: Vec<u32>,
    display_names: Vec<Option<NameId>>,
}

/// What a report tells of one agent.
pub(super) struct OfAgent<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) display_name: Option<&'a Arc<str>>,
    report: &'a Report,
    rows: &'a [u32],
}

/// How a tenant tells of states that last, as its reports let guess: of each agent, the row that
/// begins last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lasting {
    /// Those of no length.
    none: u64,
    /// Those of some length, or without a duration.
    some: u64,
}

/// When so many rows were looked at, what was seen first counts less.
const LOOKED_AT: u64 = 10_000;

impl Lasting {
    /// Looks at a report's rows that were not told up to `known_to`; whether what lasts is told with
    /// no length. Of a tenant that tells only what is over, or how long it has lasted, few agents'
    /// last rows have none.
    pub(super) fn look(
        &mut self,
        told: &ByAgent<'_>,
        window: Window,
        known_to: Option<Timestamp>,
    ) -> bool {
        let known_to = known_to.filter(|_| self.none + self.some > 0);
        for row in told.iter().filter_map(|agent| agent.last()) {
            let is_new = known_to.is_none_or(|known_to| row.to.is_none_or(|to| to >= known_to));
            // What ends just where the window does may last or not.
            if !is_new || row.to == Some(window.to) {
                continue;
            }
            if row.to == Some(row.from) {
                self.none += 1;
            } else {
                self.some += 1;
            }
        }
        if self.none + self.some > LOOKED_AT {
            (self.none, self.some) = (self.none / 2, self.some / 2);
        }
        self.none > self.some
    }
}

/// What is gathered while a report is read.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) applied: RowCounts,
    /// The rows that count of the agent that was read last, as the counts need them.
    pub(super) rows: Vec<Told>,
    /// Of these, the one that begins last, if it has no length: it may last all the same.
    pub(super) doubtful: Option<(VisitLabel, Timestamp)>,
    /// By the report's own places of state and skill.
    labels: HashMap<(NameId, NameId), VisitLabel>,
    /// The states that have no label of their own.
    over_states: HashSet<NameId>,
}

impl Reading {
    /// The labels that the report used.
    pub(super) fn labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        self.labels.values().map(|visit| visit.label)
    }

    /// How many states, and pairs of state and skill, of the report were over the limits.
    pub(super) fn over_limit(&self) -> (usize, usize) {
        let folded = self.labels.values().filter(|visit| visit.folded != 0);
        (self.over_states.len(), folded.count())
    }
}

impl<'a> ByAgent<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let names = report.names();
        let mut agents = Vec::new();
        let mut counts = vec![0; names.len()];
        for agent in report.rows().agents() {
            if counts[agent.index()] == 0 {
                agents.push(agent);
            }
            counts[agent.index()] += 1;
        }
        agents.sort_unstable_by_key(|agent| names.value(*agent));
        let mut ends = vec![0; names.len()];
        let mut before = 0;
        for agent in &agents {
            ends[agent.index()] = before;
            before += counts[agent.index()];
        }
        let mut sorted = vec![0; before];
        for (place, agent) in (0..).zip(report.rows().agents()) {
            let end = &mut ends[agent.index()];
            sorted[*end] = place;
            *end += 1;
        }
        let mut display_names = Vec::new();
        for (agent, name) in report.display_names() {
            display_names.resize(names.len(), None);
            display_names[agent.index()] = Some(*name);
        }
        Self { report, agents, ends, sorted, display_names }
    }

    /// The agents that it tells of. One with no row that counts is there all the same.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = OfAgent<'_>> {
        let mut begin = 0;
        self.agents.iter().map(move |agent| {
            let end = self.ends[agent.index()];
            let rows = &self.sorted[begin..end];
            begin = end;
            let display_name = self.display_names.get(agent.index()).copied().flatten();
            OfAgent {
                name: self.report.names().value(*agent),
                display_name: display_name.map(|name| self.report.names().value(name)),
                report: self.report,
                rows,
            }
        })
    }
}

impl OfAgent<'_> {
    /// The row that begins last; of several, one that has a length.
    fn last(&self) -> Option<ReportRow> {
        let rows = self.rows.iter().map(|place| self.report.rows().get(*place as usize));
        rows.max_by_key(|row| (row.from, row.to != Some(row.from)))
    }

    /// Reads the rows that count. Where what lasts is told with no length (`lasting`), the agent's
    /// last row lasts if it has none.
    pub(super) fn read(
        &self,
        origin: &ReportOrigin,
        book: &mut Book,
        lasting: bool,
        reading: &mut Reading,
    ) {
        let last = self.last().filter(|row| row.to == Some(row.from));
        reading.doubtful = None;
        let is_buckets = book.rules.rows == RowKind::Buckets;
        let mut buckets: HashSet<ReportRow> = HashSet::new();
        reading.rows.clear();
        for place in self.rows {
            let row = self.report.rows().get(*place as usize);
            // Visits are known again by their start; a bucket that is told twice is known by being
            // the same in everything.
            if is_buckets && !buckets.insert(row) {
                continue;
            }
            if !is_buckets && row.count > 1 && row.from == origin.window.from {
                reading.applied.cut_buckets += 1;
                continue;
            }
            if row.count == 0 || (!is_buckets && row.from >= origin.window.to) {
                continue;
            }
            let label = *reading.labels.entry((row.state, row.skill)).or_insert_with(|| {
                let (state, skill) =
                    (self.report.names().value(row.state), self.report.names().value(row.skill));
                let is_wrap_up = book.rules.wrap_up.iter().any(|alias| **alias == **state);
                let state = if is_wrap_up { WRAP_UP } else { state };
                let label = book.intern(state, skill);
                if book.find_state(&escape_other(state)).is_none() {
                    reading.over_states.insert(row.state);
                }
                label
            });
            let is_doubtful = last == Some(row);
            let end =
                end_of(&row, origin.window, book.rules.rows).filter(|_| !(is_doubtful && lasting));
            if is_doubtful {
                reading.doubtful = Some((label, row.from));
            }
            reading.rows.push(Told { label, start: row.from, end, count: row.count });
        }
        if matches!(book.rules.rows, RowKind::Events | RowKind::States) {
            leave_one_of_each(&mut reading.rows);
        }
    }
}

/// An interval that reaches its window's end has not ended there.
fn end_of(row: &ReportRow, window: Window, rows: RowKind) -> Option<Timestamp> {
    match rows {
        RowKind::Intervals | RowKind::States => row.to.filter(|to| *to < window.to),
        RowKind::Events | RowKind::Buckets => row.to,
    }
}
