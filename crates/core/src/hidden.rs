//! Characters that are invisible or change how others are displayed. They come from outside and
//! must not control a terminal or a page.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Whether `c` is a control character, a mark that changes the direction of text, a line separator,
/// or a character of no width that no script needs. Joiners (U+200C, U+200D) are
/// part of names in some scripts, and stay.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` with every hidden character as an escape, such as `\n` or `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, |out, c| write!(out, "{}", c.escape_default()))
}

/// [`visible`] for text of several lines: line breaks stay.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hidden(c), |out, c| write!(out, "{}", c.escape_default()))
}

/// JSON with hidden characters escaped. It means the same, because they can only occur in strings.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    escaped(
        json,
        |c| c != '\n' && is_hidden(c),
        |out, c| {
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
        },
    )
}

fn escaped(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char) -> fmt::Result,
) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            escape(&mut out, c).expect("writing to a string does not fail");
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_marks_are_escaped() {
        assert_eq!(
            visible("a\u{1b}[31mb\u{9b}\tc\u{202e}d\u{200b}\n\u{e0041}"),
            r"a\u{1b}[31mb\u{9b}\tc\u{202e}d\u{200b}\n\u{e0041}"
        );
        assert_eq!(visible_lines("a\nb\r\u{85}"), "a\nb\\r\\u{85}");
    }

    #[test]
    fn ordinary_text_is_unchanged() {
        for text in ["", "Zoë Ōno", "نام\u{200c}ها", "👩\u{200d}💻", "日本 \\u{202e}"]
        {
            assert_eq!(visible(text), text);
            assert_matches::assert_matches!(visible(text), Cow::Borrowed(_));
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        assert_eq!(
            visible_json("{\n\"a\u{202e}\": \"\u{7f}\\n\u{e0041}\"}"),
            "{\n\"a\\u202e\": \"\\u007f\\n\\udb40\\udc41\"}"
        );
    }
}
