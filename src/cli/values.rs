//! Readers of flags' values.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::config::{parse_duration, show_duration};

/// A path for the metrics: one that clients send as it is written, and that is no other page's.
pub(super) fn telemetry_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        Err("a path begins with `/`".to_owned())
    } else if text == "/" {
        Err("the path / is the status page's".to_owned())
    } else if text == "/-" || text.starts_with("/-/") {
        Err("paths below /-/ are kept for /-/healthy, /-/ready, /-/reload and the like".to_owned())
    } else {
        plain_path(text).map(|()| text.to_owned())
    }
}

/// Whether `text` is a path that neither clients nor proxies write in another way.
pub(super) fn plain_path(text: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    if text.contains(['?', '#']) {
        Err("a path ends before any `?` or `#`".to_owned())
    } else if !text.bytes().all(is_plain) {
        Err("a path holds ASCII letters, digits and any of -._~!$&'()*+,;=:@/".to_owned())
    } else if text.contains("//") {
        Err("a path has no `//`".to_owned())
    } else if text.split('/').any(|part| part == "." || part == "..") {
        Err("a path has no part `.` or `..`".to_owned())
    } else {
        Ok(())
    }
}

/// A user id.
pub(super) fn user_id(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > 256 || text.contains(char::is_control) {
        return Err("a user id has 1 to 256 bytes on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// How far back `history` may ask: as far as `poll.retention` may be.
pub(super) fn span_of_history(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(3650 * 24 * 3600);
    let duration = at_least_a_second(text)?;
    if duration > most { Err(format!("at most {}", show_duration(most))) } else { Ok(duration) }
}

/// A duration of at least a second.
pub(super) fn at_least_a_second(text: &str) -> Result<Duration, String> {
    let least = Duration::from_secs(1);
    let duration = parse_duration(text)?;
    if duration < least { Err(format!("at least {}", show_duration(least))) } else { Ok(duration) }
}

/// A whole number from 1 to `most`.
pub(super) fn count(most: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=most)
}
