//! The rows of a report: the visits of a window, in the form of this tenant, with the faults of
//! single rows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use cxone_core::time::Window;

use super::wire::{DateTo, DocumentedRow, WireRow};
use crate::faults::{Faults, Quirk, RowFault};
use crate::floor::{AgentProfile, Floor};
use crate::jobs::ReportQuery;
use crate::options::{OpenEnd, ReportRows};
use crate::random::{RandomStream, hash};
use crate::reported_visit::{ReportedVisit, reportable};
use crate::rewrite::{KeyStyle, in_other_form, rewrite};

/// How this tenant writes its reports.
pub(super) struct ReportWriter<'a> {
    pub(super) floor: &'a Floor,
    pub(super) rows: ReportRows,
    pub(super) open_end: OpenEnd,
    pub(super) faults: &'a Faults,
    pub(super) max_rows: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyRows;

impl<'a> ReportWriter<'a> {
    /// The rows of the report, sorted by agent and start unless they are shuffled.
    pub(super) fn write(&self, query: &ReportQuery) -> Result<Vec<WireRow<'a>>, TooManyRows> {
        let mut rows = Vec::new();
        for (index, agent) in self.floor.agents().enumerate() {
            if !query.filter.matches(agent) {
                continue;
            }
            let visits = self.visits(index, query);
            if self.rows == ReportRows::Buckets {
                self.push_buckets(&mut rows, agent, &visits, query);
            } else {
                for visit in visits {
                    self.push(&mut rows, visit.key, self.row(agent, &visit, query.window));
                }
            }
            if rows.len() > self.max_rows {
                return Err(TooManyRows);
            }
        }
        let seed = self.floor.options().seed;
        if self.faults.row_fault(hash(seed, &[query.job]), RowFault::Shuffled).is_some() {
            shuffle(&mut rows, &mut RandomStream::new(seed, &[query.job, 4]));
        }
        self.rewrite(query, &mut rows);
        Ok(rows)
    }

    /// The visits of the agent at `index` that this kind of rows reports.
    fn visits(&self, index: usize, query: &ReportQuery) -> Vec<ReportedVisit> {
        let seed = self.floor.options().seed;
        let window = query.window;
        let known = reportable(window, query.submitted_at, self.faults);
        let visits = self.floor.visits(index, known);
        let reported = visits
            .iter()
            .filter_map(|visit| ReportedVisit::new(visit, query.submitted_at, seed, self.faults));
        match self.rows {
            ReportRows::WholeIntervals | ReportRows::CutIntervals => {
                reported.filter(|visit| visit.touches(window)).collect()
            }
            ReportRows::Events | ReportRows::EventsWithoutEnd | ReportRows::Buckets => {
                reported.filter(|visit| window.contains(visit.start)).collect()
            }
        }
    }

    fn row(
        &self,
        agent: &'a AgentProfile,
        visit: &ReportedVisit,
        window: Window,
    ) -> DocumentedRow<'a> {
        let (from, to) = match self.rows {
            ReportRows::WholeIntervals | ReportRows::Events => (visit.start, visit.end),
            ReportRows::EventsWithoutEnd => (visit.start, None),
            ReportRows::CutIntervals => {
                let end = visit.end.map_or(window.to, |end| end.min(window.to));
                (visit.start.max(window.from), Some(end))
            }
            ReportRows::Buckets => (window.from, Some(window.to)),
        };
        DocumentedRow {
            user_id: &agent.id,
            user_name: &agent.name,
            state_name: visit.state.name(),
            state_id: visit.state.id(),
            // A missing skill has two forms: some agents' rows have an empty one, the others' none.
            skill_name: visit.skill.or((agent.index % 2 == 1).then_some("")),
            count: 1,
            date_from: from.to_string(),
            date_to: match (to, self.open_end) {
                (Some(to), _) => DateTo::At(to.to_string()),
                (None, OpenEnd::Absent) => DateTo::Absent,
                (None, OpenEnd::Null) => DateTo::Null,
            },
        }
    }

    fn push_buckets(
        &self,
        rows: &mut Vec<WireRow<'a>>,
        agent: &'a AgentProfile,
        visits: &[ReportedVisit],
        query: &ReportQuery,
    ) {
        let mut buckets: BTreeMap<_, (u64, &ReportedVisit)> = BTreeMap::new();
        for visit in visits {
            buckets.entry((visit.state.name(), visit.skill)).or_insert((0, visit)).0 += 1;
        }
        for (count, first) in buckets.into_values() {
            let row = DocumentedRow { count, ..self.row(agent, first, query.window) };
            self.push(rows, hash(first.key, &[query.window.from.millis().cast_unsigned()]), row);
        }
    }

    /// Adds `row`, perhaps twice, perhaps with an invalid one before it.
    fn push(&self, rows: &mut Vec<WireRow<'a>>, key: u64, row: DocumentedRow<'a>) {
        if let Some(number) = self.faults.row_fault(key, RowFault::Malformed) {
            rows.push(WireRow::Other(malformed(number, &row)));
        }
        if let Some(number) = self.faults.quirk(key, Quirk::TimeFormat) {
            return rows.push(WireRow::Other(with_other_times(&row, number)));
        }
        if self.faults.row_fault(key, RowFault::Repeated).is_some() {
            rows.push(WireRow::Documented(row.clone()));
        }
        rows.push(WireRow::Documented(row));
    }

    /// Applies the quirks and faults of whole reports.
    fn rewrite(&self, query: &ReportQuery, rows: &mut [WireRow<'_>]) {
        let key = hash(self.floor.options().seed, &[query.job]);
        let keys = self.faults.quirk(key, Quirk::KeyCase).map(KeyStyle::new);
        let strings = self.faults.quirk(key, Quirk::Strings).is_some();
        let unreadable = self.faults.row_fault(key, RowFault::Unreadable).is_some();
        if keys.is_none() && !strings && !unreadable {
            return;
        }
        for row in rows {
            let mut value = json!(row);
            if unreadable && value.is_object() {
                value["dateFrom"] = json!("27/10/2023 08:00:00");
            }
            *row = WireRow::Other(rewrite(&value, keys, strings));
        }
    }
}

