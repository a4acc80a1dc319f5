//! What is added up of the live states: agents by team, and by the reason why they are unavailable.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Live;
use crate::names::{NameId, OTHER, escape_other};
use crate::page::snapshot::{LabelSets, TeamAgents};

/// More reasons than this are told as one.
pub(super) const MAX_REASONS: usize = 100;

/// More teams than this are told as one.
pub(super) const MAX_TEAMS: usize = 1_000;

/// More pairs of team and state than this are told as those of one team.
pub(super) const MAX_TEAM_PAIRS: usize = 5_000;

impl Live {
    /// Unavailable agents by reason, those known so far at 0 too; past 100 they are `other`. Empty
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
        let agents: BTreeMap<&Arc<str>, u64> =
            counts.into_iter().map(|(reason, agents)| (self.name(reason), agents)).collect();
        let mut told: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (place, (reason, agents)) in agents.into_iter().enumerate() {
            *told.entry(limited(reason, place, MAX_REASONS)).or_default() += agents;
        }
        told.into_iter().collect()
    }

    /// Agents by team and state, pairs known so far at 0 too; teams past 1,000 are `other`. Empty
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
        let mut told: BTreeMap<(Arc<str>, Arc<str>), u64> = BTreeMap::new();
        let mut pairs = 0;
        for (place, (team, states)) in teams.into_iter().enumerate() {
            pairs += states.len();
            let place = if pairs > MAX_TEAM_PAIRS { MAX_TEAMS } else { place };
            for (state, agents) in states {
                *told.entry((limited(team, place, MAX_TEAMS), Arc::clone(state))).or_default() +=
                    agents;
            }
        }
        told.into_iter().map(|((team, state), agents)| TeamAgents { team, state, agents }).collect()
    }

    /// Reasons that the tenant has, whether anybody gives them or not.
    pub fn know_reasons<'a>(&mut self, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            let reason = self.names.intern(&escape_other(reason));
            self.reasons.insert(reason);
        }
    }
}

impl Live {
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
}

fn limited(name: &Arc<str>, place: usize, most: usize) -> Arc<str> {
    if place < most { Arc::clone(name) } else { Arc::from(OTHER) }
}
