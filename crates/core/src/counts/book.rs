//! What an agent's numbers mean: names, labels and rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::label::{Label, LabelId, Labels, VisitLabel};
use super::tally::{self, Joined, Sum, Tally, tally};
use super::timeline::{Lasts, Span, Timeline};
use super::{CountingRules, Detail, RowKind};
use crate::names::{NameId, Names, OTHER, escape_other, hash_of};
use crate::time::{Timestamp, Window};

/// Copies share what they hold until one of them changes it.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) rules: Arc<CountingRules>,
    pub(super) names: Arc<Names>,
    pub(super) labels: Arc<Labels>,
}

/// Names that forgotten labels used, above which the table of names is made anew.
const MOST_UNUSED_NAMES: usize = 1_000;

impl Book {
    pub(super) fn new(rules: CountingRules) -> Self {
        Self { rules: Arc::new(rules), names: Arc::default(), labels: Arc::default() }
    }

    /// The label of a state on a skill, taken in if it is new and there is room; else `other`
    /// stands for the skill, and for the state where there are too many of these.
    pub(super) fn intern(&mut self, state: &str, skill: &str) -> VisitLabel {
        let (state, skill) = (&*escape_other(state), &*escape_other(skill));
        if let Some(label) = self.find(state, skill) {
            return label.into();
        }
        let limits = self.rules.labels;
        let is_over = self.find_state(state).is_none() && self.labels.states >= limits.states;
        let kept_state = if is_over { OTHER } else { state };
        let fits = skill.is_empty()
            || self.labels.pairs < limits.pairs
            || self.find(kept_state, skill).is_some();
        let kept_skill = if fits { skill } else { OTHER };
        let label = self
            .find(kept_state, kept_skill)
            .unwrap_or_else(|| self.insert(kept_state, kept_skill));
        VisitLabel { label, folded: folded(is_over, !fits, state, skill) }
    }

    fn insert(&mut self, state: &str, skill: &str) -> LabelId {
        let names = Arc::make_mut(&mut self.names);
        let is_limited = (is_limited_state(state), is_limited_skill(skill));
        let (state, skill) = (names.intern(state), names.intern(skill));
        Arc::make_mut(&mut self.labels).insert(state, skill, is_limited)
    }

    /// Takes in a label from a store. Whether that makes sense.
    pub(super) fn restore(
        &mut self,
        number: u32,
        state: &str,
        skill: Option<&str>,
        used: Timestamp,
    ) -> bool {
        let is_limited = skill.map_or_else(|| is_limited_state(state), is_limited_skill);
        let names = Arc::make_mut(&mut self.names);
        let label =
            Label { state: names.intern(state), skill: skill.map(|skill| names.intern(skill)) };
        let id = LabelId::from_number(number);
        Arc::make_mut(&mut self.labels).restore(id, label, is_limited, used)
    }

    /// The label of the state on the skill, if it has one of its own.
    pub(super) fn find(&self, state: &str, skill: &str) -> Option<LabelId> {
        let (state, skill) = (self.names.find(state)?, self.names.find(skill)?);
        self.labels.find(Label { state, skill: Some(skill) })
    }

    /// The label of the state over all skills, if there is one.
    pub(super) fn find_state(&self, state: &str) -> Option<LabelId> {
        self.labels.find(Label { state: self.names.find(state)?, skill: None })
    }

    /// How else a row of this label may have been known, before there was room for the label.
    pub(super) fn as_folded(&self, label: LabelId) -> impl Iterator<Item = VisitLabel> {
        let Label { state, skill } = self.labels.label(label);
        let name = |name: Option<NameId>| name.map_or("", |name| &**self.names.value(name));
        let (state, skill) = (name(Some(state)), name(skill));
        let ways = [(state, OTHER), (OTHER, skill), (OTHER, OTHER)];
        ways.into_iter().filter_map(move |(kept_state, kept_skill)| {
            let label = self.find(kept_state, kept_skill)?;
            let folded = folded(kept_state == OTHER, kept_skill == OTHER, state, skill);
            Some(VisitLabel { label, folded }).filter(|_| folded != 0)
        })
    }

