//! The loop: wakes up, asks the planner, makes requests, takes replies in, and publishes what is then known.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cxone::{ApiError, Client, Event, Poll, ReportRequest};
use crate::domain::fetch::{Failure, JobId, Outcome, Reply, Trouble};
use crate::domain::ledger::{Ledger, Show, ShownTarget, TargetId};
use crate::domain::planner::{Action, Ended, Planner};
use crate::domain::report::{Filter, Report};
use crate::domain::server_clock::ServerClock;
use crate::domain::snapshot::Snapshot;
use crate::domain::time::{Monotonic, Now, Timestamp};
use crate::telemetry::Telemetry;

/// One target as the loop needs it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: Arc<str>,
    /// What its jobs ask for.
    pub filter: Filter,
}

/// How the targets are doing, for people.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    /// In the order of the configuration.
    pub targets: Vec<TargetStanding>,
    /// Jobs that were submitted in the last minute.
    pub jobs_in_last_minute: u32,
}

/// How one target is doing.
#[derive(Clone, Debug)]
pub struct TargetStanding {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its newest finished job succeeded; `None` before the first has finished.
    pub up: Option<bool>,
    /// Whether it has not succeeded for too long.
    pub stale: bool,
    /// Event time up to which it is known.
    pub watermark: Option<Timestamp>,
    /// Where its counting began.
    pub epoch: Option<Timestamp>,
    /// The wall time of its last success.
    pub last_success: Option<Timestamp>,
    /// What went wrong with its newest finished job.
    pub last_error: Option<String>,
    /// Since when CXone works on a job of it.
    pub job_since: Option<Timestamp>,
}

/// Takes what there is to show; called off the loop's thread, so it may take its time.
pub type Publish = Arc<dyn Fn(&Snapshot, Standings) + Send + Sync>;

/// CXone's clock as the client's answers tell it; shared with the client's observer.
#[derive(Clone, Debug, Default)]
pub struct SharedServerClock(Arc<Mutex<ServerClock>>);

impl SharedServerClock {
    /// Takes note of an answer with a date.
    pub fn client_event(&self, event: &Event) {
        if let Event::Exchange(exchange) = event
            && let Some(date) = exchange.date
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).observe(exchange.sent, exchange.answered, date);
        }
    }

    fn read(&self) -> ServerClock {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything the loop works with.
pub struct Poller {
    /// Where now comes from.
    pub clock: Clock,
    /// The way to CXone.
    pub client: Arc<Client>,
    /// CXone's clock.
    pub server_clock: SharedServerClock,
    /// What to ask when.
    pub planner: Planner,
    /// The counts.
    pub ledger: Ledger,
    /// What is asked for, in the order of the configuration.
    pub targets: Vec<Target>,
    /// What snapshots show; the targets in it are set anew each time.
    pub show: Show,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Where what is known goes.
    pub publish: Publish,
}

/// What comes of a request.
enum Reported {
    SignedIn(Result<(), ApiError>),
    Submitted(TargetId, Result<JobId, ApiError>),
    Polled(TargetId, Result<Poll<Report>, ApiError>),
}

/// Whether a token was had, and with it a first look at CXone's clock: no window is planned by a clock that may be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignIn {
    Needed,
    UnderWay,
    /// It failed: what is due fails with the same error, once.
    Failed,
    Done,
}

/// The loop while it runs.
struct Running {
    poller: Poller,
    requests: FuturesUnordered<BoxFuture<'static, Reported>>,
    sign_in: SignIn,
    submits: VecDeque<Monotonic>,
    /// Whether a target's newest finished job failed, and how; to log changes and not repetitions.
    told: Vec<Option<Result<(), Failure>>>,
    stale: Vec<bool>,
    changed: bool,
}

impl Poller {
    /// Runs until `stop` is cancelled; requests under way are dropped then.
    pub async fn run(self, stop: CancellationToken) {
        let targets = self.targets.len();
        let mut running = Running {
            poller: self,
            requests: FuturesUnordered::new(),
            sign_in: SignIn::Needed,
            submits: VecDeque::new(),
            told: vec![None; targets],
            stale: vec![false; targets],
            changed: true,
        };
        let mut publishing: OptionFuture<BoxFuture<'static, ()>> = None.into();
        let mut idle = true;
        while !stop.is_cancelled() {
            let now = running.poller.clock.now();
            running.act(now);
            if idle && std::mem::take(&mut running.changed) {
                publishing = Some(running.publish(now)).into();
                idle = false;
            }
            let wake = running.wake_at(now);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(reported) = running.requests.next() => running.take(reported),
                Some(()) = &mut publishing, if !idle => {
                    publishing = None.into();
                    idle = true;
                }
                () = running.poller.clock.sleep_until(wake) => {}
            }
        }
    }
}

