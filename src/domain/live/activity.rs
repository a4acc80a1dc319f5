//! What skills are doing: their queues, agents and service levels.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::names::label_value;
use crate::domain::snapshot::SkillSeries;
use crate::domain::time::Timestamp;

/// Skills past so many are left out.
const MAX_SKILLS: usize = 5_000;

/// What agents of a skill are doing, as CXone counts them: the label `activity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// `agentsACW`: after a contact.
    Acw,
    /// `agentsAvailable`.
    Available,
    /// `agentsIdle`.
    Idle,
    /// `agentsLoggedIn`: all of them.
    LoggedIn,
    /// `agentsUnavailable`.
    Unavailable,
    /// `agentsWorking`.
    Working,
}

impl Activity {
    /// Every activity, in the order of its label values.
    pub const ALL: [Self; 6] =
        [Self::Acw, Self::Available, Self::Idle, Self::LoggedIn, Self::Unavailable, Self::Working];

    /// The value of the label `activity`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acw => "acw",
            Self::Available => "available",
            Self::Idle => "idle",
            Self::LoggedIn => "logged_in",
            Self::Unavailable => "unavailable",
            Self::Working => "working",
        }
    }
}

/// One skill in CXone's list; `None` is what it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkillRow {
    /// The skill's name.
    pub skill: String,
    /// Contacts in its queue.
    pub queue: Option<u64>,
    /// Since when the one that waits longest does.
    pub oldest: Option<Timestamp>,
    /// Agents by activity, in the order of [`Activity::ALL`].
    pub agents: [Option<u64>; Activity::ALL.len()],
    /// Contacts that were answered within the service level.
    pub inside: Option<u64>,
    /// Contacts that were not.
    pub outside: Option<u64>,
    /// The service level, in thousandths.
    pub level: Option<u64>,
    /// The goal of it, in thousandths.
    pub goal: Option<u64>,
}

/// The newest list of skills.
#[derive(Clone, Debug, Default)]
pub struct Skills {
    skills: BTreeMap<Arc<str>, SkillSeries>,
    left_out: u64,
    stale: bool,
}

impl Skills {
    /// The whole list. Skills of one name are added up; the worst of their service levels and the
    /// oldest of their contacts stand.
    pub fn replace(&mut self, rows: Vec<SkillRow>) {
        let mut skills: BTreeMap<Arc<str>, SkillSeries> = BTreeMap::new();
        for row in rows {
            let skill: Arc<str> = Arc::from(label_value(&row.skill));
            let known = skills
                .entry(Arc::clone(&skill))
                .or_insert_with(|| SkillSeries { skill, ..SkillSeries::default() });
            known.queue = sum(known.queue, row.queue);
            known.oldest = known.oldest.into_iter().chain(row.oldest).min();
            known.agents = std::array::from_fn(|place| sum(known.agents[place], row.agents[place]));
            known.inside = sum(known.inside, row.inside);
            known.outside = sum(known.outside, row.outside);
            known.level = known.level.into_iter().chain(row.level).min();
            known.goal = known.goal.into_iter().chain(row.goal).max();
        }
        self.left_out = 0;
        while skills.len() > MAX_SKILLS {
            self.left_out += skills.pop_last().map_or(0, |(_, skill)| skill.series());
        }
        self.skills = skills;
    }

    /// Whether the list is too old to be shown. Returns whether that is news.
    pub fn set_stale(&mut self, stale: bool) -> bool {
        std::mem::replace(&mut self.stale, stale) != stale
    }

    /// The skills by name; none when stale.
    #[must_use]
    pub fn series(&self) -> Vec<SkillSeries> {
        if self.stale { Vec::new() } else { self.skills.values().cloned().collect() }
    }

    /// How many series the limit on skills left out.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        if self.stale { 0 } else { self.left_out }
    }
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}
