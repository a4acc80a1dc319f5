//! The loop: wakes up, asks the planner, makes requests, takes replies in, and publishes what is
//! then known.

mod handover;
mod keeping;
mod live;
mod pages;
mod shared_clock;
mod standings;
mod trouble;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

pub use handover::Handover;
use handover::PastTarget;
use keeping::store_trouble;
pub use live::LiveFeeds;
pub use shared_clock::SharedServerClock;
pub use standings::{Publish, Tell};
pub use trouble::trouble;

use crate::clock::Clock;
use crate::cxone::platform::{LivePage, Progress};
use crate::cxone::{AnyClient, ApiError, Endpoint, Paging, Poll, ReportRequest};
use crate::domain::fetch::{Failure, JobId, Outcome, Reply, Trouble};
use crate::domain::ledger::{Key, Ledger, Record, Show, TargetId};
use crate::domain::live::Ask;
use crate::domain::planner::{Action, Planner};
use crate::domain::privacy::Privacy;
use crate::domain::report::{Filter, Report, RowRejection};
use crate::domain::snapshot::Fingerprint;
use crate::domain::status::{RecentErrors, StoreStatus};
use crate::domain::time::{Monotonic, Now, Timestamp, Window};
use crate::store::Store;
use crate::telemetry::Telemetry;

/// One target as the loop needs it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: Arc<str>,
    /// What its jobs ask for.
    pub filter: Filter,
    /// What the store calls it.
    pub kept_as: Filter,
}

/// Everything the loop works with.
pub struct Poller {
    /// Where now comes from.
    pub clock: Clock,
    /// The way to CXone; the plan asks in its way.
    pub client: AnyClient,
    /// CXone's clock.
    pub server_clock: SharedServerClock,
    /// What to ask when.
    pub planner: Planner,
    /// The counts.
    pub ledger: Ledger,
    /// The live feeds; `None` where the dialect has none.
    pub feeds: Option<LiveFeeds>,
    /// Where they are kept.
    pub store: Box<dyn Store>,
    /// What is asked for, in the order of the configuration.
    pub targets: Vec<Target>,
    /// What of agents is kept and shown.
    pub privacy: Privacy,
    /// What snapshots show; the targets in it are set anew each time.
    pub show: Show,
    /// The submits of the last two minutes, an earlier process's among them, by both clocks.
    pub submits: VecDeque<(Monotonic, Timestamp)>,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// How the store is doing.
    pub store_status: StoreStatus,
    /// What went wrong of late, under an earlier configuration too.
    pub errors: Arc<RecentErrors>,
    /// Where what is known goes.
    pub publish: Publish,
    /// Where it goes how everything is doing.
    pub tell: Tell,
    /// The shards that were published last, of which only the fingerprints are told again.
    pub published: HashSet<Fingerprint>,
    /// What an earlier loop knew of targets, by what the store calls them.
    pub(crate) past_targets: HashMap<Filter, PastTarget>,
    /// Whether there is something to show already.
    pub(crate) ready: bool,
}

/// What comes of a request.
enum Reported {
    SignedIn(Result<(), ApiError>),
    Submitted(TargetId, Now, Result<JobId, ApiError>),
    Polled(TargetId, Result<Poll<Report>, ApiError>),
    Paged(TargetId, Box<Paging<Report>>, Result<Progress, ApiError>),
    Live(Ask, Result<LivePage, ApiError>),
}

/// Whether a token was had, and with it a first look at CXone's clock: no window is planned by a
/// clock that may be wrong.
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
    /// The store, but for the moments when a commit has it.
    store: Option<Box<dyn Store>>,
    /// Records that go with the next commit.
    pending: Vec<Record>,
    requests: FuturesUnordered<BoxFuture<'static, Reported>>,
    sign_in: SignIn,
    /// What has been read of each target's window, where it is read in pages and none is under way.
    pagings: Vec<Option<Box<Paging<Report>>>>,
    /// Whether the client was told of the agents that are known from before.
    remembered: bool,
    /// Whether a target's newest finished job failed, and how; to log changes and not repetitions.
    told: Vec<Option<Result<(), Failure>>>,
    /// Up to where each target's history was told or is counted as a gap, after a slice that CXone
    /// refused: short of the watermark, for the next window reaches back behind that.
    skipped_to: Vec<Option<Timestamp>>,
    stale: Vec<bool>,
    /// Whether rows of a target's newest report were rejected; to log changes only.
    rejects: Vec<bool>,
    ready: bool,
    changed: bool,
}

