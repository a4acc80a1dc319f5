//! What really happened, whatever the APIs report.

use std::collections::BTreeMap;

use cxone_core::time::Window;

use super::{AgentState, Floor, Visit};

/// What an agent really did in one state, on one skill, in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualTotals {
    /// The agent's id.
    pub agent: String,
    /// The name of the state.
    pub state: &'static str,
    /// The skill, if any.
    pub skill: Option<&'static str>,
    /// Visits that began in the window.
    pub entries: u64,
    /// Time spent there in the window, in milliseconds.
    pub millis: u64,
}

impl Floor {
    /// What really happened in `window`, as the Reporting API identifies agents and names states.
    /// Sorted by agent; states and skills without a visit are left out.
    #[must_use]
    pub fn actual_totals(&self, window: Window) -> Vec<ActualTotals> {
        let mut totals = Vec::new();
        for (index, agent) in self.agents().enumerate() {
            add_up(&mut totals, &agent.id, window, &self.visits(index, window), AgentState::name);
        }
        totals
    }

    /// As [`Floor::actual_totals`], as the platform API identifies agents and names states.
    #[must_use]
    pub fn platform_totals(&self, window: Window) -> Vec<ActualTotals> {
        let mut totals = Vec::new();
        for (index, agent) in self.agents().enumerate() {
            let visits = self.platform_visits(index, window);
            let id = agent.platform_id().to_string();
            add_up(&mut totals, &id, window, &visits, AgentState::platform_label);
        }
        totals
    }
}

/// Adds the totals of one agent's visits in `window`, by state and skill.
fn add_up(
    totals: &mut Vec<ActualTotals>,
    agent: &str,
    window: Window,
    visits: &[Visit],
    name: impl Fn(AgentState) -> &'static str,
) {
    let mut sums: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for visit in visits {
        let sum = sums.entry((name(visit.state), visit.skill)).or_default();
        sum.0 += u64::from(window.contains(visit.start));
        let inside = visit.end.min(window.to).since(visit.start.max(window.from));
        sum.1 += u64::try_from(inside.as_millis())
            .expect("a visit is far shorter than 2^64 milliseconds");
    }
    totals.extend(sums.into_iter().map(|((state, skill), (entries, millis))| ActualTotals {
        agent: agent.to_owned(),
        state,
        skill,
        entries,
        millis,
    }));
}
