//! Sums of visits: how many began in a span of time, and how long they lasted in it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::label::{LabelId, VisitLabel};
use super::timeline::VisitSpan;
use crate::time::{Timestamp, Window};

/// Upper bounds of `cxone_state_visit_duration_seconds`, in seconds; `+Inf` comes after them.
pub const VISIT_BUCKETS: [u32; 13] = [5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200];

/// What all agents did under one label since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) entries: u64,
    pub(crate) millis: u64,
    pub(crate) visits: VisitDurations,
}

/// A histogram of the lengths of visits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitDurations {
    /// Visits in each bucket, not cumulated: one bucket more than [`VISIT_BUCKETS`], for those
    /// longer than all of them.
    pub buckets: [u64; VISIT_BUCKETS.len() + 1],
    /// The sum of the lengths, in milliseconds.
    pub sum_millis: u64,
}

impl VisitDurations {
    /// Adds a finished visit.
    pub fn observe(&mut self, length: Duration) {
        let bucket =
            VISIT_BUCKETS.partition_point(|&bound| length > Duration::from_secs(u64::from(bound)));
        self.buckets[bucket] += 1;
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.sum_millis = self.sum_millis.saturating_add(millis);
    }

    /// Number of visits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Entries and time of the visits that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally<K = LabelId> {
    pub(super) key: K,
    pub(super) entries: u64,
    pub(super) millis: u64,
}

/// Whether visits to one state on several skills are one entry into the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MergeRule {
    Never,
    /// Those that begin at the same time.
    SameStart,
    /// Those that overlap.
    Overlapping,
}

/// Sums up `spans` within `range` by `key`; overlapping time counts once.
pub(super) fn tally<K: Ord + Copy>(
    spans: &[VisitSpan],
    range: Window,
    rule: MergeRule,
    key: impl FnMut(VisitLabel) -> K,
) -> Vec<Tally<K>> {
    let mut sums = Vec::new();
    for group in grouped(spans, key).chunk_by(|(a, _), (b, _)| a == b) {
        let mut sum = Tally { key: group[0].0, entries: 0, millis: 0 };
        // Time up to here is counted.
        let mut counted_to = range.from;
        for visit in merged(group, rule) {
            if range.contains(visit.start) {
                sum.entries += visit.entries;
            }
            let end = visit.end.min(range.to);
            let length = end.since(visit.start.max(counted_to));
            sum.millis += u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            counted_to = counted_to.max(end);
        }
        sums.push(sum);
    }
    sums
}

/// The entries within `range`: key, time and number.
pub(super) fn starts<K: Ord + Copy>(
    spans: &[VisitSpan],
    range: Window,
    rule: MergeRule,
    key: impl FnMut(VisitLabel) -> K,
) -> Vec<(K, Timestamp, u64)> {
    let mut starts = Vec::new();
    for group in grouped(spans, key).chunk_by(|(a, _), (b, _)| a == b) {
        let entries =
            merged(group, rule).filter(|visit| visit.entries > 0 && range.contains(visit.start));
        starts.extend(entries.map(|visit| (group[0].0, visit.start, visit.entries)));
    }
    starts
}

fn grouped<K: Ord + Copy>(
    spans: &[VisitSpan],
    mut key: impl FnMut(VisitLabel) -> K,
) -> Vec<(K, VisitSpan)> {
    let mut spans: Vec<_> = spans.iter().map(|span| (key(span.label), *span)).collect();
    spans.sort_by_key(|(key, span)| (*key, span.start));
    spans
}

/// The spans of one group that begin at the same time.
struct MergedVisit {
    start: Timestamp,
    end: Timestamp,
    entries: u64,
}

fn merged<K>(spans: &[(K, VisitSpan)], rule: MergeRule) -> impl Iterator<Item = MergedVisit> + '_ {
    // The latest end of the spans so far. A visit that begins before it overlaps one of them.
    let mut reached: Option<Timestamp> = None;
    spans.chunk_by(|(_, a), (_, b)| a.start == b.start).map(move |together| {
        let start = together[0].1.start;
        let (mut end, mut sum, mut most) = (start, 0, 0);
        for (_, span) in together {
            let entries = u64::from(span.entries);
            (end, sum, most) = (end.max(span.end), sum + entries, most.max(entries));
        }
        let entries = match rule {
            MergeRule::Never => sum,
            MergeRule::Overlapping if reached.is_some_and(|reached| start < reached) => 0,
            MergeRule::SameStart | MergeRule::Overlapping => most,
        };
        reached = reached.max(Some(end));
        MergedVisit { start, end, entries }
    })
}
