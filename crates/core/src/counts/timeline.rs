//! One agent's visits after the horizon, and how a report replaces what earlier ones told.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::label::VisitLabel;
use crate::names::NameId;
use crate::time::{Timestamp, Window};

/// What tells states apart: a name and, for those that share one, a hash.
type State = (NameId, u64);

/// Windows in order, apart from each other.
type Windows = SmallVec<[Window; 2]>;

/// What is known of one visit: where it began, and up to where it is known to have lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) label: VisitLabel,
    pub(super) start: Timestamp,
    /// `None` (events only): until the agent's next row in another state.
    pub(super) end: Option<Timestamp>,
    /// State changes at `start`: 0 when the start is only where a window cut it, more than 1 for an
    /// aggregated row.
    pub(super) entries: u32,
    /// Whether the histogram of visits has it.
    pub(super) measured: bool,
}

impl Piece {
    fn key(&self) -> (VisitLabel, Timestamp) {
        (self.label, self.start)
    }

    /// A newer report tells its end. One of no length is no end of a visit that is known to be
    /// longer: it is another one, at the same instant.
    fn learn_end(&mut self, end: Option<Timestamp>) {
        if end != Some(self.start) {
            self.end = end.or(self.end);
        }
    }
}

/// One row of a report, as it concerns its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) label: VisitLabel,
    pub(super) start: Timestamp,
    /// `None` while it lasts.
    pub(super) end: Option<Timestamp>,
    pub(super) count: u32,
}

/// Sorts the rows, and makes one of those with the same label and start: visits that cannot be told
/// apart are one visit, as long as the longest of them. A row with a count has no length.
pub(super) fn leave_one_of_each(rows: &mut Vec<Told>) {
    for row in rows.iter_mut().filter(|row| row.count > 1) {
        row.end = Some(row.start);
    }
    rows.sort_by_key(|row| (row.label, row.start));
    rows.dedup_by(|later, kept| {
        let same = (later.label, later.start) == (kept.label, kept.start);
        if same {
            kept.count = kept.count.max(later.count);
            // One that lasts is the longest.
            kept.end = kept.end.zip(later.end).map(|(kept, later)| kept.max(later));
        }
        same
    });
}

/// What ends a visit whose end was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasts {
    /// The agent's next row in another state.
    ToNextState,
    /// The agent's next row, whatever it tells.
    ToNextStart,
}

/// What a report may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The window that was asked for.
    pub(super) window: Window,
    /// What lies before this stands as it was counted.
    pub(super) settled_to: Timestamp,
    /// The windows of reports asked later that are already taken in.
    pub(super) newer: &'a [Window],
}

impl Place<'_> {
    /// The parts of the window that the report is the newest truth about.
    fn parts(&self) -> Windows {
        uncovered(Window { from: self.window.from.max(self.settled_to), ..self.window }, self.newer)
    }
}

/// The pieces of one agent, sorted by label and start. For rows that are intervals, those of one
/// label never overlap: they are the time spent there, parted where a visit begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timeline {
    pub(super) pieces: Vec<Piece>,
}

impl Timeline {
    /// Takes in a report's intervals: they are the truth about its window, but for what newer ones
    /// cover and what is settled. `observed` is up to where the agent was known. Returns how many
    /// visits told before were changed.
    pub(super) fn replace_intervals(
        &mut self,
        place: &Place<'_>,
        observed: Option<Timestamp>,
        rows: &[Told],
    ) -> u64 {
        let Place { window, newer, .. } = *place;
        let parts = place.parts();
        let told_before: Vec<Piece> = self
            .pieces
            .iter()
            .copied()
            .filter(|piece| parts.iter().any(|part| touches(piece, *part)))
            .collect();
        // Those kept of sorted ones are sorted.
        let at_start = |row: &Told| {
            let key = (row.label, window.from);
            let place = told_before.binary_search_by_key(&key, Piece::key).ok()?;
            Some(told_before[place]).filter(|piece| piece.entries > 0)
        };
        for part in &parts {
            self.erase(*part);
        }
        self.join_inside(rows, window.from, newer);
        for row in rows.iter().filter(|row| row.start < window.to) {
            // A row that starts where its window does may have been cut there: only a known visit
            // makes it an entry.
            let entries = if row.start == window.from {
                at_start(row).map_or(0, |piece| piece.entries)
            } else {
                row.count
            };
            let end =
                if row.count > 1 { row.start } else { row.end.unwrap_or(window.to).min(window.to) };
            self.add(row.label, Window { from: row.start, to: end }, entries, newer);
        }
        self.join();
        self.carry_measured(&told_before);
        let closed = |piece: &Piece| {
            observed.is_some_and(|observed| piece.end.is_some_and(|end| end < observed))
        };
        self.count_changed(&told_before, closed)
    }

