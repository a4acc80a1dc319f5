//! One agent: what is settled, what may still change, and what was published of it.

mod buckets;
mod version_1;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use buckets::Buckets;

use super::book::Book;
use super::label::{LabelId, VisitLabel};
use super::starts::{Index, MINUTE, Places, Start, Starts, minute_of};
use super::tally::Tally;
use super::timeline::{Place, Timeline, Told};
use super::{RowKind, SubmitOrder, TargetId};
use crate::time::{Timestamp, Window};

/// Times may be told rounded to seconds: what ended less than this before the horizon is told again
/// by a tenant that asks its own clock whether a row is in the window.
const ROUNDED: Duration = Duration::from_secs(2);

/// The counts of one agent and label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) label: LabelId,
    settled_entries: u32,
    published_entries: u32,
    settled_millis: u64,
    published_millis: u64,
}

/// Entries and milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) entries: u64,
    pub(super) millis: u64,
}

/// A target whose reports told of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Membership {
    pub(super) target: TargetId,
    /// Whether the target's newest report did.
    pub(super) newest: bool,
}

/// Everything about one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) display_name: Option<Box<str>>,
    /// Where its counting begins: the earliest epoch of its targets; with buckets, that of the
    /// target it was first counted from.
    pub(super) epoch: Timestamp,
    /// Event time up to which it is known; `None` until the first report is taken in.
    pub(super) observed: Option<Timestamp>,
    /// The start of the earliest window that told of it.
    known_from: Timestamp,
    /// The end of the latest window that told of it.
    pub(super) last_told: Timestamp,
    pub(super) memberships: Vec<Membership>,
    /// The windows of recent reports that told of it, for those asked earlier that are still to
    /// come.
    told_in: Vec<(SubmitOrder, Window)>,
    /// What lies before this stands as it was counted.
    settled_to: Timestamp,
    timeline: Timeline,
    pub(super) series: Vec<Series>,
    /// Settled starts, for the gauge over the trailing lookback; in records of their own.
    #[serde(skip)]
    pub(super) starts: Starts,
    /// With rows that are buckets: who counts, and what waits.
    buckets: Option<Box<Buckets>>,
}

/// A report as one agent needs it.
pub(super) struct AgentReport<'a> {
    pub(super) target: TargetId,
    pub(super) target_epoch: Timestamp,
    pub(super) order: SubmitOrder,
    /// Nothing asked earlier than this is still to come.
    pub(super) oldest_pending: SubmitOrder,
    pub(super) window: Window,
    pub(super) horizon: Timestamp,
    pub(super) rows: &'a [Told],
    /// The row that begins last, if it is told with no length.
    pub(super) doubtful: Option<(VisitLabel, Timestamp)>,
}

/// Rows that were not simply taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) revised: u64,
    pub(super) late: u64,
}

/// What a new observed time brought.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// Labels whose published counts grew, and by how much.
    pub(super) grown: Vec<(LabelId, Sums)>,
    /// Visits whose end is known for the first time.
    pub(super) finished: Vec<(LabelId, Window)>,
}

impl Agent {
    pub(super) fn new(window: Window, target_epoch: Timestamp) -> Self {
        Self {
            display_name: None,
            epoch: target_epoch,
            observed: None,
            known_from: window.from,
            last_told: window.to,
            memberships: Vec::new(),
            told_in: Vec::new(),
            settled_to: Timestamp::MIN,
            timeline: Timeline::default(),
            series: Vec::new(),
            starts: Starts::default(),
            buckets: None,
        }
    }

