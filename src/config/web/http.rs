//! Headers, users, excluded paths and the rate limit.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{PasswordHash, RateLimit, go};
use crate::config::mistake::{Notes, quote};
use crate::config::section::Section;

/// The headers that may be set, each with its allowed values; none named: any. Source:
/// `extraHTTPHeaders` in `web/handler.go` of the exporter-toolkit.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// A hash of this cost takes about a second.
const SLOW_COST: u32 = 14;

/// What bcrypt can be asked for.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// The headers of every response; a blank one is not set.
pub(super) fn headers(section: &Section<'_>, notes: &mut Notes) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (at, name, value) in section.free_map("headers", notes).unwrap_or_default() {
        let Some((known, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let known = HEADERS.map(|(known, _)| quote(known)).join(", ");
            notes.mistake(at, format!("this header cannot be set; those that can: {known}"));
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if !allowed.is_empty() && !allowed.contains(&value) {
            let allowed: Vec<String> = allowed.iter().map(|value| quote(value)).collect();
            notes.mistake(at, format!("must be one of {}", allowed.join(", ")));
            continue;
        }
        match (HeaderName::from_str(known), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => notes.mistake(at, "holds characters that no header may hold"),
        }
    }
    headers
}

/// The users with their hashes.
pub(super) fn users(top: &Section<'_>, notes: &mut Notes) -> BTreeMap<String, PasswordHash> {
    let mut users = BTreeMap::new();
    for (at, name, hash) in top.free_map("basic_auth_users", notes).unwrap_or_default() {
        match cost(hash) {
            Err(message) => notes.mistake(at, message),
            Ok(cost) => {
                if cost > SLOW_COST {
                    notes.warning(at.clone(), format!("a bcrypt cost of {cost} takes seconds of a processor for each new password"));
                }
                if name.contains(':') {
                    notes.warning(at, "a name with a colon can never sign in: basic authentication ends the name there");
                }
                users.insert(name.to_owned(), PasswordHash(hash.to_owned()));
            }
        }
    }
    users
}

/// The cost of a hash. The message never repeats the hash: it may be a password.
fn cost(hash: &str) -> Result<u32, String> {
    let wrong =
        || "is no bcrypt hash: make one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`".to_owned();
    let parts = bcrypt::HashParts::from_str(hash).map_err(|_| wrong())?;
    if COSTS.contains(&parts.get_cost()) { Ok(parts.get_cost()) } else { Err(wrong()) }
}

/// The paths that need no password, by either name of the key.
pub(super) fn excluded_paths(top: &Section<'_>, notes: &mut Notes) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let listed = ["auth_excluded_paths", "basic_auth_excluded_paths"]
        .map(|key| top.texts(key, notes).unwrap_or_default());
    for (at, path) in listed.into_iter().flatten() {
        if path.starts_with('/') {
            paths.insert(path.to_owned());
        } else {
            notes.mistake(at, format!("{} is no path: it begins with `/`", quote(path)));
        }
    }
    paths
}

/// How often one client may ask.
pub(super) fn rate_limit(section: &Section<'_>, notes: &mut Notes) -> Option<RateLimit> {
    let interval = section.parsed("interval", Duration::ZERO, notes, go::duration)?;
    let burst = section.number("burst", 0, 0..=1_000_000_u32, notes)?;
    if interval.is_zero() {
        return None;
    }
    let Some(burst) = NonZeroU32::new(burst) else {
        notes.mistake(
            section.at("burst"),
            "must be at least 1 where `interval` is set, or every request is refused",
        );
        return None;
    };
    Some(RateLimit { interval, burst })
}
