//! A snapshot as segments: what did not change since the previous snapshot is taken from its page.

use std::collections::HashMap;
use std::sync::Arc;

use cxone_core::counts::Fingerprint;
use cxone_core::page::snapshot::{Shard, Snapshot};

use super::Format;
use super::agents::{FAMILIES, RenderedShard, ShardSeries, ShardTimes};
use super::aggregates;
use super::exporter::{ExporterMetrics, exporter_text};
use super::page::{Page, Stitched};
use super::segment::Segment;
use super::writer::PageWriter;

/// A snapshot's part of the page, compressed.
#[derive(Debug)]
pub struct Rendered {
    openmetrics: Stitched,
    text: Stitched,
    shards: Vec<RenderedShard>,
    samples: u64,
}

impl Rendered {
    /// Number of samples about the contact centre: `cxone_exporter_series`.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Its compressed size in bytes: what a scrape sends, but for the exporter's own metrics.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.size()
    }

    /// How many of its shards were taken from `other` instead of being written and compressed
    /// again, the observed times aside.
    #[must_use]
    pub fn shards_shared_with(&self, other: &Self) -> usize {
        self.shards
            .iter()
            .filter(|own| other.shards.iter().any(|known| Arc::ptr_eq(&own.series, &known.series)))
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

/// Writes and compresses `snapshot`, but for the shards that `previous` has. Done once when the data
/// changes, not at each scrape.
///
/// # Panics
/// If the snapshot omits agents of a shard that `previous` lacks.
#[must_use]
pub fn render(snapshot: Snapshot, previous: Option<&Rendered>) -> Rendered {
    let Snapshot { shards, .. } = snapshot;
    let snapshot = Snapshot { shards: Vec::new(), ..snapshot };
    let mut page = PageWriter::new();
    let shards = render_shards(&mut page, shards, previous);
    page.samples = shards.iter().map(RenderedShard::samples).sum();
    aggregates::states(&mut page, &snapshot);
    if let Some(live) = &snapshot.live {
        aggregates::live(&mut page, live);
    }
    let above = page.parts();
    let heads = FAMILIES.map(|family| {
        page.write_head(&family);
        page.parts()
    });
    aggregates::targets(&mut page, &snapshot);
    let samples = page.samples;
    aggregates::limits(&mut page, &snapshot);
    let below = page.parts();

    // Shards are the unit of change, but the formats want all samples of a family together. So each
    // shard has a segment for each family, and here they are put in the order of families.
    let stitched = |format| {
        let mut segments: Vec<&Segment> = above.iter().map(|part| part.segment(format)).collect();
        for (family, head) in heads.iter().enumerate() {
            let mut samples = shards.iter().filter_map(|shard| shard.segment(family)).peekable();
            // A head over nothing would be a metric in Prometheus that cannot be queried.
            if samples.peek().is_some() {
                segments.extend(head.iter().map(|part| part.segment(format)).chain(samples));
            }
        }
        segments.extend(below.iter().map(|part| part.segment(format)));
        Stitched::new(&segments)
    };
    Rendered {
        openmetrics: stitched(Format::OpenMetrics),
        text: stitched(Format::Text),
        shards,
        samples,
    }
}

fn render_shards(
    page: &mut PageWriter,
    shards: Vec<Shard>,
    previous: Option<&Rendered>,
) -> Vec<RenderedShard> {
    let previous = || previous.iter().flat_map(|previous| &previous.shards);
    let known_series: HashMap<Fingerprint, &Arc<ShardSeries>> =
        previous().map(|known| (known.series.fingerprint, &known.series)).collect();
    let known_times: HashMap<Fingerprint, &Arc<ShardTimes>> =
        previous().map(|known| (known.times.fingerprint, &known.times)).collect();
    const OMITTED: &str = "a snapshot omits only what the previous page has";
    let mut rendered = Vec::with_capacity(shards.len());
    // By value: the agents of each shard are released once they are bytes.
    for shard in shards {
        let series = match known_series.get(&shard.fingerprint) {
            Some(known) => Arc::clone(known),
            None => {
                let agents = shard.agents.expect(OMITTED).series();
                Arc::new(ShardSeries::new(page, shard.fingerprint, &agents))
            }
        };
        let times = match known_times.get(&shard.observed_fingerprint) {
            Some(known) => Arc::clone(known),
            None => {
                let observed = shard.observed.expect(OMITTED);
                Arc::new(ShardTimes::new(page, shard.observed_fingerprint, &observed))
            }
        };
        rendered.push(RenderedShard { series, times });
    }
    rendered
}
