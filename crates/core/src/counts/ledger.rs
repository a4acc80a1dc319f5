//! All counts, and what a report changes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::agent::{Agent, AgentReport};
use super::catalog::Catalog;
use super::label::{LabelId, LabelTable};
use super::packed::PackedAgent;
use super::rows::{AgentRows, OngoingRows, RowReader, RowsByAgent};
use super::tally::Total;
use super::target::{TargetId, TargetKey, TargetKeys};
use super::{CountingRules, ReportOrigin, RowCounts, RowKind, SubmitOrder};
use crate::names::Names;
use crate::report::Report;
use crate::time::Timestamp;

/// The horizon lies at most this far behind the highest watermark.
const MAX_UNSETTLED: Duration = Duration::from_secs(7 * 24 * 3600);

/// An agent without a row for this long loses its series, and so does a label that no report used.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Interval, in event time, of looking for agents and labels to forget.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How far one target is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetProgress {
    pub(crate) epoch: Option<Timestamp>,
    /// The epoch, once there is a first report.
    first_epoch: Option<Timestamp>,
    pub(crate) watermark: Option<Timestamp>,
    /// The agents that its newest report contained.
    pub(super) newest: Arc<BTreeSet<Arc<str>>>,
    /// How it reports states that are in progress.
    ongoing: OngoingRows,
    /// Number of states, and of pairs of state and skill, in its newest report that exceeded the
    /// limits.
    pub(crate) over_limit: (usize, usize),
}

/// All counts.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) catalog: Catalog,
    pub(crate) targets: Vec<TargetProgress>,
    pub(crate) agents: BTreeMap<Arc<str>, Arc<PackedAgent>>,
    pub(crate) totals: HashMap<LabelId, Total>,
    pub(super) horizon: Timestamp,
    /// Time has certainly passed up to here, whatever watermarks say: later than an overlap before
    /// it, nothing is settled.
    passed: Timestamp,
    pub(super) forget_at: Timestamp,
}

/// What a report changed, with what was there before: to commit it, or to take it back when it
/// cannot be committed.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) target: TargetId,
    progress: TargetProgress,
    /// `None`: it was not known.
    pub(super) agents: BTreeMap<Arc<str>, Option<Arc<PackedAgent>>>,
    pub(super) totals: HashMap<LabelId, Option<Total>>,
    names: Arc<Names>,
    pub(super) labels: Arc<LabelTable>,
    horizon: Timestamp,
    forget_at: Timestamp,
}

impl Change {
    /// The target whose report it was.
    #[must_use]
    pub const fn target(&self) -> TargetId {
        self.target
    }

    fn save_agent(&mut self, name: &Arc<str>, agent: Option<&Arc<PackedAgent>>) {
        self.agents.entry(Arc::clone(name)).or_insert_with(|| agent.cloned());
    }

    fn save_total(&mut self, label: LabelId, total: Option<&Total>) {
        self.totals.entry(label).or_insert_with(|| total.cloned());
    }
}

impl Ledger {
    /// An empty ledger for this number of targets.
    #[must_use]
    pub fn new(rules: CountingRules, targets: usize) -> Self {
        let keys = TargetKeys::new((0..targets).map(|_| None), 0).expect("all of them are new");
        Self {
            catalog: Catalog::new(rules, keys),
            targets: vec![TargetProgress::default(); targets],
            agents: BTreeMap::new(),
            totals: HashMap::new(),
            horizon: Timestamp::MIN,
            passed: Timestamp::MAX,
            forget_at: Timestamp::MIN,
        }
    }

    /// Event time up to which the target's history is known.
    #[must_use]
    pub fn watermark(&self, target: TargetId) -> Option<Timestamp> {
        self.targets[target.index()].watermark
    }

    /// Where the target's counting began.
    #[must_use]
    pub fn epoch(&self, target: TargetId) -> Option<Timestamp> {
        self.targets[target.index()].epoch
    }

    /// The order of the newest report that was applied.
    #[must_use]
    pub fn newest_order(&self) -> SubmitOrder {
        self.agents.values().map(|agent| agent.unpack().newest_order()).max().unwrap_or_default()
    }

    /// The latest start of a state that an agent is known to be in.
    #[must_use]
    pub fn latest_start(&self) -> Option<Timestamp> {
        let current = self.agents.values().map(|agent| &agent.summary.current);
        current.filter(|current| !current.labels.is_empty()).map(|current| current.start).max()
    }

    fn highest_watermark(&self) -> Option<Timestamp> {
        self.targets.iter().filter_map(|progress| progress.watermark).max()
    }

