//! The retrieval of one window as a state machine: submit, poll until done, give up in time.

mod failure;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::plan::backoff::{Backoff, Random};
use crate::time::Monotonic;

pub use failure::FailureReason;

/// How often a poll or a page is retried after an invalid answer: neither a finished job nor a
/// window of a thousand pages should start over for one answer that was cut on the way.
const MAX_INVALID_ANSWERS: u8 = 3;

/// The longest wait that a 503 may demand while a job is in progress, and how much of such waits
/// is not counted against the job's time: CXone may delete a job that nobody polls.
const MAX_UNAVAILABLE: Duration = Duration::from_secs(300);

/// The longest job id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Why a request or a job failed, and when CXone allows the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// The reason, as metrics count it.
    pub reason: FailureReason,
    /// The wait that the answer demanded.
    pub retry_after: Option<Duration>,
    /// What happened and what to do, for a person; no secrets.
    pub message: String,
}

/// The id of a report job: 1 to 256 bytes without control characters, and neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobId(Box<str>);

impl JobId {
    /// `id`, if it may be one.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let fits = !id.is_empty()
            && id.len() <= MAX_ID_BYTES
            && id != "."
            && id != ".."
            && !id.contains(char::is_control);
        fits.then(|| Self(id.into()))
    }

    /// The id as CXone reported it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a job is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobTiming {
    /// The time from one poll to the next.
    pub poll_every: Duration,
    /// How long it may take from its submission, not counting the waits that 429 demanded, nor five
    /// minutes of those that 503 demanded.
    pub timeout: Duration,
}

/// What to do next for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStep {
    /// Submit it; this takes from the quota.
    Submit,
    /// Make its next request: poll it, or read its next page.
    Advance,
    /// Nothing until then.
    Wait(Monotonic),
    /// A request is in progress.
    Busy,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobReply {
    /// The job has this id.
    Submitted(JobId),
    /// It is in progress.
    Unfinished,
    /// It is done, and its report was read whole.
    Completed,
    /// 429.
    Throttled {
        /// The wait that the answer demanded.
        retry_after: Option<Duration>,
        /// What happened, for a person.
        message: String,
    },
    /// Anything else.
    Failed(JobError),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// Its report was read whole.
    Completed,
    /// It was not submitted since there are too many requests: nothing failed, but all submits must
    /// wait.
    Throttled {
        /// The wait that the answer demanded.
        retry_after: Option<Duration>,
    },
    /// It failed.
    Failed(JobError),
}

#[derive(Clone, Debug)]
enum Phase {
    Unsubmitted,
    Submitted {
        id: JobId,
        since: Monotonic,
        poll_at: Monotonic,
    },
    /// No job, but pages that are requested one after the other.
    Paged {
        begun: Monotonic,
        since: Monotonic,
        next_at: Monotonic,
    },
}

/// One job, from its submission to its end.
#[derive(Clone, Debug)]
pub struct Fetch {
    timing: JobTiming,
    phase: Phase,
    busy: bool,
    sent_at: Monotonic,
    /// Whether the last request was rejected for its token, and repeated with a new one.
    token_renewed: bool,
    /// Waits that 429 demanded.
    throttled: Duration,
    /// Waits that 503 demanded, up to [`MAX_UNAVAILABLE`].
    unavailable: Duration,
    throttles: Backoff,
    faults: Backoff,
    /// How many answers to the same poll or page were invalid.
    invalid_answers: u8,
}

impl Fetch {
    /// A job that is to be submitted.
    #[must_use]
    pub const fn new(timing: JobTiming) -> Self {
        Self {
            timing,
            phase: Phase::Unsubmitted,
            busy: false,
            sent_at: Monotonic::from_elapsed(Duration::ZERO),
            token_renewed: false,
            throttled: Duration::ZERO,
            unavailable: Duration::ZERO,
            throttles: throttle_backoff(),
            faults: fault_backoff(),
            invalid_answers: 0,
        }
    }

    /// A job that an earlier process submitted this long ago; it is polled at once.
    #[must_use]
    pub fn resumed(timing: JobTiming, id: JobId, now: Monotonic, age: Duration) -> Self {
        Self {
            phase: Phase::Submitted { id, since: now.before(age), poll_at: now },
            ..Self::new(timing)
        }
    }

    /// A window that is read in pages, from `now` on: it fails when no page comes for the whole
    /// timeout.
    #[must_use]
    pub fn paged(timing: JobTiming, now: Monotonic) -> Self {
        Self { phase: Phase::Paged { begun: now, since: now, next_at: now }, ..Self::new(timing) }
    }

    /// The job's id, once it has one.
    #[must_use]
    pub const fn id(&self) -> Option<&JobId> {
        match &self.phase {
            Phase::Unsubmitted | Phase::Paged { .. } => None,
            Phase::Submitted { id, .. } => Some(id),
        }
    }

    /// What there is to do now.
    #[must_use]
    pub fn step(&self, now: Monotonic) -> JobStep {
        match &self.phase {
            _ if self.busy => JobStep::Busy,
            Phase::Unsubmitted => JobStep::Submit,
            Phase::Submitted { poll_at, .. } if *poll_at > now => JobStep::Wait(*poll_at),
            Phase::Submitted { .. } => JobStep::Advance,
            Phase::Paged { next_at, .. } if *next_at > now => JobStep::Wait(*next_at),
            Phase::Paged { .. } => JobStep::Advance,
        }
    }

