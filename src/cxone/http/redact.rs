//! What others said, made fit for a message: without secrets, without control characters, short.

use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

use cxone_core::hidden::is_hidden;

/// The longest piece of an answer that a message shows, in characters.
pub(crate) const SHOWN_CHARS: usize = 300;

/// What stands where a secret stood.
const HIDDEN: &str = "***";

/// A secret shorter than this, in bytes, may be a word or a number that stands in any text.
const SHORT: usize = 8;

/// What must not be repeated, in every form in which an answer may echo it.
///
/// A secret is hidden wherever it stands, also within a longer word. One of less than [`SHORT`]
/// bytes, and an id of an agent, is hidden where it is a whole token: a date keeps its digits,
/// whatever number an agent has. A token ends where a letter or digit does; `%2F` and `\n` are no
/// letters. To a token of an id also belong `-` and `_` between letters and digits, and `:` and `.`
/// between digits, so that `user-1`, `07:42` and `2026-11-22` are one each.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    needles: Vec<Needle>,
}

#[derive(Clone)]
struct Needle {
    text: SecretString,
    place: Match,
}

/// Where a needle is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Anywhere,
    /// Not next to a letter or digit.
    Word,
    /// Not within a longer id, date or number.
    Id,
}

impl Redactor {
    /// With one more secret.
    pub(crate) fn and(self, secret: &SecretString) -> Self {
        let is_short = secret.expose_secret().len() < SHORT;
        self.with(secret, if is_short { Match::Word } else { Match::Anywhere })
    }

    /// With one more id of an agent.
    pub(crate) fn and_id(self, id: &SecretString) -> Self {
        self.with(id, Match::Id)
    }

    /// With one more needle: itself, form-encoded, percent-encoded and escaped as in JSON.
    fn with(mut self, secret: &SecretString, place: Match) -> Self {
        let plain = secret.expose_secret();
        if plain.is_empty() {
            return self;
        }
        let form: String = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        let percent = form.replace('+', "%20");
        let json = serde_json::to_string(plain).unwrap_or_default();
        let json = json.trim_start_matches('"').trim_end_matches('"').to_owned();
        let slashes = json.replace('/', "\\/");
        let forms = [plain.to_owned(), lower_case(&form), lower_case(&percent), form, percent];
        let forms = forms.into_iter().chain([json, slashes]);
        self.needles.extend(forms.map(|text| Needle { text: text.into(), place }));
        // Longest first: its length decides how much of a cut answer is left out.
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.text().len()));
        self.needles.dedup_by(|one, other| one.place == other.place && one.text() == other.text());
        self
    }

    /// `text`, which is whole, for a message.
    pub(crate) fn redact(&self, text: &str) -> String {
        clean(&self.hide(text), SHOWN_CHARS)
    }

    /// The beginning of an answer, for a message; `cut` says that the answer went on.
    pub(crate) fn redact_bytes(&self, body: &[u8], cut: bool) -> String {
        let mut text = self.hide(&String::from_utf8_lossy(body));
        if cut {
            // The end may be the first half of a secret, which is not found as one.
            let longest = self.needles.first().map_or(0, |needle| needle.text().len());
            text.truncate(text.floor_char_boundary(text.len().saturating_sub(longest)));
        }
        clean(&text, SHOWN_CHARS)
    }

    fn hide(&self, text: &str) -> String {
        // Marked first and hidden then: where two secrets overlap, nothing of either is left.
        let mut marked: Vec<Range<usize>> =
            self.needles.iter().flat_map(|needle| needle.places_in(text)).collect();
        marked.sort_unstable_by_key(|range| range.start);
        let mut hidden = String::new();
        let mut end = 0;
        for range in marked {
            if range.start >= end {
                hidden.push_str(&text[end..range.start]);
                hidden.push_str(HIDDEN);
            }
            end = end.max(range.end);
        }
        hidden.push_str(&text[end..]);
        hidden
    }
}

impl Needle {
    fn text(&self) -> &str {
        self.text.expose_secret()
    }

    /// Where it stands in `text` and is to be hidden.
    fn places_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        let mut from = 0;
        let next = move || {
            let start = from + text[from..].find(self.text())?;
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
            Some(start..start + self.text().len())
        };
        std::iter::from_fn(next).filter(|range| {
            let (before, after) = (&text[..range.start], &text[range.end..]);
            let is_id = self.place == Match::Id;
            self.place == Match::Anywhere
                || !goes_on(self.text(), after.chars(), is_id)
                    && (ends_in_escape(before)
                        || !goes_on_backwards(self.text(), before.chars().rev(), is_id))
        })
    }
}

/// Whether the token that `needle` ends is longer, by what comes `next`.
fn goes_on(needle: &str, mut next: impl Iterator<Item = char>, is_id: bool) -> bool {
    token_goes_on(needle.chars().next_back(), next.next(), next.next(), is_id)
}

/// Whether the token that `needle` begins is longer, by what stands before, nearest first.
fn goes_on_backwards(needle: &str, mut before: impl Iterator<Item = char>, is_id: bool) -> bool {
    token_goes_on(needle.chars().next(), before.next(), before.next(), is_id)
}

fn token_goes_on(edge: Option<char>, one: Option<char>, two: Option<char>, is_id: bool) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    match one {
        Some(c) if c.is_alphanumeric() => true,
        Some('-' | '_') => is_id && two.is_some_and(char::is_alphanumeric),
        Some(':' | '.') => is_id && is_digit(edge) && is_digit(two),
        Some(_) | None => false,
    }
}

