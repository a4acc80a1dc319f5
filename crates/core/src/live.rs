//! The live states: what CXone reports of every agent at this moment. They make the gauges of now;
//! counters come from the history alone.

mod activity;
mod plan;

#[cfg(test)]
mod tests;

pub use activity::{Activity, SkillRow, SkillSeries, Skills};
pub use plan::{
    Feed, FeedPage, FeedPlanStatus, FeedRequest, FeedUpdate, ListError, LivePlan, LiveRules,
};

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::names::{LabelSets, NameId, Names, OTHER, WRAP_UP, escape_other, label_value};
use crate::privacy::Privacy;
use crate::time::Timestamp;

/// Beyond this many names, or pairs of them, those that no agent uses any more are dropped.
const MAX_NAMES: usize = 100_000;

/// Beyond this many reasons, agents are counted as `other`.
const MAX_REASONS: usize = 100;

/// Beyond this many teams, agents are counted as `other`.
const MAX_TEAMS: usize = 1_000;

/// Beyond this many pairs of team and state, agents are counted as those of `other`.
const MAX_TEAM_PAIRS: usize = 5_000;

/// The state of agents who take no contacts, whatever their reason.
pub const UNAVAILABLE: &str = "Unavailable";

/// One agent in CXone's list of live states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveRow {
    /// The agent's id.
    pub agent: String,
    /// The agent's display name; empty when it is not reported.
    pub agent_name: String,
    /// The state.
    pub state: String,
    /// Why the agent is unavailable, by the name of the unavailable code (empty when it has none);
    /// `None` in any other state.
    pub reason: Option<String>,
    /// The skill; empty when there is none.
    pub skill: String,
    /// The team; empty when it is not reported.
    pub team: String,
    /// When the agent entered the state; `None` when it is not reported.
    pub start: Option<Timestamp>,
}

/// What is known of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAgent {
    pub(super) state: NameId,
    pub(super) skill: NameId,
    team: NameId,
    reason: Option<NameId>,
    pub(super) start: Option<Timestamp>,
    pub(super) agent_name: Option<Box<str>>,
    /// The revision when something of it last changed.
    pub(super) revision: u32,
}

/// The live states of all agents, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Live {
    wrap_up: Vec<String>,
    privacy: Privacy,
    names: Names,
    agents: BTreeMap<Arc<str>, LiveAgent>,
    /// Pairs of state and skill that were ever reported, also where nobody is now.
    labels: BTreeSet<(NameId, NameId)>,
    /// Pairs of team and state, likewise.
    teams: BTreeSet<(NameId, NameId)>,
    reasons: BTreeSet<NameId>,
    observed: Option<Timestamp>,
    stale: bool,
    revision: u32,
}

/// `cxone_team_agents` of one team and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamAgents {
    /// The label `team`; empty when CXone does not report it.
    pub team: Arc<str>,
    /// The label `state`.
    pub state: Arc<str>,
    /// Number of agents.
    pub agents: u64,
}

impl Live {
    /// Nothing is known yet. State names in `wrap_up` all become [`WRAP_UP`]; of agents only
    /// what `privacy` allows is kept.
    #[must_use]
    pub fn new(wrap_up: Vec<String>, privacy: Privacy) -> Self {
        Self { wrap_up, privacy, ..Self::default() }
    }

    /// Whether `other` makes the same of the same rows.
    #[must_use]
    pub fn reads_as(&self, other: &Self) -> bool {
        self.wrap_up == other.wrap_up && self.privacy == other.privacy
    }

