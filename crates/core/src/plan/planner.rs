//! What to ask CXone next: targets take turns within the quota, and none holds up the others.

mod handover;
mod length;
mod rejection;
mod rules;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counts::{ReportOrigin, SubmitOrder, TargetId};
use crate::page::status::JobEnd;
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

pub use handover::{PastPolls, PastThrottles};
pub use rules::{PlannerRules, RetrievalMode, least_news};
pub use status::TargetPlanStatus;

/// A watermark so far ahead of CXone's now is more than two clocks that are a moment apart.
pub const MAX_AHEAD: Duration = Duration::from_secs(5);

/// While something cannot be asked for because of what CXone's clock says, it is looked at so often,
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// and after so many looks that changed nothing
const MAX_FREQUENT_CLOCK_CHECKS: u32 = 16;

/// only so often.
const RARE_CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// So many times a slice that is rejected is asked for in halves: it may be too long for CXone.
const MAX_REJECTED_HALVINGS: u32 = 2;

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannerAction {
    /// Submit a job for the target.
    Submit(TargetId, Window),
    /// Ask for the target's job.
    Poll(TargetId, JobId),
    /// Ask for the next page of the target's window, the first one if none was asked for yet.
    Page(TargetId, Window),
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedJob {
    /// What it was asked for.
    pub origin: ReportOrigin,
    /// Event time before its window that no report will cover.
    pub gap: Duration,
    /// Whether the window ended before what was already there to be asked for.
    pub behind: bool,
    /// From its submission to its end.
    pub age: Duration,
    /// How it ended.
    pub outcome: JobOutcome,
    /// Whether it only tried if CXone accepts the newest window: its rows count for nothing.
    pub probes: bool,
    /// Whether its window will not be asked for again: CXone rejects this part of the past.
    pub gives_up: bool,
    /// The longest window from now on, if it was reduced.
    pub halved: Option<Duration>,
}

/// A job that CXone works on, as it is kept for a later process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedJob {
    id: String,
    order: SubmitOrder,
    window: Window,
    gap_millis: u64,
    behind: bool,
}

impl SavedJob {
    /// Its place in the order of asking.
    #[must_use]
    pub const fn order(&self) -> SubmitOrder {
        self.order
    }
}

/// What an earlier process left of a target.
#[derive(Clone, Debug, Default)]
pub struct PreviousRun {
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// Whether its newest finished job seems to have failed since.
    pub failed: bool,
    /// The job that it waited for, and how long ago that was submitted.
    pub job: Option<(SavedJob, Duration)>,
}

#[derive(Debug)]
struct TargetPlan {
    /// When it is next asked for.
    due: Monotonic,
    /// Since when it is polled.
    since: Monotonic,
    job: Option<TargetJob>,
    /// Whether the quota has made it wait.
    waiting: bool,
    backoff: Backoff,
    denials: Backoff,
    length: WindowLength,
    rejection: Option<WindowRejection>,
    up: bool,
    last_success: Option<Now>,
    /// When the job was begun that succeeded last.
    last_asked: Option<Monotonic>,
    last_job: Option<JobEnd>,
    last_trouble: Option<JobError>,
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
    /// When the quota lets the next job through, as far as is known.
    quota_free: Monotonic,
    /// A 429 to a submit holds all submits, since the limit is the client's.
    held_until: Monotonic,
    throttles: Backoff,
    random: Random,
    order: SubmitOrder,
    quota_wait: Duration,
    /// Whether something could not be asked for since it is not known what time it is at CXone.
    doubts_clock: bool,
    /// How often somebody was told to look, since something was asked for.
    clock_checks: u32,
}