    /// Whether it is in progress at CXone.
    #[must_use]
    pub const fn in_flight(&self) -> bool {
        matches!(self.phase, Phase::Submitted { .. } | Phase::Paged { .. })
    }

    /// How long ago it was submitted.
    #[must_use]
    pub fn age(&self, now: Monotonic) -> Duration {
        match &self.phase {
            Phase::Unsubmitted => Duration::ZERO,
            Phase::Submitted { since, .. } => now.since(*since),
            Phase::Paged { begun, .. } => now.since(*begun),
        }
    }

    /// The request that [`Fetch::step`] returned is sent at `now`.
    pub fn sent(&mut self, now: Monotonic) {
        self.busy = true;
        self.sent_at = now;
    }

    /// Takes the reply to the request in progress. Returns the outcome if the job has ended with it.
    pub fn reply(
        &mut self,
        now: Monotonic,
        reply: JobReply,
        random: &mut Random,
    ) -> Option<JobOutcome> {
        self.busy = false;
        match reply {
            JobReply::Submitted(id) => {
                self.token_renewed = false;
                self.phase = Phase::Submitted {
                    id,
                    since: self.sent_at,
                    poll_at: now.plus(self.timing.poll_every),
                };
                None
            }
            JobReply::Unfinished => {
                (self.token_renewed, self.invalid_answers) = (false, 0);
                self.faults.reset();
                self.throttles.reset();
                if let Phase::Paged { since, next_at, .. } = &mut self.phase {
                    (*since, *next_at) = (now, now);
                    (self.throttled, self.unavailable) = (Duration::ZERO, Duration::ZERO);
                    return None;
                }
                let JobTiming { poll_every, timeout } = self.timing;
                self.poll_after(now, poll_every, || JobError {
                    reason: FailureReason::Timeout,
                    retry_after: None,
                    message: format!(
                        "the report was not ready after {}; raise jobs.timeout if CXone needs longer",
                        humantime::format_duration(timeout)
                    ),
                })
            }
            JobReply::Completed => Some(JobOutcome::Completed),
            JobReply::Throttled { retry_after, .. } if !self.in_flight() => {
                Some(JobOutcome::Throttled { retry_after })
            }
            JobReply::Throttled { retry_after, message } => {
                let wait = retry_after
                    .unwrap_or_else(|| self.throttles.at_least(random))
                    .max(self.timing.poll_every);
                self.throttled += wait;
                self.poll_after(now, wait, || JobError {
                    reason: FailureReason::Timeout,
                    retry_after: None,
                    message,
                })
            }
            JobReply::Failed(error)
                if error.reason == FailureReason::Unauthorized && !self.token_renewed =>
            {
                self.token_renewed = true;
                None
            }
            JobReply::Failed(error) if self.is_retried(error.reason) => {
                let demanded = error.retry_after.unwrap_or_default().min(MAX_UNAVAILABLE);
                let wait =
                    self.faults.full_jitter(random).max(self.timing.poll_every).max(demanded);
                if error.reason.is_transient() {
                    if error.reason == FailureReason::Server {
                        self.unavailable = (self.unavailable + demanded).min(MAX_UNAVAILABLE);
                    }
                    return self.poll_after(now, wait, || error);
                }
                self.invalid_answers += 1;
                // The job may have finished, and only its answer been damaged: then another poll is
                // cheaper than another job, whatever the time.
                self.retry_at(now.plus(wait));
                None
            }
            JobReply::Failed(error) => Some(JobOutcome::Failed(error)),
        }
    }

    fn is_retried(&self, failure: FailureReason) -> bool {
        let invalid_answers =
            failure.may_be_damaged() && self.invalid_answers < MAX_INVALID_ANSWERS;
        self.in_flight() && (invalid_answers || failure.is_transient())
    }

    fn retry_at(&mut self, at: Monotonic) {
        match &mut self.phase {
            Phase::Unsubmitted => {}
            Phase::Submitted { poll_at, .. } => *poll_at = at,
            Phase::Paged { next_at, .. } => *next_at = at,
        }
    }

    /// Polls again after `wait`, unless the job's time is up.
    fn poll_after(
        &mut self,
        now: Monotonic,
        wait: Duration,
        over: impl FnOnce() -> JobError,
    ) -> Option<JobOutcome> {
        let since = match &self.phase {
            Phase::Unsubmitted => return Some(JobOutcome::Failed(over())),
            Phase::Submitted { since, .. } | Phase::Paged { since, .. } => *since,
        };
        self.retry_at(now.plus(wait));
        let demanded = self.throttled + self.unavailable;
        let spent = now.plus(wait).since(since).saturating_sub(demanded);
        (spent > self.timing.timeout).then(|| JobOutcome::Failed(over()))
    }
}

/// The wait after a 429 without `Retry-After`: from 5 s, as the API's documentation demands.
#[must_use]
pub const fn throttle_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(5), Duration::from_secs(60))
}

/// The wait after a transient fault.
#[must_use]
pub const fn fault_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
}
