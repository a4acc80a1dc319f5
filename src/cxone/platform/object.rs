//! Reading of objects whose makers change their minds: keys in any case, numbers and booleans as
//! strings, nulls, times and durations in several forms.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::cxone::json;
use cxone_core::time::Timestamp;

/// Nanoseconds since 1970, or of a span.
pub(crate) type Nanos = i128;

const SECOND: Nanos = 1_000_000_000;
const MILLISECOND: Nanos = 1_000_000;

/// The longest span that is believed: a hundred years.
const LONGEST: Nanos = 100 * 366 * 86_400 * SECOND;

/// The members of a JSON object as written.
#[derive(Debug)]
pub struct JsonObject<'a> {
    members: Vec<(Cow<'a, [u8]>, &'a RawValue)>,
}

/// A member whose value is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidValue;

impl<'a> JsonObject<'a> {
    /// The object `text`; `None` when it is JSON, but no object.
    ///
    /// # Errors
    /// When it is not valid JSON.
    pub fn parse(text: &'a str) -> Result<Option<Self>, serde_json::Error> {
        if !text.trim_start().starts_with('{') {
            serde_json::from_str::<IgnoredAny>(text)?;
            return Ok(None);
        }
        serde_json::from_str(text).map(Some)
    }

    /// The member `name`, in whatever case, as written; the last one of several. `None` where it is
    /// missing, null or an empty string.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        let found =
            self.members.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, raw)| raw.get()).filter(|raw| !matches!(*raw, "null" | r#""""#))
    }

    /// The member as text: a string, or a number or boolean as written. Anything else is as good as
    /// missing.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        if matches!(raw, "true" | "false") {
            Some(Cow::Borrowed(raw))
        } else {
            json::string_or_number(raw)
        }
    }

    /// The member as a whole number, also where it is written as a string or with an empty
    /// fraction.
    #[must_use]
    pub fn whole(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        let text = text.trim();
        let digits = text
            .split_once('.')
            .filter(|(_, fraction)| fraction.bytes().all(|byte| byte == b'0'))
            .map_or(text, |(whole, _)| whole);
        digits.parse().ok()
    }

    /// The member as yes or no: booleans, 0 and 1, and both as strings in any case.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        let text = text.trim();
        if text == "1" || text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text == "0" || text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }

    /// The object that the member is; `None` where it is missing or something else.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<JsonObject<'a>> {
        Self::parse(self.raw(name)?).ok().flatten()
    }

    /// The member as a point of time, cut to milliseconds; `None` where it is missing.
    ///
    /// # Errors
    /// When it is there, and no time, or one that stands for none ([`Timestamp::is_plausible`]).
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, InvalidValue> {
        Ok(self.nanos(name)?.map(timestamp))
    }

    /// [`JsonObject::time`] to the nanosecond.
    pub(crate) fn nanos(&self, name: &str) -> Result<Option<Nanos>, InvalidValue> {
        let read = |text: Cow<'_, str>| {
            time(text.trim()).filter(|nanos| timestamp(*nanos).is_plausible()).ok_or(InvalidValue)
        };
        self.text(name).map(read).transpose()
    }

    /// The member as a span of time: ISO 8601 (`PT5M16.976S`) or seconds. `None` where it is
    /// missing; may be negative.
    ///
    /// # Errors
    /// When it is there, and no span.
    pub(crate) fn span(&self, name: &str) -> Result<Option<Nanos>, InvalidValue> {
        self.text(name).map(|text| span(text.trim()).ok_or(InvalidValue)).transpose()
    }
}

/// Cut to milliseconds.
pub(crate) fn timestamp(nanos: Nanos) -> Timestamp {
    let millis = i64::try_from(nanos.div_euclid(MILLISECOND)).unwrap_or(if nanos < 0 {
        i64::MIN
    } else {
        i64::MAX
    });
    Timestamp::from_millis(millis)
}

