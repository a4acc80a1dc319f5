//! What to ask CXone next: targets take turns within the quota, and none holds up the others.

mod carry;
mod rules;
mod standing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::{Backoff, Random};
use super::fetch::{
    Failure, Fetch, JobId, Outcome, Reply, Step, Trouble, fault_backoff, throttle_backoff,
};
use super::ledger::{Asked, Origin, TargetId};
use super::quota::Quota;
use super::status::JobEnd;
use super::time::{Monotonic, Now, Timestamp, Window};
use super::window::Planned;

pub use carry::{PastPolls, PastThrottles};
pub use rules::{Asking, Rules};
pub use standing::Standing;

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Submit a job for the target.
    Submit(TargetId, Window),
    /// Ask for the target's job.
    Poll(TargetId, JobId),
    /// Ask for the next page of the target's window, the first one if none was asked for yet.
    Page(TargetId, Window),
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What it was asked for.
    pub origin: Origin,
    /// Event time before its window that no report will cover.
    pub gap: Duration,
    /// Whether the window ended before what was already there to be asked for.
    pub behind: bool,
    /// From its submission to its end.
    pub age: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// A job that CXone works on, as it is kept for a later process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedJob {
    id: String,
    asked: Asked,
    window: Window,
    gap_millis: u64,
    behind: bool,
}

impl SavedJob {
    /// Its place in the order of asking.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        self.asked
    }
}

/// What an earlier process left of a target.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// Whether its newest finished job seems to have failed since.
    pub failed: bool,
    /// The job that it waited for, and how long ago that was submitted.
    pub job: Option<(SavedJob, Duration)>,
}

#[derive(Debug)]
struct Target {
    /// When it is next asked for.
    due: Monotonic,
    /// Since when it is polled.
    since: Monotonic,
    job: Option<Job>,
    /// Whether the quota has made it wait.
    waiting: bool,
    backoff: Backoff,
    refusals: Backoff,
    up: bool,
    last_success: Option<Now>,
    last_job: Option<JobEnd>,
    last_trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Job {
    asked: Asked,
    begun: Monotonic,
    planned: Planned,
    fetch: Fetch,
}

/// The plan.
#[derive(Debug)]
pub struct Planner {
    rules: Rules,
    targets: Vec<Target>,
    quota: Quota,
    /// When the quota lets the next job through, as far as is known.
    quota_free: Monotonic,
    /// A 429 to a submit holds all submits, since the limit is the client's.
    held_until: Monotonic,
    throttles: Backoff,
    random: Random,
    asked: Asked,
    quota_wait: Duration,
}

impl Planner {
    /// A plan for so many targets, all due at `now`.
    #[must_use]
    pub fn new(rules: Rules, targets: usize, now: Monotonic, mut random: Random) -> Self {
        let mut target = || Target {
            due: now.plus(rules.first_wait(&mut random)),
            since: now,
            job: None,
            waiting: false,
            backoff: fault_backoff(),
            refusals: Backoff::new(Duration::from_secs(60), Duration::from_secs(300)),
            up: false,
            last_success: None,
            last_job: None,
            last_trouble: None,
        };
        let targets = (0..targets).map(|_| target()).collect();
        Self {
            rules,
            targets,
            quota: Quota::new(rules.jobs_per_minute),
            quota_free: now,
            held_until: now,
            throttles: throttle_backoff(),
            random,
            asked: Asked::default(),
            quota_wait: Duration::ZERO,
        }
    }

    /// The next request to make now, if there is one; `cxone_utc` is now by CXone's clock. Call it
    /// until there is none.
    pub fn next(
        &mut self,
        now: Monotonic,
        cxone_utc: Timestamp,
        watermark: impl Fn(TargetId) -> Option<Timestamp>,
    ) -> Option<Action> {
        if let Some(action) = self.next_poll(now) {
            return Some(action);
        }
        if now < self.held_until {
            return None;
        }
        while let Some(place) = self.next_submit(now) {
            let target = &mut self.targets[place];
            let id = TargetId::new(place);
            let planned = match &target.job {
                Some(job) => job.planned,
                None => match self.rules.windows.next(watermark(id), cxone_utc) {
                    Some(planned) => planned,
                    None => {
                        target.due = now.plus(self.rules.interval);
                        continue;
                    }
                },
            };
            if self.rules.asking == Asking::Pages {
                self.asked.0 += 1;
                let mut fetch = Fetch::paged(self.rules.timing, now);
                fetch.sent(now);
                target.job = Some(Job { asked: self.asked, begun: now, planned, fetch });
                return Some(Action::Page(id, planned.window));
            }
            if let Err(free) = self.quota.take(now) {
                self.quota_free = free;
                self.targets
                    .iter_mut()
                    .filter(|target| target.wants_submit(now))
                    .for_each(|target| target.waiting = true);
                return None;
            }
            if std::mem::take(&mut target.waiting) {
                self.quota_wait += now.since(target.due);
            }
            let job = target.job.get_or_insert_with(|| {
                self.asked.0 += 1;
                Job { asked: self.asked, begun: now, planned, fetch: Fetch::new(self.rules.timing) }
            });
            job.fetch.sent(now);
            return Some(Action::Submit(id, planned.window));
        }
        None
    }

