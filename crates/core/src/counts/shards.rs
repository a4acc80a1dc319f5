//! Single agents in shards: those that one report is likely to change together, so that the others
//! need not be told again.

use std::collections::HashSet;
use std::sync::Arc;

use super::book::Book;
use super::overlay::Lived;
use super::rest::{Face, Resting, Standing};
use super::{CountingRules, Ledger, SnapshotOptions, TargetId};
use crate::page::snapshot::{Agents, Fingerprint, Shard};
use crate::time::Timestamp;

/// A target with fewer agents shares its shard with the next: every shard costs the page a few
/// bytes and the start of a compression.
const FEWEST: usize = 128;

/// A target with more has several shards.
const MOST: usize = 1024;

/// An agent that is shown.
pub(super) struct Shown {
    pub(super) name: Arc<str>,
    pub(super) agent: Arc<Resting>,
    pub(super) stale: bool,
    /// What the live feed says of it, where that is the later observation.
    pub(super) over: Option<Lived>,
    /// Its name as the live feed tells it, where names are shown.
    pub(super) live_name: Option<Arc<str>>,
    /// Whether there is a live feed at all.
    pub(super) has_feed: bool,
}

/// An agent's home, and its place among all agents in the order of their ids.
pub(super) type Homed = (Option<TargetId>, usize);

/// Parts `agents` by their homes; within a home they are in the order of their ids.
pub(super) fn shards(agents: &mut [Homed]) -> impl Iterator<Item = &[Homed]> {
    agents.sort_unstable();
    let agents: &[Homed] = agents;
    let sizes: Vec<usize> = agents.chunk_by(|(a, _), (b, _)| a == b).map(<[_]>::len).collect();
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

impl Shown {
    /// How many series it has.
    pub(super) fn series(&self, book: &Book, agent_info: bool) -> u64 {
        let Face { labels, states, named, .. } = &self.agent.face;
        let of_label = if self.stale { 2 } else { 3 };
        let here = self.standing().map_or(0, |standing| standing.shown(book))
            + usize::from(self.over.as_ref().is_some_and(Lived::has_start));
        let is_named = agent_info && (*named || self.live_name.is_some()) && self.is_known_now();
        of_label * u64::from(*labels)
            + u64::from(*states)
            + u64::try_from(here).unwrap_or(u64::MAX)
            + u64::from(self.observed().is_some())
            + u64::from(is_named)
    }

    /// Where it is, by its history.
    pub(super) fn standing(&self) -> Option<&Standing> {
        (!self.stale && self.over.is_none()).then_some(&self.agent.face.standing)
    }

    /// Up to when it is known where it is.
    pub(super) fn observed(&self) -> Option<Timestamp> {
        self.over.as_ref().map(|over| over.observed).or(self
            .agent
            .face
            .observed
            .filter(|_| !self.stale))
    }

    /// Whether any source of it is fresh.
    pub(super) fn is_known_now(&self) -> bool {
        !self.stale || self.over.is_some()
    }

    /// How many it has at the most with the same labels.
    pub(super) fn most_series(&self, agent_info: bool) -> u64 {
        // Where the live feed says that it is there may be no label yet.
        let Face { labels, states, .. } = &self.agent.face;
        4 * u64::from(*labels)
            + u64::from(*states)
            + 1
            + u64::from(agent_info)
            + u64::from(self.has_feed)
    }
}

impl Ledger {
    pub(super) fn shard(
        &self,
        agents: Vec<Shown>,
        show: &SnapshotOptions,
        known: &HashSet<Fingerprint>,
    ) -> Shard {
        // All else that a series shows of an agent follows from these: what is known of it,
        // whether that is stale, what the live feed says of it, and the rules.
        let told = |shown: &Shown| {
            (
                Arc::clone(&shown.name),
                shown.agent.content,
                shown.stale,
                shown.over.as_ref().map(|over| over.start.clone()),
            )
        };
        let told: Vec<_> =
            agents.iter().map(|shown| (told(shown), shown.live_name.as_deref())).collect();
        let observed = agents
            .iter()
            .filter_map(|shown| Some((Arc::clone(&shown.name), shown.observed()?)))
            .collect();
        let agent_info = show.agent_info;
        let CountingRules { rows, lookback, detail, .. } = &*self.book.rules;
        let labels = self.book.labels.given_up;
        let fingerprint = Fingerprint::of(&(told, agent_info, (rows, lookback, detail), labels));
        Shard {
            fingerprint,
            series: agents.iter().map(|shown| shown.series(&self.book, agent_info)).sum(),
            agents: (!known.contains(&fingerprint)).then(|| {
                let book = self.book.clone();
                Agents::made_by(move || {
                    agents.iter().map(|shown| book.agent_series(shown, agent_info)).collect()
                })
            }),
            ..Shard::observed(observed, known)
        }
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
        assert_eq!(
            shard_sizes(&[1024, 1025, 5000]),
            [1024, 512, 513, 1000, 1000, 1000, 1000, 1000]
        );
    }
}
