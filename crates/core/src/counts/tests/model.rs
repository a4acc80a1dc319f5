//! The ledger against naive models: one that replays reports over an array of milliseconds, one
//! that knows the true history.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{
    Detail, LabelLimits, Ledger, RecordKey, ReportOrigin, RowKind, SubmitOrder, TargetId,
};
use super::{at, ledger, origin, report, row, show};
use crate::page::snapshot::Snapshot;
use crate::report::{RawRow, ReportFilter};
use crate::store::{MemoryStore, Store};
use crate::time::Window;

/// (agent, state, skill).
pub(super) type SeriesKey = (&'static str, &'static str, &'static str);
/// Entries and milliseconds.
pub(super) type CountsByKey = BTreeMap<SeriesKey, (u64, u64)>;

const AGENTS: [&str; 2] = ["user-1", "user-2"];
const LABELS: [(&str, &str); 3] =
    [("Ready", "English"), ("Ready", "Spanish"), ("Wrap-up", "English")];
pub(super) const OVERLAP: i64 = 10;
const END: usize = 200;

/// Runs `cases` cases, or `PROPTEST_CASES` if that is more.
pub(super) fn at_least(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(cases), ..config }
}

pub(super) fn published(ledger: &Ledger, targets: usize) -> CountsByKey {
    let mut counts = CountsByKey::new();
    for agent in Snapshot::of(ledger, &show(targets)).agents() {
        for label in &agent.labels {
            let name = AGENTS.iter().find(|name| ***name == *agent.agent).expect("a known agent");
            let (state, skill) = LABELS
                .iter()
                .find(|(state, skill)| **state == *label.state && **skill == *label.skill)
                .expect("a known label");
            counts.insert((name, state, skill), (label.entries, label.millis));
        }
    }
    counts
}

/// The states of [`LABELS`], each with its labels' places.
const STATES: [(&str, &[usize]); 2] = [("Ready", &[0, 1]), ("Wrap-up", &[2])];

/// Time by agent and state, whatever the skills.
type TimeByState = BTreeMap<(&'static str, &'static str), u64>;

/// The time of each agent in each state; also checks that the sums over all agents agree with it.
fn published_once(ledger: &Ledger, targets: usize) -> TimeByState {
    let snapshot = Snapshot::of(ledger, &show(targets));
    let mut once = TimeByState::new();
    let mut over_all: BTreeMap<&str, u64> = BTreeMap::new();
    for agent in snapshot.agents() {
        let name = AGENTS.iter().find(|name| ***name == *agent.agent).expect("a known agent");
        for (state, millis) in &agent.states {
            let (state, _) = STATES.iter().find(|(name, _)| *name == &**state).expect("known");
            once.insert((name, state), *millis);
            *over_all.entry(state).or_default() += millis;
        }
    }
    let sums = snapshot.state_millis.iter().map(|(state, millis)| (&**state, *millis));
    assert_eq!(sums.collect::<BTreeMap<&str, u64>>(), over_all);
    once
}

#[derive(Clone, Debug)]
struct ModelRow {
    agent: usize,
    label: usize,
    start: i64,
    end: Option<i64>,
    count: u32,
}

#[derive(Clone, Debug)]
struct ModelReport {
    target: usize,
    from: i64,
    to: i64,
    rows: Vec<ModelRow>,
    /// Whether the report before it, if of the other target, is read after it.
    overtakes: bool,
}

fn model_report() -> impl Strategy<Value = ModelReport> {
    (0..2_usize, 0..150_i64, 1..50_i64, any::<bool>()).prop_flat_map(
        |(target, from, length, overtakes)| {
            let to = from + length;
            let row = (
                0..2_usize,
                0..3_usize,
                from - 8..to + 4,
                prop_oneof![1 => Just(None), 4 => (0..30_i64).prop_map(Some)],
                prop_oneof![9 => Just(1_u32), 1 => Just(0), 1 => Just(3)],
            );
            let row = row.prop_map(|(agent, label, start, length, count)| {
                let start = start.max(0);
                ModelRow { agent, label, start, end: length.map(|length| start + length), count }
            });
            prop::collection::vec(row, 0..7).prop_map(move |rows| ModelReport {
                target,
                from,
                to,
                rows,
                overtakes,
            })
        },
    )
}

