//! One agent: what is settled, what may still change, and what was published of it.

mod buckets;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use buckets::Buckets;

use super::catalog::Catalog;
use super::label::{LabelId, VisitLabel};
use super::starts::{MINUTE, MinuteStarts, OverSkills, SeriesIndex, Starts, minute_of};
use super::tally::Tally;
use super::target::{TargetId, TargetKey};
use super::timeline::{ReportScope, Timeline, VisitRow};
use super::{RowCounts, RowKind, SubmitOrder};
use crate::time::{Timestamp, Window};

/// CXone may round times to seconds. A visit that ended less than this before the horizon may be
/// reported again by a tenant that decides by its own clock whether a row is in the window.
const ROUNDING: Duration = Duration::from_secs(2);

/// The counts of one agent and label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabelCounts {
    pub(crate) label: LabelId,
    settled_entries: u32,
    published_entries: u32,
    settled_millis: u64,
    published_millis: u64,
}

/// A target whose reports contained the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership<T = TargetId> {
    pub(crate) target: T,
    /// Whether the target's newest report did.
    pub(super) newest: bool,
}

/// Everything about one agent. Serialised, this is its record in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) display_name: Option<Box<str>>,
    /// Where its counting begins: the earliest epoch of its targets; with buckets, that of the
    /// target from which it was first counted.
    pub(super) epoch: Timestamp,
    /// Event time up to which it is known; `None` until the first report is applied.
    pub(super) observed: Option<Timestamp>,
    /// The start of the earliest window whose report contained it.
    known_from: Timestamp,
    /// The end of the latest window whose report contained it.
    pub(super) last_reported: Timestamp,
    pub(super) memberships: Vec<Membership<TargetKey>>,
    /// The windows of recent reports that contained it, which reports that were submitted earlier
    /// and are still pending must not overwrite.
    reported_in: Vec<(SubmitOrder, Window)>,
    /// What lies before this stands as it was counted.
    settled_to: Timestamp,
    timeline: Timeline,
    pub(crate) series: Vec<LabelCounts>,
    /// Settled starts, for the gauge over the trailing lookback; in records of their own.
    #[serde(skip)]
    pub(super) starts: Starts,
    /// With rows that are buckets: who counts, and what waits.
    buckets: Option<Box<Buckets>>,
}

/// A report, as far as it concerns one agent.
pub(super) struct AgentReport<'a> {
    pub(super) target: TargetKey,
    pub(super) target_epoch: Timestamp,
    pub(super) order: SubmitOrder,
    /// No report submitted earlier than this is still pending.
    pub(super) oldest_pending: SubmitOrder,
    pub(super) window: Window,
    pub(super) horizon: Timestamp,
    pub(super) rows: &'a [VisitRow],
    /// The row that begins last, if it has no length.
    pub(super) uncertain: Option<(VisitLabel, Timestamp)>,
}

/// What a new observed time brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    /// By how much published counts grew.
    pub(super) grown: Vec<Tally>,
    /// Visits whose end is known for the first time.
    pub(super) finished: Vec<(LabelId, Duration)>,
}

impl Agent {
    pub(super) fn new(window: Window, target_epoch: Timestamp) -> Self {
        Self {
            display_name: None,
            epoch: target_epoch,
            observed: None,
            known_from: window.from,
            last_reported: window.to,
            memberships: Vec::new(),
            reported_in: Vec::new(),
            settled_to: Timestamp::MIN,
            timeline: Timeline::default(),
            series: Vec::new(),
            starts: Starts::default(),
            buckets: None,
        }
    }

