//! The live states over the history: of an agent, the source with the later observation says where
//! it is now.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use super::options::SnapshotOptions;
use super::snapshot::{AgentSeries, Agents, LiveStart, Shard, SkillAgents, Snapshot};
use crate::counts::{AgentSummary, Catalog, Detail, Fingerprint};
use crate::live::{Live, LiveAgent};
use crate::names::{NameId, OTHER};
use crate::time::Timestamp;

/// Agents in a shard of those that only the live feed has.
const SHARD_AGENTS: usize = 1024;

/// Starts that differ by no more than this are the same: the two sources may have different
/// precision.
const SAME_START: Duration = Duration::from_secs(1);

/// Where the live feed says that an agent is.
#[derive(Clone)]
pub(super) struct LivePosition {
    pub(super) observed: Timestamp,
    /// `None` if it does not say since when.
    pub(super) start: Option<LiveStart>,
}

/// The live states of all agents.
pub(super) struct Overlay<'a> {
    live: &'a Live,
    has_skills: bool,
    labels: LiveLabels,
    /// Number of states, and of pairs of state and skill, that exceeded the limits.
    pub(super) over_limit: (usize, usize),
    /// `None` when the live feed is stale.
    observed: Option<Timestamp>,
    /// By index among the ledger's agents: the live state, and whether it holds instead of the
    /// history.
    in_ledger: Vec<Option<(&'a LiveAgent, bool)>>,
    /// Agents that the ledger does not know, in the order of their ids.
    only_live: Vec<(&'a Arc<str>, &'a LiveAgent)>,
}

impl<'a> Overlay<'a> {
    /// `agents` are those of the ledger, each with whether its history is stale, in the order of
    /// their ids.
    pub(super) fn new<'b>(
        live: &'a Live,
        agents: impl Iterator<Item = (&'b Arc<str>, &'b AgentSummary, bool)>,
        catalog: &Catalog,
    ) -> Self {
        let observed = live.observed();
        let mut rest = live.agents().peekable();
        let (mut only_live, mut in_ledger) = (Vec::new(), Vec::new());
        for (name, summary, is_stale) in agents {
            let found = find(&mut rest, name, &mut only_live);
            in_ledger.push(found.map(|agent| {
                let holds =
                    observed.is_some_and(|observed| holds(agent, observed, summary, is_stale));
                (agent, holds)
            }));
        }
        only_live.extend(rest);
        let has_skills = catalog.rules.detail == Detail::AgentSkill;
        let (labels, over_limit) = live_labels(live, catalog);
        Self { live, has_skills, labels, over_limit, observed, in_ledger, only_live }
    }

    /// The live state of the ledger's agent at `index`, if it holds instead of the history.
    pub(super) fn position(&self, index: usize) -> Option<LivePosition> {
        let (agent, holds) = self.in_ledger[index]?;
        let observed = self.observed.filter(|_| holds)?;
        Some(LivePosition { observed, start: self.start(agent) })
    }

    /// Whether the live state of the ledger's agent at `index` holds instead of the history.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.in_ledger[index].is_some_and(|(_, holds)| holds)
    }

    /// The display name of the ledger's agent at `index`, which the dialect's history lacks.
    pub(super) fn agent_name(&self, index: usize) -> Option<&'a str> {
        self.in_ledger[index].and_then(|(agent, _)| agent.agent_name.as_deref())
    }

    fn start(&self, agent: &LiveAgent) -> Option<LiveStart> {
        let start = agent.start?;
        let (state, skill) = &self.labels[&(agent.state, agent.skill)];
        let skill = if self.has_skills { Arc::clone(skill) } else { Arc::default() };
        Some(LiveStart { state: Arc::clone(state), skill, start })
    }

    /// Adds the agents whose live state holds to the sums of the others.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot, options: &SnapshotOptions) {
        snapshot.agents_seen += u64::try_from(self.only_live.len()).unwrap_or(u64::MAX);
        let mut by_label: HashMap<(NameId, NameId), u64> =
            self.live.labels().map(|label| (label, 0)).collect();
        let mut over_limit: BTreeMap<&str, u64> = BTreeMap::new();
        if let Some(observed) = self.observed {
            let holding = self.in_ledger.iter().flatten().filter(|(_, holds)| *holds);
            let holding = holding.map(|(agent, _)| *agent);
            for agent in holding.chain(self.only_live.iter().map(|(_, agent)| *agent)) {
                *by_label.entry((agent.state, agent.skill)).or_default() += 1;
                let state = &**self.live.name(agent.state);
                let lasted = agent.start.map_or(Duration::ZERO, |start| observed.since(start));
                if options.limits.get(state).is_some_and(|limit| lasted > *limit) {
                    *over_limit.entry(state).or_default() += 1;
                }
            }
        }
        for (state, agents) in &mut snapshot.over_limit {
            *agents += over_limit.get(&**state).copied().unwrap_or(0);
        }
        let mut states: BTreeMap<Arc<str>, u64> =
            std::mem::take(&mut snapshot.state_agents).into_iter().collect();
        let by_skill = std::mem::take(&mut snapshot.skill_agents).into_iter();
        let mut skills: BTreeMap<(Arc<str>, Arc<str>), u64> =
            by_skill.map(|known| ((known.skill, known.state), known.agents)).collect();
        for (label, agents) in by_label {
            let (state, skill) = &self.labels[&label];
            *states.entry(Arc::clone(state)).or_default() += agents;
            *skills.entry((Arc::clone(skill), Arc::clone(state))).or_default() += agents;
        }
        snapshot.state_agents = states.into_iter().collect();
        snapshot.skill_agents = skills
            .into_iter()
            .map(|((skill, state), agents)| SkillAgents { skill, state, agents })
            .collect();
    }

    /// Adds the agents that the ledger does not know, as far as there is room for their series.
    pub(super) fn add_shards(
        &self,
        snapshot: &mut Snapshot,
        room: u64,
        options: &SnapshotOptions,
        published: &HashSet<Fingerprint>,
    ) {
        let Some(observed) = self.observed else { return };
        // All series that an agent can have, so that no agent comes and goes with another's state.
        let size = 2 + u64::from(options.agent_info);
        let fit = usize::try_from(room / size).unwrap_or(usize::MAX).min(self.only_live.len());
        let (shown, dropped) = self.only_live.split_at(fit);
        let series = |(name, agent): &(&Arc<str>, &LiveAgent)| AgentSeries {
            agent: Arc::clone(name),
            agent_name: agent.agent_name.as_deref().filter(|_| options.agent_info).map(Arc::from),
            observed: Some(observed),
            labels: Vec::new(),
            states: Vec::new(),
            live: self.start(agent),
        };
        snapshot.series_dropped += dropped.iter().map(|agent| series(agent).series()).sum::<u64>();
        for agents in shown.chunks(SHARD_AGENTS) {
            let agents: Vec<AgentSeries> = agents.iter().map(series).collect();
            let content: Vec<_> =
                agents.iter().map(|agent| (&agent.agent, &agent.live, &agent.agent_name)).collect();
            let fingerprint = Fingerprint::of(&("live", content));
            let times = agents.iter().map(|agent| (Arc::clone(&agent.agent), observed)).collect();
            snapshot.shards.push(Shard {
                fingerprint,
                series: agents.iter().map(AgentSeries::series).sum(),
                agents: (!published.contains(&fingerprint)).then(|| Agents::of(agents)),
                ..Shard::observed(times, published)
            });
        }
    }
}

