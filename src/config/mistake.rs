//! What is wrong with a configuration, and where.

use std::fmt;

/// More mistakes than this are counted, not shown: a file of rubbish is not worth megabytes of
/// messages.
const MAX_SHOWN: usize = 500;

/// The longest piece of the user's text that a message repeats, in characters.
const MAX_QUOTED: usize = 60;

/// One mistake: where it is, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the configuration file, from 1; `None` for a flag, an environment variable or the
    /// file as a whole.
    pub line: Option<usize>,
    /// The key's path (`poll.interval`, `targets[0].user`), the flag (`--api.tenant`) or the
    /// variable (`CXONE_TENANT`).
    pub key: String,
    /// What is wrong with it. Never contains a secret.
    pub message: String,
}

/// Every mistake of a configuration, by line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    file: String,
    mistakes: Vec<Mistake>,
}

impl ConfigErrors {
    /// The mistakes of the file named `file` and of what was given beside it; sorted by line, those
    /// without a line first.
    pub(super) fn new(file: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| mistake.line);
        Self { file: file.to_owned(), mistakes }
    }

    /// The mistakes, by line; those without a line come first. Never empty.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

/// A line a mistake: `cxone-exporter.yml:12: poll.interval: 0s must be at least 1s`.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(&mistake.located(&self.file))?;
        }
        match self.mistakes.len().checked_sub(MAX_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\nand {more} more mistakes"),
        }
    }
}

impl Mistake {
    /// The mistake with the place that it is at, in the file named `file`.
    pub(super) fn located(&self, file: &str) -> String {
        let Self { line, key, message } = self;
        match (line, key.is_empty()) {
            (Some(line), true) => format!("{file}:{line}: {message}"),
            (Some(line), false) => format!("{file}:{line}: {key}: {message}"),
            (None, true) => format!("{file}: {message}"),
            (None, false) => format!("{key}: {message}"),
        }
    }
}

/// Where a value was given: the place that a mistake about it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) line: Option<usize>,
    pub(super) key: String,
}

impl Origin {
    /// The place of a flag or variable.
    pub(super) fn outside(name: &str) -> Self {
        Self { line: None, key: name.to_owned() }
    }
}

/// What is found while a configuration is read.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) mistakes: Vec<Mistake>,
    /// What is allowed, but may be a slip.
    pub(super) warnings: Vec<Mistake>,
}

impl Findings {
    pub(super) fn mistake(&mut self, at: Origin, message: impl Into<String>) {
        self.mistakes.push(Mistake { line: at.line, key: at.key, message: message.into() });
    }

    pub(super) fn warning(&mut self, at: Origin, message: impl Into<String>) {
        self.warnings.push(Mistake { line: at.line, key: at.key, message: message.into() });
    }

    /// `value` with the warnings, or the mistakes in the file named `file`.
    pub(super) fn outcome<T>(
        self,
        file: &str,
        value: Option<T>,
    ) -> Result<(T, Vec<String>), ConfigErrors> {
        match value {
            Some(value) if self.mistakes.is_empty() => {
                Ok((value, self.warnings.iter().map(|warning| warning.located(file)).collect()))
            }
            Some(_) | None => Err(ConfigErrors::new(file, self.mistakes)),
        }
    }
}

/// `text` in backticks as a message may show it: control characters escaped, cut when long.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    quoted.push_str(&shown(text));
    quoted.push('`');
    quoted
}

/// What every section of PEM begins with.
const PEM_BEGIN: &str = "-----BEGIN";

/// `text` without the user names and passwords of addresses in it: `https://***@example.org`.
fn without_logins(text: &str) -> String {
    // A password may contain any character that ends an address, so it extends to the last `@`.
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '<' | '>');
    let hide = |word: &str| {
        let hidden = word.rsplit_once('@').filter(|(login, _)| login.contains(':'));
        hidden.map_or_else(
            || word.to_owned(),
            |(login, rest)| {
                let scheme = login.find("://").map_or("", |at| &login[..at + 3]);
                format!("{scheme}***@{rest}")
            },
        )
    };
    text.split_inclusive(ends)
        .map(|piece| {
            let word = piece.trim_end_matches(ends);
            hide(word) + &piece[word.len()..]
        })
        .collect()
}

