//! Rendering on change: whatever happens, the page equals one rendered from scratch, and only what
//! changed is rendered again.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Format, Rendered, render};
use cxone_core::counts::Fingerprint;
use cxone_core::counts::{
    CountingRules, Detail, LabelLimits, Ledger, LedgerLoader, RecordKey, ReportOrigin, RowKind,
    SubmitOrder, TargetId,
};
use cxone_core::live::{Live, LiveRow};
use cxone_core::page::snapshot::{LiveSeries, Snapshot};
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::privacy::Privacy;
use cxone_core::report::{RawRow, Report, ReportFilter};
use cxone_core::time::{Timestamp, Window};

/// Number of agents of each target alone; all targets share the common ones.
const OWN: [i64; 5] = [130, 60, 1_030, 90, 140];
const COMMON: i64 = 3;
const STATES: [&str; 3] = ["Ready", "Lunch", "Wrap-up"];

/// A contact centre whose pages are rendered as the engine does.
struct RandomFloor {
    ledger: Ledger,
    show: SnapshotOptions,
    now: i64,
    live: Option<Live>,
    polls: i64,
    known: HashSet<Fingerprint>,
    page: Rendered,
}

fn rules(detail: Detail, lookback: Duration) -> CountingRules {
    let (overlap, labels) = (Duration::from_secs(1), LabelLimits::default());
    CountingRules {
        rows: RowKind::Intervals,
        lookback,
        overlap,
        wrap_up: Vec::new(),
        detail,
        labels,
    }
}

impl RandomFloor {
    fn new(detail: Detail, agent_info: bool) -> Self {
        let target = |place| TargetHealth {
            name: Arc::from(format!("t{place}")),
            up: true,
            last_success: None,
            stale: false,
        };
        let targets = (0..OWN.len()).map(target).collect();
        let ledger = Ledger::new(rules(detail, Duration::from_secs(3600)), OWN.len());
        let show =
            SnapshotOptions { targets, limits: BTreeMap::new(), max_series: 200_000, agent_info };
        let snapshot = Snapshot::of(&ledger, &show);
        Self {
            ledger,
            show,
            now: 10_000,
            live: None,
            polls: 0,
            known: snapshot.fingerprints(),
            page: render(snapshot, None),
        }
    }

    /// A live poll with every `step`th agent, shortly before or after the newest report.
    fn poll(&mut self, is_all: bool, step: usize, offset: i64) {
        self.polls += 1;
        let own = OWN
            .into_iter()
            .enumerate()
            .flat_map(|(target, own)| (0..own).map(move |agent| format!("t{target}-{agent}")));
        let alone = (0..1_500).map(|agent| format!("alone-{agent}"));
        let rows = own.chain(alone).zip(0_i64..).step_by(step).map(|(agent, number)| LiveRow {
            agent,
            agent_name: if number % 3 == 0 { "Bob".to_owned() } else { String::new() },
            state: if number % 4 == 0 {
                "Meeting".to_owned()
            } else {
                STATES[usize::try_from(number % 3).expect("small")].to_owned()
            },
            skill: if number % 5 == 0 { String::new() } else { "Sales".to_owned() },
            start: (number % 7 != 3)
                .then(|| Timestamp::from_millis(self.polls / 2 * 1_000 + number)),
            ..LiveRow::default()
        });
        let (rows, observed) = (rows.collect(), Timestamp::from_millis(self.now + offset));
        let privacy = Privacy { names: true, ..Privacy::default() };
        let live = self.live.get_or_insert_with(|| Live::new(Vec::new(), privacy));
        if is_all { live.replace(rows, observed) } else { live.update(rows, observed) }
    }

