//! What the ledger shows: the floor (who is where now, since when) and the counts, as a snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::agent::{Agent, View};
use super::label::LabelId;
use super::overlay::{Lived, Overlay};
use super::shards::{Shown, shards};
use super::{Detail, Ledger, view};
use crate::domain::live::Live;
use crate::domain::names::NameId;
use crate::domain::snapshot::{AgentSeries, Fingerprint, LabelSeries, LiveSeries, SkillAgents, Snapshot, StateSeries, TargetSeries};
use crate::domain::time::Timestamp;

/// What a snapshot says beside the counts, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    /// By target, in the order of the configuration.
    pub targets: Vec<ShownTarget>,
    /// How long a state may last, by its name.
    pub limits: BTreeMap<Arc<str>, Duration>,
    /// How many series there may be; single agents over it are left out.
    pub max_series: u64,
    /// Whether agents' names are shown.
    pub agent_info: bool,
}

/// How a target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTarget {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its newest finished job succeeded.
    pub up: bool,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// Whether it has not succeeded for too long: what its agents do now is not known.
    pub stale: bool,
}

/// Where an agent is: its state, since when, and under which labels.
pub(super) struct Standing {
    state: NameId,
    pub(super) start: Timestamp,
    labels: Vec<LabelId>,
}

impl Standing {
    /// Whether the agent is in what `label` stands for.
    pub(super) fn is_under(&self, label: LabelId, view: &View<'_>) -> bool {
        self.labels.iter().any(|own| view.groups_of(*own).contains(&label))
    }
}

impl Ledger {
    /// All that one `/metrics` may say of the contact centre.
    #[must_use]
    pub fn snapshot(&self, show: &Show) -> Snapshot {
        self.snapshot_beside(show, &HashSet::new())
    }

    /// The same, for someone who has the shards with these fingerprints: their agents are left out.
    #[must_use]
    pub fn snapshot_beside(&self, show: &Show, known: &HashSet<Fingerprint>) -> Snapshot {
        self.snapshot_under(None, show, known)
    }

    /// The same with live states over it, and with what else the live feeds tell: of an agent, the source with the later observation says
    /// where it is now.
    #[must_use]
    pub fn snapshot_under(&self, live: Option<(&Live, LiveSeries)>, show: &Show, known: &HashSet<Fingerprint>) -> Snapshot {
        let agents: Vec<(&Arc<str>, &Agent)> = self.agents.iter().map(|(name, agent)| (name, &**agent)).collect();
        let mut standings: Vec<Option<Standing>> = agents.iter().map(|(_, agent)| self.standing(agent, show)).collect();
        let (live, live_series) = live.unzip();
        let overlay = live.map(|live| Overlay::new(live, &agents, &mut standings, self.rules.detail == Detail::AgentSkill));
        let mut snapshot = self.aggregates(&agents, &standings, show);
        if let Some(overlay) = &overlay {
            overlay.add_to(&mut snapshot, show);
        }
        snapshot.series_dropped = live_series.as_ref().map_or(0, |live| live.left_out);
        snapshot.live = live_series;
        if self.rules.detail == Detail::Aggregate {
            return snapshot;
        }
        let mut room = show.max_series.saturating_sub(snapshot.series());
        let mut full = false;
        let mut shown = Vec::with_capacity(agents.len());
        for (place, ((name, agent), standing)) in agents.into_iter().zip(&standings).enumerate() {
            let live = overlay.as_ref().and_then(|overlay| overlay.over(place));
            let told_name = overlay.as_ref().and_then(|overlay| overlay.agent_name(place));
            let agent_name = agent.display_name.as_deref().or(told_name).filter(|_| show.agent_info);
            let (standing, stale) = (standing.as_ref(), is_stale(agent, show));
            let agent = Shown { name, agent, standing, stale, agent_name, live, has_feed: overlay.is_some() };
            // The size is that of an agent that is fully shown, so that nobody comes and goes with another's state.
            let size = self.most_series(&agent, show);
            full = full || size > room;
            if full {
                snapshot.series_dropped += self.series(&agent);
            } else {
                room -= size;
                shown.push(agent);
            }
        }
        snapshot.shards = shards(&mut shown).map(|agents| self.shard(agents, known)).collect();
        if let Some(overlay) = &overlay {
            overlay.add_shards(&mut snapshot, if full { 0 } else { room }, show, known);
        }
        snapshot
    }

    /// Where the agent is at its observed time: of the visits that last, those with the latest start, ties by the state's name.
    fn standing(&self, agent: &Agent, show: &Show) -> Option<Standing> {
        if is_stale(agent, show) || !agent.in_newest() {
            return None;
        }
        let lasting = agent.lasting(&self.view());
        let start = lasting.iter().map(|(_, start)| *start).max()?;
        let latest = || lasting.iter().filter(|(_, began)| *began == start).map(|(label, _)| (*label, self.labels.label(*label).state));
        let (_, state) = latest().min_by_key(|(_, state)| self.names.value(*state))?;
        let labels = latest().filter(|(_, other)| *other == state).map(|(label, _)| label).collect();
        Some(Standing { state, start, labels })
    }

