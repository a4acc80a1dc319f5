//! Rows of a report that are told otherwise than documented.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::dates;
use super::super::faults::{Quirk, RowFault};
use super::super::random::hash;
use super::super::retelling::{Keys, odd_time, retold};
use super::super::wire::{DateTo, SoundRow, WireRow};
use super::{Question, Teller};

impl Teller<'_> {
    /// Tells `rows` as the quirks of whole reports say.
    pub(super) fn tell_oddly(&self, question: &Question, rows: &mut [WireRow<'_>]) {
        let key = hash(self.floor.options().seed, &[question.job]);
        let keys = self.faults.odd(key, Quirk::KeyCase).map(Keys::new);
        let strings = self.faults.odd(key, Quirk::Strings).is_some();
        let unreadable = self.faults.of_row(key, RowFault::Unreadable).is_some();
        if keys.is_none() && !strings && !unreadable {
            return;
        }
        for row in rows {
            let mut value = json!(row);
            if unreadable && value.is_object() {
                value["dateFrom"] = json!("27/10/2023 08:00:00");
            }
            *row = WireRow::Odd(retold(&value, keys, strings));
        }
    }
}

/// `row` with its times in another form.
pub(super) fn with_times(row: &SoundRow<'_>, how: u64) -> Value {
    let mut value = json!(row);
    value["dateFrom"] = json!(time(&row.date_from, how));
    match &row.date_to {
        DateTo::At(end) => value["dateTo"] = json!(time(end, how / 8)),
        DateTo::Null | DateTo::Absent if how.is_multiple_of(2) => {
            value["dateTo"] = json!("0001-01-01T00:00:00");
        }
        DateTo::Null | DateTo::Absent => {}
    }
    value
}

fn time(time: &str, how: u64) -> String {
    match how % 6 {
        0 => time.replace('Z', "+00:00"),
        1 => match dates::parse(time) {
            Some(utc) => utc.plus(Duration::from_hours(2)).to_string().replace('Z', "+02:00"),
            None => time.to_owned(),
        },
        2 => time.trim_end_matches('Z').to_owned(),
        3 => time.replace('T', " "),
        even => odd_time(time, even),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_six_forms() {
        let told = [0, 1, 2, 3, 4, 5].map(|how| time("2023-10-27T08:00:00.120Z", how));
        assert_eq!(
            told,
            [
                "2023-10-27T08:00:00.120+00:00",
                "2023-10-27T10:00:00.120+02:00",
                "2023-10-27T08:00:00.120",
                "2023-10-27 08:00:00.120Z",
                "2023-10-27T08:00:00.12Z",
                "2023-10-27T08:00:00.1200000Z",
            ]
        );
    }
}
