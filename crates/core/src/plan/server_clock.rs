//! CXone's clock, estimated from the `Date`s of many answers and carried on by a clock that never
//! steps.
//!
//! Each answer is a vote: when it was written, CXone's clock was within about a second of its
//! `Date`. Votes that overlap support each other (Marzullo's algorithm), our own clock is a witness,
//! and one vote alone never moves the estimate:
//!
//! | the votes | the estimate |
//! |---|---|
//! | none yet | our clock |
//! | the first ones agree with our clock | is theirs at once |
//! | the first ones do not | the earlier of the two, until five agree with each other |
//! | agree with the estimate | becomes more precise |
//! | contradict it, as our clock does | moves once seven of the last eight do |
//! | contradict it and our clock | moves once fifteen of the last sixteen do |
//!
//! A `Date` that does not move on ([`DateFault::Frozen`]) is no vote. And CXone's clock is not behind
//! the visits that its reports contain, as far as our clock agrees ([`ServerClock::reported`]).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{Monotonic, Now, Timestamp};

/// A difference up to this is not told apart from none: an answer's `Date` has whole seconds.
const TOLERATED: Duration = Duration::from_secs(2);

/// An answer that took longer says too little about when its `Date` was written.
const SLOWEST_ANSWER: Duration = Duration::from_secs(10);

/// The same `Date` this much later was not written later.
const FROZEN_AFTER: Duration = Duration::from_secs(2);

/// How many votes are kept.
const VOTES: usize = 16;

/// So many votes must agree before they count against our clock, and four fifths of all.
const FIRST: usize = 5;

/// So many of the last eight move the estimate back to our clock.
const BACK: (usize, usize) = (7, 8);

/// So many of the last sixteen move the estimate away from our clock.
const AWAY: (usize, usize) = (15, VOTES);

/// After so many answers that did not settle it, our clock is gone by.
const VOTES_SEEN: u64 = 16;

/// Until the first votes are settled, a difference of more than this is not acted upon at all: a
/// window that ends so far back would cost more than a short wait.
const PLAUSIBLE: Duration = Duration::from_secs(24 * 3600);

/// What two clocks may drift apart in a time: a part in five thousand of it.
const DRIFT: i64 = 5_000;

/// Why an answer's `Date` was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFault {
    /// An earlier answer had the same: it was made by a cache, or its clock stands still.
    Frozen,
    /// It contradicts the estimate.
    Outlier,
}

impl DateFault {
    /// Every fault.
    pub const ALL: [Self; 2] = [Self::Frozen, Self::Outlier];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Outlier => "outlier",
        }
    }
}

/// What an answer's `Date` changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateNoted {
    /// Why it was not believed, if it was not.
    pub fault: Option<DateFault>,
    /// By how many milliseconds the estimate moved with it, if it stepped.
    pub step_millis: Option<i64>,
}

/// CXone's time less the time of the clock that never steps lies between these, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    low: i64,
    high: i64,
    /// As of then; the bounds grow apart with time.
    at: Monotonic,
}

impl Offset {
    /// The same, as far as it is still known at `instant`.
    fn aged(self, instant: Monotonic) -> Self {
        let apart = millis(instant.since(self.at)) / DRIFT;
        Self { low: self.low - apart, high: self.high + apart, at: self.at }
    }

    fn is_near(self, other: Self) -> bool {
        let tolerated = millis(TOLERATED);
        self.low <= other.high + tolerated && other.low <= self.high + tolerated
    }
}

/// One answer's `Date`.
#[derive(Clone, Copy, Debug)]
struct Vote {
    told: Timestamp,
    offset: Offset,
}

/// What is known of CXone's clock.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    votes: VecDeque<Vote>,
    estimate: Option<Offset>,
    /// The latest start of a visit that CXone reported; its clock is not behind that.
    reported: Option<Offset>,
    /// How many answers had a `Date`.
    seen: u64,
    /// Of the last sixteen of them, a bit for each that was not believed.
    doubted: u16,
}

impl ServerClock {
    /// Takes in an answer with the header `Date`, which is cut to whole seconds; `age` is how long
    /// caches kept it (the header `Age`).
    pub fn observe(
        &mut self,
        sent: Now,
        answered: Now,
        date: Timestamp,
        age: Duration,
    ) -> DateNoted {
        let took = answered.instant.since(sent.instant);
        if took > SLOWEST_ANSWER {
            return DateNoted::default();
        }
        let told = date.plus(age);
        // Both headers are cut to whole seconds.
        let cut = Duration::from_secs(if age.is_zero() { 1 } else { 2 });
        let offset = Offset {
            low: told.millis().saturating_sub(elapsed(answered.instant)),
            high: told.plus(cut).millis().saturating_sub(elapsed(sent.instant)),
            at: answered.instant,
        };
        // One that was ahead may have had it before; what agrees with what is believed is believed.
        let believed = self.estimate.map_or(own(answered), |known| known.aged(answered.instant));
        let is_repeated =
            |vote: &Vote| vote.told == told && sent.instant.since(vote.offset.at) > FROZEN_AFTER;
        if !believed.is_near(offset) && self.votes.iter().any(is_repeated) {
            return self.noted(Some(DateFault::Frozen), None);
        }
        self.votes.push_back(Vote { told, offset });
        if self.votes.len() > VOTES {
            self.votes.pop_front();
        }
        let before = self.estimate;
        self.estimate = self.elect(offset, own(answered));
        let fault = match self.estimate {
            Some(estimate) if !estimate.is_near(offset) => Some(DateFault::Outlier),
            Some(_) | None => None,
        };
        let step = match (before, self.estimate) {
            (Some(before), Some(after)) if !before.aged(answered.instant).is_near(after) => {
                Some(after.low - before.low)
            }
            (Some(_) | None, _) => None,
        };
        self.noted(fault, step)
    }