    fn aggregates(&self, agents: &[(&Arc<str>, &Agent)], standings: &[Option<Standing>], show: &Show) -> Snapshot {
        let mut by_state: HashMap<NameId, u64> = HashMap::new();
        let mut by_label: HashMap<LabelId, u64> = HashMap::new();
        let mut over: BTreeMap<&Arc<str>, u64> = show.limits.keys().map(|state| (state, 0)).collect();
        for ((_, agent), standing) in agents.iter().zip(standings) {
            let Some(standing) = standing else { continue };
            *by_state.entry(standing.state).or_default() += 1;
            for label in &standing.labels {
                *by_label.entry(*label).or_default() += 1;
            }
            let state = self.names.value(standing.state);
            let lasted = agent.observed.map_or(Duration::ZERO, |observed| observed.since(standing.start));
            if let (Some(limit), Some(count)) = (show.limits.get(state), over.get_mut(state)) {
                *count += u64::from(lasted > *limit);
            }
        }
        let mut snapshot = Snapshot {
            agents_seen: u64::try_from(agents.len()).unwrap_or(u64::MAX),
            over_limit: over.into_iter().map(|(state, agents)| (Arc::clone(state), agents)).collect(),
            limits: show.limits.iter().map(|(state, limit)| (Arc::clone(state), *limit)).collect(),
            targets: self.shown_targets(show),
            data_watermark: self.targets.iter().filter_map(|progress| progress.watermark).min(),
            series_limit: show.max_series,
            ..Snapshot::default()
        };
        for (id, label) in self.labels.iter() {
            let state = Arc::clone(self.names.value(label.state));
            let Some(skill) = label.skill else {
                snapshot.state_agents.push((state, by_state.get(&label.state).copied().unwrap_or(0)));
                continue;
            };
            let skill = Arc::clone(self.names.value(skill));
            let total = self.totals.get(&id).cloned().unwrap_or_default();
            let agents = by_label.get(&id).copied().unwrap_or(0);
            snapshot.skill_agents.push(SkillAgents { skill: Arc::clone(&skill), state: Arc::clone(&state), agents });
            snapshot.states.push(StateSeries { state, skill, entries: total.entries, millis: total.millis, visits: total.visits });
        }
        snapshot.state_agents.sort_unstable();
        snapshot.skill_agents.sort_unstable_by(|a, b| (&a.skill, &a.state).cmp(&(&b.skill, &b.state)));
        snapshot.states.sort_unstable_by(|a, b| (&a.state, &a.skill).cmp(&(&b.state, &b.skill)));
        snapshot
    }

    fn shown_targets(&self, show: &Show) -> Vec<TargetSeries> {
        let series = show.targets.iter().zip(&self.targets).map(|(shown, progress)| TargetSeries {
            target: Arc::clone(&shown.name),
            up: shown.up,
            last_success: shown.last_success,
            watermark: progress.watermark,
            epoch: progress.epoch,
        });
        let mut series: Vec<TargetSeries> = series.collect();
        series.sort_unstable_by(|a, b| a.target.cmp(&b.target));
        series
    }

    pub(super) fn agent_series(&self, shown: &Shown<'_>) -> AgentSeries {
        let Shown { name, agent, standing, stale, .. } = *shown;
        let view = self.view();
        let window_entries: HashMap<LabelId, u64> = agent.window_entries(self.rules.lookback, &view).into_iter().collect();
        let mut labels: Vec<LabelSeries> = agent
            .series
            .iter()
            .filter(|series| self.is_shown(series.label))
            .map(|series| {
                let label = self.labels.label(series.label);
                let here = |standing: &&Standing| standing.is_under(series.label, &view);
                let published = series.published();
                LabelSeries {
                    state: Arc::clone(self.names.value(label.state)),
                    skill: label.skill.map_or_else(|| Arc::from(""), |skill| Arc::clone(self.names.value(skill))),
                    start: standing.filter(here).map(|standing| standing.start),
                    window_entries: (!stale).then(|| window_entries.get(&series.label).copied().unwrap_or(0)),
                    entries: published.entries,
                    millis: published.millis,
                }
            })
            .collect();
        labels.sort_unstable_by(|a, b| (&a.state, &a.skill).cmp(&(&b.state, &b.skill)));
        let agent_name = shown.told_name().map(Arc::from);
        let live = shown.live.as_ref().and_then(Lived::start);
        AgentSeries { agent: Arc::clone(name), agent_name, observed: shown.observed(), labels, live }
    }

    /// Whether series under this label are shown.
    pub(super) fn is_shown(&self, label: LabelId) -> bool {
        self.labels.label(label).skill.is_none() == (self.rules.detail == Detail::Agent)
    }

    pub(super) fn view(&self) -> View<'_> {
        view(&self.labels, &self.rules)
    }
}

/// An agent is stale when every target that told of it is.
fn is_stale(agent: &Agent, show: &Show) -> bool {
    agent.memberships.iter().all(|membership| show.targets[membership.target.index()].stale)
}
