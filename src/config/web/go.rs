//! Values as Go's YAML reader takes them.

use std::time::Duration;

use crate::config::mistake::quote;

/// Units of Go's `time.ParseDuration`, in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
];

/// The longest duration: beyond a day between two requests is a slip.
const LONGEST: Duration = Duration::from_secs(86_400);

/// `true` or `false`, in every way that YAML 1.1 allows.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Ok(true),
        "false" | "no" | "off" | "n" => Ok(false),
        _ => Err(format!("{} must be `true` or `false`", quote(text))),
    }
}

/// `1s`, `1m30s`, `0.5s`; a number without a unit is nanoseconds, as `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("{} is not a valid duration: write it like `100ms`, `1s` or `1m30s`", quote(text))
    };
    let mut rest = text.trim();
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest
            .parse()
            .map(Duration::from_nanos)
            .map_err(|_| wrong())
            .and_then(|duration| bounded(text, duration));
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..end]).ok_or_else(wrong)?;
        nanos += number * unit;
        rest = &rest[end..];
    }
    if text.trim().is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(nanos / 1e9)
        .map_err(|_| wrong())
        .and_then(|duration| bounded(text, duration))
}

fn bounded(text: &str, duration: Duration) -> Result<Duration, String> {
    if duration > LONGEST {
        Err(format!("{} must be at most a day", quote(text)))
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_as_go_parses_them() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("0.5s", 500),
            (".5s", 500),
            ("1000000", 1),
            ("24h", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            " ",
            "s",
            "1d",
            "-1s",
            "1s2",
            "1.2.3s",
            "1 s",
            "25h",
            "99999999999999999999",
            "1e9s",
            "NaNs",
            "infs",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_are_parsed_as_yaml_1_1_has_them() {
        assert_eq!((boolean("True"), boolean("off")), (Ok(true), Ok(false)));
        assert!(boolean("maybe").is_err());
    }
}