impl Planner {
    /// A plan for so many targets, all due at `now`.
    #[must_use]
    pub fn new(rules: PlannerRules, targets: usize, now: Monotonic, mut random: Random) -> Self {
        let quota = Quota::new(rules.jobs_per_minute);
        let least = rules.shortest_window(targets);
        let mut target = || TargetPlan {
            due: now.plus(rules.first_wait(&mut random)),
            since: now,
            job: None,
            waiting: false,
            backoff: fault_backoff(),
            denials: Backoff::new(Duration::from_secs(60), Duration::from_secs(300)),
            length: WindowLength::new(least, rules.windows.lookback),
            rejection: None,
            up: false,
            last_success: None,
            last_asked: None,
            last_job: None,
            last_trouble: None,
        };
        let targets = (0..targets).map(|_| target()).collect();
        Self {
            rules,
            targets,
            quota,
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
                None => {
                    match cxone_utc.and_then(|utc| target.plan(&self.rules, watermark(id), utc)) {
                        Some(planned) => planned,
                        None => {
                            let doubted = cxone_utc.is_none_or(|utc| {
                                watermark(id)
                                    .is_some_and(|watermark| watermark.since(utc) > MAX_AHEAD)
                            });
                            let pause =
                                match (doubted, self.clock_checks < MAX_FREQUENT_CLOCK_CHECKS) {
                                    (false, _) => self.rules.interval,
                                    (true, true) => CLOCK_CHECK_INTERVAL,
                                    (true, false) => RARE_CLOCK_CHECK_INTERVAL,
                                };
                            target.due = now.plus(pause);
                            self.doubts_clock |= doubted;
                            continue;
                        }
                    }
                }
            };
            self.clock_checks = 0;
            let probes = target.probes_newest();
            if self.rules.asking == RetrievalMode::Pages {
                self.order.0 += 1;
                let mut fetch = Fetch::paged(self.rules.timing, now);
                fetch.sent(now);
                target.job =
                    Some(TargetJob { order: self.order, begun: now, planned, fetch, probes });
                return Some(PlannerAction::Page(id, planned.window));
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
                self.order.0 += 1;
                let fetch = Fetch::new(self.rules.timing);
                TargetJob { order: self.order, begun: now, planned, fetch, probes }
            });
            job.fetch.sent(now);
            return Some(PlannerAction::Submit(id, planned.window));
        }
        None
    }

    fn next_poll(&mut self, now: Monotonic) -> Option<PlannerAction> {
        self.targets.iter_mut().enumerate().find_map(|(place, target)| {
            let job = target.job.as_mut()?;
            let action = match job.fetch.step(now) {
                JobStep::Poll(id) => PlannerAction::Poll(TargetId::new(place), id),
                JobStep::Page => PlannerAction::Page(TargetId::new(place), job.planned.window),
                JobStep::Submit | JobStep::Wait(_) | JobStep::Busy => return None,
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
    pub fn origin(&self, id: TargetId) -> Option<ReportOrigin> {
        let job = self.targets[id.index()].job.as_ref()?;
        let oldest_pending =
            self.targets.iter().filter_map(|target| target.job.as_ref()).map(|job| job.order).min();
        Some(ReportOrigin {
            target: id,
            order: job.order,
            oldest_pending: oldest_pending.unwrap_or(job.order),
            window: job.planned.window,
        })
    }

    /// Whether the window of the target's job ends before what is already there to be asked for: it
    /// is as long as it may be, and the next one for the same watermark is the same.
    #[must_use]
    pub fn is_behind(&self, id: TargetId) -> bool {
        self.targets[id.index()].job.as_ref().is_some_and(|job| job.planned.behind)
    }

    /// The rows of the target's job are to count for nothing: its window was planned by a clock that
    /// was ahead, and tells nothing of what comes until there.
    pub fn disregard(&mut self, id: TargetId) {
        if let Some(job) = &mut self.targets[id.index()].job {
            job.probes = true;
        }
    }

    /// Whether the rows of the target's job count for nothing: it only tries if CXone accepts the
    /// newest window, or is disregarded.
    #[must_use]
    pub fn probes(&self, id: TargetId) -> bool {
        self.targets[id.index()].job.as_ref().is_some_and(|job| job.probes)
    }

    /// Where what was there to be asked for ended when the target's job was begun: the epoch, if it
    /// is the target's first.
    #[must_use]
    pub fn epoch(&self, id: TargetId) -> Option<Timestamp> {
        self.targets[id.index()].job.as_ref().map(|job| job.planned.end)
    }

    /// When the target's last job that succeeded was begun, as far as is known: its history is
    /// known up to then and no further, whatever its window said.
    #[must_use]
    pub fn last_asked(&self, id: TargetId) -> Option<Monotonic> {
        let target = &self.targets[id.index()];
        target.last_asked.or(target.last_success.map(|success| success.instant))
    }

    /// Whether something could not be asked for since [`Planner::next`] did not know what time it
    /// is at CXone: then somebody should look. Asked once, it is forgotten.
    pub fn take_clock_doubt(&mut self) -> bool {
        self.clock_checks = self.clock_checks.saturating_add(u32::from(self.doubts_clock));
        std::mem::take(&mut self.doubts_clock)
    }

    /// The target's job, for a later process to take up, if CXone works on one.
    #[must_use]
    pub fn job(&self, id: TargetId) -> Option<SavedJob> {
        let job = self.targets[id.index()].job.as_ref().filter(|job| !job.probes)?;
        let id = job.fetch.id()?.as_str().to_owned();
        Some(SavedJob {
            id,
            order: job.order,
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
        left: &PreviousRun,
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

    /// Takes note of what an earlier process submitted so long ago, and of the place of its last
    /// report in the order of asking.
    pub fn remember(&mut self, now: Monotonic, submit_ages: &[Duration], newest: SubmitOrder) {
        self.quota.remember(now, submit_ages);
        self.order = self.order.max(newest);
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
                Some(JobStep::Poll(_) | JobStep::Page) => Some(now),
                Some(JobStep::Wait(until)) => Some(until),
                Some(JobStep::Busy) => None,
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
    pub fn reply(&mut self, now: Now, id: TargetId, reply: JobReply) -> Option<EndedJob> {
        let origin = self.origin(id)?;
        let target = &mut self.targets[id.index()];
        let job = target.job.as_mut()?;
        if !job.fetch.in_flight() {
            self.quota.answered(now.instant);
        }
        let (accepted, throttled) =
            (matches!(reply, JobReply::Submitted(_)), matches!(reply, JobReply::Throttled { .. }));
        let outcome = job.fetch.reply(now.instant, reply, &mut self.random);
        if accepted {
            self.throttles.reset();
        }
        if let (RetrievalMode::Pages, true, JobStep::Wait(until)) =
            (self.rules.asking, throttled, job.fetch.step(now.instant))
        {
            self.held_until = self.held_until.max(until);
        }
        let outcome = outcome?;
        let job = target.job.take()?;
        let end = JobEnd { at: now.utc, took: now.instant.since(job.begun) };
        let (mut gives_up, longest) = (false, target.length.longest());
        match &outcome {
            JobOutcome::Completed if job.probes => target.newest_probed(true, now.instant),
            JobOutcome::Completed => {
                target.succeeded(&job, now, self.rules.jittered(&mut self.random))
            }
            JobOutcome::Throttled { retry_after } => {
                let wait = retry_after.unwrap_or_else(|| self.throttles.at_least(&mut self.random));
                self.held_until = self.held_until.max(now.instant.plus(wait));
            }
            JobOutcome::Failed(trouble) => {
                gives_up = target.failed(&job, trouble, now.instant, &self.rules, &mut self.random);
            }
        }
        let reduced = target.length.reduced().filter(|now| *now < longest);
        if !matches!(outcome, JobOutcome::Throttled { .. }) {
            self.targets[id.index()].last_job = Some(end);
        }
        Some(EndedJob {
            origin,
            gap: job.planned.gap,
            behind: job.planned.behind,
            age: job.fetch.age(now.instant),
            outcome,
            probes: job.probes,
            gives_up,
            halved: reduced,
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

impl TargetPlan {
    fn wants_submit(&self, now: Monotonic) -> bool {
        self.job.as_ref().map_or(self.due <= now, |job| job.fetch.step(now) == JobStep::Submit)
    }

    fn in_flight(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.fetch.in_flight())
    }

    /// The window to ask for next, if there is anything.
    fn plan(
        &self,
        rules: &PlannerRules,
        watermark: Option<Timestamp>,
        cxone_utc: Timestamp,
    ) -> Option<PlannedWindow> {
        if self.probes_newest() {
            return Some(rules.windows.newest(cxone_utc, self.length.least()));
        }
        rules.windows.next(watermark, cxone_utc, self.length.longest())
    }

    fn probes_newest(&self) -> bool {
        self.rejection.is_some_and(|rejection| rejection.probes_newest())
    }

    /// The newest window was tried; the slice that was rejected comes next.
    fn newest_probed(&mut self, accepted: bool, now: Monotonic) {
        if let Some(rejection) = &mut self.rejection {
            rejection.newest_probed(accepted);
        }
        self.due = now;
    }

    fn succeeded(&mut self, job: &TargetJob, now: Now, interval: Duration) {
        self.up = true;
        self.last_success = Some(now);
        self.last_asked = Some(job.begun);
        self.last_trouble = None;
        self.backoff.reset();
        self.denials.reset();
        self.rejection = None;
        self.length.succeeded(job.planned.behind);
        // What is already there to be asked for need not wait for its turn in time, only for its
        // turn among the targets.
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
        trouble: &JobError,
        now: Monotonic,
        rules: &PlannerRules,
        random: &mut Random,
    ) -> bool {
        self.up = false;
        let wait = match trouble.reason {
            FailureReason::Rejected
            | FailureReason::RowsRejected
            | FailureReason::UnexpectedStatus
            | FailureReason::TooLarge
            | FailureReason::Redirected => rules.interval.max(self.backoff.full_jitter(random)),
            FailureReason::Forbidden
            | FailureReason::TokenForbidden
            | FailureReason::Credentials => self.denials.at_least(random),
            FailureReason::Token
            | FailureReason::Unauthorized
            | FailureReason::Failed
            | FailureReason::Timeout
            | FailureReason::Lost
            | FailureReason::Malformed
            | FailureReason::Server
            | FailureReason::Unreachable
            | FailureReason::Store => self.backoff.full_jitter(random),
        };
        self.due = now.plus(wait.max(trouble.retry_after.unwrap_or_default()));
        self.last_trouble = Some(trouble.clone());
        let gives_up = self.judge(job, trouble.reason, now);
        if gives_up {
            self.due = now;
        }
        gives_up
    }

    /// What a failure says of the window: whether shorter ones come next, and whether it is given
    /// up, which is the answer.
    fn judge(&mut self, job: &TargetJob, failure: FailureReason, now: Monotonic) -> bool {
        let length = job.planned.window.length();
        if job.probes {
            if let Some(rejection) = &mut self.rejection {
                rejection.newest_probed(false);
            }
            return false;
        }
        if failure == FailureReason::Rejected {
            let rejection = self.rejection.get_or_insert_with(|| WindowRejection::new(now));
            let persists = rejection.again(now);
            if rejection.times() <= MAX_REJECTED_HALVINGS {
                self.length.halve(length);
            }
            return persists && job.planned.behind && !job.planned.first;
        }
        // Others that persist are of another cause, and what was rejected has to be so anew.
        if !failure.is_transient() && failure != FailureReason::Store {
            self.rejection = None;
        }
        self.length.failed(failure, length, job.fetch.in_flight());
        false
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
