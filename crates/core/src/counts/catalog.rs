//! What the numbers of an agent's record refer to: names, labels and targets; and the rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::label::{LabelId, LabelTable, StateSkill, VisitLabel};
use super::tally::{self, MergeRule, Tally, tally};
use super::target::TargetKeys;
use super::timeline::{ImpliedEnd, Timeline, VisitSpan};
use super::{CountingRules, Detail, RowKind};
use crate::names::{NameId, Names, OTHER, escape_other, hash_of};
use crate::time::{Timestamp, Window};

/// Clones share everything until one of them changes it.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pub(crate) rules: Arc<CountingRules>,
    pub(crate) names: Arc<Names>,
    pub(crate) labels: Arc<LabelTable>,
    pub(super) targets: Arc<TargetKeys>,
}

/// The table of names is rebuilt when forgotten labels leave more unused names than this.
const MAX_UNUSED_NAMES: usize = 1_000;

impl Catalog {
    pub(super) fn new(rules: CountingRules, targets: TargetKeys) -> Self {
        Self {
            rules: Arc::new(rules),
            names: Arc::default(),
            labels: Arc::default(),
            targets: Arc::new(targets),
        }
    }

    /// The label of a state on a skill, added if it is new. Where a limit is reached, `other`
    /// replaces the skill, and with too many states the state as well.
    pub(super) fn intern(&mut self, state: &str, skill: &str) -> VisitLabel {
        let (state, skill) = (&*escape_other(state), &*escape_other(skill));
        if let Some(label) = self.find(state, skill) {
            return label.into();
        }
        let limits = self.rules.labels;
        let fold_state = self.find_state(state).is_none() && self.labels.states >= limits.states;
        let kept_state = if fold_state { OTHER } else { state };
        let fold_skill = !skill.is_empty()
            && self.labels.pairs >= limits.pairs
            && self.find(kept_state, skill).is_none();
        let kept_skill = if fold_skill { OTHER } else { skill };
        let label = self
            .find(kept_state, kept_skill)
            .unwrap_or_else(|| self.insert(kept_state, kept_skill));
        VisitLabel { label, folded: folded(fold_state, fold_skill, state, skill) }
    }

    fn insert(&mut self, state: &str, skill: &str) -> LabelId {
        let names = Arc::make_mut(&mut self.names);
        let is_limited = (is_limited_state(state), is_limited_skill(skill));
        let (state, skill) = (names.intern(state), names.intern(skill));
        Arc::make_mut(&mut self.labels).insert(state, skill, is_limited)
    }

    /// Adds a label from a store. Returns whether the record was valid.
    pub(super) fn restore(
        &mut self,
        id: LabelId,
        state: &str,
        skill: Option<&str>,
        used: Timestamp,
    ) -> bool {
        let is_limited = skill.map_or_else(|| is_limited_state(state), is_limited_skill);
        let names = Arc::make_mut(&mut self.names);
        let state = names.intern(state);
        let label = StateSkill { state, skill: skill.map(|skill| names.intern(skill)) };
        Arc::make_mut(&mut self.labels).restore(id, label, is_limited, used)
    }

    /// The label of the state on the skill, if it has one of its own.
    pub(crate) fn find(&self, state: &str, skill: &str) -> Option<LabelId> {
        let (state, skill) = (self.names.find(state)?, self.names.find(skill)?);
        self.labels.find(StateSkill { state, skill: Some(skill) })
    }

    /// The label of the state over all skills.
    pub(crate) fn find_state(&self, state: &str) -> Option<LabelId> {
        self.labels.find(StateSkill { state: self.names.find(state)?, skill: None })
    }

    /// The labels under which a visit may be known from a time when this label did not fit.
    pub(super) fn as_folded(&self, label: LabelId) -> impl Iterator<Item = VisitLabel> {
        let StateSkill { state, skill } = self.labels.get(label);
        let name = |name: Option<NameId>| name.map_or("", |name| &**self.names.value(name));
        let (state, skill) = (name(Some(state)), name(skill));
        let ways = [(state, OTHER), (OTHER, skill), (OTHER, OTHER)];
        ways.into_iter().filter_map(move |(kept_state, kept_skill)| {
            let label = self.find(kept_state, kept_skill)?;
            let folded = folded(kept_state == OTHER, kept_skill == OTHER, state, skill);
            Some(VisitLabel { label, folded }).filter(|_| folded != 0)
        })
    }

