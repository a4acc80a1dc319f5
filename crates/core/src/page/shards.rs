//! Single agents in shards. A shard holds agents that one report is likely to change together, so
//! that the others need not be rendered again.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::overlay::LivePosition;
use super::snapshot::{AgentSeries, Agents, LabelSeries, Shard};
use crate::counts::{
    AgentSummary, Catalog, CountingRules, CurrentState, Fingerprint, LabelId, PackedAgent, TargetId,
};
use crate::time::Timestamp;

/// A target with fewer agents shares its shard with the next one: every shard costs the page a few
/// bytes and the start of a compression.
const MIN_AGENTS: usize = 128;

/// A target with more agents has several shards.
const MAX_AGENTS: usize = 1024;

/// An agent as a snapshot shows it.
pub(super) struct AgentView {
    pub(super) name: Arc<str>,
    pub(super) agent: Arc<PackedAgent>,
    pub(super) is_stale: bool,
    /// Where the live feed says that it is, if that is the later observation.
    pub(super) live: Option<LivePosition>,
    /// Its name in the live feed, where names are shown.
    pub(super) live_name: Option<Arc<str>>,
    /// Whether there is a live feed at all.
    pub(super) has_feed: bool,
}

/// An agent's home, and its index among all agents in the order of their ids.
pub(super) type ShardSlot = (Option<TargetId>, usize);

/// Splits agents into shards by their homes, each in the order of the agents' ids.
pub(super) fn split(agents: &mut [ShardSlot]) -> impl Iterator<Item = &[ShardSlot]> {
    agents.sort_unstable();
    let agents: &[ShardSlot] = agents;
    let homes: Vec<usize> = agents.chunk_by(|(a, _), (b, _)| a == b).map(<[_]>::len).collect();
    let mut rest = agents;
    shard_sizes(&homes).into_iter().map(move |size| {
        let (shard, behind) = rest.split_at(size);
        rest = behind;
        shard
    })
}

/// Number of agents in each shard, given the number in each home.
fn shard_sizes(homes: &[usize]) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut small = 0;
    for &home in homes {
        if home < MIN_AGENTS {
            small += home;
            if small < MIN_AGENTS {
                continue;
            }
        }
        if small > 0 {
            sizes.push(std::mem::take(&mut small));
        }
        if home >= MIN_AGENTS {
            let count = home.div_ceil(MAX_AGENTS);
            sizes.extend((0..count).map(|nth| home * (nth + 1) / count - home * nth / count));
        }
    }
    sizes.extend((small > 0).then_some(small));
    sizes
}

impl AgentView {
    /// Number of series that it has.
    pub(super) fn series(&self, catalog: &Catalog, agent_info: bool) -> u64 {
        let AgentSummary { labels, states, has_name, .. } = &self.agent.summary;
        let of_label = if self.is_stale { 2 } else { 3 };
        let starts = self.current().map_or(0, |current| current.series(catalog))
            + usize::from(self.live.as_ref().is_some_and(|live| live.start.is_some()));
        let is_named = agent_info && (*has_name || self.live_name.is_some()) && self.is_known_now();
        of_label * u64::from(*labels)
            + u64::from(*states)
            + u64::try_from(starts).unwrap_or(u64::MAX)
            + u64::from(self.observed().is_some())
            + u64::from(is_named)
    }

    /// Maximum number of series that it can have with the same labels.
    pub(super) fn max_series(&self, agent_info: bool) -> u64 {
        let AgentSummary { labels, states, .. } = &self.agent.summary;
        // A live state need not have a label in the history yet: hence one more with a feed.
        4 * u64::from(*labels)
            + u64::from(*states)
            + 1
            + u64::from(agent_info)
            + u64::from(self.has_feed)
    }

    /// Where it is now, if its history says that.
    pub(super) fn current(&self) -> Option<&CurrentState> {
        (!self.is_stale && self.live.is_none()).then_some(&self.agent.summary.current)
    }

