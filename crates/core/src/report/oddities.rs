//! How a report's rows deviate from the documentation: for metrics, and in words.

use std::collections::BTreeMap;

use super::RowRejection;

/// From this number of rejected rows on, a report of a window that cannot grow may be unusable.
const MIN_REJECTED: u64 = 10;

/// How much of a value a message shows, in characters.
const SHOWN_CHARS: usize = 60;

/// A deviation that is accepted: the closed set of
/// `cxone_report_rows_lenient_total{form}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LenientForm {
    /// A time with an offset from UTC instead of `Z`.
    Offset,
    /// A time with neither: it is taken for UTC.
    NoZone,
    /// A time with a space or a small letter for `T` or `Z`, with a comma, with more than nine
    /// digits of a fraction, or with space around it.
    TimeFormat,
    /// A `dateTo` that stands for none, like year 1.
    EndPlaceholder,
    /// A `count` as a string.
    TextCount,
    /// A member's name in another case.
    KeyCase,
}

impl LenientForm {
    /// Every form.
    pub const ALL: [Self; 6] = [
        Self::Offset,
        Self::NoZone,
        Self::TimeFormat,
        Self::EndPlaceholder,
        Self::TextCount,
        Self::KeyCase,
    ];

    /// The value of the label `form`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offset => "offset",
            Self::NoZone => "no_zone",
            Self::TimeFormat => "time_format",
            Self::EndPlaceholder => "end_placeholder",
            Self::TextCount => "text_count",
            Self::KeyCase => "key_case",
        }
    }
}

/// The lenient forms of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LenientForms(u8);

impl LenientForms {
    /// These and `form`.
    #[must_use]
    pub const fn with(self, form: LenientForm) -> Self {
        Self(self.0 | (1 << form as u8))
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there are none: the row is as documented.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `form` is among them.
    #[must_use]
    pub const fn contains(self, form: LenientForm) -> bool {
        self.0 & (1 << form as u8) != 0
    }
}

/// A rejected row, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedRow<'a> {
    /// Why.
    pub reason: RowRejection,
    /// The member that is wrong; empty where that is not known.
    pub field: &'static str,
    /// The member's value as written, or its type; `None` when it is missing.
    pub value: Option<&'a str>,
}

impl From<RowRejection> for RejectedRow<'_> {
    fn from(reason: RowRejection) -> Self {
        Self { reason, field: "", value: None }
    }
}

/// The rows of a report that were rejected or accepted leniently, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowOddities {
    rejected: BTreeMap<RowRejection, Rejections>,
    lenient: BTreeMap<LenientForm, u64>,
}

/// The rows that were rejected for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rejections {
    rows: u64,
    /// The first one, in words.
    example: Option<Box<str>>,
}

impl RowOddities {
    /// Counts a rejected row.
    pub fn reject(&mut self, row: RejectedRow<'_>) {
        let rejections = self.rejected.entry(row.reason).or_default();
        rejections.rows += 1;
        if rejections.example.is_none() && !row.field.is_empty() {
            rejections.example = Some(example(row).into());
        }
    }

    /// Counts `rows` more that are rejected for `reason`.
    pub fn reject_more(&mut self, reason: RowRejection, rows: u64) {
        if rows > 0 {
            self.rejected.entry(reason).or_default().rows += rows;
        }
    }

    /// Counts a row that was accepted in these forms.
    pub fn accept_lenient(&mut self, forms: LenientForms) {
        for form in LenientForm::ALL.into_iter().filter(|form| forms.contains(*form)) {
            *self.lenient.entry(form).or_default() += 1;
        }
    }

    /// Adds the counts of `later`.
    pub fn append(&mut self, later: &Self) {
        for (reason, more) in &later.rejected {
            let mine = self.rejected.entry(*reason).or_default();
            mine.rows += more.rows;
            if mine.example.is_none() {
                mine.example.clone_from(&more.example);
            }
        }
        for (form, rows) in &later.lenient {
            *self.lenient.entry(*form).or_default() += rows;
        }
    }

    /// Number of rows rejected for `reason`.
    #[must_use]
    pub fn rejected(&self, reason: RowRejection) -> u64 {
        self.rejected.get(&reason).map_or(0, |rejections| rejections.rows)
    }

    /// Number of rejected rows.
    #[must_use]
    pub fn all_rejected(&self) -> u64 {
        self.rejected.values().map(|rejections| rejections.rows).sum()
    }

    /// Number of rows accepted in this form.
    #[must_use]
    pub fn lenient(&self, form: LenientForm) -> u64 {
        self.lenient.get(&form).copied().unwrap_or_default()
    }

    /// Whether a report with this number of `accepted` rows is unusable because more of its rows were
    /// rejected: it lacks most of what happened, and that would be lost when the watermark moves.
    ///
    /// A window that begins at the same watermark grows with time, so that a few rejected rows
    /// become a minority sooner or later. If it cannot grow (`can_grow`), fewer than ten of them
    /// do not make the report unusable: they must not block the rest for ever.
    #[must_use]
    pub fn is_unusable(&self, accepted: u64, can_grow: bool) -> bool {
        let rejected = self.all_rejected();
        rejected > accepted && (can_grow || rejected >= MIN_REJECTED)
    }

