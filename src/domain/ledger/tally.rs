//! How many visits began in a span of time, and how long they lasted in it.

use super::label::LabelId;
use super::timeline::Span;
use crate::domain::time::{Timestamp, Window};

/// Entries and time of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) label: LabelId,
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

/// Sums up `spans` within `range` by label, each first mapped by `group`; time that overlaps counts
/// once.
pub(super) fn tally(
    spans: &[Span],
    range: Window,
    joined: Joined,
    group: impl FnMut(LabelId) -> LabelId,
) -> Vec<Tally> {
    let spans = grouped(spans, group);
    spans
        .chunk_by(|a, b| a.label == b.label)
        .map(|spans| tally_label(spans, range, joined))
        .collect()
}

/// The starts of `spans` within `range` that are entries: label, start and how many, each label
/// first mapped by `group`.
pub(super) fn starts(
    spans: &[Span],
    range: Window,
    joined: Joined,
    group: impl FnMut(LabelId) -> LabelId,
) -> Vec<(LabelId, Timestamp, u64)> {
    let spans = grouped(spans, group);
    let by_label = spans
        .chunk_by(|a, b| a.label == b.label)
        .flat_map(|spans| stays(spans, joined).map(|stay| (spans[0].label, stay)));
    by_label
        .filter(|(_, stay)| stay.entries > 0 && range.contains(stay.start))
        .map(|(label, stay)| (label, stay.start, stay.entries))
        .collect()
}

fn grouped(spans: &[Span], mut group: impl FnMut(LabelId) -> LabelId) -> Vec<Span> {
    let mut spans: Vec<Span> =
        spans.iter().map(|span| Span { label: group(span.label), ..*span }).collect();
    spans.sort_by_key(|span| (span.label, span.start));
    spans
}

/// The spans of one label that begin together.
struct Stay {
    start: Timestamp,
    end: Timestamp,
    entries: u64,
}

fn stays(spans: &[Span], joined: Joined) -> impl Iterator<Item = Stay> + '_ {
    // Up to where the spans that began earlier last: a visit that begins before that is no new one
    // when joined.
    let mut lasting = None;
    spans.chunk_by(|a, b| a.start == b.start).map(move |together| {
        let start = together[0].start;
        let end = together.iter().map(|span| span.end).max().unwrap_or(start);
        let each = together.iter().map(|span| u64::from(span.entries));
        let entries = match joined {
            Joined::No => each.sum::<u64>(),
            Joined::Overlapping if lasting.is_some_and(|lasting| start < lasting) => 0,
            Joined::Beginning | Joined::Overlapping => each.max().unwrap_or(0),
        };
        lasting = lasting.max(Some(end));
        Stay { start, end, entries }
    })
}

fn tally_label(spans: &[Span], range: Window, joined: Joined) -> Tally {
    let mut sum = Tally { label: spans[0].label, entries: 0, millis: 0 };
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
