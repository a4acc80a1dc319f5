//! What to request from CXone next: targets take turns within the quota, and none holds up the
//! others.

mod length;
mod rejection;
mod rules;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counts::{ReportOrigin, SubmitOrder, TargetId};
use crate::plan::backoff::{Backoff, Random};
use crate::plan::fetch::{
    FailureReason, Fetch, JobError, JobId, JobOutcome, JobReply, JobStep, fault_backoff,
    throttle_backoff,
};
use crate::plan::quota::Quota;
use crate::plan::window::PlannedWindow;
use crate::time::{Monotonic, Now, Timestamp, Window};

use length::WindowLength;
use rejection::WindowRejection;

pub use rules::{PlannerRules, RetrievalMode, least_news};

/// Two clocks that agree are less than this apart: a watermark further ahead of CXone's clock is
/// wrong.
pub const MAX_AHEAD: Duration = Duration::from_secs(5);

/// While CXone's clock keeps a target from being requested, it is checked this often.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// After this many checks in a row that changed nothing, [`RARE_CLOCK_CHECK_INTERVAL`] applies.
/// The estimate of CXone's clock takes at most this many answers to move.
const MAX_FREQUENT_CLOCK_CHECKS: u32 = 16;

/// How often CXone's clock is checked when frequent checks did not help.
const RARE_CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// A rejected slice may be too long for CXone, so it is halved, but only this many times: mostly it
/// is rejected for something else.
const MAX_REJECTED_HALVINGS: u32 = 2;

/// A target is stale only after this many of its planned cycles.
const STALE_CYCLES: u32 = 3;

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannerAction {
    /// Submit a job for the target.
    Submit(TargetId, Window),
    /// Make the next request for the target's window: poll its job, or read its next page.
    Advance(TargetId, Window),
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedJob {
    /// Its target, window and order.
    pub origin: ReportOrigin,
    /// Event time before its window that no report will cover.
    pub gap: Duration,
    /// Whether its window ended before what CXone could already report.
    pub behind: bool,
    /// From its submission to its end.
    pub age: Duration,
    /// How it ended.
    pub outcome: JobOutcome,
    /// Whether it only tried if CXone accepts the newest window: its rows are not counted.
    pub probes: bool,
    /// Whether its window is skipped: CXone rejects this part of the past.
    pub gives_up: bool,
    /// The longest window from now on, if it was reduced.
    pub halved: Option<Duration>,
}

/// A job in progress at CXone, as it is stored for a later process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedJob {
    id: String,
    order: SubmitOrder,
    window: Window,
    gap_millis: u64,
    behind: bool,
}

impl SavedJob {
    /// Its position in the order of submits.
    #[must_use]
    pub const fn order(&self) -> SubmitOrder {
        self.order
    }
}

/// What an earlier process stored of a target.
#[derive(Clone, Debug, Default)]
pub struct PreviousRun {
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// Whether its newest finished job seems to have failed since.
    pub failed: bool,
    /// The job that it waited for, and how long ago that was submitted.
    pub job: Option<(SavedJob, Duration)>,
}

/// The end of a job, good or bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took from its beginning.
    pub took: Duration,
}

/// How a target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPlanStatus {
    /// Whether its newest finished job succeeded.
    pub up: bool,
    /// When a job of it last succeeded.
    pub last_success: Option<Now>,
    /// Its newest finished job, if it ended in this process.
    pub last_job: Option<JobEnd>,
    /// Why its newest finished job failed.
    pub last_error: Option<JobError>,
    /// How long ago the job in progress was begun.
    pub job_age: Option<Duration>,
    /// When its next job begins at the earliest, if none is in progress.
    pub due: Monotonic,
    /// Whether it has not succeeded for too long.
    pub stale: bool,
    /// The longest window that is requested, if longer ones failed.
    pub longest_window: Option<Duration>,
}

/// How polling one target went under an earlier plan.
#[derive(Clone, Debug)]
pub struct PastPolls {
    due: Monotonic,
    longest_window: Duration,
    history: TargetHistory,
}

/// How long an earlier plan held all submits back after a 429.
#[derive(Clone, Debug)]
pub struct PastThrottles {
    held_until: Monotonic,
    throttles: Backoff,
}

