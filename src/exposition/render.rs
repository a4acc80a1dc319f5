//! A snapshot as segments, and segments as a page.

use bytes::Bytes;
use flate2::Crc;

use crate::domain::snapshot::{Snapshot, VISIT_BUCKETS, VisitDurations};
use crate::domain::time::Timestamp;

use super::Format;
use super::families::{self, Family, Kind};
use super::own::own_text;
use super::rows::{Bound, Labels, Value, escape, row};
use super::segment::{Inflate, Segment, SegmentWriter, Then};

/// The fixed head of a gzip member: deflate, no name, no time, unknown system.
const GZIP_HEAD: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A snapshot's part of the page, compressed.
#[derive(Debug)]
pub struct Rendered {
    pieces: Vec<Piece>,
    samples: u64,
}

/// The rows are the same in both formats; the heads of counters and infos are not.
#[derive(Debug)]
enum Piece {
    Both(Segment),
    Differs { openmetrics: Segment, text: Segment },
}

impl Rendered {
    /// How many samples about the contact centre it holds: `cxone_exporter_series`.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// One answer to a scrape: this part and, behind it, the exporter's own metrics, which are told as `prometheus_client` encodes them.
    #[must_use]
    pub fn page(&self, format: Format, own_openmetrics: &str) -> Page {
        let mut last = SegmentWriter::new();
        last.text().extend_from_slice(own_text(own_openmetrics, format).as_bytes());
        if format == Format::OpenMetrics {
            last.text().extend_from_slice(b"# EOF\n");
        }
        let last = last.finish(Then::End);

        let mut page = Page { deflated: Vec::with_capacity(self.pieces.len() + 1), crc: Crc::new(), len: 0 };
        for piece in &self.pieces {
            page.append(match (piece, format) {
                (Piece::Both(segment), _)
                | (Piece::Differs { openmetrics: segment, .. }, Format::OpenMetrics)
                | (Piece::Differs { text: segment, .. }, Format::Text) => segment,
            });
        }
        page.append(&last);
        page
    }
}

/// One answer to a scrape, still compressed.
#[derive(Debug)]
pub struct Page {
    deflated: Vec<Bytes>,
    crc: Crc,
    len: u64,
}

impl Page {
    /// The page as one gzip member, in pieces that are not copied.
    #[must_use]
    pub fn gzip(self) -> Vec<Bytes> {
        let mut parts = Vec::with_capacity(self.deflated.len() + 2);
        parts.push(Bytes::from_static(GZIP_HEAD));
        parts.extend(self.deflated);
        let tail = [self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes()].concat();
        parts.push(tail.into());
        parts
    }

    /// The page as text, inflated as it is read.
    #[must_use]
    pub fn plain(self) -> Inflate {
        Inflate::new(self.deflated, self.len)
    }

    fn append(&mut self, segment: &Segment) {
        self.deflated.push(segment.deflated.clone());
        self.crc.combine(&segment.crc);
        self.len += segment.len;
    }
}

/// Writes and compresses all of `snapshot`. Done once when the data changes, not at each scrape.
#[must_use]
pub fn render(snapshot: &Snapshot) -> Rendered {
    let mut page = Writer::new();
    floor(&mut page, snapshot);
    states(&mut page, snapshot);
    agents(&mut page, snapshot);
    targets(&mut page, snapshot);
    let samples = page.samples;
    page.lone(&families::EXPORTER_SERIES, Value::Whole(samples));
    page.lone(&families::EXPORTER_SERIES_LIMIT, Value::Whole(snapshot.series_limit));
    page.lone(&families::EXPORTER_SERIES_DROPPED, Value::Whole(snapshot.series_dropped));
    page.close();
    Rendered { pieces: page.pieces, samples }
}

fn floor(page: &mut Writer, snapshot: &Snapshot) {
    page.family(&families::AGENTS);
    for (state, agents) in &snapshot.state_agents {
        page.sample(&[state], Value::Whole(*agents));
    }
    page.lone(&families::AGENTS_SEEN, Value::Whole(snapshot.agents_seen));
    page.family(&families::AGENTS_OVER_LIMIT);
    for (state, agents) in &snapshot.over_limit {
        page.sample(&[state], Value::Whole(*agents));
    }
    page.family(&families::SKILL_AGENTS);
    for series in &snapshot.skill_agents {
        page.sample(&[&series.skill, &series.state], Value::Whole(series.agents));
    }
}

fn states(page: &mut Writer, snapshot: &Snapshot) {
    page.family(&families::STATE_ENTRIES);
    for series in &snapshot.states {
        page.sample(&[&series.state, &series.skill], Value::Whole(series.entries));
    }
    page.family(&families::STATE_SECONDS);
    for series in &snapshot.states {
        page.sample(&[&series.state, &series.skill], span(series.millis));
    }
    page.family(&families::STATE_VISIT_DURATION);
    for series in &snapshot.states {
        page.histogram(&[&series.state, &series.skill], &series.visits);
    }
    page.family(&families::STATE_DURATION_LIMIT);
    for (state, limit) in &snapshot.limits {
        page.sample(&[state], span(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)));
    }
}

