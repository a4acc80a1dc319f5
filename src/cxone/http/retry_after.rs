//! `Retry-After` in both of its forms, and the `Date` that it is measured from.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, DATE, RETRY_AFTER};

use cxone_core::time::Timestamp;

/// The longest wait that is believed.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// A date further off than this is believed only if our clock agrees: it and the answer's `Date`
/// may be of two machines.
const LONG: Duration = Duration::from_secs(300);

/// How long the server asks to be left alone: seconds, or an HTTP date less the answer's own `Date`
/// (less `now` without one).
///
/// A time that has passed means no wait, and a date further off than [`LONGEST`] is cut to it.
/// `None` is what cannot be read, and a number that cannot mean seconds: above [`LONGEST`], or
/// whole thousands of them. That is a time since 1970, or milliseconds.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if value.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let until = http_date(value)?;
        until.since(date(headers).unwrap_or(now)).min(until.since(now).max(LONG))
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

/// How long caches kept the answer, in whole seconds (the header `Age`); zero when it is missing or
/// unreadable.
#[must_use]
pub fn age(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(AGE).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.map_or(0, u32::into))
}

fn http_date(value: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(value).ok()?;
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since_1970))
}

/// Whole seconds; negative ones mean no wait.
fn seconds(value: &str) -> Option<Duration> {
    let (negative, digits) = value.strip_prefix('-').map_or((false, value), |rest| (true, rest));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if negative {
        return Some(Duration::ZERO);
    }
    let wait = Duration::from_secs(digits.parse().ok()?);
    let is_milliseconds = !wait.is_zero() && wait.as_secs().is_multiple_of(1000);
    (wait <= LONGEST && !is_milliseconds).then_some(wait)
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
    fn a_time_that_has_passed_means_no_wait() {
        assert_eq!(asked("-5", None), Some(Duration::ZERO));
        assert_eq!(asked("Fri, 27 Oct 2023 07:00:00 GMT", None), Some(Duration::ZERO));
    }

    #[test]
    fn a_date_far_away_is_cut_to_an_hour() {
        assert_eq!(asked("Fri, 27 Oct 2023 09:00:01 GMT", None), Some(LONGEST));
        assert_eq!(asked("Wed, 27 Oct 2123 08:00:00 GMT", None), Some(LONGEST));
    }

    #[test]
    fn a_date_far_from_the_answers_own_is_believed_only_if_our_clock_agrees() {
        let (soon, later) = ("Fri, 27 Oct 2023 08:00:30 GMT", "Fri, 27 Oct 2023 08:20:00 GMT");
        assert_eq!(asked(soon, Some("Fri, 27 Oct 2023 07:00:20 GMT")), Some(LONG));
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        assert_eq!(asked(later, Some("Fri, 27 Oct 2023 07:00:20 GMT")), minutes(20));
        assert_eq!(asked(later, Some("Fri, 27 Oct 2023 08:00:00 GMT")), minutes(20));
        assert_eq!(asked(later, Some("Fri, 27 Oct 2023 08:18:00 GMT")), minutes(2));
    }

    #[test]
    fn a_time_since_1970_and_milliseconds_are_not_taken_for_seconds() {
        for value in [
            "1698393660",
            "1698393660000",
            "99999999999999999999999999",
            "86400",
            "60000",
            "5000",
            "3601",
            "3000",
            "1000",
        ] {
            assert_eq!(asked(value, None), None, "{value}");
        }
        assert_eq!(asked("1800", None), Some(Duration::from_secs(1800)));
    }

    #[test]
    fn the_age_of_an_answer_is_whole_seconds_or_none_at_all() {
        for (written, seconds) in [("0", 0), (" 90 ", 90), ("-1", 0), ("1.5", 0), ("soon", 0)] {
            let headers = HeaderMap::from_iter([(AGE, written.parse().unwrap())]);
            assert_eq!(age(&headers), Duration::from_secs(seconds), "{written}");
        }
        assert_eq!(age(&HeaderMap::new()), Duration::ZERO);
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
