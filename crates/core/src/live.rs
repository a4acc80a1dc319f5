//! The live states: what CXone says of every agent at this moment. They make what is now; counters
//! come from the history alone.

mod activity;
mod limits;
mod plan;
mod sums;

#[cfg(test)]
mod tests;

pub use activity::{Activity, SkillRow, Skills};
pub use limits::{CodeTimeout, tenant_limits};
pub use plan::{
    Feed, FeedPage, FeedPlanStatus, FeedRequest, FeedUpdate, ListError, LivePlan, LiveRules,
};

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::counts::WRAP_UP;
use crate::names::{NameId, Names, escape_other, label_value};
use crate::privacy::Privacy;
use crate::time::Timestamp;

/// Past so many names, or pairs of them, those that no agent uses any more are forgotten.
const MAX_NAMES: usize = 100_000;

/// The state of agents who take no contacts, whatever their reason.
pub const UNAVAILABLE: &str = "Unavailable";

/// One agent in CXone's list of live states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveRow {
    /// The agent's id.
    pub agent: String,
    /// The agent's display name; empty when it is not told.
    pub agent_name: String,
    /// The state.
    pub state: String,
    /// Why the agent is unavailable, by the name of the unavailable code (empty when it has none);
    /// `None` in any other state.
    pub reason: Option<String>,
    /// The skill; empty when there is none.
    pub skill: String,
    /// The team; empty when it is not told.
    pub team: String,
    /// When the agent entered the state; `None` when it is not told.
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
    /// State and skill, as they were ever told: also where nobody is now.
    labels: BTreeSet<(NameId, NameId)>,
    /// Team and state, likewise.
    teams: BTreeSet<(NameId, NameId)>,
    reasons: BTreeSet<NameId>,
    observed: Option<Timestamp>,
    stale: bool,
    revision: u32,
}

impl Live {
    /// Nothing is known yet. State names in `wrap_up` all become [`WRAP_UP`]; of agents no more is
    /// kept than `privacy` lets.
    #[must_use]
    pub fn new(wrap_up: Vec<String>, privacy: Privacy) -> Self {
        Self { wrap_up, privacy, ..Self::default() }
    }

    /// Whether `other` makes the same of what it is told.
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
            let known = before.remove(&*name).filter(|known| known.tells(&agent));
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
                Entry::Occupied(entry) if entry.get().tells(&agent) => {}
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

    /// The moment that the live states tell of; `None` when there are none, or they are stale.
    #[must_use]
    pub fn observed(&self) -> Option<Timestamp> {
        self.observed.filter(|_| !self.stale)
    }

    /// The agents in the order of their ids, stale ones included.
    pub(super) fn agents(&self) -> impl Iterator<Item = (&Arc<str>, &LiveAgent)> {
        self.agents.iter()
    }

    /// Every pair of state and skill that was told.
    pub(super) fn labels(&self) -> impl Iterator<Item = (NameId, NameId)> + '_ {
        self.labels.iter().copied()
    }

    pub(super) fn name(&self, id: NameId) -> &Arc<str> {
        self.names.value(id)
    }

    fn observe(&mut self, observed: Timestamp) {
        // Two of CXone's machines may tell slightly different times.
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
    /// Whether it tells the same as `other`.
    fn tells(&self, other: &Self) -> bool {
        let told = |agent: &Self| (agent.state, agent.skill, agent.team, agent.reason, agent.start);
        told(self) == told(other) && self.agent_name == other.agent_name
    }
}
