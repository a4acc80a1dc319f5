//! CXone's clock, estimated from the `Date`s of many answers and carried forward by a clock that
//! never steps.
//!
//! Windows end at CXone's now. If our idea of it is ahead, visits of the time that has not come yet
//! would be lost for good; if it is behind, the gauges are only later. So one wrong `Date` (a cache,
//! a gateway, one machine behind a load balancer) must not move the estimate, while a clock that was
//! set must.
//!
//! Each answer is a vote: when it was written, CXone's clock was within about a second of its
//! `Date`. Votes that overlap support each other (Marzullo's algorithm), and our own clock counts
//! too: few votes are enough to agree with it, many are needed against it.
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
//! A `Date` that does not advance ([`DateFault::Frozen`]) is not a vote. And CXone's clock is not behind
//! the visits that its reports contain, as far as our clock agrees ([`ServerClock::reported`]).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::{Monotonic, Now, Timestamp};

/// Clocks that differ by no more than this agree: an answer's `Date` has whole seconds.
const TOLERATED: Duration = Duration::from_secs(2);

/// An answer that took longer says too little about when its `Date` was written.
const SLOWEST_ANSWER: Duration = Duration::from_secs(10);

/// The same `Date` in an answer that was requested this much later was not written by a clock.
const FROZEN_AFTER: Duration = Duration::from_secs(2);

/// How many votes are kept.
const VOTES: usize = 16;

/// The first estimate may contradict our clock once this many votes agree, if they are four fifths
/// of all.
const MIN_FIRST_VOTES: usize = 5;

/// The estimate moves back to our clock once this many of the last eight votes agree.
const BACK: (usize, usize) = (7, 8);

/// The estimate moves away from our clock once this many of the last sixteen votes agree.
const AWAY: (usize, usize) = (15, VOTES);

/// After this many answers that did not settle an estimate, our clock is used.
const MAX_UNSETTLED_ANSWERS: u64 = 16;

/// Until there is an estimate, a difference of more than this stops all windows: one that ends so
/// far back would cost more than a short wait.
const MAX_UNSETTLED_DIFFERENCE: Duration = Duration::from_secs(24 * 3600);

/// Two clocks drift apart by at most one part in this many.
const DRIFT: i64 = 5_000;

/// Why an answer's `Date` was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFault {
    /// An earlier answer had the same: it comes from a cache, or from a clock that stands still.
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
    /// Why it was rejected, if it was.
    pub fault: Option<DateFault>,
    /// By how many milliseconds the estimate moved with it, if it stepped.
    pub step_millis: Option<i64>,
}

/// The difference between CXone's clock and the clock that never steps lies between these, in
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    low: i64,
    high: i64,
    /// As of then; the bounds drift apart with time.
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
    date: Timestamp,
    offset: Offset,
}

/// What is known of CXone's clock.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    votes: VecDeque<Vote>,
    estimate: Option<Offset>,
    /// From the latest start of a visit that CXone reported; its clock is not behind that.
    reported: Option<Offset>,
    /// How many answers had a `Date`.
    seen: u64,
    /// A bit for each of the last sixteen of them: whether it was rejected.
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
        let date = date.plus(age);
        // Both headers are cut to whole seconds.
        let cut = Duration::from_secs(if age.is_zero() { 1 } else { 2 });
        let offset = Offset {
            low: date.millis().saturating_sub(elapsed(answered.instant)),
            high: date.plus(cut).millis().saturating_sub(elapsed(sent.instant)),
            at: answered.instant,
        };
        // A machine that is a moment behind may well repeat the `Date` of one that is ahead: what
        // agrees with the estimate is never frozen.
        let believed = self.estimate.map_or(own(answered), |known| known.aged(answered.instant));
        let is_repeated =
            |vote: &Vote| vote.date == date && sent.instant.since(vote.offset.at) > FROZEN_AFTER;
        if !believed.is_near(offset) && self.votes.iter().any(is_repeated) {
            return self.noted(Some(DateFault::Frozen), None);
        }
        self.votes.push_back(Vote { date, offset });
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

    /// By `now`, CXone reported a visit that began at `start`, so its clock is past that.
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
                // Back to our clock is the likelier move: a clock at CXone was wrong and is set.
                let (needed, among) = if newest.is_near(own) { BACK } else { AWAY };
                if like(newest, among) >= needed { supported(newest) } else { self.estimate }
            }
            None => {
                let (agreeing, all) = (like(newest, VOTES), self.votes.len());
                let settled = if newest.is_near(own) {
                    agreeing * 2 >= all
                } else {
                    agreeing >= MIN_FIRST_VOTES && agreeing * 5 >= all * 4
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

    /// Now by CXone's clock if it differs from ours by more than 2 s, else by ours; as far as is
    /// known, never later than CXone's now. `None` while it is not known which clock is right.
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
        let newest = self.votes.back().filter(|_| self.seen < MAX_UNSETTLED_ANSWERS);
        let Some(newest) = newest.map(|vote| vote.offset.aged(now.instant)) else {
            return Some(now.utc);
        };
        let agreeing =
            self.votes.iter().filter(|vote| vote.offset.aged(now.instant).is_near(newest));
        if agreeing.count() * 2 <= self.votes.len() {
            return Some(now.utc);
        }
        // A window that ends too early costs freshness, one that ends too late loses visits.
        let earliest = at(newest.low, now.instant);
        let apart = now.utc.since(earliest).max(earliest.since(now.utc));
        (apart <= MAX_UNSETTLED_DIFFERENCE).then(|| now.utc.min(earliest))
    }

    /// Whether enough answers agree on CXone's time to know what lies in its future.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.estimate.is_some()
    }

    /// CXone's clock less ours, in milliseconds; `None` until an answer had a date.
    #[must_use]
    pub fn skew_millis(&self, now: Now) -> Option<i64> {
        let known = self.estimate.or_else(|| self.votes.back().map(|vote| vote.offset))?;
        Some(known.low.midpoint(known.high).saturating_sub(own(now).low))
    }

    /// The same in seconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a metric's value is a 64-bit float")]
    pub fn skew_seconds(&self, now: Now) -> Option<f64> {
        self.skew_millis(now).map(|millis| millis as f64 / 1000.0)
    }

    /// How many of the last sixteen answers had a `Date` that was rejected.
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