/// What a target keeps over a reload as it is: a failure is still one then.
#[derive(Clone, Debug)]
struct TargetHistory {
    /// Since when it is polled.
    since: Monotonic,
    backoff: Backoff,
    /// The waits after CXone denied access.
    denials: Backoff,
    rejection: Option<WindowRejection>,
    up: bool,
    last_success: Option<Now>,
    /// When the job was begun that succeeded last.
    last_asked: Option<Monotonic>,
    last_job: Option<JobEnd>,
    last_error: Option<JobError>,
}

#[derive(Debug)]
struct TargetPlan {
    /// When it is next requested.
    due: Monotonic,
    job: Option<TargetJob>,
    /// Whether the quota has made it wait.
    waiting: bool,
    length: WindowLength,
    history: TargetHistory,
}

#[derive(Debug)]
struct TargetJob {
    order: SubmitOrder,
    begun: Monotonic,
    planned: PlannedWindow,
    fetch: Fetch,
    probes: bool,
}

/// The plan.
#[derive(Debug)]
pub struct Planner {
    rules: PlannerRules,
    targets: Vec<TargetPlan>,
    quota: Quota,
    /// When the quota allows the next submit, as far as is known.
    quota_free: Monotonic,
    /// A 429 holds all submits, since CXone limits the client and not the target.
    held_until: Monotonic,
    throttles: Backoff,
    random: Random,
    order: SubmitOrder,
    quota_wait: Duration,
    /// Whether CXone's clock has kept a target from being requested since the last check.
    doubts_clock: bool,
    /// How often CXone's clock was checked since something was last requested.
    clock_checks: u32,
}

impl Planner {
    /// A plan for this many targets, all due at `now`.
    #[must_use]
    pub fn new(rules: PlannerRules, targets: usize, now: Monotonic, mut random: Random) -> Self {
        let least = rules.shortest_window(targets);
        let mut target = || TargetPlan {
            due: now.plus(rules.first_wait(&mut random)),
            job: None,
            waiting: false,
            length: WindowLength::new(least, rules.windows.lookback),
            history: TargetHistory {
                since: now,
                backoff: fault_backoff(),
                denials: Backoff::new(Duration::from_secs(60), Duration::from_secs(300)),
                rejection: None,
                up: false,
                last_success: None,
                last_asked: None,
                last_job: None,
                last_error: None,
            },
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
            order: SubmitOrder::default(),
            quota_wait: Duration::ZERO,
            doubts_clock: false,
            clock_checks: 0,
        }
    }

    /// The next request to make now, if there is one; `cxone_utc` is now by CXone's clock, if that
    /// is known. Call it until there is none.
    pub fn next(
        &mut self,
        now: Monotonic,
        cxone_utc: Option<Timestamp>,
        watermark: impl Fn(TargetId) -> Option<Timestamp>,
    ) -> Option<PlannerAction> {
        // Polls and pages first: they take nothing from the quota of jobs, and end jobs.
        if let Some(action) = self.next_poll(now) {
            return Some(action);
        }
        if now < self.held_until {
            return None;
        }
        while let Some(index) = self.next_submit(now) {
            let id = TargetId::new(index);
            let target = &mut self.targets[index];
            // A job that was throttled is submitted again for the same window.
            let planned =
                target.job.as_ref().map(|job| job.planned).or_else(|| {
                    cxone_utc.and_then(|utc| target.plan(&self.rules, watermark(id), utc))
                });
            let Some(planned) = planned else {
                // Nothing is new yet: mostly since the interval is shorter than the settle delay,
                // but with a clock that is wrong nothing might be new for hours.
                let is_doubted = cxone_utc.is_none_or(|utc| {
                    watermark(id).is_some_and(|watermark| watermark.since(utc) > MAX_AHEAD)
                });
                self.doubts_clock |= is_doubted;
                target.due = now.plus(if !is_doubted {
                    self.rules.interval
                } else if self.clock_checks < MAX_FREQUENT_CLOCK_CHECKS {
                    CLOCK_CHECK_INTERVAL
                } else {
                    RARE_CLOCK_CHECK_INTERVAL
                });
                continue;
            };
            self.clock_checks = 0;
            if self.rules.mode == RetrievalMode::Jobs {
                if let Err(free) = self.quota.take(now) {
                    self.quota_free = free;
                    for target in self.targets.iter_mut().filter(|target| target.wants_submit(now))
                    {
                        target.waiting = true;
                    }
                    return None;
                }
                if std::mem::take(&mut target.waiting) {
                    self.quota_wait += now.since(target.due);
                }
            }
            let probes = target.probes_newest();
            let job = target.job.get_or_insert_with(|| {
                self.order.0 += 1;
                let fetch = match self.rules.mode {
                    RetrievalMode::Jobs => Fetch::new(self.rules.timing),
                    RetrievalMode::Pages => Fetch::paged(self.rules.timing, now),
                };
                TargetJob { order: self.order, begun: now, planned, fetch, probes }
            });
            job.fetch.sent(now);
            return Some(match self.rules.mode {
                RetrievalMode::Jobs => PlannerAction::Submit(id, planned.window),
                RetrievalMode::Pages => PlannerAction::Advance(id, planned.window),
            });
        }
        None
    }

