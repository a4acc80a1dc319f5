//! Settled state changes by minute, for the gauge over the trailing lookback: about two bytes each.
//!
//! They are stored in chunks of four hours, each a record of its own in the store, of which only the
//! newest one changes. A chunk is a list of integers of variable length, for each start:
//!
//! 1. the minutes since the start before, doubled, plus one if a count follows;
//! 2. the index of its label among the agent's series;
//! 3. the count, where it is not 1.
//!
//! A state change counts for its skill and for its state over all skills. The latter is stored only
//! where it is not the sum over the skills, that is where simultaneous visits on several skills are
//! one entry.

use smallvec::SmallVec;

use super::label::{LabelId, LabelTable};
use crate::time::Timestamp;

pub(super) const MINUTE: i64 = 60_000;

/// Minutes of a chunk. A longer one means more bytes to write for each start, a shorter one more
/// records.
const CHUNK: u32 = 240;

/// Minutes since 1970.
pub(super) fn minute_of(time: Timestamp) -> u32 {
    u32::try_from(time.millis().div_euclid(MINUTE)).unwrap_or(0)
}

/// The settled state changes of a series within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MinuteStarts {
    /// Minutes since 1970.
    pub(super) minute: u32,
    /// The index of its label among the agent's series.
    pub(super) series: u32,
    pub(super) count: u32,
}

/// For each of an agent's series, the index of the series of its state over all skills.
#[derive(Debug)]
pub(super) struct OverSkills(Vec<u32>);

/// The indices of an agent's series by label.
#[derive(Debug)]
pub(super) struct SeriesIndex(SmallVec<[(LabelId, u32); 16]>);

impl SeriesIndex {
    pub(super) fn new(series: impl Iterator<Item = LabelId>) -> Self {
        let mut index: SmallVec<[(LabelId, u32); 16]> = series.zip(0..).collect();
        index.sort_unstable();
        Self(index)
    }

    pub(super) fn find(&self, label: LabelId) -> Option<u32> {
        let found = self.0.binary_search_by_key(&label, |(label, _)| *label);
        found.ok().map(|at| self.0[at].1)
    }

    /// Adds a series after all others.
    pub(super) fn add(&mut self, label: LabelId) {
        let index = u32::try_from(self.0.len()).expect("fewer series than labels");
        if let Err(at) = self.0.binary_search_by_key(&label, |(label, _)| *label) {
            self.0.insert(at, (label, index));
        }
    }
}

impl OverSkills {
    pub(super) fn new(series: impl Iterator<Item = LabelId> + Clone, labels: &LabelTable) -> Self {
        let index = SeriesIndex::new(series.clone());
        let over = |label| index.find(labels.over_skills(label)).unwrap_or(u32::MAX);
        Self(series.map(over).collect())
    }

    /// `None` for a series that is itself over all skills.
    fn of(&self, series: u32) -> Option<u32> {
        let over = usize::try_from(series).ok().and_then(|at| self.0.get(at)).copied();
        over.filter(|over| *over != series)
    }
}

/// Encoded starts. For each chunk: its number less the one before, its length in bytes, its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Starts(Box<[u8]>);

