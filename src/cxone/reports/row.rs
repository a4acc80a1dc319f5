//! One element of `data` → a row, or the reason why it is none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::cxone::json;
use cxone_core::report::{LenientForm, LenientForms, RawRow, RejectedRow, RowRejection};
use cxone_core::time::Timestamp;

use super::time;

/// A row, and in which ways it differs from what is documented.
pub(crate) type Understood<'a> = (RawRow<'a>, LenientForms);

/// The members of an element that are known, as written; the last one of those with the same name.
/// One whose name is in another case stands in only where there is none as documented.
#[derive(Default)]
struct RowFields<'a> {
    user_id: Option<&'a RawValue>,
    user_name: Option<&'a RawValue>,
    state_name: Option<&'a RawValue>,
    state_id: Option<&'a RawValue>,
    skill_name: Option<&'a RawValue>,
    count: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    forms: LenientForms,
}

/// Reads `element`, a JSON value.
///
/// # Errors
/// When it is not valid JSON. An element that is JSON, but not a valid row, is a rejection.
pub(crate) fn read(
    element: &str,
) -> Result<Result<Understood<'_>, RejectedRow<'_>>, serde_json::Error> {
    if !element.starts_with('{') {
        serde_json::from_str::<IgnoredAny>(element)?;
        let value = Some(json::kind(element));
        return Ok(Err(RejectedRow { reason: RowRejection::NotAnObject, field: "the row", value }));
    }
    Ok(serde_json::from_str::<RowFields<'_>>(element)?.row())
}

/// Reads the object that `text` begins with, and counts its bytes; `None` when it is not complete,
/// or not valid JSON. So nobody has to look for its end first.
pub(crate) fn read_beginning(
    text: &str,
) -> Option<(Result<Understood<'_>, RejectedRow<'_>>, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<RowFields<'_>>();
    let fields = values.next()?.ok()?;
    Some((fields.row(), values.byte_offset()))
}

impl<'de> Deserialize<'de> for RowFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowFieldsVisitor)
    }
}

impl<'a> RowFields<'a> {
    fn row(&self) -> Result<Understood<'a>, RejectedRow<'a>> {
        let rejected = |reason, field, raw: Option<&'a RawValue>| RejectedRow {
            reason,
            field,
            value: raw.map(RawValue::get),
        };
        let user_id = self.user_id.and_then(|raw| json::string_or_number(raw.get()));
        let user_id = user_id.filter(|id| !id.is_empty()).ok_or_else(|| RejectedRow {
            reason: RowRejection::NoAgent,
            field: "userId",
            // What it is, and not its value: that may be an id all the same, in a wrapping.
            value: self.user_id.map(|raw| kind_of_id(raw.get())),
        })?;
        let state_name = self.state_name.and_then(|raw| json::string(raw.get()));
        let state_name = state_name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| rejected(RowRejection::NoState, "stateName", self.state_name))?;
        let (from, from_forms) = present(self.from)
            .and_then(point)
            .filter(|(from, _)| from.is_plausible())
            .ok_or_else(|| rejected(RowRejection::BadTime, "dateFrom", self.from))?;
        let (to, to_forms) =
            end(self.to).ok_or_else(|| rejected(RowRejection::BadTime, "dateTo", self.to))?;
        if to.is_some_and(|to| to < from) {
            return Err(rejected(RowRejection::EndsBeforeStart, "dateTo", self.to));
        }
        let (count, count_forms) = count(self.count)
            .ok_or_else(|| rejected(RowRejection::BadCount, "count", self.count))?;
        let row = RawRow {
            user_id,
            user_name: optional(self.user_name),
            state_name,
            state_id: optional(self.state_id),
            skill_name: optional(self.skill_name),
            count,
            from,
            to,
        };
        Ok((row, self.forms.and(from_forms).and(to_forms).and(count_forms)))
    }
}

fn kind_of_id(raw: &str) -> &'static str {
    if raw == r#""""# { "empty" } else { json::kind(raw) }
}

/// A field that is there and not null.
fn present(field: Option<&RawValue>) -> Option<&str> {
    field.map(RawValue::get).filter(|raw| *raw != "null")
}

/// A name that a row can do without: what is neither string nor number is as good as absent.
fn optional(field: Option<&RawValue>) -> Cow<'_, str> {
    field.and_then(|raw| json::string_or_number(raw.get())).unwrap_or_default()
}

fn point(raw: &str) -> Option<(Timestamp, LenientForms)> {
    // What is read as it stands has no escape in it.
    let plain = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).and_then(time::parse);
    match plain {
        Some(time) => Some((time, LenientForms::default())),
        None => time::parse_lenient(&json::string(raw)?),
    }
}

