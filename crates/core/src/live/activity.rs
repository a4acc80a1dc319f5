//! What skills are doing: their queues, agents and service levels.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::names::{LabelSets, OTHER, escape_other, label_value};
use crate::time::Timestamp;

/// Beyond this many, skills are added up as `other`.
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

/// One skill in CXone's list; `None` is what it does not report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkillRow {
    /// The skill's name.
    pub skill: String,
    /// Contacts in its queue.
    pub queue: Option<u64>,
    /// Since when the longest-waiting contact has waited.
    pub oldest: Option<Timestamp>,
    /// Agents by activity, in the order of [`Activity::ALL`].
    pub agents: [Option<u64>; Activity::ALL.len()],
    /// Contacts that were answered within the service level.
    pub inside: Option<u64>,
    /// Contacts that were not answered within the service level.
    pub outside: Option<u64>,
    /// The service level, in thousandths.
    pub level: Option<u64>,
    /// The goal of it, in thousandths.
    pub goal: Option<u64>,
}

/// The series of one skill's activity; `None` where CXone reports none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkillSeries {
    /// The label `skill`.
    pub skill: Arc<str>,
    /// `cxone_skill_queue_contacts`.
    pub queue: Option<u64>,
    /// `cxone_skill_queue_oldest_timestamp_seconds`.
    pub oldest: Option<Timestamp>,
    /// `cxone_skill_activity_agents`, in the order of [`Activity::ALL`].
    pub agents: [Option<u64>; Activity::ALL.len()],
    /// `cxone_skill_service_level_contacts` that were answered within it.
    pub inside: Option<u64>,
    /// Those that were not.
    pub outside: Option<u64>,
    /// `cxone_skill_service_level_ratio`, in thousandths.
    pub level: Option<u64>,
    /// `cxone_skill_service_level_goal_ratio`, in thousandths.
    pub goal: Option<u64>,
}

impl SkillSeries {
    /// How many series it has.
    #[must_use]
    pub fn series(&self) -> u64 {
        let numbers = [self.queue, self.inside, self.outside, self.level, self.goal];
        let numbers = numbers.iter().chain(&self.agents).flatten().count();
        u64::try_from(numbers).unwrap_or(u64::MAX) + u64::from(self.oldest.is_some())
    }
}

/// The newest list of skills.
#[derive(Clone, Debug, Default)]
pub struct Skills {
    skills: BTreeMap<Arc<str>, SkillSeries>,
    /// How many are added up as `other`.
    over_limit: usize,
    stale: bool,
}

impl Skills {
    /// Takes the whole list. Skills of one name are added up, with the lowest of their service levels
    /// and the oldest of their contacts.
    pub fn replace(&mut self, rows: Vec<SkillRow>) {
        let mut skills: BTreeMap<Arc<str>, SkillSeries> = BTreeMap::new();
        for row in rows {
            let skill: Arc<str> = Arc::from(escape_other(&label_value(&row.skill)));
            let SkillRow { queue, oldest, agents, inside, outside, level, goal, .. } = row;
            let series = SkillSeries {
                skill: Arc::clone(&skill),
                queue,
                oldest,
                agents,
                inside,
                outside,
                level,
                goal,
            };
            add(skills.entry(skill), series);
        }
        self.over_limit = skills.len().saturating_sub(MAX_SKILLS);
        let over: Vec<SkillSeries> =
            (0..self.over_limit).filter_map(|_| Some(skills.pop_last()?.1)).collect();
        for skill in over {
            let other = Arc::<str>::from(OTHER);
            add(skills.entry(Arc::clone(&other)), SkillSeries { skill: other, ..skill });
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

    /// How near the skills are to their limit.
    #[must_use]
    pub fn label_sets(&self) -> LabelSets {
        let own = self.skills.len() - usize::from(self.over_limit > 0);
        LabelSets::new("activity_skill", own, MAX_SKILLS, self.over_limit)
    }
}

fn add(known: Entry<'_, Arc<str>, SkillSeries>, other: SkillSeries) {
    let Entry::Occupied(mut known) = known else {
        known.or_insert(other);
        return;
    };
    let known = known.get_mut();
    known.queue = sum(known.queue, other.queue);
    known.oldest = known.oldest.into_iter().chain(other.oldest).min();
    known.agents = std::array::from_fn(|index| sum(known.agents[index], other.agents[index]));
    known.inside = sum(known.inside, other.inside);
    known.outside = sum(known.outside, other.outside);
    known.level = known.level.into_iter().chain(other.level).min();
    known.goal = known.goal.into_iter().chain(other.goal).max();
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}