impl Starts {
    /// `starts` are sorted, and no two have the same minute and series.
    pub(super) fn encode(starts: &[MinuteStarts], over_skills: &OverSkills) -> Self {
        let mut chunks = ChunksBuilder::default();
        let (mut stored, mut sums) = (Vec::new(), Vec::new());
        for chunk in starts.chunk_by(|a, b| a.minute / CHUNK == b.minute / CHUNK) {
            let number = chunk[0].minute / CHUNK;
            let mut bytes = Vec::new();
            let mut before = number * CHUNK;
            for minute in chunk.chunk_by(|a, b| a.minute == b.minute) {
                stored.clear();
                without_sums(minute, over_skills, &mut sums, &mut stored);
                for start in &stored {
                    let has_count = start.count != 1;
                    write(&mut bytes, u64::from(start.minute - before) << 1 | u64::from(has_count));
                    write(&mut bytes, start.series.into());
                    if has_count {
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
    pub(super) fn decode(&self, over_skills: &OverSkills) -> Vec<MinuteStarts> {
        let mut starts = Vec::new();
        self.each_since(0, over_skills, |start| starts.push(start));
        starts.sort_unstable();
        starts
    }

    /// Calls `each` with the starts from `first_minute` on.
    pub(super) fn each_since(
        &self,
        first_minute: u32,
        over_skills: &OverSkills,
        mut each: impl FnMut(MinuteStarts),
    ) {
        let mut minute_before = None;
        // Of the current minute: the starts over all skills, summed up or as stored.
        let mut over: Vec<MinuteStarts> = Vec::new();
        let recent = self.chunks().filter(|(number, _)| *number >= first_minute / CHUNK);
        let stored = recent.flat_map(|(number, bytes)| ChunkReader::new(number, bytes));
        for start in stored.filter(|start| start.minute >= first_minute) {
            if minute_before.replace(start.minute) != Some(start.minute) {
                over.drain(..).filter(|start| start.count > 0).for_each(&mut each);
            }
            match over_skills.of(start.series) {
                Some(series) => {
                    add_over(&mut over, series, &start);
                    each(start);
                }
                // Stored after the skills of its minute, because it is not their sum.
                None => {
                    over.retain(|sum| sum.series != start.series);
                    over.push(start);
                }
            }
        }
        over.drain(..).filter(|start| start.count > 0).for_each(&mut each);
    }

    /// Forgets the chunks that ended before `first_minute`.
    pub(super) fn forget_before(&mut self, first_minute: u32) {
        let is_needed = |number: u32| number >= first_minute / CHUNK;
        if self.chunks().next().is_some_and(|(number, _)| !is_needed(number)) {
            let mut kept = ChunksBuilder::default();
            for (number, bytes) in self.chunks().filter(|(number, _)| is_needed(*number)) {
                kept.push(number, bytes);
            }
            *self = kept.finish();
        }
    }

    /// Each chunk's number and bytes.
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

/// Puts chunks together, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct ChunksBuilder {
    bytes: Vec<u8>,
    newest: Option<u32>,
}

impl ChunksBuilder {
    fn push(&mut self, number: u32, bytes: &[u8]) {
        write(&mut self.bytes, (number - self.newest.unwrap_or(0)).into());
        write(&mut self.bytes, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.bytes.extend_from_slice(bytes);
        self.newest = Some(number);
    }

    /// Adds a chunk from a store. Returns whether its number is valid; if not, nothing is added.
    pub(super) fn restore(&mut self, number: u32, bytes: &[u8]) -> bool {
        let is_valid =
            self.newest.is_none_or(|newest| newest < number) && number < u32::MAX / CHUNK;
        if is_valid {
            self.push(number, bytes);
        }
        is_valid
    }

    pub(super) fn finish(self) -> Starts {
        Starts(self.bytes.into())
    }
}

/// Whether `bytes` are a valid chunk of an agent with this number of series.
pub(super) fn is_valid_chunk(number: u32, bytes: &[u8], series: usize) -> bool {
    let mut reader = ChunkReader::new(number, bytes);
    let is_valid = |start: MinuteStarts| {
        start.minute / CHUNK == number && usize::try_from(start.series).is_ok_and(|at| at < series)
    };
    reader.by_ref().all(is_valid) && reader.bytes.is_empty()
}

/// The starts of a chunk as they are stored.
struct ChunkReader<'a> {
    before: u32,
    bytes: &'a [u8],
}

impl<'a> ChunkReader<'a> {
    const fn new(number: u32, bytes: &'a [u8]) -> Self {
        Self { before: number * CHUNK, bytes }
    }
}

impl Iterator for ChunkReader<'_> {
    type Item = MinuteStarts;

    fn next(&mut self) -> Option<MinuteStarts> {
        let mut bytes = self.bytes;
        let head = read(&mut bytes)?;
        let minute = self.before.checked_add(head >> 1)?;
        let series = read(&mut bytes)?;
        let count = if head & 1 == 1 { read(&mut bytes)? } else { 1 };
        (self.before, self.bytes) = (minute, bytes);
        Some(MinuteStarts { minute, series, count })
    }
}

/// Appends to `stored` what is stored of one minute: the starts on skills and, behind them, those
/// over all skills that are not the sums of these. `sums` is empty before and after.
fn without_sums(
    minute: &[MinuteStarts],
    over_skills: &OverSkills,
    sums: &mut Vec<MinuteStarts>,
    stored: &mut Vec<MinuteStarts>,
) {
    for start in minute {
        if let Some(series) = over_skills.of(start.series) {
            add_over(sums, series, start);
            stored.push(*start);
        }
    }
    for start in minute.iter().filter(|start| over_skills.of(start.series).is_none()) {
        if !sums.contains(start) {
            stored.push(*start);
        }
        sums.retain(|sum| sum.series != start.series);
    }
    // No entry over all skills at all, though there are some on skills.
    stored.extend(sums.drain(..).map(|sum| MinuteStarts { count: 0, ..sum }));
}

/// Adds `start` to the sum of `series`.
fn add_over(sums: &mut Vec<MinuteStarts>, series: u32, start: &MinuteStarts) {
    match sums.iter_mut().find(|sum| sum.series == series) {
        Some(sum) => sum.count = sum.count.saturating_add(start.count),
        None => sums.push(MinuteStarts { series, ..*start }),
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Reads a number off the beginning of `bytes`.
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

    /// Three series on skills of the state over all skills at 3, one of the state at 5, and one of a
    /// state without skills.
    fn over_skills() -> OverSkills {
        OverSkills(vec![3, 3, 5, 3, 4, 5])
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            starts in prop::collection::btree_map((0..2_000_u32, 0..6_u32), prop_oneof![4 => Just(1_u32), 1 => 1..9_u32, 1 => Just(u32::MAX)], 0..40),
            joined in any::<bool>(), since in 0..2_000_u32,
        ) {
            let over_skills = over_skills();
            let mut all: BTreeMap<(u32, u32), u32> = starts;
            if joined {
                // As it mostly is: each counts for its state over all skills.
                all.retain(|(_, series), _| over_skills.of(*series).is_some());
                for ((minute, series), count) in all.clone() {
                    let sum = all.entry((minute, over_skills.of(series).expect("kept"))).or_default();
                    *sum = sum.saturating_add(count);
                }
            }
            let minute = |minute| minute + 29_900_000;
            let all: Vec<MinuteStarts> = all.into_iter().map(|((at, series), count)| MinuteStarts { minute: minute(at), series, count }).collect();
            let mut encoded = Starts::encode(&all, &over_skills);
            prop_assert_eq!(encoded.decode(&over_skills), all.clone());
            for (number, bytes) in encoded.chunks() {
                prop_assert!(is_valid_chunk(number, bytes, 6) && !is_valid_chunk(number, bytes, 0));
                prop_assert!(!is_valid_chunk(number, &bytes[..bytes.len() - 1], 6), "cut off");
            }
            let recent: Vec<MinuteStarts> = all.into_iter().filter(|start| start.minute >= minute(since)).collect();
            let mut since_then = Vec::new();
            encoded.each_since(minute(since), &over_skills, |start| since_then.push(start));
            since_then.sort_unstable();
            prop_assert_eq!(&since_then, &recent);
            encoded.forget_before(minute(since));
            let kept = encoded.decode(&over_skills);
            prop_assert!(kept.ends_with(&recent) && kept.iter().all(|start| start.minute + CHUNK > minute(since)));
        }
    }

    #[test]
    fn a_start_takes_two_bytes() {
        let starts = |minute| {
            [
                MinuteStarts { minute, series: 0, count: 1 },
                MinuteStarts { minute, series: 3, count: 1 },
            ]
        };
        let day: Vec<MinuteStarts> =
            (0..200).flat_map(|nth| starts(29_900_000 + nth * 7)).collect();
        assert!(Starts::encode(&day, &over_skills()).0.len() <= 200 * 2 + 7 * 5);
    }
}