    fn next_poll(&mut self, now: Monotonic) -> Option<PlannerAction> {
        for (index, target) in self.targets.iter_mut().enumerate() {
            if let Some(job) = &mut target.job
                && job.fetch.step(now) == JobStep::Advance
            {
                job.fetch.sent(now);
                return Some(PlannerAction::Advance(TargetId::new(index), job.planned.window));
            }
        }
        None
    }

    /// The target whose turn it is to submit: a job that was throttled first, since it has waited
    /// its turn already, then the target that has been due the longest.
    fn next_submit(&self, now: Monotonic) -> Option<usize> {
        let targets = self.targets.iter().enumerate();
        targets
            .filter(|(_, target)| target.wants_submit(now))
            .min_by_key(|(index, target)| (target.job.is_none(), target.due, *index))
            .map(|(index, _)| index)
    }

    fn target_job(&self, id: TargetId) -> Option<&TargetJob> {
        self.targets[id.index()].job.as_ref()
    }

    /// The window of the target's job, and its position among the jobs of all targets.
    #[must_use]
    pub fn origin(&self, id: TargetId) -> Option<ReportOrigin> {
        let TargetJob { order, planned, .. } = *self.target_job(id)?;
        let orders = self.targets.iter().filter_map(|target| Some(target.job.as_ref()?.order));
        let oldest_pending = orders.min().unwrap_or(order);
        Some(ReportOrigin { target: id, order, oldest_pending, window: planned.window })
    }

    /// Whether the window of the target's job ends before what CXone can already report: it is as
    /// long as it may be, and the next one for the same watermark is the same.
    #[must_use]
    pub fn is_behind(&self, id: TargetId) -> bool {
        self.target_job(id).is_some_and(|job| job.planned.behind)
    }

    /// Has the rows of the target's job not counted: its window was planned by a clock that was
    /// ahead, and the report says nothing of the time that had not come yet.
    pub fn disregard(&mut self, id: TargetId) {
        if let Some(job) = &mut self.targets[id.index()].job {
            job.probes = true;
        }
    }

    /// Whether the rows of the target's job are not counted: it only tries if CXone accepts the
    /// newest window, or is disregarded.
    #[must_use]
    pub fn probes(&self, id: TargetId) -> bool {
        self.target_job(id).is_some_and(|job| job.probes)
    }

    /// Up to when CXone could report when the target's job was begun: the epoch, if it is the
    /// target's first.
    #[must_use]
    pub fn epoch(&self, id: TargetId) -> Option<Timestamp> {
        self.target_job(id).map(|job| job.planned.end)
    }

    /// When the target's last job that succeeded was begun, as far as is known: its history is
    /// known up to then and no further, whatever its window said.
    #[must_use]
    pub fn last_asked(&self, id: TargetId) -> Option<Monotonic> {
        let history = &self.targets[id.index()].history;
        history.last_asked.or(history.last_success.map(|success| success.instant))
    }

    /// Whether CXone's clock kept a target from being requested since the last call, so that it
    /// should be checked.
    pub fn take_clock_doubt(&mut self) -> bool {
        self.clock_checks = self.clock_checks.saturating_add(u32::from(self.doubts_clock));
        std::mem::take(&mut self.doubts_clock)
    }

