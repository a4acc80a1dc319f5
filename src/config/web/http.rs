//! Headers, users, excluded paths and the rate limit.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::str::FromStr;

use http::{HeaderName, HeaderValue};

use super::{PasswordHash, RateLimit, go};
use crate::config::mistake::quote;
use crate::config::reader::Section;

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

/// The costs that bcrypt supports.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// The headers of every response; a blank one is not set.
pub(super) fn headers(section: &Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (at, name, value) in section.texts_by_key("headers").unwrap_or_default() {
        let Some((known, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let known = HEADERS.map(|(known, _)| quote(known)).join(", ");
            section
                .document
                .mistake(at, format!("is not a header that can be set; those are {known}"));
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if !allowed.is_empty() && !allowed.contains(&value) {
            let allowed: Vec<String> = allowed.iter().map(|value| quote(value)).collect();
            section.document.mistake(at, format!("must be one of {}", allowed.join(", ")));
            continue;
        }
        match (HeaderName::from_str(known), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => section.document.mistake(at, "contains characters that a header must not contain"),
        }
    }
    headers
}

/// The users with their hashes.
pub(super) fn users(top: &Section<'_>) -> BTreeMap<String, PasswordHash> {
    let mut users = BTreeMap::new();
    for (at, name, hash) in top.texts_by_key("basic_auth_users").unwrap_or_default() {
        match cost(hash) {
            Err(message) => top.document.mistake(at, message),
            Ok(cost) => {
                if cost > SLOW_COST {
                    top.document.warn(at.clone(), format!("a bcrypt cost of {cost} takes seconds of CPU time for each new password"));
                }
                if name.contains(':') {
                    top.document.warn(at, "a user name with a colon never matches: basic authentication ends the name there");
                }
                users.insert(name.to_owned(), PasswordHash(hash.to_owned()));
            }
        }
    }
    users
}

/// The cost of a hash. The message never repeats the hash: it may be a password.
fn cost(hash: &str) -> Result<u32, String> {
    let wrong = || {
        "is not a valid bcrypt hash: make one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`"
            .to_owned()
    };
    let parts = bcrypt::HashParts::from_str(hash).map_err(|_| wrong())?;
    if COSTS.contains(&parts.get_cost()) { Ok(parts.get_cost()) } else { Err(wrong()) }
}

/// The paths that need no password, by either name of the key.
pub(super) fn excluded_paths(top: &Section<'_>) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let listed = ["auth_excluded_paths", "basic_auth_excluded_paths"]
        .map(|key| top.texts(key).unwrap_or_default());
    for (at, path) in listed.into_iter().flatten() {
        if path.starts_with('/') {
            paths.insert(path.to_owned());
        } else {
            top.document.mistake(
                at,
                format!("{} is not a valid path: it must begin with `/`", quote(path)),
            );
        }
    }
    paths
}

/// How many requests one client may make.
pub(super) fn rate_limit(section: &Section<'_>) -> Option<RateLimit> {
    let interval = section.parsed("interval", go::duration);
    let burst = NonZeroU32::new(section.number("burst"));
    if !interval.is_zero() && burst.is_none() && section.is_valid(&["burst"]) {
        let message = "must be at least 1 if `interval` is set, or every request is rejected";
        section.mistake("burst", message);
    }
    burst.filter(|_| !interval.is_zero()).map(|burst| RateLimit { interval, burst })
}