fn agents(page: &mut Writer, snapshot: &Snapshot) {
    let all_labels = || snapshot.agents.iter().flat_map(|agent| agent.labels.iter().map(|series| (&*agent.agent, series)));

    page.family(&families::AGENT_STATE_START);
    for (agent, series) in all_labels() {
        page.sample_if([agent, &series.state, &series.skill], series.start.map(point));
    }
    page.family(&families::AGENT_OBSERVED);
    for agent in &snapshot.agents {
        page.sample_if([&*agent.agent], agent.observed.map(point));
    }
    page.family(&families::AGENT_WINDOW_ENTRIES);
    for (agent, series) in all_labels() {
        page.sample_if([agent, &series.state, &series.skill], series.window_entries.map(Value::Whole));
    }
    page.family(&families::AGENT_STATE_ENTRIES);
    for (agent, series) in all_labels() {
        page.sample(&[agent, &series.state, &series.skill], Value::Whole(series.entries));
    }
    page.family(&families::AGENT_STATE_SECONDS);
    for (agent, series) in all_labels() {
        page.sample(&[agent, &series.state, &series.skill], span(series.millis));
    }
    page.family(&families::AGENT_INFO);
    for agent in &snapshot.agents {
        if let Some(name) = &agent.agent_name {
            page.sample(&[&agent.agent, name], Value::Whole(1));
        }
    }
}

fn targets(page: &mut Writer, snapshot: &Snapshot) {
    page.family(&families::TARGET_UP);
    for target in &snapshot.targets {
        page.sample(&[&target.target], Value::Whole(u64::from(target.up)));
    }
    page.family(&families::TARGET_LAST_SUCCESS);
    for target in &snapshot.targets {
        page.sample_if([&*target.target], target.last_success.map(point));
    }
    page.family(&families::TARGET_WATERMARK);
    for target in &snapshot.targets {
        page.sample_if([&*target.target], target.watermark.map(point));
    }
    page.family(&families::TARGET_EPOCH);
    for target in &snapshot.targets {
        page.sample_if([&*target.target], target.epoch.map(point));
    }
    page.family(&families::DATA_WATERMARK);
    page.sample_if([], snapshot.data_watermark.map(point));
}

fn point(time: Timestamp) -> Value {
    Value::Seconds { negative: time.millis() < 0, millis: time.millis().unsigned_abs() }
}

fn span(millis: u64) -> Value {
    Value::Seconds { negative: false, millis }
}

/// Writes families one after the other. A family's head comes with its first sample: a head over nothing would tell Prometheus of a
/// metric that cannot be queried.
struct Writer {
    open: SegmentWriter,
    pieces: Vec<Piece>,
    family: Option<Family>,
    head_written: bool,
    samples: u64,
}

impl Writer {
    fn new() -> Self {
        Self { open: SegmentWriter::new(), pieces: Vec::new(), family: None, head_written: false, samples: 0 }
    }

    fn family(&mut self, family: &Family) {
        self.family = Some(*family);
        self.head_written = false;
    }

    /// A family of one sample without labels.
    fn lone(&mut self, family: &Family, value: Value) {
        self.family(family);
        self.sample(&[], value);
    }

    fn sample_if<const N: usize>(&mut self, values: [&str; N], value: Option<Value>) {
        if let Some(value) = value {
            self.sample(&values, value);
        }
    }

    fn sample(&mut self, values: &[&str], value: Value) {
        self.row("", values, None, value);
    }

    fn histogram(&mut self, values: &[&str], visits: &VisitDurations) {
        let bounds = VISIT_BUCKETS.iter().map(|&seconds| Bound::Seconds(seconds)).chain([Bound::Infinite]);
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
        row(self.open.text(), (family.name, suffix), Labels { names: family.labels, values, le }, value);
        self.open.relieve();
        self.samples += 1;
    }

    fn write_head(&mut self, family: &Family) {
        match family.kind {
            Kind::Gauge | Kind::Histogram => head(self.open.text(), family, Format::Text),
            Kind::Counter | Kind::Info => {
                self.close();
                head(self.open.text(), family, Format::OpenMetrics);
                let openmetrics = self.open.finish(Then::More);
                head(self.open.text(), family, Format::Text);
                let text = self.open.finish(Then::More);
                self.pieces.push(Piece::Differs { openmetrics, text });
            }
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let segment = self.open.finish(Then::More);
            self.pieces.push(Piece::Both(segment));
        }
    }
}

fn head(out: &mut Vec<u8>, family: &Family, format: Format) {
    let (name, kind) = match (family.kind, format) {
        (Kind::Gauge, _) => (family.name, "gauge"),
        (Kind::Histogram, _) => (family.name, "histogram"),
        (Kind::Counter, Format::OpenMetrics) => (family.family_name(), "counter"),
        (Kind::Counter, Format::Text) => (family.name, "counter"),
        (Kind::Info, Format::OpenMetrics) => (family.family_name(), "info"),
        // Text 0.0.4 knows no infos.
        (Kind::Info, Format::Text) => (family.name, "gauge"),
    };
    for part in ["# HELP ", name, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    // OpenMetrics wants quotes in HELP escaped and text 0.0.4 forbids it; the table has none, which its tests hold.
    escape(out, family.help, false);
    for part in [".\n# TYPE ", name, " ", kind, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}
