//! Settled state changes by minute, for the gauge over the trailing lookback: about two bytes each.
//!
//! They are kept in chunks of four hours, and only the newest one changes: each is a record of its
//! own in the store. Within a chunk stands for each start the minutes since the one before,
//! doubled, and one more where its count follows; the place of its label among the agent's series;
//! and the count, where it is not 1. Integers are of variable length.
//!
//! A state change counts for its skill and for its state over all skills. The latter is told only
//! where it is not the sum of the former: where visits to one state on several skills are one.

use smallvec::SmallVec;

use super::label::{LabelId, Labels};
use crate::time::Timestamp;

pub(super) const MINUTE: i64 = 60_000;

/// Minutes of a chunk: a longer one is more to write for each start that comes, a shorter one more
/// records.
const CHUNK: u32 = 240;

/// Minutes since 1970.
pub(super) fn minute_of(time: Timestamp) -> u32 {
    u32::try_from(time.millis().div_euclid(MINUTE)).unwrap_or(0)
}

/// Settled state changes under one label within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start {
    /// Minutes since 1970.
    pub(super) minute: u32,
    /// Its label's place among the agent's series.
    pub(super) place: u32,
    pub(super) count: u32,
}

/// For each of an agent's series, the place of the one of its state over all skills; its own, if it
/// is that.
#[derive(Debug)]
pub(super) struct Places(Vec<u32>);

/// Where an agent's series stand, by their labels.
#[derive(Debug)]
pub(super) struct Index(SmallVec<[(LabelId, u32); 16]>);

impl Index {
    pub(super) fn new(series: impl Iterator<Item = LabelId>) -> Self {
        let mut index: SmallVec<[(LabelId, u32); 16]> = series.zip(0..).collect();
        index.sort_unstable();
        Self(index)
    }

    /// The place of the label's series.
    pub(super) fn find(&self, label: LabelId) -> Option<u32> {
        let found = self.0.binary_search_by_key(&label, |(label, _)| *label);
        found.ok().map(|at| self.0[at].1)
    }

    /// Takes in a series at a place behind all others.
    pub(super) fn add(&mut self, label: LabelId) {
        let place = u32::try_from(self.0.len()).expect("fewer series than labels");
        if let Err(at) = self.0.binary_search_by_key(&label, |(label, _)| *label) {
            self.0.insert(at, (label, place));
        }
    }
}

impl Places {
    pub(super) fn new(series: impl Iterator<Item = LabelId> + Clone, labels: &Labels) -> Self {
        let index = Index::new(series.clone());
        Self(
            series.map(|label| index.find(labels.over_skills(label)).unwrap_or(u32::MAX)).collect(),
        )
    }

    /// That of `place`, if there is one that is not `place` itself.
    fn over(&self, place: u32) -> Option<u32> {
        usize::try_from(place)
            .ok()
            .and_then(|at| self.0.get(at))
            .copied()
            .filter(|over| *over != place)
    }
}

/// The starts, encoded: for each chunk its number less the one before, its length in bytes, and its
/// bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Starts(Box<[u8]>);

impl Starts {
    /// `starts` are sorted and have no two of the same minute and place.
    pub(super) fn encode(starts: &[Start], places: &Places) -> Self {
        let mut chunks = Chunks::default();
        let (mut told, mut sums) = (Vec::new(), Vec::new());
        for chunk in starts.chunk_by(|a, b| a.minute / CHUNK == b.minute / CHUNK) {
            let number = chunk[0].minute / CHUNK;
            let mut bytes = Vec::new();
            let mut before = number * CHUNK;
            for minute in chunk.chunk_by(|a, b| a.minute == b.minute) {
                told.clear();
                told_of(minute, places, &mut sums, &mut told);
                for start in &told {
                    write(
                        &mut bytes,
                        u64::from(start.minute - before) << 1 | u64::from(start.count != 1),
                    );
                    write(&mut bytes, start.place.into());
                    if start.count != 1 {
                        write(&mut bytes, start.count.into());
                    }
                    before = start.minute;
                }
            }
            chunks.push(number, &bytes);
        }
        chunks.finish()
    }

    /// All starts, sorted.
    pub(super) fn decode(&self, places: &Places) -> Vec<Start> {
        let mut starts = Vec::new();
        self.each_since(0, places, |start| starts.push(start));
        starts.sort_unstable();
        starts
    }

    /// Calls `each` with those from `first_minute` on.
    pub(super) fn each_since(
        &self,
        first_minute: u32,
        places: &Places,
        mut each: impl FnMut(Start),
    ) {
        let mut minute_before = None;
        let mut over: Vec<Start> = Vec::new();
        let recent = self.chunks().filter(|(number, _)| *number >= first_minute / CHUNK);
        let told = recent.flat_map(|(number, bytes)| Told { before: number * CHUNK, bytes });
        for start in told.filter(|start| start.minute >= first_minute) {
            if minute_before.replace(start.minute) != Some(start.minute) {
                over.drain(..).filter(|start| start.count > 0).for_each(&mut each);
            }
            match places.over(start.place) {
                Some(place) => {
                    add_over(&mut over, place, &start);
                    each(start);
                }
                None => {
                    over.retain(|sum| sum.place != start.place);
                    over.push(start);
                }
            }
        }
        over.drain(..).filter(|start| start.count > 0).for_each(&mut each);
    }

    /// Forgets the chunks that ended before `first_minute`.
    pub(super) fn forget_before(&mut self, first_minute: u32) {
        if self.chunks().next().is_some_and(|(number, _)| number < first_minute / CHUNK) {
            let mut kept = Chunks::default();
            self.chunks()
                .filter(|(number, _)| *number >= first_minute / CHUNK)
                .for_each(|(number, bytes)| kept.push(number, bytes));
            *self = kept.finish();
        }
    }