/// The end of a row, which has none while it is missing, null, empty, or a placeholder.
fn end(field: Option<&RawValue>) -> Option<(Option<Timestamp>, LenientForms)> {
    let none = LenientForms::default().with(LenientForm::EndPlaceholder);
    match present(field) {
        None | Some(r#""""#) => Some((None, LenientForms::default())),
        Some(raw) => match point(raw) {
            Some((to, _)) if !to.is_plausible() => Some((None, none)),
            Some((to, forms)) => Some((Some(to), forms)),
            None => means_no_end(raw).then_some((None, none)),
        },
    }
}

/// Whether a value that is not a time means "no end": the number 0, white space, or a day that is
/// in no calendar.
fn means_no_end(raw: &str) -> bool {
    let text = json::string(raw).unwrap_or_default();
    raw == "0"
        || raw.starts_with('"') && text.trim().is_empty()
        || ["0000-00-00", "0001-01-01"].iter().any(|day| text.starts_with(day))
}

/// How many state changes the row stands for: 1 where that is missing or null.
fn count(field: Option<&RawValue>) -> Option<(u32, LenientForms)> {
    let Some(raw) = present(field) else { return Some((1, LenientForms::default())) };
    if let Some(count) = whole_number(raw) {
        return Some((count, LenientForms::default()));
    }
    let text = json::string(raw)?;
    let count = Some(text.trim()).filter(|text| json::is_number(text)).and_then(whole_number)?;
    Some((count, LenientForms::default().with(LenientForm::TextCount)))
}

/// A JSON number without a fraction (`3`, `3.0`, `3e0`) that fits.
fn whole_number(raw: &str) -> Option<u32> {
    if let Ok(count) = raw.parse() {
        return Some(count);
    }
    let number: f64 = raw.parse().ok().filter(|_| json::is_number(raw))?;
    // The display of a float has no exponent, so a whole number in range is written in digits
    // alone.
    if number == 0.0 { Some(0) } else { number.to_string().parse().ok() }
}

struct RowFieldsVisitor;

impl<'de> Visitor<'de> for RowFieldsVisitor {
    type Value = RowFields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowFields<'de>, A::Error> {
        let mut fields = RowFields::default();
        while let Some((name, is_exact)) = map.next_key_seed(NameSeed)? {
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
            let value = map.next_value()?;
            if is_exact {
                *field = Some(value);
            } else if field.is_none() {
                *field = Some(value);
                fields.forms = fields.forms.with(LenientForm::KeyCase);
            }
        }
        Ok(fields)
    }
}

#[derive(Clone, Copy)]
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

