//! The retrieval of one window as a state machine: submit, poll until done, give up in time.

use std::fmt;
use std::time::Duration;

use super::backoff::{Backoff, Random};
use super::time::Monotonic;

/// The longest job id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Why a job came to nothing: the closed set of `cxone_report_job_failures_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The client id or the secret is wrong.
    Credentials,
    /// The client may not have a token: it lacks permission or is disabled.
    TokenForbidden,
    /// Any other refusal of a token.
    Token,
    /// The token was refused twice in a row.
    Unauthorized,
    /// Scope, capability or licence is missing.
    Forbidden,
    /// The dates or the filter were refused.
    Rejected,
    /// CXone says that the job failed.
    Failed,
    /// The job was not done in time.
    Timeout,
    /// The job is gone.
    Lost,
    /// The answer is no JSON, lacks its id, has an unknown status or ends early.
    Malformed,
    /// The report is larger than the limit.
    TooLarge,
    /// A fault of the server.
    Server,
    /// No answer.
    Unreachable,
    /// A redirect, which is never followed.
    Redirected,
    /// What was read, or is to be asked, could not be kept in the store.
    Store,
}

impl Failure {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Credentials,
        Self::TokenForbidden,
        Self::Token,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Rejected,
        Self::Failed,
        Self::Timeout,
        Self::Lost,
        Self::Malformed,
        Self::TooLarge,
        Self::Server,
        Self::Unreachable,
        Self::Redirected,
        Self::Store,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::TokenForbidden => "token_forbidden",
            Self::Token => "token",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Server => "server",
            Self::Unreachable => "unreachable",
            Self::Redirected => "redirected",
            Self::Store => "store",
        }
    }

    /// A fault that may pass within seconds, so that a job that is under way is asked for again.
    const fn may_pass(self) -> bool {
        matches!(self, Self::Server | Self::Unreachable)
    }
}

/// What went wrong, and when CXone wants to be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind.
    pub failure: Failure,
    /// The wait that the answer asked for.
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
        let fits = !id.is_empty() && id.len() <= MAX_ID_BYTES && id != "." && id != ".." && !id.contains(char::is_control);
        fits.then(|| Self(id.into()))
    }

    /// The id as CXone told it.
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
    /// When it is given up, counted from its submission without the waits that 429 asked for.
    pub timeout: Duration,
}

/// What there is to do for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Submit it; this takes from the quota.
    Submit,
    /// Ask for it.
    Poll(JobId),
    /// Nothing until then.
    Wait(Monotonic),
    /// A request is under way.
    Busy,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The job has this id.
    Submitted(JobId),
    /// It is not done yet.
    Unfinished,
    /// It is done, and its report was read whole.
    Completed,
    /// 429.
    Throttled {
        /// The wait that the answer asked for.
        retry_after: Option<Duration>,
        /// What happened, for a person.
        message: String,
    },
    /// Anything else.
    Trouble(Trouble),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its report was read whole.
    Completed,
    /// It was not submitted, for there are too many requests: nothing failed, but all submits must wait.
    Throttled {
        /// The wait that the answer asked for.
        retry_after: Option<Duration>,
    },
    /// It came to nothing.
    Failed(Trouble),
}

#[derive(Clone, Debug)]
enum Phase {
    Unsubmitted,
    Submitted { id: JobId, since: Monotonic, poll_at: Monotonic },
}

