//! Families as text, with their heads, in pieces.

use cxone_core::counts::{VISIT_BUCKETS, VisitDurations};
use cxone_core::time::Timestamp;

use super::Format;
use super::families::{Family, FamilyKind};
use super::rows::{Bound, Labels, Value, escape, row};
use super::segment::{Segment, SegmentWriter};

/// A part of the page. The rows are the same in both formats; the heads of counters and infos are
/// not.
#[derive(Debug)]
pub(super) enum Piece {
    Both(Segment),
    Differs { openmetrics: Segment, text: Segment },
}

impl Piece {
    /// What stands on the page of this format.
    pub(super) fn segment(&self, format: Format) -> &Segment {
        match (self, format) {
            (Self::Both(segment), _)
            | (Self::Differs { openmetrics: segment, .. }, Format::OpenMetrics)
            | (Self::Differs { text: segment, .. }, Format::Text) => segment,
        }
    }
}

/// Writes families one after the other. A family's head comes with its first sample: a head over
/// nothing would tell Prometheus of a metric that cannot be queried.
pub(super) struct Writer {
    open: SegmentWriter,
    pieces: Vec<Piece>,
    family: Option<Family>,
    head_written: bool,
    /// How many samples were written.
    pub(super) samples: u64,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            open: SegmentWriter::new(),
            pieces: Vec::new(),
            family: None,
            head_written: false,
            samples: 0,
        }
    }

    pub(super) fn family(&mut self, family: &Family) {
        self.family = Some(*family);
        self.head_written = false;
    }

    /// Goes on with a family whose head stands, or will stand, elsewhere.
    pub(super) fn rows_of(&mut self, family: &Family) {
        self.family = Some(*family);
        self.head_written = true;
    }

    /// A family's head alone.
    pub(super) fn head(&mut self, family: &Family) {
        self.write_head(family);
    }

    /// What was written since the last segment, as one.
    pub(super) fn segment(&mut self) -> Option<Segment> {
        (!self.open.is_empty()).then(|| self.open.finish())
    }

    /// What was written since the last pieces.
    pub(super) fn pieces(&mut self) -> Vec<Piece> {
        self.close();
        std::mem::take(&mut self.pieces)
    }

    /// A family of one sample without labels.
    pub(super) fn lone(&mut self, family: &Family, value: Value) {
        self.family(family);
        self.sample(&[], value);
    }

    pub(super) fn sample_if<const N: usize>(&mut self, values: [&str; N], value: Option<Value>) {
        if let Some(value) = value {
            self.sample(&values, value);
        }
    }

    pub(super) fn sample(&mut self, values: &[&str], value: Value) {
        self.row("", values, None, value);
    }

    pub(super) fn histogram(&mut self, values: &[&str], visits: &VisitDurations) {
        let bounds =
            VISIT_BUCKETS.iter().map(|&seconds| Bound::Seconds(seconds)).chain([Bound::Infinite]);
        let mut cumulated = 0;
        for (bound, count) in bounds.zip(visits.buckets) {
            cumulated += count;
            self.row("_bucket", values, Some(bound), Value::Whole(cumulated));
        }
        self.row("_sum", values, None, span(visits.sum_millis));
        self.row("_count", values, None, Value::Whole(cumulated));
    }

    fn row(&mut self, suffix: &str, values: &[&str], le: Option<Bound>, value: Value) {
        let family = self.family.expect("a family is begun before its samples");
        assert_eq!(family.labels.len(), values.len(), "{}: one value for each label", family.name);
        if !self.head_written {
            self.write_head(&family);
            self.head_written = true;
        }
        row(
            self.open.text(),
            (family.name, suffix),
            Labels { names: family.labels, values, le },
            value,
        );
        self.open.relieve();
        self.samples += 1;
    }

    fn write_head(&mut self, family: &Family) {
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
                self.pieces.push(Piece::Differs { openmetrics, text });
            }
        }
    }

    fn close(&mut self) {
        let segment = self.segment();
        self.pieces.extend(segment.map(Piece::Both));
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
    // OpenMetrics wants quotes in HELP escaped and text 0.0.4 forbids it; the table has none, which
    // its tests hold.
    escape(out, family.help, false);
    for part in [".\n# TYPE ", name, " ", kind, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A moment, in seconds since 1970.
pub(super) fn point(time: Timestamp) -> Value {
    Value::Seconds { negative: time.millis() < 0, millis: time.millis().unsigned_abs() }
}

/// A length of time, in seconds.
pub(super) fn span(millis: u64) -> Value {
    Value::Seconds { negative: false, millis }
}