    /// Takes in what a report tells of the agent. Its observed time and its counts follow with
    /// [`Agent::observe`].
    pub(super) fn apply(&mut self, report: &AgentReport<'_>, book: &Book) -> Noted {
        let rows = book.rules.rows;
        // Whose history could not be read meanwhile is not settled meanwhile.
        let horizon = match self.observed {
            Some(observed) if rows == RowKind::States => {
                report.horizon.min(observed.minus(book.rules.overlap))
            }
            Some(_) | None => report.horizon,
        };
        let report = &AgentReport { horizon, ..*report };
        self.epoch = self.epoch.min(report.target_epoch);
        self.last_told = self.last_told.max(report.window.to);
        self.join_target(report.target);
        self.add_series(report.rows.iter().flat_map(|row| book.groups_of(row.label.label)));
        if let Some(observed) = self.observed {
            self.settle(report.horizon.min(observed), observed, book);
        }
        let mut noted = Noted::default();
        let (late, mut in_time): (Vec<Told>, Vec<Told>) =
            report.rows.iter().partition(|row| self.is_late(row, book.rules.rows, report.horizon));
        let newer: Vec<Window> = self
            .told_in
            .iter()
            .filter(|(order, _)| *order > report.order)
            .map(|(_, window)| *window)
            .collect();
        // Nothing is settled for an agent that is told of for the first time.
        let settled_to = self.observed.map_or(Timestamp::MIN, |_| report.horizon);
        let place = Place { window: report.window, settled_to, newer: &newer };
        match book.rules.rows {
            RowKind::Intervals => {
                noted.revised = self.timeline.replace_intervals(&place, self.observed, &in_time)
            }
            RowKind::Events | RowKind::States => {
                if rows == RowKind::States {
                    self.timeline.let_last(report.doubtful, &mut in_time);
                }
                noted.revised = self.timeline.replace_events(&place, &in_time)
            }
            RowKind::Buckets => self.take_buckets(report, book),
        }
        let late =
            if book.rules.rows == RowKind::States { self.timeline.take_ends(&late) } else { late };
        noted.late = self.note_late(&late, report, book);
        self.told_in.retain(|(order, _)| *order >= report.oldest_pending);
        self.told_in.push((report.order, report.window));
        self.known_from = self.known_from.min(report.window.from);
        noted
    }

    fn join_target(&mut self, target: TargetId) {
        match self.memberships.iter_mut().find(|membership| membership.target == target) {
            Some(membership) => membership.newest = true,
            None => self.memberships.push(Membership { target, newest: true }),
        }
    }

    /// Puts other targets in the place of those that it knows, as `place_of` says; those without a
    /// place go. Returns whether any of them is another one now.
    pub(super) fn retarget(&mut self, place_of: impl Fn(TargetId) -> Option<TargetId>) -> bool {
        let stays = |target: TargetId| place_of(target) == Some(target);
        let of_buckets = self.buckets.iter().flat_map(|buckets| buckets.targets());
        if self.memberships.iter().map(|membership| membership.target).chain(of_buckets).all(stays)
        {
            return false;
        }
        self.memberships.retain_mut(|membership| {
            let place = place_of(membership.target);
            membership.target = place.unwrap_or(membership.target);
            place.is_some()
        });
        self.buckets = self.buckets.take().and_then(|buckets| buckets.retargeted(place_of));
        true
    }

    /// Whether any target's newest report told of the agent.
    pub(super) fn in_newest(&self) -> bool {
        self.memberships.iter().any(|membership| membership.newest)
    }

    /// Nothing is late for an agent that is told of for the first time.
    fn is_late(&self, row: &Told, rows: RowKind, horizon: Timestamp) -> bool {
        self.observed.is_some()
            && match rows {
                RowKind::Intervals => row.end.is_some_and(|end| end < horizon),
                RowKind::Events | RowKind::States => row.start < horizon,
                RowKind::Buckets => false,
            }
    }

    /// Late rows count for nothing; but those from before the agent was known belong to the
    /// trailing lookback all the same.
    fn note_late(&mut self, late: &[Told], report: &AgentReport<'_>, book: &Book) -> u64 {
        let first_told = Window { from: report.window.from, to: self.known_from };
        let early = late.iter().filter(|row| first_told.contains(row.start));
        self.add_starts(
            early.flat_map(|row| {
                book.groups_of(row.label.label).map(|label| (label, row.start, row.count))
            }),
            book,
        );
        let after_epoch =
            late.iter().filter(|row| row.end.unwrap_or(row.start) > report.target_epoch);
        u64::try_from(after_epoch.count()).unwrap_or(u64::MAX)
    }

