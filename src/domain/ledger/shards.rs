//! Single agents in shards: those that one report is likely to change together, so that the others need not be told again.

use std::collections::HashSet;
use std::sync::Arc;

use super::agent::Agent;
use super::overlay::Lived;
use super::shown::{Show, Standing};
use super::{Ledger, TargetId};
use crate::domain::snapshot::{Fingerprint, Shard};
use crate::domain::time::Timestamp;

/// A target with fewer agents shares its shard with the next: every shard costs the page a few bytes and the start of a compression.
const FEWEST: usize = 128;

/// A target with more has several shards.
const MOST: usize = 1024;

/// An agent that is shown.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) agent: &'a Agent,
    pub(super) standing: Option<&'a Standing>,
    pub(super) stale: bool,
    /// Its display name, where names are shown.
    pub(super) agent_name: Option<&'a str>,
    /// What the live feed says of it, where that is the later observation; then `standing` is `None`.
    pub(super) live: Option<Lived<'a>>,
    /// Whether there is a live feed at all.
    pub(super) has_feed: bool,
}

impl Shown<'_> {
    /// The target that told of it first.
    fn home(&self) -> Option<TargetId> {
        self.agent.memberships.first().map(|membership| membership.target)
    }

    /// Its display name, unless all that is known of it is stale.
    pub(super) fn told_name(&self) -> Option<&str> {
        self.agent_name.filter(|_| !self.stale || self.live.is_some())
    }

    /// Up to when it is known.
    pub(super) fn observed(&self) -> Option<Timestamp> {
        self.live.as_ref().map(|live| live.observed).or(self.agent.observed.filter(|_| !self.stale))
    }
}

/// Parts `agents`, which are in the order of their ids, by their homes.
pub(super) fn shards<'a>(agents: &'a mut [Shown<'_>]) -> impl Iterator<Item = &'a [Shown<'a>]> {
    // Stable: within a home, the order of the ids stays.
    agents.sort_by_key(Shown::home);
    let agents: &[Shown<'_>] = agents;
    let sizes: Vec<usize> = agents.chunk_by(|a, b| a.home() == b.home()).map(<[_]>::len).collect();
    let mut rest = agents;
    shard_sizes(&sizes).into_iter().map(move |size| {
        let (shard, behind) = rest.split_at(size);
        rest = behind;
        shard
    })
}

/// How many agents each shard has when the homes, in order, have so many.
fn shard_sizes(homes: &[usize]) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut small = 0;
    for &home in homes {
        if home < FEWEST {
            small += home;
            if small < FEWEST {
                continue;
            }
        }
        if small > 0 {
            sizes.push(std::mem::take(&mut small));
        }
        if home >= FEWEST {
            let count = home.div_ceil(MOST);
            sizes.extend((0..count).map(|place| home * (place + 1) / count - home * place / count));
        }
    }
    sizes.extend((small > 0).then_some(small));
    sizes
}

impl Ledger {
    pub(super) fn shard<'a>(&self, agents: &[Shown<'a>], known: &HashSet<Fingerprint>) -> Shard {
        // All else that a series shows of an agent follows from these: what reports told of it, whether that is stale, and what the live
        // feed says of it.
        let told = |shown: &Shown<'a>| (&**shown.name, shown.agent.revision, shown.stale, shown.live.map(|live| live.revision()));
        let told: Vec<_> = agents.iter().map(|shown| (told(shown), shown.told_name())).collect();
        let fingerprint = Fingerprint::of(&told);
        let observed = agents.iter().filter_map(|shown| Some((Arc::clone(shown.name), shown.observed()?))).collect();
        Shard {
            fingerprint,
            series: agents.iter().map(|agent| self.series(agent)).sum(),
            agents: (!known.contains(&fingerprint)).then(|| agents.iter().map(|agent| self.agent_series(agent)).collect()),
            ..Shard::observed(observed, known)
        }
    }

    /// How many series an agent has.
    pub(super) fn series(&self, shown: &Shown<'_>) -> u64 {
        let Shown { agent, standing, stale, .. } = *shown;
        let view = self.view();
        let of_label = |label| 2 + u64::from(!stale) + u64::from(standing.is_some_and(|standing| standing.is_under(label, &view)));
        let labels = agent.series.iter().map(|series| series.label).filter(|label| self.is_shown(*label));
        let live = shown.live.as_ref().is_some_and(Lived::has_start);
        let agent = [shown.observed().is_some(), shown.told_name().is_some(), live];
        labels.map(of_label).sum::<u64>() + agent.into_iter().map(u64::from).sum::<u64>()
    }

    /// How many it has at the most with the same labels.
    pub(super) fn most_series(&self, shown: &Shown<'_>, show: &Show) -> u64 {
        let labels = shown.agent.series.iter().filter(|series| self.is_shown(series.label)).count();
        // Where the live feed says that it is there may be no label yet.
        4 * u64::try_from(labels).unwrap_or(u64::MAX) + 1 + u64::from(show.agent_info) + u64::from(shown.has_feed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_targets_share_a_shard_and_large_ones_are_parted_evenly() {
        assert_eq!(shard_sizes(&[]), [0; 0]);
        assert_eq!(shard_sizes(&[1]), [1]);
        assert_eq!(shard_sizes(&[1, 2, 128, 3]), [3, 128, 3]);
        assert_eq!(shard_sizes(&[100, 100, 100]), [200, 100]);
        assert_eq!(shard_sizes(&[1024, 1025, 5000]), [1024, 512, 513, 1000, 1000, 1000, 1000, 1000]);
    }
}