/// The label `state` and `skill` of each pair in the live feed.
type LiveLabels = HashMap<(NameId, NameId), (Arc<str>, Arc<str>)>;

/// The labels of the live feed's pairs, and how many states and pairs exceed the limits. A pair has
/// its own names where the history has them too, or where there is room beside the history's, in
/// the order of the names; the others become `other`.
fn live_labels(live: &Live, catalog: &Catalog) -> (LiveLabels, (usize, usize)) {
    let limits = catalog.rules.labels;
    let mut pairs: Vec<(NameId, NameId)> = live.labels().collect();
    pairs.sort_unstable_by_key(|(state, skill)| (live.name(*state), live.name(*skill)));
    let mut states_left = limits.states.saturating_sub(catalog.labels.states);
    let mut pairs_left = limits.pairs.saturating_sub(catalog.labels.pairs);
    let take = |left: &mut usize| {
        let fits = *left > 0;
        *left -= usize::from(fits);
        fits
    };
    let other: Arc<str> = Arc::from(OTHER);
    let mut keeps_state: HashMap<NameId, bool> = HashMap::new();
    let mut over_pairs = 0;
    let mut labels = LiveLabels::new();
    for (state, skill) in pairs {
        let (state_name, skill_name) = (live.name(state), live.name(skill));
        let keeps_state = *keeps_state
            .entry(state)
            .or_insert_with(|| catalog.find_state(state_name).is_some() || take(&mut states_left));
        let state_name = if keeps_state { state_name } else { &other };
        let keeps_skill = skill_name.is_empty()
            || catalog.find(state_name, skill_name).is_some()
            || (keeps_state && take(&mut pairs_left));
        over_pairs += usize::from(!keeps_skill || !keeps_state);
        let skill_name = if keeps_skill { skill_name } else { &other };
        labels.insert((state, skill), (Arc::clone(state_name), Arc::clone(skill_name)));
    }
    let over_states = keeps_state.values().filter(|keeps| !**keeps).count();
    (labels, (over_states, over_pairs))
}

/// The live state of the agent `name`. Both lists are in the order of ids, so those before it in
/// `rest` are not in the ledger: they go to `only_live`.
fn find<'a, I>(
    rest: &mut Peekable<I>,
    name: &Arc<str>,
    only_live: &mut Vec<(&'a Arc<str>, &'a LiveAgent)>,
) -> Option<&'a LiveAgent>
where
    I: Iterator<Item = (&'a Arc<str>, &'a LiveAgent)>,
{
    while let Some((next, _)) = rest.peek() {
        match (*next).cmp(name) {
            Ordering::Less => only_live.extend(rest.next()),
            Ordering::Equal => return rest.next().map(|(_, agent)| agent),
            Ordering::Greater => break,
        }
    }
    None
}

/// Whether the live state holds: where it is the later observation, and where the history lags.
fn holds(live: &LiveAgent, observed: Timestamp, summary: &AgentSummary, is_stale: bool) -> bool {
    // A history without a state takes none away, for it may lack the visit in progress.
    if is_stale || summary.current.labels.is_empty() {
        return true;
    }
    // A history with an earlier state has not heard of the live one yet, whatever its watermark.
    let lags = live.start.is_some_and(|start| summary.current.start.plus(SAME_START) < start);
    lags || summary.observed.is_none_or(|known| observed > known)
}