    /// The id of the target's job, if CXone has accepted one.
    #[must_use]
    pub fn job_id(&self, id: TargetId) -> Option<&JobId> {
        self.targets[id.index()].job.as_ref()?.fetch.id()
    }

    /// The target's job, for a later process to resume, if it is in progress at CXone.
    #[must_use]
    pub fn job(&self, id: TargetId) -> Option<SavedJob> {
        let job = self.target_job(id).filter(|job| !job.probes)?;
        Some(SavedJob {
            id: job.fetch.id()?.as_str().to_owned(),
            order: job.order,
            window: job.planned.window,
            gap_millis: u64::try_from(job.planned.gap.as_millis()).unwrap_or(u64::MAX),
            behind: job.planned.behind,
        })
    }

    /// Resumes what an earlier process stored: how long ago the target last succeeded, and the job
    /// that it waited for, if its window still follows the watermark. Returns whether the job is
    /// resumed.
    pub fn resume(
        &mut self,
        now: Now,
        id: TargetId,
        left: &PreviousRun,
        watermark: Option<Timestamp>,
    ) -> bool {
        let target = &mut self.targets[id.index()];
        if let Some(success) = left.last_success {
            let age = now.utc.since(success);
            let instant = now.instant.before(age);
            target.history.last_success = Some(Now { instant, utc: success });
            target.history.up = !left.failed;
            // The first poll comes when it would have come, and not with all others at once.
            target.due = now.instant.max(instant.plus(self.rules.interval));
        }
        let Some((job, age)) = &left.job else { return false };
        let fits = match watermark {
            Some(watermark) => job.window.from <= watermark && watermark < job.window.to,
            // A slice does not say where counting is to begin.
            None => !job.behind,
        };
        let job_id = JobId::parse(&job.id).filter(|_| fits && *age < self.rules.timing.timeout);
        let Some(job_id) = job_id else { return false };
        self.order = self.order.max(job.order);
        let planned = PlannedWindow {
            window: job.window,
            gap: Duration::from_millis(job.gap_millis),
            behind: job.behind,
            end: job.window.to,
            first: watermark.is_none(),
        };
        let fetch = Fetch::resumed(self.rules.timing, job_id, now.instant, *age);
        let begun = now.instant.before(*age);
        target.job = Some(TargetJob { order: job.order, begun, planned, fetch, probes: false });
        true
    }

    /// Charges the quota with what an earlier process submitted this long ago, and continues its
    /// order of submits.
    pub fn remember(&mut self, now: Monotonic, submit_ages: &[Duration], newest: SubmitOrder) {
        self.quota.remember(now, submit_ages);
        self.order = self.order.max(newest);
    }

    /// How polling the target went under this plan.
    #[must_use]
    pub fn past_polls(&self, id: TargetId) -> PastPolls {
        let TargetPlan { due, length, history, .. } = &self.targets[id.index()];
        PastPolls { due: *due, longest_window: length.longest(), history: history.clone() }
    }

    /// How long this plan holds submits back.
    #[must_use]
    pub fn past_throttles(&self) -> PastThrottles {
        PastThrottles { held_until: self.held_until, throttles: self.throttles.clone() }
    }

    /// Continues with what was known of the target. Call it after [`Planner::resume`]. With
    /// `keeps_waits`, a target that failed is not retried earlier than before; without, at once, since
    /// the reload may have fixed the cause.
    pub fn restore_polls(&mut self, id: TargetId, past: PastPolls, keeps_waits: bool) {
        let target = &mut self.targets[id.index()];
        if keeps_waits && past.history.last_error.is_some() {
            target.due = past.due;
        }
        target.length.resume(past.longest_window);
        target.history = past.history;
    }

    /// Continues to hold submits back as the earlier plan did.
    pub fn restore_throttles(&mut self, past: PastThrottles) {
        self.held_until = self.held_until.max(past.held_until);
        self.throttles = past.throttles;
    }