    /// Up to when it is known where it is.
    pub(super) fn observed(&self) -> Option<Timestamp> {
        let by_history = self.agent.summary.observed.filter(|_| !self.is_stale);
        self.live.as_ref().map(|live| live.observed).or(by_history)
    }

    /// Whether its history or its live state is up to date.
    pub(super) fn is_known_now(&self) -> bool {
        !self.is_stale || self.live.is_some()
    }
}

/// A shard of these agents; if it is in `published`, without them.
pub(super) fn shard(
    views: Vec<AgentView>,
    catalog: &Catalog,
    agent_info: bool,
    published: &HashSet<Fingerprint>,
) -> Shard {
    // Whatever a series shows of an agent must follow from what is hashed here: what is known of
    // the agent, whether that is stale, its live state, the rules, and what the labels mean.
    let content: Vec<_> = views
        .iter()
        .map(|view| {
            let live = view.live.as_ref().map(|live| &live.start);
            (&view.name, view.agent.content, view.is_stale, live, &view.live_name)
        })
        .collect();
    let CountingRules { rows, lookback, detail, .. } = &*catalog.rules;
    let generation = catalog.labels.generation;
    let fingerprint = Fingerprint::of(&(content, agent_info, rows, lookback, detail, generation));
    let observed =
        views.iter().filter_map(|view| Some((Arc::clone(&view.name), view.observed()?))).collect();
    Shard {
        fingerprint,
        series: views.iter().map(|view| view.series(catalog, agent_info)).sum(),
        agents: (!published.contains(&fingerprint)).then(|| {
            let catalog = catalog.clone();
            Agents::made_by(move || {
                views.iter().map(|view| agent_series(view, &catalog, agent_info)).collect()
            })
        }),
        ..Shard::observed(observed, published)
    }
}

/// The series of one agent.
fn agent_series(view: &AgentView, catalog: &Catalog, agent_info: bool) -> AgentSeries {
    let agent = view.agent.unpack();
    let current = view.current();
    let current_labels: BTreeSet<LabelId> = current
        .iter()
        .flat_map(|current| &current.labels)
        .flat_map(|label| catalog.groups_of(*label))
        .collect();
    let mut labels = Vec::new();
    let mut states: Vec<(Arc<str>, u64)> = Vec::new();
    for (series, window_entries) in agent.series.iter().zip(agent.window_entries(catalog)) {
        let label = catalog.labels.get(series.label);
        let state = catalog.names.value(label.state);
        if label.skill.is_none() {
            states.push((Arc::clone(state), series.millis()));
        }
        if catalog.is_shown(series.label) {
            let skill = label.skill.map(|skill| Arc::clone(catalog.names.value(skill)));
            let is_current = current_labels.contains(&series.label);
            labels.push(LabelSeries {
                state: Arc::clone(state),
                skill: skill.unwrap_or_default(),
                start: current.filter(|_| is_current).map(|current| current.start),
                window_entries: Some(window_entries).filter(|_| !view.is_stale),
                entries: series.entries(),
                millis: series.millis(),
            });
        }
    }
    labels.sort_unstable_by(|a, b| (&a.state, &a.skill).cmp(&(&b.state, &b.skill)));
    states.sort_unstable();
    let agent_name = agent.display_name.as_deref().or(view.live_name.as_deref());
    AgentSeries {
        agent: Arc::clone(&view.name),
        agent_name: agent_name.filter(|_| agent_info && view.is_known_now()).map(Arc::from),
        observed: view.observed(),
        labels,
        states,
        live: view.live.as_ref().and_then(|live| live.start.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_targets_share_a_shard_and_large_ones_are_split_evenly() {
        assert_eq!(shard_sizes(&[]), [0; 0]);
        assert_eq!(shard_sizes(&[1]), [1]);
        assert_eq!(shard_sizes(&[1, 2, 128, 3]), [3, 128, 3]);
        assert_eq!(shard_sizes(&[100, 100, 100]), [200, 100]);
        assert_eq!(
            shard_sizes(&[1024, 1025, 5000]),
            [1024, 512, 513, 1000, 1000, 1000, 1000, 1000]
        );
    }
}