/// One agent as an array of milliseconds, each written by the newest report that covers it.
#[derive(Clone)]
struct ModelAgent {
    epoch: i64,
    observed: Option<i64>,
    settled_to: i64,
    written_by: Vec<u64>,
    entries: HashMap<usize, Vec<u32>>,
    time: HashMap<usize, Vec<bool>>,
    frozen: HashMap<usize, (u64, u64)>,
    best: HashMap<usize, (u64, u64)>,
    /// Likewise by state, whatever the skills.
    frozen_once: [u64; STATES.len()],
    best_once: [u64; STATES.len()],
}

#[derive(Default)]
struct Model {
    epochs: [Option<i64>; 2],
    watermarks: [Option<i64>; 2],
    newest: [BTreeSet<usize>; 2],
    horizon: i64,
    agents: HashMap<usize, ModelAgent>,
}

impl Model {
    fn read(&mut self, asked: u64, report: &ModelReport) {
        let epoch = *self.epochs[report.target].get_or_insert(report.to);
        self.watermarks[report.target] = self.watermarks[report.target].max(Some(report.to));
        let reported: BTreeSet<usize> = report.rows.iter().map(|row| row.agent).collect();
        for &id in &reported {
            let fresh = || ModelAgent {
                epoch,
                observed: None,
                settled_to: i64::MIN,
                written_by: vec![0; END],
                entries: HashMap::new(),
                time: HashMap::new(),
                frozen: HashMap::new(),
                best: HashMap::new(),
                frozen_once: [0; STATES.len()],
                best_once: [0; STATES.len()],
            };
            let horizon = self.horizon;
            self.agents.entry(id).or_insert_with(fresh).read(asked, report, id, epoch, horizon);
        }
        self.newest[report.target] = reported;
        for (id, agent) in &mut self.agents {
            let observed = (0..2)
                .filter(|target| self.newest[*target].contains(id))
                .filter_map(|target| self.watermarks[target])
                .max();
            if observed.is_some() {
                agent.observed = observed;
                agent.count();
            }
        }
        let lowest = self.watermarks.iter().min().copied().flatten();
        self.horizon = self.horizon.max(lowest.map_or(i64::MIN, |lowest| lowest - OVERLAP));
    }
}

fn slot(time: i64) -> usize {
    usize::try_from(time).expect("times of the model are not negative").min(END - 1)
}

impl ModelAgent {
    fn read(&mut self, asked: u64, report: &ModelReport, id: usize, epoch: i64, horizon: i64) {
        let known = self.observed.is_some();
        self.epoch = self.epoch.min(epoch);
        if let Some(observed) = self.observed {
            self.freeze(horizon.min(observed));
        }
        let may_write = |time: usize, written_by: &[u64]| written_by[time] < asked;
        let before = self.entries.clone();
        let cleared = if known { report.from.max(horizon) } else { report.from };
        for time in cleared.max(0)..report.to {
            if may_write(slot(time), &self.written_by) {
                self.entries.values_mut().for_each(|entries| entries[slot(time)] = 0);
                self.time.values_mut().for_each(|spent| spent[slot(time)] = false);
            }
        }
        let rows = report
            .rows
            .iter()
            .filter(|row| row.agent == id && row.count > 0 && row.start < report.to);
        let rows: Vec<&ModelRow> = rows
            .filter(|row| !(row.count > 1 && row.start == report.from))
            .filter(|row| {
                !(known && row.end.filter(|end| *end < report.to).is_some_and(|end| end < horizon))
            })
            .collect();
        for row in &rows {
            let entries = self.entries.entry(row.label).or_insert_with(|| vec![0; END]);
            let end = row.end.filter(|end| *end < report.to).unwrap_or(report.to);
            for time in row.start + 1..report.from.min(end) {
                if row.end.is_none_or(|_| time < end) && may_write(slot(time), &self.written_by) {
                    entries[slot(time)] = 0;
                }
            }
        }
        for row in &rows {
            let entries = self.entries.entry(row.label).or_insert_with(|| vec![0; END]);
            let spent = self.time.entry(row.label).or_insert_with(|| vec![false; END]);
            let end = row.end.filter(|end| *end < report.to).unwrap_or(report.to);
            if may_write(slot(row.start), &self.written_by) {
                let known_there =
                    before.get(&row.label).map_or(0, |entries| entries[slot(row.start)]);
                let count = if row.start == report.from { known_there } else { row.count };
                entries[slot(row.start)] = entries[slot(row.start)].max(count);
            }
            let end = if row.count > 1 { row.start } else { end };
            for time in (row.start..end).filter(|time| may_write(slot(*time), &self.written_by)) {
                spent[slot(time)] = true;
            }
        }
        // Only its own window is what later readings of reports asked earlier must leave alone.
        for time in report.from.max(0)..report.to {
            self.written_by[slot(time)] = self.written_by[slot(time)].max(asked);
        }
    }

