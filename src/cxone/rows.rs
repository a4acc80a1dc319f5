//! Where the rows of a report go while they are read.

use std::borrow::Cow;
use std::collections::HashSet;

use cxone_core::report::{LenientForms, RawRow, RejectedRow, Report, RowOddities};

/// Takes the rows of one report. It is made empty for every report, and given out only when the
/// report was read whole.
pub trait RowSink: Default + Send {
    /// Takes a row that makes sense.
    fn row(&mut self, row: &RawRow<'_>);

    /// Takes note that a row was understood though it has these forms.
    fn understand(&mut self, forms: LenientForms);

    /// Takes note of a row that makes none.
    fn reject(&mut self, row: RejectedRow<'_>);

    /// Takes what `later` took.
    fn append(&mut self, later: Self);

    /// Takes note that the rows are those of these agents, and of no others.
    fn cover(&mut self, agents: &[String]);
}

impl RowSink for Report {
    fn row(&mut self, row: &RawRow<'_>) {
        self.push(row);
    }

    fn understand(&mut self, forms: LenientForms) {
        Self::understand(self, forms);
    }

    fn reject(&mut self, row: RejectedRow<'_>) {
        Self::reject(self, row);
    }

    fn append(&mut self, later: Self) {
        Self::append(self, &later);
    }

    fn cover(&mut self, agents: &[String]) {
        Self::cover(self, agents);
    }
}

/// The rows as CXone told them, names and all: for showing them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowList {
    /// The rows that make sense, in the order of the report.
    pub rows: Vec<RawRow<'static>>,
    /// What is not as documented.
    pub oddities: RowOddities,
}

impl RowList {
    /// Leaves one row for each visit, as it was told last: a history that is asked for in slices
    /// tells of a visit in each that it touches.
    pub fn leave_out_repeats(&mut self) {
        let mut seen = HashSet::new();
        let rows = std::mem::take(&mut self.rows).into_iter().rev();
        let key = |row: &RawRow<'_>| {
            (
                row.user_id.clone().into_owned(),
                row.state_name.to_string(),
                row.skill_name.to_string(),
                row.from,
            )
        };
        self.rows = rows.filter(|row| seen.insert(key(row))).collect();
        self.rows.reverse();
    }
}

impl RowSink for RowList {
    fn row(&mut self, row: &RawRow<'_>) {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        self.rows.push(RawRow {
            user_id: owned(&row.user_id),
            user_name: owned(&row.user_name),
            state_name: owned(&row.state_name),
            state_id: owned(&row.state_id),
            skill_name: owned(&row.skill_name),
            count: row.count,
            from: row.from,
            to: row.to,
        });
    }

    fn understand(&mut self, forms: LenientForms) {
        self.oddities.understand(forms);
    }

    fn reject(&mut self, row: RejectedRow<'_>) {
        self.oddities.reject(row);
    }

    fn append(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.oddities.append(&later.oddities);
    }

    fn cover(&mut self, _agents: &[String]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxone_core::time::Timestamp;

    #[test]
    fn of_a_visit_that_is_told_in_several_slices_one_row_is_left_as_it_was_told_last() {
        let row = |agent: &'static str, from, to: Option<i64>| RawRow {
            user_id: agent.into(),
            state_name: "Available".into(),
            state_id: "1".into(),
            count: 1,
            from: Timestamp::from_millis(from),
            to: to.map(Timestamp::from_millis),
            ..RawRow::default()
        };
        let rows =
            vec![row("1", 5, None), row("2", 5, Some(9)), row("1", 5, Some(8)), row("1", 8, None)];
        let mut list = RowList { rows, ..RowList::default() };
        list.leave_out_repeats();
        assert_eq!(list.rows, [row("2", 5, Some(9)), row("1", 5, Some(8)), row("1", 8, None)]);
    }
}