    /// Each chunk: its number and its bytes.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut rest = &*self.0;
        let mut number = 0;
        std::iter::from_fn(move || {
            number += read(&mut rest)?;
            let length = usize::try_from(read(&mut rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some((number, bytes))
        })
    }
}

/// Starts while their chunks are put together.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    bytes: Vec<u8>,
    newest: Option<u32>,
}

impl Chunks {
    /// Adds a chunk behind the others; `number` is higher than theirs.
    pub(super) fn push(&mut self, number: u32, bytes: &[u8]) {
        write(&mut self.bytes, (number - self.newest.unwrap_or(0)).into());
        write(&mut self.bytes, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.bytes.extend_from_slice(bytes);
        self.newest = Some(number);
    }

    /// Adds a chunk that a store told. Whether it makes sense; if not, nothing is added.
    pub(super) fn take(&mut self, number: u32, bytes: &[u8]) -> bool {
        let in_order =
            self.newest.is_none_or(|newest| newest < number) && number < u32::MAX / CHUNK;
        if in_order {
            self.push(number, bytes);
        }
        in_order
    }

    pub(super) fn finish(self) -> Starts {
        Starts(self.bytes.into())
    }
}

/// Whether the bytes of chunk `number` tell starts of that chunk, under labels of so many series.
pub(super) fn is_chunk(number: u32, bytes: &[u8], series: usize) -> bool {
    let mut told = Told { before: number * CHUNK, bytes };
    let sound = |start: Start| {
        start.minute / CHUNK == number
            && usize::try_from(start.place).is_ok_and(|place| place < series)
    };
    told.by_ref().all(sound) && told.bytes.is_empty()
}

/// The starts of a chunk as they are told.
struct Told<'a> {
    before: u32,
    bytes: &'a [u8],
}

impl Iterator for Told<'_> {
    type Item = Start;

    fn next(&mut self) -> Option<Start> {
        let mut bytes = self.bytes;
        let head = read(&mut bytes)?;
        let minute = self.before.checked_add(head >> 1)?;
        let place = read(&mut bytes)?;
        let count = if head & 1 == 1 { read(&mut bytes)? } else { 1 };
        (self.before, self.bytes) = (minute, bytes);
        Some(Start { minute, place, count })
    }
}

/// What is told of one minute: the starts on skills, and behind them those over all skills that are
/// not the sums. `sums` is empty before and after.
fn told_of(minute: &[Start], places: &Places, sums: &mut Vec<Start>, told: &mut Vec<Start>) {
    for start in minute {
        if let Some(place) = places.over(start.place) {
            add_over(sums, place, start);
            told.push(*start);
        }
    }
    for start in minute.iter().filter(|start| places.over(start.place).is_none()) {
        if !sums.contains(start) {
            told.push(*start);
        }
        sums.retain(|sum| sum.place != start.place);
    }
    told.extend(sums.drain(..).map(|sum| Start { count: 0, ..sum }));
}

/// Adds `start` to the sum at `place`.
fn add_over(sums: &mut Vec<Start>, place: u32, start: &Start) {
    match sums.iter_mut().find(|sum| sum.place == place) {
        Some(sum) => sum.count = sum.count.saturating_add(start.count),
        None => sums.push(Start { place, ..*start }),
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// The number at the beginning of `bytes`, which it is taken from; `None` where there is none.
fn read(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return u32::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Three series on skills of the state over all skills at 3, and one that has none.
    fn places() -> Places {
        Places(vec![3, 3, 5, 3, 4, 5])
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            starts in prop::collection::btree_map((0..2_000_u32, 0..6_u32), prop_oneof![4 => Just(1_u32), 1 => 1..9_u32, 1 => Just(u32::MAX)], 0..40),
            joined in any::<bool>(), since in 0..2_000_u32,
        ) {
            let places = places();
            let mut all: BTreeMap<(u32, u32), u32> = starts;
            if joined {
                // As it mostly is: each counts for its state over all skills.
                all.retain(|(_, place), _| places.over(*place).is_some());
                for ((minute, place), count) in all.clone() {
                    let sum = all.entry((minute, places.over(place).expect("kept"))).or_default();
                    *sum = sum.saturating_add(count);
                }
            }
            let minute = |minute| minute + 29_900_000;
            let all: Vec<Start> = all.into_iter().map(|((at, place), count)| Start { minute: minute(at), place, count }).collect();
            let mut encoded = Starts::encode(&all, &places);
            prop_assert_eq!(encoded.decode(&places), all.clone());
            for (number, bytes) in encoded.chunks() {
                prop_assert!(is_chunk(number, bytes, 6) && !is_chunk(number, bytes, 0));
                prop_assert!(!is_chunk(number, &bytes[..bytes.len() - 1], 6), "cut off");
            }
            let recent: Vec<Start> = all.into_iter().filter(|start| start.minute >= minute(since)).collect();
            let mut told = Vec::new();
            encoded.each_since(minute(since), &places, |start| told.push(start));
            told.sort_unstable();
            prop_assert_eq!(&told, &recent);
            encoded.forget_before(minute(since));
            let kept = encoded.decode(&places);
            prop_assert!(kept.ends_with(&recent) && kept.iter().all(|start| start.minute + CHUNK > minute(since)));
        }
    }

    #[test]
    fn a_start_takes_two_bytes() {
        let starts =
            |minute| [Start { minute, place: 0, count: 1 }, Start { minute, place: 3, count: 1 }];
        let day: Vec<Start> = (0..200).flat_map(|nth| starts(29_900_000 + nth * 7)).collect();
        assert!(Starts::encode(&day, &places()).0.len() <= 200 * 2 + 7 * 5);
    }
}