    /// Counts for good what lies before `horizon`, and forgets the visits that ended there.
    fn settle(&mut self, horizon: Timestamp, observed: Timestamp, book: &Book) {
        if horizon <= self.settled_to || book.rules.rows == RowKind::Buckets {
            return;
        }
        let spans = book.spans(&self.timeline, observed);
        let sums =
            book.tally(&spans, Window { from: self.epoch.max(self.settled_to), to: horizon });
        let index = self.add_series(sums.iter().map(|sum| sum.label));
        for sum in sums {
            let Some(place) = index.find(sum.label) else { continue };
            let series = &mut self.series[place as usize];
            series.settled_entries = series.settled_entries.saturating_add(narrow(sum.entries));
            series.settled_millis += sum.millis;
        }
        let newly = Window { from: self.settled_to, to: horizon };
        let starts = book.starts(&spans, newly);
        self.add_starts(
            starts.into_iter().map(|(label, start, entries)| (label, start, narrow(entries))),
            book,
        );
        // A start that was rounded down is told a little longer than the visit is unsettled: it is
        // known again, and not late.
        let known_from =
            if book.rules.rows == RowKind::States { horizon.minus(ROUNDED) } else { horizon };
        let mut spans = spans.iter();
        self.timeline.pieces.retain(|piece| {
            let end = spans.next().map_or(piece.start, |span| span.end);
            piece.start >= horizon || end > known_from || end >= observed
        });
        self.settled_to = horizon;
    }

    /// Whether anything of it is known beyond `to` by `target`, or settled beyond `highest`.
    pub(super) fn is_known_beyond(
        &self,
        target: TargetId,
        to: Timestamp,
        highest: Timestamp,
    ) -> bool {
        let is_member = self.memberships.iter().any(|membership| membership.target == target);
        is_member && self.observed.is_some_and(|observed| observed > to)
            || self.settled_to > highest
            || self.last_told > highest
    }

    /// The latest start of a visit that was reported.
    pub(super) fn latest_start(&self) -> Option<Timestamp> {
        self.timeline.pieces.iter().map(|piece| piece.start).max()
    }

    /// Nothing is known beyond `known_to`, though a clock that was ahead said so: visits that were
    /// said to last into that time last up to there, and what was settled of it is counted anew.
    /// Counting begins at `epoch` at the latest.
    pub(super) fn set_back(&mut self, known_to: Timestamp, epoch: Timestamp, book: &Book) {
        let spans = book.spans(&self.timeline, self.observed.unwrap_or(known_to));
        let unsettled = Window { from: known_to, to: self.settled_to.max(known_to) };
        if self.epoch >= known_to {
            // All that was counted is of the time that was ahead.
            for series in &mut self.series {
                (series.settled_entries, series.settled_millis) = (0, 0);
            }
        } else if book.rules.rows != RowKind::Buckets {
            // As near as may be: what state it was counted under is known for the last of it.
            for sum in book.tally(&spans, unsettled) {
                let known = self.series.iter_mut().find(|series| series.label == sum.label);
                let Some(series) = known else { continue };
                series.settled_entries = series.settled_entries.saturating_sub(narrow(sum.entries));
                series.settled_millis = series.settled_millis.saturating_sub(sum.millis);
            }
        }
        self.timeline.cut(known_to, book.rules.rows == RowKind::Intervals);
        self.told_in.iter_mut().for_each(|(_, window)| window.to = window.to.min(known_to));
        if let Some(buckets) = &mut self.buckets {
            buckets.set_back(known_to);
        }
        self.settled_to = self.settled_to.min(known_to);
        self.last_told = self.last_told.min(known_to);
        self.epoch = self.epoch.min(epoch);
    }

