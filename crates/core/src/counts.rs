//! The counts: a fold over CXone's history, exact over overlapping windows, whatever order reports
//! come back in.
//!
//! A report is the truth, as of the moment that it was asked, about its window and every agent that
//! it contains. The ledger keeps, for each agent, the visits after the *horizon* (what lies before
//! it is settled) and replaces those of a window by what a newer report tells.

mod agent;
mod book;
mod by_agent;
mod change;
mod label;
mod migrate;
mod overlay;
mod rest;
mod saved;
mod shards;
mod shown;
mod starts;
mod tally;
mod timeline;

#[cfg(test)]
mod tests;

pub use change::Change;
pub use label::LabelLimits;
pub use migrate::from_version_1;
pub use saved::{InvalidRecord, LedgerLoader, Record, RecordKey, TargetRecord};
pub use shown::{SnapshotOptions, TargetHealth};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use agent::{Agent, AgentReport};
use book::Book;
use by_agent::{ByAgent, Lasting, OfAgent, Reading};
use label::LabelId;
use rest::Resting;

use crate::page::snapshot::VisitDurations;
use crate::report::Report;
use crate::time::{Timestamp, Window};

/// The name that every name of the state after a contact is made into.
pub const WRAP_UP: &str = "Wrap-up";

/// The horizon lies at most this far behind the highest watermark.
const LONGEST_UNSETTLED: Duration = Duration::from_secs(7 * 24 * 3600);

/// An agent whose reports had no row for this long loses its series, and so does a label that no
/// report used.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often, in event time, agents and labels to forget are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// What the rows of a report are; it depends on the tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// Every visit that touches the window, cut at its edges or whole.
    #[default]
    Intervals,
    /// Only what begins in the window.
    Events,
    /// One row for a group and window, with its count.
    Buckets,
    /// What begins in the window, and perhaps what lasts into it, whole; the agent is in one state
    /// at a time.
    States,
}

/// How much of single agents is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Detail {
    /// Each agent by state and skill.
    #[default]
    AgentSkill,
    /// Each agent by state.
    Agent,
    /// No single agent.
    Aggregate,
}

/// What the ledger counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountingRules {
    /// What the rows of a report are.
    pub rows: RowKind,
    /// The span of the window gauges.
    pub lookback: Duration,
    /// How far each window reaches back behind the watermark.
    pub overlap: Duration,
    /// State names that all become [`WRAP_UP`].
    pub wrap_up: Vec<String>,
    /// How much of single agents is counted.
    pub detail: Detail,
    /// How many labels may have series of their own.
    pub labels: LabelLimits,
}

/// A target's place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId(usize);

impl TargetId {
    /// The target at place `index`.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its place.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// The order in which reports were asked for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SubmitOrder(pub u64);

/// Where a report comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOrigin {
    /// The target that it tells of.
    pub target: TargetId,
    /// Its place in the order of asking.
    pub order: SubmitOrder,
    /// No report asked earlier than this is still to come (its own place, when none is).
    pub oldest_pending: SubmitOrder,
    /// The window that was asked for.
    pub window: Window,
}

/// What became of a report's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows read.
    pub rows: u64,
    /// Rows told before that this report changed.
    pub revised: u64,
    /// Rows too late to count.
    pub late: u64,
    /// Rows with a count above 1 that start at their window's start.
    pub cut_buckets: u64,
}

/// How far one target is known.
#[derive(Clone, Debug, Default)]
struct Progress {
    epoch: Option<Timestamp>,
    /// Where counting begins with the first report.
    first_epoch: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// The agents that its newest report told of.
    newest: Arc<BTreeSet<Arc<str>>>,
    /// How it tells of states that last.
    lasting: Lasting,
    /// How many states, and pairs of state and skill, of that report were over the limits.
    over_limit: (usize, usize),
}

/// What all agents did under one label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Total {
    entries: u64,
    millis: u64,
    visits: VisitDurations,
}

/// All counts.
#[derive(Clone, Debug)]
pub struct Ledger {
    book: Book,
    targets: Vec<Progress>,
    agents: BTreeMap<Arc<str>, Arc<Resting>>,
    totals: HashMap<LabelId, Total>,
    horizon: Timestamp,
    /// Up to when time has passed for certain, whatever watermarks say: nothing less than an
    /// overlap before is settled.
    passed: Timestamp,
    forget_at: Timestamp,
}

