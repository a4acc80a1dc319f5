//! Agents between two reports: as small as their records, with what every page looks at beside
//! them.

use std::sync::Arc;

use smallvec::SmallVec;

use super::agent::{Agent, Membership};
use super::book::Book;
use super::label::LabelId;
use super::saved::{InvalidRecord, Record};
use super::starts::Starts;
use super::{Detail, TargetId};
use crate::names::NameId;
use crate::page::snapshot::Fingerprint;
use crate::time::Timestamp;

/// An agent at rest. Never changes: a report puts another one in its place, so whoever shows it may
/// take its time.
#[derive(Debug)]
pub(super) struct Resting {
    /// What tells its record and starts from others. Their bytes, and not when they last changed:
    /// pages outlive the ledger at a reload.
    pub(super) content: Fingerprint,
    pub(super) face: Face,
    /// All but its starts, as it stands in the store.
    pub(super) record: Box<[u8]>,
    pub(super) starts: Starts,
}

/// What is looked at for every page, also if nothing of the agent changed.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) observed: Option<Timestamp>,
    /// The end of the latest window that told of it.
    pub(super) last_told: Timestamp,
    /// Mostly one.
    pub(super) memberships: SmallVec<[Membership; 1]>,
    pub(super) standing: Standing,
    /// How many of its labels are shown.
    pub(super) labels: u32,
    /// How many states it was in, whatever the skills.
    pub(super) states: u32,
    /// Whether its name is known.
    pub(super) named: bool,
}

/// Where an agent is at its observed time, and since when; without labels, in no state.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) start: Timestamp,
    /// The skills that it is in the state for, as many as fit the room of a list elsewhere.
    pub(super) labels: SmallVec<[LabelId; 4]>,
}

impl Resting {
    pub(super) fn new(agent: &Agent, book: &Book) -> Arc<Self> {
        Self::restored(agent, Record::bytes(agent).into(), book)
    }

    /// The agent that a store told of.
    pub(super) fn restored(agent: &Agent, record: Box<[u8]>, book: &Book) -> Arc<Self> {
        Arc::new(Self {
            content: Fingerprint::of(&(&record, &agent.starts)),
            face: Face::of(agent, book),
            record,
            starts: agent.starts.clone(),
        })
    }

    pub(super) fn wake(&self) -> Agent {
        let agent: Result<Agent, InvalidRecord> = Record::value(&self.record);
        let mut agent = agent.expect("made of an agent, or read as one at the start");
        agent.starts.clone_from(&self.starts);
        agent
    }
}

impl Face {
    fn of(agent: &Agent, book: &Book) -> Self {
        let count = |is_counted: &dyn Fn(LabelId) -> bool| {
            let counted = agent.series.iter().filter(|series| is_counted(series.label)).count();
            u32::try_from(counted).expect("fewer labels than pairs of names")
        };
        Self {
            observed: agent.observed,
            last_told: agent.last_told,
            memberships: SmallVec::from_slice(&agent.memberships),
            standing: Standing::of(agent, book),
            labels: count(&|label| book.is_shown(label)),
            states: count(&|label| book.labels.label(label).skill.is_none()),
            named: agent.display_name.is_some(),
        }
    }

    /// The target that told of it first.
    pub(super) fn home(&self) -> Option<TargetId> {
        self.memberships.first().map(|membership| membership.target)
    }
}

impl Standing {
    /// Of the visits that last, those with the latest start, ties by the state's name; none if no
    /// target's newest report told of it.
    fn of(agent: &Agent, book: &Book) -> Self {
        let mut standing = Self { start: Timestamp::MIN, labels: SmallVec::new() };
        if !agent.in_newest() {
            return standing;
        }
        let lasting = agent.lasting(book);
        let Some(start) = lasting.iter().map(|(_, start)| *start).max() else { return standing };
        let state_of = |label| book.labels.label(label).state;
        let latest =
            || lasting.iter().filter(|(_, began)| *began == start).map(|(label, _)| *label);
        let state = latest().map(state_of).min_by_key(|state| book.names.value(*state));
        standing.start = start;
        standing.labels.extend(latest().filter(|label| Some(state_of(*label)) == state));
        // Several skills without labels of their own are one.
        standing.labels.sort_unstable();
        standing.labels.dedup();
        standing
    }

    /// The state; `None` when it is in none.
    pub(super) fn state(&self, book: &Book) -> Option<NameId> {
        self.labels.first().map(|label| book.labels.label(*label).state)
    }

    /// Under how many of the labels that are shown it is.
    pub(super) fn shown(&self, book: &Book) -> usize {
        match book.rules.detail {
            Detail::AgentSkill | Detail::Aggregate => self.labels.len(),
            Detail::Agent => self.labels.len().min(1),
        }
    }
}