impl Running {
    /// Makes all requests that are due.
    fn act(&mut self, now: Now) {
        match self.sign_in {
            SignIn::UnderWay => return,
            SignIn::Needed if self.poller.planner.wake_at(now.instant).is_some_and(|wake| wake <= now.instant) => {
                self.sign_in = SignIn::UnderWay;
                let client = Arc::clone(&self.poller.client);
                self.requests.push(async move { Reported::SignedIn(client.sign_in().await) }.boxed());
                return;
            }
            SignIn::Needed | SignIn::Failed | SignIn::Done => {}
        }
        let cxone_utc = self.poller.server_clock.read().now(now);
        while let Some(action) = self.next_action(now, cxone_utc) {
            let client = Arc::clone(&self.poller.client);
            let request = match action {
                Action::Submit(id, window) => {
                    self.submits.push_back(now.instant);
                    let request = ReportRequest { window, filter: self.poller.targets[id.index()].filter.clone() };
                    tracing::debug!(target_name = %self.poller.targets[id.index()].name, %window, "submitting a report job");
                    async move { Reported::Submitted(id, client.submit(&request).await) }.boxed()
                }
                Action::Poll(id, job) => async move { Reported::Polled(id, client.poll(&job).await) }.boxed(),
            };
            self.requests.push(request);
        }
        if self.sign_in == SignIn::Failed {
            self.sign_in = SignIn::Needed;
        }
        self.note_stale(now);
        self.tick(now);
    }

    fn next_action(&mut self, now: Now, cxone_utc: Timestamp) -> Option<Action> {
        let ledger = &self.poller.ledger;
        self.poller.planner.next(now.instant, cxone_utc, |id| ledger.watermark(id))
    }

    fn wake_at(&self, now: Now) -> Monotonic {
        const LONGEST_NAP: Duration = Duration::from_secs(60);
        let nap = now.instant.plus(LONGEST_NAP);
        if self.sign_in == SignIn::UnderWay {
            return nap;
        }
        self.poller.planner.wake_at(now.instant).map_or(nap, |wake| wake.min(nap))
    }

    fn take(&mut self, reported: Reported) {
        let now = self.poller.clock.now();
        match reported {
            Reported::SignedIn(result) => {
                self.sign_in = if result.is_ok() { SignIn::Done } else { SignIn::Failed };
            }
            Reported::Submitted(id, result) => {
                if result.is_ok() {
                    self.poller.telemetry.job_submitted();
                }
                let reply = result.map_or_else(trouble, Reply::Submitted);
                self.reply(now, id, reply, None);
            }
            Reported::Polled(id, result) => match result {
                Ok(Poll::Pending | Poll::Running) => self.reply(now, id, Reply::Unfinished, None),
                Ok(Poll::Completed(report)) => self.reply(now, id, Reply::Completed, Some(report)),
                Ok(Poll::Failed(message)) => {
                    let message = format!("CXone could not make the report: {message}");
                    let reply = Reply::Trouble(Trouble { failure: Failure::Failed, retry_after: None, message });
                    self.reply(now, id, reply, None);
                }
                Err(error) => self.reply(now, id, trouble(error), None),
            },
        }
        self.tick(now);
    }

    fn reply(&mut self, now: Now, id: TargetId, reply: Reply, report: Option<Report>) {
        if let Reply::Throttled { message, .. } = &reply {
            tracing::warn!(target_name = %self.poller.targets[id.index()].name, "{message}");
        }
        let Some(ended) = self.poller.planner.reply(now, id, reply) else { return };
        match (&ended.outcome, report) {
            (Outcome::Completed, Some(report)) => self.completed(&ended, &report),
            (Outcome::Failed(trouble), _) => self.failed(id, trouble),
            (Outcome::Throttled { .. } | Outcome::Completed, _) => {}
        }
        self.changed = true;
    }

