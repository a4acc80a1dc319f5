//! Times, sizes and names in words, and all words as HTML.

use std::fmt::{self, Write as _};
use std::time::Duration;

use cxone_core::hidden::is_hidden;
use cxone_core::time::Timestamp;

/// Text with everything escaped that means something in HTML, in an attribute too, and hidden
/// characters shown.
pub(super) struct Html<'a>(pub(super) &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                hidden if is_hidden(hidden) => write!(f, "{}", hidden.escape_default())?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A span in its two largest units: as much as one wants to know of it.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [
            ("d", seconds / 86_400),
            ("h", seconds / 3600 % 24),
            ("m", seconds / 60 % 60),
            ("s", seconds % 60),
        ];
        let Some(first) = units.iter().position(|(_, count)| *count > 0) else {
            return f.write_str("0s");
        };
        let (unit, count) = units[first];
        write!(f, "{count}{unit}")?;
        match units.get(first + 1) {
            Some((unit, count)) if *count > 0 => write!(f, " {count}{unit}"),
            Some(_) | None => Ok(()),
        }
    }
}

/// How long a job took, of which parts of a second are of interest.
pub(super) struct Took(pub(super) Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{}ms", self.0.as_millis()),
            1..60 => write!(f, "{:.1}s", self.0.as_secs_f64()),
            60.. => Span(self.0).fmt(f),
        }
    }
}

/// A point of time as its distance from now, the point itself on hovering.
pub(super) struct When {
    pub(super) time: Timestamp,
    pub(super) now: Timestamp,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, now } = *self;
        write!(f, "<time datetime=\"{time}\" title=\"{time}\">")?;
        if now.since(time).max(time.since(now)) < Duration::from_secs(1) {
            return f.write_str("now</time>");
        }
        if time <= now {
            write!(f, "{} ago</time>", Span(now.since(time)))
        } else {
            write!(f, "in {}</time>", Span(time.since(now)))
        }
    }
}

/// [`When`], or words when there is no time.
pub(super) struct Maybe {
    pub(super) time: Option<Timestamp>,
    pub(super) now: Timestamp,
    pub(super) otherwise: &'static str,
}

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => When { time, now: self.now }.fmt(f),
            None => f.write_str(self.otherwise),
        }
    }
}

/// A size in units of 1024.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
            .into_iter()
            .find(|(shift, _)| self.0 >> shift > 0);
        let Some((shift, name)) = unit else { return write!(f, "{} B", self.0) };
        let tenths = (u128::from(self.0) * 10) >> shift;
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// So many names are told; of the others, how many they are.
const MOST_NAMES: usize = 3;

/// Names with commas between, escaped, and how many more there are.
pub(super) struct Names<'a>(pub(super) &'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().take(MOST_NAMES).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}<b class=\"told\">{}</b>", Html(name))?;
        }
        match self.0.len().saturating_sub(MOST_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_told_as_people_say_them() {
        let span = |seconds| Span(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [0, 59, 60, 61, 3600, 7_265, 86_400, 90_061].map(span),
            ["0s", "59s", "1m", "1m 1s", "1h", "2h 1m", "1d", "1d 1h"]
        );
        assert_eq!(
            [850, 12_340, 61_000].map(|millis| Took(Duration::from_millis(millis)).to_string()),
            ["850ms", "12.3s", "1m 1s"]
        );
        let sizes =
            [0, 1023, 1024, 1_600_000, 5 << 30, u64::MAX].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB", "17179869183.9 GiB"]);
    }

    #[test]
    fn of_many_names_the_first_are_told() {
        assert_eq!(
            Names(&["a", "<b>"]).to_string(),
            "<b class=\"told\">a</b>, <b class=\"told\">&lt;b&gt;</b>"
        );
        assert!(Names(&["a", "b", "c", "d", "e"]).to_string().ends_with(">c</b> and 2 more"));
    }
}