/// `2023-10-27T08:00:00`, with any number of digits of a fraction, with `Z`, an offset, or neither,
/// which is UTC as well.
fn time(text: &str) -> Option<Nanos> {
    let end = text
        .char_indices()
        .skip_while(|(_, c)| *c != '.')
        .skip(1)
        .find(|(_, c)| !c.is_ascii_digit())
        .map(|(at, _)| at);
    let dot = text.find('.');
    // Nobody needs finer than nanoseconds, and the parser takes none.
    let trimmed = match dot {
        Some(dot) if end.unwrap_or(text.len()) > dot + 10 => {
            Cow::Owned(format!("{}{}", &text[..dot + 10], &text[end.unwrap_or(text.len())..]))
        }
        Some(_) | None => Cow::Borrowed(text),
    };
    let zoned = trimmed.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond);
    zoned.or_else(|| {
        let has_time = trimmed.len() >= "2023-10-27T08:00".len();
        let utc = trimmed
            .parse::<jiff::civil::DateTime>()
            .ok()
            .filter(|_| has_time)?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?;
        Some(utc.timestamp().as_nanosecond())
    })
}

/// `PnWnDTnHnMnS`, each part at most once and in this order, the seconds with a fraction; or a
/// number of seconds.
fn span(text: &str) -> Option<Nanos> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanos = match rest.strip_prefix(['P', 'p']) {
        Some(parts) => iso_span(&parts.to_ascii_uppercase())?,
        None => seconds(rest)?,
    };
    let nanos = nanos.min(LONGEST);
    Some(if negative { -nanos } else { nanos })
}

fn iso_span(parts: &str) -> Option<Nanos> {
    let (days, time) =
        parts.split_once('T').map_or((parts, None), |(days, time)| (days, Some(time)));
    let mut total: Nanos = 0;
    let mut has_unit = false;
    for (mut rest, units) in [
        (days, &[('W', 604_800), ('D', 86_400)][..]),
        (time.unwrap_or(""), &[('H', 3_600), ('M', 60), ('S', 1)][..]),
    ] {
        for (unit, length) in units {
            let Some((number, after)) = rest.split_once(*unit) else { continue };
            let nanos = if *unit == 'S' {
                seconds(number)?
            } else {
                number.parse::<u32>().ok().map(|number| Nanos::from(number) * SECOND)?
            };
            total = total.checked_add(nanos.checked_mul(*length)?)?;
            has_unit = true;
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    has_unit.then_some(total)
}

/// A decimal number of seconds, without a sign.
fn seconds(text: &str) -> Option<Nanos> {
    if text.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        let seconds: f64 =
            text.parse().ok().filter(|seconds: &f64| (0.0..1e10).contains(seconds))?;
        let nanos = std::time::Duration::try_from_secs_f64(seconds).ok()?.as_nanos();
        return Nanos::try_from(nanos).ok();
    }
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let kept: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let whole: Nanos = whole.parse::<u64>().unwrap_or(u64::MAX).into();
    Some(whole * SECOND + kept.parse::<Nanos>().ok()?)
}

impl<'de> Deserialize<'de> for JsonObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JsonObjectVisitor)
    }
}

struct JsonObjectVisitor;

impl<'de> Visitor<'de> for JsonObjectVisitor {
    type Value = JsonObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject<'de>, A::Error> {
        let mut members = Vec::with_capacity(24);
        while let Some(key) = map.next_key_seed(KeySeed)? {
            members.push((key, map.next_value()?));
        }
        Ok(JsonObject { members })
    }
}

