//! What a report changed: to commit it, or to take it back when it cannot be committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::label::{LabelId, Labels};
use super::rest::Resting;
use super::{Ledger, Progress, TargetId, Total};
use crate::names::Names;
use crate::time::Timestamp;

/// All that was different before.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) target: TargetId,
    progress: Progress,
    /// `None`: it was not known.
    pub(super) agents: BTreeMap<Arc<str>, Option<Arc<Resting>>>,
    pub(super) totals: HashMap<LabelId, Option<Total>>,
    names: Arc<Names>,
    pub(super) labels: Arc<Labels>,
    horizon: Timestamp,
    forget_at: Timestamp,
}

impl Change {
    /// The target whose report it was.
    #[must_use]
    pub const fn target(&self) -> TargetId {
        self.target
    }

    pub(super) fn keep_agent(&mut self, name: &Arc<str>, agent: Option<&Arc<Resting>>) {
        self.agents.entry(Arc::clone(name)).or_insert_with(|| agent.cloned());
    }

    pub(super) fn keep_total(&mut self, label: LabelId, total: Option<&Total>) {
        self.totals.entry(label).or_insert_with(|| total.cloned());
    }
}

impl Ledger {
    pub(super) fn begin(&self, target: TargetId) -> Change {
        Change {
            target,
            progress: self.targets[target.index()].clone(),
            agents: BTreeMap::new(),
            totals: HashMap::new(),
            names: Arc::clone(&self.book.names),
            labels: Arc::clone(&self.book.labels),
            horizon: self.horizon,
            forget_at: self.forget_at,
        }
    }

    /// Makes everything as it was before `change`, which must be the newest one.
    pub fn take_back(&mut self, change: Change) {
        for (name, before) in change.agents {
            match before {
                Some(agent) => self.agents.insert(name, agent),
                None => self.agents.remove(&name),
            };
        }
        for (label, before) in change.totals {
            match before {
                Some(total) => self.totals.insert(label, total),
                None => self.totals.remove(&label),
            };
        }
        (self.book.names, self.book.labels) = (change.names, change.labels);
        self.targets[change.target.index()] = change.progress;
        self.horizon = change.horizon;
        self.forget_at = change.forget_at;
        let members: Vec<(TargetId, Arc<str>)> = self
            .agents
            .iter()
            .flat_map(|(name, agent)| {
                agent
                    .face
                    .memberships
                    .iter()
                    .filter(|membership| membership.newest)
                    .map(|membership| (membership.target, Arc::clone(name)))
            })
            .collect();
        // An agent that was forgotten had left the lists of all targets.
        for (target, name) in members {
            Arc::make_mut(&mut self.targets[target.index()].newest).insert(name);
        }
    }
}