/// Whether `text` ends in an escape, as `%3D` or `\n`, whose last letter is part of no token.
fn ends_in_escape(text: &str) -> bool {
    let is_hex = |digits: usize, mark: &str| {
        let at = text.len().checked_sub(digits).filter(|at| text.is_char_boundary(*at));
        at.is_some_and(|at| {
            text[..at].ends_with(mark) && text[at..].bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let is_short =
        text.ends_with(['n', 'r', 't', 'b', 'f']) && text[..text.len() - 1].ends_with('\\');
    is_hex(2, "%") || is_hex(4, "\\u") || is_short
}

/// `text` with its percent-encodings in lower case.
fn lower_case(text: &str) -> String {
    let mut hex_left = 0_u8;
    let lower = |c: char| {
        let is_hex = hex_left > 0;
        hex_left = if c == '%' { 2 } else { hex_left.saturating_sub(1) };
        if is_hex { c.to_ascii_lowercase() } else { c }
    };
    text.chars().map(lower).collect()
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.needles.len())
    }
}

/// `text` on one line: control characters, and those that turn the direction of writing, become
/// spaces; runs of spaces become one; what is longer than `max` characters ends in `…`.
pub(crate) fn clean(text: &str, max: usize) -> String {
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
    !is_hidden(c) && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secret: &str) -> Redactor {
        Redactor::default().and(&SecretString::from(secret.to_owned()))
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_that_an_answer_may_echo() {
        let shown = redactor("s3 cr/et\"+").redact(
            r#"s3 cr/et"+ | s3+cr%2Fet%22%2B | s3%20cr%2Fet%22%2B | s3 cr/et\"+ | s3 cr\/et\"+"#,
        );
        assert_eq!(shown, "*** | *** | *** | *** | ***");
    }

    #[test]
    fn the_first_half_of_a_secret_at_the_end_of_a_cut_answer_is_not_shown() {
        let redactor = redactor("abcdefghij");
        assert_eq!(
            redactor.redact_bytes(b"wrong: abcdefghij and abcdefghi", true),
            "wrong: *** and"
        );
        assert_eq!(redactor.redact_bytes(b"wrong: abcdefghij", false), "wrong: ***");
        assert_eq!(redactor.redact_bytes(b"ab", true), "");
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
    fn nothing_is_hidden_without_a_secret() {
        assert_eq!(redactor("").redact("invalid_client"), "invalid_client");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", redactor("hunter2")), "Redactor(1 secrets)");
    }

    fn id_redactor(id: &str) -> Redactor {
        Redactor::default().and_id(&SecretString::from(id.to_owned()))
    }

    #[test]
    fn a_short_id_is_hidden_where_it_stands_alone_and_leaves_dates_numbers_and_words_as_they_are() {
        for id in ["0", "2", "06", "11", "2026", "42", "395", "user", "s"] {
            let text = "from 2026-11-22T06:42:42.395Z to 2026-11-22T07:11:06.020+02:00: 12.06 \
                        users, user-2, 3_42, x2026y";
            assert_eq!(id_redactor(id).redact(text), text, "{id}");
        }
        for (text, expected) in [
            ("agent 11.", "agent ***."),
            ("no agent \"11\", nor user:11", "no agent \"***\", nor user:***"),
            ("/agents/11/states?id=11&x=1", "/agents/***/states?id=***&x=1"),
            (
                "agentId%3D11%26x {\\u002211\\u0022} a\\n11",
                "agentId%3D***%26x {\\u0022***\\u0022} a\\n***",
            ),
            ("{\"id\":11,\"at\":\"11:11\"}", "{\"id\":***,\"at\":\"11:11\"}"),
            ("11", "***"),
        ] {
            assert_eq!(id_redactor("11").redact(text), expected);
        }
        assert_eq!(
            id_redactor("user-1").redact("user-1, user-10, user-1-a"),
            "***, user-10, user-1-a"
        );
    }

    #[test]
    fn a_short_secret_is_hidden_as_a_word_and_a_long_one_wherever_it_is() {
        let shown = redactor("wrong").redact("wrong, wrongly, x-wrong:wrong=wrong&");
        assert_eq!(shown, "***, wrongly, x-***:***=***&");
        assert_eq!(redactor("longsecret").redact("xlongsecrety"), "x***y");
        let both = redactor("abcdefgh").and(&SecretString::from("efghijkl".to_owned()));
        assert_eq!(both.redact("1 abcdefghijkl 2"), "1 *** 2");
    }

    proptest::proptest! {
        #[test]
        fn no_long_secret_is_left_in_any_form(
            secret in "[!-~]{8,24}", before in "[ -~]{0,12}", after in "[ -~]{0,12}",
        ) {
            let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let json = serde_json::to_string(&secret).unwrap();
            for echoed in [secret.clone(), form.clone(), lower_case(&form), json] {
                let text = format!("{before}{echoed}{after}");
                let hidden = redactor(&secret).hide(&text);
                proptest::prop_assert!(!hidden.contains(echoed.trim_matches('"')), "{hidden}");
            }
        }

        #[test]
        fn an_id_between_delimiters_is_hidden(
            id in "[a-z0-9]{1,6}(-[a-z0-9]{1,4})?", before in "[ ,;=&/?\"'(\\[{]", after in "[ ,;=&/?\"')\\]}]",
        ) {
            let hidden = id_redactor(&id).hide(&format!("X{before}{id}{after}Y"));
            proptest::prop_assert_eq!(hidden, format!("X{before}***{after}Y"));
        }

        #[test]
        fn a_text_without_the_id_as_a_token_is_left_as_it_is(
            id in "[0-9]{1,3}", year in 1000_u32..9999, month in 10_u32..13, day in 10_u32..29,
            hour in 10_u32..24, second in 10_u32..60, millis in 100_u32..1000,
        ) {
            let text = format!("{year}-{month}-{day}T{hour}:{second}:{second}.{millis}Z");
            proptest::prop_assert_eq!(id_redactor(&id).hide(&text), text);
        }
    }
}