    /// Forgets labels, and names that no label uses any more.
    pub(super) fn forget(&mut self, labels: &BTreeSet<LabelId>) {
        let table = Arc::make_mut(&mut self.labels);
        table.forget(labels.iter().copied());
        let max_used = 2 * table.iter().count();
        if self.names.len() > max_used + MAX_UNUSED_NAMES {
            let mut names = Names::default();
            table.rename(|name| names.intern(self.names.value(name)));
            self.names = Arc::new(names);
        }
    }

    /// Whether an agent's series under this label are shown at this level of detail.
    pub(crate) fn is_shown(&self, label: LabelId) -> bool {
        self.labels.get(label).skill.is_none() == (self.rules.detail == Detail::Agent)
    }

    /// The label itself, and its state over all skills.
    pub(crate) fn groups_of(&self, label: LabelId) -> [LabelId; 2] {
        [label, self.labels.over_skills(label)]
    }

    /// Entries and time by label, in the order of the labels.
    pub(super) fn tally(&self, spans: &[VisitSpan], range: Window) -> Vec<Tally> {
        let by_visit = tally(spans, range, MergeRule::Never, |visit| visit);
        let mut sums: Vec<Tally> = by_visit
            .into_iter()
            .map(|Tally { key, entries, millis }| Tally { key: key.label, entries, millis })
            .collect();
        sums.extend(tally(spans, range, self.merge_rule(), |visit| {
            self.labels.over_skills(visit.label)
        }));
        sums.sort_unstable_by_key(|sum| sum.key);
        // Visits that only a hash distinguishes share the label `other`.
        sums.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                kept.entries += later.entries;
                kept.millis += later.millis;
            }
            same
        });
        sums
    }

    /// Entries within `range`: label, time and number.
    pub(super) fn starts(
        &self,
        spans: &[VisitSpan],
        range: Window,
    ) -> Vec<(LabelId, Timestamp, u64)> {
        let mut starts = tally::starts(spans, range, self.merge_rule(), |visit| {
            self.labels.over_skills(visit.label)
        });
        let by_visit = tally::starts(spans, range, MergeRule::Never, |visit| visit);
        starts.extend(
            by_visit.into_iter().map(|(visit, start, entries)| (visit.label, start, entries)),
        );
        starts
    }

    pub(super) fn spans(&self, timeline: &Timeline, observed: Timestamp) -> Vec<VisitSpan> {
        let end_at = if self.rules.rows == RowKind::States {
            ImpliedEnd::NextStart
        } else {
            ImpliedEnd::NextState
        };
        let other = self.names.find(OTHER);
        timeline.spans(observed, end_at, |visit| {
            let state = self.labels.get(visit.label).state;
            // States that share the name `other` are different ones all the same.
            (state, if Some(state) == other { visit.folded >> 32 } else { 0 })
        })
    }

    fn merge_rule(&self) -> MergeRule {
        match self.rules.rows {
            RowKind::Intervals => MergeRule::Overlapping,
            RowKind::Events | RowKind::States | RowKind::Buckets => MergeRule::SameStart,
        }
    }
}

fn is_limited_state(state: &str) -> bool {
    state != OTHER
}

fn is_limited_skill(skill: &str) -> bool {
    !skill.is_empty() && skill != OTHER
}

/// The hash of [`VisitLabel`]: of a folded state in the upper 32 bits, so that states are
/// distinguishable as well; where only the skill is folded, all 64 bits are the skill's.
fn folded(fold_state: bool, fold_skill: bool, state: &str, skill: &str) -> u64 {
    let low = |text| hash_of(text) & 0xffff_ffff;
    match (fold_state, fold_skill) {
        (true, _) => low(state) << 32 | low(skill) | 1,
        (false, true) => hash_of(skill) | 1,
        (false, false) => 0,
    }
}
