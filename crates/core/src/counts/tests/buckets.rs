//! Rows that are buckets: one row for a group and window, with its count.

use std::sync::Arc;

use super::{SingleTarget, first, ledger, origin, report, row, show};
use crate::counts::{Detail, Ledger, RowKind};
use crate::page::snapshot::Snapshot;
use crate::report::RawRow;

#[test]
fn buckets_count_each_window_once_and_the_first_only_for_the_lookback() {
    let mut one = SingleTarget::new(RowKind::Buckets, Detail::AgentSkill);
    let bucket = |count, from, to| RawRow { count, ..row("user-1", "Ready", "", from, Some(to)) };
    one.read(0, 1_000, &[bucket(7, 0, 1_000)]);
    assert_eq!(one.counts("Ready", ""), (0, 0));
    one.read(1_000, 2_000, &[bucket(3, 1_000, 2_000)]);
    one.read(1_000, 2_000, &[bucket(3, 1_000, 2_000)]);
    assert_eq!(one.counts("Ready", ""), (3, 0));
    assert_eq!(one.label("user-1", "Ready", "").window_entries, Some(10));
    assert_eq!(one.snapshot().state_agents, [(Arc::from("Ready"), 0)]);
}

#[test]
fn a_repeated_bucket_counts_once_and_two_names_of_wrap_up_are_two() {
    let mut one = SingleTarget::new(RowKind::Buckets, Detail::AgentSkill);
    let bucket =
        |state, count, from, to| RawRow { count, ..row("user-1", state, "", from, Some(to)) };
    one.read(0, 1_000, &[bucket("ACW", 1, 0, 1_000)]);
    one.read(
        1_000,
        2_000,
        &[
            bucket("ACW", 3, 1_000, 2_000),
            bucket("Wrap-up", 3, 1_000, 2_000),
            bucket("ACW", 3, 1_000, 2_000),
        ],
    );
    assert_eq!(one.counts("Wrap-up", ""), (6, 0));
}

#[test]
fn two_targets_with_the_same_agent_count_its_buckets_once() {
    let mut ledger = ledger(RowKind::Buckets, Detail::AgentSkill, 0, 2);
    let bucket = |count, from, to| RawRow { count, ..row("user-1", "Ready", "", from, Some(to)) };
    ledger.apply(&origin(0, 1, 0, 1_000), &report(&[bucket(7, 0, 1_000)]));
    ledger.apply(&origin(1, 2, 0, 1_100), &report(&[bucket(8, 0, 1_100)]));
    ledger.apply(&origin(0, 3, 1_000, 2_000), &report(&[bucket(3, 1_000, 2_000)]));
    ledger.apply(&origin(1, 4, 1_100, 2_100), &report(&[bucket(3, 1_100, 2_100)]));
    assert_eq!(first(&Snapshot::of(&ledger, &show(2))).labels[0].entries, 3);
}

#[test]
fn buckets_of_an_agent_that_moved_to_another_target_are_counted_from_there_on() {
    let mut ledger = ledger(RowKind::Buckets, Detail::AgentSkill, 0, 2);
    let bucket =
        |agent, count, from, to| RawRow { count, ..row(agent, "Ready", "", from, Some(to)) };
    ledger.apply(&origin(0, 1, 0, 1_000), &report(&[bucket("user-1", 7, 0, 1_000)]));
    ledger.apply(&origin(1, 2, 0, 1_100), &report(&[bucket("user-2", 8, 0, 1_100)]));
    ledger.apply(&origin(0, 3, 1_000, 2_000), &report(&[bucket("user-1", 3, 1_000, 2_000)]));
    ledger.apply(&origin(1, 4, 1_100, 2_100), &report(&[]));
    let entries = |ledger: &Ledger| first(&Snapshot::of(ledger, &show(2))).labels[0].entries;
    ledger.apply(&origin(1, 5, 2_100, 3_100), &report(&[bucket("user-1", 2, 2_100, 3_100)]));
    assert_eq!(entries(&ledger), 3, "the first target may still report that time");
    ledger.apply(&origin(0, 6, 2_000, 3_200), &report(&[]));
    assert_eq!(entries(&ledger), 5, "it reported nothing");
    ledger.apply(&origin(1, 7, 3_100, 4_100), &report(&[bucket("user-1", 4, 3_100, 4_100)]));
    assert_eq!(entries(&ledger), 9);
}
