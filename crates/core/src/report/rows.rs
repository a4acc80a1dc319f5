//! The rows of a report, 24 bytes each, because a report of a million rows stays in memory until it
//! was read whole.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::ReportRow;
use crate::names::NameId;
use crate::time::Timestamp;

/// Rows in one allocation. A single list would exist twice each time that it grows.
const PIECE: usize = 1 << 15;

/// Instead of a length: the state is in progress.
const LASTS: u32 = u32::MAX;

/// Instead of a length: 49 days or more; the end is in a table of its own.
const LONG: u32 = u32::MAX - 1;

/// Rows, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct RowTable {
    pieces: Vec<Vec<Packed>>,
    /// Pairs of state and skill: a contact centre has few of them.
    labels: Vec<(NameId, NameId)>,
    places: HashMap<(NameId, NameId), u32, RandomState>,
    /// The ends of rows that are too long for a length, by the row's index.
    ends: BTreeMap<usize, Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Packed {
    from: Timestamp,
    agent: NameId,
    label: u32,
    count: u32,
    /// Milliseconds to the end.
    length: u32,
}

impl RowTable {
    /// Adds a row.
    pub(super) fn push(&mut self, row: ReportRow) {
        let length = row.to.map_or(LASTS, |to| {
            let length = to
                .millis()
                .checked_sub(row.from.millis())
                .and_then(|length| u32::try_from(length).ok());
            length.filter(|length| *length < LONG).unwrap_or(LONG)
        });
        if let (LONG, Some(to)) = (length, row.to) {
            self.ends.insert(self.len(), to);
        }
        let label = self.label(row.state, row.skill);
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            // The first piece grows as it is filled: most reports are small.
            self.pieces.push(if self.pieces.is_empty() {
                Vec::new()
            } else {
                Vec::with_capacity(PIECE)
            });
        }
        let piece = self.pieces.last_mut().expect("there is one with room");
        piece.push(Packed { from: row.from, agent: row.agent, label, count: row.count, length });
    }

    fn label(&mut self, state: NameId, skill: NameId) -> u32 {
        *self.places.entry((state, skill)).or_insert_with(|| {
            self.labels.push((state, skill));
            u32::try_from(self.labels.len() - 1)
                .expect("fewer pairs than rows, and rows are limited to far fewer")
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        let before = self.pieces.len().saturating_sub(1) * PIECE;
        before + self.pieces.last().map_or(0, Vec::len)
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The row at index `place`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, place: usize) -> ReportRow {
        let Packed { from, agent, label, count, length } =
            self.pieces[place / PIECE][place % PIECE];
        let (state, skill) = self.labels[label as usize];
        let to = match length {
            LASTS => None,
            LONG => self.ends.get(&place).copied(),
            millis => Some(Timestamp::from_millis(from.millis() + i64::from(millis))),
        };
        ReportRow { agent, state, skill, count, from, to }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReportRow> + '_ {
        (0..self.len()).map(|place| self.get(place))
    }

    /// The agents of all rows.
    pub fn agents(&self) -> impl Iterator<Item = NameId> + '_ {
        self.pieces.iter().flatten().map(|row| row.agent)
    }

    pub(super) fn agents_mut(&mut self) -> impl Iterator<Item = &mut NameId> + '_ {
        self.pieces.iter_mut().flatten().map(|row| &mut row.agent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::Names;

    #[test]
    fn a_row_takes_24_bytes() {
        assert_eq!(size_of::<Packed>(), 24);
    }

    proptest! {
        /// Lengths of nothing, of moments, at the edge of what is packed, beyond it, and ends
        /// before the start.
        #[test]
        fn rows_are_read_as_they_were_added(
            rows in prop::collection::vec((0..4_usize, 0..3_usize, 0..3_usize, any::<u32>(), -5..5_i64,
                prop_oneof![Just(None), (-2..3_i64).prop_map(Some), (4_294_967_290..4_294_967_300_i64).prop_map(Some)]), 0..60),
        ) {
            let mut names = Names::default();
            let ids: Vec<NameId> = ["a", "b", "c", "d"].map(|name| names.intern(name)).into();
            let row = |&(agent, state, skill, count, from, length): &(usize, usize, usize, u32, i64, Option<i64>)| ReportRow {
                agent: ids[agent],
                state: ids[state],
                skill: ids[skill],
                count,
                from: Timestamp::from_millis(from),
                to: length.map(|length| Timestamp::from_millis(from + length)),
            };
            let rows: Vec<ReportRow> = rows.iter().map(row).collect();
            let mut table = RowTable::default();
            rows.iter().for_each(|row| table.push(*row));
            prop_assert_eq!(table.len(), rows.len());
            prop_assert_eq!(table.is_empty(), rows.is_empty());
            prop_assert_eq!(table.iter().collect::<Vec<ReportRow>>(), rows);
        }
    }

    #[test]
    fn many_rows_are_in_several_allocations() {
        let mut names = Names::default();
        let id = names.intern("a");
        let row = |from: i64| ReportRow {
            agent: id,
            state: id,
            skill: id,
            count: 1,
            from: Timestamp::from_millis(from),
            to: None,
        };
        let mut table = RowTable::default();
        let many = i64::try_from(2 * PIECE + 1).expect("small");
        (0..many).for_each(|from| table.push(row(from)));
        assert_eq!((table.len(), table.pieces.len()), (2 * PIECE + 1, 3));
        assert!((0..many).zip(table.iter()).all(|(from, told)| told == row(from)));
    }
}
