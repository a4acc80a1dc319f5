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
    fn accept_lenient(&mut self, forms: LenientForms);

    /// Takes note of a row that makes none.
    fn reject(&mut self, row: RejectedRow<'_>);

    /// Takes what `later` took.
    fn append(&mut self, later: Self);

    /// Takes note that the rows are those of these agents, and of no others.
    fn cover(&mut self, agents: &[String]);

    /// Keeps one of the rows that describe the same visit.
    fn drop_repeats(&mut self);
}

impl RowSink for Report {
    fn row(&mut self, row: &RawRow<'_>) {
        self.push(row);
    }

    fn accept_lenient(&mut self, forms: LenientForms) {
        Self::accept_lenient(self, forms);
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

    // The ledger knows a visit again.
    fn drop_repeats(&mut self) {}
}

/// The rows as CXone reported them, names included, to be displayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowList {
    /// The rows that make sense, in the order of the report.
    pub rows: Vec<RawRow<'static>>,
    /// What is not as documented.
    pub oddities: RowOddities,
    /// How many more rows there were that only repeated one of these.
    pub repeats: usize,
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

    fn accept_lenient(&mut self, forms: LenientForms) {
        self.oddities.accept_lenient(forms);
    }

    fn reject(&mut self, row: RejectedRow<'_>) {
        self.oddities.reject(row);
    }

    fn append(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.oddities.append(&later.oddities);
    }

    fn cover(&mut self, _agents: &[String]) {}

    /// The last one counts: it knows the most of how the visit ended.
    fn drop_repeats(&mut self) {
        let mut seen = HashSet::new();
        let received = self.rows.len();
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
        self.repeats += received - self.rows.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxone_core::time::Timestamp;

    #[test]
    fn of_several_rows_for_the_same_visit_the_last_one_is_kept() {
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
        list.drop_repeats();
        assert_eq!(list.repeats, 1);
        assert_eq!(list.rows, [row("2", 5, Some(9)), row("1", 5, Some(8)), row("1", 8, None)]);
    }
}