    /// The agents that the target's reports contained: each with the end of the latest window that
    /// did, and from when on its history is missing, if that is before the next window.
    pub fn members(
        &self,
        target: TargetId,
    ) -> impl Iterator<Item = (&Arc<str>, Timestamp, Option<Timestamp>)> {
        let (watermark, overlap) = (self.watermark(target), self.catalog.rules.overlap);
        self.agents.iter().filter(move |(_, agent)| agent.is_member(target)).map(
            move |(name, agent)| {
                let summary = &agent.summary;
                let behind = summary.observed.filter(|observed| Some(*observed) < watermark);
                (name, summary.last_reported, behind.map(|observed| observed.minus(overlap)))
            },
        )
    }

    /// The target's history up to `to` will never be reported: its watermark moves there without a
    /// report.
    pub fn skip_to(&mut self, target: TargetId, to: Timestamp) -> Change {
        let change = self.begin(target);
        let watermark = &mut self.targets[target.index()].watermark;
        *watermark = (*watermark).max(Some(to));
        change
    }

    /// Time has certainly passed up to `now`: if a clock that is ahead sets a watermark beyond it,
    /// nothing is settled that has not happened yet.
    pub const fn set_passed(&mut self, now: Timestamp) {
        self.passed = now;
    }

    /// Counting of a target that has no report yet begins at `epoch`, however short its first
    /// window is. With buckets, which cannot be split there, it begins at that window's end.
    pub fn set_epoch(&mut self, target: TargetId, epoch: Timestamp) {
        self.targets[target.index()].first_epoch =
            Some(epoch).filter(|_| self.catalog.rules.rows != RowKind::Buckets);
    }

    /// The target's history is known up to `to` and no further, or up to the latest visit that was
    /// reported, if that began later: its watermark was set by a clock that was ahead. What was
    /// counted beyond is counted again when it is reported.
    pub fn set_back(&mut self, target: TargetId, to: Timestamp) -> Change {
        let mut change = self.begin(target);
        // A visit that was reported has begun, whatever the clock says, and what is settled of it
        // stands.
        let latest = self.agents.values().filter_map(|agent| agent.unpack().latest_start()).max();
        let to = latest.map_or(to, |latest| latest.max(to));
        let progress = &mut self.targets[target.index()];
        progress.watermark = progress.watermark.min(Some(to));
        progress.epoch = progress.epoch.map(|epoch| epoch.min(to));
        // Nothing that really happened is settled beyond the submission of the newest report, so
        // the horizon goes back as well; but not behind what other targets' reports have settled.
        let highest = self.highest_watermark().unwrap_or(to);
        self.horizon = self.horizon.min(highest);
        self.forget_at = self.forget_at.min(highest.plus(FORGET_EVERY));
        let key = self.catalog.targets.key(target);
        let names: Vec<Arc<str>> = self.agents.keys().cloned().collect();
        for name in names {
            let Some(packed) = self.agents.get(&name) else { continue };
            let mut agent = packed.unpack();
            if agent.is_known_beyond(key, to, highest) {
                change.save_agent(&name, Some(packed));
                agent.set_back(highest, to, &self.catalog);
                self.observe(name, agent, &mut change);
            }
        }
        change
    }

    /// Applies a report that was read whole. The change is to be committed, or to be taken back.
    pub fn apply(&mut self, origin: &ReportOrigin, report: &Report) -> (RowCounts, Change) {
        let mut change = self.begin(origin.target);
        let progress = &mut self.targets[origin.target.index()];
        let by_agent = RowsByAgent::new(report);
        let ongoing_has_no_length = self.catalog.rules.rows == RowKind::States
            && progress.ongoing.sample(&by_agent, origin.window, progress.watermark);
        let epoch = progress.first_epoch.take().unwrap_or(origin.window.to);
        progress.epoch.get_or_insert(epoch);
        progress.watermark = progress.watermark.max(Some(origin.window.to));

        let mut reader = RowReader::default();
        let mut newest = Vec::new();
        for rows in by_agent.iter() {
            reader.read(&rows, origin, &mut self.catalog, ongoing_has_no_length);
            newest.push(self.apply_to_agent(origin, &rows, &mut reader, &mut change));
        }
        let covered = report.covered().map(|agents| agents.map(Arc::clone).collect());
        self.leave_out(origin.target, newest.into_iter().collect(), covered, &mut change);
        self.targets[origin.target.index()].over_limit = reader.over_limit();
        self.note_used_labels(&reader, origin.window.to);
        self.move_horizon();
        self.forget(&mut change);
        let rows = u64::try_from(report.rows().len()).unwrap_or(u64::MAX);
        (RowCounts { rows, ..reader.counts }, change)
    }

