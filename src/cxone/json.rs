//! The few questions that are asked of a piece of JSON text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer as _, Error, Visitor};
use serde_json::value::RawValue;

/// What some servers put before a document, though it is not part of JSON.
pub(crate) const BYTE_ORDER_MARK: &[u8; 3] = b"\xef\xbb\xbf";

/// The members of the object `text`, the last one of those with the same name; `None` when it is
/// not a JSON object.
pub(crate) fn members(text: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(text).ok()
}

/// The string that `raw`, a whole JSON value, stands for; `None` when it is not a string.
///
/// Halves of surrogate pairs, which some servers leave when they cut a name, become U+FFFD.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_some() {
        unescape(raw).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Like [`string`], with a number as the text that it was written as.
pub(crate) fn string_or_number(raw: &str) -> Option<Cow<'_, str>> {
    if is_number(raw) { Some(Cow::Borrowed(raw)) } else { string(raw) }
}

/// Whether `raw`, a whole JSON value, is a number.
pub(crate) fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

/// What `raw`, a whole JSON value, is, in words.
pub(crate) fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) | None => "a number",
    }
}

fn unescape(raw: &str) -> Option<String> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    // As bytes, because only so does the parser let halves of surrogate pairs pass.
    let mut parser = serde_json::Deserializer::from_str(raw);
    let text = parser.deserialize_bytes(Bytes).ok()?;
    parser.end().ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_with_and_without_escapes() {
        assert_eq!(string(r#""plain é""#), Some("plain é".into()));
        assert_eq!(string(r#""a\"\\\/\n\u00e9\ud83c\udfa7""#), Some("a\"\\/\né🎧".into()));
        assert_eq!(string(r#""""#), Some("".into()));
        assert_eq!(string("12"), None);
        assert_eq!(string("null"), None);
        assert_eq!(string("\""), None);
    }

    #[test]
    fn half_of_a_surrogate_pair_does_not_cost_the_string() {
        let text = string(r#""cut \ud83c""#).unwrap();
        assert!(text.starts_with("cut \u{fffd}"), "{text:?}");
    }

    #[test]
    fn a_number_is_its_own_text() {
        assert_eq!(
            string_or_number("123456789012345678901234567890"),
            Some("123456789012345678901234567890".into())
        );
        assert_eq!(string_or_number("-1"), Some("-1".into()));
        assert_eq!(string_or_number("true"), None);
    }

    #[test]
    fn of_members_with_one_name_the_last_one_counts() {
        let members = members(r#" {"a": 1, "\u0061": [2], "b": 1e999} "#).unwrap();
        assert_eq!(members["a"].get(), "[2]");
        assert_eq!(members["b"].get(), "1e999");
        assert!(
            super::members("[1]").is_none()
                && super::members(r#"{"a":1"#).is_none()
                && super::members("{}x").is_none()
        );
    }
}
