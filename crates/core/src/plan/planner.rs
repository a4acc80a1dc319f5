//! What to ask CXone next: targets take turns within the quota, and none holds up the others.

mod carry;
mod length;
mod refusal;
mod rules;
mod standing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counts::{ReportOrigin, SubmitOrder, TargetId};
use crate::page::status::JobEnd;
use crate::plan::backoff::{Backoff, Random};
use crate::plan::fetch::{
    Failure, Fetch, JobId, Outcome, Reply, Step, Trouble, fault_backoff, throttle_backoff,
};
use crate::plan::quota::Quota;
use crate::plan::window::Planned;
use crate::time::{Monotonic, Now, Timestamp, Window};

use length::WindowLength;
use refusal::Refusal;

pub use carry::{PastPolls, PastThrottles};
pub use rules::{Asking, Rules, least_news};
pub use standing::Standing;

/// A watermark so far ahead of CXone's now is more than two clocks that are a moment apart.
pub const AHEAD: Duration = Duration::from_secs(5);

/// While something cannot be asked for because of what CXone's clock says, it is looked at so often,
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// and after so many looks that changed nothing
const SOON: u32 = 16;

/// only so often.
const LOOK_LATER: Duration = Duration::from_secs(60);

/// So many times a slice that is rejected is asked for in halves: it may be too long for CXone.
const REJECTED_HALVES: u32 = 2;

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
    pub origin: ReportOrigin,
    /// Event time before its window that no report will cover.
    pub gap: Duration,
    /// Whether the window ended before what was already there to be asked for.
    pub behind: bool,
    /// From its submission to its end.
    pub age: Duration,
    /// How it ended.
    pub outcome: Outcome,
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
struct Target {
    /// When it is next asked for.
    due: Monotonic,
    /// Since when it is polled.
    since: Monotonic,
    job: Option<Job>,
    /// Whether the quota has made it wait.
    waiting: bool,
    backoff: Backoff,
    denials: Backoff,
    length: WindowLength,
    refusal: Option<Refusal>,
    up: bool,
    last_success: Option<Now>,
    /// When the job was begun that succeeded last.
    last_asked: Option<Monotonic>,
    last_job: Option<JobEnd>,
    last_trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Job {
    order: SubmitOrder,
    begun: Monotonic,
    planned: Planned,
    fetch: Fetch,
    probes: bool,
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
    order: SubmitOrder,
    quota_wait: Duration,
    /// Whether something could not be asked for since it is not known what time it is at CXone.
    doubts_clock: bool,
    /// How often somebody was told to look, since something was asked for.
    looks: u32,
}

impl Planner {
    /// A plan for so many targets, all due at `now`.
    #[must_use]
    pub fn new(rules: Rules, targets: usize, now: Monotonic, mut random: Random) -> Self {
        let quota = Quota::new(rules.jobs_per_minute);
        let least = rules.shortest_window(targets);
        let mut target = || Target {
            due: now.plus(rules.first_wait(&mut random)),
            since: now,
            job: None,
            waiting: false,
            backoff: fault_backoff(),
            denials: Backoff::new(Duration::from_secs(60), Duration::from_secs(300)),
            length: WindowLength::new(least, rules.windows.lookback),
            refusal: None,
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
            looks: 0,
        }
    }

