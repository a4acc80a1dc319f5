//! The `api` section, merged with flags and environment.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::mistake::{Notes, Origin, quote};
use super::outside::{Given, Level, Overrides};
use super::section::{Found, Section};
use super::{Api, Dialect, Rows};

/// The longest client id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// The longest client secret, in bytes.
const MAX_SECRET_BYTES: usize = 8192;

/// Reads the section; `None` when something is wrong, which is then told.
pub(super) fn read(
    section: &Section<'_>,
    overrides: &Overrides,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<Api> {
    let dialect = section.parsed("dialect", Dialect::Reports, notes, |text| match text {
        "reports" => Ok(Dialect::Reports),
        "platform" => Err("`platform` is not available in this version: write `reports`".to_owned()),
        other => Err(format!("{} is none of `reports`", quote(other))),
    });
    let choices = [("intervals", Rows::Intervals), ("events", Rows::Events), ("buckets", Rows::Buckets)];
    let rows = section.choice("rows", Rows::Intervals, &choices, notes);
    let file = from_file(section, notes);
    let levels = [&overrides.flags, &file, &overrides.environment];
    let base_url = base_url(&levels, &section.at("tenant"), notes);
    let client_id = client_id(&levels, &section.at("client_id"), notes);
    let client_secret = client_secret(&levels, &section.at("client_secret_file"), folder, read_secret, notes);
    Some(Api { dialect: dialect?, base_url: base_url?, client_id: client_id?, client_secret: client_secret?, rows: rows? })
}

fn from_file(section: &Section<'_>, notes: &mut Notes) -> Level {
    let mut given = |key: &str| {
        let text = match section.text(key, notes) {
            Found::Absent => return None,
            Found::Wrong => None,
            Found::Text(text) => Some(text.to_owned()),
        };
        Some(Given { at: section.at(key), text })
    };
    let tenant = given("tenant");
    let base_url = given("base_url");
    let client_id = given("client_id");
    let mut client_secret_file = given("client_secret_file");
    if client_secret_file.is_none() && section.has("client_secret") {
        client_secret_file = Some(Given { at: section.at("client_secret"), text: None });
    }
    Level { tenant, base_url, client_id, client_secret_file, client_secret: None, users: Vec::new() }
}

/// The address of the first source that gives a tenant or an address; there, the address replaces the tenant.
fn base_url(levels: &[&Level; 3], missing: &Origin, notes: &mut Notes) -> Option<Url> {
    let Some(level) = levels.iter().find(|level| level.tenant.is_some() || level.base_url.is_some()) else {
        let message = "is missing: write `tenant` or `base_url` under `api`, or give --api.tenant, --api.base-url, \
                       CXONE_TENANT or CXONE_BASE_URL";
        notes.mistake(missing.clone(), message);
        return None;
    };
    let from_tenant = level.tenant.as_ref().map(|tenant| tenant_url(tenant, notes));
    match &level.base_url {
        Some(given) => {
            let url = parse_given(given, notes, check_base_url)?;
            if is_unencrypted(&url) {
                notes.warning(given.at.clone(), "is http to another machine: the client secret travels unencrypted");
            }
            Some(url)
        }
        None => from_tenant?,
    }
}

fn tenant_url(tenant: &Given, notes: &mut Notes) -> Option<Url> {
    parse_given(tenant, notes, |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-');
        let wrong = || {
            format!(
                "{} is no tenant: write the name alone, such as `acme` for https://acme.api.cxone.com (1 to 63 letters, digits or `-`); \
                 for another address write `base_url`",
                quote(text)
            )
        };
        if !is_label {
            return Err(wrong());
        }
        Url::parse(&format!("https://{text}.api.cxone.com")).map_err(|_| wrong())
    })
}

/// `text` as an address. The messages do not repeat it: it may hold a password.
fn check_base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL ({error}): write it like `https://acme.api.cxone.com`"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with `https://` or `http://`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password; credentials are `client_id` and `client_secret_file`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end before any `?` or `#`".to_owned());
    }
    Ok(url)
}

fn is_unencrypted(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !loopback
}

fn client_id(levels: &[&Level; 3], missing: &Origin, notes: &mut Notes) -> Option<String> {
    let Some(given) = levels.iter().find_map(|level| level.client_id.as_ref()) else {
        notes.mistake(missing.clone(), "is missing: write `client_id` under `api`, or give --api.client-id or CXONE_CLIENT_ID");
        return None;
    };
    parse_given(given, notes, |text| check_id(text, MAX_ID_BYTES).map(|()| text.to_owned()))
}

/// Whether `text` can be an id: not empty, not too long, of one line.
pub(super) fn check_id(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > max_bytes {
        Err(format!("is longer than {max_bytes} bytes"))
    } else if text.contains(char::is_control) {
        Err("holds control characters or more than one line".to_owned())
    } else {
        Ok(())
    }
}

/// The secret of the first source that gives one.
fn client_secret(
    levels: &[&Level; 3],
    missing: &Origin,
    folder: &Path,
    read_secret: impl Fn(&Path) -> io::Result<String>,
    notes: &mut Notes,
) -> Option<SecretString> {
    let found = levels.iter().enumerate().find(|(_, level)| level.client_secret_file.is_some() || level.client_secret.is_some());
    let Some((index, level)) = found else {
        let message = "is missing: write the secret into a file and name it in `client_secret_file` under `api` or --api.client-secret-file, \
                       or put it into CXONE_CLIENT_SECRET";
        notes.mistake(missing.clone(), message);
        return None;
    };
    let (at, secret) = match (&level.client_secret_file, &level.client_secret) {
        (Some(file), Some((at, _))) => {
            notes.mistake(at.clone(), format!("and {} are both set: unset one of them", file.at.key));
            return None;
        }
        (Some(file), None) => {
            let path = parse_given(file, notes, |text| if text.is_empty() { Err("is empty".to_owned()) } else { Ok(PathBuf::from(text)) })?;
            let path = if index == FILE_LEVEL { folder.join(path) } else { path };
            // The path is not repeated: it may be the secret itself, written into the wrong place.
            let text = read_secret(&path).map_err(|error| notes.mistake(file.at.clone(), cannot_read(&error, index, folder))).ok()?;
            (file.at.clone(), SecretString::from(text))
        }
        (None, Some((at, secret))) => (at.clone(), secret.clone()?),
        (None, None) => return None,
    };
    check_secret(&secret).map_err(|message| notes.mistake(at, message)).ok()
}

/// The place of the file among the sources.
const FILE_LEVEL: usize = 1;

fn cannot_read(error: &io::Error, level: usize, folder: &Path) -> String {
    let message = format!("the file with the secret cannot be read: {error}");
    if level == FILE_LEVEL {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        format!("{message} (a relative path begins at the configuration file's folder, {})", quote(&folder.display().to_string()))
    } else {
        message
    }
}

/// The secret without its trailing newline.
fn check_secret(secret: &SecretString) -> Result<SecretString, String> {
    let text = secret.expose_secret();
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    check_id(text, MAX_SECRET_BYTES).map_err(|message| format!("the secret {message}"))?;
    Ok(SecretString::from(text))
}

/// What was given, as `parse` reads it; `None` when it is wrong, which is then told.
fn parse_given<T>(given: &Given, notes: &mut Notes, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
    let text = given.text.as_deref()?;
    parse(text).map_err(|message| notes.mistake(given.at.clone(), message)).ok()
}
