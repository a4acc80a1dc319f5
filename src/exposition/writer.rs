//! Families as text, with their heads, in parts.

use cxone_core::counts::{VISIT_BUCKETS, VisitDurations};
use cxone_core::time::Timestamp;

use super::Format;
use super::families::{Family, FamilyKind};
use super::samples::{BucketBound, SampleLabels, SampleValue, escape, write_sample};
use super::segment::{Segment, SegmentWriter};

/// A part of the page. Samples are the same in both formats; the heads of counters and infos are
/// not.
#[derive(Debug)]
pub(super) enum PagePart {
    Both(Segment),
    Differs { openmetrics: Segment, text: Segment },
}

impl PagePart {
    pub(super) fn segment(&self, format: Format) -> &Segment {
        match (self, format) {
            (Self::Both(segment), _)
            | (Self::Differs { openmetrics: segment, .. }, Format::OpenMetrics)
            | (Self::Differs { text: segment, .. }, Format::Text) => segment,
        }
    }
}

/// Writes families one after the other. A family's head comes with its first sample: a head over
/// nothing would be a metric in Prometheus that cannot be queried.
pub(super) struct PageWriter {
    open: SegmentWriter,
    parts: Vec<PagePart>,
    family: Option<Family>,
    has_head: bool,
    /// Number of samples written so far.
    pub(super) samples: u64,
}

impl PageWriter {
    pub(super) fn new() -> Self {
        Self {
            open: SegmentWriter::new(),
            parts: Vec::new(),
            family: None,
            has_head: false,
            samples: 0,
        }
    }

    /// Begins a family.
    pub(super) fn family(&mut self, family: &Family) {
        self.family = Some(*family);
        self.has_head = false;
    }

    /// Begins a family whose head is part of another segment.
    pub(super) fn without_head(&mut self, family: &Family) {
        self.family = Some(*family);
        self.has_head = true;
    }

    /// What was written since the last segment.
    pub(super) fn segment(&mut self) -> Option<Segment> {
        (!self.open.is_empty()).then(|| self.open.finish())
    }

    /// What was written since the last parts.
    pub(super) fn parts(&mut self) -> Vec<PagePart> {
        self.close();
        std::mem::take(&mut self.parts)
    }

    /// Writes a family with one sample for each item that has a value.
    pub(super) fn series<'a, T, const N: usize, V: MaybeValue>(
        &mut self,
        family: &Family,
        items: impl IntoIterator<Item = T>,
        sample: impl Fn(T) -> ([&'a str; N], V),
    ) {
        self.family(family);
        for item in items {
            let (values, value) = sample(item);
            self.sample(&values, value);
        }
    }

    /// Writes a sample, if it has a value.
    pub(super) fn sample(&mut self, values: &[&str], value: impl MaybeValue) {
        if let Some(value) = value.value() {
            self.write("", values, None, value);
        }
    }

    pub(super) fn histogram(&mut self, values: &[&str], visits: &VisitDurations) {
        let bounds = VISIT_BUCKETS
            .iter()
            .map(|&seconds| BucketBound::Seconds(seconds))
            .chain([BucketBound::Infinite]);
        let mut cumulated = 0;
        for (bound, count) in bounds.zip(visits.buckets) {
            cumulated += count;
            self.write("_bucket", values, Some(bound), SampleValue::Whole(cumulated));
        }
        self.write("_sum", values, None, seconds(visits.sum_millis));
        self.write("_count", values, None, SampleValue::Whole(cumulated));
    }

    fn write(
        &mut self,
        suffix: &str,
        values: &[&str],
        le: Option<BucketBound>,
        value: SampleValue,
    ) {
        let family = self.family.expect("a family is begun before its samples");
        assert_eq!(family.labels.len(), values.len(), "{}: one value for each label", family.name);
        if !self.has_head {
            self.write_head(&family);
            self.has_head = true;
        }
        write_sample(
            self.open.text(),
            (family.name, suffix),
            SampleLabels { names: family.labels, values, le },
            value,
        );
        self.open.deflate_full_block();
        self.samples += 1;
    }

    pub(super) fn write_head(&mut self, family: &Family) {
        match family.kind {
            FamilyKind::Gauge | FamilyKind::Histogram => {
                head(self.open.text(), family, Format::Text)
            }
            FamilyKind::Counter | FamilyKind::Info => {
                self.close();
                head(self.open.text(), family, Format::OpenMetrics);
                let openmetrics = self.open.finish();
                head(self.open.text(), family, Format::Text);
                let text = self.open.finish();
                self.parts.push(PagePart::Differs { openmetrics, text });
            }
        }
    }

    fn close(&mut self) {
        let segment = self.segment();
        self.parts.extend(segment.map(PagePart::Both));
    }
}

/// The value of a sample, or of one that is absent without it.
pub(super) trait MaybeValue {
    fn value(self) -> Option<SampleValue>;
}

impl MaybeValue for u64 {
    fn value(self) -> Option<SampleValue> {
        Some(SampleValue::Whole(self))
    }
}

impl MaybeValue for SampleValue {
    fn value(self) -> Option<SampleValue> {
        Some(self)
    }
}

impl<V: MaybeValue> MaybeValue for Option<V> {
    fn value(self) -> Option<SampleValue> {
        self.and_then(V::value)
    }
}

fn head(out: &mut Vec<u8>, family: &Family, format: Format) {
    let (name, kind) = match (family.kind, format) {
        (FamilyKind::Gauge, _) => (family.name, "gauge"),
        (FamilyKind::Histogram, _) => (family.name, "histogram"),
        (FamilyKind::Counter, Format::OpenMetrics) => (family.family_name(), "counter"),
        (FamilyKind::Counter, Format::Text) => (family.name, "counter"),
        (FamilyKind::Info, Format::OpenMetrics) => (family.family_name(), "info"),
        // Text 0.0.4 knows no infos.
        (FamilyKind::Info, Format::Text) => (family.name, "gauge"),
    };
    for part in ["# HELP ", name, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    // OpenMetrics wants quotes in HELP escaped and text 0.0.4 forbids it; HELP texts have none, as a
    // test ensures.
    escape(out, family.help, false);
    for part in [".\n# TYPE ", name, " ", kind, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Seconds since 1970.
pub(super) fn unix_time(time: Timestamp) -> SampleValue {
    SampleValue::Seconds { negative: time.millis() < 0, millis: time.millis().unsigned_abs() }
}

/// Milliseconds in seconds.
pub(super) fn seconds(millis: u64) -> SampleValue {
    SampleValue::Seconds { negative: false, millis }
}