/// Reads a member's name as bytes, so that half of a surrogate pair in it does not cost the row.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_bytes<E: Error>(self, name: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(text: &str) -> JsonObject<'_> {
        JsonObject::parse(text).unwrap().unwrap()
    }

    #[test]
    fn members_are_found_in_any_case_and_the_last_one_counts() {
        let object = object(
            r#"{"AgentId":1,"agentID":"2","Skill\u004eame":"x","teamName":null,"empty":""}"#,
        );
        assert_eq!(object.text("agentId").as_deref(), Some("2"));
        assert_eq!(object.text("skillName").as_deref(), Some("x"));
        assert_eq!(
            (object.text("teamName"), object.text("empty"), object.text("gone")),
            (None, None, None)
        );
    }

    #[test]
    fn anything_but_an_object_is_none_and_invalid_json_is_an_error() {
        for text in ["[]", "7", "null", "\"{}\""] {
            assert!(JsonObject::parse(text).unwrap().is_none(), "{text}");
        }
        for text in ["", "{", "{\"a\":}", "{a:1}", "nul", "{}x"] {
            assert!(JsonObject::parse(text).is_err(), "{text}");
        }
        assert!(JsonObject::parse(r#"{"cut \ud83c":1,"a":"\ud83c"}"#).unwrap().is_some());
    }

    #[test]
    fn numbers_and_booleans_may_be_strings() {
        let object = object(
            r#"{"a":-3,"b":"42","c":2.0,"d":"x","e":true,"f":"True","g":0,"h":"1","i":[1],"j":1.5,"k":99999999999999999999}"#,
        );
        let whole = ["a", "b", "c", "d", "e", "i", "j", "k"].map(|name| object.whole(name));
        assert_eq!(whole, [Some(-3), Some(42), Some(2), None, None, None, None, None]);
        let flags = ["e", "f", "g", "h", "d", "b", "i"].map(|name| object.flag(name));
        assert_eq!(flags, [Some(true), Some(true), Some(false), Some(true), None, None, None]);
    }

    #[test]
    fn times_are_read_with_any_fraction_and_zone() {
        let eight = 1_698_393_600_000;
        for (text, millis) in [
            ("2023-10-27T08:00:00Z", 0),
            ("2023-10-27T08:00:00", 0),
            ("2023-10-27 08:00:00Z", 0),
            ("2023-10-27T08:00:00.5Z", 500),
            ("2023-10-27T08:00:00.0079999Z", 7),
            ("2023-10-27T08:00:00.1234567", 123),
            ("2023-10-27T08:00:00.123456789012345Z", 123),
            ("2023-10-27T10:00:00.25+02:00", 250),
            ("2023-10-27T03:00:00-05:00", 0),
        ] {
            let text = format!(r#"{{"t":"{text}"}}"#);
            assert_eq!(
                object(&text).time("t"),
                Ok(Some(Timestamp::from_millis(eight + millis))),
                "{text}"
            );
        }
        for text in [
            "\"now\"",
            "\"2023-10-27\"",
            "\"2023-13-27T08:00:00Z\"",
            "\"0001-01-01T00:00:00Z\"",
            "\"1970-01-01T01:00:00Z\"",
            "\"9999-12-31T23:59:59Z\"",
            "1698393600",
            "true",
            "\" \"",
            "\"2023-10-27T08:00:00.Zé\"",
            "\"é.\"",
        ] {
            let text = format!(r#"{{"t":{text}}}"#);
            assert_eq!(object(&text).time("t"), Err(InvalidValue), "{text}");
        }
        assert_eq!(object(r#"{"t":null}"#).time("t"), Ok(None));
    }

    #[test]
    fn spans_are_iso_8601_or_seconds() {
        for (text, nanos) in [
            ("\"PT5M16.976S\"", 316_976_000_000),
            ("\"PT0S\"", 0),
            ("\"PT1H\"", 3_600 * SECOND),
            ("\"P1DT2H3M4.5S\"", 93_784 * SECOND + SECOND / 2),
            ("\"P1W\"", 604_800 * SECOND),
            ("\"pt5m\"", 300 * SECOND),
            ("\"PT0.0000001S\"", 100),
            ("\"-PT5S\"", -5 * SECOND),
            ("316.976", 316_976_000_000),
            ("\"316,976\"", 316_976_000_000),
            ("0", 0),
            ("3.5e1", 35 * SECOND),
            ("-1", -SECOND),
            ("99999999999999999999999", LONGEST),
        ] {
            let text = format!(r#"{{"d":{text}}}"#);
            assert_eq!(object(&text).span("d"), Ok(Some(nanos)), "{text}");
        }
        for text in [
            "\"P\"",
            "\"PT\"",
            "\"PT5\"",
            "\"5M\"",
            "\"PT1S1M\"",
            "\"P1M\"",
            "\"PT1.5H\"",
            "\"long\"",
            "true",
            "\"1.\"",
            "\".5\"",
            "1e400",
            "\"--1\"",
            "\"PTS\"",
        ] {
            let text = format!(r#"{{"d":{text}}}"#);
            assert_eq!(object(&text).span("d"), Err(InvalidValue), "{text}");
        }
        for text in ["null", "\"\"", "[]", "{}"] {
            let text = format!(r#"{{"d":{text}}}"#);
            assert_eq!(object(&text).span("d"), Ok(None), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,40}") {
            let _ = (time(&text), span(&text));
        }

        #[test]
        fn no_near_time_makes_the_readers_panic(text in "[-+P0-9T:.,ZWDHMSe ]{0,40}") {
            let _ = (time(&text), span(&text));
        }
    }
}