impl Poller {
    /// Runs until `stop` is cancelled; requests under way are dropped then. Gives back what the
    /// next loop goes on with.
    pub async fn run(mut self, stop: CancellationToken) -> Handover {
        let targets = self.targets.len();
        let mut past_targets = std::mem::take(&mut self.past_targets);
        let past: Vec<Option<PastTarget>> =
            self.targets.iter().map(|target| past_targets.remove(&target.kept_as)).collect();
        let told = |(place, past): (usize, &Option<PastTarget>)| match past {
            Some(past) => past.told,
            None => self.first_told(place),
        };
        let told = past.iter().enumerate().map(told).collect();
        let mut running = Running {
            store: Some(std::mem::replace(
                &mut self.store,
                Box::new(crate::store::MemoryStore::default()),
            )),
            pending: Vec::new(),
            requests: FuturesUnordered::new(),
            sign_in: SignIn::Needed,
            pagings: (0..targets).map(|_| None).collect(),
            remembered: false,
            told,
            skipped_to: past.iter().map(|past| past.as_ref()?.skipped_to).collect(),
            stale: past.iter().map(|past| past.as_ref().is_some_and(|past| past.stale)).collect(),
            rejects: vec![false; targets],
            ready: self.ready,
            changed: true,
            poller: self,
        };
        let mut publishing: OptionFuture<BoxFuture<'static, ()>> = None.into();
        let mut idle = true;
        while !stop.is_cancelled() {
            let now = running.poller.clock.now();
            running.act(now).await;
            running.poller.tell(running.poller.clock.now());
            if idle && std::mem::take(&mut running.changed) {
                publishing = Some(running.publish(now)).into();
                idle = false;
            }
            let wake = running.wake_at(now);
            tokio::select! {
                () = stop.cancelled() => {}
                Some(reported) = running.requests.next() => running.take(reported).await,
                Some(()) = &mut publishing, if !idle => {
                    publishing = None.into();
                    idle = true;
                }
                () = running.poller.clock.sleep_until(wake) => {}
            }
        }
        // What is published after this is published by someone else.
        if !idle {
            let _published = publishing.await;
        }
        running.hand_over()
    }