    /// The whole list, as of `observed`: an agent that it does not contain has no live state. Of
    /// several rows of an agent the last counts.
    pub fn replace(&mut self, rows: Vec<LiveRow>, observed: Timestamp) {
        self.revision = self.revision.wrapping_add(1);
        let mut before = std::mem::take(&mut self.agents);
        let most = self.names.len().max(self.labels.len()).max(self.teams.len());
        if most > MAX_NAMES {
            let Self { wrap_up, privacy, observed, stale, revision, .. } = std::mem::take(self);
            *self = Self { wrap_up, privacy, observed, stale, revision, ..Self::default() };
            before.clear();
        }
        for row in rows {
            let (name, agent) = self.read(row);
            let known = before.remove(&*name).filter(|known| known.is_unchanged(&agent));
            self.agents.insert(name, known.unwrap_or(agent));
        }
        self.observe(observed);
    }

    /// What changed since the list before, as of `observed`.
    pub fn update(&mut self, rows: Vec<LiveRow>, observed: Timestamp) {
        self.revision = self.revision.wrapping_add(1);
        for row in rows {
            let (name, agent) = self.read(row);
            match self.agents.entry(name) {
                Entry::Occupied(entry) if entry.get().is_unchanged(&agent) => {}
                Entry::Occupied(mut entry) => drop(entry.insert(agent)),
                Entry::Vacant(entry) => drop(entry.insert(agent)),
            }
        }
        self.observe(observed);
    }

    /// Whether the feed has not succeeded for too long: then there are no live states. Returns
    /// whether that is news.
    pub fn set_stale(&mut self, stale: bool) -> bool {
        std::mem::replace(&mut self.stale, stale) != stale
    }

    /// The time as of which the live states are known; `None` when there are none, or they are stale.
    #[must_use]
    pub fn observed(&self) -> Option<Timestamp> {
        self.observed.filter(|_| !self.stale)
    }

    /// Unavailable agents by reason, those known so far at 0 too; beyond 100 they are `other`. Empty
    /// when stale.
    #[must_use]
    pub fn unavailable(&self) -> Vec<(Arc<str>, u64)> {
        if self.observed().is_none() {
            return Vec::new();
        }
        let mut counts: HashMap<NameId, u64> =
            self.reasons.iter().map(|reason| (*reason, 0)).collect();
        for reason in self.agents.values().filter_map(|agent| agent.reason) {
            *counts.entry(reason).or_default() += 1;
        }
        let by_name: BTreeMap<&Arc<str>, u64> =
            counts.into_iter().map(|(reason, agents)| (self.name(reason), agents)).collect();
        let mut shown: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (index, (reason, agents)) in by_name.into_iter().enumerate() {
            *shown.entry(name_or_other(reason, index < MAX_REASONS)).or_default() += agents;
        }
        shown.into_iter().collect()
    }

    /// Agents by team and state, pairs known so far at 0 too; teams beyond 1,000 are `other`. Empty
    /// when stale.
    #[must_use]
    pub fn teams(&self) -> Vec<TeamAgents> {
        if self.observed().is_none() {
            return Vec::new();
        }
        let mut counts: HashMap<(NameId, NameId), u64> =
            self.teams.iter().map(|pair| (*pair, 0)).collect();
        for agent in self.agents.values() {
            *counts.entry((agent.team, agent.state)).or_default() += 1;
        }
        let mut teams: BTreeMap<&Arc<str>, Vec<(&Arc<str>, u64)>> = BTreeMap::new();
        for ((team, state), agents) in counts {
            teams.entry(self.name(team)).or_default().push((self.name(state), agents));
        }
        let mut shown: BTreeMap<(Arc<str>, Arc<str>), u64> = BTreeMap::new();
        let mut pairs = 0;
        for (index, (team, states)) in teams.into_iter().enumerate() {
            pairs += states.len();
            let team = name_or_other(team, index < MAX_TEAMS && pairs <= MAX_TEAM_PAIRS);
            for (state, agents) in states {
                *shown.entry((Arc::clone(&team), Arc::clone(state))).or_default() += agents;
            }
        }
        shown
            .into_iter()
            .map(|((team, state), agents)| TeamAgents { team, state, agents })
            .collect()
    }

