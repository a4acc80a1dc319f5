//! How many visits began in a span of time, and how long they lasted in it.

use super::label::{LabelId, VisitLabel};
use super::timeline::Span;
use crate::time::{Timestamp, Window};

/// Entries and time of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) label: LabelId,
    pub(super) entries: u64,
    pub(super) millis: u64,
}

/// Entries and time of what is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum<K> {
    pub(super) key: K,
    pub(super) entries: u64,
    pub(super) millis: u64,
}

/// Whether visits to one state on several skills are one visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Each counts.
    No,
    /// Those that begin together are one.
    Beginning,
    /// Those that overlap are one.
    Overlapping,
}

/// Sums up `spans` within `range` by what `group` makes of their labels; time that overlaps counts
/// once.
pub(super) fn tally<K: Ord + Copy>(
    spans: &[Span],
    range: Window,
    joined: Joined,
    group: impl FnMut(VisitLabel) -> K,
) -> Vec<Sum<K>> {
    let spans = grouped(spans, group);
    spans.chunk_by(|(a, _), (b, _)| a == b).map(|spans| sum_of(spans, range, joined)).collect()
}

/// The starts of `spans` within `range` that are entries: what `group` makes of the label, start
/// and how many.
pub(super) fn starts<K: Ord + Copy>(
    spans: &[Span],
    range: Window,
    joined: Joined,
    group: impl FnMut(VisitLabel) -> K,
) -> Vec<(K, Timestamp, u64)> {
    let spans = grouped(spans, group);
    let by_key = spans
        .chunk_by(|(a, _), (b, _)| a == b)
        .flat_map(|spans| stays(spans, joined).map(|stay| (spans[0].0, stay)));
    by_key
        .filter(|(_, stay)| stay.entries > 0 && range.contains(stay.start))
        .map(|(key, stay)| (key, stay.start, stay.entries))
        .collect()
}

fn grouped<K: Ord + Copy>(
    spans: &[Span],
    mut group: impl FnMut(VisitLabel) -> K,
) -> Vec<(K, Span)> {
    let mut spans: Vec<(K, Span)> = spans.iter().map(|span| (group(span.label), *span)).collect();
    spans.sort_by_key(|(key, span)| (*key, span.start));
    spans
}

/// The spans of one group that begin together.
struct Stay {
    start: Timestamp,
    end: Timestamp,
    entries: u64,
}

fn stays<K>(spans: &[(K, Span)], joined: Joined) -> impl Iterator<Item = Stay> + '_ {
    // Up to where the spans that began earlier last: a visit that begins before that is no new one
    // when joined.
    let mut lasting = None;
    spans.chunk_by(|(_, a), (_, b)| a.start == b.start).map(move |together| {
        let together = together.iter().map(|(_, span)| span);
        let start = together.clone().next().map_or(Timestamp::MIN, |span| span.start);
        let end = together.clone().map(|span| span.end).max().unwrap_or(start);
        let each = together.map(|span| u64::from(span.entries));
        let entries = match joined {
            Joined::No => each.sum::<u64>(),
            Joined::Overlapping if lasting.is_some_and(|lasting| start < lasting) => 0,
            Joined::Beginning | Joined::Overlapping => each.max().unwrap_or(0),
        };
        lasting = lasting.max(Some(end));
        Stay { start, end, entries }
    })
}

fn sum_of<K: Copy>(spans: &[(K, Span)], range: Window, joined: Joined) -> Sum<K> {
    let mut sum = Sum { key: spans[0].0, entries: 0, millis: 0 };
    let mut reach = range.from;
    for stay in stays(spans, joined) {
        sum.entries += if range.contains(stay.start) { stay.entries } else { 0 };
        let until = stay.end.min(range.to);
        sum.millis += millis(Window { from: stay.start.max(reach), to: until });
        reach = reach.max(until);
    }
    sum
}

fn millis(span: Window) -> u64 {
    u64::try_from(span.length().as_millis()).unwrap_or(u64::MAX)
}