    /// Applies the rows of one agent. Returns the agent's name, as the map has it.
    fn apply_to_agent(
        &mut self,
        origin: &ReportOrigin,
        rows: &AgentRows<'_>,
        reader: &mut RowReader,
        change: &mut Change,
    ) -> Arc<str> {
        let target_epoch = self.epoch(origin.target).unwrap_or(origin.window.to);
        let known = self.agents.get_key_value(rows.name);
        let name = Arc::clone(known.map_or(rows.name, |(name, _)| name));
        let known = known.map(|(_, packed)| packed);
        change.save_agent(&name, known);
        let mut agent =
            known.map_or_else(|| Agent::new(origin.window, target_epoch), |packed| packed.unpack());
        agent.keep_folded(&mut reader.rows, &mut reader.uncertain, &self.catalog);
        let report = AgentReport {
            target: self.catalog.targets.key(origin.target),
            target_epoch,
            order: origin.order,
            oldest_pending: origin.oldest_pending,
            window: origin.window,
            horizon: self.horizon,
            rows: &reader.rows,
            uncertain: reader.uncertain,
        };
        agent.apply(&report, &self.catalog, &mut reader.counts);
        if let Some(display_name) = rows.display_name {
            agent.display_name = Some((&**display_name).into());
        }
        self.observe(Arc::clone(&name), agent, change);
        name
    }

    /// Agents that the target's newest report does not contain. With intervals they are in no state
    /// that the target knows. Otherwise nothing changed for them, so they are known up to the
    /// watermark as well; unless the report says that it lacks their history (`covered`).
    fn leave_out(
        &mut self,
        target: TargetId,
        mut newest: BTreeSet<Arc<str>>,
        covered: Option<BTreeSet<Arc<str>>>,
        change: &mut Change,
    ) {
        let is_unchanged = self.catalog.rules.rows != RowKind::Intervals;
        let key = self.catalog.targets.key(target);
        let mut members =
            Arc::unwrap_or_clone(std::mem::take(&mut self.targets[target.index()].newest));
        members.extend(covered.iter().flatten().cloned());
        for name in members {
            if newest.contains(&name) {
                continue;
            }
            let Some(packed) = self.agents.get(&name).filter(|agent| agent.is_member(target))
            else {
                continue;
            };
            change.save_agent(&name, Some(packed));
            let mut agent = packed.unpack();
            let stays =
                is_unchanged && covered.as_ref().is_none_or(|covered| covered.contains(&name));
            for membership in &mut agent.memberships {
                if membership.target == key {
                    membership.newest = stays;
                }
            }
            self.observe(Arc::clone(&name), agent, change);
            newest.extend(stays.then_some(name));
        }
        self.targets[target.index()].newest = Arc::new(newest);
    }

    /// Publishes the counts of an agent up to the highest watermark of the targets whose newest
    /// report contained it, and packs it.
    fn observe(&mut self, name: Arc<str>, mut agent: Agent, change: &mut Change) {
        let watermark = |key: TargetKey| self.watermark(self.catalog.targets.id(key)?);
        if let Some(known_to) = agent.owner().and_then(watermark) {
            agent.resolve_waiting(known_to, self.horizon, &self.catalog);
        }
        // With buckets, only the owner's history counts.
        let owner = agent.owner();
        let counting = agent.memberships.iter().filter(|membership| match owner {
            Some(owner) => membership.target == owner,
            None => membership.newest,
        });
        if let Some(observed) = counting.filter_map(|membership| watermark(membership.target)).max()
        {
            let observation = agent.observe(observed, &self.catalog);
            for grown in observation.grown {
                change.save_total(grown.key, self.totals.get(&grown.key));
                let total = self.totals.entry(grown.key).or_default();
                total.entries += grown.entries;
                total.millis += grown.millis;
            }
            for (label, length) in observation.finished {
                change.save_total(label, self.totals.get(&label));
                self.totals.entry(label).or_default().visits.observe(length);
            }
            agent.trim(self.catalog.rules.lookback);
        }
        self.agents.insert(name, PackedAgent::new(&agent, &self.catalog));
    }

    /// No target's next window reaches further back than its watermark less the overlap, so what
    /// lies before the lowest of these is settled. A target that falls far behind must not keep
    /// everything unsettled, so the horizon follows the highest watermark at a distance.
    fn move_horizon(&mut self) {
        let overlap = self.catalog.rules.overlap;
        // A target without a watermark may still report anything.
        let lowest = self.targets.iter().map(|progress| progress.watermark).min().flatten();
        let lowest = lowest.map_or(Timestamp::MIN, |lowest| lowest.minus(overlap));
        let highest = self.highest_watermark();
        let earliest = highest.map_or(Timestamp::MIN, |highest| highest.minus(MAX_UNSETTLED));
        let passed = self.passed.minus(overlap);
        self.horizon = self.horizon.max(lowest.min(passed)).max(earliest);
    }

