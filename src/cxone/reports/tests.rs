//! The streaming reader against a naive one, which reads the whole document first.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::cxone::rows::RowList;
use cxone_core::report::{RawRow, RowRejection};
use cxone_core::time::Timestamp;

/// The rows of a report, and for each reason how many were rejected.
type Read = (Vec<RawRow<'static>>, [u64; RowRejection::ALL.len()]);

fn streamed(document: &[u8], chunk: usize) -> Option<JobStatus<Read>> {
    let mut reader = Document::<RowList>::new(1_000);
    document.chunks(chunk).try_for_each(|piece| reader.feed(piece)).ok()?;
    match reader.finish().ok()? {
        // What is not a string is taken as written: here without its white space.
        JobStatus::Failed(message) => Some(JobStatus::Failed(compact(message))),
        JobStatus::Pending => Some(JobStatus::Pending),
        JobStatus::Running => Some(JobStatus::Running),
        JobStatus::Completed(list) => {
            let rejected = RowRejection::ALL.map(|reason| list.oddities.rejected(reason));
            Some(JobStatus::Completed((list.rows, rejected)))
        }
    }
}

fn compact(text: String) -> String {
    serde_json::from_str::<Value>(&text).map_or(text, |value| value.to_string())
}

fn naive(document: &[u8]) -> Option<JobStatus<Read>> {
    let document: Map<String, Value> = serde_json::from_slice(document).ok()?;
    match document.get("status")?.as_str()?.trim().to_ascii_uppercase().as_str() {
        "PENDING" => Some(JobStatus::Pending),
        "RUNNING" => Some(JobStatus::Running),
        "FAILED" => Some(JobStatus::Failed(
            naive_message(document.get("errorMessage"))
                .unwrap_or_else(|| "Unknown error".to_owned()),
        )),
        "COMPLETED" => {
            let (mut rows, mut rejected) = (Vec::new(), [0; RowRejection::ALL.len()]);
            for element in document.get("data")?.as_array()? {
                match naive_row(element) {
                    Ok(row) => rows.push(row),
                    Err(reason) => rejected[reason as usize] += 1,
                }
            }
            Some(JobStatus::Completed((rows, rejected)))
        }
        _ => None,
    }
}

fn naive_message(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(compact(text.clone())),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(other.to_string())
        }
    }
}