    fn freeze(&mut self, to: i64) {
        if to <= self.settled_to {
            return;
        }
        for label in 0..LABELS.len() {
            let (entries, millis) = self.within(label, self.settled_to, to);
            let frozen = self.frozen.entry(label).or_default();
            *frozen = (frozen.0 + entries, frozen.1 + millis);
        }
        for state in 0..STATES.len() {
            self.frozen_once[state] += self.within_state(state, self.settled_to, to);
        }
        self.settled_to = to;
    }

    fn within(&self, label: usize, from: i64, to: i64) -> (u64, u64) {
        let from = from.max(self.epoch).max(0);
        let range = || slot(from)..slot(to.max(from));
        let entries = self
            .entries
            .get(&label)
            .map_or(0, |entries| range().map(|time| u64::from(entries[time])).sum());
        let millis =
            self.time.get(&label).map_or(0, |spent| range().filter(|time| spent[*time]).count());
        (entries, u64::try_from(millis).expect("small"))
    }

    /// Milliseconds in which it was in the state for any skill.
    fn within_state(&self, state: usize, from: i64, to: i64) -> u64 {
        let from = from.max(self.epoch).max(0);
        let is_there = |time: &usize| {
            let labels = STATES[state].1.iter().filter_map(|label| self.time.get(label));
            labels.into_iter().any(|spent| spent[*time])
        };
        let millis = (slot(from)..slot(to.max(from))).filter(is_there).count();
        u64::try_from(millis).expect("small")
    }

    fn count(&mut self) {
        let observed = self.observed.expect("observed when counted");
        for state in 0..STATES.len() {
            let once =
                self.frozen_once[state] + self.within_state(state, self.settled_to, observed);
            self.best_once[state] = self.best_once[state].max(once);
        }
        for label in 0..LABELS.len() {
            let frozen = self.frozen.get(&label).copied().unwrap_or_default();
            let (entries, millis) = self.within(label, self.settled_to, observed);
            let best = self.best.entry(label).or_default();
            *best = (best.0.max(frozen.0 + entries), best.1.max(frozen.1 + millis));
        }
    }
}

/// The order of reading: each report that overtakes the one before it (of the other target) is read
/// first.
fn reading_order(reports: &[ModelReport]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..reports.len()).collect();
    for place in 1..order.len() {
        let (earlier, later) = (&reports[order[place - 1]], &reports[order[place]]);
        if later.overtakes && earlier.target != later.target {
            order.swap(place - 1, place);
        }
    }
    order
}

fn raw(row: &ModelRow) -> RawRow<'static> {
    let (state, skill) = LABELS[row.label];
    RawRow { count: row.count, ..super::row(AGENTS[row.agent], state, skill, row.start, row.end) }
}

