//! Makes a snapshot of the ledger: who is where now, and the counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::options::{SnapshotOptions, is_stale};
use super::overlay::Overlay;
use super::shards::{AgentView, ShardSlot, shard, split};
use super::snapshot::{LiveSeries, SkillAgents, Snapshot, StateSeries, TargetSeries};
use crate::counts::{AgentSummary, Detail, Fingerprint, LabelId, LabelLimits, Ledger, PackedAgent};
use crate::live::Live;
use crate::names::{LabelSets, NameId};

impl Snapshot {
    /// A complete snapshot of `ledger`, without live states.
    #[must_use]
    pub fn of(ledger: &Ledger, options: &SnapshotOptions) -> Self {
        Self::build(ledger, None, options, &HashSet::new())
    }

    /// A snapshot of `ledger` under live states: of an agent's history and its live state, the
    /// later observation says where it is now. The shards whose fingerprints are in `published`
    /// come without their agents.
    #[must_use]
    pub fn build(
        ledger: &Ledger,
        live: Option<(&Live, LiveSeries)>,
        options: &SnapshotOptions,
        published: &HashSet<Fingerprint>,
    ) -> Self {
        let (live, live_series) = live.unzip();
        let overlay = live.map(|live| {
            let agents = ledger
                .agents
                .iter()
                .map(|(name, agent)| (name, &agent.summary, is_stale(&agent.summary, options)));
            Overlay::new(live, agents, &ledger.catalog)
        });
        let builder = SnapshotBuilder { ledger, options, overlay };
        let mut snapshot = builder.aggregates();
        if let Some(overlay) = &builder.overlay {
            overlay.add_to(&mut snapshot, options);
        }
        snapshot.label_sets = builder.label_sets(live_series.as_ref());
        snapshot.live = live_series;
        if ledger.catalog.rules.detail != Detail::Aggregate {
            builder.add_agents(&mut snapshot, published);
        }
        snapshot
    }
}

struct SnapshotBuilder<'a> {
    ledger: &'a Ledger,
    options: &'a SnapshotOptions,
    overlay: Option<Overlay<'a>>,
}