    /// When [`Planner::next`] will have something to do, or a target turns stale, unless a reply
    /// comes first.
    #[must_use]
    pub fn wake_at(&self, now: Monotonic) -> Option<Monotonic> {
        let submits_from = self.held_until.max(self.quota_free);
        let steps = self.targets.iter().filter_map(|target| {
            match target.job.as_ref().map(|job| job.fetch.step(now)) {
                None => Some(target.due.max(submits_from)),
                Some(JobStep::Submit) => Some(submits_from),
                Some(JobStep::Advance) => Some(now),
                Some(JobStep::Wait(until)) => Some(until),
                Some(JobStep::Busy) => None,
            }
        });
        let stale_at = self.targets.iter().map(|target| self.stale_at(target));
        steps.chain(stale_at.filter(|stale_at| *stale_at > now)).min()
    }

    /// Takes the reply to the request of an action. Returns the job if it has ended with it.
    pub fn reply(&mut self, now: Now, id: TargetId, reply: JobReply) -> Option<EndedJob> {
        let origin = self.origin(id)?;
        let target = &mut self.targets[id.index()];
        let job = target.job.as_mut()?;
        if !job.fetch.in_flight() {
            self.quota.answered(now.instant);
        }
        if matches!(reply, JobReply::Submitted(_)) {
            self.throttles.reset();
        }
        let is_throttled = matches!(reply, JobReply::Throttled { .. });
        let outcome = job.fetch.reply(now.instant, reply, &mut self.random);
        // Pages have no quota of their own: a 429 to one of them is about all.
        if let (RetrievalMode::Pages, true, JobStep::Wait(until)) =
            (self.rules.mode, is_throttled, job.fetch.step(now.instant))
        {
            self.held_until = self.held_until.max(until);
        }
        let outcome = outcome?;
        let job = target.job.take()?;
        let end = JobEnd { at: now.utc, took: now.instant.since(job.begun) };
        let longest_before = target.length.longest();
        let mut gives_up = false;
        match &outcome {
            JobOutcome::Completed if job.probes => target.newest_probed(true, now.instant),
            JobOutcome::Completed => {
                target.succeeded(&job, now, self.rules.jittered(&mut self.random));
            }
            JobOutcome::Throttled { retry_after } => {
                let wait = retry_after.unwrap_or_else(|| self.throttles.at_least(&mut self.random));
                self.held_until = self.held_until.max(now.instant.plus(wait));
            }
            JobOutcome::Failed(error) => {
                gives_up = target.failed(&job, error, now.instant, &self.rules, &mut self.random);
            }
        }
        if !matches!(outcome, JobOutcome::Throttled { .. }) {
            target.history.last_job = Some(end);
        }
        Some(EndedJob {
            origin,
            gap: job.planned.gap,
            behind: job.planned.behind,
            age: job.fetch.age(now.instant),
            outcome,
            probes: job.probes,
            gives_up,
            halved: target.length.reduced().filter(|longest| *longest < longest_before),
        })
    }

    /// How a target is doing.
    #[must_use]
    pub fn status(&self, id: TargetId, now: Monotonic) -> TargetPlanStatus {
        let target = &self.targets[id.index()];
        let TargetHistory { up, last_success, last_job, last_error, .. } = &target.history;
        TargetPlanStatus {
            up: *up,
            last_success: *last_success,
            last_job: *last_job,
            last_error: last_error.clone(),
            job_age: target.job.as_ref().map(|job| now.since(job.begun)),
            due: target.due.max(self.held_until),
            stale: self.stale_at(target) <= now,
            longest_window: target.length.reduced(),
        }
    }

    /// The time from one poll of a target to the next, as the quota allows.
    #[must_use]
    pub fn cycle(&self) -> Duration {
        let targets = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        self.rules.interval.max(self.quota.period().saturating_mul(targets))
    }

    fn stale_at(&self, target: &TargetPlan) -> Monotonic {
        let TargetHistory { last_success, since, .. } = &target.history;
        let since = last_success.map_or(*since, |success| success.instant);
        since.plus(self.rules.max_staleness.max(self.cycle().saturating_mul(STALE_CYCLES)))
    }

    /// How many jobs are in progress at CXone.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let jobs = self.targets.iter().filter_map(|target| target.job.as_ref());
        jobs.filter(|job| job.fetch.in_flight()).count()
    }

    /// How long jobs have waited for the quota so far, all together.
    #[must_use]
    pub const fn quota_wait(&self) -> Duration {
        self.quota_wait
    }

    /// How long a job may take.
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