fn naive_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn naive_time(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?.trim().replace(',', ".");
    // Nobody's parser takes more digits than nine.
    let digits = text
        .find('.')
        .map_or(0, |dot| text[dot + 1..].bytes().take_while(u8::is_ascii_digit).count());
    let text = match text.find('.') {
        Some(dot) if digits > 9 => format!("{}{}", &text[..dot + 10], &text[dot + 1 + digits..]),
        _ => text,
    };
    let text = text.replace(" +", "+");
    let is_whole = text.len() >= 19 && text.as_bytes().get(16) == Some(&b':');
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let time = zoned.or_else(|| {
        let local = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    let nanos = time.filter(|_| is_whole)?.as_nanosecond();
    Some(Timestamp::from_millis(i64::try_from(nanos.div_euclid(1_000_000)).unwrap()))
}

/// A `dateTo` that stands for none.
fn naive_no_end(value: &Value) -> bool {
    let year = |time: Timestamp| time.to_string()[..4].parse::<u32>().unwrap();
    match value {
        Value::Null => true,
        Value::String(text) => {
            text.trim().is_empty()
                || text.starts_with("0000-00-00")
                || text.starts_with("0001-01-01")
                || text.starts_with("9999-12-31T")
                || naive_time(value).is_some_and(|time| year(time) < 1970 || year(time) == 9999)
                || naive_time(value).is_some_and(|time| time.to_string().starts_with("1970-01-01"))
        }
        Value::Number(number) => number.to_string() == "0",
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn naive_count(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) if text.trim().starts_with(|c: char| c.is_ascii_digit()) => {
            text.trim().parse().ok()
        }
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn naive_row(element: &Value) -> Result<RawRow<'static>, RowRejection> {
    let row = element.as_object().ok_or(RowRejection::NotAnObject)?;
    let user_id = naive_text(row.get("userId"))
        .filter(|text| !text.is_empty())
        .ok_or(RowRejection::NoAgent)?;
    let state_name = row
        .get("stateName")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or(RowRejection::NoState)?;
    let from = row.get("dateFrom").and_then(naive_time);
    let from = from.filter(|from| from.millis() >= 86_400_000).ok_or(RowRejection::BadTime)?;
    let to = match row.get("dateTo") {
        None => None,
        Some(value) if naive_no_end(value) => None,
        Some(value) => Some(naive_time(value).ok_or(RowRejection::BadTime)?),
    };
    if to.is_some_and(|to| to < from) {
        return Err(RowRejection::EndsBeforeStart);
    }
    let count = match row.get("count") {
        None | Some(Value::Null) => 1,
        Some(value) => {
            let whole = naive_count(value).filter(|count| {
                count.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(count)
            });
            format!("{:.0}", whole.ok_or(RowRejection::BadCount)?.abs()).parse().unwrap()
        }
    };
    let optional = |name| Cow::Owned(naive_text(row.get(name)).unwrap_or_default());
    Ok(RawRow {
        user_id: Cow::Owned(user_id),
        user_name: optional("userName"),
        state_name: Cow::Owned(state_name.to_owned()),
        state_id: optional("stateId"),
        skill_name: optional("skillName"),
        count,
        from,
        to,
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-5_i64..50).prop_map(Value::from),
        (-2000_i32..2000).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        any::<String>().prop_map(Value::from),
        Just(Value::from("")),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_time() -> impl Strategy<Value = Value> {
    let time = (1_698_393_600_000_i64..1_698_393_700_000)
        .prop_map(|millis| Value::from(Timestamp::from_millis(millis).to_string()));
    let odd = prop::sample::select(vec![
        "2023-10-27T08:00:00+00:00",
        "2023-10-27T10:00:01.5+02:00",
        "2023-10-27T02:30:02.25-0530",
        "2023-10-27 08:00:03",
        "2023-10-27t08:00:04.1234567z",
        "2023-10-27T08:00:05,123456789012Z",
        "2023-10-27 10:00:06 +02:00",
        " 2023-10-27T08:00:07.000Z ",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00",
        "1970-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.9999999",
        "27/10/2023 08:00:00",
        "2023-10-27T08:00Z",
        "2023-10-27",
        " ",
    ]);
    prop_oneof![8 => time, 3 => odd.prop_map(Value::from), 1 => any_value()]
}

fn any_row() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![6 => any::<String>().prop_map(Value::from), 1 => any_value()];
    let fields = (
        text(),
        text(),
        text(),
        text(),
        text(),
        prop_oneof![
            3 => (0_u32..9).prop_map(Value::from),
            1 => (0_u32..9).prop_map(|count| json!(format!(" {count}"))),
            1 => any_value(),
        ],
    );
    let row = (fields, any_time(), any_time(), any_value(), any::<u16>()).prop_map(
        |((id, name, state, state_id, skill, count), from, to, more, there)| {
            let members = [
                ("userId", id),
                ("stateName", state),
                ("dateFrom", from),
                ("dateTo", to),
                ("count", count),
                ("userName", name),
                ("stateId", state_id),
                ("skillName", skill),
                ("more", more),
            ];
            let kept =
                members.into_iter().enumerate().filter(|(at, _)| *at < 3 || there & (1 << at) != 0);
            Value::Object(kept.map(|(_, (name, value))| (name.to_owned(), value)).collect())
        },
    );
    prop_oneof![9 => row, 1 => any_value()]
}

fn any_document() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        6 => Just(json!("COMPLETED")), 1 => Just(json!("PENDING")), 1 => Just(json!("RUNNING")), 2 => Just(json!("FAILED")),
        1 => any_value().prop_map(|value| if value.is_string() { value } else { Value::Null }),
    ];
    let data = prop_oneof![9 => prop::collection::vec(any_row(), 0..6).prop_map(Value::from), 1 => any_value()];
    (status, data, any_value(), any_value(), any::<bool>(), any::<bool>()).prop_map(
        |(status, data, message, more, pretty, data_first)| {
            let mut members =
                [("status", status), ("errorMessage", message), ("m\"ore", more), ("data", data)];
            if data_first {
                members.reverse();
            }
            let written = members.iter().map(|(name, value)| {
                let value = if pretty {
                    serde_json::to_string_pretty(value)
                } else {
                    serde_json::to_string(value)
                };
                format!("{}:{}", Value::from(*name), value.unwrap())
            });
            format!(
                "{{{}}}",
                written.collect::<Vec<_>>().join(if pretty { "\r\n\t, " } else { "," })
            )
        },
    )
}

proptest! {
    #[test]
    fn a_document_is_read_as_a_naive_reader_reads_it(document in any_document(), chunk in 1_usize..200) {
        prop_assert_eq!(streamed(document.as_bytes(), chunk), naive(document.as_bytes()), "{}", document);
    }

    #[test]
    fn a_part_of_a_document_is_not_accepted_as_a_document(document in any_document(), cut in any::<prop::sample::Index>(), chunk in 1_usize..200) {
        let part = &document.as_bytes()[..cut.index(document.len())];
        prop_assert_eq!(streamed(part, chunk), None);
    }

    #[test]
    fn a_document_with_a_wrong_byte_is_never_read_otherwise_than_naively(
        document in any_document(), at in any::<prop::sample::Index>(), byte in prop::sample::select(b"{}[]\",:\\7 nx\x01".as_slice()), chunk in 1_usize..200,
    ) {
        let mut bytes = document.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let naive = naive(&bytes);
        // The streaming reader puts up with broken text in single rows, so it may read where the
        // naive one does not.
        if naive.is_some() {
            prop_assert_eq!(streamed(&bytes, chunk), naive, "{}", String::from_utf8_lossy(&bytes));
        } else {
            streamed(&bytes, chunk);
        }
    }

    #[test]
    fn garbage_is_read_without_a_panic(garbage in prop::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..50) {
        prop_assert_eq!(streamed(&garbage, chunk), None);
    }
}

#[test]
fn ids_are_kept_to_what_can_stand_in_a_path() {
    assert!(["a", "a/b", "...", "é", &"x".repeat(256)].iter().all(|id| JobId::parse(id).is_some()));
    assert!(
        ["", ".", "..", "a\tb", "a\u{0}", &"x".repeat(257)]
            .iter()
            .all(|id| JobId::parse(id).is_none())
    );
    assert_eq!(job_path(&JobId::parse("../é?x#y").unwrap()), "/api/v2/reports/..%2F%C3%A9%3Fx%23y");
}
