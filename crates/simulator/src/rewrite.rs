//! The same values in other forms.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::dates::parse_date;

/// Which case keys are in.
#[derive(Clone, Copy)]
pub(crate) enum KeyStyle {
    Lower,
    Upper,
    Pascal,
}

impl KeyStyle {
    pub(crate) fn new(number: u64) -> Self {
        match number % 3 {
            0 => Self::Lower,
            1 => Self::Upper,
            _ => Self::Pascal,
        }
    }

    fn write(self, key: &str) -> String {
        match self {
            Self::Lower => key.to_ascii_lowercase(),
            Self::Upper => key.to_ascii_uppercase(),
            Self::Pascal => {
                let (first, rest) = key.split_at(key.chars().next().map_or(0, char::len_utf8));
                first.to_ascii_uppercase() + rest
            }
        }
    }
}

/// `value` with its keys in another case, and with strings in place of numbers and booleans.
pub(crate) fn rewrite(value: &Value, keys: Option<KeyStyle>, strings: bool) -> Value {
    match value {
        Value::Object(fields) => {
            let mut rewritten = Map::new();
            for (key, value) in fields {
                let key = keys.map_or_else(|| key.clone(), |keys| keys.write(key));
                rewritten.insert(key, rewrite(value, keys, strings));
            }
            Value::Object(rewritten)
        }
        Value::Array(values) => {
            Value::Array(values.iter().map(|value| rewrite(value, keys, strings)).collect())
        }
        Value::Number(number) if strings => Value::String(number.to_string()),
        Value::Bool(true) if strings => Value::String("True".to_owned()),
        Value::Bool(false) if strings => Value::String("False".to_owned()),
        Value::Number(_) | Value::Bool(_) | Value::String(_) | Value::Null => value.clone(),
    }
}

/// The same time with another number of digits. A time without three of them is left alone.
pub(crate) fn with_other_digits(time: &str, number: u64) -> String {
    match time.strip_suffix('Z').and_then(|time| time.split_once('.')) {
        None => time.to_owned(),
        Some((seconds, "000")) if number.is_multiple_of(2) => format!("{seconds}Z"),
        Some((seconds, millis)) if number.is_multiple_of(2) => {
            format!("{seconds}.{}Z", millis.trim_end_matches('0'))
        }
        Some((seconds, millis)) => format!("{seconds}.{millis}0000Z"),
    }
}

/// The same time in one of the six forms that reports have with [`crate::Quirk::TimeFormat`].
pub(crate) fn in_other_form(time: &str, number: u64) -> String {
    match number % 6 {
        0 => time.replace('Z', "+00:00"),
        1 => match parse_date(time) {
            Some(utc) => utc.plus(Duration::from_hours(2)).to_string().replace('Z', "+02:00"),
            None => time.to_owned(),
        },
        2 => time.trim_end_matches('Z').to_owned(),
        3 => time.replace('T', " "),
        digits => with_other_digits(time, digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_digits_express_the_same_time() {
        let forms = |time| [with_other_digits(time, 0), with_other_digits(time, 1)];
        assert_eq!(
            forms("2023-10-27T08:00:00.000Z"),
            ["2023-10-27T08:00:00Z", "2023-10-27T08:00:00.0000000Z"]
        );
        assert_eq!(
            forms("2023-10-27T08:00:00.120Z"),
            ["2023-10-27T08:00:00.12Z", "2023-10-27T08:00:00.1200000Z"]
        );
        assert_eq!(forms("yesterday"), ["yesterday"; 2]);
    }

    #[test]
    fn a_time_has_six_other_forms() {
        let forms = [0, 1, 2, 3, 4, 5].map(|form| in_other_form("2023-10-27T08:00:00.120Z", form));
        assert_eq!(
            forms,
            [
                "2023-10-27T08:00:00.120+00:00",
                "2023-10-27T10:00:00.120+02:00",
                "2023-10-27T08:00:00.120",
                "2023-10-27 08:00:00.120Z",
                "2023-10-27T08:00:00.12Z",
                "2023-10-27T08:00:00.1200000Z",
            ]
        );
    }
}