    /// How many rows were accepted in each lenient form; empty when all are as documented.
    #[must_use]
    pub fn lenient_forms(&self) -> String {
        let forms = self.lenient.iter().map(|(form, rows)| format!("{rows} {}", form.as_str()));
        forms.collect::<Vec<_>>().join(", ")
    }

    /// Why rows were rejected: each reason once, with the number of its rows and its first one.
    #[must_use]
    pub fn reasons(&self) -> String {
        let reasons = self.rejected.iter().map(|(reason, Rejections { rows, example })| {
            let name = reason.as_str();
            let example = match example {
                Some(example) if *rows == 1 => format!(" ({example})"),
                Some(example) => format!(" (the first: {example})"),
                None => String::new(),
            };
            let advice = if *reason == RowRejection::CutBucket {
                "; are they buckets? Then set api.rows: buckets"
            } else {
                ""
            };
            format!("{rows} {name}{example}{advice}")
        });
        reasons.collect::<Vec<_>>().join(", ")
    }

    /// Why nothing of a report with this number of `accepted` rows counts.
    #[must_use]
    pub fn why_unusable(&self, accepted: u64) -> String {
        let rejected = self.all_rejected();
        format!(
            "{rejected} of {} rows were rejected, so nothing of this report counts: {}",
            rejected.saturating_add(accepted),
            self.reasons()
        )
    }
}

/// What is wrong with a row, cut, and without what could steer a terminal.
fn example(row: RejectedRow<'_>) -> String {
    let Some(value) = row.value else { return format!("no {}", row.field) };
    let mut shown: String = value
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(|c| {
            let plain = matches!(c, '"' | '\'' | '\\').then_some(c);
            let escaped = plain.is_none().then(|| c.escape_debug());
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect();
    if value.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    format!("{} is {shown}", row.field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(reason: RowRejection, value: Option<&str>) -> RejectedRow<'_> {
        RejectedRow { reason, field: "dateFrom", value }
    }

    #[test]
    fn each_reason_is_listed_once_with_its_number_and_its_first_row() {
        let mut oddities = RowOddities::default();
        for value in [r#""27/10/2023""#, r#""28/10/2023""#] {
            oddities.reject(rejected(RowRejection::BadTime, Some(value)));
        }
        oddities.reject(rejected(RowRejection::NoState, None));
        oddities.reject(RowRejection::NoAgent.into());
        assert_eq!(
            oddities.why_unusable(1),
            "4 of 5 rows were rejected, so nothing of this report counts: 1 no_agent, 1 no_state \
             (no dateFrom), 2 bad_time (the first: dateFrom is \"27/10/2023\")"
        );
    }

    #[test]
    fn an_example_is_short_and_has_no_control_characters() {
        let value = format!("\"\u{1b}[2J\u{202e}{}", "x".repeat(500));
        let mut oddities = RowOddities::default();
        oddities.reject(rejected(RowRejection::BadTime, Some(&value)));
        let reasons = oddities.reasons();
        assert!(reasons.len() < 150 && reasons.contains('…'), "{reasons}");
        assert!(reasons.contains(r#""\u{1b}[2J\u{202e}xxx"#), "{reasons}");
    }

    #[test]
    fn a_report_with_more_rejected_rows_than_others_is_unusable() {
        let mut oddities = RowOddities::default();
        assert!(!oddities.is_unusable(0, true), "an empty report is one");
        oddities.reject(RowRejection::BadTime.into());
        assert!(oddities.is_unusable(0, true) && !oddities.is_unusable(1, true));
        oddities.reject_more(RowRejection::CutBucket, 1);
        assert!(oddities.is_unusable(1, true) && !oddities.is_unusable(2, true));
    }

    #[test]
    fn a_few_rejected_rows_do_not_block_a_window_that_cannot_grow() {
        let mut oddities = RowOddities::default();
        oddities.reject_more(RowRejection::BadTime, 9);
        assert!(oddities.is_unusable(0, true) && !oddities.is_unusable(0, false));
        oddities.reject_more(RowRejection::BadTime, 1);
        assert!(oddities.is_unusable(0, false) && !oddities.is_unusable(10, false));
    }

    #[test]
    fn a_row_counts_once_in_each_of_its_forms() {
        let mut oddities = RowOddities::default();
        let forms = LenientForms::default().with(LenientForm::Offset).with(LenientForm::KeyCase);
        oddities.accept_lenient(forms);
        oddities.accept_lenient(forms.and(LenientForms::default().with(LenientForm::NoZone)));
        oddities.append(&oddities.clone());
        let counted = LenientForm::ALL.map(|form| oddities.lenient(form));
        assert_eq!(counted, [4, 2, 0, 0, 0, 4]);
    }
}
