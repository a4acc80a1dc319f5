//! The agents of a seed and where they are when: a pure function of seed and time.

mod shift;
mod totals;
mod visit;

use std::num::NonZeroU32;
use std::sync::Arc;

use cxone_core::time::{Timestamp, Window};

use crate::random::{RandomStream, hash};
pub use totals::ActualTotals;
pub use visit::{AgentState, Visit, VisitPosition};

/// All skills; an agent has one to three of them.
pub(crate) const SKILLS: [&str; 4] = ["English Support", "German Support", "Sales", "Billing"];

/// How many teams the agents belong to.
pub(crate) const TEAMS: u32 = 4;

/// What determines a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorOptions {
    /// All chance follows from it.
    pub seed: u64,
    /// How many agents there are. From three on, one who forgets to end Wrap-up is at work at any
    /// moment.
    pub agents: u32,
    /// How many times faster than real agents these change state. Shifts keep their length.
    pub pace: NonZeroU32,
}

impl Default for FloorOptions {
    /// Thirty agents at the pace of real ones.
    fn default() -> Self {
        Self { seed: 1, agents: 30, pace: NonZeroU32::MIN }
    }
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProfile {
    /// The index among the agents, from 0.
    pub index: u32,
    /// The internal id, `user-001` and so on.
    pub id: String,
    /// The display name, `Agent 001` and so on.
    pub name: String,
    /// The id of the team, `team-1` and so on.
    pub team: String,
    /// The skills, at least one.
    pub skills: Vec<&'static str>,
    /// In how many of a thousand calls the agent forgets to end Wrap-up. At 1000 the agent also
    /// spends the breaks there.
    pub forgets_per_mille: u64,
    /// Whether the agent is in the state Logout between shifts, else in none.
    pub has_logout_state: bool,
}

/// The contact centre.
#[derive(Clone, Debug)]
pub struct Floor {
    options: FloorOptions,
    agents: Vec<Arc<AgentProfile>>,
}

impl Floor {
    /// The floor that follows from `options`.
    #[must_use]
    pub fn new(options: FloorOptions) -> Self {
        let agents = (0..options.agents)
            .map(|index| Arc::new(AgentProfile::new(options.seed, index)))
            .collect();
        Self { options, agents }
    }

    /// What determines it.
    #[must_use]
    pub fn options(&self) -> FloorOptions {
        self.options
    }

    /// The agents, by index.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = &AgentProfile> {
        self.agents.iter().map(AsRef::as_ref)
    }

    /// The visits of the agent at `index` that touch `window`, sorted by start, with their true
    /// starts and ends, even future ones. The cost is proportional to the window, at least a shift.
    #[must_use]
    pub fn visits(&self, index: usize, window: Window) -> Vec<Visit> {
        let Some(agent) = self.agents.get(index) else { return Vec::new() };
        shift::visits(self.options, agent, window, agent.has_logout_state)
    }

    /// The same visits as the platform API reports them: ready on several skills is one visit on
    /// no skill, and between shifts everybody is in Logout.
    #[must_use]
    pub fn platform_visits(&self, index: usize, window: Window) -> Vec<Visit> {
        let Some(agent) = self.agents.get(index) else { return Vec::new() };
        let mut visits = shift::visits(self.options, agent, window, true);
        for visit in visits.iter_mut().filter(|visit| visit.state == AgentState::Ready) {
            visit.skill = None;
        }
        visits.dedup_by_key(|visit| visit.position);
        visits
    }

    /// Who is where at `moment`: the visits that began at or before it and end after it, by agent.
    #[must_use]
    pub fn at(&self, moment: Timestamp) -> Vec<Visit> {
        let window = Window { from: moment, to: moment.plus(std::time::Duration::from_millis(1)) };
        (0..self.agents.len())
            .flat_map(|index| self.visits(index, window))
            .filter(|visit| visit.end > moment)
            .collect()
    }
}

impl AgentProfile {
    fn new(seed: u64, index: u32) -> Self {
        let mut random = RandomStream::new(seed, &[hash(0, &[u64::from(index)]), 1]);
        let mut skills = Vec::new();
        for _ in 0..random.pick(&[1, 1, 2, 2, 3]) {
            let skill = random.pick(&SKILLS);
            if !skills.contains(&skill) {
                skills.push(skill);
            }
        }
        let forgets_per_mille = match index {
            0..shift::ROUND_THE_CLOCK => 1000,
            _ if index % 5 == 4 => 400,
            _ => 15,
        };
        Self {
            index,
            id: format!("user-{:03}", index + 1),
            name: format!("Agent {:03}", index + 1),
            team: format!("team-{}", index % TEAMS + 1),
            skills,
            forgets_per_mille,
            has_logout_state: index % 4 != 3,
        }
    }
}

#[cfg(test)]
mod tests;