/// One job, from its submission to its end.
#[derive(Clone, Debug)]
pub struct Fetch {
    timing: JobTiming,
    phase: Phase,
    busy: bool,
    sent_at: Monotonic,
    /// Whether the last request was refused for its token, and repeated with a new one.
    token_renewed: bool,
    /// Waits that 429 asked for.
    throttled: Duration,
    throttles: Backoff,
    faults: Backoff,
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
            throttles: throttle_backoff(),
            faults: fault_backoff(),
        }
    }

    /// A job that an earlier process submitted so long ago; it is asked for at once.
    #[must_use]
    pub fn resumed(timing: JobTiming, id: JobId, now: Monotonic, age: Duration) -> Self {
        Self { phase: Phase::Submitted { id, since: now.before(age), poll_at: now }, ..Self::new(timing) }
    }

    /// The job's id, once it has one.
    #[must_use]
    pub const fn id(&self) -> Option<&JobId> {
        match &self.phase {
            Phase::Unsubmitted => None,
            Phase::Submitted { id, .. } => Some(id),
        }
    }

    /// What there is to do now.
    #[must_use]
    pub fn step(&self, now: Monotonic) -> Step {
        match &self.phase {
            _ if self.busy => Step::Busy,
            Phase::Unsubmitted => Step::Submit,
            Phase::Submitted { poll_at, .. } if *poll_at > now => Step::Wait(*poll_at),
            Phase::Submitted { id, .. } => Step::Poll(id.clone()),
        }
    }

    /// Whether CXone works on it.
    #[must_use]
    pub const fn in_flight(&self) -> bool {
        matches!(self.phase, Phase::Submitted { .. })
    }

    /// How long ago it was submitted.
    #[must_use]
    pub fn age(&self, now: Monotonic) -> Duration {
        match &self.phase {
            Phase::Unsubmitted => Duration::ZERO,
            Phase::Submitted { since, .. } => now.since(*since),
        }
    }

    /// The request that [`Fetch::step`] told is under way since `now`.
    pub fn sent(&mut self, now: Monotonic) {
        self.busy = true;
        self.sent_at = now;
    }

    /// Takes the reply to the request that was under way; the outcome when the job has ended with it.
    pub fn reply(&mut self, now: Monotonic, reply: Reply, random: &mut Random) -> Option<Outcome> {
        self.busy = false;
        match reply {
            Reply::Submitted(id) => {
                self.token_renewed = false;
                self.phase = Phase::Submitted { id, since: self.sent_at, poll_at: now.plus(self.timing.poll_every) };
                None
            }
            Reply::Unfinished => {
                self.token_renewed = false;
                self.faults.reset();
                self.throttles.reset();
                let JobTiming { poll_every, timeout } = self.timing;
                self.poll_after(now, poll_every, || Trouble {
                    failure: Failure::Timeout,
                    retry_after: None,
                    message: format!(
                        "the report was not ready after {}; raise jobs.timeout if CXone needs longer",
                        humantime::format_duration(timeout)
                    ),
                })
            }
            Reply::Completed => Some(Outcome::Completed),
            Reply::Throttled { retry_after, .. } if !self.in_flight() => Some(Outcome::Throttled { retry_after }),
            Reply::Throttled { retry_after, message } => {
                let wait = retry_after.unwrap_or_else(|| self.throttles.at_least(random)).max(self.timing.poll_every);
                self.throttled += wait;
                self.poll_after(now, wait, || Trouble { failure: Failure::Timeout, retry_after: None, message })
            }
            Reply::Trouble(trouble) if trouble.failure == Failure::Unauthorized && !self.token_renewed => {
                self.token_renewed = true;
                None
            }
            Reply::Trouble(trouble) if self.in_flight() && trouble.failure.may_pass() => {
                let wait = self.faults.full_jitter(random).max(self.timing.poll_every);
                self.poll_after(now, wait, || trouble)
            }
            Reply::Trouble(trouble) => Some(Outcome::Failed(trouble)),
        }
    }

    /// Polls again after `wait`, unless the time for the job is over.
    fn poll_after(&mut self, now: Monotonic, wait: Duration, over: impl FnOnce() -> Trouble) -> Option<Outcome> {
        let Phase::Submitted { since, poll_at, .. } = &mut self.phase else { return Some(Outcome::Failed(over())) };
        *poll_at = now.plus(wait);
        let spent = now.plus(wait).since(*since).saturating_sub(self.throttled);
        (spent > self.timing.timeout).then(|| Outcome::Failed(over()))
    }
}

/// The wait after a 429 that does not say how long: from 5 s, since that is what the API's documentation asks for.
#[must_use]
pub const fn throttle_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(5), Duration::from_secs(60))
}

