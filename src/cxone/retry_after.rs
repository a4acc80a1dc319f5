//! `Retry-After` in both of its forms, and the `Date` that it is measured from.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use crate::domain::time::Timestamp;

/// The longest wait that is believed; a server that asks for more is asked again after this.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// How long the server asks to be left alone: seconds, or an HTTP date less the answer's own `Date`
/// (less `now` without one).
///
/// A time that has passed is no wait, one over [`LONGEST`] is cut to it, and what cannot be read is
/// `None`.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if value.starts_with(|c: char| c.is_ascii_alphabetic()) {
        http_date(value)?.since(date(headers).unwrap_or(now))
    } else {
        seconds(value)?
    };
    Some(wait.min(LONGEST))
}

/// The answer's `Date`, in whole seconds; `None` when it is missing or unreadable.
#[must_use]
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?.trim())
}

fn http_date(value: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(value).ok()?;
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since_1970))
}

/// Whole seconds; negative ones are none, and more digits than fit are the longest wait.
fn seconds(value: &str) -> Option<Duration> {
    let (negative, digits) = value.strip_prefix('-').map_or((false, value), |rest| (true, rest));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if negative {
        return Some(Duration::ZERO);
    }
    Some(digits.parse().map_or(LONGEST, Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Timestamp = Timestamp::from_millis(1_698_393_600_000);

    fn asked(retry: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers, EIGHT)
    }

    #[test]
    fn seconds_are_taken_as_they_are() {
        assert_eq!(asked("0", None), Some(Duration::ZERO));
        assert_eq!(asked(" 17 ", None), Some(Duration::from_secs(17)));
        assert_eq!(asked("3600", None), Some(LONGEST));
    }

    #[test]
    fn a_date_is_measured_from_the_answers_own_date_and_else_from_the_clock() {
        let at = "Fri, 27 Oct 2023 08:00:30 GMT";
        assert_eq!(asked(at, None), Some(Duration::from_secs(30)));
        assert_eq!(asked(at, Some("Fri, 27 Oct 2023 08:00:20 GMT")), Some(Duration::from_secs(10)));
        assert_eq!(asked(at, Some("not a date")), Some(Duration::from_secs(30)));
        assert_eq!(asked("Friday, 27-Oct-23 08:00:30 GMT", None), Some(Duration::from_secs(30)));
        assert_eq!(asked("Fri Oct 27 08:00:30 2023", None), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_time_that_has_passed_is_no_wait() {
        assert_eq!(asked("-5", None), Some(Duration::ZERO));
        assert_eq!(asked("Fri, 27 Oct 2023 07:00:00 GMT", None), Some(Duration::ZERO));
    }

    #[test]
    fn absurd_waits_are_cut_to_an_hour() {
        assert_eq!(asked("86400", None), Some(LONGEST));
        assert_eq!(asked("99999999999999999999999999", None), Some(LONGEST));
        assert_eq!(asked("Wed, 27 Oct 2123 08:00:00 GMT", None), Some(LONGEST));
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for value in
            ["", "-", "soon", "1.5", "1e3", "+3", "5s", "0x10", "Fri, 99 Oct 2023 08:00:00 GMT"]
        {
            assert_eq!(asked(value, None), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), EIGHT), None);
    }
}
