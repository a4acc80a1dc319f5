//! Durations as people write them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::mistake::quote;

/// The longest text that is read as a duration; longer ones are a slip.
const MAX_BYTES: usize = 64;

/// The longest number in a duration. With it no sum of parts comes near the end of `Duration`,
/// where the parser would panic.
const MAX_DIGITS: usize = 9;

/// Reads `15m`, `24h`, `1h 30m`, `100ms`.
///
/// # Errors
/// What is wrong and what to write instead: a number without a unit, an unknown unit, a part finer
/// than a millisecond.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.len() > MAX_BYTES
        || text.split(|c: char| !c.is_ascii_digit()).any(|number| number.len() > MAX_DIGITS)
    {
        return Err(format!("{} is too long for a duration", quote(text)));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!(
            "{} has no unit: write {} for seconds, or use ms, m, h or d",
            quote(text),
            quote(&format!("{text}s"))
        ));
    }
    if text.starts_with('-') {
        return Err(format!("{} must not be negative", quote(text)));
    }
    let duration = humantime::parse_duration(text).map_err(|_| {
        format!(
            "{} is not a valid duration: write it like `100ms`, `60s`, `15m`, `24h`, `30d` or `1h 30m`",
            quote(text)
        )
    })?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{} must not be finer than a millisecond", quote(text)));
    }
    Ok(duration)
}

/// `duration` if it lies within `bounds`, else the message that it does not, with `text` as it was
/// written.
pub(super) fn within(
    text: &str,
    duration: Duration,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, String> {
    if duration < *bounds.start() {
        Err(format!("{} must be at least {}", text.trim(), show_duration(*bounds.start())))
    } else if duration > *bounds.end() {
        Err(format!("{} must be at most {}", text.trim(), show_duration(*bounds.end())))
    } else {
        Ok(duration)
    }
}

/// `duration` in the form that [`parse_duration`] reads, with short units: `1h 30m`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut parts = Vec::new();
    let mut seconds = duration.as_secs();
    for (length, unit) in UNITS {
        if seconds >= length {
            parts.push(format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if duration.subsec_millis() > 0 {
        parts.push(format!("{}ms", duration.subsec_millis()));
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mistake_of_a_number_without_a_unit_says_what_to_write() {
        assert_eq!(
            parse_duration("60").unwrap_err(),
            "`60` has no unit: write `60s` for seconds, or use ms, m, h or d"
        );
    }

    #[test]
    fn usual_forms_are_parsed_and_shown_again() {
        for (text, millis) in [
            ("100ms", 100),
            ("60s", 60_000),
            ("15m", 900_000),
            ("1h 30m", 5_400_000),
            ("0s", 0),
            ("30d", 2_592_000_000),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(parse_duration(&show_duration(duration)).unwrap(), duration, "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
        assert_eq!(show_duration(Duration::from_millis(61_500)), "1m 1s 500ms");
    }

    #[test]
    fn hostile_durations_are_rejected_without_a_panic() {
        for text in [
            "18446744073709551615s 1000ms",
            "",
            "-5s",
            "1500us",
            "5 parsecs",
            "9".repeat(1000).as_str(),
            "999999999y 999999999y",
        ] {
            if let Ok(duration) = parse_duration(text) {
                assert!(duration.as_secs() < u64::MAX / 4, "{text}");
            }
        }
        assert!(parse_duration("18446744073709551615s 1000ms").is_err());
        assert_eq!(
            parse_duration("1500us").unwrap_err(),
            "`1500us` must not be finer than a millisecond"
        );
    }
}
