//! The same values written otherwise.

use serde_json::Value;

/// The same time with another number of digits; what has not three of them stays as it is.
pub(super) fn odd_time(time: &str, how: u64) -> String {
    match time.strip_suffix('Z').and_then(|time| time.split_once('.')) {
        None => time.to_owned(),
        Some((seconds, "000")) if how.is_multiple_of(2) => format!("{seconds}Z"),
        Some((seconds, millis)) if how.is_multiple_of(2) => {
            format!("{seconds}.{}Z", millis.trim_end_matches('0'))
        }
        Some((seconds, millis)) => format!("{seconds}.{millis}0000Z"),
    }
}

/// How keys are written.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    Lower,
    Upper,
    Pascal,
}

impl Keys {
    pub(super) fn new(how: u64) -> Self {
        match how % 3 {
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

/// `value` with its keys and plain values written otherwise.
pub(super) fn retold(value: &Value, keys: Option<Keys>, strings: bool) -> Value {
    match value {
        Value::Object(fields) => {
            let retold = fields.iter().map(|(key, value)| {
                let key = keys.map_or_else(|| key.clone(), |keys| keys.write(key));
                (key, retold(value, keys, strings))
            });
            Value::Object(retold.collect())
        }
        Value::Array(values) => {
            Value::Array(values.iter().map(|value| retold(value, keys, strings)).collect())
        }
        Value::Number(number) if strings => Value::String(number.to_string()),
        Value::Bool(truth) if strings => {
            Value::String(if *truth { "True" } else { "False" }.to_owned())
        }
        Value::Number(_) | Value::Bool(_) | Value::String(_) | Value::Null => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_time_is_the_same_time() {
        let odd = |time| [odd_time(time, 0), odd_time(time, 1)];
        assert_eq!(
            odd("2023-10-27T08:00:00.000Z"),
            ["2023-10-27T08:00:00Z", "2023-10-27T08:00:00.0000000Z"]
        );
        assert_eq!(
            odd("2023-10-27T08:00:00.120Z"),
            ["2023-10-27T08:00:00.12Z", "2023-10-27T08:00:00.1200000Z"]
        );
        assert_eq!(odd("yesterday"), ["yesterday"; 2]);
    }
}