/// `row` with its times in another form.
fn with_other_times(row: &DocumentedRow<'_>, number: u64) -> Value {
    let mut value = json!(row);
    value["dateFrom"] = json!(in_other_form(&row.date_from, number));
    match &row.date_to {
        DateTo::At(end) => value["dateTo"] = json!(in_other_form(end, number / 8)),
        DateTo::Null | DateTo::Absent if number.is_multiple_of(2) => {
            value["dateTo"] = json!("0001-01-01T00:00:00");
        }
        DateTo::Null | DateTo::Absent => {}
    }
    value
}

/// A row like `row` that is invalid in one of nine ways.
fn malformed(number: u64, row: &DocumentedRow<'_>) -> Value {
    let mut value = json!(row);
    let (field, wrong) = match number % 9 {
        0 => return Value::Null,
        1 => return json!("a row"),
        2 => ("userId", Value::Null),
        3 => ("stateName", json!("")),
        4 => ("dateFrom", json!(row.date_from.replace('-', "/"))),
        5 => ("dateFrom", json!(row.date_from[..16])),
        6 => ("dateTo", json!("1999-12-31T23:59:59.999Z")),
        7 => ("count", json!(-1)),
        _ => ("count", json!(1.5)),
    };
    value[field] = wrong;
    value
}

fn shuffle(rows: &mut [WireRow<'_>], random: &mut RandomStream) {
    for last in (1..rows.len()).rev() {
        let other = random.between(0, u64::try_from(last).expect("an index fits 64 bits") + 1);
        rows.swap(last, usize::try_from(other).expect("not above `last`"));
    }
}

#[cfg(test)]
mod tests;