/// The wait after a passing fault.
#[must_use]
pub const fn fault_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use assert_matches::assert_matches;

    use super::*;

    const TIMING: JobTiming = JobTiming { poll_every: Duration::from_secs(2), timeout: Duration::from_secs(60) };

    fn second(seconds: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_secs(seconds))
    }

    fn trouble(failure: Failure) -> Reply {
        Reply::Trouble(Trouble { failure, retry_after: None, message: "trouble".to_owned() })
    }

    fn submitted() -> (Fetch, Random) {
        let (mut fetch, mut random) = (Fetch::new(TIMING), Random::from_seed(1));
        assert_eq!(fetch.step(second(0)), Step::Submit);
        fetch.sent(second(0));
        assert_eq!(fetch.step(second(0)), Step::Busy);
        let id = JobId::parse("job-1").expect("an id");
        assert_eq!(fetch.reply(second(0), Reply::Submitted(id), &mut random), None);
        (fetch, random)
    }

    #[test]
    fn a_job_is_polled_thirty_times_and_then_given_up() {
        let (mut fetch, mut random) = submitted();
        let mut now = second(0);
        let mut polls = 0;
        let outcome = loop {
            match fetch.step(now) {
                Step::Wait(until) => now = until,
                Step::Poll(_) => {
                    polls += 1;
                    fetch.sent(now);
                    if let Some(outcome) = fetch.reply(now, Reply::Unfinished, &mut random) {
                        break outcome;
                    }
                }
                step @ (Step::Submit | Step::Busy) => panic!("{step:?}"),
            }
        };
        assert_matches!(outcome, Outcome::Failed(Trouble { failure: Failure::Timeout, .. }));
        assert_eq!((polls, now), (30, second(60)));
    }

    #[test]
    fn waits_that_429_asks_for_are_not_the_jobs_fault() {
        let (mut fetch, mut random) = submitted();
        let wait = Reply::Throttled { retry_after: Some(Duration::from_secs(300)), message: String::new() };
        assert_eq!(fetch.reply(second(2), wait.clone(), &mut random), None);
        assert_eq!(fetch.step(second(3)), Step::Wait(second(302)));
        assert_eq!(fetch.reply(second(302), wait, &mut random), None);
        assert_eq!(fetch.reply(second(602), Reply::Unfinished, &mut random), None);
        assert_matches!(fetch.reply(second(661), Reply::Unfinished, &mut random), Some(Outcome::Failed(_)));
    }

    #[test]
    fn a_429_without_a_time_is_waited_out_for_at_least_five_seconds() {
        let (mut fetch, mut random) = submitted();
        fetch.reply(second(2), Reply::Throttled { retry_after: None, message: String::new() }, &mut random);
        assert_matches!(fetch.step(second(2)), Step::Wait(until) if until >= second(7));
    }

    #[test]
    fn a_throttled_submit_ends_without_a_failure() {
        let mut fetch = Fetch::new(TIMING);
        let reply = Reply::Throttled { retry_after: None, message: String::new() };
        assert_eq!(fetch.reply(second(0), reply, &mut Random::from_seed(1)), Some(Outcome::Throttled { retry_after: None }));
    }

    #[test]
    fn a_refused_token_is_renewed_once_and_then_an_error() {
        let (mut fetch, mut random) = submitted();
        assert_eq!(fetch.reply(second(2), trouble(Failure::Unauthorized), &mut random), None);
        assert_matches!(fetch.step(second(2)), Step::Poll(_));
        assert_matches!(fetch.reply(second(2), trouble(Failure::Unauthorized), &mut random), Some(Outcome::Failed(_)));
        let mut unsubmitted = Fetch::new(TIMING);
        assert_eq!(unsubmitted.reply(second(0), trouble(Failure::Unauthorized), &mut random), None);
        assert_eq!(unsubmitted.step(second(0)), Step::Submit);
    }

    #[test]
    fn a_passing_fault_costs_a_poll_and_not_the_job_until_its_time_is_over() {
        let (mut fetch, mut random) = submitted();
        assert_eq!(fetch.reply(second(2), trouble(Failure::Server), &mut random), None);
        assert_eq!(fetch.reply(second(10), trouble(Failure::Unreachable), &mut random), None);
        let outcome = fetch.reply(second(61), trouble(Failure::Server), &mut random);
        assert_matches!(outcome, Some(Outcome::Failed(Trouble { failure: Failure::Server, .. })));
    }

    #[test]
    fn what_will_not_pass_ends_the_job_at_once() {
        for failure in [Failure::Lost, Failure::Failed, Failure::Malformed, Failure::TooLarge, Failure::Forbidden, Failure::Rejected] {
            let (mut fetch, mut random) = submitted();
            let outcome = fetch.reply(second(2), trouble(failure), &mut random);
            assert_matches!(outcome, Some(Outcome::Failed(trouble)) if trouble.failure == failure);
        }
    }

    #[test]
    fn an_id_that_would_change_the_path_is_none() {
        for id in ["", ".", "..", "a\nb", &"x".repeat(257)] {
            assert_eq!(JobId::parse(id), None, "{id:?}");
        }
    }
}