impl Member {
    const KNOWN: [(&'static [u8], Self); 8] = [
        (b"userId", Self::UserId),
        (b"userName", Self::UserName),
        (b"stateName", Self::StateName),
        (b"stateId", Self::StateId),
        (b"skillName", Self::SkillName),
        (b"count", Self::Count),
        (b"dateFrom", Self::From),
        (b"dateTo", Self::To),
    ];
}

/// Reads a member's name, and whether it is written as documented or in another case. It is read
/// as bytes, so that half of a surrogate pair in it does not cost the report.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = (Member, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = (Member, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        let member = match name {
            b"userId" => Member::UserId,
            b"userName" => Member::UserName,
            b"stateName" => Member::StateName,
            b"stateId" => Member::StateId,
            b"skillName" => Member::SkillName,
            b"count" => Member::Count,
            b"dateFrom" => Member::From,
            b"dateTo" => Member::To,
            other => {
                let known =
                    Member::KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(other));
                return Ok((known.map_or(Member::Unknown, |(_, member)| *member), false));
            }
        };
        Ok((member, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(member: &str) -> Result<(u32, Option<Timestamp>), RowRejection> {
        let element = format!(
            r#"{{"userId":"u","stateName":"Ready","dateFrom":"2023-10-27T08:00:00.000Z",{member}}}"#
        );
        let read = read(&element).unwrap();
        read.map(|(row, _)| (row.count, row.to)).map_err(|rejected| rejected.reason)
    }

    /// The row of these members, and the forms in which it differs from the documented one.
    fn forms(element: &str) -> (RawRow<'_>, Vec<&'static str>) {
        let (row, forms) = read(element).unwrap().unwrap();
        let all = LenientForm::ALL.into_iter().filter(|form| forms.contains(*form));
        (row, all.map(LenientForm::as_str).collect())
    }

    #[test]
    fn the_row_of_the_document_is_read_without_copying_a_string() {
        let element = r#"{"userId":"user-abc-123","userName":"John Doe","stateName":"Ready","stateId":"state-ready-001",
            "skillName":"English Support","count":1,"dateFrom":"2023-10-27T08:00:00.000Z","dateTo":"2023-10-27T09:00:00.000Z"}"#;
        let (row, forms) = read(element).unwrap().unwrap();
        assert!(forms.is_empty());
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
            "\"-1\"",
            "\"+1\"",
            "\"1,000\"",
            "\"inf\"",
            "\"three\"",
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
        for end in ["\"now\"", "1698393600000", "false", "[]", "\"27/10/2023 09:00\"", "\"-\""] {
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
            let rejected = read(element).unwrap().map(drop).map_err(|rejected| rejected.reason);
            assert_eq!(rejected, Err(reason), "{element}");
        }
    }

    #[test]
    fn an_end_that_stands_for_none_is_none() {
        for end in [
            "\"0001-01-01T00:00:00Z\"",
            "\"0001-01-01T00:00:00.0000000+02:00\"",
            "\"0001-01-01T00:00:00\"",
            "\"0001-01-01\"",
            "\"0000-00-00 00:00:00\"",
            "\"1753-01-01T00:00:00Z\"",
            "\"1899-12-30T00:00:00Z\"",
            "\"1970-01-01T00:00:00Z\"",
            "\"1970-01-01T00:00:00-05:00\"",
            "\"9999-12-31T23:59:59.9999999Z\"",
            "\"9999-12-31T23:59:59-05:00\"",
            "\" \"",
            "0",
        ] {
            let element = format!(
                r#"{{"userId":"u","stateName":"s","dateFrom":"2023-10-27T08:00:00.000Z","dateTo":{end}}}"#
            );
            let (row, forms) = forms(&element);
            assert_eq!((row.to, forms), (None, vec!["end_placeholder"]), "{end}");
        }
        for start in ["\"0001-01-01T00:00:00Z\"", "\"1970-01-01T00:00:00Z\"", "0", "\"\""] {
            let element = format!(r#"{{"userId":"u","stateName":"s","dateFrom":{start}}}"#);
            let rejected = read(&element).unwrap().unwrap_err();
            assert_eq!(
                rejected,
                RejectedRow {
                    reason: RowRejection::BadTime,
                    field: "dateFrom",
                    value: Some(start)
                }
            );
        }
    }

    #[test]
    fn an_unambiguous_row_is_accepted_and_its_lenient_forms_reported() {
        let element = r#"{"UserId":"u","STATENAME":"Ready","skillname":"k","dateFrom":"2023-10-27T10:00:00+02:00",
            "dateTo":"2023-10-27 08:30:00","Count":" 3 "}"#;
        let (row, forms) = forms(element);
        assert_eq!((&*row.user_id, &*row.state_name, &*row.skill_name), ("u", "Ready", "k"));
        assert_eq!(row.from, Timestamp::from_millis(1_698_393_600_000));
        assert_eq!(row.to, Some(Timestamp::from_millis(1_698_395_400_000)));
        assert_eq!(row.count, 3);
        assert_eq!(forms, ["offset", "no_zone", "time_format", "text_count", "key_case"]);
    }

    #[test]
    fn a_name_as_documented_counts_before_one_in_another_case() {
        for members in
            [r#""userId":"right","USERID":"wrong""#, r#""USERID":"wrong","userId":"right""#]
        {
            let element =
                format!(r#"{{{members},"stateName":"s","dateFrom":"2023-10-27T08:00:00.000Z"}}"#);
            assert_eq!(forms(&element).0.user_id, "right");
        }
    }

    #[test]
    fn a_rejected_row_says_what_is_wrong_but_no_id() {
        let rest = r#""stateName":"s","dateFrom":"27/10/2023""#;
        for (element, field, value) in [
            (format!(r#"{{"userId":"user-1",{rest}}}"#), "dateFrom", Some(r#""27/10/2023""#)),
            (format!(r#"{{"userId":{{"id":"user-1"}},{rest}}}"#), "userId", Some("an object")),
            (format!(r#"{{"userId":"",{rest}}}"#), "userId", Some("empty")),
            (format!("{{{rest}}}"), "userId", None),
            ("7".to_owned(), "the row", Some("a number")),
        ] {
            let rejected = read(&element).unwrap().unwrap_err();
            assert_eq!((rejected.field, rejected.value), (field, value), "{element}");
        }
    }

    #[test]
    fn odd_names_do_not_cost_the_row() {
        let element = r#"{"us\u0065rId":12345678901234567890123,"userName":"cut \ud83c","skillName":7,"stateId":[1],"\ud800":{},
            "stateName":"Caf\u00e9 \"☕\"","dateFrom":"2023-10-27T08:00:0\u0030Z","count":2,"count":5}"#;
        let (row, _) = read(element).unwrap().unwrap();
        assert_eq!(row.user_id, "12345678901234567890123");
        assert!(row.user_name.starts_with("cut \u{fffd}"));
        assert_eq!(
            (&*row.state_name, &*row.skill_name, &*row.state_id, row.count),
            ("Café \"☕\"", "7", "", 5)
        );
    }

    #[test]
    fn invalid_json_is_an_error_and_not_a_rejected_row() {
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
