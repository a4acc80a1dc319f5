//! Dates as the Reporting API wants them, and no others.

use cxone_core::time::Timestamp;

/// The form: `d` is a digit, everything else stands for itself.
const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";

/// `text` as a point of time if it is of the form `YYYY-MM-DDTHH:MM:SS.mmmZ` and such a moment
/// exists.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let fits = |(&byte, &form): (&u8, &u8)| {
        if form == b'd' { byte.is_ascii_digit() } else { byte == form }
    };
    let of_the_form = text.len() == FORM.len() && text.as_bytes().iter().zip(FORM).all(fits);
    // A leap second has no place in milliseconds since 1970.
    if !of_the_form || &text[17..19] == "60" {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_digits_and_a_literal_z_are_read() {
        assert_eq!(
            parse("2023-10-27T08:00:00.007Z"),
            Some(Timestamp::from_millis(1_698_393_600_007))
        );
        assert_eq!(
            parse("2024-02-29T23:59:59.999Z").map(|time| time.to_string()).as_deref(),
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
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
