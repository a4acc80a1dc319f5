//! The families of single agents, by shards.

use crate::domain::snapshot::{AgentSeries, Fingerprint, LabelSeries};

use super::families::{self, Family};
use super::rows::Value;
use super::segment::Segment;
use super::writer::{Writer, point, span};

/// The families, in the order of the page.
pub(super) const FAMILIES: [Family; 6] = [
    families::AGENT_STATE_START,
    families::AGENT_OBSERVED,
    families::AGENT_WINDOW_ENTRIES,
    families::AGENT_STATE_ENTRIES,
    families::AGENT_STATE_SECONDS,
    families::AGENT_INFO,
];

/// A shard's rows, which need neither be written nor compressed again until its fingerprint is another.
#[derive(Debug)]
pub(super) struct RenderedShard {
    pub(super) fingerprint: Fingerprint,
    pub(super) samples: u64,
    /// Each family's rows; `None` where there are none.
    pub(super) segments: [Option<Segment>; FAMILIES.len()],
}

impl RenderedShard {
    /// Writes and compresses `agents`. `page` must have nothing open.
    pub(super) fn new(page: &mut Writer, fingerprint: Fingerprint, agents: &[AgentSeries]) -> Self {
        let before = page.samples;
        let rows: [&dyn Fn(&mut Writer); FAMILIES.len()] = [
            &|page| by_label(page, agents, |series| series.start.map(point)),
            &|page| agents.iter().for_each(|agent| page.sample_if([&*agent.agent], agent.observed.map(point))),
            &|page| by_label(page, agents, |series| series.window_entries.map(Value::Whole)),
            &|page| by_label(page, agents, |series| Some(Value::Whole(series.entries))),
            &|page| by_label(page, agents, |series| Some(span(series.millis))),
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

fn by_label(page: &mut Writer, agents: &[AgentSeries], value: impl Fn(&LabelSeries) -> Option<Value>) {
    for agent in agents {
        for series in &agent.labels {
            page.sample_if([&*agent.agent, &series.state, &series.skill], value(series));
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
