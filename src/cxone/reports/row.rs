//! One element of `data` → a row, or the reason why it is none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::cxone::json;
use crate::domain::report::{RawRow, RowRejection};

use super::time;

/// The members of an element that are known, as written; the last one of those with the same name.
#[derive(Default)]
struct Fields<'a> {
    user_id: Option<&'a RawValue>,
    user_name: Option<&'a RawValue>,
    state_name: Option<&'a RawValue>,
    state_id: Option<&'a RawValue>,
    skill_name: Option<&'a RawValue>,
    count: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
}

/// Reads `element`, a JSON value.
///
/// # Errors
/// When it is no JSON. An element that is JSON, but no sensible row, is a rejection.
pub(super) fn read(element: &str) -> Result<Result<RawRow<'_>, RowRejection>, serde_json::Error> {
    if !element.starts_with('{') {
        serde_json::from_str::<IgnoredAny>(element)?;
        return Ok(Err(RowRejection::NotAnObject));
    }
    Ok(serde_json::from_str::<Fields<'_>>(element)?.row())
}

/// Reads the object that `text` begins with, and tells how many bytes it has; `None` when it is not
/// there whole, or is no JSON. So nobody has to look for its end first.
pub(super) fn read_beginning(text: &str) -> Option<(Result<RawRow<'_>, RowRejection>, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Fields<'_>>();
    let fields = values.next()?.ok()?;
    Some((fields.row(), values.byte_offset()))
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'a> Fields<'a> {
    fn row(&self) -> Result<RawRow<'a>, RowRejection> {
        let user_id = self.user_id.and_then(|raw| json::string_or_number(raw.get()));
        let user_id = user_id.filter(|id| !id.is_empty()).ok_or(RowRejection::NoAgent)?;
        let state_name = self.state_name.and_then(|raw| json::string(raw.get()));
        let state_name = state_name.filter(|name| !name.is_empty()).ok_or(RowRejection::NoState)?;
        let from = present(self.from).and_then(point).ok_or(RowRejection::BadTime)?;
        let to = match present(self.to) {
            None => None,
            Some(r#""""#) => None,
            Some(raw) => Some(point(raw).ok_or(RowRejection::BadTime)?),
        };
        if to.is_some_and(|to| to < from) {
            return Err(RowRejection::EndsBeforeStart);
        }
        let count =
            present(self.count).map_or(Some(1), whole_number).ok_or(RowRejection::BadCount)?;
        Ok(RawRow {
            user_id,
            user_name: optional(self.user_name),
            state_name,
            state_id: optional(self.state_id),
            skill_name: optional(self.skill_name),
            count,
            from,
            to,
        })
    }
}

/// A field that is there and not null.
fn present(field: Option<&RawValue>) -> Option<&str> {
    field.map(RawValue::get).filter(|raw| *raw != "null")
}

/// A name that a row can do without: what is neither string nor number is as good as absent.
fn optional(field: Option<&RawValue>) -> Cow<'_, str> {
    field.and_then(|raw| json::string_or_number(raw.get())).unwrap_or_default()
}

fn point(raw: &str) -> Option<crate::domain::time::Timestamp> {
    // What is read as it stands has no escape in it.
    let plain = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).and_then(time::parse);
    plain.or_else(|| time::parse(&json::string(raw)?))
}

/// A JSON number without a fraction (`3`, `3.0`, `3e0`) that fits.
fn whole_number(raw: &str) -> Option<u32> {
    if let Ok(count) = raw.parse() {
        return Some(count);
    }
    let number: f64 = raw.parse().ok().filter(|_| json::is_number(raw))?;
    // The display of a float has no exponent, so a whole number in range is told in digits alone.
    if number == 0.0 { Some(0) } else { number.to_string().parse().ok() }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let field = match name {
                Member::UserId => &mut fields.user_id,
                Member::UserName => &mut fields.user_name,
                Member::StateName => &mut fields.state_name,
                Member::StateId => &mut fields.state_id,
                Member::SkillName => &mut fields.skill_name,
                Member::Count => &mut fields.count,
                Member::From => &mut fields.from,
                Member::To => &mut fields.to,
                Member::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(map.next_value()?);
        }
        Ok(fields)
    }
}

enum Member {
    UserId,
    UserName,
    StateName,
    StateId,
    SkillName,
    Count,
    From,
    To,
    Unknown,
}

