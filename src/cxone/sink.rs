//! Where the rows of a report go while they are read.

use std::borrow::Cow;

use crate::domain::report::{RawRow, Report, RowRejection};

/// Takes the rows of one report. It is made empty for every report, and given out only when the report was read whole.
pub trait RowSink: Default + Send {
    /// Takes a row that makes sense.
    fn row(&mut self, row: &RawRow<'_>);

    /// Takes note of a row that makes none.
    fn reject(&mut self, reason: RowRejection);

    /// Takes what `later` took.
    fn append(&mut self, later: Self);
}

impl RowSink for Report {
    fn row(&mut self, row: &RawRow<'_>) {
        self.push(row);
    }

    fn reject(&mut self, reason: RowRejection) {
        Self::reject(self, reason);
    }

    fn append(&mut self, later: Self) {
        Self::append(self, &later);
    }
}

/// The rows as CXone told them, names and all: for showing them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowList {
    /// The rows that make sense, in the order of the report.
    pub rows: Vec<RawRow<'static>>,
    /// Why the others make none, in the order of the report.
    pub rejected: Vec<RowRejection>,
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

    fn reject(&mut self, reason: RowRejection) {
        self.rejected.push(reason);
    }

    fn append(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.rejected.extend(later.rejected);
    }
}