    /// Forgets labels, and the names that none uses any more.
    pub(super) fn forget(&mut self, labels: &BTreeSet<LabelId>) {
        let kept = Arc::make_mut(&mut self.labels);
        kept.forget(labels.iter().copied());
        let most_used = 2 * kept.iter().count();
        if self.names.len() > most_used + MOST_UNUSED_NAMES {
            let mut names = Names::default();
            kept.rename(|name| names.intern(self.names.value(name)));
            self.names = Arc::new(names);
        }
    }

    /// Whether series under this label are shown.
    pub(super) fn is_shown(&self, label: LabelId) -> bool {
        self.labels.label(label).skill.is_none() == (self.rules.detail == Detail::Agent)
    }

    /// The label itself, and its state over all skills.
    pub(super) fn groups_of(&self, label: LabelId) -> [LabelId; 2] {
        [label, self.labels.over_skills(label)]
    }

    /// Entries and time by label, sorted by it.
    pub(super) fn tally(&self, spans: &[Span], range: Window) -> Vec<Tally> {
        let by_visit = tally(spans, range, Joined::No, |label| label);
        let mut sums = Vec::with_capacity(by_visit.len());
        for Sum { key, entries, millis } in by_visit {
            sums.push(Tally { label: key.label, entries, millis });
        }
        let over_skills =
            tally(spans, range, self.joined(), |visit| self.labels.over_skills(visit.label));
        sums.extend(over_skills.into_iter().map(|Sum { key, entries, millis }| Tally {
            label: key,
            entries,
            millis,
        }));
        sums.sort_unstable_by_key(|sum| sum.label);
        // Those that only their hashes tell apart are one label's.
        sums.dedup_by(|later, kept| {
            let same = later.label == kept.label;
            if same {
                kept.entries += later.entries;
                kept.millis += later.millis;
            }
            same
        });
        sums
    }

    pub(super) fn starts(&self, spans: &[Span], range: Window) -> Vec<(LabelId, Timestamp, u64)> {
        let by_visit = tally::starts(spans, range, Joined::No, |label| label);
        let mut starts: Vec<(LabelId, Timestamp, u64)> = by_visit
            .into_iter()
            .map(|(visit, start, entries)| (visit.label, start, entries))
            .collect();
        starts.extend(tally::starts(spans, range, self.joined(), |visit| {
            self.labels.over_skills(visit.label)
        }));
        starts
    }

    pub(super) fn spans(&self, timeline: &Timeline, observed: Timestamp) -> Vec<Span> {
        let lasts = if self.rules.rows == RowKind::States {
            Lasts::ToNextStart
        } else {
            Lasts::ToNextState
        };
        let other = self.names.find(OTHER);
        timeline.spans(observed, lasts, |visit| {
            let state = self.labels.label(visit.label).state;
            // States that share the label `other` are different ones all the same.
            (state, if Some(state) == other { visit.folded >> 32 } else { 0 })
        })
    }

    fn joined(&self) -> Joined {
        match self.rules.rows {
            RowKind::Intervals => Joined::Overlapping,
            RowKind::Events | RowKind::States | RowKind::Buckets => Joined::Beginning,
        }
    }
}

fn is_limited_state(state: &str) -> bool {
    state != OTHER
}

fn is_limited_skill(skill: &str) -> bool {
    !skill.is_empty() && skill != OTHER
}

/// What tells visits apart whose label is `other`: of a state, its hash in the upper half, and of a
/// skill alone, all of its hash.
fn folded(state_too: bool, skill_too: bool, state: &str, skill: &str) -> u64 {
    let half = |text| hash_of(text) & 0xffff_ffff;
    match (state_too, skill_too) {
        (true, _) => half(state) << 32 | half(skill) | 1,
        (false, true) => hash_of(skill) | 1,
        (false, false) => 0,
    }
}
