//! IDs and secrets.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::mistake::quote;
use super::overrides::{Given, ValueSource};
use super::reader::Section;
use super::{FileContent, IdAndSecret};

/// The longest ID of an OAuth client or access key, in bytes.
const MAX_ID_BYTES: usize = 256;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: usize = 8192;

/// An ID and its secret; `None` when something is wrong.
pub(super) fn credentials(
    section: &Section<'_>,
    id: &str,
    secret_file: &str,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> Option<IdAndSecret> {
    let id = match section.given(id) {
        None => missing(section, id),
        Some(given) => {
            section.parse(&given, |text| check_id(text, MAX_ID_BYTES).map(|()| text.to_owned()))
        }
    };
    let secret = secret(section, secret_file, read_file);
    Some(IdAndSecret { id: id?, secret: secret? })
}

/// The mistake that no source gives the value of `name`.
fn missing<T>(section: &Section<'_>, name: &str) -> Option<T> {
    let setting = section.setting(name)?;
    let ((flag, _), [_, variable]) = (setting.flag?, setting.variables()?);
    let message = match setting.secret_variables() {
        None => format!("is missing: set `{name}` under `api`, --{flag} or {variable}"),
        Some([_, secret]) => format!(
            "is missing: name a file that contains the secret in `{name}` under `api` or \
             --{flag}, or set {secret}"
        ),
    };
    if !section.is_broken() {
        section.mistake(name, message);
    }
    None
}

/// The secret of the first source that gives one, itself or by its file.
fn secret(
    section: &Section<'_>,
    file: &str,
    read_file: &dyn Fn(&Path, FileContent) -> io::Result<String>,
) -> Option<SecretString> {
    let name = file.strip_suffix("_file").unwrap_or(file);
    let sources = ValueSource::ALL
        .map(|level| (section.given_by(level, file), section.given_by(level, name)));
    let (at, secret) = match sources.into_iter().find(|it| it.0.is_some() || it.1.is_some()) {
        Some((Some(file), Some(secret))) if secret.level != ValueSource::File => {
            let message = format!("and {} are both set: unset one of them", file.at.key);
            section.document.mistake(secret.at, message);
            return None;
        }
        Some((Some(file), _)) => {
            let path = section.parse(&file, |text| match text {
                "" => Err("is empty".to_owned()),
                _ => refuse_placeholder(text).map(|()| PathBuf::from(text)),
            })?;
            let path = path_of(section, &file, path);
            // The path is not repeated: it may be the secret itself, written into the wrong place.
            let text = read_file(&path, FileContent::Secret).map_err(|error| {
                let message = cannot_read(section, file.level, &error);
                section.document.mistake(file.at.clone(), message);
            });
            (file.at, SecretString::from(text.ok()?))
        }
        // In the configuration file it is a mistake already.
        Some((None, Some(secret))) if secret.level == ValueSource::File => return None,
        Some((None, Some(secret))) => (secret.at, SecretString::from(secret.text?)),
        Some((None, None)) | None => return missing(section, file),
    };
    check_secret(&secret).map_err(|message| section.document.mistake(at, message)).ok()
}

/// A path of the configuration file is relative to its folder, one from elsewhere to the working
/// directory.
pub(super) fn path_of(section: &Section<'_>, given: &Given, path: PathBuf) -> PathBuf {
    if given.level == ValueSource::File { section.document.folder.join(path) } else { path }
}

fn cannot_read(section: &Section<'_>, level: ValueSource, error: &io::Error) -> String {
    let message = format!("the file with the secret cannot be read: {error}");
    if level != ValueSource::File {
        return message;
    }
    let folder = section.document.folder;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = quote(&folder.display().to_string());
    format!("{message} (relative paths begin at the folder of the configuration file, {folder})")
}

/// Whether `text` can be an ID: not empty, not too long, of one line, without what nobody sees,
/// and no placeholder.
pub(super) fn check_id(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > max_bytes {
        Err(format!("is longer than {max_bytes} bytes"))
    } else if text.contains(char::is_control) {
        Err("contains control characters or more than one line".to_owned())
    } else if let Some(c) = text.chars().find(|c| is_invisible(*c)) {
        Err(format!("contains the invisible character U+{:04X}: type it again", u32::from(c)))
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

/// Nothing in a value is expanded: a placeholder would be sent as it is.
pub(super) fn refuse_placeholder(text: &str) -> Result<(), String> {
    let has = |open: &str, close: &str| {
        text.split_once(open).is_some_and(|(_, rest)| rest.contains(close))
    };
    let is_in = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    if has("${", "}") || has("$(", ")") || has("{{", "}}") || is_whole_variable(text) {
        Err("contains a variable or a template, which is not expanded: write the value \
             itself, or let `envsubst` or your deployment tool insert it"
            .to_owned())
    } else if is_in("<", ">") {
        Err("is a placeholder: replace it, including the angle brackets, with the value".to_owned())
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

/// The secret without the white space and invisible characters around it, such as a byte order
/// mark.
fn check_secret(secret: &SecretString) -> Result<SecretString, String> {
    let text = secret.expose_secret().trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    let checked = if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > MAX_SECRET_BYTES {
        Err(format!("is longer than {MAX_SECRET_BYTES} bytes"))
    } else if text.contains(|c: char| c.is_control() || is_invisible(c)) {
        Err("contains control characters, invisible characters or more than one line".to_owned())
    } else {
        refuse_secret_placeholder(text)
    };
    checked.map_err(|message| format!("the secret {message}"))?;
    Ok(SecretString::from(text))
}