    /// By `now`, CXone reported a visit that began at `start`: no clock that it goes by was earlier.
    pub fn reported(&mut self, now: Now, start: Timestamp) {
        let offset = start.millis().saturating_sub(elapsed(now.instant));
        let known = self.reported.map(|known| known.aged(now.instant));
        if known.is_none_or(|known| known.low < offset) {
            self.reported = Some(Offset { low: offset, high: offset, at: now.instant });
        }
    }

    fn noted(&mut self, fault: Option<DateFault>, step_millis: Option<i64>) -> DateNoted {
        self.seen = self.seen.saturating_add(1);
        self.doubted = self.doubted << 1 | u16::from(fault.is_some());
        DateNoted { fault, step_millis }
    }

    /// The estimate after the newest vote; `own` is what our clock says.
    fn elect(&self, newest: Offset, own: Offset) -> Option<Offset> {
        let like = |offset: Offset, among: usize| {
            let last = self.votes.iter().rev().take(among);
            last.filter(|vote| vote.offset.aged(newest.at).is_near(offset)).count()
        };
        let supported = |offset| Some(self.intersection(offset, newest.at));
        match self.estimate.map(|estimate| estimate.aged(newest.at)) {
            Some(estimate) if estimate.is_near(newest) => supported(estimate),
            Some(_) => {
                let (needed, among) = if newest.is_near(own) { BACK } else { AWAY };
                if like(newest, among) >= needed { supported(newest) } else { self.estimate }
            }
            None => {
                let (agreeing, all) = (like(newest, VOTES), self.votes.len());
                let settled = if newest.is_near(own) {
                    agreeing * 2 >= all
                } else {
                    agreeing >= FIRST && agreeing * 5 >= all * 4
                };
                if settled { supported(newest) } else { None }
            }
        }
    }

    /// Where most of the votes near `around` overlap.
    fn intersection(&self, around: Offset, at: Monotonic) -> Offset {
        let votes = self.votes.iter().map(|vote| vote.offset.aged(at));
        let near: Vec<Offset> = votes.filter(|offset| offset.is_near(around)).collect();
        let overlapping =
            |low: i64| near.iter().filter(move |offset| offset.low <= low && low <= offset.high);
        // Where most overlap begins where one of them does; of equals, the earliest.
        let low = near
            .iter()
            .map(|offset| offset.low)
            .max_by_key(|low| (overlapping(*low).count(), std::cmp::Reverse(*low)));
        let Some(low) = low else { return around };
        let high = overlapping(low).map(|offset| offset.high).min().unwrap_or(low);
        Offset { low, high, at }
    }

    /// Now by CXone's clock where it differs from ours by more than 2 s, else by ours; as far as is
    /// known, never later than CXone's now. `None` while it is not known whom to believe.
    #[must_use]
    pub fn now(&self, now: Now) -> Option<Timestamp> {
        let by_dates = self.by_dates(now)?;
        let reported = self.reported.map(|known| at(known.aged(now.instant).low, now.instant));
        Some(reported.map_or(by_dates, |reported| by_dates.max(reported.min(now.utc))))
    }

    fn by_dates(&self, now: Now) -> Option<Timestamp> {
        let own = own(now);
        if let Some(estimate) = self.estimate.map(|estimate| estimate.aged(now.instant)) {
            let is_ours = estimate.is_near(own);
            let latest = at(estimate.high, now.instant);
            let earliest = at(estimate.low, now.instant);
            return Some(if is_ours { now.utc.min(latest) } else { earliest });
        }
        let newest = self.votes.back().filter(|_| self.seen < VOTES_SEEN);
        let Some(newest) = newest.map(|vote| vote.offset.aged(now.instant)) else {
            return Some(now.utc);
        };
        let agreeing =
            self.votes.iter().filter(|vote| vote.offset.aged(now.instant).is_near(newest));
        if agreeing.count() * 2 <= self.votes.len() {
            return Some(now.utc);
        }
        // A window that ends too early costs nothing but freshness, one that ends too late visits.
        let earliest = at(newest.low, now.instant);
        let apart = now.utc.since(earliest).max(earliest.since(now.utc));
        (apart <= PLAUSIBLE).then(|| now.utc.min(earliest))
    }

    /// Whether enough answers agree on CXone's time to know what lies in its future.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.estimate.is_some()
    }

    /// CXone's clock less ours, in milliseconds; `None` until an answer told its date.
    #[must_use]
    pub fn skew_millis(&self, now: Now) -> Option<i64> {
        let told = self.estimate.or_else(|| self.votes.back().map(|vote| vote.offset))?;
        Some(told.low.midpoint(told.high).saturating_sub(own(now).low))
    }

    /// The same in seconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a metric's value is a 64-bit float")]
    pub fn skew_seconds(&self, now: Now) -> Option<f64> {
        self.skew_millis(now).map(|millis| millis as f64 / 1000.0)
    }

    /// How many of the last sixteen answers had a `Date` that was not believed.
    #[must_use]
    pub const fn doubted(&self) -> u32 {
        self.doubted.count_ones()
    }
}

fn own(now: Now) -> Offset {
    let offset = now.utc.millis().saturating_sub(elapsed(now.instant));
    Offset { low: offset, high: offset, at: now.instant }
}

fn at(offset: i64, instant: Monotonic) -> Timestamp {
    Timestamp::from_millis(offset.saturating_add(elapsed(instant)))
}

fn elapsed(instant: Monotonic) -> i64 {
    millis(instant.elapsed())
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