    fn completed(&mut self, ended: &Ended, report: &Report) {
        let id = ended.origin.target;
        let applied = self.poller.ledger.apply(&ended.origin, report);
        self.poller.telemetry.job_completed(ended.age);
        self.poller.telemetry.report_applied(report, &applied);
        let name = &self.poller.targets[id.index()].name;
        match self.told[id.index()].replace(Ok(())) {
            Some(Ok(())) => tracing::debug!(target_name = %name, window = %ended.origin.window, rows = applied.rows, "report read"),
            None => tracing::info!(target_name = %name, window = %ended.origin.window, rows = applied.rows, "first report read"),
            Some(Err(_)) => tracing::info!(target_name = %name, window = %ended.origin.window, rows = applied.rows, "reports work again"),
        }
        if applied.rows == 0 && self.poller.ledger.epoch(id) == Some(ended.origin.window.to) {
            tracing::warn!(target_name = %name, "the first report is empty: nobody changed state, or the id is wrong (`check --live` tells more)");
        }
    }

    fn failed(&mut self, id: TargetId, trouble: &Trouble) {
        self.poller.telemetry.job_failed(trouble.failure);
        let name = &self.poller.targets[id.index()].name;
        let reason = trouble.failure.as_str();
        match self.told[id.index()].replace(Err(trouble.failure)) {
            Some(Err(before)) if before == trouble.failure => tracing::debug!(target_name = %name, reason, "{}", trouble.message),
            _ => tracing::warn!(target_name = %name, reason, "{}", trouble.message),
        }
    }

    /// A target that turns stale changes what is shown, though nothing was read.
    fn note_stale(&mut self, now: Now) {
        for place in 0..self.stale.len() {
            let stale = self.poller.planner.standing(TargetId::new(place), now.instant).stale;
            if stale != std::mem::replace(&mut self.stale[place], stale) {
                self.changed = true;
                if stale {
                    tracing::warn!(target_name = %self.poller.targets[place].name, "stale: no report for too long, so its agents' gauges are gone");
                }
            }
        }
    }

    fn tick(&mut self, now: Now) {
        const MINUTE: Duration = Duration::from_secs(60);
        while self.submits.front().is_some_and(|submit| now.instant.since(*submit) > MINUTE) {
            self.submits.pop_front();
        }
        let planner = &self.poller.planner;
        self.poller.telemetry.tick(planner.in_flight(), planner.quota_wait(), self.poller.server_clock.read().skew_seconds(now));
    }

    fn publish(&mut self, now: Now) -> BoxFuture<'static, ()> {
        let mut standings =
            Standings { jobs_in_last_minute: u32::try_from(self.submits.len()).unwrap_or(u32::MAX), ..Standings::default() };
        self.poller.show.targets.clear();
        for (place, target) in self.poller.targets.iter().enumerate() {
            let id = TargetId::new(place);
            let standing = self.poller.planner.standing(id, now.instant);
            let last_success = standing.last_success.map(|now| now.utc);
            self.poller.show.targets.push(ShownTarget {
                name: Arc::clone(&target.name),
                up: standing.up,
                last_success,
                stale: standing.stale,
            });
            standings.targets.push(TargetStanding {
                name: Arc::clone(&target.name),
                up: self.told[place].map(|told| told.is_ok()),
                stale: standing.stale,
                watermark: self.poller.ledger.watermark(id),
                epoch: self.poller.ledger.epoch(id),
                last_success,
                last_error: standing.last_trouble.map(|trouble| trouble.message),
                job_since: standing.job_age.map(|age| now.utc.minus(age)),
            });
        }
        let snapshot = self.poller.ledger.snapshot(&self.poller.show);
        let publish = Arc::clone(&self.poller.publish);
        crate::tasks::off_thread(move || publish(&snapshot, standings)).boxed()
    }
}

/// An error of the client as the plan needs it.
#[must_use]
pub fn trouble(error: ApiError) -> Reply {
    let message = error.to_string();
    match error.kind.failure() {
        Some(failure) => Reply::Trouble(Trouble { failure, retry_after: error.retry_after, message }),
        None => Reply::Throttled { retry_after: error.retry_after, message },
    }
}
