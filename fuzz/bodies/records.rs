//! The store's records. The input: how the rows are counted, and either records (even), each as the
//! lengths of key and value, key and value; or changes of the records of a ledger (odd), each as a
//! record's place, a byte's place and the byte.

use std::borrow::Cow;
use std::time::Duration;

use cxone_core::checkpoint;
use cxone_core::counts::{
    Asked, Key, Ledger, Origin, Record, Restored, Rows, Rules, Show, ShownTarget, TargetId,
};
use cxone_core::privacy::AgentIds;
use cxone_core::report::{Filter, RawRow, Report};
use cxone_core::store::{Store, StoreError};
use cxone_core::time::{Timestamp, Window};

use super::played::EIGHT;

pub(crate) fn check(data: &[u8]) {
    let [mode, rows, rest @ ..] = data else { return };
    let rows = [Rows::Intervals, Rows::Events, Rows::Buckets, Rows::States][usize::from(*rows) % 4];
    let records = if mode % 2 == 0 { told(rest) } else { changed(saved(rows), rest) };
    for (key, value) in &records {
        if let Ok(key) = Key::from_bytes(key) {
            assert_eq!(
                Key::from_bytes(&key.to_bytes()),
                Ok(key.clone()),
                "a key is what it is written as"
            );
            let _ = Restored::default().take(key, value);
        }
    }
    let Ok(left) =
        checkpoint::read(&mut Shelf(records), rules(rows), &filters(), &AgentIds::Raw, None)
    else {
        return;
    };
    let once = all(&left.ledger);
    let mut again = restored(&once, rows);
    assert_eq!(once, all(&again), "what is kept is what is read");
    // What makes sense by itself is counted on with, however odd.
    let (_, change) = again.apply(&origin(9), &report());
    let _ = again.records(&change, &filters(), None);
    let _ = again.snapshot(&show());
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A store that holds these, and keeps nothing.
struct Shelf(Pairs);

impl Store for Shelf {
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

fn told(mut data: &[u8]) -> Pairs {
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

/// What a ledger that has counted something keeps.
fn saved(rows: Rows) -> Pairs {
    let mut ledger = Ledger::new(rules(rows), filters().len());
    for asked in 1..=2 {
        ledger.apply(&origin(asked), &report());
    }
    let mut pairs = all(&ledger);
    pairs.push((Key::Submit(Timestamp::from_millis(EIGHT)).to_bytes(), Vec::new()));
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

fn restored(pairs: &Pairs, rows: Rows) -> Ledger {
    let mut restored = Restored::default();
    for (key, value) in pairs {
        restored.take(Key::from_bytes(key).expect("our own key"), value).expect("our own value");
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
            state_id: Cow::Borrowed(""),
            skill_name: Cow::Borrowed(skill),
            count: 1,
            from: at(from),
            to: to.map(at),
        });
    }
    report
}

fn origin(asked: u64) -> Origin {
    let to = Timestamp::from_millis(EIGHT).plus(Duration::from_secs(60 * asked));
    let window = Window { from: to.minus(Duration::from_secs(7200)), to };
    Origin { target: TargetId::new(0), asked: Asked(asked), oldest_awaited: Asked(asked), window }
}

fn filters() -> Vec<Filter> {
    ["1", "2"].map(|id| Filter { kind: "team".to_owned(), id: id.to_owned() }).into()
}

fn rules(rows: Rows) -> Rules {
    Rules {
        rows,
        lookback: Duration::from_secs(86_400),
        overlap: Duration::from_secs(900),
        wrap_up: vec!["ACW".to_owned()],
        detail: Default::default(),
        labels: Default::default(),
    }
}

fn show() -> Show {
    let target =
        |name: &str| ShownTarget { name: name.into(), up: true, last_success: None, stale: false };
    Show {
        targets: vec![target("1"), target("2")],
        limits: Default::default(),
        max_series: 1000,
        agent_info: true,
    }
}
