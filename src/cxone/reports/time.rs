//! The reader of a row's times: of the documented form, and of others where that one is not met.

use std::time::Duration;

use cxone_core::report::{LenientForm, LenientForms};
use cxone_core::time::Timestamp;

const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_OF_MONTH: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Days from 0000-01-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_528;

/// The point that `YYYY-MM-DDTHH:MM:SS[.fraction]Z` names; 1 to 9 digits of fraction, cut to whole
/// milliseconds.
///
/// Anything else is `None`: an offset, a missing `Z`, a day that its month does not have, a leap
/// second.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (head, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', mi1, mi2, b':', s1, s2] =
        *head
    else {
        return None;
    };
    let year = i64::from(pair(y1, y2)?) * 100 + i64::from(pair(y3, y4)?);
    let (month, day) = (pair(mo1, mo2)?, pair(d1, d2)?);
    let (hour, minute, second) = (pair(h1, h2)?, pair(mi1, mi2)?, pair(s1, s2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let index = usize::from(month.checked_sub(1)?);
    let last_day = *DAYS_OF_MONTH.get(index)? + u8::from(leap && month == 2);
    if day == 0 || day > last_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Leap days of the years before this one; year 0 is one of them.
    let leap_days =
        if year == 0 { 0 } else { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 };
    let in_year = DAYS_BEFORE_MONTH[index] + i64::from(leap && month > 2) + i64::from(day) - 1;
    let days = year * 365 + leap_days + in_year - DAYS_TO_1970;
    let seconds = ((days * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second);
    Some(Timestamp::from_millis(seconds * 1000 + millis(rest)?))
}

/// What stands after the seconds: `Z`, or `.`, 1 to 9 digits, and `Z`.
fn millis(rest: &[u8]) -> Option<i64> {
    let fraction = match rest {
        [b'Z'] => return Some(0),
        [b'.', fraction @ .., b'Z'] => fraction,
        _ => return None,
    };
    if !(1..=9).contains(&fraction.len()) || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// The point that `text` names where it is not of the documented form, but can mean one point only:
/// with an offset of up to 14 hours instead of `Z`; with neither, which is UTC, as all times of
/// this API are; with a space or small letters; with a comma; with any number of digits of a
/// fraction; with space around it. And in which forms it differs.
///
/// `None` is what lacks seconds or a time of day, what names the month in another place, and
/// numbers: whether those are seconds or milliseconds is not said.
pub(crate) fn parse_lenient(text: &str) -> Option<(Timestamp, LenientForms)> {
    let mut forms = LenientForms::default();
    let trimmed = text.trim();
    let mut is_odd = trimmed.len() != text.len();
    let (head, rest) = trimmed.as_bytes().split_first_chunk::<19>()?;
    let (fraction, zone) = match rest {
        [mark @ (b'.' | b','), digits @ ..] => {
            let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            is_odd |= *mark == b',' || count > 9;
            digits.split_at_checked(count).filter(|(fraction, _)| !fraction.is_empty())?
        }
        zone => (&[][..], zone),
    };
    let after_space = zone.trim_ascii_start();
    is_odd |= after_space.len() != zone.len();
    let (is_ahead, offset) = match after_space {
        b"" => {
            forms = forms.with(LenientForm::NoZone);
            (false, Duration::ZERO)
        }
        b"Z" => (false, Duration::ZERO),
        b"z" => {
            is_odd = true;
            (false, Duration::ZERO)
        }
        [sign @ (b'+' | b'-'), offset @ ..] => {
            forms = forms.with(LenientForm::Offset);
            (*sign == b'+', offset_length(offset)?)
        }
        _ => return None,
    };
    // As documented, for the reader of that form: head, point, at most nine digits, and Z.
    let mut strict = [b'Z'; 30];
    strict[..19].copy_from_slice(head);
    if matches!(strict[10], b' ' | b't') {
        strict[10] = b'T';
        is_odd = true;
    }
    let digits = &fraction[..fraction.len().min(9)];
    let mut length = 20;
    if !digits.is_empty() {
        strict[19] = b'.';
        strict[20..20 + digits.len()].copy_from_slice(digits);
        length += digits.len() + 1;
    }
    let local = parse(std::str::from_utf8(&strict[..length]).ok()?)?;
    let time = if is_ahead { local.minus(offset) } else { local.plus(offset) };
    Some((time, if is_odd { forms.with(LenientForm::TimeFormat) } else { forms }))
}

/// `HH`, `HHMM` or `HH:MM`, at most 14 hours.
fn offset_length(text: &[u8]) -> Option<Duration> {
    let (hours, minutes) = match *text {
        [h1, h2] => (pair(h1, h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (pair(h1, h2)?, pair(m1, m2)?),
        _ => return None,
    };
    let length = Duration::from_secs(60 * (u64::from(hours) * 60 + u64::from(minutes)));
    (minutes < 60 && length <= Duration::from_secs(14 * 3600)).then_some(length)
}

fn pair(tens: u8, ones: u8) -> Option<u8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fractions_are_cut_to_milliseconds() {
        for (text, millis) in [
            ("2023-10-27T08:00:00Z", 0),
            ("2023-10-27T08:00:00.5Z", 500),
            ("2023-10-27T08:00:00.05Z", 50),
            ("2023-10-27T08:00:00.007Z", 7),
            ("2023-10-27T08:00:00.0079999Z", 7),
            ("2023-10-27T08:00:00.999999999Z", 999),
        ] {
            assert_eq!(
                parse(text),
                Some(Timestamp::from_millis(1_698_393_600_000 + millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_but_the_strict_form_is_refused() {
        for text in [
            "",
            "2023-10-27",
            "2023-10-27T08:00:00",
            "2023-10-27T08:00:00+00:00",
            "2023-10-27T08:00:00.000+00:00",
            "2023-10-27T08:00:00z",
            "2023-10-27t08:00:00Z",
            "2023-10-27 08:00:00Z",
            "2023-10-27T08:00:00.Z",
            "2023-10-27T08:00:00.1234567890Z",
            "2023-10-27T08:00:00,5Z",
            "2023-10-27T08:00:00.5 Z",
            "2023-10-27T08:00:00ZZ",
            " 2023-10-27T08:00:00Z",
            "2023-10-27T08:00:60Z",
            "2023-10-27T24:00:00Z",
            "2023-10-27T08:60:00Z",
            "2023-00-27T08:00:00Z",
            "2023-13-27T08:00:00Z",
            "2023-10-00T08:00:00Z",
            "2023-10-32T08:00:00Z",
            "2023-02-29T08:00:00Z",
            "1900-02-29T08:00:00Z",
            "-023-10-27T08:00:00Z",
            "+002023-10-27T08:00:00Z",
            "2023-10-27T08:00:0éZ",
            "٢٠٢٣-10-27T08:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_unambiguous_time_is_accepted_and_its_lenient_forms_reported() {
        for (text, millis, expected) in [
            ("2023-10-27T08:00:00+00:00", 0, "offset"),
            ("2023-10-27T10:30:00.25+02:30", 250, "offset"),
            ("2023-10-27T03:00:00.000-0500", 0, "offset"),
            ("2023-10-27T22:00:00+14", 0, "offset"),
            ("2023-10-27T08:00:00-00:00", 0, "offset"),
            ("2023-10-27T08:00:00", 0, "no_zone"),
            ("2023-10-27T08:00:00.1234567", 123, "no_zone"),
            ("2023-10-27T08:00:00.12345678901234567890Z", 123, "time_format"),
            ("2023-10-27T08:00:00,5Z", 500, "time_format"),
            ("2023-10-27t08:00:00z", 0, "time_format"),
            ("2023-10-27 08:00:00Z", 0, "time_format"),
            (" 2023-10-27T08:00:00Z\n", 0, "time_format"),
            ("2023-10-27 08:00:00.5", 500, "no_zone time_format"),
            ("2023-10-27 10:00:00.5 +02:00", 500, "offset time_format"),
        ] {
            let (time, forms) = parse_lenient(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(time, Timestamp::from_millis(1_698_393_600_000 + millis), "{text}");
            let forms = LenientForm::ALL.into_iter().filter(|form| forms.contains(*form));
            assert_eq!(
                forms.map(LenientForm::as_str).collect::<Vec<_>>().join(" "),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_can_mean_several_points_is_not_understood() {
        for text in [
            "",
            " ",
            "1698393600",
            "1698393600000",
            "2023-10-27",
            "2023-10-27T08:00Z",
            "20231027T080000Z",
            "27/10/2023 08:00:00",
            "10/27/2023 8:00:00 AM",
            "2023-10-27T08:00:00.Z",
            "2023-10-27T08:00:00.+00:00",
            "2023-10-27T08:00:00+14:01",
            "2023-10-27T08:00:00+02:60",
            "2023-10-27T08:00:00+2",
            "2023-10-27T08:00:00+02:00Z",
            "2023-10-27T08:00:00ZZ",
            "2023-10-27T08:00:00 CET",
            "2023-10-27T08:00:60",
            "2023-10-27T24:00:00",
            "2023-02-29 08:00:00",
            "/Date(1698393600000)/",
            "2023-10-27T08:00:0é",
            "2023-10-27\u{2003}08:00:00",
        ] {
            assert_eq!(parse_lenient(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_offset_is_read_as_jiff_reads_it(
            millis in 0_i64..4_000_000_000_000, hours in 0_i64..14, minutes in 0_i64..60, sign in prop::sample::select(vec!['+', '-']),
        ) {
            let local = Timestamp::from_millis(millis).to_string();
            let text = format!("{}{sign}{hours:02}:{minutes:02}", local.trim_end_matches('Z'));
            let naive: jiff::Timestamp = text.parse().expect("a time with an offset");
            let read = parse_lenient(&text).map(|(time, _)| time.millis());
            prop_assert_eq!(read, Some(naive.as_millisecond()), "{}", text);
        }

        #[test]
        fn no_text_is_too_odd_to_be_looked_at(text in "[0-9TtZz:.,+ -]{0,40}", any in any::<String>()) {
            let _read = (parse_lenient(&text), parse_lenient(&any));
        }

        #[test]
        fn what_a_timestamp_displays_is_read_back(millis in -62_135_596_800_000_i64..253_402_207_200_000) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(parse(&time.to_string()), Some(time));
        }

        #[test]
        fn dates_that_exist_and_only_they_are_read_as_jiff_reads_them(
            year in prop_oneof![0_u32..=9998, Just(1900), Just(2000), Just(2024)],
            month in 0_u32..=13, day in 0_u32..=32, hour in 0_u32..=24, minute in 0_u32..=60, second in 0_u32..=59,
            fraction in "(\\.[0-9]{1,9})?",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z");
            let naive = text.parse::<jiff::Timestamp>().ok().filter(|_| hour < 24);
            // Rounded down, as ours is; jiff's own accessor rounds towards 1970.
            let millis = naive.map(|time| time.as_nanosecond().div_euclid(1_000_000));
            prop_assert_eq!(parse(&text).map(|time| i128::from(time.millis())), millis, "{}", text);
        }

        #[test]
        fn any_text_that_is_read_is_read_by_jiff_too(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[.,]?[0-9]{0,10}[Zz+]?.{0,3}") {
            if let Some(time) = parse(&text) {
                let naive: jiff::Timestamp = text.parse().expect("jiff is the more lenient one");
                prop_assert_eq!(i128::from(time.millis()), naive.as_nanosecond().div_euclid(1_000_000));
            }
        }
    }
}
