//! The live states over the history: of an agent, the source with the later observation says where
//! it is now.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use super::book::Book;
use super::rest::Face;
use super::{Detail, SnapshotOptions};
use crate::live::{Live, LiveAgent};
use crate::names::{NameId, OTHER};
use crate::page::snapshot::{
    AgentSeries, Agents, Fingerprint, LiveStart, Shard, SkillAgents, Snapshot,
};
use crate::time::Timestamp;

/// How many agents that only the live feed knows stand in one shard.
const SHARD: usize = 1024;

/// Starts as near as this are one: the two sources need not tell as many digits of it.
const SAME_START: Duration = Duration::from_secs(1);

/// What the live feed says of an agent.
#[derive(Clone)]
pub(super) struct Lived {
    pub(super) observed: Timestamp,
    /// Where it is, if it is told since when.
    pub(super) start: Option<LiveStart>,
}

impl Lived {
    pub(super) const fn has_start(&self) -> bool {
        self.start.is_some()
    }
}

/// What the live feed says of all agents.
pub(super) struct Overlay<'a> {
    live: &'a Live,
    skills: bool,
    /// How the live feed's pairs of state and skill are shown: those over the limits as `other`.
    shown_as: ShownAs,
    /// How many states, and pairs, were over the limits.
    pub(super) over_limit: (usize, usize),
    /// When it observed them; `None` when it is stale.
    observed: Option<Timestamp>,
    /// By place among the ledger's agents: what the live feed says of them, and whether that holds
    /// instead of the history.
    told: Vec<Option<(&'a LiveAgent, bool)>>,
    /// Agents that the ledger does not know, in the order of their ids.
    alone: Vec<(&'a Arc<str>, &'a LiveAgent)>,
}

impl<'a> Overlay<'a> {
    /// Lays `live` over `agents`, each with whether its history is stale, in the order of their
    /// ids.
    pub(super) fn new<'b>(
        live: &'a Live,
        agents: impl Iterator<Item = (&'b Arc<str>, &'b Face, bool)>,
        book: &Book,
    ) -> Self {
        let observed = live.observed();
        let mut rest = live.agents().peekable();
        let mut alone = Vec::new();
        let mut told = Vec::new();
        for (name, face, stale) in agents {
            let own = find(&mut rest, name, &mut alone).map(|own| {
                (own, observed.is_some_and(|observed| holds(own, observed, face, stale)))
            });
            told.push(own);
        }
        alone.extend(rest);
        let skills = book.rules.detail == Detail::AgentSkill;
        let (shown_as, over_limit) = shown_as(live, book);
        Self { live, skills, shown_as, over_limit, observed, told, alone }
    }

    /// What holds instead of the history of the agent at `place`.
    pub(super) fn over(&self, place: usize) -> Option<Lived> {
        self.told[place].filter(|(_, holds)| *holds).and_then(|(agent, _)| self.lived(agent))
    }

    /// Whether it holds instead of the history of the agent at `place`.
    pub(super) fn holds(&self, place: usize) -> bool {
        self.told[place].is_some_and(|(_, holds)| holds)
    }

    /// The display name of the agent at `place`, which the history of this dialect does not tell.
    pub(super) fn agent_name(&self, place: usize) -> Option<&'a str> {
        self.told[place].and_then(|(agent, _)| agent.agent_name.as_deref())
    }

    fn lived(&self, agent: &LiveAgent) -> Option<Lived> {
        let start = agent.start.map(|start| {
            let (state, skill) = &self.shown_as[&(agent.state, agent.skill)];
            let skill = if self.skills { Arc::clone(skill) } else { Arc::from("") };
            LiveStart { state: Arc::clone(state), skill, start }
        });
        self.observed.map(|observed| Lived { observed, start })
    }

    /// Adds the agents to those that stand where the history says.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot, show: &SnapshotOptions) {
        snapshot.agents_seen += u64::try_from(self.alone.len()).unwrap_or(u64::MAX);
        let mut by_label: HashMap<(NameId, NameId), u64> =
            self.live.labels().map(|label| (label, 0)).collect();
        let mut over: BTreeMap<&str, u64> = BTreeMap::new();
        if let Some(observed) = self.observed {
            let over_history =
                self.told.iter().flatten().filter(|(_, holds)| *holds).map(|(agent, _)| *agent);
            for agent in over_history.chain(self.alone.iter().map(|(_, agent)| *agent)) {
                *by_label.entry((agent.state, agent.skill)).or_default() += 1;
                let state = &**self.live.name(agent.state);
                let lasted = agent.start.map_or(Duration::ZERO, |start| observed.since(start));
                if show.limits.get(state).is_some_and(|limit| lasted > *limit) {
                    *over.entry(state).or_default() += 1;
                }
            }
        }
        for (state, agents) in &mut snapshot.over_limit {
            *agents += over.get(&**state).copied().unwrap_or(0);
        }
        let mut states: BTreeMap<Arc<str>, u64> =
            std::mem::take(&mut snapshot.state_agents).into_iter().collect();
        let own = std::mem::take(&mut snapshot.skill_agents).into_iter();
        let mut skills: BTreeMap<(Arc<str>, Arc<str>), u64> =
            own.map(|own| ((own.skill, own.state), own.agents)).collect();
        for ((state, skill), agents) in by_label {
            let (state, skill) = &self.shown_as[&(state, skill)];
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
        show: &SnapshotOptions,
        known: &HashSet<Fingerprint>,
    ) {
        let Some(observed) = self.observed else { return };
        // As fully shown ones: nobody comes and goes with another's state.
        let most = 2 + u64::from(show.agent_info);
        let fit = usize::try_from(room / most).unwrap_or(usize::MAX).min(self.alone.len());
        let (shown, dropped) = self.alone.split_at(fit);
        snapshot.series_dropped +=
            dropped.iter().map(|(_, agent)| alone_series(agent, show)).sum::<u64>();
        for agents in shown.chunks(SHARD) {
            let start = |agent| self.lived(agent).and_then(|lived| lived.start);
            let agent_name =
                |agent: &'a LiveAgent| agent.agent_name.as_deref().filter(|_| show.agent_info);
            let told: Vec<_> = agents
                .iter()
                .map(|(name, agent)| (&***name, start(agent), agent_name(agent)))
                .collect();
            let fingerprint = Fingerprint::of(&("live", told));
            let series = |(name, agent): &(&Arc<str>, &'a LiveAgent)| AgentSeries {
                agent: Arc::clone(name),
                agent_name: agent_name(agent).map(Arc::from),
                observed: Some(observed),
                labels: Vec::new(),
                states: Vec::new(),
                live: start(agent),
            };
            snapshot.shards.push(Shard {
                fingerprint,
                series: agents.iter().map(|(_, agent)| alone_series(agent, show)).sum(),
                agents: (!known.contains(&fingerprint))
                    .then(|| Agents::of(agents.iter().map(series).collect())),
                ..Shard::observed(
                    agents.iter().map(|(name, _)| (Arc::clone(name), observed)).collect(),
                    known,
                )
            });
        }
    }
}

