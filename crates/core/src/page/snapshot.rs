//! All that one `/metrics` may say of the contact centre, as plain sorted data.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::counts::{Fingerprint, VISIT_BUCKETS, VisitDurations};
use crate::live::{Feed, SkillSeries, TeamAgents};
use crate::names::LabelSets;
use crate::time::Timestamp;

/// The state of the floor and of its counters at one moment. Every list but the agents' is sorted
/// by its labels and has no two equal ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The agents whose series are shown, each once; empty with `metrics.detail: aggregate`.
    pub shards: Vec<Shard>,
    /// `cxone_agents_seen`.
    pub agents_seen: u64,
    /// `cxone_agents` by state: every known state, at 0 too.
    pub state_agents: Vec<(Arc<str>, u64)>,
    /// `cxone_agents_over_limit` by state: every state with a limit, at 0 too.
    pub over_limit: Vec<(Arc<str>, u64)>,
    /// `cxone_state_duration_limit_seconds` by state.
    pub limits: Vec<(Arc<str>, Duration)>,
    /// `cxone_skill_agents` by (skill, state).
    pub skill_agents: Vec<SkillAgents>,
    /// `cxone_state_*_total` and the histogram of visits, by (state, skill).
    pub states: Vec<StateSeries>,
    /// `cxone_state_agent_seconds_total` by state, in milliseconds: every known state.
    pub state_millis: Vec<(Arc<str>, u64)>,
    /// The targets, sorted by name.
    pub targets: Vec<TargetSeries>,
    /// What comes from the live feeds beside the agents; `None` where there are none.
    pub live: Option<LiveSeries>,
    /// `cxone_data_watermark_timestamp_seconds`; `None` until there is one.
    pub data_watermark: Option<Timestamp>,
    /// `cxone_exporter_series_limit`: how many agent series are allowed.
    pub series_limit: u64,
    /// `cxone_exporter_series_dropped`: agent series that the limit left out.
    pub series_dropped: u64,
    /// How near the labels are to their limits.
    pub label_sets: Vec<LabelSets>,
}

impl Snapshot {
    /// Number of its series.
    #[must_use]
    pub fn series(&self) -> u64 {
        let agents: u64 = self.shards.iter().map(|shard| shard.series).sum();
        let targets = self.targets.iter().map(|target| {
            1 + u64::from(target.last_success.is_some())
                + u64::from(target.watermark.is_some())
                + u64::from(target.epoch.is_some())
        });
        let lists = [
            self.state_agents.len(),
            self.over_limit.len(),
            self.limits.len(),
            self.skill_agents.len(),
            self.state_millis.len(),
        ];
        let lists: u64 = lists.into_iter().map(count).sum();
        // Each histogram has its buckets, the one of all, a sum and a count; beside it stand two
        // counters.
        let states = count(self.states.len()) * (count(VISIT_BUCKETS.len()) + 5);
        let live = self.live.as_ref().map_or(0, LiveSeries::series);
        agents
            + targets.sum::<u64>()
            + lists
            + states
            + live
            + 1
            + u64::from(self.data_watermark.is_some())
    }

    /// The agents that it contains, in the order of the page.
    pub fn agents(&self) -> impl Iterator<Item = AgentSeries> {
        self.shards.iter().filter_map(|shard| shard.agents.as_ref()).flat_map(Agents::series)
    }

    /// The fingerprints of its shards.
    #[must_use]
    pub fn fingerprints(&self) -> HashSet<Fingerprint> {
        self.shards
            .iter()
            .flat_map(|shard| [shard.fingerprint, shard.observed_fingerprint])
            .collect()
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Agents whose series are next to each other on the page, in the order of their ids: those that a
/// report is likely to change together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Within a process, shards with the same one have the same series, but for the observed times.
    pub fingerprint: Fingerprint,
    /// Shards with the same one have the same observed times. These are separate because a live poll
    /// changes all of them, and as a rule little else.
    pub observed_fingerprint: Fingerprint,
    /// Number of its series.
    pub series: u64,
    /// `None` when they were published before.
    pub agents: Option<Agents>,
    /// Each agent's `cxone_agent_observed_timestamp_seconds`, those without one left out; `None` as
    /// above.
    pub observed: Option<Vec<(Arc<str>, Timestamp)>>,
}

impl Shard {
    /// A shard of these agents, known by all that they show.
    #[must_use]
    pub fn of(agents: Vec<AgentSeries>) -> Self {
        let observed: Vec<(Arc<str>, Timestamp)> = agents
            .iter()
            .filter_map(|agent| Some((Arc::clone(&agent.agent), agent.observed?)))
            .collect();
        Self {
            fingerprint: Fingerprint::of(&agents),
            series: agents.iter().map(AgentSeries::series).sum(),
            agents: Some(Agents::of(agents)),
            ..Self::observed(observed, &HashSet::new())
        }
    }

    /// A shard with these observed times and nothing else; without these, if they are `known`.
    #[must_use]
    pub fn observed(observed: Vec<(Arc<str>, Timestamp)>, known: &HashSet<Fingerprint>) -> Self {
        // The prefix separates it from the fingerprints of shards with agents.
        let fingerprint = Fingerprint::of(&("observed", &observed));
        let observed = (!known.contains(&fingerprint)).then_some(observed);
        Self {
            fingerprint,
            observed_fingerprint: fingerprint,
            series: 0,
            agents: Some(Agents::of(Vec::new())),
            observed,
        }
    }
}

/// The agents of a shard. Their series are made on demand: those of all shards together would take
/// more memory than everything else.
#[derive(Clone)]
pub struct Agents(Arc<dyn Fn() -> Vec<AgentSeries> + Send + Sync>);

impl Agents {
    /// These agents.
    #[must_use]
    pub fn of(agents: Vec<AgentSeries>) -> Self {
        Self::made_by(move || agents.clone())
    }

