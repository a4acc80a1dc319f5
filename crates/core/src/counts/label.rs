//! The pairs of state and skill that series are labelled with, and the limits on them.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::NameId;
use crate::time::Timestamp;

/// A pair's place in its [`Labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct LabelId(u32);

impl LabelId {
    /// The place as a number.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The place with this number.
    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an agent's visit is known by: its label and, where that is `other`, a hash of the names
/// that the row had. So visits to different skills stay different visits although they share a
/// label, and the sums of `other` are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VisitLabel {
    pub(super) label: LabelId,
    /// 0 for a label of its own.
    pub(super) folded: u64,
}

impl From<LabelId> for VisitLabel {
    fn from(label: LabelId) -> Self {
        Self { label, folded: 0 }
    }
}

/// As one integer of variable length: a label of its own takes as much room as its number.
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

/// How many states, and pairs of state and skill, may have series of their own. What is over a
/// limit counts as `other`. A state without a skill, and its `other`, are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLimits {
    /// States.
    pub states: usize,
    /// Pairs of state and skill.
    pub pairs: usize,
}

impl LabelLimits {
    /// The limits that go with `metrics.max_series`: pairs, at 20 series each, take up half of it.
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
pub(super) struct Label {
    pub(super) state: NameId,
    /// `None`: the state over all skills, for series that do not tell skills apart.
    pub(super) skill: Option<NameId>,
}

/// A label that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    label: Label,
    over_skills: LabelId,
    /// Whether a limit counts it.
    is_limited: bool,
    /// Event time at which a report last used it, to the hour.
    used: Timestamp,
}

/// The labels in use, each kept once, and beside it its state over all skills.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    by_label: HashMap<Label, LabelId>,
    /// `None` where one was forgotten: its place is the next new one's.
    labels: Vec<Option<Known>>,
    holes: usize,
    /// How many states and pairs the limits count.
    pub(super) states: usize,
    pub(super) pairs: usize,
    /// How often places were given up: from then on they may mean something else.
    pub(super) given_up: u32,
}

impl Labels {
    /// The place of `label`, if it is known.
    pub(super) fn find(&self, label: Label) -> Option<LabelId> {
        self.by_label.get(&label).copied()
    }

    /// Takes in the state on the skill, which is not known. The flags: whether the limits count
    /// the state, and the pair.
    pub(super) fn insert(
        &mut self,
        state: NameId,
        skill: NameId,
        is_limited: (bool, bool),
    ) -> LabelId {
        let over_skills = Label { state, skill: None };
        let over_id =
            self.find(over_skills).unwrap_or_else(|| self.place(over_skills, None, is_limited.0));
        self.place(Label { state, skill: Some(skill) }, Some(over_id), is_limited.1)
    }

    fn place(&mut self, label: Label, over: Option<LabelId>, is_limited: bool) -> LabelId {
        let hole = (self.holes > 0).then(|| self.labels.iter().position(Option::is_none)).flatten();
        let index = hole.unwrap_or(self.labels.len());
        let id = LabelId(u32::try_from(index).expect("limited to far fewer"));
        self.put(id, label, over.unwrap_or(id), is_limited, Timestamp::MIN);
        id
    }

    fn put(
        &mut self,
        id: LabelId,
        label: Label,
        over_skills: LabelId,
        is_limited: bool,
        used: Timestamp,
    ) {
        if id.index() < self.labels.len() {
            self.holes -= 1;
        } else {
            self.holes += id.index() - self.labels.len();
            self.labels.resize(id.index() + 1, None);
        }
        self.labels[id.index()] = Some(Known { label, over_skills, is_limited, used });
        self.by_label.insert(label, id);
        *self.counter(label) += usize::from(is_limited);
    }

    fn counter(&mut self, label: Label) -> &mut usize {
        if label.skill.is_some() { &mut self.pairs } else { &mut self.states }
    }

    /// Takes in a label from a store. A state over all skills comes before its labels. Whether
    /// that makes sense.
    pub(super) fn restore(
        &mut self,
        id: LabelId,
        label: Label,
        is_limited: bool,
        used: Timestamp,
    ) -> bool {
        let over = match label.skill {
            Some(_) => self.find(Label { skill: None, ..label }),
            None => Some(id),
        };
        let is_new = !self.knows(id) && self.find(label).is_none();
        // As many places as a store could hold with sense: a damaged number takes no memory.
        let Some(over) = over.filter(|_| is_new && id.0 < MOST_PLACES) else { return false };
        self.put(id, label, over, is_limited, used);
        true
    }

    /// Whether there is a label at `id`.
    pub(super) fn knows(&self, id: LabelId) -> bool {
        self.labels.get(id.index()).is_some_and(Option::is_some)
    }

    fn known(&self, id: LabelId) -> &Known {
        self.labels[id.index()].as_ref().expect("a label that something names is not forgotten")
    }

    pub(super) fn label(&self, id: LabelId) -> Label {
        self.known(id).label
    }

    /// The state over all skills of the label at `id`.
    pub(super) fn over_skills(&self, id: LabelId) -> LabelId {
        self.known(id).over_skills
    }

    /// When a report last used the label.
    pub(super) fn used(&self, id: LabelId) -> Timestamp {
        self.known(id).used
    }

    /// A report used the label, and its state.
    pub(super) fn use_at(&mut self, id: LabelId, time: Timestamp) {
        let over = self.over_skills(id);
        for id in [id, over] {
            if let Some(Some(known)) = self.labels.get_mut(id.index()) {
                known.used = known.used.max(time);
            }
        }
    }

    /// Forgets the labels, which nothing names any more.
    pub(super) fn forget(&mut self, ids: impl Iterator<Item = LabelId>) {
        for id in ids {
            if let Some(known) = self.labels[id.index()].take() {
                self.by_label.remove(&known.label);
                self.holes += 1;
                *self.counter(known.label) -= usize::from(known.is_limited);
            }
        }
        self.given_up += 1;
    }

    /// Puts other names in the place of those that it uses.
    pub(super) fn rename(&mut self, mut name: impl FnMut(NameId) -> NameId) {
        self.by_label.clear();
        for (id, known) in (0..).map(LabelId).zip(&mut self.labels) {
            if let Some(Known { label, .. }) = known {
                *label = Label { state: name(label.state), skill: label.skill.map(&mut name) };
                self.by_label.insert(*label, id);
            }
        }
    }

    /// How many places there are, those of forgotten labels included.
    pub(super) fn places(&self) -> u32 {
        u32::try_from(self.labels.len()).expect("limited to far fewer")
    }

    /// The label at the place with this number, and when it was last used.
    pub(super) fn at(&self, number: u32) -> Option<(Label, Timestamp)> {
        let known = self.labels.get(LabelId(number).index())?.as_ref()?;
        Some((known.label, known.used))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LabelId, Label)> + '_ {
        let places = (0..).map(LabelId).zip(&self.labels);
        places.filter_map(|(id, known)| Some((id, known.as_ref()?.label)))
    }
}

/// More places than any limits make.
const MOST_PLACES: u32 = 1 << 24;