impl Ledger {
    /// An empty ledger for so many targets.
    #[must_use]
    pub fn new(rules: CountingRules, targets: usize) -> Self {
        Self {
            book: Book::new(rules),
            targets: vec![Progress::default(); targets],
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
        self.targets[target.0].watermark
    }

    /// Where the target's counting began.
    #[must_use]
    pub fn epoch(&self, target: TargetId) -> Option<Timestamp> {
        self.targets[target.0].epoch
    }

    /// The place of the newest report that is taken in, in the order of asking.
    #[must_use]
    pub fn newest_order(&self) -> SubmitOrder {
        self.agents.values().map(|agent| agent.wake().newest_order()).max().unwrap_or_default()
    }

    /// The target's history up to `to` will never be told: its watermark moves there without a
    /// report.
    pub fn skip_to(&mut self, target: TargetId, to: Timestamp) -> Change {
        let change = self.begin(target);
        let watermark = &mut self.targets[target.0].watermark;
        *watermark = (*watermark).max(Some(to));
        change
    }

    /// Time has passed up to `now` for certain: if a clock that is ahead sets a watermark beyond it,
    /// nothing is settled that has not happened yet.
    pub const fn set_passed(&mut self, now: Timestamp) {
        self.passed = now;
    }

    /// Counting of a target of which nothing is known yet begins at `epoch`, however short its
    /// first window is. With buckets, of which none may lie across it, it begins at that window's
    /// end.
    pub fn set_epoch(&mut self, target: TargetId, epoch: Timestamp) {
        self.targets[target.0].first_epoch =
            Some(epoch).filter(|_| self.book.rules.rows != RowKind::Buckets);
    }

    /// The latest start of a visit that an agent is known to be in.
    #[must_use]
    pub fn latest_start(&self) -> Option<Timestamp> {
        let in_a_state = self.agents.values().map(|agent| &agent.face.standing);
        in_a_state.filter(|standing| !standing.labels.is_empty()).map(|it| it.start).max()
    }

    /// The target's history is known up to `to` and no further, or up to the latest visit that was
    /// reported, if that began later: its watermark was set by a clock that was ahead. What was
    /// counted beyond is counted anew when it is told.
    ///
    /// Nothing that really happened is settled beyond the time when the newest report was asked, so
    /// the horizon goes back as well, but not behind what another target's reports have settled.
    pub fn set_back(&mut self, target: TargetId, to: Timestamp) -> Change {
        let mut change = self.begin(target);
        let latest = self.agents.values().filter_map(|agent| agent.wake().latest_start()).max();
        // Whoever says that this has not begun yet is wrong. What is settled of it stands.
        let to = latest.map_or(to, |latest| latest.max(to));
        let progress = &mut self.targets[target.0];
        progress.watermark = progress.watermark.min(Some(to));
        progress.epoch = progress.epoch.map(|epoch| epoch.min(to));
        let highest = self.targets.iter().filter_map(|progress| progress.watermark).max();
        let highest = highest.unwrap_or(to);
        self.horizon = self.horizon.min(highest);
        self.forget_at = self.forget_at.min(highest.plus(FORGET_EVERY));
        let names: Vec<Arc<str>> = self.agents.keys().cloned().collect();
        for name in names {
            let Some(resting) = self.agents.get(&name) else { continue };
            let mut agent = resting.wake();
            if !agent.is_known_beyond(target, to, highest) {
                continue;
            }
            change.keep_agent(&name, Some(resting));
            agent.set_back(highest, to, &self.book);
            self.observe(name, agent, &mut change);
        }
        change
    }

    /// Takes in a report that was read whole. The change says what to commit, and can be taken
    /// back.
    pub fn apply(&mut self, origin: &ReportOrigin, report: &Report) -> (RowCounts, Change) {
        let mut change = self.begin(origin.target);
        let progress = &mut self.targets[origin.target.0];
        let told = ByAgent::new(report);
        let lasting = self.book.rules.rows == RowKind::States
            && progress.lasting.look(&told, origin.window, progress.watermark);
        let epoch = progress.first_epoch.take().unwrap_or(origin.window.to);
        progress.epoch.get_or_insert(epoch);
        progress.watermark = progress.watermark.max(Some(origin.window.to));

        let mut reading = Reading::default();
        let told = told.iter();
        let mut newest = Vec::with_capacity(told.len());
        for told in told {
            told.read(origin, &mut self.book, lasting, &mut reading);
            newest.push(self.apply_to_agent(origin, &told, &mut reading, &mut change));
        }
        let covered = report.covered().map(|agents| agents.map(Arc::clone).collect());
        self.leave(origin.target, newest.into_iter().collect(), covered, &mut change);
        self.targets[origin.target.0].over_limit = reading.over_limit();
        self.use_labels(&reading, origin.window.to);
        self.move_horizon();
        self.forget(&mut change);
        let rows = u64::try_from(report.rows().len()).unwrap_or(u64::MAX);
        (RowCounts { rows, ..reading.applied }, change)
    }

    /// Takes in what a report tells of one agent. Returns the agent's name.
    fn apply_to_agent(
        &mut self,
        origin: &ReportOrigin,
        told: &OfAgent<'_>,
        reading: &mut Reading,
        change: &mut Change,
    ) -> Arc<str> {
        let target_epoch = self.targets[origin.target.0].epoch.unwrap_or(origin.window.to);
        let known = self.agents.get_key_value(told.name);
        let name = Arc::clone(known.map_or(told.name, |(name, _)| name));
        change.keep_agent(&name, known.map(|(_, agent)| agent));
        let mut agent = known
            .map_or_else(|| Agent::new(origin.window, target_epoch), |(_, agent)| agent.wake());
        agent.keep_folded(&mut reading.rows, &mut reading.doubtful, &self.book);
        let report = AgentReport {
            target: origin.target,
            target_epoch,
            order: origin.order,
            oldest_pending: origin.oldest_pending,
            window: origin.window,
            horizon: self.horizon,
            rows: &reading.rows,
            doubtful: reading.doubtful,
        };
        let noted = agent.apply(&report, &self.book);
        reading.applied.revised += noted.revised;
        reading.applied.late += noted.late;
        if let Some(display_name) = told.display_name {
            agent.display_name = Some((&**display_name).into());
        }
        self.observe(Arc::clone(&name), agent, change);
        name
    }

    /// Agents that the target's newest report does not contain: with intervals they are in no state
    /// that it knows; otherwise nothing changed for them, and they are known up to the watermark,
    /// too, unless the report says that it does not have their history (`covered`).
    fn leave(
        &mut self,
        target: TargetId,
        newest: BTreeSet<Arc<str>>,
        covered: Option<BTreeSet<Arc<str>>>,
        change: &mut Change,
    ) {
        let intervals = self.book.rules.rows == RowKind::Intervals;
        let mut members = Arc::unwrap_or_clone(std::mem::take(&mut self.targets[target.0].newest));
        members.extend(covered.iter().flatten().cloned());
        let mut stay = Vec::new();
        for name in members.difference(&newest) {
            let Some(resting) = self.agents.get(name) else { continue };
            if resting.face.memberships.iter().all(|membership| membership.target != target) {
                continue;
            }
            let stays = !intervals && covered.as_ref().is_none_or(|covered| covered.contains(name));
            stay.extend(stays.then(|| Arc::clone(name)));
            change.keep_agent(name, Some(resting));
            let mut agent = resting.wake();
            agent
                .memberships
                .iter_mut()
                .filter(|membership| membership.target == target)
                .for_each(|membership| membership.newest = stays);
            self.observe(Arc::clone(name), agent, change);
        }
        let newest = newest.into_iter().chain(stay).collect();
        self.targets[target.0].newest = Arc::new(newest);
    }

    /// The agents that the target's reports told of: each with the end of the latest window that
    /// did, and from when on its history is not known, if that is before the next window.
    pub fn members(
        &self,
        target: TargetId,
    ) -> impl Iterator<Item = (&Arc<str>, Timestamp, Option<Timestamp>)> {
        let (watermark, overlap) = (self.watermark(target), self.book.rules.overlap);
        let of_target = move |membership: &agent::Membership| membership.target == target;
        self.agents.iter().filter_map(move |(name, agent)| {
            let face = &agent.face;
            let behind = face.observed.filter(|observed| Some(*observed) < watermark);
            face.memberships.iter().any(of_target).then_some((
                name,
                face.last_told,
                behind.map(|observed| observed.minus(overlap)),
            ))
        })
    }

    /// Counts an agent anew, up to the highest watermark of the targets whose newest report
    /// contained it, and lays it to rest.
    fn observe(&mut self, name: Arc<str>, mut agent: Agent, change: &mut Change) {
        let watermark = |target: TargetId| self.targets[target.0].watermark;
        if let Some(known_to) = agent.owner().and_then(watermark) {
            agent.judge_buckets(known_to, self.horizon, &self.book);
        }
        let owner = agent.owner();
        let counting = agent.memberships.iter().filter(|membership| match owner {
            Some(owner) => membership.target == owner,
            None => membership.newest,
        });
        if let Some(observed) = counting.filter_map(|membership| watermark(membership.target)).max()
        {
            let news = agent.observe(observed, &self.book);
            for (label, grown) in news.grown {
                change.keep_total(label, self.totals.get(&label));
                let total = self.totals.entry(label).or_default();
                total.entries += grown.entries;
                total.millis += grown.millis;
            }
            for (label, visit) in news.finished {
                change.keep_total(label, self.totals.get(&label));
                let total = self.totals.entry(label).or_default();
                total.visits.observe(visit.length());
            }
            agent.trim(self.book.rules.lookback);
        }
        self.agents.insert(name, Resting::new(&agent, &self.book));
    }

    /// What lies before the lowest watermark less the overlap can no longer be asked for again, so
    /// it is settled.
    fn move_horizon(&mut self) {
        let watermarks = self.targets.iter().map(|progress| progress.watermark);
        let lowest = watermarks
            .clone()
            .min()
            .flatten()
            .map_or(Timestamp::MIN, |lowest| lowest.minus(self.book.rules.overlap));
        let earliest = watermarks
            .flatten()
            .max()
            .map_or(Timestamp::MIN, |highest| highest.minus(LONGEST_UNSETTLED));
        let passed = self.passed.minus(self.book.rules.overlap);
        self.horizon = self.horizon.max(lowest.min(passed)).max(earliest);
    }

    fn forget(&mut self, change: &mut Change) {
        let Some(highest) = self.targets.iter().filter_map(|progress| progress.watermark).max()
        else {
            return;
        };
        if highest < self.forget_at {
            return;
        }
        self.forget_at = highest.plus(FORGET_EVERY);
        self.agents.retain(|name, agent| {
            let stays = highest.since(agent.face.last_told) < FORGOTTEN_AFTER;
            if !stays {
                change.keep_agent(name, Some(agent));
            }
            stays
        });
        for progress in &mut self.targets {
            Arc::make_mut(&mut progress.newest).retain(|name| self.agents.contains_key(name));
        }
        self.forget_labels(highest, change);
    }

    /// Takes note of the labels that a report used up to `time`; to the hour, since it is written
    /// with the report.
    fn use_labels(&mut self, reading: &Reading, time: Timestamp) {
        for label in reading.labels() {
            let over = self.book.labels.over_skills(label);
            if [label, over].iter().any(|id| time.since(self.book.labels.used(*id)) >= FORGET_EVERY)
            {
                Arc::make_mut(&mut self.book.labels).use_at(label, time);
            }
        }
    }

    /// Forgets the labels that nobody used for 30 days, with all their series.
    fn forget_labels(&mut self, highest: Timestamp, change: &mut Change) {
        let labels = &self.book.labels;
        let is_unused = |id: &LabelId| highest.since(labels.used(*id)) >= FORGOTTEN_AFTER;
        let mut unused: BTreeSet<LabelId> =
            labels.iter().map(|(id, _)| id).filter(is_unused).collect();
        if unused.is_empty() {
            return;
        }
        // A visit that lasts uses its label although no report tells of it again.
        let visits = self.agents.values().flat_map(|agent| {
            let labels: Vec<LabelId> = agent.wake().visit_labels().collect();
            labels
        });
        let lasting: BTreeSet<LabelId> = visits.filter(|label| unused.contains(label)).collect();
        let labels = Arc::make_mut(&mut self.book.labels);
        for label in lasting {
            labels.use_at(label, highest);
            unused.remove(&label);
            unused.remove(&labels.over_skills(label));
        }
        if unused.is_empty() {
            return;
        }
        for (name, resting) in &mut self.agents {
            let mut agent = resting.wake();
            if agent.series.iter().any(|series| unused.contains(&series.label)) {
                change.keep_agent(name, Some(resting));
                agent.forget_series(&unused, &self.book);
                *resting = Resting::new(&agent, &self.book);
            }
        }
        for label in &unused {
            if let Some(total) = self.totals.remove(label) {
                change.keep_total(*label, Some(&total));
            }
        }
        self.book.forget(&unused);
    }
}