    /// Applies what a report contains of the agent. Its observed time and its published counts
    /// follow with [`Agent::observe`].
    pub(super) fn apply(
        &mut self,
        report: &AgentReport<'_>,
        catalog: &Catalog,
        counts: &mut RowCounts,
    ) {
        let kind = catalog.rules.rows;
        // With the dialect `platform` an agent's history may be unreadable for a while although its
        // target's watermark moves on. What was not read must not be settled.
        let horizon = match self.observed {
            Some(observed) if kind == RowKind::States => {
                report.horizon.min(observed.minus(catalog.rules.overlap))
            }
            Some(_) | None => report.horizon,
        };
        let report = &AgentReport { horizon, ..*report };
        self.epoch = self.epoch.min(report.target_epoch);
        self.last_reported = self.last_reported.max(report.window.to);
        self.join_target(report.target);
        self.add_series(report.rows.iter().flat_map(|row| catalog.groups_of(row.label.label)));
        if let Some(observed) = self.observed {
            self.settle(report.horizon.min(observed), observed, catalog);
        }
        let (late, mut in_time): (Vec<VisitRow>, Vec<VisitRow>) =
            report.rows.iter().partition(|row| self.is_late(row, kind, report.horizon));
        let newer = self.reported_in.iter().filter(|(order, _)| *order > report.order);
        let newer: Vec<Window> = newer.map(|(_, window)| *window).collect();
        // Nothing is settled yet of an agent that is reported for the first time.
        let settled_to = self.observed.map_or(Timestamp::MIN, |_| report.horizon);
        let scope = ReportScope { window: report.window, settled_to, newer: &newer };
        match kind {
            RowKind::Intervals => {
                counts.revised += self.timeline.replace_intervals(&scope, self.observed, &in_time);
            }
            RowKind::Events => counts.revised += self.timeline.replace_events(&scope, &in_time),
            RowKind::States => {
                self.timeline.keep_in_progress(report.uncertain, &mut in_time);
                counts.revised += self.timeline.replace_events(&scope, &in_time);
            }
            RowKind::Buckets => self.take_buckets(report, catalog),
        }
        let late = if kind == RowKind::States { self.timeline.take_ends(&late) } else { late };
        counts.late += self.note_late(&late, report, catalog);
        self.reported_in.retain(|(order, _)| *order >= report.oldest_pending);
        self.reported_in.push((report.order, report.window));
        self.known_from = self.known_from.min(report.window.from);
    }

    fn join_target(&mut self, target: TargetKey) {
        match self.memberships.iter_mut().find(|membership| membership.target == target) {
            Some(membership) => membership.newest = true,
            None => self.memberships.push(Membership { target, newest: true }),
        }
    }

    /// Drops references to targets that were removed. Returns whether there were any.
    pub(super) fn retain_targets(&mut self, exists: impl Fn(TargetKey) -> bool) -> bool {
        let of_buckets = self.buckets.iter().flat_map(|buckets| buckets.targets());
        let targets = self.memberships.iter().map(|membership| membership.target);
        if targets.chain(of_buckets).all(&exists) {
            return false;
        }
        self.memberships.retain(|membership| exists(membership.target));
        self.buckets = self.buckets.take().and_then(|buckets| buckets.retain_targets(exists));
        true
    }

    /// Nothing is late for an agent that is reported for the first time.
    fn is_late(&self, row: &VisitRow, kind: RowKind, horizon: Timestamp) -> bool {
        self.observed.is_some()
            && match kind {
                RowKind::Intervals => row.end.is_some_and(|end| end < horizon),
                RowKind::Events | RowKind::States => row.start < horizon,
                RowKind::Buckets => false,
            }
    }

    /// Late rows count for nothing; but those from before the agent was known belong to the
    /// trailing lookback all the same. Returns the number of those after the epoch.
    fn note_late(&mut self, late: &[VisitRow], report: &AgentReport<'_>, catalog: &Catalog) -> u64 {
        let before_known = Window { from: report.window.from, to: self.known_from };
        let early = late.iter().filter(|row| before_known.contains(row.start));
        let starts = early.flat_map(|row| {
            catalog.groups_of(row.label.label).map(|label| (label, row.start, row.count))
        });
        self.add_starts(starts, catalog);
        let after_epoch =
            late.iter().filter(|row| row.end.unwrap_or(row.start) > report.target_epoch);
        u64::try_from(after_epoch.count()).unwrap_or(u64::MAX)
    }

