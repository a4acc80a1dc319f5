//! The families of single agents, by shards.

use std::sync::Arc;

use cxone_core::counts::Fingerprint;
use cxone_core::page::snapshot::{AgentSeries, LabelSeries};
use cxone_core::time::Timestamp;

use super::families::{self, Family};
use super::segment::Segment;
use super::writer::{MaybeValue, PageWriter, seconds, unix_time};

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

/// The index of the family that changes with each poll, though nothing else may have changed. So it
/// has a fingerprint of its own.
const OBSERVED: usize = 1;

/// A shard, written and compressed.
#[derive(Clone, Debug)]
pub(super) struct RenderedShard {
    pub(super) series: Arc<ShardSeries>,
    pub(super) times: Arc<ShardTimes>,
}

/// All series of a shard but the observed times; they are written again when the fingerprint
/// changes.
#[derive(Debug)]
pub(super) struct ShardSeries {
    pub(super) fingerprint: Fingerprint,
    samples: u64,
    /// One for each family; `None` for a family without samples.
    segments: [Option<Segment>; FAMILIES.len()],
}

/// The observed times of a shard.
#[derive(Debug)]
pub(super) struct ShardTimes {
    pub(super) fingerprint: Fingerprint,
    samples: u64,
    segment: Option<Segment>,
}

impl RenderedShard {
    pub(super) fn samples(&self) -> u64 {
        self.series.samples + self.times.samples
    }

    /// The samples of the family with this index.
    pub(super) fn segment(&self, family: usize) -> Option<&Segment> {
        if family == OBSERVED {
            self.times.segment.as_ref()
        } else {
            self.series.segments[family].as_ref()
        }
    }
}

impl ShardTimes {
    /// `page` must have nothing open.
    pub(super) fn new(
        page: &mut PageWriter,
        fingerprint: Fingerprint,
        observed: &[(Arc<str>, Timestamp)],
    ) -> Self {
        let before = page.samples;
        page.without_head(&FAMILIES[OBSERVED]);
        for (agent, observed) in observed {
            page.sample(&[agent], unix_time(*observed));
        }
        let segment = page.segment();
        Self { fingerprint, samples: page.samples - before, segment }
    }
}

impl ShardSeries {
    /// `page` must have nothing open.
    pub(super) fn new(
        page: &mut PageWriter,
        fingerprint: Fingerprint,
        agents: &[AgentSeries],
    ) -> Self {
        let before = page.samples;
        let families: [&dyn Fn(&mut PageWriter); FAMILIES.len()] = [
            &|page| starts(page, agents),
            &|_| {},
            &|page| by_label(page, agents, |of| of.window_entries),
            &|page| by_label(page, agents, |of| of.entries),
            &|page| by_label(page, agents, |of| seconds(of.millis)),
            &|page| by_state(page, agents),
            &|page| infos(page, agents),
        ];
        let segments = std::array::from_fn(|family| {
            page.without_head(&FAMILIES[family]);
            families[family](page);
            page.segment()
        });
        Self { fingerprint, samples: page.samples - before, segments }
    }
}

fn by_label<V: MaybeValue>(
    page: &mut PageWriter,
    agents: &[AgentSeries],
    value: impl Fn(&LabelSeries) -> V,
) {
    for agent in agents {
        for of in &agent.labels {
            page.sample(&[&agent.agent, &of.state, &of.skill], value(of));
        }
    }
}

fn starts(page: &mut PageWriter, agents: &[AgentSeries]) {
    for agent in agents {
        for of in &agent.labels {
            page.sample(&[&agent.agent, &of.state, &of.skill], of.start.map(unix_time));
        }
        if let Some(live) = &agent.live {
            page.sample(&[&agent.agent, &live.state, &live.skill], unix_time(live.start));
        }
    }
}

fn by_state(page: &mut PageWriter, agents: &[AgentSeries]) {
    for agent in agents {
        for (state, millis) in &agent.states {
            page.sample(&[&agent.agent, state], seconds(*millis));
        }
    }
}

fn infos(page: &mut PageWriter, agents: &[AgentSeries]) {
    for agent in agents {
        if let Some(name) = &agent.agent_name {
            page.sample(&[&agent.agent, name], 1_u64);
        }
    }
}