    fn next_poll(&mut self, now: Monotonic) -> Option<Action> {
        self.targets.iter_mut().enumerate().find_map(|(place, target)| {
            let job = target.job.as_mut()?;
            let action = match job.fetch.step(now) {
                Step::Poll(id) => Action::Poll(TargetId::new(place), id),
                Step::Page => Action::Page(TargetId::new(place), job.planned.window),
                Step::Submit | Step::Wait(_) | Step::Busy => return None,
            };
            job.fetch.sent(now);
            Some(action)
        })
    }

    /// The target whose turn it is to submit: a job that is to be submitted again first, then
    /// whoever has been due the longest.
    fn next_submit(&self, now: Monotonic) -> Option<usize> {
        let wanting =
            self.targets.iter().enumerate().filter(|(_, target)| target.wants_submit(now));
        wanting
            .min_by_key(|(place, target)| (target.job.is_none(), target.due, *place))
            .map(|(place, _)| place)
    }

    /// What the target's job, which CXone works on, was asked for.
    #[must_use]
    pub fn origin(&self, id: TargetId) -> Option<Origin> {
        let job = self.targets[id.index()].job.as_ref()?;
        let oldest_awaited =
            self.targets.iter().filter_map(|target| target.job.as_ref()).map(|job| job.asked).min();
        Some(Origin {
            target: id,
            asked: job.asked,
            oldest_awaited: oldest_awaited.unwrap_or(job.asked),
            window: job.planned.window,
        })
    }

    /// Whether the window of the target's job ends before what is already there to be asked for: it
    /// is as long as it may be, and the next one for the same watermark is the same.
    #[must_use]
    pub fn is_behind(&self, id: TargetId) -> bool {
        self.targets[id.index()].job.as_ref().is_some_and(|job| job.planned.behind)
    }

    /// The target's job, for a later process to take up, if CXone works on one.
    #[must_use]
    pub fn job(&self, id: TargetId) -> Option<SavedJob> {
        let job = self.targets[id.index()].job.as_ref()?;
        let id = job.fetch.id()?.as_str().to_owned();
        Some(SavedJob {
            id,
            asked: job.asked,
            window: job.planned.window,
            gap_millis: millis(job.planned.gap),
            behind: job.planned.behind,
        })
    }

    /// Takes up what an earlier process left: how long ago the target last succeeded, and the job
    /// that it waited for so long, if its window still follows the watermark. Returns whether the
    /// job is taken up.
    pub fn resume(
        &mut self,
        now: Now,
        id: TargetId,
        left: &Left,
        watermark: Option<Timestamp>,
    ) -> bool {
        let target = &mut self.targets[id.index()];
        if let Some(success) = left.last_success {
            let age = now.utc.since(success);
            target.last_success = Some(Now { instant: now.instant.before(age), utc: success });
            target.up = !left.failed;
            // The first poll comes when it would have come, and not with all others at once.
            target.due = now.instant.max(now.instant.before(age).plus(self.rules.interval));
        }
        let Some((job, age)) = &left.job else { return false };
        let fits = match watermark {
            Some(watermark) => job.window.from <= watermark && watermark < job.window.to,
            None => true,
        };
        let job_id = JobId::parse(&job.id).filter(|_| fits && *age < self.rules.timing.timeout);
        let Some(job_id) = job_id else { return false };
        self.asked = self.asked.max(job.asked);
        let planned = Planned {
            window: job.window,
            gap: Duration::from_millis(job.gap_millis),
            behind: job.behind,
        };
        let fetch = Fetch::resumed(self.rules.timing, job_id, now.instant, *age);
        target.job =
            Some(Job { asked: job.asked, begun: now.instant.before(*age), planned, fetch });
        true
    }

    /// Takes note of what an earlier process submitted so long ago, and of the place of its last
    /// report in the order of asking.
    pub fn remember(&mut self, now: Monotonic, submit_ages: &[Duration], newest: Asked) {
        self.quota.remember(now, submit_ages);
        self.asked = self.asked.max(newest);
    }