    /// A report of one target; every `absent`th agent has no row in it.
    fn read(&mut self, target: usize, absent: i64, is_kept: bool) {
        let (from, to) = (self.now - 2_000, self.now + 5_000);
        self.now = to;
        let own = (0..OWN[target]).map(|agent| format!("t{target}-{agent}"));
        let agents = own.chain((0..COMMON).map(|agent| format!("z-{agent}"))).zip(0..);
        let mut report = Report::default();
        for (agent, number) in agents.filter(|(_, number)| absent == 0 || number % absent != 0) {
            let state = STATES[usize::try_from((number + to / 5_000) % 3).expect("small")];
            let start = Timestamp::from_millis(from + 2_000 + number % 2_500);
            report.push(&RawRow {
                user_id: Cow::Owned(agent),
                user_name: Cow::Borrowed(if number % 2 == 0 { "Ann" } else { state }),
                state_name: Cow::Borrowed(state),
                skill_name: Cow::Borrowed("Sales"),
                count: 1,
                from: start,
                to: None,
                ..RawRow::default()
            });
        }
        let order = SubmitOrder(u64::try_from(to).expect("positive"));
        let window = Window { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) };
        let (_, change) = self.ledger.apply(
            &ReportOrigin { target: TargetId::new(target), order, oldest_pending: order, window },
            &report,
        );
        if !is_kept {
            self.ledger.take_back(change);
        }
    }

    /// As after a reload: the ledger is read back, under these rules, and the page stays.
    fn restart(&mut self, detail: Detail, lookback: Duration) {
        let filters: Vec<ReportFilter> = (0..OWN.len())
            .map(|place| ReportFilter { kind: "team".to_owned(), id: place.to_string() })
            .collect();
        let mut restored = LedgerLoader::default();
        let mut records = self.ledger.all_records(&filters, &vec![None; OWN.len()]);
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for record in records {
            let (key, value) = (RecordKey::from_bytes(&record.key), record.value);
            restored.take(key.expect("a key"), &value.expect("a value")).expect("sound");
        }
        self.ledger = restored.into_ledger(rules(detail, lookback), &filters).expect("sound");
        self.known = HashSet::new();
    }

    /// The live states, and what is added up of them.
    fn over(&self) -> Option<(&Live, LiveSeries)> {
        self.live
            .as_ref()
            .map(|live| (live, LiveSeries { teams: live.teams(), ..LiveSeries::default() }))
    }

    /// Renders the snapshot. The number of shards, and of those rendered again.
    fn publish(&mut self) -> (usize, usize) {
        let snapshot = Snapshot::build(&self.ledger, self.over(), &self.show, &self.known);
        self.known = snapshot.fingerprints();
        let (series, all) = (snapshot.series(), snapshot.shards.len());
        let rendered = snapshot.shards.iter().filter(|shard| shard.agents.is_some()).count();
        let page = render(snapshot, Some(&self.page));
        // The exporter's own three series are not about the contact centre.
        assert_eq!(page.samples(), series);
        assert_eq!(page.shards_shared_with(&self.page), all - rendered);
        self.page = page;
        (all, rendered)
    }
}

fn text(page: &Rendered, format: Format) -> Vec<u8> {
    page.page(format, &"# EOF\n".into()).plain().collect::<Vec<_>>().concat()
}

#[test]
fn a_report_renders_only_the_shards_of_its_target() {
    let mut floor = RandomFloor::new(Detail::AgentSkill, false);
    for target in 0..OWN.len() {
        floor.read(target, 0, true);
    }
    // The second and the fourth target are small, and the third has two shards.
    assert_eq!(floor.publish(), (6, 6));
    assert_eq!(floor.publish(), (6, 0), "nothing was read");
    for (target, shards) in [(1, 2), (2, 3), (3, 2), (4, 2)] {
        floor.read(target, 0, true);
        assert_eq!(
            floor.publish(),
            (6, shards),
            "its own, and the first target's, where the agents are that all have"
        );
    }
    floor.read(0, 0, true);
    assert_eq!(floor.publish(), (6, 1));
    floor.read(4, 0, false);
    assert_eq!(floor.publish(), (6, 0), "it was taken back");
    floor.show.targets[4].stale = true;
    assert_eq!(floor.publish(), (6, 1));
}

#[test]
fn a_live_poll_renders_only_the_shards_with_a_changed_state() {
    let mut floor = RandomFloor::new(Detail::AgentSkill, false);
    for target in 0..OWN.len() {
        floor.read(target, 0, true);
    }
    floor.poll(true, 1, 1_000);
    assert_eq!(floor.publish(), (8, 8), "two shards of agents that only the live feed knows");
    let before = text(&floor.page, Format::Text);
    floor.polls = 0;
    floor.poll(true, 1, 2_000);
    assert_eq!(floor.publish(), (8, 0), "nobody changed state");
    assert!(text(&floor.page, Format::Text) != before, "but everybody was observed again");
    floor.polls = 1;
    floor.poll(false, 2_000, 3_000);
    assert_eq!(floor.publish(), (8, 2), "the first agent and one that only the live feed knows");
    let live = floor.live.as_mut().expect("it was polled");
    assert!(live.set_stale(true));
    assert_eq!(floor.publish(), (6, 6), "each had an agent whose live state went");
}

