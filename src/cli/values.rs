//! Readers of flags' values.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::config::{parse_duration, show_duration};

/// Paths that the server keeps for itself.
const RESERVED_PATHS: [&str; 3] = ["/", "/-/healthy", "/-/ready"];

/// A path for the metrics.
pub(super) fn telemetry_path(text: &str) -> Result<String, String> {
    let plain = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>' | b'\\')
    };
    if !text.starts_with('/') || !text.bytes().all(plain) {
        Err("a path begins with `/` and holds no spaces, `?` or `#`".to_owned())
    } else if RESERVED_PATHS.contains(&text) {
        Err(format!("the path {text} is taken"))
    } else {
        Ok(text.to_owned())
    }
}

/// A user id.
pub(super) fn user_id(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > 256 || text.contains(char::is_control) {
        return Err("a user id has 1 to 256 bytes on one line".to_owned());
    }
    Ok(text.to_owned())
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