    /// The next request to make now, if there is one; `cxone_utc` is now by CXone's clock, if that
    /// is known. Call it until there is none.
    pub fn next(
        &mut self,
        now: Monotonic,
        cxone_utc: Option<Timestamp>,
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
                None => {
                    match cxone_utc.and_then(|utc| target.plan(&self.rules, watermark(id), utc)) {
                        Some(planned) => planned,
                        None => {
                            let doubted = cxone_utc.is_none_or(|utc| {
                                watermark(id).is_some_and(|watermark| watermark.since(utc) > AHEAD)
                            });
                            let pause = match (doubted, self.looks < SOON) {
                                (false, _) => self.rules.interval,
                                (true, true) => LOOK_EVERY,
                                (true, false) => LOOK_LATER,
                            };
                            target.due = now.plus(pause);
                            self.doubts_clock |= doubted;
                            continue;
                        }
                    }
                }
            };
            self.looks = 0;
            let probes = target.tries_newest();
            if self.rules.asking == Asking::Pages {
                self.order.0 += 1;
                let mut fetch = Fetch::paged(self.rules.timing, now);
                fetch.sent(now);
                target.job = Some(Job { order: self.order, begun: now, planned, fetch, probes });
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
                self.order.0 += 1;
                let fetch = Fetch::new(self.rules.timing);
                Job { order: self.order, begun: now, planned, fetch, probes }
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
    pub fn doubted_clock(&mut self) -> bool {
        self.looks = self.looks.saturating_add(u32::from(self.doubts_clock));
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
        let planned = Planned {
            window: job.window,
            gap: Duration::from_millis(job.gap_millis),
            behind: job.behind,
            end: job.window.to,
            first: watermark.is_none(),
        };
        let fetch = Fetch::resumed(self.rules.timing, job_id, now.instant, *age);
        let begun = now.instant.before(*age);
        target.job = Some(Job { order: job.order, begun, planned, fetch, probes: false });
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
        let (mut gives_up, longest) = (false, target.length.longest());
        match &outcome {
            Outcome::Completed if job.probes => target.newest_tried(true, now.instant),
            Outcome::Completed => {
                target.succeeded(&job, now, self.rules.jittered(&mut self.random))
            }
            Outcome::Throttled { retry_after } => {
                let wait = retry_after.unwrap_or_else(|| self.throttles.at_least(&mut self.random));
                self.held_until = self.held_until.max(now.instant.plus(wait));
            }
            Outcome::Failed(trouble) => {
                gives_up = target.failed(&job, trouble, now.instant, &self.rules, &mut self.random);
            }
        }
        let reduced = target.length.reduced().filter(|now| *now < longest);
        if !matches!(outcome, Outcome::Throttled { .. }) {
            self.targets[id.index()].last_job = Some(end);
        }
        Some(Ended {
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

impl Target {
    fn wants_submit(&self, now: Monotonic) -> bool {
        self.job.as_ref().map_or(self.due <= now, |job| job.fetch.step(now) == Step::Submit)
    }

    fn in_flight(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.fetch.in_flight())
    }

    /// The window to ask for next, if there is anything.
    fn plan(
        &self,
        rules: &Rules,
        watermark: Option<Timestamp>,
        cxone_utc: Timestamp,
    ) -> Option<Planned> {
        if self.tries_newest() {
            return Some(rules.windows.newest(cxone_utc, self.length.least()));
        }
        rules.windows.next(watermark, cxone_utc, self.length.longest())
    }

    fn tries_newest(&self) -> bool {
        self.refusal.is_some_and(|refusal| refusal.tries_newest())
    }

    /// The newest window was tried; the slice that was rejected comes next.
    fn newest_tried(&mut self, accepted: bool, now: Monotonic) {
        if let Some(refusal) = &mut self.refusal {
            refusal.newest_tried(accepted);
        }
        self.due = now;
    }

    fn succeeded(&mut self, job: &Job, now: Now, interval: Duration) {
        self.up = true;
        self.last_success = Some(now);
        self.last_asked = Some(job.begun);
        self.last_trouble = None;
        self.backoff.reset();
        self.denials.reset();
        self.refusal = None;
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
        job: &Job,
        trouble: &Trouble,
        now: Monotonic,
        rules: &Rules,
        random: &mut Random,
    ) -> bool {
        self.up = false;
        let wait = match trouble.failure {
            Failure::Rejected
            | Failure::RowsRejected
            | Failure::UnexpectedStatus
            | Failure::TooLarge
            | Failure::Redirected => rules.interval.max(self.backoff.full_jitter(random)),
            Failure::Forbidden | Failure::TokenForbidden | Failure::Credentials => {
                self.denials.at_least(random)
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
        let gives_up = self.judge(job, trouble.failure, now);
        if gives_up {
            self.due = now;
        }
        gives_up
    }

    /// What a failure says of the window: whether shorter ones come next, and whether it is given
    /// up, which is the answer.
    fn judge(&mut self, job: &Job, failure: Failure, now: Monotonic) -> bool {
        let length = job.planned.window.length();
        if job.probes {
            if let Some(refusal) = &mut self.refusal {
                refusal.newest_tried(false);
            }
            return false;
        }
        if failure == Failure::Rejected {
            let refusal = self.refusal.get_or_insert_with(|| Refusal::new(now));
            let persists = refusal.again(now);
            if refusal.times() <= REJECTED_HALVES {
                self.length.halve(length);
            }
            return persists && job.planned.behind && !job.planned.first;
        }
        // Others that persist are of another cause, and what was rejected has to be so anew.
        if !failure.may_pass() && failure != Failure::Store {
            self.refusal = None;
        }
        self.length.failed(failure, length, job.fetch.in_flight());
        false
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
