//! The store's records. The input: how the rows are counted, and either records (even), each as the
//! lengths of key and value, key and value; or changes of the records of a ledger (odd), each as a
//! record's index, a byte's index and the byte.

use std::borrow::Cow;
use std::time::Duration;

use cxone_core::checkpoint;
use cxone_core::counts::{
    CountingRules, Ledger, LedgerLoader, Record, RecordKey, ReportOrigin, RowKind, SubmitOrder,
    TargetId,
};
use cxone_core::page::snapshot::Snapshot;
use cxone_core::page::{SnapshotOptions, TargetHealth};
use cxone_core::privacy::AgentIds;
use cxone_core::report::{RawRow, Report, ReportFilter};
use cxone_core::store::{Store, StoreError};
use cxone_core::time::{Timestamp, Window};

use super::played::EIGHT;

pub(crate) fn check(data: &[u8]) {
    let [mode, rows, rest @ ..] = data else { return };
    let rows = [RowKind::Intervals, RowKind::Events, RowKind::Buckets, RowKind::States]
        [usize::from(*rows) % 4];
    let records = if mode % 2 == 0 { pairs_in(rest) } else { changed(saved(rows), rest) };
    for (key, value) in &records {
        if let Ok(key) = RecordKey::from_bytes(key) {
            assert_eq!(
                RecordKey::from_bytes(&key.to_bytes()),
                Ok(key.clone()),
                "a key is what it is written as"
            );
            let _ = LedgerLoader::default().take(key, value);
        }
    }
    let Ok(left) =
        checkpoint::read(&mut RawStore(records), rules(rows), &filters(), &AgentIds::Raw, None)
    else {
        return;
    };
    let once = all(&left.ledger);
    let mut again = restored(&once, rows);
    assert_eq!(once, all(&again), "what is kept is what is read");
    // Counting continues with any valid record, however unusual.
    let (_, change) = again.apply(&origin(9), &report());
    let _ = again.records(&change, &filters(), None);
    let _ = Snapshot::of(&again, &show());
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A store that contains these and keeps nothing.
struct RawStore(Pairs);

impl Store for RawStore {
    fn read(&mut self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.0.iter().for_each(|(key, value)| each(key, value));
        Ok(())
    }

    fn commit(&mut self, _: &[Record]) -> Result<(), StoreError> {
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        0
    }

    fn format(&self) -> Option<u32> {
        None
    }
}

fn pairs_in(mut data: &[u8]) -> Pairs {
    let mut pairs = Pairs::new();
    while let [key, value, rest @ ..] = data {
        let (key, rest) = rest.split_at(rest.len().min(usize::from(*key)));
        let (value, rest) = rest.split_at(rest.len().min(usize::from(*value)));
        pairs.push((key.to_vec(), value.to_vec()));
        data = rest;
    }
    pairs
}

fn changed(mut pairs: Pairs, data: &[u8]) -> Pairs {
    for change in data.chunks_exact(3) {
        let count = pairs.len();
        let (key, value) = &mut pairs[usize::from(change[0]) % count];
        let place = usize::from(change[1]);
        match value.get_mut(place) {
            Some(byte) => *byte = change[2],
            None if place % 2 == 0 => value.push(change[2]),
            None => {
                value.pop();
                let last = key.len() - 1;
                key[last] ^= change[2] & 1;
            }
        }
    }
    pairs
}

/// The records of a ledger that has counted something.
fn saved(rows: RowKind) -> Pairs {
    let mut ledger = Ledger::new(rules(rows), filters().len());
    for order in 1..=2 {
        ledger.apply(&origin(order), &report());
    }
    let mut pairs = all(&ledger);
    pairs.push((RecordKey::Submit(Timestamp::from_millis(EIGHT)).to_bytes(), Vec::new()));
    pairs
}

fn all(ledger: &Ledger) -> Pairs {
    let records = ledger.all_records(&filters(), &[Some(Timestamp::from_millis(EIGHT)), None]);
    let mut pairs: Pairs = records
        .into_iter()
        .map(|record| (record.key, record.value.expect("nothing is deleted")))
        .collect();
    pairs.sort();
    pairs
}

fn restored(pairs: &Pairs, rows: RowKind) -> Ledger {
    let mut restored = LedgerLoader::default();
    for (key, value) in pairs {
        restored
            .take(RecordKey::from_bytes(key).expect("our own key"), value)
            .expect("our own value");
    }
    restored.into_ledger(rules(rows), &filters()).expect("our own records")
}

fn report() -> Report {
    let mut report = Report::default();
    for (agent, state, skill, from, to) in [
        ("a", "Ready", "", 0, Some(60)),
        ("a", "ACW", "Sales", 60, None),
        ("b", "Ready", "Sales", 30, Some(3000)),
        ("b", "Lunch", "", 3000, None),
    ] {
        let at = |second: u32| Timestamp::from_millis(EIGHT - 3_600_000 + i64::from(second) * 1000);
        report.push(&RawRow {
            user_id: Cow::Borrowed(agent),
            user_name: Cow::Borrowed("Name"),
            state_name: Cow::Borrowed(state),
            skill_name: Cow::Borrowed(skill),
            count: 1,
            from: at(from),
            to: to.map(at),
            ..RawRow::default()
        });
    }
    report
}

fn origin(order: u64) -> ReportOrigin {
    let to = Timestamp::from_millis(EIGHT).plus(Duration::from_secs(60 * order));
    let window = Window { from: to.minus(Duration::from_secs(7200)), to };
    ReportOrigin {
        target: TargetId::new(0),
        order: SubmitOrder(order),
        oldest_pending: SubmitOrder(order),
        window,
    }
}

fn filters() -> Vec<ReportFilter> {
    ["1", "2"].map(|id| ReportFilter { kind: "team".to_owned(), id: id.to_owned() }).into()
}

fn rules(rows: RowKind) -> CountingRules {
    CountingRules {
        rows,
        lookback: Duration::from_secs(86_400),
        overlap: Duration::from_secs(900),
        wrap_up: vec!["ACW".to_owned()],
        detail: Default::default(),
        labels: Default::default(),
    }
}

fn show() -> SnapshotOptions {
    let target =
        |name: &str| TargetHealth { name: name.into(), up: true, last_success: None, stale: false };
    SnapshotOptions {
        targets: vec![target("1"), target("2")],
        limits: Default::default(),
        max_series: 1000,
        agent_info: true,
    }
}
