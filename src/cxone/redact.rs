//! What others said, made fit for a message: without secrets, without control characters, short.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The longest piece of an answer that a message shows, in characters.
pub(super) const SHOWN_CHARS: usize = 300;

/// What stands where a secret stood.
const HIDDEN: &str = "***";

/// Secrets that must not be repeated, in every form in which an answer may echo them.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    needles: Vec<SecretString>,
}

impl Redactor {
    /// With one more secret: itself, form-encoded, percent-encoded and escaped as in JSON.
    pub(super) fn and(mut self, secret: &SecretString) -> Self {
        let plain = secret.expose_secret();
        if plain.is_empty() {
            return self;
        }
        let form: String = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        let percent = form.replace('+', "%20");
        let json = serde_json::to_string(plain).unwrap_or_default();
        let json = json.trim_start_matches('"').trim_end_matches('"').to_owned();
        let slashes = json.replace('/', "\\/");
        self.needles
            .extend([plain.to_owned(), form, percent, json, slashes].map(SecretString::from));
        // Longest first, so that no form is hidden only in part.
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.expose_secret().len()));
        self.needles.dedup_by(|one, other| one.expose_secret() == other.expose_secret());
        self
    }

    /// `text`, which is whole, for a message.
    pub(super) fn show(&self, text: &str) -> String {
        clean(&self.hide(text), SHOWN_CHARS)
    }

    /// The beginning of an answer, for a message; `cut` tells that the answer went on.
    pub(super) fn show_bytes(&self, body: &[u8], cut: bool) -> String {
        let mut text = self.hide(&String::from_utf8_lossy(body));
        if cut {
            // The end may be the first half of a secret, which is not found as one.
            let longest = self.needles.first().map_or(0, |needle| needle.expose_secret().len());
            text.truncate(text.floor_char_boundary(text.len().saturating_sub(longest)));
        }
        clean(&text, SHOWN_CHARS)
    }

    fn hide(&self, text: &str) -> String {
        let hidden = self.needles.iter().find(|needle| text.contains(needle.expose_secret()));
        if hidden.is_none() {
            return text.to_owned();
        }
        self.needles
            .iter()
            .fold(text.to_owned(), |text, needle| text.replace(needle.expose_secret(), HIDDEN))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.needles.len())
    }
}

/// `text` on one line: control characters, and those that turn the direction of writing, become
/// spaces; runs of spaces become one; what is longer than `max` characters ends in `…`.
pub(super) fn clean(text: &str, max: usize) -> String {
    let mut clean = String::new();
    let mut chars = 0;
    for c in text.chars().map(|c| if is_safe(c) { c } else { ' ' }) {
        if c == ' ' && (clean.is_empty() || clean.ends_with(' ')) {
            continue;
        }
        if chars == max {
            clean.pop();
            clean.push('…');
            return clean;
        }
        clean.push(c);
        chars += 1;
    }
    clean.truncate(clean.trim_end().len());
    clean
}

fn is_safe(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !c.is_whitespace() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secret: &str) -> Redactor {
        Redactor::default().and(&SecretString::from(secret.to_owned()))
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_that_an_answer_may_echo() {
        let shown = redactor("s3 cr/et\"+").show(
            r#"s3 cr/et"+ | s3+cr%2Fet%22%2B | s3%20cr%2Fet%22%2B | s3 cr/et\"+ | s3 cr\/et\"+"#,
        );
        assert_eq!(shown, "*** | *** | *** | *** | ***");
    }

    #[test]
    fn the_first_half_of_a_secret_at_the_end_of_a_cut_answer_is_not_shown() {
        let redactor = redactor("abcdefghij");
        assert_eq!(redactor.show_bytes(b"wrong: abcdefghij and abcdefghi", true), "wrong: *** and");
        assert_eq!(redactor.show_bytes(b"wrong: abcdefghij", false), "wrong: ***");
        assert_eq!(redactor.show_bytes(b"ab", true), "");
    }

    #[test]
    fn what_is_shown_has_one_line_and_no_control_characters() {
        assert_eq!(clean(" a\r\n\t b\u{1b}[31mred\u{202e}x\u{0} ", 300), "a b [31mred x");
        assert_eq!(clean("\u{feff}", 300), "");
    }

    #[test]
    fn what_is_long_is_cut_at_a_character() {
        let cut = clean(&"é".repeat(1000), SHOWN_CHARS);
        assert_eq!(cut.chars().count(), SHOWN_CHARS);
        assert!(cut.ends_with("é…"));
        assert_eq!(clean("abc", 3), "abc");
    }

    #[test]
    fn nothing_is_hidden_where_there_is_no_secret() {
        assert_eq!(redactor("").show("invalid_client"), "invalid_client");
    }

    #[test]
    fn debug_tells_no_secret() {
        assert_eq!(format!("{:?}", redactor("hunter2")), "Redactor(1 secrets)");
    }
}