    /// Counts for good what lies before `horizon`, and forgets the visits that ended there. So the
    /// timeline stays as short as the overlap, however long the agent is known.
    fn settle(&mut self, horizon: Timestamp, observed: Timestamp, catalog: &Catalog) {
        if horizon <= self.settled_to || catalog.rules.rows == RowKind::Buckets {
            return;
        }
        let spans = catalog.spans(&self.timeline, observed);
        let sums =
            catalog.tally(&spans, Window { from: self.epoch.max(self.settled_to), to: horizon });
        let index = self.add_series(sums.iter().map(|sum| sum.key));
        for sum in sums {
            let Some(at) = index.find(sum.key) else { continue };
            let series = &mut self.series[at as usize];
            series.settled_entries = series.settled_entries.saturating_add(narrow(sum.entries));
            series.settled_millis += sum.millis;
        }
        let starts = catalog.starts(&spans, Window { from: self.settled_to, to: horizon });
        let starts = starts.into_iter().map(|(label, start, count)| (label, start, narrow(count)));
        self.add_starts(starts, catalog);
        // A rounded end is earlier than the true one, so such a visit may be reported a little
        // longer than it is unsettled: then it is recognised, and not late.
        let known_from =
            if catalog.rules.rows == RowKind::States { horizon.minus(ROUNDING) } else { horizon };
        let mut spans = spans.iter();
        self.timeline.visits.retain(|visit| {
            let end = spans.next().map_or(visit.start, |span| span.end);
            visit.start >= horizon || end > known_from || end >= observed
        });
        self.settled_to = horizon;
    }

    /// Whether anything of it is known beyond `to` by `target`, or settled beyond `highest`.
    pub(super) fn is_known_beyond(
        &self,
        target: TargetKey,
        to: Timestamp,
        highest: Timestamp,
    ) -> bool {
        let is_member = self.memberships.iter().any(|membership| membership.target == target);
        is_member && self.observed.is_some_and(|observed| observed > to)
            || self.settled_to > highest
            || self.last_reported > highest
    }

    /// The latest start of a visit that was reported.
    pub(super) fn latest_start(&self) -> Option<Timestamp> {
        self.timeline.visits.iter().map(|visit| visit.start).max()
    }

    /// Nothing is known beyond `known_to`, though a clock that was ahead said so: visits that were
    /// said to last into that time last up to there, and what was settled of it is counted again.
    /// Counting begins at `epoch` at the latest.
    pub(super) fn set_back(&mut self, known_to: Timestamp, epoch: Timestamp, catalog: &Catalog) {
        let spans = catalog.spans(&self.timeline, self.observed.unwrap_or(known_to));
        let unsettled = Window { from: known_to, to: self.settled_to.max(known_to) };
        if self.epoch >= known_to {
            // All that was counted lies in the time that was ahead.
            for series in &mut self.series {
                (series.settled_entries, series.settled_millis) = (0, 0);
            }
        } else if catalog.rules.rows != RowKind::Buckets {
            // An approximation: of settled time only the visits that are still known can be
            // subtracted, which are the last ones.
            for sum in catalog.tally(&spans, unsettled) {
                let known = self.series.iter_mut().find(|series| series.label == sum.key);
                let Some(series) = known else { continue };
                series.settled_entries = series.settled_entries.saturating_sub(narrow(sum.entries));
                series.settled_millis = series.settled_millis.saturating_sub(sum.millis);
            }
        }
        self.timeline.cut(known_to, catalog.rules.rows == RowKind::Intervals);
        self.reported_in.iter_mut().for_each(|(_, window)| window.to = window.to.min(known_to));
        if let Some(buckets) = &mut self.buckets {
            buckets.set_back(known_to);
        }
        self.settled_to = self.settled_to.min(known_to);
        self.last_reported = self.last_reported.min(known_to);
        self.epoch = self.epoch.min(epoch);
    }

