//! What an agent's numbers mean: names, labels and rules.

use std::sync::Arc;

use super::label::{LabelId, Labels};
use super::tally::{self, Joined, Tally, tally};
use super::timeline::{Lasts, Span, Timeline};
use super::{Detail, Rows, Rules};
use crate::domain::names::Names;
use crate::domain::time::{Timestamp, Window};

/// Copies share what they hold until one of them changes it.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) rules: Arc<Rules>,
    pub(super) names: Arc<Names>,
    pub(super) labels: Arc<Labels>,
}

impl Book {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), names: Arc::default(), labels: Arc::default() }
    }

    /// The label of a state on a skill, taken in if it is new.
    pub(super) fn intern(&mut self, state: &str, skill: &str) -> LabelId {
        let names = Arc::make_mut(&mut self.names);
        let (state, skill) = (names.intern(state), names.intern(skill));
        Arc::make_mut(&mut self.labels).intern(state, skill)
    }

    /// Whether series under this label are shown.
    pub(super) fn is_shown(&self, label: LabelId) -> bool {
        self.labels.label(label).skill.is_none() == (self.rules.detail == Detail::Agent)
    }

    /// The label itself, and its state over all skills.
    pub(super) fn groups_of(&self, label: LabelId) -> [LabelId; 2] {
        [label, self.labels.over_skills(label)]
    }

    pub(super) fn tally(&self, spans: &[Span], range: Window) -> Vec<Tally> {
        let mut sums = tally(spans, range, Joined::No, |label| label);
        sums.extend(tally(spans, range, self.joined(), |label| self.labels.over_skills(label)));
        sums
    }

    pub(super) fn starts(&self, spans: &[Span], range: Window) -> Vec<(LabelId, Timestamp, u64)> {
        let mut starts = tally::starts(spans, range, Joined::No, |label| label);
        starts.extend(tally::starts(spans, range, self.joined(), |label| {
            self.labels.over_skills(label)
        }));
        starts
    }

    pub(super) fn spans(&self, timeline: &Timeline, observed: Timestamp) -> Vec<Span> {
        let lasts =
            if self.rules.rows == Rows::States { Lasts::ToNextStart } else { Lasts::ToNextState };
        timeline.spans(observed, lasts, |label| self.labels.label(label).state)
    }

    fn joined(&self) -> Joined {
        match self.rules.rows {
            Rows::Intervals => Joined::Overlapping,
            Rows::Events | Rows::States | Rows::Buckets => Joined::Beginning,
        }
    }
}
