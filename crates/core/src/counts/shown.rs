//! What the ledger shows: the floor (who is where now, since when) and the counts, as a snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::book::Book;
use super::label::LabelId;
use super::overlay::Overlay;
use super::rest::{Face, Resting};
use super::shards::{Homed, Shown, shards};
use super::{Detail, LabelLimits, Ledger};
use crate::live::Live;
use crate::names::NameId;
use crate::page::snapshot::{
    AgentSeries, Fingerprint, LabelSeries, LabelSets, LiveSeries, SkillAgents, Snapshot,
    StateSeries, TargetSeries,
};
use crate::time::Timestamp;

/// What a snapshot says beside the counts, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// By target, in the order of the configuration.
    pub targets: Vec<TargetHealth>,
    /// How long a state may last, by its name.
    pub limits: BTreeMap<Arc<str>, Duration>,
    /// How many series there may be; single agents over it are left out.
    pub max_series: u64,
    /// Whether agents' names are shown.
    pub agent_info: bool,
}

/// How a target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its newest finished job succeeded.
    pub up: bool,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// Whether it has not succeeded for too long: what its agents do now is not known.
    pub stale: bool,
}

impl Ledger {
    /// All that one `/metrics` may say of the contact centre.
    #[must_use]
    pub fn snapshot(&self, show: &SnapshotOptions) -> Snapshot {
        self.snapshot_beside(show, &HashSet::new())
    }

    /// The same, for someone who has the shards with these fingerprints: their agents are left out.
    #[must_use]
    pub fn snapshot_beside(
        &self,
        show: &SnapshotOptions,
        known: &HashSet<Fingerprint>,
    ) -> Snapshot {
        self.snapshot_under(None, show, known)
    }

    /// The same with live states over it, and with what else the live feeds tell: of an agent, the
    /// source with the later observation says where it is now.
    #[must_use]
    pub fn snapshot_under(
        &self,
        live: Option<(&Live, LiveSeries)>,
        show: &SnapshotOptions,
        known: &HashSet<Fingerprint>,
    ) -> Snapshot {
        let (live, live_series) = live.unzip();
        let faces = self
            .agents
            .iter()
            .map(|(name, agent)| (name, &agent.face, is_stale(&agent.face, show)));
        let overlay = live.map(|live| Overlay::new(live, faces, &self.book));
        let mut snapshot = self.aggregates(show, overlay.as_ref());
        if let Some(overlay) = &overlay {
            overlay.add_to(&mut snapshot, show);
        }
        snapshot.label_sets = self.label_sets(overlay.as_ref(), live_series.as_ref());
        snapshot.live = live_series;
        if self.book.rules.detail == Detail::Aggregate {
            return snapshot;
        }
        let mut room = show.max_series.saturating_sub(snapshot.series());
        let mut full = false;
        let agents: Vec<(&Arc<str>, &Arc<Resting>)> = self.agents.iter().collect();
        // Made when its shard is: for all agents at once these would be megabytes.
        let shown = |place: usize| {
            let (name, agent) = agents[place];
            Shown {
                name: Arc::clone(name),
                agent: Arc::clone(agent),
                stale: is_stale(&agent.face, show),
                over: overlay.as_ref().and_then(|overlay| overlay.over(place)),
                live_name: overlay
                    .as_ref()
                    .and_then(|overlay| overlay.agent_name(place))
                    .filter(|_| show.agent_info)
                    .map(Arc::from),
                has_feed: overlay.is_some(),
            }
        };
        let mut homes = Vec::with_capacity(agents.len());
        for place in 0..agents.len() {
            let agent = shown(place);
            // The size is that of an agent that is fully shown, so that nobody comes and goes with
            // another's state.
            let size = agent.most_series(show.agent_info);
            full = full || size > room;
            if full {
                snapshot.series_dropped += agent.series(&self.book, show.agent_info);
            } else {
                room -= size;
                homes.push((agent.agent.face.home(), place));
            }
        }
        let of = |places: &[Homed]| places.iter().map(|(_, place)| shown(*place)).collect();
        snapshot.shards =
            shards(&mut homes).map(|places| self.shard(of(places), show, known)).collect();
        if let Some(overlay) = &overlay {
            overlay.add_shards(&mut snapshot, if full { 0 } else { room }, show, known);
        }
        snapshot
    }