    /// Sets up to where the agent is known, and counts anew.
    pub(super) fn observe(&mut self, observed: Timestamp, book: &Book) -> News {
        let mut news = News::default();
        self.observed = Some(observed);
        let spans = book.spans(&self.timeline, observed);
        let live =
            book.tally(&spans, Window { from: self.epoch.max(self.settled_to), to: observed });
        self.add_series(live.iter().map(|sum| sum.label));
        for series in &mut self.series {
            let grown = series.publish(sum_of(&live, series.label));
            if grown != Sums::default() {
                news.grown.push((series.label, grown));
            }
        }
        for span in &spans {
            let piece = &mut self.timeline.pieces[span.place];
            if span.entries == 1
                && !piece.measured
                && span.end < observed
                && span.start >= self.epoch
            {
                piece.measured = true;
                news.finished.push((span.label.label, Window { from: span.start, to: span.end }));
            }
        }
        news
    }

    /// The place of the newest report that told of it, in the order of asking.
    pub(super) fn newest_order(&self) -> SubmitOrder {
        self.told_in.iter().map(|(order, _)| *order).max().unwrap_or_default()
    }

    /// Every label that it refers to.
    pub(super) fn labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        self.series.iter().map(|series| series.label).chain(self.visit_labels())
    }

    /// Those of visits that may still change.
    pub(super) fn visit_labels(&self) -> impl Iterator<Item = LabelId> + '_ {
        let pieces = self.timeline.pieces.iter().map(|piece| piece.label.label);
        let waiting = self.buckets.iter().flat_map(|buckets| buckets.labels());
        pieces.chain(waiting)
    }

    /// A visit that is known under `other` stays there although its label has got room since, so
    /// that it does not count twice.
    pub(super) fn keep_folded(
        &self,
        rows: &mut [Told],
        doubtful: &mut Option<(VisitLabel, Timestamp)>,
        book: &Book,
    ) {
        if !self.timeline.has_folded() {
            return;
        }
        let told = rows.iter_mut().map(|row| (&mut row.label, row.start));
        let doubtful = doubtful.iter_mut().map(|(label, start)| (label, *start));
        for (label, start) in told.chain(doubtful).filter(|(label, _)| label.folded == 0) {
            let known =
                book.as_folded(label.label).find(|folded| self.timeline.knows_at(*folded, start));
            *label = known.unwrap_or(*label);
        }
    }

    /// Forgets the series of these labels.
    pub(super) fn forget_series(&mut self, labels: &BTreeSet<LabelId>, book: &Book) {
        let mut starts = self.starts.decode(&self.places(book));
        let before = std::mem::take(&mut self.series);
        let mut places = Vec::with_capacity(before.len());
        for series in before {
            let stays = !labels.contains(&series.label);
            places.push(stays.then(|| u32::try_from(self.series.len()).ok()).flatten());
            self.series.extend(Some(series).filter(|_| stays));
        }
        starts.retain_mut(|start| {
            let place = places.get(start.place as usize).copied().flatten();
            start.place = place.unwrap_or(start.place);
            place.is_some()
        });
        starts.sort_unstable();
        self.starts = Starts::encode(&starts, &self.places(book));
    }

    /// The visits that have not ended at the observed time, with their starts.
    pub(super) fn lasting(&self, book: &Book) -> Vec<(LabelId, Timestamp)> {
        let Some(observed) = self.observed else { return Vec::new() };
        let spans = book.spans(&self.timeline, observed);
        let lasting = spans.iter().filter(|span| span.start < observed && span.end >= observed);
        lasting.map(|span| (span.label.label, span.start)).collect()
    }

    /// State changes in the trailing `lookback` before the observed time, in steps of a minute: for
    /// each series in its place.
    pub(super) fn window_entries(&self, book: &Book) -> Vec<u64> {
        let mut entries = vec![0; self.series.len()];
        let Some(observed) = self.observed else { return entries };
        let first_minute = minute_of(observed.minus(book.rules.lookback));
        self.starts.each_since(first_minute, &self.places(book), |start| {
            if let Some(entries) =
                usize::try_from(start.place).ok().and_then(|place| entries.get_mut(place))
            {
                *entries += u64::from(start.count);
            }
        });
        let from = Timestamp::from_millis(i64::from(first_minute) * MINUTE).max(self.settled_to);
        let live = book.tally(&book.spans(&self.timeline, observed), Window { from, to: observed });
        for (series, entries) in self.series.iter().zip(&mut entries) {
            *entries += sum_of(&live, series.label).map_or(0, |sum| sum.entries);
        }
        entries
    }

    /// Takes in settled starts: label, start and how many. Their labels have series.
    fn add_starts(&mut self, more: impl Iterator<Item = (LabelId, Timestamp, u32)>, book: &Book) {
        let mut more = more.peekable();
        if more.peek().is_none() {
            return;
        }
        let places = self.places(book);
        let index = Index::new(self.series.iter().map(|series| series.label));
        let mut starts = self.starts.decode(&places);
        starts.extend(more.filter_map(|(label, start, count)| {
            Some(Start { minute: minute_of(start), place: index.find(label)?, count })
        }));
        // Stable: nearly all of it is sorted already.
        starts.sort_by_key(|start| (start.minute, start.place));
        starts.dedup_by(|later, kept| {
            let same = (later.minute, later.place) == (kept.minute, kept.place);
            kept.count = if same { kept.count.saturating_add(later.count) } else { kept.count };
            same
        });
        self.starts = Starts::encode(&starts, &places);
    }

    fn places(&self, book: &Book) -> Places {
        Places::new(self.series.iter().map(|series| series.label), &book.labels)
    }

    /// Sees to it that each of the labels has a series. Returns where all of them stand.
    fn add_series(&mut self, labels: impl Iterator<Item = LabelId>) -> Index {
        let mut index = Index::new(self.series.iter().map(|series| series.label));
        for label in labels {
            if index.find(label).is_none() {
                index.add(label);
                self.series.push(Series::new(label));
            }
        }
        index
    }

    /// Forgets the starts that no trailing `lookback` will need again.
    pub(super) fn trim(&mut self, lookback: Duration) {
        if let Some(observed) = self.observed {
            self.starts.forget_before(minute_of(observed.minus(lookback)));
        }
    }
}

