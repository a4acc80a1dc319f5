//! Dates as the Reporting API has them.

use cxone_core::time::Timestamp;

/// `d` is a digit, everything else stands for itself.
const DATE_FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";

/// A date in the only form that the API accepts: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    let fits = |(&byte, &form): (&u8, &u8)| {
        if form == b'd' { byte.is_ascii_digit() } else { byte == form }
    };
    let has_form = text.len() == DATE_FORM.len() && text.as_bytes().iter().zip(DATE_FORM).all(fits);
    // Milliseconds since 1970 cannot express a leap second.
    if !has_form || &text[17..19] == "60" {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_with_three_digits_and_a_literal_z_are_accepted() {
        assert_eq!(
            parse_date("2023-10-27T08:00:00.007Z"),
            Some(Timestamp::from_millis(1_698_393_600_007))
        );
        assert_eq!(
            parse_date("2024-02-29T23:59:59.999Z").map(|time| time.to_string()).as_deref(),
            Some("2024-02-29T23:59:59.999Z")
        );
        for wrong in [
            "2023-10-27T08:00:00Z",
            "2023-10-27T08:00:00.00Z",
            "2023-10-27T08:00:00.0000Z",
            "2023-10-27T08:00:00.000+00:00",
            "2023-10-27T08:00:00.000",
            "2023-10-27T08:00:00.000z",
            "2023-10-27 08:00:00.000Z",
            "2023-02-29T08:00:00.000Z",
            "2023-10-27T24:00:00.000Z",
            "2023-10-27T08:00:60.000Z",
            "2023-1e-27T08:00:00.000Z",
            "２023-10-27T08:00:00.00Z",
            "",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }
}
