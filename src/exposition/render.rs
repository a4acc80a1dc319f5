//! A snapshot as segments: what did not change since the snapshot before is taken over from its
//! page.

use std::collections::HashMap;
use std::sync::Arc;

use cxone_core::counts::Fingerprint;
use cxone_core::names::LabelSets;
use cxone_core::page::snapshot::{Shard, Snapshot};

use super::Format;
use super::agents::{FAMILIES, RenderedShard, RenderedTimes, Rendition};
use super::exporter::{ExporterMetrics, exporter_text};
use super::families;
use super::live;
use super::page::{Page, Stitched};
use super::rows::Value;
use super::segment::Segment;
use super::writer::{Piece, Writer, point, span};

/// A snapshot's part of the page, compressed.
#[derive(Debug)]
pub struct Rendered {
    openmetrics: Stitched,
    text: Stitched,
    shards: Vec<Rendition>,
    samples: u64,
}

impl Rendered {
    /// How many samples about the contact centre it holds: `cxone_exporter_series`.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// How many bytes it is compressed: what a scrape sends, but for the exporter's own metrics.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.size()
    }

    /// How many of its shards are `other`'s, but for the observed times: taken over, and neither
    /// written nor compressed again.
    #[must_use]
    pub fn shards_shared_with(&self, other: &Self) -> usize {
        self.shards
            .iter()
            .filter(|own| other.shards.iter().any(|known| Arc::ptr_eq(&own.shard, &known.shard)))
            .count()
    }

    /// One answer to a scrape: this part and, behind it, the exporter's own metrics.
    #[must_use]
    pub fn page(&self, format: Format, own: &ExporterMetrics) -> Page {
        let mut moving = exporter_text(&own.moving, format);
        if format == Format::OpenMetrics {
            moving.push_str("# EOF\n");
        }
        let stitched = match format {
            Format::OpenMetrics => &self.openmetrics,
            Format::Text => &self.text,
        };
        stitched.page(own.counted.segment(format), &Segment::stored(moving.as_bytes()))
    }
}

/// Writes and compresses `snapshot`, but for the shards that `before` has. Done once when the data
/// changes, not at each scrape.
///
/// # Panics
/// When the snapshot leaves out agents of a shard that `before` has not.
#[must_use]
pub fn render(snapshot: Snapshot, before: Option<&Rendered>) -> Rendered {
    let Snapshot { shards, .. } = snapshot;
    let snapshot = Snapshot { shards: Vec::new(), ..snapshot };
    let mut page = Writer::new();
    let shards = render_shards(&mut page, shards, before);
    page.samples = shards.iter().map(Rendition::samples).sum();
    floor(&mut page, &snapshot);
    states(&mut page, &snapshot);
    if let Some(live) = &snapshot.live {
        live::families(&mut page, live);
    }
    let above = page.pieces();
    let heads = FAMILIES.map(|family| {
        page.head(&family);
        page.pieces()
    });
    targets(&mut page, &snapshot);
    let samples = page.samples;
    page.lone(&families::EXPORTER_SERIES, Value::Whole(samples));
    page.lone(&families::EXPORTER_SERIES_LIMIT, Value::Whole(snapshot.series_limit));
    page.lone(&families::EXPORTER_SERIES_DROPPED, Value::Whole(snapshot.series_dropped));
    label_sets(&mut page, &snapshot);
    let below = page.pieces();

    let stitched = |format| {
        let mut segments: Vec<&Segment> = above.iter().map(|piece| piece.segment(format)).collect();
        for (place, head) in heads.iter().enumerate() {
            let mut rows = shards.iter().filter_map(|shard| shard.segment(place)).peekable();
            // A head over nothing would tell Prometheus of a metric that cannot be queried.
            if rows.peek().is_some() {
                segments.extend(head.iter().map(|piece| piece.segment(format)).chain(rows));
            }
        }
        Stitched::of(
            segments.into_iter().chain(below.iter().map(|piece: &Piece| piece.segment(format))),
        )
    };
    Rendered {
        openmetrics: stitched(Format::OpenMetrics),
        text: stitched(Format::Text),
        shards,
        samples,
    }
}

fn render_shards(
    page: &mut Writer,
    shards: Vec<Shard>,
    before: Option<&Rendered>,
) -> Vec<Rendition> {
    let before = || before.iter().flat_map(|before| &before.shards);
    let known: HashMap<Fingerprint, &Arc<RenderedShard>> =
        before().map(|known| (known.shard.fingerprint, &known.shard)).collect();
    let times: HashMap<Fingerprint, &Arc<RenderedTimes>> =
        before().map(|known| (known.times.fingerprint, &known.times)).collect();
    // Each shard's series are released once they are bytes.
    let render = |told: Shard| {
        let shard = known.get(&told.fingerprint).map_or_else(
            || {
                let agents =
                    told.agents.expect("a snapshot leaves out only what the page before has");
                Arc::new(RenderedShard::new(page, told.fingerprint, &agents.series()))
            },
            |known| Arc::clone(known),
        );
        let times = times.get(&told.observed_fingerprint).map_or_else(
            || {
                let observed =
                    told.observed.expect("a snapshot leaves out only what the page before has");
                Arc::new(RenderedTimes::new(page, told.observed_fingerprint, &observed))
            },
            |known| Arc::clone(known),
        );
        Rendition { shard, times }
    };
    shards.into_iter().map(render).collect()
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
    page.family(&families::STATE_AGENT_SECONDS);
    for (state, millis) in &snapshot.state_millis {
        page.sample(&[state], span(*millis));
    }
    page.family(&families::STATE_DURATION_LIMIT);
    for (state, limit) in &snapshot.limits {
        page.sample(&[state], span(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)));
    }
}

fn label_sets(page: &mut Writer, snapshot: &Snapshot) {
    let mut family = |family, value: fn(&LabelSets) -> u64| {
        page.family(family);
        for sets in &snapshot.label_sets {
            page.sample(&[sets.kind], Value::Whole(value(sets)));
        }
    };
    family(&families::EXPORTER_LABEL_SETS, |sets| sets.own);
    family(&families::EXPORTER_LABEL_SETS_LIMIT, |sets| sets.limit);
    family(&families::EXPORTER_LABEL_SETS_OVER_LIMIT, |sets| sets.over);
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