    /// When [`Planner::next`] will have something to do, or a target turns stale, unless a reply
    /// comes first.
    #[must_use]
    pub fn wake_at(&self, now: Monotonic) -> Option<Monotonic> {
        let submits_from = self.held_until.max(self.quota_free);
        let steps = self.targets.iter().filter_map(|target| {
            match target.job.as_ref().map(|job| job.fetch.step(now)) {
                None => Some(target.due.max(submits_from)),
                Some(Step::Submit) => Some(submits_from),
                Some(Step::Poll(_) | Step::Page) => Some(now),
                Some(Step::Wait(until)) => Some(until),
                Some(Step::Busy) => None,
            }
        });
        let stale = self
            .targets
            .iter()
            .map(|target| self.stale_at(target))
            .filter(|stale_at| *stale_at > now);
        steps.chain(stale).min()
    }

    /// Takes the reply to the request that an action asked for. When the job has ended with it,
    /// what it was.
    pub fn reply(&mut self, now: Now, id: TargetId, reply: Reply) -> Option<Ended> {
        let origin = self.origin(id)?;
        let target = &mut self.targets[id.index()];
        let job = target.job.as_mut()?;
        if !job.fetch.in_flight() {
            self.quota.answered(now.instant);
        }
        let (accepted, throttled) =
            (matches!(reply, Reply::Submitted(_)), matches!(reply, Reply::Throttled { .. }));
        let outcome = job.fetch.reply(now.instant, reply, &mut self.random);
        if accepted {
            self.throttles.reset();
        }
        if let (Asking::Pages, true, Step::Wait(until)) =
            (self.rules.asking, throttled, job.fetch.step(now.instant))
        {
            self.held_until = self.held_until.max(until);
        }
        let outcome = outcome?;
        let job = target.job.take()?;
        let end = JobEnd { at: now.utc, took: now.instant.since(job.begun) };
        match &outcome {
            Outcome::Completed => {
                target.succeeded(&job, now, self.rules.jittered(&mut self.random))
            }
            Outcome::Throttled { retry_after } => {
                let wait = retry_after.unwrap_or_else(|| self.throttles.at_least(&mut self.random));
                self.held_until = self.held_until.max(now.instant.plus(wait));
            }
            Outcome::Failed(trouble) => {
                target.failed(trouble, now.instant, &self.rules, &mut self.random)
            }
        }
        if !matches!(outcome, Outcome::Throttled { .. }) {
            self.targets[id.index()].last_job = Some(end);
        }
        Some(Ended {
            origin,
            gap: job.planned.gap,
            behind: job.planned.behind,
            age: job.fetch.age(now.instant),
            outcome,
        })
    }

    /// How many jobs CXone works on.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.targets.iter().filter(|target| target.in_flight()).count()
    }

    /// The time that jobs have waited for the quota so far.
    #[must_use]
    pub const fn quota_wait(&self) -> Duration {
        self.quota_wait
    }

    /// When a job is given up.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.rules.timing.timeout
    }

    /// How far each window reaches back behind the watermark.
    #[must_use]
    pub const fn overlap(&self) -> Duration {
        self.rules.windows.overlap
    }
}

impl Target {
    fn wants_submit(&self, now: Monotonic) -> bool {
        self.job.as_ref().map_or(self.due <= now, |job| job.fetch.step(now) == Step::Submit)
    }

    fn in_flight(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.fetch.in_flight())
    }

    fn succeeded(&mut self, job: &Job, now: Now, interval: Duration) {
        self.up = true;
        self.last_success = Some(now);
        self.last_trouble = None;
        self.backoff.reset();
        self.refusals.reset();
        // What is already there to be asked for need not wait for its turn in time, only for its
        // turn among the targets.
        self.due = if job.planned.behind {
            now.instant
        } else {
            now.instant.max(job.begun.plus(interval))
        };
    }

    fn failed(&mut self, trouble: &Trouble, now: Monotonic, rules: &Rules, random: &mut Random) {
        self.up = false;
        let wait = match trouble.failure {
            Failure::Rejected | Failure::RowsRejected | Failure::TooLarge | Failure::Redirected => {
                rules.interval.max(self.backoff.full_jitter(random))
            }
            Failure::Forbidden | Failure::TokenForbidden | Failure::Credentials => {
                self.refusals.at_least(random)
            }
            Failure::Token
            | Failure::Unauthorized
            | Failure::Failed
            | Failure::Timeout
            | Failure::Lost
            | Failure::Malformed
            | Failure::Server
            | Failure::Unreachable
            | Failure::Store => self.backoff.full_jitter(random),
        };
        self.due = now.plus(wait.max(trouble.retry_after.unwrap_or_default()));
        self.last_trouble = Some(trouble.clone());
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
