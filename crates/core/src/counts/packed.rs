//! Agents between two reports: packed into the bytes of their store records, beside a summary of
//! what every page needs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::Detail;
use super::agent::{Agent, Membership};
use super::catalog::Catalog;
use super::label::LabelId;
use super::record::Record;
use super::starts::Starts;
use super::target::{TargetId, TargetKey};
use crate::names::NameId;
use crate::time::Timestamp;

/// A hash of what is shown: equal ones show the same. Only valid within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of `content`.
    pub fn of(content: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A packed agent. It is immutable: a report replaces it by another one. So a snapshot that is
/// being rendered, and a change that may be taken back, share it with the ledger at no cost.
#[derive(Debug)]
pub(crate) struct PackedAgent {
    /// Of the bytes themselves and not of when they last changed, because published pages outlive
    /// the ledger at a reload.
    pub(crate) content: Fingerprint,
    pub(crate) summary: AgentSummary,
    /// All but its starts, as in the store.
    pub(super) record: Box<[u8]>,
    pub(super) starts: Starts,
}

/// What every page needs of an agent, whether or not it changed: reading this does not unpack.
#[derive(Debug)]
pub(crate) struct AgentSummary {
    pub(crate) observed: Option<Timestamp>,
    /// The end of the latest window whose report contained the agent.
    pub(super) last_reported: Timestamp,
    /// Mostly one.
    pub(crate) memberships: SmallVec<[Membership; 1]>,
    pub(crate) current: CurrentState,
    /// Number of its labels that are shown.
    pub(crate) labels: u32,
    /// Number of its states, whatever the skills.
    pub(crate) states: u32,
    pub(crate) has_name: bool,
}

/// The state that an agent is in at its observed time, and since when. Without labels: in none.
#[derive(Debug)]
pub(crate) struct CurrentState {
    pub(crate) start: Timestamp,
    /// One for each skill that it is in the state for.
    pub(crate) labels: SmallVec<[LabelId; 4]>,
}

impl PackedAgent {
    pub(super) fn new(agent: &Agent, catalog: &Catalog) -> Arc<Self> {
        Self::restored(agent, Record::bytes(agent).into(), catalog)
    }

    /// An agent whose `record` was read from a store.
    pub(super) fn restored(agent: &Agent, record: Box<[u8]>, catalog: &Catalog) -> Arc<Self> {
        Arc::new(Self {
            content: Fingerprint::of(&(&record, &agent.starts)),
            summary: AgentSummary::of(agent, catalog),
            record,
            starts: agent.starts.clone(),
        })
    }

    pub(super) fn is_member(&self, target: TargetId) -> bool {
        self.summary.memberships.iter().any(|membership| membership.target == target)
    }

    pub(crate) fn unpack(&self) -> Agent {
        let mut agent: Agent =
            Record::value(&self.record).expect("packed by `new`, or validated when restored");
        agent.starts.clone_from(&self.starts);
        agent
    }
}

impl AgentSummary {
    fn of(agent: &Agent, catalog: &Catalog) -> Self {
        let configured = |membership: &Membership<TargetKey>| {
            let target = catalog.targets.id(membership.target)?;
            Some(Membership { target, newest: membership.newest })
        };
        let (mut labels, mut states) = (0, 0);
        for series in &agent.series {
            labels += u32::from(catalog.is_shown(series.label));
            states += u32::from(catalog.labels.get(series.label).skill.is_none());
        }
        Self {
            observed: agent.observed,
            last_reported: agent.last_reported,
            memberships: agent.memberships.iter().filter_map(configured).collect(),
            current: CurrentState::of(agent, catalog),
            labels,
            states,
            has_name: agent.display_name.is_some(),
        }
    }

    /// The target whose report contained it first.
    pub(crate) fn home(&self) -> Option<TargetId> {
        self.memberships.first().map(|membership| membership.target)
    }
}

impl CurrentState {
    fn of(agent: &Agent, catalog: &Catalog) -> Self {
        let mut current = Self { start: Timestamp::MIN, labels: SmallVec::new() };
        // No target's newest report contains it: where it is now is not known.
        if !agent.memberships.iter().any(|membership| membership.newest) {
            return current;
        }
        let ongoing = agent.ongoing(catalog);
        let Some(start) = ongoing.iter().map(|(_, start)| *start).max() else { return current };
        let latest =
            || ongoing.iter().filter(|(_, began)| *began == start).map(|(label, _)| *label);
        let state_of = |label| catalog.labels.get(label).state;
        // Several states that began at once: the first by name, so that the choice is stable.
        let state = latest().map(state_of).min_by_key(|state| catalog.names.value(*state));
        current.start = start;
        current.labels.extend(latest().filter(|label| Some(state_of(*label)) == state));
        // Several skills that share the label `other` are one.
        current.labels.sort_unstable();
        current.labels.dedup();
        current
    }

    /// `None` when it is in no state.
    pub(crate) fn state(&self, catalog: &Catalog) -> Option<NameId> {
        self.labels.first().map(|label| catalog.labels.get(*label).state)
    }

    /// Number of start series that it has.
    pub(crate) fn series(&self, catalog: &Catalog) -> usize {
        match catalog.rules.detail {
            Detail::AgentSkill | Detail::Aggregate => self.labels.len(),
            Detail::Agent => self.labels.len().min(1),
        }
    }
}