type ShownAs = HashMap<(NameId, NameId), (Arc<str>, Arc<str>)>;

/// How each pair of state and skill of the live feed is shown: under its own names where the
/// history has them or there is room beside the history's, in the order of the names; else as
/// `other`. And how many states, and pairs, are over the limits.
fn shown_as(live: &Live, book: &Book) -> (ShownAs, (usize, usize)) {
    let limits = book.rules.labels;
    let mut pairs: Vec<(NameId, NameId)> = live.labels().collect();
    pairs.sort_unstable_by_key(|(state, skill)| (live.name(*state), live.name(*skill)));
    let mut states_left = limits.states.saturating_sub(book.labels.states);
    let mut pairs_left = limits.pairs.saturating_sub(book.labels.pairs);
    let other: Arc<str> = Arc::from(OTHER);
    let mut states: HashMap<NameId, bool> = HashMap::new();
    let mut over_pairs = 0;
    let take = |left: &mut usize| {
        let fits = *left > 0;
        *left -= usize::from(fits);
        fits
    };
    let shown = pairs.into_iter().map(|(state, skill)| {
        let (state_name, skill_name) = (live.name(state), live.name(skill));
        let keeps_state = *states
            .entry(state)
            .or_insert_with(|| book.find_state(state_name).is_some() || take(&mut states_left));
        let state_name = if keeps_state { state_name } else { &other };
        let keeps_skill = skill_name.is_empty()
            || book.find(state_name, skill_name).is_some()
            || (keeps_state && take(&mut pairs_left));
        over_pairs += usize::from(!keeps_skill || !keeps_state);
        let skill_name = if keeps_skill { skill_name } else { &other };
        ((state, skill), (Arc::clone(state_name), Arc::clone(skill_name)))
    });
    let shown: ShownAs = shown.collect();
    let over_states = states.values().filter(|keeps| !**keeps).count();
    (shown, (over_states, over_pairs))
}

/// What the live feed says of the agent `name`; those before it in `rest` go to `alone`.
fn find<'a, I>(
    rest: &mut Peekable<I>,
    name: &Arc<str>,
    alone: &mut Vec<(&'a Arc<str>, &'a LiveAgent)>,
) -> Option<&'a LiveAgent>
where
    I: Iterator<Item = (&'a Arc<str>, &'a LiveAgent)>,
{
    while let Some((other, _)) = rest.peek() {
        match (*other).cmp(name) {
            Ordering::Less => alone.extend(rest.next()),
            Ordering::Equal => return rest.next().map(|(_, agent)| agent),
            Ordering::Greater => break,
        }
    }
    None
}

/// Whether the live state holds: where it is the later observation, and where the history is behind
/// it. History that tells of no state takes none away, for it may not hold the one that lasts; and
/// one that tells of an earlier state than the live one has not heard of that yet, however far it
/// is said to be known.
fn holds(live: &LiveAgent, observed: Timestamp, face: &Face, stale: bool) -> bool {
    if stale || face.standing.labels.is_empty() {
        return true;
    }
    let is_behind = live.start.is_some_and(|start| face.standing.start.plus(SAME_START) < start);
    is_behind || face.observed.is_none_or(|known| observed > known)
}

fn alone_series(agent: &LiveAgent, show: &SnapshotOptions) -> u64 {
    let named = show.agent_info && agent.agent_name.is_some();
    1 + u64::from(agent.start.is_some()) + u64::from(named)
}