    /// Adds reasons that the tenant has, whether an agent is unavailable for them or not.
    pub fn add_reasons<'a>(&mut self, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            let reason = self.names.intern(&escape_other(reason));
            self.reasons.insert(reason);
        }
    }

    /// How near reasons and teams are to their limits.
    #[must_use]
    pub fn label_sets(&self) -> [LabelSets; 2] {
        let teams: BTreeSet<NameId> = self.teams.iter().map(|(team, _)| *team).collect();
        let sets = |kind, known: usize, limit: usize, least_over: usize| {
            let over = known.saturating_sub(limit).max(least_over);
            LabelSets::new(kind, known - over, limit, over)
        };
        let pairs_over = usize::from(self.teams.len() > MAX_TEAM_PAIRS);
        [
            sets("reason", self.reasons.len(), MAX_REASONS, 0),
            sets("team", teams.len(), MAX_TEAMS, pairs_over),
        ]
    }

    /// The agents in the order of their ids, stale ones included.
    pub(super) fn agents(&self) -> impl Iterator<Item = (&Arc<str>, &LiveAgent)> {
        self.agents.iter()
    }

    /// Every pair of state and skill that was reported.
    pub(super) fn labels(&self) -> impl Iterator<Item = (NameId, NameId)> + '_ {
        self.labels.iter().copied()
    }

    pub(super) fn name(&self, id: NameId) -> &Arc<str> {
        self.names.value(id)
    }

    fn observe(&mut self, observed: Timestamp) {
        // The clocks of CXone's machines differ slightly.
        self.observed = self.observed.max(Some(observed));
    }

    fn read(&mut self, row: LiveRow) -> (Arc<str>, LiveAgent) {
        let is_wrap_up = self.wrap_up.contains(&row.state);
        let mut intern = |name: &str| self.names.intern(&escape_other(name));
        let state = intern(if is_wrap_up { WRAP_UP } else { &row.state });
        let (skill, team) = (intern(&row.skill), intern(&row.team));
        let reason = row.reason.filter(|_| !is_wrap_up).map(|reason| intern(&reason));
        self.labels.insert((state, skill));
        self.teams.insert((team, state));
        self.reasons.extend(reason);
        let agent_name = (self.privacy.names && !row.agent_name.is_empty())
            .then(|| label_value(&row.agent_name).into());
        let agent = LiveAgent {
            state,
            skill,
            team,
            reason,
            start: row.start,
            agent_name,
            revision: self.revision,
        };
        (Arc::from(self.privacy.ids.of(&row.agent)), agent)
    }
}

impl LiveAgent {
    /// Whether the agent is as `newer` says. Then it keeps its revision, and its series are not
    /// rendered again.
    fn is_unchanged(&self, newer: &Self) -> bool {
        let labels = |agent: &Self| (agent.state, agent.skill, agent.team, agent.reason);
        labels(self) == labels(newer)
            && (self.start, &self.agent_name) == (newer.start, &newer.agent_name)
    }
}

fn name_or_other(name: &Arc<str>, is_within_limit: bool) -> Arc<str> {
    if is_within_limit { Arc::clone(name) } else { Arc::from(OTHER) }
}

/// The timeout of an unavailable code that agents can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTimeout {
    /// Whether the code is work after a contact.
    pub is_acw: bool,
    /// After how long it logs an agent out.
    pub timeout: Duration,
}

/// By state, the lowest timeout of its codes: better an agent is over the limit too early than
/// never.
#[must_use]
pub fn tenant_limits(codes: impl IntoIterator<Item = CodeTimeout>) -> BTreeMap<Arc<str>, Duration> {
    let mut limits: BTreeMap<Arc<str>, Duration> = BTreeMap::new();
    for CodeTimeout { is_acw, timeout } in codes {
        let state = if is_acw { WRAP_UP } else { UNAVAILABLE };
        limits
            .entry(Arc::from(state))
            .and_modify(|limit| *limit = timeout.min(*limit))
            .or_insert(timeout);
    }
    limits
}