    /// Takes in a report's events, one of each label and start: they are the truth about what began
    /// in its window, but for what newer ones cover and what is settled. Returns how many rows told
    /// before were changed.
    pub(super) fn replace_events(&mut self, place: &Place<'_>, rows: &[Told]) -> u64 {
        let Place { window, newer, .. } = *place;
        let parts = place.parts();
        let in_parts = |piece: &Piece| parts.iter().any(|part| part.contains(piece.start));
        let told_before: Vec<Piece> = self.pieces.iter().copied().filter(in_parts).collect();
        self.pieces.retain(|piece| !in_parts(piece));
        for row in rows.iter().filter(|row| row.start < window.to && !covered(row.start, newer)) {
            self.pieces.push(Piece {
                label: row.label,
                start: row.start,
                end: row.end,
                entries: row.count,
                measured: false,
            });
        }
        self.pieces.sort_by_key(Piece::key);
        self.pieces.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                kept.entries = kept.entries.max(later.entries);
                kept.learn_end(later.end);
            }
            same
        });
        self.carry_measured(&told_before);
        self.count_changed(&told_before, |piece| piece.end.is_some())
    }

    /// The `doubtful` row is told with no length, as the agent's last one: if it was known to last,
    /// it still does.
    pub(super) fn let_last(&self, doubtful: Option<(VisitLabel, Timestamp)>, rows: &mut [Told]) {
        let Some(key) = doubtful else { return };
        let known = self.pieces.binary_search_by_key(&key, Piece::key).ok();
        if known.is_some_and(|place| self.pieces[place].end.is_none()) {
            rows.iter_mut()
                .filter(|row| (row.label, row.start) == key)
                .for_each(|row| row.end = None);
        }
    }

    /// Rows that began before the horizon are settled, but those of visits that last beyond it may
    /// tell where these end. Returns the others.
    pub(super) fn take_ends(&mut self, late: &[Told]) -> Vec<Told> {
        let mut unknown = late.to_vec();
        unknown.retain(|row| {
            let known = self.pieces.binary_search_by_key(&(row.label, row.start), Piece::key).ok();
            if let Some(place) = known {
                self.pieces[place].learn_end(row.end);
            }
            known.is_none()
        });
        unknown
    }

    /// Forgets what is known of `part`: what began there loses its beginning, what lasted through
    /// it falls in two.
    fn erase(&mut self, part: Window) {
        let mut rest = Vec::new();
        self.pieces.retain_mut(|piece| {
            let end = piece.end.unwrap_or(part.to);
            if !touches(piece, part) {
                return true;
            }
            if end > part.to {
                rest.push(Piece { start: part.to, entries: 0, ..*piece });
            }
            piece.end = Some(part.from);
            piece.start < part.from
        });
        self.pieces.extend(rest);
    }

    /// Forgets what begins at `to` or later, and with `ends_too`, that anything lasts longer.
    pub(super) fn cut(&mut self, to: Timestamp, ends_too: bool) {
        self.pieces.retain_mut(|piece| {
            if ends_too {
                piece.end = piece.end.map(|end| end.min(to));
            }
            piece.start < to
        });
    }

    /// A row that began before its window is one visit up to the window's start, so no other of its
    /// label, as it was known before, began within.
    fn join_inside(&mut self, rows: &[Told], window_start: Timestamp, newer: &[Window]) {
        let lasts_to = |row: &Told| row.end.map_or(window_start, |end| end.min(window_start));
        let mut early: Vec<(VisitLabel, Window)> = rows
            .iter()
            .filter(|row| row.start < window_start)
            .map(|row| (row.label, Window { from: row.start, to: lasts_to(row) }))
            .collect();
        if early.is_empty() {
            return;
        }
        early.sort_unstable_by_key(|(label, span)| (*label, span.from));
        // Both are in the order of label and start, and `reach` is how far the rows of the label
        // that began before a piece last: one pass, however many there are of either.
        let mut early = early.into_iter().peekable();
        let mut reach: Option<(VisitLabel, Timestamp)> = None;
        for piece in &mut self.pieces {
            let began_before =
                |(label, span): &(VisitLabel, Window)| (*label, span.from) < piece.key();
            while let Some((label, span)) = early.next_if(began_before) {
                let before = reach.filter(|(reached, _)| *reached == label);
                reach = Some((label, before.map_or(span.to, |(_, to)| to.max(span.to))));
            }
            let inside = reach.is_some_and(|(label, to)| label == piece.label && piece.start < to);
            if inside && !covered(piece.start, newer) {
                piece.entries = 0;
            }
        }
    }

    /// Whether any visit is known by more than its label.
    pub(super) fn has_folded(&self) -> bool {
        self.pieces.iter().any(|piece| piece.label.folded != 0)
    }

    /// Whether a visit of this label is known that begins or lasts at `start`.
    pub(super) fn knows_at(&self, label: VisitLabel, start: Timestamp) -> bool {
        let after = self.pieces.partition_point(|piece| piece.key() <= (label, start));
        let before = after.checked_sub(1).map(|place| &self.pieces[place]);
        before.is_some_and(|piece| piece.label == label && piece.end.is_none_or(|end| end >= start))
    }

    fn add(&mut self, label: VisitLabel, span: Window, entries: u32, newer: &[Window]) {
        let entries = if covered(span.from, newer) { 0 } else { entries };
        if span.from == span.to {
            if entries > 0 {
                self.pieces.push(Piece {
                    label,
                    start: span.from,
                    end: Some(span.to),
                    entries,
                    measured: false,
                });
            }
            return;
        }
        for part in uncovered(span, newer) {
            let entries = if part.from == span.from { entries } else { 0 };
            self.pieces.push(Piece {
                label,
                start: part.from,
                end: Some(part.to),
                entries,
                measured: false,
            });
        }
    }

    /// Sorts, and joins what belongs together: a piece without an entry goes on from the one that
    /// reaches it.
    fn join(&mut self) {
        self.pieces.sort_by_key(Piece::key);
        self.pieces.dedup_by(|later, kept| {
            let (Some(kept_end), Some(later_end)) = (kept.end, later.end) else { return false };
            if later.label != kept.label || later.start > kept_end {
                return false;
            }
            if later.entries == 0 || later.start == kept.start {
                kept.end = Some(kept_end.max(later_end));
                kept.entries = kept.entries.max(later.entries);
                return true;
            }
            kept.end = Some(later.start);
            later.end = Some(later_end.max(kept_end));
            false
        });
    }

    fn carry_measured(&mut self, told_before: &[Piece]) {
        for old in told_before.iter().filter(|piece| piece.measured) {
            if let Some(piece) = self.find_mut(old) {
                piece.measured = true;
            }
        }
    }

    fn count_changed(&mut self, told_before: &[Piece], closed: impl Fn(&Piece) -> bool) -> u64 {
        let mut changed = 0;
        for old in told_before.iter().filter(|piece| piece.entries > 0) {
            let same = self.find_mut(old).is_some_and(|piece| {
                piece.entries == old.entries && (!closed(old) || piece.end == old.end)
            });
            changed += u64::from(!same);
        }
        changed
    }

    fn find_mut(&mut self, like: &Piece) -> Option<&mut Piece> {
        let place = self.pieces.binary_search_by_key(&like.key(), Piece::key).ok()?;
        Some(&mut self.pieces[place])
    }

    /// Every piece with its end: those without one last to the next start, or the next in another
    /// state, else to `observed`.
    pub(super) fn spans(
        &self,
        observed: Timestamp,
        lasts: Lasts,
        state_of: impl Fn(VisitLabel) -> State,
    ) -> Vec<Span> {
        let ends = if self.pieces.iter().any(|piece| piece.end.is_none()) {
            self.implied_ends(lasts, &state_of)
        } else {
            HashMap::new()
        };
        self.pieces
            .iter()
            .enumerate()
            .map(|(place, piece)| {
                let end = piece
                    .end
                    .or_else(|| ends.get(&place).copied())
                    .unwrap_or(observed.max(piece.start));
                Span { label: piece.label, start: piece.start, end, entries: piece.entries, place }
            })
            .collect()
    }

    /// For each piece without an end, by its place: the first later start that ends it, if there is
    /// one.
    fn implied_ends(
        &self,
        lasts: Lasts,
        state_of: &impl Fn(VisitLabel) -> State,
    ) -> HashMap<usize, Timestamp> {
        let mut places: Vec<usize> = (0..self.pieces.len()).collect();
        places.sort_by_key(|&place| std::cmp::Reverse(self.pieces[place].start));
        let mut ends = HashMap::new();
        // Of the starts passed so far (later ones): the nearest, and the nearest in any other state
        // than that.
        let mut nearest: Option<(State, Timestamp)> = None;
        let mut other: Option<Timestamp> = None;
        for group in places.chunk_by(|&a, &b| self.pieces[a].start == self.pieces[b].start) {
            for &place in group.iter().filter(|&&place| self.pieces[place].end.is_none()) {
                let end = match nearest {
                    Some((_, start)) if lasts == Lasts::ToNextStart => Some(start),
                    Some((state, start)) if state != state_of(self.pieces[place].label) => {
                        Some(start)
                    }
                    Some(_) | None => other,
                };
                ends.extend(end.map(|end| (place, end)));
            }
            for &place in group {
                let (state, start) = (state_of(self.pieces[place].label), self.pieces[place].start);
                if let Some((nearest_state, nearest_start)) = nearest
                    && nearest_state != state
                {
                    other = Some(nearest_start);
                }
                nearest = Some((state, start));
            }
        }
        ends
    }
}

/// A piece with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) label: VisitLabel,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) entries: u32,
    /// Its piece's place in the timeline.
    pub(super) place: usize,
}

fn touches(piece: &Piece, part: Window) -> bool {
    part.contains(piece.start)
        || (piece.start < part.from && piece.end.is_none_or(|end| end > part.from))
}

fn covered(point: Timestamp, newer: &[Window]) -> bool {
    newer.iter().any(|window| window.contains(point))
}

/// What the `newer` windows leave of `span`, in order: mostly all of it.
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