    /// Forgets agents without a row for 30 days, and then labels. Once an hour of event time,
    /// because it visits all of them.
    fn forget(&mut self, change: &mut Change) {
        let Some(highest) = self.highest_watermark().filter(|highest| *highest >= self.forget_at)
        else {
            return;
        };
        self.forget_at = highest.plus(FORGET_EVERY);
        self.agents.retain(|name, agent| {
            let is_kept = highest.since(agent.summary.last_reported) < FORGET_AFTER;
            if !is_kept {
                change.save_agent(name, Some(agent));
            }
            is_kept
        });
        for progress in &mut self.targets {
            Arc::make_mut(&mut progress.newest).retain(|name| self.agents.contains_key(name));
        }
        self.forget_labels(highest, change);
    }

    /// Notes when labels were last used; to the hour, because it is committed with the report.
    fn note_used_labels(&mut self, reader: &RowReader, time: Timestamp) {
        for label in reader.labels() {
            let groups = self.catalog.groups_of(label);
            if groups.iter().any(|id| time.since(self.catalog.labels.used(*id)) >= FORGET_EVERY) {
                Arc::make_mut(&mut self.catalog.labels).use_at(label, time);
            }
        }
    }

    /// Forgets the labels that no report used for 30 days, with all their series. Their numbers
    /// are given to new labels, so first every reference to them must go.
    fn forget_labels(&mut self, highest: Timestamp, change: &mut Change) {
        let labels = &self.catalog.labels;
        let is_unused = |id: &LabelId| highest.since(labels.used(*id)) >= FORGET_AFTER;
        let mut unused: BTreeSet<LabelId> =
            labels.iter().map(|(id, _)| id).filter(is_unused).collect();
        if unused.is_empty() {
            return;
        }
        // A visit in progress uses its label although no report contains it again.
        let mut in_progress = BTreeSet::new();
        for agent in self.agents.values() {
            let agent = agent.unpack();
            in_progress.extend(agent.visit_labels().filter(|label| unused.contains(label)));
        }
        let labels = Arc::make_mut(&mut self.catalog.labels);
        for label in in_progress {
            labels.use_at(label, highest);
            unused.remove(&label);
            unused.remove(&labels.over_skills(label));
        }
        if unused.is_empty() {
            return;
        }
        for (name, packed) in &mut self.agents {
            let mut agent = packed.unpack();
            if agent.series.iter().any(|series| unused.contains(&series.label)) {
                change.save_agent(name, Some(packed));
                agent.forget_series(&unused, &self.catalog);
                *packed = PackedAgent::new(&agent, &self.catalog);
            }
        }
        for label in &unused {
            if let Some(total) = self.totals.remove(label) {
                change.save_total(*label, Some(&total));
            }
        }
        self.catalog.forget(&unused);
    }

    fn begin(&self, target: TargetId) -> Change {
        Change {
            target,
            progress: self.targets[target.index()].clone(),
            agents: BTreeMap::new(),
            totals: HashMap::new(),
            names: Arc::clone(&self.catalog.names),
            labels: Arc::clone(&self.catalog.labels),
            horizon: self.horizon,
            forget_at: self.forget_at,
        }
    }

    /// Restores everything to how it was before `change`, which must be the newest one.
    pub fn take_back(&mut self, change: Change) {
        for (name, before) in change.agents {
            match before {
                Some(agent) => self.agents.insert(name, agent),
                None => self.agents.remove(&name),
            };
        }
        for (label, before) in change.totals {
            match before {
                Some(total) => self.totals.insert(label, total),
                None => self.totals.remove(&label),
            };
        }
        (self.catalog.names, self.catalog.labels) = (change.names, change.labels);
        self.targets[change.target.index()] = change.progress;
        self.horizon = change.horizon;
        self.forget_at = change.forget_at;
        // A forgotten agent was removed from the lists of all targets, and the change has only that
        // of its own target.
        self.rebuild_newest();
    }

    /// Adds the agents to the lists of the targets whose newest report contained them.
    pub(super) fn rebuild_newest(&mut self) {
        for (name, agent) in &self.agents {
            for membership in agent.summary.memberships.iter().filter(|known| known.newest) {
                let newest = &mut self.targets[membership.target.index()].newest;
                if !newest.contains(name) {
                    Arc::make_mut(newest).insert(Arc::clone(name));
                }
            }
        }
    }
}
