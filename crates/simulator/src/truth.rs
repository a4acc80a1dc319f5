//! What really happened, whatever the API tells.

use std::collections::BTreeMap;

use cxone_core::time::Window;

use super::floor::{AgentProfile, Floor, State, Visit};

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

/// As [`Truth`], in the words of the platform's API, as [`Floor::stays`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformTruth {
    /// The agent's id.
    pub agent: String,
    /// The state that it counts as.
    pub state: &'static str,
    /// The skill, if any.
    pub skill: Option<&'static str>,
    /// Stays that began in the window.
    pub entries: u64,
    /// Time spent there in the window, in milliseconds.
    pub millis: u64,
}

impl Floor {
    /// What really happened in `window`, sorted by agent, state and skill; only what happened at
    /// all.
    #[must_use]
    pub fn truth(&self, window: Window) -> Vec<Truth> {
        let of_agent = |(index, agent): (usize, &AgentProfile)| {
            let id = agent.id.clone();
            let sums = sums(window, &self.visits(index, window), |state| state);
            sums.into_iter().map(move |((state, skill), (entries, millis))| Truth {
                agent: id.clone(),
                state,
                skill,
                entries,
                millis,
            })
        };
        self.agents().enumerate().flat_map(of_agent).collect()
    }

    /// As [`Floor::truth`], in the words of the platform's API.
    #[must_use]
    pub fn platform_truth(&self, window: Window) -> Vec<PlatformTruth> {
        let of_agent = |(index, agent): (usize, &AgentProfile)| {
            let id = agent.number().to_string();
            let sums = sums(window, &self.stays(index, window), State::platform_label);
            sums.into_iter().map(move |((state, skill), (entries, millis))| PlatformTruth {
                agent: id.clone(),
                state,
                skill,
                entries,
                millis,
            })
        };
        self.agents().enumerate().flat_map(of_agent).collect()
    }
}

/// Entries and milliseconds of one agent's visits in `window`, by what their state is called and by
/// skill.
fn sums<Name: Ord>(
    window: Window,
    visits: &[Visit],
    name: impl Fn(State) -> Name,
) -> BTreeMap<(Name, Option<&'static str>), (u64, u64)> {
    let mut sums = BTreeMap::new();
    for visit in visits {
        let sum: &mut (u64, u64) = sums.entry((name(visit.state), visit.skill)).or_default();
        sum.0 += u64::from(window.contains(visit.start));
        let inside = visit.end.min(window.to).since(visit.start.max(window.from));
        sum.1 += u64::try_from(inside.as_millis())
            .expect("a visit is far shorter than 2^64 milliseconds");
    }
    sums
}