#[test]
fn a_page_never_reuses_shards_rendered_by_other_rules() {
    let mut floor = RandomFloor::new(Detail::AgentSkill, false);
    for target in 0..OWN.len() {
        floor.read(target, 0, true);
    }
    floor.restart(Detail::AgentSkill, Duration::from_secs(3600));
    floor.publish();
    for (detail, lookback) in [
        (Detail::Agent, 3600),
        (Detail::Agent, 1),
        (Detail::Aggregate, 1),
        (Detail::AgentSkill, 1),
        (Detail::AgentSkill, 3600),
    ] {
        floor.restart(detail, Duration::from_secs(lookback));
        floor.publish();
        let scratch = render(Snapshot::of(&floor.ledger, &floor.show), None);
        let (page, expected) = (text(&floor.page, Format::Text), text(&scratch, Format::Text));
        assert!(page == expected, "{detail:?} {lookback}");
    }
}

#[test]
fn a_page_never_reuses_shards_of_another_ledger_with_as_many_reports() {
    let mut floor = RandomFloor::new(Detail::AgentSkill, false);
    floor.read(0, 0, true);
    floor.publish();
    // The same agents after as many reports, elsewhere.
    let mut other = RandomFloor::new(Detail::AgentSkill, false);
    other.now += 1_000;
    other.read(0, 0, true);
    floor.ledger = other.ledger;
    floor.known = HashSet::new();
    floor.publish();
    let scratch = render(Snapshot::of(&floor.ledger, &floor.show), None);
    assert!(text(&floor.page, Format::Text) == text(&scratch, Format::Text));
}

#[derive(Clone, Debug)]
enum Event {
    Report { target: usize, absent: i64, is_kept: bool },
    Stale(usize),
    Limit(u64),
    AgentInfo,
    Poll { is_all: bool, step: usize, offset: i64 },
    LiveStale,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..OWN.len(), 0..4_i64, prop::bool::weighted(0.8))
            .prop_map(|(target, absent, is_kept)| Event::Report { target, absent, is_kept }),
        2 => (0..OWN.len()).prop_map(Event::Stale),
        1 => (0..10_000_u64).prop_map(Event::Limit),
        1 => Just(Event::AgentInfo),
        4 => (any::<bool>(), 1..6_usize, -3_000..3_000_i64).prop_map(|(is_all, step, offset)| Event::Poll { is_all, step, offset }),
        1 => Just(Event::LiveStale),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn rendering_on_change_equals_rendering_from_scratch(
        events in prop::collection::vec((event(), any::<bool>()), 1..16),
        detail in prop_oneof![3 => Just(Detail::AgentSkill), 1 => Just(Detail::Agent), 1 => Just(Detail::Aggregate)],
    ) {
        let mut floor = RandomFloor::new(detail, true);
        for (event, is_published) in events {
            match event {
                Event::Report { target, absent, is_kept } => floor.read(target, absent, is_kept),
                Event::Stale(target) => floor.show.targets[target].stale ^= true,
                Event::Limit(limit) => floor.show.max_series = limit,
                Event::AgentInfo => floor.show.agent_info ^= true,
                Event::Poll { is_all, step, offset } => floor.poll(is_all, step, offset),
                Event::LiveStale => {
                    if let Some(live) = &mut floor.live {
                        live.set_stale(live.observed().is_some());
                    }
                }
            }
            if is_published {
                floor.publish();
                let scratch = render(Snapshot::build(&floor.ledger, floor.over(), &floor.show, &HashSet::new()), None);
                for format in [Format::OpenMetrics, Format::Text] {
                    prop_assert!(text(&floor.page, format) == text(&scratch, format), "{format:?} differs");
                }
            }
        }
    }
}
