//! The rows of a report, agent by agent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::catalog::Catalog;
use super::label::{LabelId, VisitLabel};
use super::timeline::{VisitRow, merge_same_start};
use super::{ReportOrigin, RowCounts, RowKind};
use crate::names::{NameId, WRAP_UP, escape_other};
use crate::report::{Report, ReportRow};
use crate::time::{Timestamp, Window};

/// The rows of a report by agent, in the order of the agents' ids. That is the order of the
/// ledger's maps as well, so that each lookup is near the one before. Only the rows' indices are
/// sorted, because a report may have a million of them.
pub(super) struct RowsByAgent<'a> {
    report: &'a Report,
    agents: Vec<NameId>,
    /// By name: where the agent's rows end among the sorted ones.
    ends: Vec<usize>,
    sorted: Vec<u32>,
    display_names: Vec<Option<NameId>>,
}

/// The rows of one agent.
pub(super) struct AgentRows<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) display_name: Option<&'a Arc<str>>,
    report: &'a Report,
    rows: &'a [u32],
}

impl<'a> RowsByAgent<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        // A counting sort: agents are numbered already.
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
        for (index, agent) in (0..).zip(report.rows().agents()) {
            let end = &mut ends[agent.index()];
            sorted[*end] = index;
            *end += 1;
        }
        let mut display_names = Vec::new();
        for (agent, name) in report.display_names() {
            display_names.resize(names.len(), None);
            display_names[agent.index()] = Some(*name);
        }
        Self { report, agents, ends, sorted, display_names }
    }

    /// Every agent in the report, also one whose rows do not count.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = AgentRows<'_>> {
        let mut begin = 0;
        self.agents.iter().map(move |agent| {
            let end = self.ends[agent.index()];
            let rows = &self.sorted[begin..end];
            begin = end;
            let display_name = self.display_names.get(agent.index()).copied().flatten();
            AgentRows {
                name: self.report.names().value(*agent),
                display_name: display_name.map(|name| self.report.names().value(name)),
                report: self.report,
                rows,
            }
        })
    }
}

/// Whether a tenant reports states that are in progress with no length, as their start, or with
/// the length so far, or not at all. Guessed from the last row of each agent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OngoingRows {
    without_length: u64,
    /// Of some length, or with no duration at all.
    with_length: u64,
}

/// Above this number of rows, older ones count less.
const MAX_SAMPLES: u64 = 10_000;

impl OngoingRows {
    /// Samples the rows that earlier reports, up to `known_to`, did not contain. Returns whether
    /// states in progress have no length: a tenant that reports only what is over, or the length so
    /// far, has few agents whose last row has none.
    pub(super) fn sample(
        &mut self,
        rows: &RowsByAgent<'_>,
        window: Window,
        known_to: Option<Timestamp>,
    ) -> bool {
        let known_to = known_to.filter(|_| self.without_length + self.with_length > 0);
        for row in rows.iter().filter_map(|agent| agent.last()) {
            let is_new = known_to.is_none_or(|known_to| row.to.is_none_or(|to| to >= known_to));
            // What ends exactly at the window's end may be over, or in progress.
            if !is_new || row.to == Some(window.to) {
                continue;
            }
            if row.to == Some(row.from) {
                self.without_length += 1;
            } else {
                self.with_length += 1;
            }
        }
        if self.without_length + self.with_length > MAX_SAMPLES {
            self.without_length /= 2;
            self.with_length /= 2;
        }
        self.without_length > self.with_length
    }
}

/// Reads the rows of one agent after the other.
#[derive(Default)]
pub(super) struct RowReader {
    pub(super) counts: RowCounts,
    /// The rows of the agent read last that count.
    pub(super) rows: Vec<VisitRow>,
    /// The last to begin of these, if it has no length: it may be in progress all the same.
    pub(super) uncertain: Option<(VisitLabel, Timestamp)>,
    /// By the report's own state and skill.
    labels: HashMap<(NameId, NameId), VisitLabel>,
    /// The states that have no label of their own.
    over_states: HashSet<NameId>,
}

impl RowReader {
    /// The labels that the report used.
    pub(super) fn labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        self.labels.values().map(|visit| visit.label)
    }

    /// Number of states, and of pairs of state and skill, in the report that exceeded the limits.
    pub(super) fn over_limit(&self) -> (usize, usize) {
        let folded = self.labels.values().filter(|visit| visit.folded != 0);
        (self.over_states.len(), folded.count())
    }

    /// Reads an agent's rows that count. With `ongoing_has_no_length`, its last row is in progress
    /// if it has no length.
    pub(super) fn read(
        &mut self,
        agent: &AgentRows<'_>,
        origin: &ReportOrigin,
        catalog: &mut Catalog,
        ongoing_has_no_length: bool,
    ) {
        let kind = catalog.rules.rows;
        let is_buckets = kind == RowKind::Buckets;
        let uncertain = agent.last().filter(|row| row.to == Some(row.from));
        let mut buckets: HashSet<ReportRow> = HashSet::new();
        self.uncertain = None;
        self.rows.clear();
        for index in agent.rows {
            let row = agent.report.rows().get(*index as usize);
            // A visit is recognised by its start; a bucket only by being the same in everything.
            if is_buckets && !buckets.insert(row) {
                continue;
            }
            if !is_buckets && row.count > 1 && row.from == origin.window.from {
                self.counts.cut_buckets += 1;
                continue;
            }
            if row.count == 0 || (!is_buckets && row.from >= origin.window.to) {
                continue;
            }
            let label = self.label(&row, agent.report, catalog);
            let is_uncertain = uncertain == Some(row);
            if is_uncertain {
                self.uncertain = Some((label, row.from));
            }
            let end = end_of(&row, origin.window, kind)
                .filter(|_| !(is_uncertain && ongoing_has_no_length));
            self.rows.push(VisitRow { label, start: row.from, end, count: row.count });
        }
        if matches!(kind, RowKind::Events | RowKind::States) {
            merge_same_start(&mut self.rows);
        }
    }

    fn label(&mut self, row: &ReportRow, report: &Report, catalog: &mut Catalog) -> VisitLabel {
        *self.labels.entry((row.state, row.skill)).or_insert_with(|| {
            let (state, skill) = (report.names().value(row.state), report.names().value(row.skill));
            let is_wrap_up = catalog.rules.wrap_up.iter().any(|alias| **alias == **state);
            let state = if is_wrap_up { WRAP_UP } else { state };
            let label = catalog.intern(state, skill);
            if catalog.find_state(&escape_other(state)).is_none() {
                self.over_states.insert(row.state);
            }
            label
        })
    }
}

impl AgentRows<'_> {
    /// The row that begins last; of several, one that has a length.
    fn last(&self) -> Option<ReportRow> {
        let rows = self.rows.iter().map(|index| self.report.rows().get(*index as usize));
        rows.max_by_key(|row| (row.from, row.to != Some(row.from)))
    }
}

/// An interval that reaches the end of its window was cut there: its own end is not known yet.
fn end_of(row: &ReportRow, window: Window, kind: RowKind) -> Option<Timestamp> {
    match kind {
        RowKind::Intervals | RowKind::States => row.to.filter(|to| *to < window.to),
        RowKind::Events | RowKind::Buckets => row.to,
    }
}
