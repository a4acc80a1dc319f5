//! The status of the exporter, for people: plain data on its way from the loop to the status page.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::fetch::{FailureReason, JobError};
use crate::plan::planner::JobEnd;
use crate::time::Timestamp;

/// The status of everything that is polled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// In the order of the configuration.
    pub targets: Vec<TargetStatus>,
    /// The live feeds, where the dialect has any.
    pub feeds: Vec<FeedStatus>,
    /// What was taken from the quota in the last minute: report jobs, or requests where those are
    /// what is limited.
    pub used_in_last_minute: u32,
    /// What is known of CXone's clock.
    pub clock: ClockStatus,
    /// Where the counts are kept.
    pub store: StoreStatus,
    /// What went wrong recently.
    pub errors: Arc<RecentErrors>,
}

/// What is known of CXone's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockStatus {
    /// CXone's clock minus ours, in milliseconds; `None` while no response had a time.
    pub skew_millis: Option<i64>,
    /// Number of the last sixteen responses whose time was not believed.
    pub doubted: u32,
}

/// How one target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its newest finished job succeeded; `None` before the first has finished.
    pub up: Option<bool>,
    /// Whether it has not succeeded for so long that its agents' gauges are gone.
    pub stale: bool,
    /// Event time up to which it is known.
    pub watermark: Option<Timestamp>,
    /// Event time at which its counting began.
    pub epoch: Option<Timestamp>,
    /// When a job of it last succeeded.
    pub last_success: Option<Timestamp>,
    /// Its newest finished job, if this process saw its end.
    pub last_job: Option<JobEnd>,
    /// What went wrong with its newest finished job; `None` when it succeeded.
    pub last_error: Option<JobError>,
    /// When it is polled.
    pub poll: PollStatus,
    /// The longest window that it is asked for, where longer ones failed.
    pub longest_window: Option<Duration>,
}

/// When a target is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollStatus {
    /// It has been since then.
    UnderWay(Timestamp),
    /// It will be then, or as soon after that as the quota allows.
    Planned(Timestamp),
}

/// How one live feed is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedStatus {
    /// The value of the label `feed`.
    pub name: &'static str,
    /// Whether its newest answer was one; `None` before there was any.
    pub up: Option<bool>,
    /// Whether it has had no answer for so long that its data has expired.
    pub stale: bool,
    /// When it was last read.
    pub last_success: Option<Timestamp>,
}

/// How the store is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether the newest commit succeeded.
    pub healthy: bool,
    /// The version of its format; `None` when it is in memory only.
    pub format: Option<u32>,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Time of the newest commit; `None` before the first of this process.
    pub last_commit: Option<Timestamp>,
}

impl Default for StoreStatus {
    fn default() -> Self {
        Self { healthy: true, format: None, size_bytes: 0, last_commit: None }
    }
}

/// Maximum number of different errors.
const MAX_ERRORS: usize = 20;

/// Maximum number of affected targets or feeds that are named.
const MAX_NAMED: usize = 3;

/// An error, and its repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentError {
    /// What it is; `None` when CXone asked for fewer requests, which fails no job.
    pub failure: Option<FailureReason>,
    /// What happened and what to do, as last reported; without secrets.
    pub message: String,
    /// When it first happened.
    pub first: Timestamp,
    /// When it last happened.
    pub last: Timestamp,
    /// How often it happened.
    pub times: u64,
    /// The first targets or feeds that it affected.
    pub affected: Vec<Arc<str>>,
    /// Whether it affected more than these.
    pub affects_more: bool,
}

impl RecentError {
    /// Whether this is the same error again. A different number in the message, such as how long to
    /// wait, does not make it another.
    fn is(&self, whom: &str, failure: Option<FailureReason>, message: &str) -> bool {
        let is_only_ones =
            self.affected.len() == 1 && !self.affects_more && &*self.affected[0] == whom;
        self.failure == failure
            && (is_only_ones || without_digits(&self.message).eq(without_digits(message)))
    }
}

fn without_digits(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !c.is_ascii_digit())
}

/// The newest errors, repetitions folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentErrors(Vec<RecentError>);

impl RecentErrors {
    /// Adds an error that affected `whom`.
    pub fn note(
        &mut self,
        at: Timestamp,
        whom: &Arc<str>,
        failure: Option<FailureReason>,
        message: &str,
    ) {
        let known = self.0.iter().position(|error| error.is(whom, failure, message));
        let mut error = known.map(|place| self.0.remove(place)).unwrap_or_else(|| RecentError {
            failure,
            message: String::new(),
            first: at,
            last: at,
            times: 0,
            affected: Vec::new(),
            affects_more: false,
        });
        message.clone_into(&mut error.message);
        error.last = at;
        error.times = error.times.saturating_add(1);
        if !error.affected.contains(whom) {
            if error.affected.len() < MAX_NAMED {
                error.affected.push(Arc::clone(whom));
            } else {
                error.affects_more = true;
            }
        }
        self.0.insert(0, error);
        self.0.truncate(MAX_ERRORS);
    }

    /// The errors, the one that happened last first.
    pub fn newest_first(&self) -> impl ExactSizeIterator<Item = &RecentError> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_repeated_error_is_listed_once_with_its_newest_message() {
        let mut errors = RecentErrors::default();
        let (team, other) = (Arc::from("team-1"), Arc::from("team-2"));
        errors.note(at(1), &team, Some(FailureReason::Server), "503");
        errors.note(at(2), &other, Some(FailureReason::Rejected), "no such team");
        errors.note(at(3), &team, Some(FailureReason::Server), "bad gateway");
        let listed: Vec<_> = errors.newest_first().collect();
        assert_eq!(
            (listed.len(), listed[0].message.as_str(), listed[0].times),
            (2, "bad gateway", 2)
        );
        assert_eq!((listed[0].first, listed[0].last), (at(1), at(3)));
        assert_eq!((listed[1].message.as_str(), listed[1].times), ("no such team", 1));
    }

    #[test]
    fn an_error_that_affects_many_is_one_whatever_its_numbers() {
        let mut errors = RecentErrors::default();
        for number in 0..50 {
            let whom = Arc::from(format!("team:{number}"));
            errors.note(
                at(number),
                &whom,
                Some(FailureReason::Credentials),
                &format!("CXone answered 401 {number} times"),
            );
        }
        let listed: Vec<_> = errors.newest_first().collect();
        assert_eq!(
            (listed.len(), listed[0].times, listed[0].affected.len(), listed[0].affects_more),
            (1, 50, MAX_NAMED, true)
        );
        errors.note(at(60), &Arc::from("team:1"), None, "CXone answered 401 1 times");
        assert_eq!(errors.newest_first().len(), 2, "another failure with the same words");
    }

    #[test]
    fn only_the_newest_errors_are_remembered() {
        let mut errors = RecentErrors::default();
        for number in 0..u8::try_from(3 * MAX_ERRORS).unwrap() {
            let whom = Arc::from(format!("target {number}"));
            errors.note(
                at(i64::from(number)),
                &whom,
                Some(FailureReason::Rejected),
                &"x".repeat(usize::from(number)),
            );
        }
        let lengths: Vec<usize> = errors.newest_first().map(|error| error.message.len()).collect();
        assert_eq!(lengths, (2 * MAX_ERRORS..3 * MAX_ERRORS).rev().collect::<Vec<_>>());
    }
}
