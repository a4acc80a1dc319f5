//! Samples as bytes, written without the standard formatter: a page has up to a million of them.

/// Appends `name{labels} value\n`; the name is that of the family and a suffix.
pub(super) fn write_sample(
    out: &mut Vec<u8>,
    name: (&str, &str),
    labels: SampleLabels<'_>,
    value: SampleValue,
) {
    out.extend_from_slice(name.0.as_bytes());
    out.extend_from_slice(name.1.as_bytes());
    let mut open = b'{';
    for (label, text) in labels.names.iter().zip(labels.values) {
        out.push(open);
        open = b',';
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b"=\"");
        escape(out, text, true);
        out.push(b'"');
    }
    if let Some(bound) = labels.le {
        out.push(open);
        open = b',';
        out.extend_from_slice(b"le=\"");
        match bound {
            // OpenMetrics wants bounds as floats ("5.0"), and text 0.0.4 allows them: so samples
            // are the same in both.
            BucketBound::Seconds(seconds) => {
                whole(out, u64::from(seconds));
                out.extend_from_slice(b".0");
            }
            BucketBound::Infinite => out.extend_from_slice(b"+Inf"),
        }
        out.push(b'"');
    }
    if open == b',' {
        out.push(b'}');
    }
    out.push(b' ');
    match value {
        SampleValue::Whole(number) => whole(out, number),
        SampleValue::Seconds { negative, millis } => seconds(out, negative, millis),
    }
    out.push(b'\n');
}

/// The labels of one sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleLabels<'a> {
    pub(super) names: &'a [&'a str],
    /// One for each name.
    pub(super) values: &'a [&'a str],
    /// The label `le` after them.
    pub(super) le: Option<BucketBound>,
}

/// The upper bound of a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) enum BucketBound {
    Seconds(u32),
    Infinite,
}

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum SampleValue {
    Whole(u64),
    /// Milliseconds, written in seconds, exactly.
    Seconds {
        negative: bool,
        millis: u64,
    },
}

/// Appends `text` with backslash and newline escaped, and the quote too if the text is in quotes.
pub(super) fn escape(out: &mut Vec<u8>, text: &str, in_quotes: bool) {
    let bytes = text.as_bytes();
    let mut kept = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'"' if in_quotes => b"\\\"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[kept..at]);
        out.extend_from_slice(escaped);
        kept = at + 1;
    }
    out.extend_from_slice(&bytes[kept..]);
}

fn whole(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = digit(number % 10);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn seconds(out: &mut Vec<u8>, negative: bool, millis: u64) {
    if negative && millis > 0 {
        out.push(b'-');
    }
    whole(out, millis / 1000);
    let rest = millis % 1000;
    if rest > 0 {
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10 % 10), digit(rest % 10)]);
    }
}

/// `number`, below 10, as an ASCII digit.
fn digit(number: u64) -> u8 {
    b'0' + number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: SampleValue) -> String {
        let mut out = Vec::new();
        write_sample(
            &mut out,
            ("x", ""),
            SampleLabels { names: &[], values: &[], le: None },
            value,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_exactly() {
        for value in [0, 9, 10, 99, 100, 1_000_000, u64::MAX] {
            assert_eq!(number(SampleValue::Whole(value)), format!("x {value}\n"));
        }
        let seconds = |negative, millis| number(SampleValue::Seconds { negative, millis });
        assert_eq!(seconds(false, 1_700_000_000_123), "x 1700000000.123\n");
        assert_eq!(seconds(false, 1_700_000_000_100), "x 1700000000.100\n");
        assert_eq!(seconds(false, 1_700_000_000_007), "x 1700000000.007\n");
        assert_eq!(seconds(false, 1_700_000_000_000), "x 1700000000\n");
        assert_eq!(seconds(true, 1), "x -0.001\n");
        assert_eq!(seconds(true, 0), "x 0\n");
        assert_eq!(seconds(false, u64::MAX), "x 18446744073709551.615\n");
    }

    #[test]
    fn label_values_are_escaped_and_bounds_are_floats() {
        let mut out = Vec::new();
        let labels = SampleLabels {
            names: &["a", "b"],
            values: &["\\\"\n", ""],
            le: Some(BucketBound::Seconds(60)),
        };
        write_sample(&mut out, ("x", "_bucket"), labels, SampleValue::Whole(1));
        let labels = SampleLabels { names: &[], values: &[], le: Some(BucketBound::Infinite) };
        write_sample(&mut out, ("x", "_bucket"), labels, SampleValue::Whole(1));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "x_bucket{a=\"\\\\\\\"\\n\",b=\"\",le=\"60.0\"} 1\nx_bucket{le=\"+Inf\"} 1\n"
        );
    }
}