/// Reads a member's name as bytes, so that half of a surrogate pair in it does not cost the report.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Member, E> {
        Ok(match name {
            b"userId" => Member::UserId,
            b"userName" => Member::UserName,
            b"stateName" => Member::StateName,
            b"stateId" => Member::StateId,
            b"skillName" => Member::SkillName,
            b"count" => Member::Count,
            b"dateFrom" => Member::From,
            b"dateTo" => Member::To,
            _ => Member::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn with(member: &str) -> Result<(u32, Option<Timestamp>), RowRejection> {
        let element = format!(
            r#"{{"userId":"u","stateName":"Ready","dateFrom":"2023-10-27T08:00:00.000Z",{member}}}"#
        );
        read(&element).unwrap().map(|row| (row.count, row.to))
    }

    #[test]
    fn the_row_of_the_document_is_read_without_copying_a_string() {
        let element = r#"{"userId":"user-abc-123","userName":"John Doe","stateName":"Ready","stateId":"state-ready-001",
            "skillName":"English Support","count":1,"dateFrom":"2023-10-27T08:00:00.000Z","dateTo":"2023-10-27T09:00:00.000Z"}"#;
        let row = read(element).unwrap().unwrap();
        for text in [&row.user_id, &row.user_name, &row.state_name, &row.state_id, &row.skill_name]
        {
            assert!(matches!(text, Cow::Borrowed(text) if !text.is_empty()));
        }
        assert_eq!((row.count, row.from), (1, Timestamp::from_millis(1_698_393_600_000)));
        assert_eq!(row.to, Some(Timestamp::from_millis(1_698_397_200_000)));
    }

    #[test]
    fn an_absent_or_null_count_is_one_and_a_whole_number_is_taken_however_it_is_written() {
        for (count, expected) in [
            ("null", 1),
            ("0", 0),
            ("-0", 0),
            ("3", 3),
            ("3.0", 3),
            ("3e0", 3),
            ("30e-1", 3),
            ("4294967295", u32::MAX),
            ("0e999", 0),
        ] {
            assert_eq!(
                with(&format!("\"count\":{count}")).map(|row| row.0),
                Ok(expected),
                "{count}"
            );
        }
        assert_eq!(with("\"x\":0").map(|row| row.0), Ok(1));
        for count in [
            "-1",
            "1.5",
            "4294967296",
            "1e999",
            "\"3\"",
            "\"\"",
            "true",
            "[]",
            "{}",
            "1e-999999999",
            "0.1",
        ] {
            let expected =
                if count == "1e-999999999" { Ok(0) } else { Err(RowRejection::BadCount) };
            assert_eq!(with(&format!("\"count\":{count}")).map(|row| row.0), expected, "{count}");
        }
    }

    #[test]
    fn an_absent_null_or_empty_end_is_none() {
        for end in ["\"x\":1", "\"dateTo\":null", "\"dateTo\":\"\""] {
            assert_eq!(with(end).map(|row| row.1), Ok(None), "{end}");
        }
        assert_eq!(
            with("\"dateTo\":\"2023-10-27T08:00:00Z\"").map(|row| row.1),
            Ok(Some(Timestamp::from_millis(1_698_393_600_000)))
        );
        assert_eq!(
            with("\"dateTo\":\"2023-10-27T07:59:59.999Z\""),
            Err(RowRejection::EndsBeforeStart)
        );
        for end in
            ["\"now\"", "1698393600000", "false", "[]", "\"2023-10-27T09:00:00+00:00\"", "\" \""]
        {
            assert_eq!(with(&format!("\"dateTo\":{end}")), Err(RowRejection::BadTime), "{end}");
        }
    }

    #[test]
    fn a_row_of_wrong_types_is_rejected_by_its_first_fault() {
        for (element, reason) in [
            ("[]", RowRejection::NotAnObject),
            ("null", RowRejection::NotAnObject),
            ("1e999", RowRejection::NotAnObject),
            ("\"row\"", RowRejection::NotAnObject),
            ("{}", RowRejection::NoAgent),
            (r#"{"userId":""}"#, RowRejection::NoAgent),
            (r#"{"userId":true}"#, RowRejection::NoAgent),
            (r#"{"userId":{"id":"u"}}"#, RowRejection::NoAgent),
            (r#"{"userId":"u"}"#, RowRejection::NoState),
            (r#"{"userId":"u","stateName":7}"#, RowRejection::NoState),
            (r#"{"userId":"u","stateName":"s"}"#, RowRejection::BadTime),
            (r#"{"userId":"u","stateName":"s","dateFrom":null}"#, RowRejection::BadTime),
            (r#"{"userId":"u","stateName":"s","dateFrom":1e999}"#, RowRejection::BadTime),
        ] {
            assert_eq!(read(element).unwrap(), Err(reason), "{element}");
        }
    }

    #[test]
    fn odd_names_do_not_cost_the_row() {
        let element = r#"{"us\u0065rId":12345678901234567890123,"userName":"cut \ud83c","skillName":7,"stateId":[1],"\ud800":{},
            "stateName":"Caf\u00e9 \"☕\"","dateFrom":"2023-10-27T08:00:0\u0030Z","count":2,"count":5}"#;
        let row = read(element).unwrap().unwrap();
        assert_eq!(row.user_id, "12345678901234567890123");
        assert!(row.user_name.starts_with("cut \u{fffd}"));
        assert_eq!(
            (&*row.state_name, &*row.skill_name, &*row.state_id, row.count),
            ("Café \"☕\"", "7", "", 5)
        );
    }

    #[test]
    fn what_is_no_json_is_no_rejection() {
        for element in [
            "{",
            "{\"a\":}",
            "{\"a\":1,}",
            "nul",
            "01",
            "{\"userId\":\"\u{1}\"}",
            "{}{}",
            "{\"userId\":tru}",
            "{\"count\":0x1}",
        ] {
            assert!(read(element).is_err(), "{element}");
        }
    }
}