    /// The agents that `make` makes, the same ones each time.
    pub fn made_by(make: impl Fn() -> Vec<AgentSeries> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// Their series, in the order of the page.
    #[must_use]
    pub fn series(&self) -> Vec<AgentSeries> {
        (self.0)()
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.series()).finish()
    }
}

impl PartialEq for Agents {
    fn eq(&self, other: &Self) -> bool {
        self.series() == other.series()
    }
}

impl Eq for Agents {}

/// One agent's series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentSeries {
    /// The label `agent`.
    pub agent: Arc<str>,
    /// The label `agent_name` of `cxone_agent_info`; `None` when it is not wanted, not known or
    /// stale.
    pub agent_name: Option<Arc<str>>,
    /// `cxone_agent_observed_timestamp_seconds`; `None` when stale.
    pub observed: Option<Timestamp>,
    /// By (state, skill).
    pub labels: Vec<LabelSeries>,
    /// `cxone_agent_seconds_total` by state, in milliseconds.
    pub states: Vec<(Arc<str>, u64)>,
    /// The live state, where it holds: then none of `labels` has a start.
    pub live: Option<LiveStart>,
}

impl AgentSeries {
    /// How many series it has.
    #[must_use]
    pub fn series(&self) -> u64 {
        let labels = self.labels.iter().map(|label| {
            2 + u64::from(label.start.is_some()) + u64::from(label.window_entries.is_some())
        });
        let agent = [self.observed.is_some(), self.agent_name.is_some(), self.live.is_some()];
        labels.sum::<u64>()
            + count(self.states.len())
            + agent.into_iter().map(u64::from).sum::<u64>()
    }
}

/// `cxone_agent_state_start_timestamp_seconds` as the live feed reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LiveStart {
    /// The label `state`.
    pub state: Arc<str>,
    /// The label `skill`; empty when none.
    pub skill: Arc<str>,
    /// When the agent entered the state.
    pub start: Timestamp,
}

/// The series of one agent, state and skill.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelSeries {
    /// The label `state`.
    pub state: Arc<str>,
    /// The label `skill`; empty when none.
    pub skill: Arc<str>,
    /// `cxone_agent_state_start_timestamp_seconds`; `None` when the agent is not in it now.
    pub start: Option<Timestamp>,
    /// `cxone_agent_state_window_entries`; `None` when stale.
    pub window_entries: Option<u64>,
    /// `cxone_agent_state_entries_total`.
    pub entries: u64,
    /// `cxone_agent_state_seconds_total`, in milliseconds.
    pub millis: u64,
}

/// `cxone_skill_agents` of one skill and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillAgents {
    /// The label `skill`; empty when none.
    pub skill: Arc<str>,
    /// The label `state`.
    pub state: Arc<str>,
    /// How many agents.
    pub agents: u64,
}

/// What all agents did in one state and skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSeries {
    /// The label `state`.
    pub state: Arc<str>,
    /// The label `skill`; empty when none.
    pub skill: Arc<str>,
    /// `cxone_state_entries_total`.
    pub entries: u64,
    /// `cxone_state_seconds_total`, in milliseconds.
    pub millis: u64,
    /// `cxone_state_visit_duration_seconds`.
    pub visits: VisitDurations,
}

/// The series of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSeries {
    /// The label `target`.
    pub target: Arc<str>,
    /// `cxone_target_up`.
    pub up: bool,
    /// `cxone_target_last_success_timestamp_seconds`.
    pub last_success: Option<Timestamp>,
    /// `cxone_target_watermark_timestamp_seconds`.
    pub watermark: Option<Timestamp>,
    /// `cxone_target_epoch_timestamp_seconds`.
    pub epoch: Option<Timestamp>,
}

/// What comes from the live feeds beside the agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSeries {
    /// How each feed is doing.
    pub feeds: Vec<FeedSeries>,
    /// `cxone_unavailable_agents` by reason.
    pub unavailable: Vec<(Arc<str>, u64)>,
    /// `cxone_team_agents` by (team, state).
    pub teams: Vec<TeamAgents>,
    /// What the skills are doing, by name.
    pub skills: Vec<SkillSeries>,
    /// How near its labels are to their limits.
    pub label_sets: Vec<LabelSets>,
}

impl LiveSeries {
    fn series(&self) -> u64 {
        let feeds = self.feeds.iter().map(|feed| 1 + u64::from(feed.last_success.is_some()));
        let skills = self.skills.iter().map(SkillSeries::series);
        feeds.sum::<u64>()
            + skills.sum::<u64>()
            + count(self.unavailable.len())
            + count(self.teams.len())
    }
}

/// The series of one live feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSeries {
    /// The label `feed`.
    pub feed: Feed,
    /// `cxone_live_up`.
    pub up: bool,
    /// `cxone_live_last_success_timestamp_seconds`.
    pub last_success: Option<Timestamp>,
}