impl SnapshotBuilder<'_> {
    /// What all agents do together. An agent whose live state holds is not counted here: the
    /// overlay adds it.
    fn aggregates(&self) -> Snapshot {
        let Self { ledger, options, overlay } = self;
        let catalog = &ledger.catalog;
        let mut by_state: HashMap<NameId, u64> = HashMap::new();
        let mut by_label: HashMap<LabelId, u64> = HashMap::new();
        let mut over_limit: BTreeMap<Arc<str>, u64> =
            options.limits.keys().map(|state| (Arc::clone(state), 0)).collect();
        for (index, agent) in ledger.agents.values().enumerate() {
            let AgentSummary { observed, current, .. } = &agent.summary;
            let is_live = overlay.as_ref().is_some_and(|overlay| overlay.holds(index));
            if is_live || is_stale(&agent.summary, options) {
                continue;
            }
            let Some(state) = current.state(catalog) else { continue };
            *by_state.entry(state).or_default() += 1;
            for label in &current.labels {
                *by_label.entry(*label).or_default() += 1;
            }
            let state = catalog.names.value(state);
            let lasted = observed.map_or(Duration::ZERO, |observed| observed.since(current.start));
            if let (Some(limit), Some(agents)) =
                (options.limits.get(state), over_limit.get_mut(state))
            {
                *agents += u64::from(lasted > *limit);
            }
        }
        let mut snapshot = Snapshot {
            agents_seen: u64::try_from(ledger.agents.len()).unwrap_or(u64::MAX),
            over_limit: over_limit.into_iter().collect(),
            limits: options.limits.iter().map(|(state, limit)| (state.clone(), *limit)).collect(),
            targets: self.targets(),
            data_watermark: ledger.targets.iter().filter_map(|progress| progress.watermark).min(),
            series_limit: options.max_series,
            ..Snapshot::default()
        };
        for (id, label) in catalog.labels.iter() {
            let state = Arc::clone(catalog.names.value(label.state));
            let total = ledger.totals.get(&id).cloned().unwrap_or_default();
            let Some(skill) = label.skill else {
                let agents = by_state.get(&label.state).copied().unwrap_or(0);
                snapshot.state_agents.push((Arc::clone(&state), agents));
                snapshot.state_millis.push((state, total.millis));
                continue;
            };
            let skill = Arc::clone(catalog.names.value(skill));
            snapshot.skill_agents.push(SkillAgents {
                skill: Arc::clone(&skill),
                state: Arc::clone(&state),
                agents: by_label.get(&id).copied().unwrap_or(0),
            });
            let (entries, millis, visits) = (total.entries, total.millis, total.visits);
            snapshot.states.push(StateSeries { state, skill, entries, millis, visits });
        }
        snapshot.state_agents.sort_unstable();
        snapshot.state_millis.sort_unstable();
        snapshot
            .skill_agents
            .sort_unstable_by(|a, b| (&a.skill, &a.state).cmp(&(&b.skill, &b.state)));
        snapshot.states.sort_unstable_by(|a, b| (&a.state, &a.skill).cmp(&(&b.state, &b.skill)));
        snapshot
    }

    fn targets(&self) -> Vec<TargetSeries> {
        let targets = self.options.targets.iter().zip(&self.ledger.targets);
        let mut series: Vec<TargetSeries> = targets
            .map(|(health, progress)| TargetSeries {
                target: Arc::clone(&health.name),
                up: health.up,
                last_success: health.last_success,
                watermark: progress.watermark,
                epoch: progress.epoch,
            })
            .collect();
        series.sort_unstable_by(|a, b| a.target.cmp(&b.target));
        series
    }

    /// How near the labels are to their limits.
    fn label_sets(&self, live: Option<&LiveSeries>) -> Vec<LabelSets> {
        let LabelLimits { states, pairs } = self.ledger.catalog.rules.labels;
        let over = self.ledger.targets.iter().map(|progress| progress.over_limit);
        let over = over.chain(self.overlay.as_ref().map(|overlay| overlay.over_limit));
        let over = over.fold((0, 0), |(a, b), (states, pairs)| (states.max(a), pairs.max(b)));
        let labels = &self.ledger.catalog.labels;
        let mut sets = vec![
            LabelSets::new("state", labels.states, states, over.0),
            LabelSets::new("state_skill", labels.pairs, pairs, over.1),
        ];
        sets.extend(live.iter().flat_map(|live| live.label_sets.clone()));
        sets
    }

    /// Adds single agents as far as their series fit: the same ones on every run, since they are
    /// taken in the order of their ids.
    fn add_agents(&self, snapshot: &mut Snapshot, published: &HashSet<Fingerprint>) {
        let Self { ledger, options, overlay } = self;
        let mut room = options.max_series.saturating_sub(snapshot.series());
        let mut is_full = false;
        let agents: Vec<(&Arc<str>, &Arc<PackedAgent>)> = ledger.agents.iter().collect();
        let mut slots: Vec<ShardSlot> = Vec::with_capacity(agents.len());
        for index in 0..agents.len() {
            let view = self.view(&agents, index);
            // Room is taken for all series that the agent can have with these labels, so that no
            // agent comes and goes with the state of another.
            let size = view.max_series(options.agent_info);
            is_full = is_full || size > room;
            if is_full {
                snapshot.series_dropped += view.series(&ledger.catalog, options.agent_info);
            } else {
                room -= size;
                slots.push((view.agent.summary.home(), index));
            }
        }
        // Views are made again, shard by shard: those of all agents at once would be megabytes.
        for slots in split(&mut slots) {
            let views = slots.iter().map(|(_, index)| self.view(&agents, *index)).collect();
            let shard = shard(views, &ledger.catalog, options.agent_info, published);
            snapshot.shards.push(shard);
        }
        if let Some(overlay) = overlay {
            overlay.add_shards(snapshot, if is_full { 0 } else { room }, options, published);
        }
    }

    fn view(&self, agents: &[(&Arc<str>, &Arc<PackedAgent>)], index: usize) -> AgentView {
        let (name, agent) = agents[index];
        let live_name = self.overlay.as_ref().and_then(|overlay| overlay.agent_name(index));
        AgentView {
            name: Arc::clone(name),
            agent: Arc::clone(agent),
            is_stale: is_stale(&agent.summary, self.options),
            live: self.overlay.as_ref().and_then(|overlay| overlay.position(index)),
            live_name: live_name.filter(|_| self.options.agent_info).map(Arc::from),
            has_feed: self.overlay.is_some(),
        }
    }
}
