//! The rows of a report, 24 bytes each: a report of a million rows stays in memory until it has been
//! read completely.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::ReportRow;
use crate::names::NameId;
use crate::time::Timestamp;

/// Rows in one allocation. A single list would exist twice each time that it grows.
const CHUNK_ROWS: usize = 1 << 15;

/// Instead of a length: the state is in progress.
const LASTS: u32 = u32::MAX;

/// Instead of a length: 49 days or more; the end is in a table of its own.
const LONG: u32 = u32::MAX - 1;

/// Rows, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct RowTable {
    chunks: Vec<Vec<Packed>>,
    /// Pairs of state and skill: a contact centre has few of them.
    labels: Vec<(NameId, NameId)>,
    label_indices: HashMap<(NameId, NameId), u32, RandomState>,
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
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_ROWS) {
            // The first chunk grows as it is filled: most reports are small.
            self.chunks.push(if self.chunks.is_empty() {
                Vec::new()
            } else {
                Vec::with_capacity(CHUNK_ROWS)
            });
        }
        let chunk = self.chunks.last_mut().expect("there is one with room");
        chunk.push(Packed { from: row.from, agent: row.agent, label, count: row.count, length });
    }

    fn label(&mut self, state: NameId, skill: NameId) -> u32 {
        *self.label_indices.entry((state, skill)).or_insert_with(|| {
            self.labels.push((state, skill));
            u32::try_from(self.labels.len() - 1)
                .expect("fewer pairs than rows, and rows are limited to far fewer")
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        let before = self.chunks.len().saturating_sub(1) * CHUNK_ROWS;
        before + self.chunks.last().map_or(0, Vec::len)
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The row at this index.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, index: usize) -> ReportRow {
        let Packed { from, agent, label, count, length } =
            self.chunks[index / CHUNK_ROWS][index % CHUNK_ROWS];
        let (state, skill) = self.labels[label as usize];
        let to = match length {
            LASTS => None,
            LONG => self.ends.get(&index).copied(),
            millis => Some(Timestamp::from_millis(from.millis() + i64::from(millis))),
        };
        ReportRow { agent, state, skill, count, from, to }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReportRow> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The agents of all rows.
    pub fn agents(&self) -> impl Iterator<Item = NameId> + '_ {
        self.chunks.iter().flatten().map(|row| row.agent)
    }

    pub(super) fn agents_mut(&mut self) -> impl Iterator<Item = &mut NameId> + '_ {
        self.chunks.iter_mut().flatten().map(|row| &mut row.agent)
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
        let many = i64::try_from(2 * CHUNK_ROWS + 1).expect("small");
        (0..many).for_each(|from| table.push(row(from)));
        assert_eq!((table.len(), table.chunks.len()), (2 * CHUNK_ROWS + 1, 3));
        assert!((0..many).zip(table.iter()).all(|(from, added)| added == row(from)));
    }
}