    /// How the target's newest finished job ended, as an earlier process left it.
    fn first_told(&self, place: usize) -> Option<Result<(), Failure>> {
        let standing = self.planner.standing(TargetId::new(place), self.clock.now().instant);
        standing.last_success.map(|_| Ok(()))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

impl Running {
    /// Makes all requests that are due.
    async fn act(&mut self, now: Now) {
        match self.sign_in {
            SignIn::UnderWay => return,
            SignIn::Needed if self.is_due(now) => {
                self.sign_in = SignIn::UnderWay;
                let client = self.poller.client.clone();
                self.requests
                    .push(async move { Reported::SignedIn(client.sign_in().await) }.boxed());
                return;
            }
            SignIn::Needed | SignIn::Failed | SignIn::Done => {}
        }
        let cxone_utc = self.poller.server_clock.read().now(now);
        while let Some(action) = self.next_action(now, cxone_utc) {
            match action {
                Action::Submit(id, window) => self.submit(now, id, window).await,
                Action::Poll(id, job) => {
                    let client = self.poller.client.of_reports();
                    self.requests
                        .push(async move { Reported::Polled(id, client.poll(&job).await) }.boxed());
                }
                Action::Page(id, window) => self.page(now, id, window),
            }
        }
        self.ask_live(now, cxone_utc);
        if self.sign_in == SignIn::Failed {
            self.sign_in = SignIn::Needed;
        }
        self.note_stale(now);
        self.note_live_stale(now);
        self.tick(now);
    }

    fn next_action(&mut self, now: Now, cxone_utc: Timestamp) -> Option<Action> {
        let ledger = &self.poller.ledger;
        self.poller.planner.next(now.instant, cxone_utc, |id| ledger.watermark(id))
    }

    /// Submits a job, once it is in the store that it will be: not even a crash makes more of them
    /// than the quota allows.
    async fn submit(&mut self, now: Now, id: TargetId, window: Window) {
        while self
            .poller
            .submits
            .front()
            .is_some_and(|(submit, _)| now.instant.since(*submit) > 2 * MINUTE)
        {
            self.pending.extend(
                self.poller.submits.pop_front().map(|(_, utc)| Record::delete(&Key::Submit(utc))),
            );
        }
        self.poller.submits.push_back((now.instant, now.utc));
        if let Err(error) = self.commit(vec![Record::put(&Key::Submit(now.utc), &())]).await {
            self.never_left(now);
            return self.reply(self.poller.clock.now(), id, store_trouble(&error)).await;
        }
        let target = &self.poller.targets[id.index()];
        tracing::debug!(target = %target.name, %window, "submitting a report job");
        let request = ReportRequest { window, filter: target.filter.clone() };
        let client = self.poller.client.of_reports();
        self.requests.push(
            async move { Reported::Submitted(id, now, client.submit(&request).await) }.boxed(),
        );
    }

    /// The submit of `planned` was not sent, so that it counts at CXone as little as here.
    fn never_left(&mut self, planned: Now) {
        let submits = &mut self.poller.submits;
        if let Some(place) =
            submits.iter().rposition(|submit| *submit == (planned.instant, planned.utc))
        {
            submits.remove(place);
        }
        if submits.iter().all(|(_, utc)| *utc != planned.utc) {
            self.pending.push(Record::delete(&Key::Submit(planned.utc)));
        }
    }

    fn wake_at(&self, now: Now) -> Monotonic {
        let nap = now.instant.plus(MINUTE);
        if self.sign_in == SignIn::UnderWay {
            return nap;
        }
        let live = self.poller.feeds.as_ref().and_then(|feeds| feeds.plan().wake_at());
        self.poller.planner.wake_at(now.instant).into_iter().chain(live).fold(nap, Monotonic::min)
    }

    async fn take(&mut self, reported: Reported) {
        let now = self.poller.clock.now();
        match reported {
            Reported::SignedIn(result) => {
                self.sign_in = if result.is_ok() { SignIn::Done } else { SignIn::Failed };
            }
            Reported::Submitted(id, planned, result) => {
                let accepted = result.is_ok();
                // For want of a token.
                if result.as_ref().is_err_and(|error| error.endpoint == Endpoint::Token) {
                    self.never_left(planned);
                }
                self.reply(now, id, result.map_or_else(trouble, Reply::Submitted)).await;
                if accepted {
                    self.poller.telemetry.job_submitted();
                    self.keep_job(now, id).await;
                }
            }
            Reported::Polled(id, result) => match result {
                Ok(Poll::Pending | Poll::Running) => self.reply(now, id, Reply::Unfinished).await,
                Ok(Poll::Completed(report)) => {
                    self.completed(now, id, report).await;
                }
                Ok(Poll::Failed(message)) => {
                    let message = format!("CXone could not make the report: {message}");
                    self.reply(
                        now,
                        id,
                        Reply::Trouble(Trouble {
                            failure: Failure::Failed,
                            retry_after: None,
                            message,
                        }),
                    )
                    .await;
                }
                Err(error) => self.reply(now, id, trouble(error)).await,
            },
            Reported::Paged(id, paging, result) => self.paged(now, id, paging, result).await,
            Reported::Live(ask, result) => self.live_told(now, &ask, result),
        }
        self.tick(now);
    }

    async fn reply(&mut self, now: Now, id: TargetId, reply: Reply) {
        if let Reply::Throttled { message, retry_after } = &reply {
            let name = &self.poller.targets[id.index()].name;
            let retry_after = retry_after.map(|wait| wait.as_secs_f64());
            tracing::warn!(target = %name, retry_after, "{message}");
        }
        let had_job = self.poller.planner.job(id).is_some();
        let error = what_failed(&reply);
        let ended = self.poller.planner.reply(now, id, reply);
        let last_straw = ended.as_ref().and_then(|ended| match &ended.outcome {
            Outcome::Failed(trouble) => Some((Some(trouble.failure), trouble.message.clone())),
            Outcome::Completed | Outcome::Throttled { .. } => None,
        });
        if let Some((failure, message)) = last_straw.or(error) {
            let name = &self.poller.targets[id.index()].name;
            Arc::make_mut(&mut self.poller.errors).note(now.utc, name, failure, &message);
        }
        let Some(ended) = ended else { return };
        self.pagings[id.index()] = None;
        if had_job {
            self.pending
                .push(Record::delete(&Key::Job(self.poller.targets[id.index()].kept_as.clone())));
        }
        if let Outcome::Failed(trouble) = &ended.outcome {
            self.failed(id, trouble);
            if trouble.failure == Failure::Rejected && ended.behind {
                self.skip(&ended).await;
            }
        }
        self.changed = true;
    }

    /// Takes a report in: it counts when it is in the store, and not before.
    async fn completed(&mut self, now: Now, id: TargetId, report: Report) {
        let Some(origin) = self.poller.planner.origin(id) else { return };
        let report = self.poller.privacy.veiled(report);
        let (applied, change) = self.poller.ledger.apply(&origin, &report);
        let mut oddities = report.oddities().clone();
        oddities.reject_more(RowRejection::CutBucket, applied.cut_buckets);
        let accepted = applied.rows.saturating_sub(applied.cut_buckets);
        if oddities.outweigh(accepted, !self.poller.planner.is_behind(id)) {
            self.poller.ledger.take_back(change);
            self.poller.telemetry.rows_odd(&oddities);
            let trouble = Trouble {
                failure: Failure::RowsRejected,
                retry_after: None,
                message: oddities.why_unusable(accepted),
            };
            return self.reply(now, id, Reply::Trouble(trouble)).await;
        }
        let records = self.records(&change, Some(now.utc));
        if let Err(error) = self.commit(records).await {
            self.poller.ledger.take_back(change);
            return self.reply(self.poller.clock.now(), id, store_trouble(&error)).await;
        }
        let Some(ended) = self.poller.planner.reply(now, id, Reply::Completed) else { return };
        self.changed = true;
        self.ready = true;
        let telemetry = &self.poller.telemetry;
        telemetry.job_completed(ended.age);
        telemetry.report_applied(&applied);
        telemetry.rows_odd(&oddities);
        telemetry.history_gap(ended.gap);
        self.skipped_to[id.index()] = None;
        let name = &self.poller.targets[id.index()].name;
        let (window, rows) = (origin.window, applied.rows);
        match self.told[id.index()].replace(Ok(())) {
            Some(Ok(())) => tracing::debug!(target = %name, %window, rows, "report read"),
            None => tracing::info!(target = %name, %window, rows, "first report read"),
            Some(Err(_)) => {
                tracing::info!(target = %name, %window, rows, "reports work again")
            }
        }
        let rejects = oddities.all_rejected() > 0;
        let rejected_before = std::mem::replace(&mut self.rejects[id.index()], rejects);
        if rejects && !rejected_before {
            tracing::warn!(target = %name, rows = oddities.all_rejected(), reasons = oddities.reasons(), "rows rejected");
        }
        if ended.gap > Duration::ZERO {
            tracing::warn!(target = %name, seconds = ended.gap.as_secs(), "a gap: CXone can no longer tell what happened before the window");
        }
        if rows == 0 && self.poller.ledger.epoch(id) == Some(window.to) {
            tracing::warn!(target = %name, "the first report is empty: nobody changed state, or the id is wrong (`check --live` tells more)");
        }
    }

    fn failed(&mut self, id: TargetId, trouble: &Trouble) {
        self.poller.telemetry.job_failed(trouble.failure);
        let name = &self.poller.targets[id.index()].name;
        let reason = trouble.failure.as_str();
        match self.told[id.index()].replace(Err(trouble.failure)) {
            Some(Err(before)) if before == trouble.failure => {
                tracing::debug!(target = %name, reason, "{}", trouble.message)
            }
            // The store has spoken for itself.
            _ if trouble.failure == Failure::Store => {
                tracing::debug!(target = %name, reason, "{}", trouble.message)
            }
            // Nothing comes of it until somebody mends it.
            _ if trouble.failure.is_of_credentials() => {
                tracing::error!(target = %name, reason, "{}", trouble.message)
            }
            _ => tracing::warn!(target = %name, reason, "{}", trouble.message),
        }
    }

    fn tick(&mut self, now: Now) {
        let planner = &self.poller.planner;
        let waited = planner.quota_wait() + self.poller.client.budget_wait();
        self.poller.telemetry.tick(
            planner.in_flight(),
            waited,
            self.poller.server_clock.read().skew_seconds(now),
        );
    }
}

/// What went wrong with a request, for the recent errors.
fn what_failed(reply: &Reply) -> Option<(Option<Failure>, String)> {
    match reply {
        Reply::Throttled { message, .. } => Some((None, message.clone())),
        Reply::Trouble(trouble) => Some((Some(trouble.failure), trouble.message.clone())),
        Reply::Submitted(_) | Reply::Unfinished | Reply::Completed => None,
    }
}