/// The fewest characters of a word that is taken for a secret; in lower case alone, twice as many.
const SECRET_CHARACTERS: usize = 16;

/// How much of it is shown.
const SECRET_SHOWN: usize = 4;

/// `text` without logins in addresses, and without what looks like a secret that was written into
/// the wrong place: of long words in which upper case, lower case and digits mix, only the beginning
/// is left.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '=' | '/');
    let text = without_logins(text);
    let mut safe = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if length == 0 {
            safe.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        // A word that begins with a slash is a path, whose parts are judged separately.
        let length = match rest.strip_prefix('/') {
            Some(part) => 1 + part.find('/').unwrap_or(part.len()).min(length - 1),
            None => length,
        };
        let (word, more) = rest.split_at(length);
        if looks_secret(word) {
            safe.push_str(&word[..SECRET_SHOWN]);
            safe.push('…');
        } else {
            safe.push_str(word);
        }
        rest = more;
    }
    safe
}

/// Whether an ASCII word looks random.
fn looks_secret(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let mixes = has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase);
    let is_plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_mixed = word.len() >= SECRET_CHARACTERS && has(u8::is_ascii_uppercase);
    mixes && (is_mixed || word.len() >= 2 * SECRET_CHARACTERS && is_plain)
}

/// `text` as a message may show it: control characters escaped, cut when long, without secrets.
pub(super) fn shown(text: &str) -> String {
    let mut kept = String::new();
    let (before_pem, pem) = match text.find(PEM_BEGIN) {
        Some(at) => (&text[..at], PEM_BEGIN),
        None => (text, ""),
    };
    for (index, character) in (without_secrets(before_pem) + pem).chars().enumerate() {
        if index == MAX_QUOTED {
            kept.push('…');
            break;
        }
        if character.is_control() {
            kept.extend(character.escape_default());
        } else {
            kept.push(character);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_or_a_key_is_not_shown() {
        for (text, expected) in [
            ("https://me:pass@example.org/x", "https://***@example.org/x"),
            (
                "invalid value 'http://me:p/a@ss@host:1' for",
                "invalid value 'http://***@host:1' for",
            ),
            ("me:pass@host:10962", "***@host:10962"),
            ("ann@example.org", "ann@example.org"),
            ("https://example.org:443/a", "https://example.org:443/a"),
            ("x -----BEGIN PRIVATE KEY----- MIIE", "x -----BEGIN"),
            ("bPxRfiCYwJalrXUtnF3EMI/K7MDENG", "bPxR…"),
            ("https://example.org/x?key=Zq7Kx9Vw2Lp4Rt6Ym8", "https://example.org/x?key=…"),
            ("key: Zq7Kx9Vw2Lp4Rt6Ym8, 0123456789abcdef0123456789abcdef", "key: Zq7K…, 0123…"),
            ("/srv/Tenant7/Exporter/c.yml", "/srv/Tenant7/Exporter/c.yml"),
            ("11e7f0a2-8f9c-4b1e-9d5a-0242ac110002", "11e7f0a2-8f9c-4b1e-9d5a-0242ac110002"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            ("--storage.path=C3PO", "--storage.path=C3PO"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_password_of_an_address_is_shown(
            user in "[a-z]{0,8}", password in "[a-zA-Z0-9/?#@:%&=!-]{6,20}", rest in "[ -~]{0,30}",
        ) {
            let text = format!("{rest} https://{user}:{password}@example.org/x");
            let leak = format!(":{password}@");
            proptest::prop_assert!(!shown(&text).contains(&leak));
        }
    }
}
