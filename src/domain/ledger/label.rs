//! The pairs of state and skill that series are labelled with.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::names::NameId;

/// A pair's place in its [`Labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct LabelId(u32);

impl LabelId {
    /// The place as a number.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The place that `number` tells.
    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// A state, on one skill or over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label {
    pub(super) state: NameId,
    /// `None`: the state over all skills, for series that do not tell skills apart.
    pub(super) skill: Option<NameId>,
}

/// Every label that a report ever told, each kept once, and beside it its state over all skills.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    by_label: HashMap<Label, LabelId>,
    labels: Vec<Label>,
    over_skills: Vec<LabelId>,
}

impl Labels {
    /// The place of the state on the skill, which is taken in if it is new.
    pub(super) fn intern(&mut self, state: NameId, skill: NameId) -> LabelId {
        let over_skills = Label { state, skill: None };
        let over_id = self.place(over_skills, None);
        self.place(Label { state, skill: Some(skill) }, Some(over_id))
    }

    fn place(&mut self, label: Label, over_skills: Option<LabelId>) -> LabelId {
        *self.by_label.entry(label).or_insert_with(|| {
            let id = LabelId(
                u32::try_from(self.labels.len()).expect("fewer labels than pairs of names"),
            );
            self.labels.push(label);
            self.over_skills.push(over_skills.unwrap_or(id));
            id
        })
    }

    /// The place of a label read back from a store, in the order of their places. A state over all
    /// skills comes before its labels.
    pub(super) fn restore(&mut self, label: Label) -> LabelId {
        match label.skill {
            Some(skill) => self.intern(label.state, skill),
            None => self.place(label, None),
        }
    }

    /// Whether there is a label at `id`.
    pub(super) fn knows(&self, id: LabelId) -> bool {
        usize::try_from(id.0).is_ok_and(|place| place < self.labels.len())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Forgets all but the first `length`.
    pub(super) fn truncate(&mut self, length: usize) {
        for label in self.labels.drain(length.min(self.labels.len())..) {
            self.by_label.remove(&label);
        }
        self.over_skills.truncate(length);
    }

    pub(super) fn label(&self, id: LabelId) -> Label {
        self.labels[id.0 as usize]
    }

    /// The state over all skills of the label at `id`.
    pub(super) fn over_skills(&self, id: LabelId) -> LabelId {
        self.over_skills[id.0 as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LabelId, Label)> + '_ {
        (0..).map(LabelId).zip(self.labels.iter().copied())
    }
}