impl TargetPlan {
    fn wants_submit(&self, now: Monotonic) -> bool {
        self.job.as_ref().map_or(self.due <= now, |job| job.fetch.step(now) == JobStep::Submit)
    }

    /// The window to request next, if there is anything.
    fn plan(
        &self,
        rules: &PlannerRules,
        watermark: Option<Timestamp>,
        cxone_utc: Timestamp,
    ) -> Option<PlannedWindow> {
        if self.probes_newest() {
            return Some(rules.windows.newest(cxone_utc, self.length.min()));
        }
        rules.windows.next(watermark, cxone_utc, self.length.longest())
    }

    fn probes_newest(&self) -> bool {
        self.history.rejection.is_some_and(|rejection| rejection.probes_newest())
    }

    /// The newest window was tried; the slice that was rejected comes next.
    fn newest_probed(&mut self, accepted: bool, now: Monotonic) {
        if let Some(rejection) = &mut self.history.rejection {
            rejection.newest_probed(accepted);
        }
        self.due = now;
    }

    fn succeeded(&mut self, job: &TargetJob, now: Now, interval: Duration) {
        let history = &mut self.history;
        history.up = true;
        history.last_success = Some(now);
        history.last_asked = Some(job.begun);
        history.last_error = None;
        history.backoff.reset();
        history.denials.reset();
        history.rejection = None;
        self.length.succeeded(job.planned.behind);
        // A target that is behind need not wait for the interval, only for its turn among the
        // targets: `due` orders them, so it queues behind those that have been due for longer.
        self.due = if job.planned.behind {
            now.instant
        } else {
            now.instant.max(job.begun.plus(interval))
        };
    }

    /// Returns whether the window is given up.
    fn failed(
        &mut self,
        job: &TargetJob,
        error: &JobError,
        now: Monotonic,
        rules: &PlannerRules,
        random: &mut Random,
    ) -> bool {
        let history = &mut self.history;
        history.up = false;
        history.last_error = Some(error.clone());
        let wait = match error.reason {
            // The same request mostly gets the same answer.
            FailureReason::Rejected
            | FailureReason::RowsRejected
            | FailureReason::UnexpectedStatus
            | FailureReason::TooLarge
            | FailureReason::Redirected => rules.interval.max(history.backoff.full_jitter(random)),
            // Somebody has to act first, and attempts with a wrong secret may lock the client out.
            FailureReason::Forbidden
            | FailureReason::TokenForbidden
            | FailureReason::Credentials => history.denials.at_least(random),
            FailureReason::Token
            | FailureReason::Unauthorized
            | FailureReason::Failed
            | FailureReason::Timeout
            | FailureReason::Lost
            | FailureReason::Malformed
            | FailureReason::Server
            | FailureReason::Unreachable
            | FailureReason::Store => history.backoff.full_jitter(random),
        };
        let gives_up = self.judge(job, error.reason, now);
        self.due =
            if gives_up { now } else { now.plus(wait.max(error.retry_after.unwrap_or_default())) };
        gives_up
    }

    /// What a failure means for the windows to come: shorter ones, or, if this returns true, that
    /// the window is given up.
    fn judge(&mut self, job: &TargetJob, reason: FailureReason, now: Monotonic) -> bool {
        let length = job.planned.window.length();
        if job.probes {
            if let Some(rejection) = &mut self.history.rejection {
                rejection.newest_probed(false);
            }
            return false;
        }
        if reason == FailureReason::Rejected {
            let rejection = self.history.rejection.get_or_insert_with(|| WindowRejection::new(now));
            let persists = rejection.again(now);
            if rejection.times() <= MAX_REJECTED_HALVINGS {
                self.length.halve(length);
            }
            // Only a slice of the past can be given up: the newest window, or the first one, would
            // leave nothing to go on with.
            return persists && job.planned.behind && !job.planned.first;
        }
        // CXone accepted the slice, or failed for another cause: it has to be rejected anew.
        // Faults that pass say nothing about it.
        if !reason.is_transient() && reason != FailureReason::Store {
            self.history.rejection = None;
        }
        self.length.failed(reason, length, job.fetch.in_flight());
        false
    }
}
