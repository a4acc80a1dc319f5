//! What really happened, whatever the API tells.

use std::collections::BTreeMap;

use crate::domain::time::Window;

use super::floor::{Floor, State};

/// What an agent really did in one state, on one skill, in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The agent's id.
    pub agent: String,
    /// The state.
    pub state: State,
    /// The skill, if any.
    pub skill: Option<&'static str>,
    /// Visits that began in the window.
    pub entries: u64,
    /// Time spent there in the window, in milliseconds.
    pub millis: u64,
}

impl Floor {
    /// What really happened in `window`, sorted by agent, state and skill; only what happened at all.
    #[must_use]
    pub fn truth(&self, window: Window) -> Vec<Truth> {
        let mut truths = Vec::new();
        for (index, agent) in self.agents().enumerate() {
            let mut sums: BTreeMap<(State, Option<&'static str>), (u64, u64)> = BTreeMap::new();
            for visit in self.visits(index, window) {
                let sum = sums.entry((visit.state, visit.skill)).or_default();
                sum.0 += u64::from(window.contains(visit.start));
                let inside = visit.end.min(window.to).since(visit.start.max(window.from));
                sum.1 += u64::try_from(inside.as_millis()).expect("a visit is far shorter than 2^64 milliseconds");
            }
            let of_agent = |((state, skill), (entries, millis))| Truth { agent: agent.id.clone(), state, skill, entries, millis };
            truths.extend(sums.into_iter().map(of_agent));
        }
        truths
    }
}