proptest! {
    #![proptest_config(at_least(1_500))]

    /// Arbitrary windows, overlaps, orders of reading, repeated, late and revised rows.
    #[test]
    fn the_ledger_equals_a_replay_over_an_array_of_milliseconds(reports in prop::collection::vec(model_report(), 1..12)) {
        let mut ledger = ledger(RowKind::Intervals, Detail::AgentSkill, OVERLAP, 2);
        let mut model = Model { horizon: i64::MIN, ..Model::default() };
        let order = reading_order(&reports);
        for (read, &asked) in order.iter().enumerate() {
            let next = &reports[asked];
            let oldest_pending = order[read..].iter().min().copied().unwrap_or(asked);
            let rows: Vec<RawRow<'_>> = next.rows.iter().map(raw).collect();
            let mut from = origin(next.target, asked + 1, next.from, next.to);
            from.oldest_pending = SubmitOrder(u64::try_from(oldest_pending).expect("small") + 1);
            ledger.apply(&from, &report(&rows));
            model.read(u64::try_from(asked).expect("small") + 1, next);
            for (key, counts) in published(&ledger, 2) {
                let agent = AGENTS.iter().position(|name| *name == key.0).expect("known");
                let label = LABELS.iter().position(|label| *label == (key.1, key.2)).expect("known");
                let best = model.agents[&agent].best.get(&label).copied().unwrap_or_default();
                prop_assert_eq!(counts, best, "after report {} of {:?}: {:?}", asked, order, key);
            }
            for ((agent, state), millis) in published_once(&ledger, 2) {
                let place = AGENTS.iter().position(|name| *name == agent).expect("known");
                let of_state = STATES.iter().position(|(name, _)| *name == state).expect("known");
                let best = model.agents[&place].best_once[of_state];
                prop_assert_eq!(millis, best, "after report {} of {:?}: {}", asked, order, state);
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Truth {
    agent: usize,
    label: usize,
    start: i64,
    pub(super) end: i64,
    /// How long after its start the row appears.
    late: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportStyle {
    Cut,
    Whole,
    EventsWithEnd,
    EventsWithoutEnd,
    Buckets,
    States(OngoingStyle, RowChoice),
}

/// How a state in progress is reported, where an agent is in one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OngoingStyle {
    WithoutLength,
    SoFar,
    /// With a length of 0.
    AsNothing,
}

/// Which rows are reported, where an agent is in one state at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowChoice {
    Beginning,
    Touching,
}

/// The end of a visit that does not end.
pub(super) const FOREVER: i64 = u32::MAX as i64;

pub(super) fn history() -> impl Strategy<Value = Vec<Truth>> {
    let visit = (
        0..3_usize,
        prop_oneof![1 => Just(0_i64), 6 => 1..60_i64],
        prop_oneof![3 => Just(0_i64), 1 => 0..OVERLAP],
        any::<bool>(),
        prop_oneof![4 => Just(0_i64), 1 => 1..20_i64],
    );
    // The second skill may be reported later, and for longer or shorter.
    let visit = (visit, prop_oneof![2 => Just((0_i64, 0_i64)), 1 => (0..9_i64, -9..9_i64)]);
    let day = prop::collection::vec(visit, 1..40);
    prop::collection::vec(day, 2).prop_map(|days| {
        let mut truth = Vec::new();
        for (agent, day) in days.into_iter().enumerate() {
            let mut start = 3;
            for ((label, length, late, on_both, pause), (later, longer)) in day {
                truth.push(Truth { agent, label, start, end: start + length, late });
                let (mut began, mut end) = (start, start + length);
                if on_both && label < 2 {
                    began = start + later;
                    let second = Truth {
                        label: 1 - label,
                        start: began,
                        end: began.max(end + longer),
                        agent,
                        late,
                    };
                    end = end.max(second.end);
                    truth.push(second);
                }
                // Two visits of one label cannot begin at once: they would be one.
                start = end.max(began + 1) + pause;
            }
        }
        truth
    })
}

/// The rows of a report asked at `now` for `window`.
pub(super) fn rows_in(
    truth: &[Truth],
    style: ReportStyle,
    window: Window,
    now: i64,
) -> Vec<RawRow<'static>> {
    let (from, to) = (window.from.millis(), window.to.millis());
    if style == ReportStyle::Buckets {
        let counts =
            true_counts(truth, from, to).into_iter().filter(|(_, (entries, _))| *entries > 0);
        let bucket = |((agent, state, skill), (entries, _)): (SeriesKey, (u64, u64))| RawRow {
            count: u32::try_from(entries).expect("few"),
            ..row(agent, state, skill, from, Some(to))
        };
        return counts.map(bucket).collect();
    }
    let is_reported = |visit: &&Truth| visit.start + visit.late <= now && visit.start <= now;
    let rows = truth.iter().filter(is_reported).filter_map(|visit| {
        let known_end = (visit.end <= now).then_some(visit.end);
        let (start, end) = match style {
            ReportStyle::Cut if visit.start < to && (visit.end > from || visit.start >= from) => {
                (visit.start.max(from), Some(known_end.unwrap_or(to).min(to)))
            }
            ReportStyle::Whole if visit.start < to && (visit.end > from || visit.start >= from) => {
                (visit.start, known_end)
            }
            // An event is reported once, so its end must be reported with its beginning.
            ReportStyle::EventsWithEnd if (from..to).contains(&visit.start) => {
                (visit.start, Some(visit.end))
            }
            ReportStyle::EventsWithoutEnd if (from..to).contains(&visit.start) => {
                (visit.start, None)
            }
            ReportStyle::States(open, choice)
                if (from..to).contains(&visit.start)
                    || choice == RowChoice::Touching && visit.start < to && visit.end > from =>
            {
                let so_far = match open {
                    OngoingStyle::WithoutLength => None,
                    OngoingStyle::SoFar => Some(now),
                    OngoingStyle::AsNothing => Some(visit.start),
                };
                (visit.start, known_end.or(so_far))
            }
            ReportStyle::Cut
            | ReportStyle::Whole
            | ReportStyle::EventsWithEnd
            | ReportStyle::EventsWithoutEnd
            | ReportStyle::Buckets
            | ReportStyle::States(..) => return None,
        };
        let (state, skill) = LABELS[visit.label];
        Some(row(AGENTS[visit.agent], state, skill, start, end))
    });
    rows.flat_map(|row| [row.clone(), row]).collect()
}

pub(super) fn true_counts(truth: &[Truth], from: i64, to: i64) -> CountsByKey {
    let mut counts = CountsByKey::new();
    for visit in truth {
        let (state, skill) = LABELS[visit.label];
        let count = counts.entry((AGENTS[visit.agent], state, skill)).or_default();
        count.0 += u64::from((from..to).contains(&visit.start));
        count.1 += u64::try_from(visit.end.min(to) - visit.start.max(from)).unwrap_or(0);
    }
    counts
}

/// Time by agent and state, each millisecond once, whatever the skills.
fn true_once(truth: &[Truth], from: i64, to: i64) -> TimeByState {
    let mut once: BTreeMap<_, BTreeSet<i64>> = BTreeMap::new();
    for visit in truth {
        let spent = once.entry((AGENTS[visit.agent], LABELS[visit.label].0)).or_default();
        spent.extend(visit.start.max(from)..visit.end.min(to));
    }
    let count = |spent: BTreeSet<i64>| u64::try_from(spent.len()).expect("small");
    once.into_iter().map(|(key, spent)| (key, count(spent))).collect()
}

/// Agent, state and skill as they are shown.
type ShownCounts = BTreeMap<[String; 3], (u64, u64)>;

/// The counts of each agent; and that they are those of all agents together.
fn published_names(ledger: &Ledger) -> ShownCounts {
    let snapshot = Snapshot::of(ledger, &show(2));
    let mut shown = ShownCounts::new();
    let mut over_all = ShownCounts::new();
    for agent in snapshot.agents() {
        for label in &agent.labels {
            let name = |agent: &str| [agent, &label.state, &label.skill].map(str::to_owned);
            shown.insert(name(&agent.agent), (label.entries, label.millis));
            let sum = over_all.entry(name("")).or_default();
            *sum = (sum.0 + label.entries, sum.1 + label.millis);
        }
    }
    let totals = snapshot.states.iter().map(|states| {
        let name = ["", &states.state, &states.skill].map(str::to_owned);
        (name, (states.entries, states.millis))
    });
    assert_eq!(totals.collect::<ShownCounts>(), over_all);
    shown
}

/// The true counts as they are to be shown: what has no label of its own is added up as `other`.
fn true_names(ledger: &Ledger, truth: &[Truth], from: i64, to: i64) -> ShownCounts {
    let mut shown = ShownCounts::new();
    for ((agent, state, skill), counts) in true_counts(truth, from, to) {
        let state = ledger.catalog.find_state(state).map_or("other", |_| state);
        let skill = ledger.catalog.find(state, skill).map_or("other", |_| skill);
        let sum = shown.entry([agent, state, skill].map(str::to_owned)).or_default();
        *sum = (sum.0 + counts.0, sum.1 + counts.1);
    }
    shown
}

proptest! {
    #![proptest_config(at_least(150))]

    #[test]
    fn what_is_over_the_limits_on_labels_is_added_up_exactly(
        truth in history(), polls in polls(), first in 1..100_i64, states in 0..3_usize, pairs in 0..4_usize,
        style in prop_oneof![Just(ReportStyle::Cut), Just(ReportStyle::Whole), Just(ReportStyle::EventsWithEnd)],
    ) {
        let (ledger, epoch, watermark) = poll_within(LabelLimits { states, pairs }, &truth, style, &polls, first);
        let expected = true_names(&ledger, &truth, epoch, watermark);
        for (name, counts) in published_names(&ledger) {
            prop_assert_eq!(counts, expected.get(&name).copied().unwrap_or_default(), "{:?} {:?} in [{}, {})", style, name, epoch, watermark);
        }
    }

    #[test]
    fn states_over_the_limit_end_each_other_though_they_share_a_label(truth in unbroken(), polls in polls(), first in 1..100_i64) {
        let limits = LabelLimits { states: 0, pairs: 0 };
        let (ledger, epoch, watermark) = poll_within(limits, &truth[..truth.len() - 1], ReportStyle::EventsWithoutEnd, &polls, first);
        let mut truth = truth[..truth.len() - 1].to_vec();
        let end = truth.iter().map(|visit| visit.end).max().expect("not empty");
        truth.iter_mut().filter(|visit| visit.end == end).for_each(|visit| visit.end = i64::from(u32::MAX));
        let expected = true_names(&ledger, &truth, epoch, watermark);
        for (name, counts) in published_names(&ledger) {
            prop_assert_eq!(counts, expected.get(&name).copied().unwrap_or_default(), "{:?} in [{}, {})", name, epoch, watermark);
        }
    }
}

/// One poll: which target, how long after the one before, and what happens to it.
#[derive(Clone, Copy, Debug)]
struct PollAt {
    target: usize,
    pause: i64,
    fate: PollFate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PollFate {
    None,
    /// Its report is read after the next one.
    Overtaken,
    /// The process ends after it is committed, and another one goes on from the store.
    Restart,
    /// It cannot be committed.
    NotKept,
}

/// A ledger and the store that it is committed to.
struct StoredLedger {
    ledger: Ledger,
    store: MemoryStore,
}

impl StoredLedger {
    fn filters() -> Vec<ReportFilter> {
        ["1", "2"].map(|id| ReportFilter { kind: "team".to_owned(), id: id.to_owned() }).to_vec()
    }

    fn apply(&mut self, origin: &ReportOrigin, rows: &[RawRow<'_>], fate: PollFate) {
        let before = (fate == PollFate::NotKept).then(|| self.everything());
        let (_, change) = self.ledger.apply(origin, &report(rows));
        if let Some(before) = before {
            self.ledger.take_back(change);
            assert_eq!(before, self.everything(), "what is taken back leaves nothing");
            return;
        }
        self.store
            .commit(&self.ledger.records(&change, &Self::filters(), None))
            .expect("there is room");
        if fate == PollFate::Restart {
            super::snapshot::check(&self.ledger, &Self::filters());
            let rules = (*self.ledger.catalog.rules).clone();
            let checkpoint = crate::checkpoint::read(
                &mut self.store,
                rules,
                &Self::filters(),
                &crate::privacy::AgentIds::Raw,
                None,
            )
            .expect("whole");
            assert_eq!(published_names(&self.ledger), published_names(&checkpoint.ledger));
            let of = |ledger: &Ledger| (ledger.horizon, ledger.forget_at);
            assert_eq!(of(&self.ledger), of(&checkpoint.ledger));
            self.ledger = checkpoint.ledger;
            let mut kept: BTreeMap<Vec<u8>, Vec<u8>> = self.everything();
            // A target without a report is given a new key at each start.
            kept.remove(&RecordKey::Ledger.to_bytes());
            self.store
                .read(&mut |key, value| {
                    if let Some(kept) = kept.remove(key) {
                        assert_eq!(kept, value);
                    } else {
                        assert_eq!(key, RecordKey::Ledger.to_bytes());
                    }
                })
                .expect("readable");
        }
    }

    fn everything(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let records = self.ledger.all_records(&Self::filters(), &[None, None]);
        records.into_iter().filter_map(|record| Some((record.key, record.value?))).collect()
    }
}

/// Polls of two targets that both cover every agent, at random moments.
fn poll(truth: &[Truth], style: ReportStyle, polls: &[PollAt], first: i64) -> (Ledger, i64, i64) {
    poll_within(LabelLimits::default(), truth, style, polls, first)
}

/// The same with these limits on labels.
fn poll_within(
    limits: LabelLimits,
    truth: &[Truth],
    style: ReportStyle,
    polls: &[PollAt],
    first: i64,
) -> (Ledger, i64, i64) {
    let (rows, overlap) = match style {
        ReportStyle::Cut | ReportStyle::Whole => (RowKind::Intervals, OVERLAP),
        ReportStyle::EventsWithEnd | ReportStyle::EventsWithoutEnd => (RowKind::Events, OVERLAP),
        ReportStyle::Buckets => (RowKind::Buckets, 0),
        ReportStyle::States(..) => (RowKind::States, OVERLAP),
    };
    let mut ledger = ledger(rows, Detail::AgentSkill, overlap, 2);
    Arc::make_mut(&mut ledger.catalog.rules).labels = limits;
    let mut kept = StoredLedger { ledger, store: MemoryStore::default() };
    let mut now = first;
    let mut waiting: Option<(ReportOrigin, Vec<RawRow<'static>>)> = None;
    let ended = truth.iter().map(|visit| visit.end).filter(|end| *end < FOREVER);
    let last_visit = ended.map(|end| end + OVERLAP).max().unwrap_or(0);
    let calm = |target, pause| PollAt { target, pause, fate: PollFate::None };
    let settle =
        [calm(0, last_visit.max(now)), calm(1, OVERLAP), calm(0, OVERLAP), calm(1, OVERLAP)];
    for (asked, &PollAt { target, pause, fate }) in polls.iter().chain(&settle).enumerate() {
        now += pause;
        let id = TargetId::new(target);
        let watermark = kept.ledger.watermark(id);
        let from = watermark.map_or(0, |watermark| (watermark.millis() - overlap).max(0));
        if waiting.as_ref().is_some_and(|(origin, _)| origin.target == id)
            || watermark.is_some_and(|watermark| watermark >= at(now))
        {
            continue;
        }
        let mut this = origin(target, asked + 1, from, now);
        let rows = rows_in(truth, style, this.window, now);
        if let Some((held, _)) = &waiting {
            this.oldest_pending = held.order;
        }
        if fate == PollFate::Overtaken && waiting.is_none() {
            waiting = Some((this, rows));
            continue;
        }
        kept.apply(&this, &rows, fate);
        if let Some((mut held, rows)) = waiting.take() {
            held.oldest_pending = held.order;
            kept.apply(&held, &rows, PollFate::None);
        }
    }
    let ledger = kept.ledger;
    let epoch =
        (0..2).filter_map(|target| ledger.epoch(TargetId::new(target))).min().expect("polled");
    let watermark =
        (0..2).filter_map(|target| ledger.watermark(TargetId::new(target))).max().expect("polled");
    (ledger, epoch.millis(), watermark.millis())
}

fn polls() -> impl Strategy<Value = Vec<PollAt>> {
    let fate = prop_oneof![6 => Just(PollFate::None), 3 => Just(PollFate::Overtaken), 2 => Just(PollFate::Restart), 1 => Just(PollFate::NotKept)];
    let poll = (0..2_usize, 1..80_i64, fate).prop_map(|(target, pause, fate)| PollAt {
        target,
        pause,
        fate,
    });
    prop::collection::vec(poll, 1..30)
}

proptest! {
    #![proptest_config(at_least(1_000))]

    #[test]
    fn the_counts_are_true_whatever_the_windows_and_the_style_of_the_rows(
        truth in history(), polls in polls(), first in 1..100_i64,
        style in prop_oneof![Just(ReportStyle::Cut), Just(ReportStyle::Whole), Just(ReportStyle::EventsWithEnd)],
    ) {
        let (ledger, epoch, watermark) = poll(&truth, style, &polls, first);
        let expected = true_counts(&truth, epoch, watermark);
        for (key, counts) in published(&ledger, 2) {
            prop_assert_eq!(counts, expected.get(&key).copied().unwrap_or_default(), "{:?} {:?} in [{}, {})", style, key, epoch, watermark);
        }
        let expected = true_once(&truth, epoch, watermark);
        for (key, millis) in published_once(&ledger, 2) {
            prop_assert_eq!(millis, expected.get(&key).copied().unwrap_or_default(), "{:?} {:?} once in [{}, {})", style, key, epoch, watermark);
        }
    }
}

proptest! {
    #![proptest_config(at_least(1_000))]

    #[test]
    fn buckets_of_two_targets_are_counted_once_and_whole(truth in history(), polls in polls(), first in 1..100_i64) {
        let truth: Vec<Truth> = truth.into_iter().map(|visit| Truth { late: 0, ..visit }).collect();
        let (ledger, _, _) = poll(&truth, ReportStyle::Buckets, &polls, first);
        for agent in Snapshot::of(&ledger, &show(2)).agents() {
            let observed = agent.observed.expect("not stale").millis();
            // That of the target it was first counted from: another's buckets that begin earlier
            // cannot be taken apart.
            let epoch = ledger.agents[&agent.agent].unpack().epoch;
            prop_assert!((0..2).any(|target| ledger.epoch(TargetId::new(target)) == Some(epoch)));
            let epoch = epoch.millis();
            let expected = true_counts(&truth, epoch, observed);
            for label in &agent.labels {
                let key = expected.iter().find(|((name, state, skill), _)| **name == *agent.agent && **state == *label.state && **skill == *label.skill);
                prop_assert_eq!(label.entries, key.map_or(0, |(_, (entries, _))| *entries), "{:?} in [{}, {})", label, epoch, observed);
            }
        }
    }
}

/// A history without late rows, no length, pauses, or neighbours in one state: what events without
/// an end can express.
fn unbroken() -> impl Strategy<Value = Vec<Truth>> {
    prop::collection::vec((1..40_i64, any::<bool>()), 2..40).prop_map(|day| {
        let mut start = 3;
        let mut truth = Vec::new();
        for (place, (length, on_both)) in day.into_iter().enumerate() {
            let labels = match (place % 2, on_both) {
                (0, true) => vec![0, 1],
                (0, false) => vec![0],
                (_, _) => vec![2],
            };
            truth.extend(labels.into_iter().map(|label| Truth {
                agent: 0,
                label,
                start,
                end: start + length,
                late: 0,
            }));
            start += length;
        }
        let last = truth.len() - 1;
        truth[last].end = i64::from(u32::MAX);
        truth
    })
}

proptest! {
    #[test]
    fn events_without_an_end_last_to_the_next_row_in_another_state(truth in unbroken(), polls in polls(), first in 1..100_i64) {
        let (ledger, epoch, watermark) = poll(&truth[..truth.len() - 1], ReportStyle::EventsWithoutEnd, &polls, first);
        let mut truth = truth[..truth.len() - 1].to_vec();
        let end = truth.iter().map(|visit| visit.end).max().expect("not empty");
        truth.iter_mut().filter(|visit| visit.end == end).for_each(|visit| visit.end = i64::from(u32::MAX));
        let expected = true_counts(&truth, epoch, watermark);
        for (key, counts) in published(&ledger, 2) {
            prop_assert_eq!(counts, expected.get(&key).copied().unwrap_or_default(), "{:?} in [{}, {})", key, epoch, watermark);
        }
    }
}

/// Agents who are in one state at a time, without a pause, in the last one for ever. A visit of no
/// length is at the instant of the next one, which may be to the same state and skill.
fn one_at_a_time() -> impl Strategy<Value = Vec<Truth>> {
    let length = prop_oneof![2 => Just(0_i64), 3 => 1..6_i64, 3 => 1..60_i64];
    let day = prop::collection::vec((0..3_usize, length), 1..40);
    prop::collection::vec(day, 2).prop_map(|days| {
        let mut truth = Vec::new();
        for (agent, day) in days.into_iter().enumerate() {
            let mut start = 3;
            for (label, length) in day {
                truth.push(Truth { agent, label, start, end: start + length, late: 0 });
                start += length;
            }
            truth.push(Truth { agent, label: 2, start, end: FOREVER, late: 0 });
        }
        truth
    })
}

proptest! {
    #![proptest_config(at_least(300))]

    #[test]
    fn one_state_at_a_time_is_counted_exactly_whatever_the_style_of_its_rows(
        truth in one_at_a_time(), polls in polls(), first in 1..100_i64,
        open in prop_oneof![Just(OngoingStyle::WithoutLength), Just(OngoingStyle::SoFar), Just(OngoingStyle::AsNothing)],
        choice in prop_oneof![Just(RowChoice::Beginning), Just(RowChoice::Touching)],
    ) {
        let (ledger, epoch, watermark) = poll(&truth, ReportStyle::States(open, choice), &polls, first);
        // Visits of one agent and label that begin at the same time cannot be distinguished.
        let mut visits: BTreeMap<(usize, usize, i64), Truth> = BTreeMap::new();
        for visit in truth {
            let key = (visit.agent, visit.label, visit.start);
            let end = visits.get(&key).map_or(visit.end, |known| known.end.max(visit.end));
            visits.insert(key, Truth { end, ..visit });
        }
        let truth: Vec<Truth> = visits.into_values().collect();
        let expected = true_counts(&truth, epoch, watermark);
        for (key, counts) in published(&ledger, 2) {
            prop_assert_eq!(counts, expected.get(&key).copied().unwrap_or_default(), "{:?} {:?} {:?} in [{}, {})", open, choice, key, epoch, watermark);
        }
    }
}
