//! Rendering on change: whatever happens, the page is the one that would be made from scratch, and only what changed is made again.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Format, Rendered, render};
use crate::domain::ledger::{Asked, Detail, Ledger, Origin, Rows, Rules, Show, ShownTarget, TargetId};
use crate::domain::report::{RawRow, Report};
use crate::domain::snapshot::Fingerprint;
use crate::domain::time::{Timestamp, Window};

/// How many agents each target has of its own; all have those in common, too.
const OWN: [i64; 5] = [130, 60, 1_030, 90, 140];
const COMMON: i64 = 3;
const STATES: [&str; 3] = ["Ready", "Lunch", "Wrap-up"];

/// A floor, and who shows it as the poller and the pages do.
struct Floor {
    ledger: Ledger,
    show: Show,
    now: i64,
    known: HashSet<Fingerprint>,
    page: Rendered,
}

impl Floor {
    fn new(detail: Detail, agent_info: bool) -> Self {
        let (lookback, overlap) = (Duration::from_secs(3600), Duration::from_secs(1));
        let rules = Rules { rows: Rows::Intervals, lookback, overlap, wrap_up: Vec::new(), detail };
        let target = |place| ShownTarget { name: Arc::from(format!("t{place}")), up: true, last_success: None, stale: false };
        let targets = (0..OWN.len()).map(target).collect();
        let ledger = Ledger::new(rules, OWN.len());
        let show = Show { targets, limits: BTreeMap::new(), max_series: 200_000, agent_info };
        let snapshot = ledger.snapshot(&show);
        Self { ledger, show, now: 10_000, known: snapshot.fingerprints(), page: render(snapshot, None) }
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
                state_id: Cow::Borrowed(""),
                skill_name: Cow::Borrowed("Sales"),
                count: 1,
                from: start,
                to: None,
            });
        }
        let asked = Asked(u64::try_from(to).expect("positive"));
        let window = Window { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) };
        let (_, change) = self.ledger.apply(&Origin { target: TargetId::new(target), asked, oldest_awaited: asked, window }, &report);
        if !is_kept {
            self.ledger.take_back(change);
        }
    }

    /// Shows what is known now. How many shards there are, and how many of them were made anew.
    fn publish(&mut self) -> (usize, usize) {
        let snapshot = self.ledger.snapshot_beside(&self.show, &self.known);
        self.known = snapshot.fingerprints();
        let (series, all) = (snapshot.series(), snapshot.shards.len());
        let told = snapshot.shards.iter().filter(|shard| shard.agents.is_some()).count();
        let page = render(snapshot, Some(&self.page));
        // The three of the exporter's own are no series about the contact centre.
        assert_eq!(page.samples(), series);
        assert_eq!(page.shards_shared_with(&self.page), all - told);
        self.page = page;
        (all, told)
    }
}

fn text(page: &Rendered, format: Format) -> Vec<u8> {
    page.page(format, "# EOF\n").plain().collect::<Vec<_>>().concat()
}

#[test]
fn a_report_has_only_the_shards_of_its_target_rendered_anew() {
    let mut floor = Floor::new(Detail::AgentSkill, false);
    for target in 0..OWN.len() {
        floor.read(target, 0, true);
    }
    // The second and the fourth target are small, and the third has two shards.
    assert_eq!(floor.publish(), (6, 6));
    assert_eq!(floor.publish(), (6, 0), "nothing was read");
    for (target, shards) in [(1, 2), (2, 3), (3, 2), (4, 2)] {
        floor.read(target, 0, true);
        assert_eq!(floor.publish(), (6, shards), "its own, and the first target's, where the agents are that all have");
    }
    floor.read(0, 0, true);
    assert_eq!(floor.publish(), (6, 1));
    floor.read(4, 0, false);
    assert_eq!(floor.publish(), (6, 0), "it was taken back");
    floor.show.targets[4].stale = true;
    assert_eq!(floor.publish(), (6, 1));
}

#[derive(Clone, Debug)]
enum Event {
    Report { target: usize, absent: i64, is_kept: bool },
    Stale(usize),
    Limit(u64),
    AgentInfo,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..OWN.len(), 0..4_i64, prop::bool::weighted(0.8))
            .prop_map(|(target, absent, is_kept)| Event::Report { target, absent, is_kept }),
        2 => (0..OWN.len()).prop_map(Event::Stale),
        1 => (0..10_000_u64).prop_map(Event::Limit),
        1 => Just(Event::AgentInfo),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn what_is_rendered_on_change_is_what_would_be_rendered_from_scratch(
        events in prop::collection::vec((event(), any::<bool>()), 1..16),
        detail in prop_oneof![3 => Just(Detail::AgentSkill), 1 => Just(Detail::Agent), 1 => Just(Detail::Aggregate)],
    ) {
        let mut floor = Floor::new(detail, true);
        for (event, is_published) in events {
            match event {
                Event::Report { target, absent, is_kept } => floor.read(target, absent, is_kept),
                Event::Stale(target) => floor.show.targets[target].stale ^= true,
                Event::Limit(limit) => floor.show.max_series = limit,
                Event::AgentInfo => floor.show.agent_info ^= true,
            }
            if is_published {
                floor.publish();
                let scratch = render(floor.ledger.snapshot(&floor.show), None);
                for format in [Format::OpenMetrics, Format::Text] {
                    prop_assert!(text(&floor.page, format) == text(&scratch, format), "{format:?} differs");
                }
            }
        }
    }
}
