//! A watermark that a clock which was ahead has put into the future.

use super::{SingleTarget, at, row};
use crate::counts::{Detail, RowKind, TargetId};
use crate::report::RawRow;

const TARGET: TargetId = TargetId::new(0);

#[test]
fn what_comes_after_the_watermark_was_set_back_counts_as_if_nothing_had_happened() {
    // As (kind of rows, rows that lie in the future, or none but the lasting one).
    for rows in [RowKind::Intervals, RowKind::Events, RowKind::States] {
        let mut one = SingleTarget::new(rows, Detail::AgentSkill);
        one.read(0, 1_000, &[row("user-1", "Ready", "", 500, None)]);
        one.ledger.set_passed(at(2_000));
        let lasting = if rows == RowKind::Intervals { 500 } else { 1_500 };
        one.read(900, 9_000, &[row("user-1", "Ready", "", lasting, None)]);
        assert!(one.counts("Ready", "").1 >= 7_500, "it is said to last until 9,000");

        let before = one.ledger.clone();
        let change = one.ledger.set_back(TARGET, at(2_000));
        assert_eq!(one.ledger.watermark(TARGET), Some(at(2_000)));
        one.ledger.take_back(change);
        assert_eq!(one.ledger.watermark(TARGET), before.watermark(TARGET));
        assert_eq!(one.snapshot().shards.len(), 1);

        one.ledger.set_back(TARGET, at(2_000));
        // The lasting visit ended at 2,050, and two more follow: what was published never falls.
        one.read(
            1_900,
            3_000,
            &[
                row("user-1", "Ready", "", lasting, Some(2_050)),
                row("user-1", "Break", "", 2_050, Some(2_500)),
                row("user-1", "Ready", "", 2_500, None),
            ],
        );
        assert_eq!(one.counts("Break", ""), (1, 450), "{rows:?}");
        let starts = if rows == RowKind::Intervals { 1 } else { 2 };
        assert_eq!(one.counts("Ready", "").0, starts, "{rows:?}");
        one.read(2_900, 20_000, &[row("user-1", "Ready", "", 2_500, None)]);
        assert_eq!(one.counts("Break", ""), (1, 450), "{rows:?}");
        if rows == RowKind::Intervals {
            // From 1,000, the epoch, to 2,050, and from 2,500: the truth has caught up.
            assert_eq!(one.counts("Ready", ""), (1, 1_050 + 17_500));
        }
    }
}

#[test]
fn what_was_reported_has_happened_and_does_not_count_again_whoever_says_that_it_is_to_come() {
    for rows in [RowKind::Intervals, RowKind::Events, RowKind::States] {
        let mut one = SingleTarget::new(rows, Detail::AgentSkill);
        let reported = [
            row("user-1", "Ready", "", 500, Some(2_000)),
            row("user-1", "Break", "", 2_000, Some(3_000)),
            row("user-1", "Ready", "", 3_000, Some(8_900)),
            row("user-1", "Break", "", 8_900, None),
        ];
        one.read(0, 1_000, &reported[..1]);
        one.read(900, 9_000, &reported);
        let counts = [one.counts("Ready", ""), one.counts("Break", "")];
        // What is settled is forgotten but for its sums.
        one.ledger.set_back(TARGET, at(1_500));
        assert_eq!(one.ledger.watermark(TARGET), Some(at(8_900)), "{rows:?}");
        let from = if rows == RowKind::Intervals { 0 } else { 1 };
        one.read(1_400, 9_000, &reported[from..]);
        assert_eq!([one.counts("Ready", ""), one.counts("Break", "")], counts, "{rows:?}");
    }
}

#[test]
fn an_epoch_in_the_future_goes_back_too_and_counting_begins_there() {
    let mut one = SingleTarget::new(RowKind::Intervals, Detail::AgentSkill);
    one.read(5_000, 9_000, &[row("user-1", "Ready", "", 500, None)]);
    one.read(8_900, 9_500, &[row("user-1", "Ready", "", 500, None)]);
    one.ledger.set_back(TARGET, at(2_000));
    assert_eq!(one.ledger.epoch(TARGET), Some(at(2_000)));
    let rows =
        [row("user-1", "Ready", "", 500, Some(2_300)), row("user-1", "Break", "", 2_300, None)];
    one.read(1_900, 2_600, &rows);
    assert_eq!((one.counts("Break", ""), one.counts("Ready", "").0), ((1, 300), 0));
}

#[test]
fn buckets_of_the_future_are_requested_again_and_count_once() {
    let mut one = SingleTarget::new(RowKind::Buckets, Detail::AgentSkill);
    let bucket = |count, from, to| RawRow { count, ..row("user-1", "Ready", "", from, Some(to)) };
    one.read(0, 1_000, &[bucket(7, 0, 1_000)]);
    // Asked at 2,000, so that only three had happened.
    one.read(1_000, 9_000, &[bucket(3, 1_000, 9_000)]);
    one.ledger.set_back(TARGET, at(2_000));
    one.read(2_000, 3_000, &[bucket(2, 2_000, 3_000)]);
    assert_eq!(one.counts("Ready", ""), (5, 0));
}

#[test]
fn a_first_window_in_slices_counts_from_where_the_whole_one_ends() {
    for rows in [RowKind::Intervals, RowKind::Events] {
        let mut one = SingleTarget::new(rows, Detail::AgentSkill);
        one.ledger.set_epoch(TARGET, at(1_000));
        one.read(0, 500, &[row("user-1", "Ready", "", 200, Some(300))]);
        one.ledger.set_epoch(TARGET, at(7_000));
        assert_eq!(one.ledger.epoch(TARGET), Some(at(1_000)), "only the first one says");
        assert_eq!(one.counts("Ready", ""), (0, 0));
        let rows = [
            row("user-1", "Ready", "", 700, Some(900)),
            row("user-1", "Ready", "", 950, Some(1_100)),
            row("user-1", "Ready", "", 1_200, Some(1_300)),
        ];
        one.read(400, 1_400, &rows);
        assert_eq!(one.counts("Ready", ""), (1, 200));
        assert_eq!(one.label("user-1", "Ready", "").window_entries, Some(4));
    }
}