    /// Sets up to when the agent is known, and publishes its counts.
    pub(super) fn observe(&mut self, observed: Timestamp, catalog: &Catalog) -> Observation {
        let mut observation = Observation::default();
        self.observed = Some(observed);
        let spans = catalog.spans(&self.timeline, observed);
        let unsettled = Window { from: self.epoch.max(self.settled_to), to: observed };
        let live = catalog.tally(&spans, unsettled);
        self.add_series(live.iter().map(|sum| sum.key));
        for series in &mut self.series {
            let grown = series.publish(sum_of(&live, series.label));
            if (grown.entries, grown.millis) != (0, 0) {
                observation.grown.push(grown);
            }
        }
        for span in &spans {
            let visit = &mut self.timeline.visits[span.index];
            let is_whole = span.entries == 1 && span.start >= self.epoch && span.end < observed;
            if is_whole && !visit.measured {
                visit.measured = true;
                observation.finished.push((span.label.label, span.end.since(span.start)));
            }
        }
        observation
    }

    /// The order of the newest report that contained it.
    pub(super) fn newest_order(&self) -> SubmitOrder {
        self.reported_in.iter().map(|(order, _)| *order).max().unwrap_or_default()
    }

    /// Every label that it refers to.
    pub(super) fn labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        self.series.iter().map(|series| series.label).chain(self.visit_labels())
    }

    /// The labels of visits that may still change.
    pub(super) fn visit_labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        let visits = self.timeline.visits.iter().map(|visit| visit.label.label);
        let waiting = self.buckets.iter().flat_map(|buckets| buckets.labels());
        visits.chain(waiting)
    }

    /// A visit that is known as `other` stays `other` although its label fits by now, so that it
    /// does not count twice.
    pub(super) fn keep_folded(
        &self,
        rows: &mut [VisitRow],
        uncertain: &mut Option<(VisitLabel, Timestamp)>,
        catalog: &Catalog,
    ) {
        if !self.timeline.has_folded() {
            return;
        }
        let of_rows = rows.iter_mut().map(|row| (&mut row.label, row.start));
        let uncertain = uncertain.iter_mut().map(|(label, start)| (label, *start));
        for (label, start) in of_rows.chain(uncertain).filter(|(label, _)| label.folded == 0) {
            let mut folded = catalog.as_folded(label.label);
            if let Some(known) = folded.find(|folded| self.timeline.is_known_at(*folded, start)) {
                *label = known;
            }
        }
    }

    /// Forgets the series of these labels.
    pub(super) fn forget_series(&mut self, labels: &BTreeSet<LabelId>, catalog: &Catalog) {
        let mut starts = self.starts.decode(&self.over_skills(catalog));
        let before = std::mem::take(&mut self.series);
        let mut new_index = Vec::with_capacity(before.len());
        for series in before {
            let is_kept = !labels.contains(&series.label);
            new_index.push(is_kept.then(|| u32::try_from(self.series.len()).ok()).flatten());
            self.series.extend(Some(series).filter(|_| is_kept));
        }
        starts.retain_mut(|start| {
            let index = new_index.get(start.series as usize).copied().flatten();
            start.series = index.unwrap_or(start.series);
            index.is_some()
        });
        starts.sort_unstable();
        self.starts = Starts::encode(&starts, &self.over_skills(catalog));
    }

    /// The visits in progress at the observed time: label and start.
    pub(super) fn ongoing(&self, catalog: &Catalog) -> Vec<(LabelId, Timestamp)> {
        let Some(observed) = self.observed else { return Vec::new() };
        let spans = catalog.spans(&self.timeline, observed);
        let ongoing = spans.iter().filter(|span| span.start < observed && span.end >= observed);
        ongoing.map(|span| (span.label.label, span.start)).collect()
    }

    /// For each series: its entries in the trailing `lookback` before the observed time, in steps
    /// of a minute.
    pub(crate) fn window_entries(&self, catalog: &Catalog) -> Vec<u64> {
        let mut entries = vec![0; self.series.len()];
        let Some(observed) = self.observed else { return entries };
        let first_minute = minute_of(observed.minus(catalog.rules.lookback));
        self.starts.each_since(first_minute, &self.over_skills(catalog), |start| {
            if let Some(entries) =
                usize::try_from(start.series).ok().and_then(|at| entries.get_mut(at))
            {
                *entries += u64::from(start.count);
            }
        });
        let from = Timestamp::from_millis(i64::from(first_minute) * MINUTE).max(self.settled_to);
        let spans = catalog.spans(&self.timeline, observed);
        let live = catalog.tally(&spans, Window { from, to: observed });
        for (series, entries) in self.series.iter().zip(&mut entries) {
            *entries += sum_of(&live, series.label).map_or(0, |sum| sum.entries);
        }
        entries
    }

    /// Adds settled starts: label, start and number. Their labels have series.
    fn add_starts(
        &mut self,
        more: impl Iterator<Item = (LabelId, Timestamp, u32)>,
        catalog: &Catalog,
    ) {
        let mut more = more.peekable();
        if more.peek().is_none() {
            return;
        }
        let over_skills = self.over_skills(catalog);
        let index = SeriesIndex::new(self.series.iter().map(|series| series.label));
        let mut starts = self.starts.decode(&over_skills);
        starts.extend(more.filter_map(|(label, start, count)| {
            let series = index.find(label)?;
            Some(MinuteStarts { minute: minute_of(start), series, count })
        }));
        // A stable sort, because nearly all of it is sorted already.
        starts.sort_by_key(|start| (start.minute, start.series));
        starts.dedup_by(|later, kept| {
            let same = (later.minute, later.series) == (kept.minute, kept.series);
            kept.count = if same { kept.count.saturating_add(later.count) } else { kept.count };
            same
        });
        self.starts = Starts::encode(&starts, &over_skills);
    }

    fn over_skills(&self, catalog: &Catalog) -> OverSkills {
        OverSkills::new(self.series.iter().map(|series| series.label), &catalog.labels)
    }

    /// Adds the series that are missing for these labels. Returns the index of all of them.
    fn add_series(&mut self, labels: impl Iterator<Item = LabelId>) -> SeriesIndex {
        let mut index = SeriesIndex::new(self.series.iter().map(|series| series.label));
        for label in labels {
            if index.find(label).is_none() {
                index.add(label);
                self.series.push(LabelCounts::new(label));
            }
        }
        index
    }

    /// Forgets the starts that no trailing `lookback` needs any more.
    pub(super) fn trim(&mut self, lookback: Duration) {
        if let Some(observed) = self.observed {
            self.starts.forget_before(minute_of(observed.minus(lookback)));
        }
    }
}

