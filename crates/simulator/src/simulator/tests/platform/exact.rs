//! The history of the platform API adds up to the actual totals.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use super::{all_pages, history, time};
use crate::faults::{Quirk, RowFault};
use crate::floor::ActualTotals;
use crate::options::HistoryRows;

/// Counts and milliseconds by agent, state and skill of the rows of a history, once
/// each, in `window`.
fn reported_sums(
    rows: &[Value],
    codes: &[i64],
    window: Window,
) -> BTreeMap<(String, String, Option<String>), (u64, u64)> {
    let mut seen = BTreeSet::new();
    let mut sums = BTreeMap::new();
    for row in rows.iter().filter(|row| {
        seen.insert(format!("{} {} {}", row["agentId"], row["agentSessionId"], row["stateIndex"]))
    }) {
        let start = time(&row["startDate"]);
        let text = row["duration"]
            .as_str()
            .map_or_else(|| format!("PT{}S", row["duration"]), str::to_owned);
        let length = text
            .parse::<jiff::Span>()
            .expect("ISO 8601")
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .expect("a length");
        let end = Timestamp::from_millis(
            start.millis() + i64::try_from(length.as_millis()).expect("a length"),
        );
        let wrap_up = row["outStateId"].as_i64().is_some_and(|code| codes.contains(&code));
        let state =
            if wrap_up { "Wrap-up" } else { row["agentStateName"].as_str().expect("a state") };
        let key = (
            row["agentId"].to_string(),
            state.to_owned(),
            row["skillName"].as_str().map(str::to_owned),
        );
        let sum: &mut (u64, u64) = sums.entry(key).or_default();
        sum.0 += u64::from(window.contains(start));
        sum.1 += u64::try_from(end.min(window.to).since(start.max(window.from)).as_millis())
            .expect("a length");
    }
    sums.retain(|_, sums| *sums != (0, 0));
    sums
}

fn expected_sums(
    truths: Vec<ActualTotals>,
    past: bool,
) -> BTreeMap<(String, String, Option<String>), (u64, u64)> {
    let of = |truth: ActualTotals| {
        (
            (truth.agent, truth.state.to_owned(), truth.skill.map(str::to_owned)),
            (truth.entries, if past { truth.millis } else { 0 }),
        )
    };
    truths.into_iter().map(of).filter(|(_, sums)| *sums != (0, 0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_pages_of_a_history_add_up_to_the_actual_totals(
        seed in 0_u64..1000,
        from in -200_000_000_i64..0,
        length in 1_i64..7_200_000,
        page_rows in 3_usize..200,
        touching: bool,
        chances in proptest::array::uniform5(0.0..1.0),
    ) {
        let [seconds, short, empty, repeated, shuffled] = chances;
        let faults = Faults::default().with_quirk(Quirk::Seconds, seconds).with_quirk(Quirk::ShortPages, short)
            .with_quirk(Quirk::NoContent, empty).with_row(RowFault::Repeated, repeated).with_row(RowFault::Shuffled, shuffled);
        let rows = if touching { HistoryRows::Touching } else { HistoryRows::Starting };
        let pace = NonZeroU32::new(5).expect("a pace");
        let simulator = Simulator::new(SimulatorOptions { seed, agents: 6, pace, page_rows, history: rows, faults, ..small() });
        let window = Window { from: at(from), to: at(from + length) };
        // A week later everything that began in the window has ended.
        let now = at(7 * 24 * 3_600_000);
        let (rows, _) = all_pages(&simulator, now, &history(window.from, window.to), "agentStateHistory");
        let mut reported = reported_sums(&rows, &[704], window);
        if !touching {
            reported.values_mut().for_each(|sums| sums.1 = 0);
            reported.retain(|_, sums| *sums != (0, 0));
        }
        prop_assert_eq!(reported, expected_sums(simulator.floor().platform_totals(window), touching));
    }
}