impl Series {
    fn new(label: LabelId) -> Self {
        Self {
            label,
            settled_entries: 0,
            published_entries: 0,
            settled_millis: 0,
            published_millis: 0,
        }
    }

    /// What is published never falls: a revision leaves it too high until the truth catches up.
    /// Returns the growth.
    fn publish(&mut self, live: Option<&Tally>) -> Sums {
        let entries =
            self.settled_entries.saturating_add(narrow(live.map_or(0, |sum| sum.entries)));
        let millis = self.settled_millis + live.map_or(0, |sum| sum.millis);
        let grown = Sums {
            entries: u64::from(entries.saturating_sub(self.published_entries)),
            millis: millis.saturating_sub(self.published_millis),
        };
        self.published_entries = self.published_entries.max(entries);
        self.published_millis = self.published_millis.max(millis);
        grown
    }

    /// What is shown.
    pub(super) fn published(&self) -> Sums {
        Sums { entries: u64::from(self.published_entries), millis: self.published_millis }
    }
}

/// The sum of `label` among those sorted by label.
fn sum_of(sums: &[Tally], label: LabelId) -> Option<&Tally> {
    sums.binary_search_by_key(&label, |sum| sum.label).ok().map(|place| &sums[place])
}

/// State changes of one agent and label fit 32 bits: 136 years of one a second.
fn narrow(entries: u64) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}
