//! The pairs of state and skill that label series, and the limits on their number.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::NameId;
use crate::time::Timestamp;

/// A label, by its number in the [`LabelTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct LabelId(u32);

impl LabelId {
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What identifies an agent's visit beside its start: its label and, where that is `other`, a hash
/// of the row's own names. So visits to different skills stay different visits although they share
/// a label, and the sums of `other` are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VisitLabel {
    pub(super) label: LabelId,
    /// 0 where the label has the row's own names.
    pub(super) folded: u64,
}

impl From<LabelId> for VisitLabel {
    fn from(label: LabelId) -> Self {
        Self { label, folded: 0 }
    }
}

/// One integer of variable length: without a hash it takes no more bytes than the label's number.
impl Serialize for VisitLabel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u128(u128::from(self.folded) << 32 | u128::from(self.label.0))
    }
}

impl<'de> Deserialize<'de> for VisitLabel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u128::deserialize(deserializer)?;
        let folded = u64::try_from(number >> 32).map_err(serde::de::Error::custom)?;
        let label = u32::try_from(number & u128::from(u32::MAX)).expect("the rest was cut off");
        Ok(Self { label: LabelId(label), folded })
    }
}

/// Maximum number of states, and of pairs of state and skill, with series of their own. What
/// exceeds a limit counts as `other`. A state without a skill, and `other` itself, always fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLimits {
    /// States.
    pub states: usize,
    /// Pairs of state and skill.
    pub pairs: usize,
}

impl LabelLimits {
    /// The limits for `metrics.max_series`: pairs, at 20 series each, may take half of it.
    #[must_use]
    pub fn of(max_series: u64) -> Self {
        let within = |share: u64, least, most| {
            usize::try_from((max_series / share).clamp(least, most)).expect("small")
        };
        Self { states: within(1_000, 50, 200), pairs: within(40, 100, 50_000) }
    }
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self::of(200_000)
    }
}

/// A state, on one skill or over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StateSkill {
    pub(crate) state: NameId,
    /// `None`: the state over all skills, for series that have no label `skill`.
    pub(crate) skill: Option<NameId>,
}

/// A label in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LabelEntry {
    pub(super) label: StateSkill,
    over_skills: LabelId,
    /// Whether it counts towards a limit.
    is_limited: bool,
    /// Event time at which a report last used it, to the hour.
    pub(super) used: Timestamp,
}

/// The labels in use, each once, and for each its state over all skills.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelTable {
    by_label: HashMap<StateSkill, LabelId>,
    /// By number. `None` where a label was forgotten: the next new one gets its number.
    entries: Vec<Option<LabelEntry>>,
    free: usize,
    /// Number of states, and of pairs, that count towards the limits.
    pub(crate) states: usize,
    pub(crate) pairs: usize,
    /// How often labels were forgotten: from then on their numbers may mean something else.
    pub(crate) generation: u32,
}

impl LabelTable {
    pub(crate) fn find(&self, label: StateSkill) -> Option<LabelId> {
        self.by_label.get(&label).copied()
    }

    /// Adds a pair that is not in the table. `is_limited` says whether the state, and the pair,
    /// count towards the limits.
    pub(super) fn insert(
        &mut self,
        state: NameId,
        skill: NameId,
        is_limited: (bool, bool),
    ) -> LabelId {
        let over_skills = StateSkill { state, skill: None };
        let over_id =
            self.find(over_skills).unwrap_or_else(|| self.add(over_skills, None, is_limited.0));
        self.add(StateSkill { state, skill: Some(skill) }, Some(over_id), is_limited.1)
    }

    fn add(&mut self, label: StateSkill, over: Option<LabelId>, is_limited: bool) -> LabelId {
        let free = (self.free > 0).then(|| self.entries.iter().position(Option::is_none)).flatten();
        let index = free.unwrap_or(self.entries.len());
        let id = LabelId(u32::try_from(index).expect("limited to far fewer"));
        let over_skills = over.unwrap_or(id);
        self.put(id, LabelEntry { label, over_skills, is_limited, used: Timestamp::MIN });
        id
    }

    fn put(&mut self, id: LabelId, entry: LabelEntry) {
        if id.index() < self.entries.len() {
            self.free -= 1;
        } else {
            self.free += id.index() - self.entries.len();
            self.entries.resize(id.index() + 1, None);
        }
        self.entries[id.index()] = Some(entry);
        self.by_label.insert(entry.label, id);
        *self.counter(entry.label) += usize::from(entry.is_limited);
    }

    fn counter(&mut self, label: StateSkill) -> &mut usize {
        if label.skill.is_some() { &mut self.pairs } else { &mut self.states }
    }

    /// Adds a label from a store, a state over all skills before its pairs. Returns whether the
    /// record was valid.
    pub(super) fn restore(
        &mut self,
        id: LabelId,
        label: StateSkill,
        is_limited: bool,
        used: Timestamp,
    ) -> bool {
        let over = match label.skill {
            Some(_) => self.find(StateSkill { skill: None, ..label }),
            None => Some(id),
        };
        let is_new = self.entry(id).is_none() && self.find(label).is_none();
        // Bounded, so that a damaged number does not allocate gigabytes.
        let Some(over_skills) = over.filter(|_| is_new && id.0 < MAX_NUMBER) else { return false };
        self.put(id, LabelEntry { label, over_skills, is_limited, used });
        true
    }

    /// `None` where there is no label of this number.
    pub(super) fn entry(&self, id: LabelId) -> Option<&LabelEntry> {
        self.entries.get(id.index())?.as_ref()
    }

    fn known(&self, id: LabelId) -> &LabelEntry {
        self.entry(id).expect("a label is only forgotten once nothing refers to it")
    }

    pub(crate) fn get(&self, id: LabelId) -> StateSkill {
        self.known(id).label
    }

    /// The state of the label over all skills.
    pub(super) fn over_skills(&self, id: LabelId) -> LabelId {
        self.known(id).over_skills
    }

    /// When a report last used the label.
    pub(super) fn used(&self, id: LabelId) -> Timestamp {
        self.known(id).used
    }

    /// A report used the label, and so its state over all skills.
    pub(super) fn use_at(&mut self, id: LabelId, time: Timestamp) {
        for id in [id, self.over_skills(id)] {
            if let Some(Some(entry)) = self.entries.get_mut(id.index()) {
                entry.used = entry.used.max(time);
            }
        }
    }

    /// Forgets labels, to which nothing may refer any more.
    pub(super) fn forget(&mut self, ids: impl Iterator<Item = LabelId>) {
        for id in ids {
            if let Some(entry) = self.entries[id.index()].take() {
                self.by_label.remove(&entry.label);
                self.free += 1;
                *self.counter(entry.label) -= usize::from(entry.is_limited);
            }
        }
        self.generation += 1;
    }

    /// Replaces the names that the labels use.
    pub(super) fn rename(&mut self, mut name: impl FnMut(NameId) -> NameId) {
        self.by_label.clear();
        for (id, entry) in (0..).map(LabelId).zip(&mut self.entries) {
            if let Some(LabelEntry { label, .. }) = entry {
                *label = StateSkill { state: name(label.state), skill: label.skill.map(&mut name) };
                self.by_label.insert(*label, id);
            }
        }
    }

    /// One more than the highest number, including those of forgotten labels.
    pub(super) fn numbers(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("limited to far fewer")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LabelId, StateSkill)> + '_ {
        let entries = (0..).map(LabelId).zip(&self.entries);
        entries.filter_map(|(id, entry)| Some((id, entry.as_ref()?.label)))
    }
}

/// More than any limits allow.
const MAX_NUMBER: u32 = 1 << 24;
