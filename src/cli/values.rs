//! Parsers of flags' values.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::config::{parse_duration, show_duration};

/// A path for the metrics that clients send as it is written, and that is not another page's.
pub(super) fn telemetry_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        Err("must begin with `/`".to_owned())
    } else if text == "/" {
        Err("must not be `/`, which is the status page".to_owned())
    } else if text == "/-" || text.starts_with("/-/") {
        Err("must not be below `/-/`, which is reserved for /-/healthy, /-/ready and /-/reload"
            .to_owned())
    } else {
        plain_path(text).map(|()| text.to_owned())
    }
}

/// Whether `text` is a path that neither clients nor proxies rewrite.
pub(super) fn plain_path(text: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    if text.contains(['?', '#']) {
        Err("must not contain `?` or `#`".to_owned())
    } else if !text.bytes().all(is_plain) {
        Err("must consist of ASCII letters, digits and any of -._~!$&'()*+,;=:@/".to_owned())
    } else if text.contains("//") {
        Err("must not contain `//`".to_owned())
    } else if text.split('/').any(|part| part == "." || part == "..") {
        Err("must not contain a part `.` or `..`".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn user_id(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > 256 || text.contains(char::is_control) {
        return Err("must have 1 to 256 bytes on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// How far back `history` may ask: as far as `poll.retention` may be.
pub(super) fn span_of_history(text: &str) -> Result<Duration, String> {
    let max = Duration::from_secs(3650 * 24 * 3600);
    let duration = at_least_a_second(text)?;
    if duration > max {
        Err(format!("must be at most {}", show_duration(max)))
    } else {
        Ok(duration)
    }
}

/// A duration of at least a second.
pub(super) fn at_least_a_second(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration < Duration::from_secs(1) {
        Err("must be at least 1s".to_owned())
    } else {
        Ok(duration)
    }
}

/// A whole number from 1 to `max`.
pub(super) fn count(max: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=max)
}
