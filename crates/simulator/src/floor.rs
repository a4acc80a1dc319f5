//! The agents of a seed and where they are when: a pure function of seed and time.

mod day;
mod totals;
mod visit;

use std::num::NonZeroU32;
use std::sync::Arc;

use cxone_core::time::{Timestamp, Window};

use super::random::{Random, hash};
pub use totals::ActualTotals;
pub use visit::{AgentState, Visit, VisitPosition};

/// The skills that agents have one to three of.
pub(super) const SKILLS: [&str; 4] = ["English Support", "German Support", "Sales", "Billing"];

/// How many teams the agents belong to.
pub(super) const TEAMS: u32 = 4;

/// What a floor follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorOptions {
    /// Everything that looks like chance follows from it.
    pub seed: u64,
    /// How many agents there are. From three on, somebody who forgets to end Wrap-up is at work at
    /// any moment.
    pub agents: u32,
    /// How many times faster than in life agents change state. Shifts keep their length.
    pub pace: NonZeroU32,
}

impl Default for FloorOptions {
    /// Thirty agents at the pace of life.
    fn default() -> Self {
        Self { seed: 1, agents: 30, pace: NonZeroU32::MIN }
    }
}

/// Who an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProfile {
    /// The place among the agents, from 0.
    pub index: u32,
    /// The internal id, `user-001` and so on.
    pub id: String,
    /// The name that is shown, `Agent 001` and so on.
    pub name: String,
    /// The id of the team, `team-1` and so on.
    pub team: String,
    /// The skills; never none.
    pub skills: Vec<&'static str>,
    /// In how many of a thousand calls the agent forgets to end Wrap-up. At 1000 pauses are spent
    /// there as well.
    pub forgets_per_mille: u64,
    /// Whether the agent is in the state Logout between shifts, or in none.
    pub has_logout_state: bool,
}

/// The contact centre's floor.
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

    /// What it follows from.
    #[must_use]
    pub fn options(&self) -> FloorOptions {
        self.options
    }

    /// The agents, by index.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = &AgentProfile> {
        self.agents.iter().map(AsRef::as_ref)
    }

    /// The visits of the agent at `index` that touch `window`, sorted by start, with their true
    /// starts and ends, in the future too; none when there is no such agent. Costs time in
    /// proportion to the window, but at least a shift.
    #[must_use]
    pub fn visits(&self, index: usize, window: Window) -> Vec<Visit> {
        self.agents.get(index).map_or_else(Vec::new, |agent| {
            day::visits(self.options, agent, window, agent.has_logout_state)
        })
    }

    /// The agent's stays that touch `window`, sorted by start, with their true starts and ends: as
    /// [`Floor::visits`], but being in one state on several skills at once is one stay, on no
    /// skill; and between shifts everybody is in Logout.
    #[must_use]
    pub fn platform_visits(&self, index: usize, window: Window) -> Vec<Visit> {
        let mut stays = self
            .agents
            .get(index)
            .map_or_else(Vec::new, |agent| day::visits(self.options, agent, window, true));
        for stay in stays.iter_mut().filter(|stay| stay.state == AgentState::Ready) {
            stay.skill = None;
        }
        stays.dedup_by_key(|stay| stay.position);
        stays
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
        let mut random = Random::new(seed, &[hash(0, &[u64::from(index)]), 1]);
        let mut skills = Vec::new();
        for _ in 0..random.pick(&[1, 1, 2, 2, 3]) {
            let skill = random.pick(&SKILLS);
            if !skills.contains(&skill) {
                skills.push(skill);
            }
        }
        let forgets_per_mille = match index {
            0..day::ROUND_THE_CLOCK => 1000,
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
