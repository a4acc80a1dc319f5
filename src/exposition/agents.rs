//! The families of single agents, by shards.

use std::sync::Arc;

use cxone_core::counts::Fingerprint;
use cxone_core::page::snapshot::{AgentSeries, LabelSeries};
use cxone_core::time::Timestamp;

use super::families::{self, Family};
use super::rows::Value;
use super::segment::Segment;
use super::writer::{Writer, point, span};

/// The families, in the order of the page.
pub(super) const FAMILIES: [Family; 7] = [
    families::AGENT_STATE_START,
    families::AGENT_OBSERVED,
    families::AGENT_WINDOW_ENTRIES,
    families::AGENT_STATE_ENTRIES,
    families::AGENT_STATE_SECONDS,
    families::AGENT_SECONDS,
    families::AGENT_INFO,
];

/// The place of the family that changes without the others.
const OBSERVED: usize = 1;

/// A shard's rows, which need neither be written nor compressed again until its fingerprint is
/// another.
#[derive(Debug)]
pub(super) struct RenderedShard {
    pub(super) fingerprint: Fingerprint,
    pub(super) samples: u64,
    /// Each family's rows, but for the observed times; `None` where there are none.
    segments: [Option<Segment>; FAMILIES.len()],
}

/// A shard's observed times, likewise.
#[derive(Debug)]
pub(super) struct RenderedTimes {
    pub(super) fingerprint: Fingerprint,
    pub(super) samples: u64,
    segment: Option<Segment>,
}

/// Both parts of a shard.
#[derive(Clone, Debug)]
pub(super) struct Rendition {
    pub(super) shard: Arc<RenderedShard>,
    pub(super) times: Arc<RenderedTimes>,
}

impl Rendition {
    pub(super) fn samples(&self) -> u64 {
        self.shard.samples + self.times.samples
    }

    /// The rows of the family at `place`.
    pub(super) fn segment(&self, place: usize) -> Option<&Segment> {
        if place == OBSERVED {
            self.times.segment.as_ref()
        } else {
            self.shard.segments[place].as_ref()
        }
    }
}

impl RenderedTimes {
    /// Writes and compresses `observed`. `page` must have nothing open.
    pub(super) fn new(
        page: &mut Writer,
        fingerprint: Fingerprint,
        observed: &[(Arc<str>, Timestamp)],
    ) -> Self {
        let before = page.samples;
        page.rows_of(&FAMILIES[OBSERVED]);
        for (agent, observed) in observed {
            page.sample(&[agent], point(*observed));
        }
        let segment = page.segment();
        Self { fingerprint, samples: page.samples - before, segment }
    }
}

impl RenderedShard {
    /// Writes and compresses `agents`. `page` must have nothing open.
    pub(super) fn new(page: &mut Writer, fingerprint: Fingerprint, agents: &[AgentSeries]) -> Self {
        let before = page.samples;
        let rows: [&dyn Fn(&mut Writer); FAMILIES.len()] = [
            &|page| starts(page, agents),
            &|_| {},
            &|page| by_label(page, agents, |series| series.window_entries.map(Value::Whole)),
            &|page| by_label(page, agents, |series| Some(Value::Whole(series.entries))),
            &|page| by_label(page, agents, |series| Some(span(series.millis))),
            &|page| by_state(page, agents),
            &|page| infos(page, agents),
        ];
        let segments = std::array::from_fn(|place| {
            page.rows_of(&FAMILIES[place]);
            rows[place](page);
            page.segment()
        });
        Self { fingerprint, samples: page.samples - before, segments }
    }
}

fn by_label(
    page: &mut Writer,
    agents: &[AgentSeries],
    value: impl Fn(&LabelSeries) -> Option<Value>,
) {
    for agent in agents {
        for series in &agent.labels {
            page.sample_if([&*agent.agent, &series.state, &series.skill], value(series));
        }
    }
}

fn starts(page: &mut Writer, agents: &[AgentSeries]) {
    for agent in agents {
        for series in &agent.labels {
            page.sample_if([&*agent.agent, &series.state, &series.skill], series.start.map(point));
        }
        if let Some(live) = &agent.live {
            page.sample(&[&agent.agent, &live.state, &live.skill], point(live.start));
        }
    }
}

fn by_state(page: &mut Writer, agents: &[AgentSeries]) {
    for agent in agents {
        for (state, millis) in &agent.states {
            page.sample(&[&agent.agent, state], span(*millis));
        }
    }
}

fn infos(page: &mut Writer, agents: &[AgentSeries]) {
    for agent in agents {
        if let Some(name) = &agent.agent_name {
            page.sample(&[&agent.agent, name], Value::Whole(1));
        }
    }
}
