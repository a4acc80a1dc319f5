//! Ids and secrets of the `api` section.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::OauthClient;
use super::mistake::{Notes, Origin, quote};
use super::outside::{Given, Level};
use super::section::Section;

/// The longest client id or access key id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: usize = 8192;

/// One id or secret, and what to say when it is missing.
pub(super) struct Wanted {
    pub(super) key: &'static str,
    pub(super) missing: &'static str,
}

/// Where a level gives a secret: in a file, or itself.
pub(super) type SecretIn = fn(&Level) -> (Option<&Given>, Option<&(Origin, Option<SecretString>)>);

/// The OAuth client; what is missing of it is told.
pub(super) fn client(
    levels: &[&Level; 3],
    section: &Section<'_>,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<OauthClient> {
    const ID: Wanted = Wanted {
        key: "client_id",
        missing: "is missing: write `client_id` under `api`, or give --api.client-id or CXONE_CLIENT_ID",
    };
    const SECRET: Wanted = Wanted {
        key: "client_secret_file",
        missing: "is missing: write the secret into a file and name it in `client_secret_file` under `api` or --api.client-secret-file, \
                  or put it into CXONE_CLIENT_SECRET",
    };
    let id = id(levels, |level| level.client_id.as_ref(), &ID, section, notes);
    let secret_in: SecretIn =
        |level| (level.client_secret_file.as_ref(), level.client_secret.as_ref());
    let secret = secret(levels, secret_in, &SECRET, section, folder, read_secret, notes);
    Some(OauthClient { id: id?, secret: secret? })
}

/// The id of the first source that gives one.
pub(super) fn id(
    levels: &[&Level; 3],
    of: impl Fn(&Level) -> Option<&Given>,
    wanted: &Wanted,
    section: &Section<'_>,
    notes: &mut Notes,
) -> Option<String> {
    let Some(given) = levels.iter().find_map(|level| of(level)) else {
        notes.mistake(section.at(wanted.key), wanted.missing);
        return None;
    };
    parse_given(given, notes, |text| check_id(text, MAX_ID_BYTES).map(|()| text.to_owned()))
}

/// Whether `text` can be an id: not empty, not too long, of one line, without what nobody sees,
/// and no placeholder.
pub(super) fn check_id(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > max_bytes {
        Err(format!("is longer than {max_bytes} bytes"))
    } else if text.contains(char::is_control) {
        Err("holds control characters or more than one line".to_owned())
    } else if let Some(c) = text.chars().find(|c| is_invisible(*c)) {
        Err(format!("holds the invisible character U+{:04X}: write it anew", u32::from(c)))
    } else if text.trim() != text {
        Err("begins or ends with white space".to_owned())
    } else {
        refuse_placeholder(text)
    }
}

/// Characters of no width that editors, web pages and office programs leave behind.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Nothing is expanded in a value: one that looks as if it should be would be sent as it is.
pub(super) fn refuse_placeholder(text: &str) -> Result<(), String> {
    let has = |open: &str, close: &str| {
        text.split_once(open).is_some_and(|(_, rest)| rest.contains(close))
    };
    let is_in = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    if has("${", "}") || has("$(", ")") || has("{{", "}}") || is_whole_variable(text) {
        Err("holds a variable or a template, which is not expanded: write the value \
             itself, or have `envsubst` or your deployment tool put it there"
            .to_owned())
    } else if is_in("<", ">") {
        Err("is a placeholder: replace it, and the angle brackets, by the value".to_owned())
    } else {
        Ok(())
    }
}

/// The same for secrets: they are made of any characters, so only a whole one is a placeholder.
fn refuse_secret_placeholder(text: &str) -> Result<(), String> {
    let is_whole = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<", ">")]
        .into_iter()
        .any(|(open, close)| text.starts_with(open) && text.ends_with(close));
    if is_whole || is_whole_variable(text) { refuse_placeholder(text) } else { Ok(()) }
}

/// Whether `text` is `$NAME` or `%NAME%`.
fn is_whole_variable(text: &str) -> bool {
    let percent = text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
    let name = text.strip_prefix('$').or(percent).unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The secret of the first source that gives one.
pub(super) fn secret(
    levels: &[&Level; 3],
    of: SecretIn,
    wanted: &Wanted,
    section: &Section<'_>,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<SecretString> {
    let sources = levels.map(of);
    let found =
        sources.iter().enumerate().find(|(_, (file, secret))| file.is_some() || secret.is_some());
    let Some((index, source)) = found else {
        notes.mistake(section.at(wanted.key), wanted.missing);
        return None;
    };
    let (at, secret) = match source {
        (Some(file), Some((at, _))) => {
            notes.mistake(
                at.clone(),
                format!("and {} are both set: unset one of them", file.at.key),
            );
            return None;
        }
        (Some(file), None) => {
            let path = parse_given(file, notes, |text| {
                if text.is_empty() {
                    return Err("is empty".to_owned());
                }
                refuse_placeholder(text).map(|()| PathBuf::from(text))
            })?;
            let path = if index == FILE_LEVEL { folder.join(path) } else { path };
            // The path is not repeated: it may be the secret itself, written into the wrong place.
            let text = read_secret(&path)
                .map_err(|error| notes.mistake(file.at.clone(), cannot_read(&error, index, folder)))
                .ok()?;
            (file.at.clone(), SecretString::from(text))
        }
        (None, Some((at, secret))) => (at.clone(), secret.clone()?),
        (None, None) => return None,
    };
    check_secret(&secret).map_err(|message| notes.mistake(at, message)).ok()
}

/// The place of the file among the sources.
pub(super) const FILE_LEVEL: usize = 1;

fn cannot_read(error: &io::Error, level: usize, folder: &Path) -> String {
    let message = format!("the file with the secret cannot be read: {error}");
    if level == FILE_LEVEL {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        format!(
            "{message} (a relative path begins at the configuration file's folder, {})",
            quote(&folder.display().to_string())
        )
    } else {
        message
    }
}

/// The secret without what stands around it and nobody sees: white space, newlines, a byte order
/// mark.
fn check_secret(secret: &SecretString) -> Result<SecretString, String> {
    let text = secret.expose_secret().trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    let checked = if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > MAX_SECRET_BYTES {
        Err(format!("is longer than {MAX_SECRET_BYTES} bytes"))
    } else if text.contains(|c: char| c.is_control() || is_invisible(c)) {
        Err("holds control characters, invisible characters or more than one line".to_owned())
    } else {
        refuse_secret_placeholder(text)
    };
    checked.map_err(|message| format!("the secret {message}"))?;
    Ok(SecretString::from(text))
}

/// What was given, as `parse` reads it; `None` when it is wrong, which is then told.
pub(super) fn parse_given<T>(
    given: &Given,
    notes: &mut Notes,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = given.text.as_deref()?;
    parse(text).map_err(|message| notes.mistake(given.at.clone(), message)).ok()
}