    /// What all agents are together; where `overlay` says what holds of an agent, that is not
    /// counted here.
    fn aggregates(&self, show: &SnapshotOptions, overlay: Option<&Overlay<'_>>) -> Snapshot {
        let mut by_state: HashMap<NameId, u64> = HashMap::new();
        let mut by_label: HashMap<LabelId, u64> = HashMap::new();
        let mut over: BTreeMap<&Arc<str>, u64> =
            show.limits.keys().map(|state| (state, 0)).collect();
        for (place, agent) in self.agents.values().enumerate() {
            if is_stale(&agent.face, show) || overlay.is_some_and(|overlay| overlay.holds(place)) {
                continue;
            }
            let Face { observed, standing, .. } = &agent.face;
            let Some(state) = standing.state(&self.book) else { continue };
            *by_state.entry(state).or_default() += 1;
            for label in &standing.labels {
                *by_label.entry(*label).or_default() += 1;
            }
            let state = self.book.names.value(state);
            let lasted = observed.map_or(Duration::ZERO, |observed| observed.since(standing.start));
            if let (Some(limit), Some(count)) = (show.limits.get(state), over.get_mut(state)) {
                *count += u64::from(lasted > *limit);
            }
        }
        let mut snapshot = Snapshot {
            agents_seen: u64::try_from(self.agents.len()).unwrap_or(u64::MAX),
            over_limit: over
                .into_iter()
                .map(|(state, agents)| (Arc::clone(state), agents))
                .collect(),
            limits: show.limits.iter().map(|(state, limit)| (Arc::clone(state), *limit)).collect(),
            targets: self.shown_targets(show),
            data_watermark: self.targets.iter().filter_map(|progress| progress.watermark).min(),
            series_limit: show.max_series,
            ..Snapshot::default()
        };
        for (id, label) in self.book.labels.iter() {
            let state = Arc::clone(self.book.names.value(label.state));
            let total = self.totals.get(&id).cloned().unwrap_or_default();
            let Some(skill) = label.skill else {
                let agents = by_state.get(&label.state).copied().unwrap_or(0);
                snapshot.state_agents.push((Arc::clone(&state), agents));
                snapshot.state_millis.push((state, total.millis));
                continue;
            };
            let skill = Arc::clone(self.book.names.value(skill));
            let agents = by_label.get(&id).copied().unwrap_or(0);
            snapshot.skill_agents.push(SkillAgents {
                skill: Arc::clone(&skill),
                state: Arc::clone(&state),
                agents,
            });
            snapshot.states.push(StateSeries {
                state,
                skill,
                entries: total.entries,
                millis: total.millis,
                visits: total.visits,
            });
        }
        snapshot.state_agents.sort_unstable();
        snapshot.state_millis.sort_unstable();
        snapshot
            .skill_agents
            .sort_unstable_by(|a, b| (&a.skill, &a.state).cmp(&(&b.skill, &b.state)));
        snapshot.states.sort_unstable_by(|a, b| (&a.state, &a.skill).cmp(&(&b.state, &b.skill)));
        snapshot
    }

    /// How near the labels are to their limits.
    fn label_sets(
        &self,
        overlay: Option<&Overlay<'_>>,
        live: Option<&LiveSeries>,
    ) -> Vec<LabelSets> {
        let LabelLimits { states, pairs } = self.book.rules.labels;
        let over = self.targets.iter().map(|progress| progress.over_limit);
        let over = over.chain(overlay.map(|overlay| overlay.over_limit));
        let over = over.fold((0, 0), |(a, b), (states, pairs)| (states.max(a), pairs.max(b)));
        let own = [
            LabelSets::new("state", self.book.labels.states, states, over.0),
            LabelSets::new("state_skill", self.book.labels.pairs, pairs, over.1),
        ];
        own.into_iter().chain(live.iter().flat_map(|live| live.label_sets.clone())).collect()
    }

    fn shown_targets(&self, show: &SnapshotOptions) -> Vec<TargetSeries> {
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
}

impl Book {
    /// The series of one agent.
    pub(super) fn agent_series(&self, shown: &Shown, agent_info: bool) -> AgentSeries {
        let agent = shown.agent.wake();
        let standing = shown.standing();
        let here: BTreeSet<LabelId> = standing
            .iter()
            .flat_map(|standing| &standing.labels)
            .flat_map(|label| self.groups_of(*label))
            .collect();
        let series = agent
            .series
            .iter()
            .zip(agent.window_entries(self))
            .filter(|(series, _)| self.is_shown(series.label));
        let mut labels: Vec<LabelSeries> = series
            .map(|(series, window_entries)| {
                let label = self.labels.label(series.label);
                let published = series.published();
                LabelSeries {
                    state: Arc::clone(self.names.value(label.state)),
                    skill: label
                        .skill
                        .map_or_else(|| Arc::from(""), |skill| Arc::clone(self.names.value(skill))),
                    start: standing
                        .filter(|_| here.contains(&series.label))
                        .map(|standing| standing.start),
                    window_entries: Some(window_entries).filter(|_| !shown.stale),
                    entries: published.entries,
                    millis: published.millis,
                }
            })
            .collect();
        labels.sort_unstable_by(|a, b| (&a.state, &a.skill).cmp(&(&b.state, &b.skill)));
        let over_skills = agent.series.iter().filter_map(|series| {
            let label = self.labels.label(series.label);
            label
                .skill
                .is_none()
                .then(|| (Arc::clone(self.names.value(label.state)), series.published().millis))
        });
        let mut states: Vec<(Arc<str>, u64)> = over_skills.collect();
        states.sort_unstable();
        let told_name = agent.display_name.as_deref().or(shown.live_name.as_deref());
        let agent_name = told_name.filter(|_| agent_info && shown.is_known_now()).map(Arc::from);
        let live = shown.over.as_ref().and_then(|over| over.start.clone());
        AgentSeries {
            agent: Arc::clone(&shown.name),
            agent_name,
            observed: shown.observed(),
            labels,
            states,
            live,
        }
    }
}

/// An agent is stale when every target that told of it is.
fn is_stale(face: &Face, show: &SnapshotOptions) -> bool {
    face.memberships.iter().all(|membership| show.targets[membership.target.index()].stale)
}
