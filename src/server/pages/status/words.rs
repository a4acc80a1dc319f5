//! Times, sizes and names as people read them.

use std::time::Duration;

use cxone_core::hidden::is_hidden;
use cxone_core::time::Timestamp;
use maud::{Markup, Render, html};

/// Text that somebody else wrote: everything that means something in HTML is escaped, in an
/// attribute too, and hidden characters are made visible.
#[derive(Clone, Copy)]
pub(super) struct External<'a>(pub(super) &'a str);

impl Render for External<'_> {
    fn render_to(&self, out: &mut String) {
        for c in self.0.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                hidden if is_hidden(hidden) => out.extend(hidden.escape_default()),
                other => out.push(other),
            }
        }
    }
}

/// A duration in its two largest units: `1d 1h`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [
        ("d", seconds / 86_400),
        ("h", seconds / 3600 % 24),
        ("m", seconds / 60 % 60),
        ("s", seconds % 60),
    ];
    let Some(first) = units.iter().position(|(_, count)| *count > 0) else {
        return "0s".to_owned();
    };
    let (unit, count) = units[first];
    match units.get(first + 1) {
        Some((smaller, rest)) if *rest > 0 => format!("{count}{unit} {rest}{smaller}"),
        Some(_) | None => format!("{count}{unit}"),
    }
}

/// The same for short durations, of which parts of a second matter.
pub(super) fn duration_in_tenths(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{}ms", took.as_millis()),
        1..60 => format!("{:.1}s", took.as_secs_f64()),
        60.. => duration(took),
    }
}

/// A time as its distance from now, with the time itself on hovering.
pub(super) fn when(time: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(time) title=(time) {
            @if now.since(time).max(time.since(now)) < Duration::from_secs(1) {
                "now"
            } @else if time <= now {
                (duration(now.since(time))) " ago"
            } @else {
                "in " (duration(time.since(now)))
            }
        }
    }
}

pub(super) fn when_or(time: Option<Timestamp>, now: Timestamp, otherwise: &str) -> Markup {
    time.map_or_else(|| html! { (otherwise) }, |time| when(time, now))
}

/// A size in units of 1024.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

const MAX_NAMES: usize = 3;

/// The first few names, and how many more there are.
pub(super) fn names<T: AsRef<str>>(names: &[T]) -> Markup {
    html! {
        @for (index, name) in names.iter().take(MAX_NAMES).enumerate() {
            @if index > 0 { ", " }
            b.external { (External(name.as_ref())) }
        }
        @if names.len() > MAX_NAMES { " and " (names.len() - MAX_NAMES) " more" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_rounded_as_people_round_them() {
        assert_eq!(
            [0, 59, 60, 61, 3600, 7_265, 86_400, 90_061].map(|s| duration(Duration::from_secs(s))),
            ["0s", "59s", "1m", "1m 1s", "1h", "2h 1m", "1d", "1d 1h"]
        );
        assert_eq!(
            [850, 12_340, 61_000].map(|millis| duration_in_tenths(Duration::from_millis(millis))),
            ["850ms", "12.3s", "1m 1s"]
        );
        assert_eq!(
            [0, 1023, 1024, 1_600_000, 5 << 30, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB", "17179869183.9 GiB"]
        );
    }

    #[test]
    fn of_many_names_the_first_are_listed() {
        assert_eq!(
            names(&["a", "<b>"]).0,
            "<b class=\"external\">a</b>, <b class=\"external\">&lt;b&gt;</b>"
        );
        assert!(names(&["a", "b", "c", "d", "e"]).0.ends_with(">c</b> and 2 more"));
    }
}