impl LabelCounts {
    fn new(label: LabelId) -> Self {
        Self {
            label,
            settled_entries: 0,
            published_entries: 0,
            settled_millis: 0,
            published_millis: 0,
        }
    }

    /// Publishes what is settled and `live` together. What is published never falls: after a
    /// revision it is too high until the true counts catch up. Returns by how much it grew.
    fn publish(&mut self, live: Option<&Tally>) -> Tally {
        let entries =
            self.settled_entries.saturating_add(narrow(live.map_or(0, |sum| sum.entries)));
        let millis = self.settled_millis + live.map_or(0, |sum| sum.millis);
        let grown = Tally {
            key: self.label,
            entries: u64::from(entries.saturating_sub(self.published_entries)),
            millis: millis.saturating_sub(self.published_millis),
        };
        self.published_entries = self.published_entries.max(entries);
        self.published_millis = self.published_millis.max(millis);
        grown
    }

    /// Published entries.
    pub(crate) fn entries(&self) -> u64 {
        self.published_entries.into()
    }

    /// Published time.
    pub(crate) const fn millis(&self) -> u64 {
        self.published_millis
    }
}

/// The sum of `label` among `sums`, which are sorted by label.
fn sum_of(sums: &[Tally], label: LabelId) -> Option<&Tally> {
    sums.binary_search_by_key(&label, |sum| sum.key).ok().map(|index| &sums[index])
}

/// Entries of one agent and label fit 32 bits: 136 years of one a second.
fn narrow(entries: u64) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}
