//! The loop: asks the planner, makes requests, takes their results in, commits what was counted, and
//! publishes what is then known.

mod commit;
mod handover;
mod live;
mod server_clock;
mod status;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use commit::{
    AfterCommit, CommitResult, LedgerOutcome, LedgerUpdate, QueuedCommit, QueuedUpdate,
    RunningCommit,
};
pub use handover::Handover;
pub use live::LiveFeeds;
pub use server_clock::SharedServerClock;
pub use status::{PublishSnapshot, PublishStatus};

use crate::clock::Clock;
use crate::cxone::platform::LivePage;
use crate::cxone::{Advance, ApiEndpoint, ApiError, CxoneClient, HistoryRequest, Retrieval};
use crate::tasks::Offloaded;
use crate::telemetry::Telemetry;
use cxone_core::counts::Fingerprint;
use cxone_core::counts::{Ledger, Record, RecordKey, ReportOrigin, TargetId};
use cxone_core::live::FeedRequest;
use cxone_core::page::SnapshotOptions;
use cxone_core::page::status::{RecentErrors, StoreStatus};
use cxone_core::plan::fetch::{FailureReason, JobError, JobOutcome, JobReply};
use cxone_core::plan::planner::{EndedJob, MAX_AHEAD, Planner, PlannerAction};
use cxone_core::privacy::Privacy;
use cxone_core::report::{Report, ReportFilter, RowOddities};
use cxone_core::store::Store;
use cxone_core::time::{Monotonic, Now, Timestamp, Window};

/// A trace of the loop's turns, for a watchdog. Clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    max_interval: Duration,
    beats: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Of a loop that turns at least this often, unless it is stuck.
    #[must_use]
    pub fn new(max_interval: Duration) -> Self {
        Self { max_interval, beats: Arc::default() }
    }

    /// The longest time between two beats of a loop that is not stuck.
    #[must_use]
    pub const fn max_interval(&self) -> Duration {
        self.max_interval
    }

    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How many times the loop has turned.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new(MINUTE)
    }
}

/// What every loop of the process uses, whatever its configuration.
#[derive(Clone)]
pub struct EngineContext {
    /// Our clock.
    pub clock: Clock,
    /// CXone's clock.
    pub server_clock: SharedServerClock,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Beats in every turn of the loop.
    pub heartbeat: Heartbeat,
    /// Where snapshots go.
    pub publish_snapshot: PublishSnapshot,
    /// Where the status goes.
    pub publish_status: PublishStatus,
}

/// What a loop is made of, as a configuration and the store say.
pub struct EngineParts {
    /// What outlives the loop.
    pub context: EngineContext,
    /// The way to CXone.
    pub client: CxoneClient,
    /// What to request when.
    pub planner: Planner,
    /// The counts.
    pub ledger: Ledger,
    /// The live feeds; `None` where the dialect has none.
    pub feeds: Option<LiveFeeds>,
    /// What is polled, in the order of the configuration.
    pub targets: Vec<PolledTarget>,
    /// What of agents is kept and shown.
    pub privacy: Privacy,
    /// What snapshots show; the targets in it are set anew each time.
    pub view: SnapshotOptions,
    /// The submits of the last two minutes, an earlier process's among them, by both clocks.
    pub submits: VecDeque<(Monotonic, Timestamp)>,
    /// The store, and what an earlier loop knew.
    pub handover: Handover,
}

/// A target of the configuration.
#[derive(Clone, Debug)]
pub struct PolledTarget {
    /// Its name.
    pub name: Arc<str>,
    /// The filter of its jobs.
    pub filter: ReportFilter,
    /// The same, as the store knows it.
    pub store_key: ReportFilter,
}

/// A target, and what is known of it.
struct TargetState {
    target: PolledTarget,
    /// Event time up to which its history is in the store.
    watermark: Option<Timestamp>,
    /// Where its counting began.
    epoch: Option<Timestamp>,
    /// The retrieval of its window, unless a request of it is in progress.
    retrieval: Option<Retrieval<Report>>,
    /// How its newest finished job ended; changes are logged, repetitions are not.
    last_outcome: Option<Result<(), FailureReason>>,
    /// Up to where its history is known or counted as a gap, after a slice that CXone rejected.
    /// Short of the watermark, since the next window reaches back behind that.
    skipped_to: Option<Timestamp>,
    /// Where its watermark was set back to last, so that it is not set back from there again.
    set_back_to: Option<Timestamp>,
    is_stale: bool,
    /// Whether rows of its newest report were rejected; changes are logged.
    has_rejected_rows: bool,
}

impl TargetState {
    fn new(target: PolledTarget, last_outcome: Option<Result<(), FailureReason>>) -> Self {
        Self {
            target,
            watermark: None,
            epoch: None,
            retrieval: None,
            last_outcome,
            skipped_to: None,
            set_back_to: None,
            is_stale: false,
            has_rejected_rows: false,
        }
    }
}

/// The result of a request.
enum Completion {
    SignedIn(Result<(), ApiError>),
    ClockChecked,
    Advanced(Box<AdvancedRetrieval>),
    Live(FeedRequest, Result<LivePage, ApiError>),
}

/// A retrieval after one of its requests.
struct AdvancedRetrieval {
    id: TargetId,
    /// When the submit of its job was planned, if the request was that.
    submit: Option<Now>,
    retrieval: Retrieval<Report>,
    result: Result<Advance<Report>, ApiError>,
}

/// Whether there is a token, and with it a first `Date` of CXone's clock: no window is planned by a
/// clock that may be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignIn {
    Needed,
    InProgress,
    /// What is due fails with the same error, once.
    Failed,
    Done,
}

/// The loop.
pub struct Engine {
    context: EngineContext,
    client: CxoneClient,
    planner: Planner,
    feeds: Option<LiveFeeds>,
    targets: Vec<TargetState>,
    privacy: Privacy,
    view: SnapshotOptions,
    submits: VecDeque<(Monotonic, Timestamp)>,
    requests: FuturesUnordered<BoxFuture<'static, Completion>>,
    sign_in: SignIn,
    is_checking_clock: bool,
    /// Whether the client knows the agents that are known from before.
    has_remembered_agents: bool,

    ledger: Offloaded<Ledger, LedgerOutcome>,
    queued_updates: VecDeque<QueuedUpdate>,
    /// Whether the ledger contains, or soon will, an update that is not in the store yet and may be
    /// reverted. Until then nothing is shown.
    is_ledger_ahead: bool,

    store: Offloaded<Box<dyn Store>, CommitResult>,
    store_status: StoreStatus,
    /// Records that go with the next commit.
    deferred_records: Vec<Record>,
    queued_commits: VecDeque<QueuedCommit>,
    running_commit: Option<RunningCommit>,

    errors: Arc<RecentErrors>,
    /// The shards that were published last: of these, the next snapshot has the fingerprints only.
    published: HashSet<Fingerprint>,
    publishing: Option<BoxFuture<'static, ()>>,
    is_ready: bool,
    has_changes: bool,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Engine {
    /// A loop that goes on with what it is handed; nothing runs yet.
    #[must_use]
    pub fn new(parts: EngineParts) -> Self {
        let now = parts.context.clock.now();
        if let Some(start) = parts.ledger.latest_start() {
            parts.context.server_clock.reported(now, start);
        }
        // An earlier process stored when a target last succeeded, and no failure.
        let target = |(index, target)| {
            let status = parts.planner.status(TargetId::new(index), now.instant);
            TargetState::new(target, status.last_success.map(|_| Ok(())))
        };
        let targets = parts.targets.into_iter().enumerate().map(target).collect();
        let Handover { store, past } = parts.handover;
        let mut engine = Self {
            context: parts.context,
            client: parts.client,
            planner: parts.planner,
            feeds: parts.feeds,
            targets,
            privacy: parts.privacy,
            view: parts.view,
            submits: parts.submits,
            requests: FuturesUnordered::new(),
            sign_in: SignIn::Needed,
            is_checking_clock: false,
            has_remembered_agents: false,
            ledger: Offloaded::Idle(parts.ledger),
            queued_updates: VecDeque::new(),
            is_ledger_ahead: false,
            store_status: StoreStatus {
                format: store.format(),
                size_bytes: store.size_bytes(),
                ..StoreStatus::default()
            },
            store: Offloaded::Idle(store),
            deferred_records: Vec::new(),
            queued_commits: VecDeque::new(),
            running_commit: None,
            errors: Arc::default(),
            published: HashSet::new(),
            publishing: None,
            is_ready: false,
            has_changes: true,
        };
        engine.read_watermarks();
        if let Some(past) = past {
            engine.restore(*past);
        }
        engine
    }

    /// Runs until `stop` is cancelled; requests in progress are dropped then, and a commit in
    /// progress is waited for. Returns what the next loop goes on with.
    pub async fn run(mut self, stop: CancellationToken) -> Handover {
        let clock = self.context.clock.clone();
        while !stop.is_cancelled() || self.running_commit.is_some() {
            let now = clock.now();
            let goes_on = !stop.is_cancelled();
            self.note_hanging(now);
            if goes_on {
                self.act(now);
            }
            self.publish_status(clock.now());
            self.context.heartbeat.beat();
            if self.publishing.is_none()
                && !self.is_ledger_ahead
                && std::mem::take(&mut self.has_changes)
            {
                self.publish(now);
            }
            if goes_on {
                self.apply_next_update();
            }
            let wake_at = self.wake_at(now);
            tokio::select! {
                () = stop.cancelled(), if goes_on => self.queued_commits.clear(),
                Some(completion) = self.requests.next(), if goes_on => self.take(completion),
                outcome = self.ledger.finished(), if goes_on => self.ledger_finished(outcome),
                result = self.store.finished() => self.committed(result),
                Some(()) = OptionFuture::from(self.publishing.as_mut()) => self.publishing = None,
                () = clock.sleep_until(wake_at) => {}
            }
        }
        // Whatever is published after this, the next loop publishes.
        if let Some(publishing) = self.publishing.take() {
            publishing.await;
        }
        self.hand_over().await
    }

    /// Makes all requests that are due.
    fn act(&mut self, now: Now) {
        match self.sign_in {
            SignIn::InProgress => return,
            SignIn::Needed if self.is_due(now) => {
                self.sign_in = SignIn::InProgress;
                let client = self.client.clone();
                self.request(async move { Completion::SignedIn(client.sign_in().await) });
                return;
            }
            SignIn::Needed | SignIn::Failed | SignIn::Done => {}
        }
        self.correct_watermarks(now);
        let cxone_utc = self.context.server_clock.read().now(now);
        while let Some(action) = {
            let targets = &self.targets;
            self.planner.next(now.instant, cxone_utc, |id| targets[id.index()].watermark)
        } {
            match action {
                PlannerAction::Submit(id, window) => self.submit(now, id, window),
                PlannerAction::Advance(id, window) => self.advance(now, id, window),
            }
        }
        self.check_clock();
        self.request_live(now, cxone_utc.unwrap_or(now.utc));
        if self.sign_in == SignIn::Failed {
            self.sign_in = SignIn::Needed;
        }
        self.note_stale(now);
        self.note_live_stale(now);
        self.update_gauges(now);
    }

    fn request(&self, request: impl Future<Output = Completion> + Send + 'static) {
        self.requests.push(request.boxed());
    }

    /// While CXone's clock keeps the planner from requesting anything, no response would ever
    /// correct it. So one is requested for its `Date` alone.
    fn check_clock(&mut self) {
        if self.planner.take_clock_doubt() && !self.is_checking_clock {
            self.is_checking_clock = true;
            let client = self.client.clone();
            self.request(async move {
                if let Err(error) = client.refresh_clock().await {
                    tracing::debug!(%error, "clock check failed");
                }
                Completion::ClockChecked
            });
        }
    }

    /// Submits a job, once the store says that it will be: not even a crash makes more of them than
    /// the quota allows.
    fn submit(&mut self, now: Now, id: TargetId, window: Window) {
        while let Some((submit, utc)) = self.submits.front()
            && now.instant.since(*submit) > 2 * MINUTE
        {
            self.deferred_records.push(Record::delete(&RecordKey::Submit(*utc)));
            self.submits.pop_front();
        }
        self.submits.push_back((now.instant, now.utc));
        let submit = vec![Record::put(&RecordKey::Submit(now.utc), &())];
        self.commit(submit, AfterCommit::Submit(id, window, now));
    }

    fn send_submit(&mut self, planned: Now, id: TargetId, window: Window) {
        let target = &self.targets[id.index()].target;
        tracing::debug!(target = %target.name, %window, "report job submitted");
        let request = HistoryRequest { window, filter: target.filter.clone() };
        self.send(id, Some(planned), self.client.retrieve(request));
    }

    /// Makes the next request for the target's window. What has been read of a window is in memory
    /// only; a job that an earlier process submitted is polled on.
    fn advance(&mut self, now: Now, id: TargetId, window: Window) {
        let state = &mut self.targets[id.index()];
        let retrieval = state.retrieval.take().unwrap_or_else(|| {
            let target = &state.target;
            let request = HistoryRequest { window, filter: target.filter.clone() };
            if let Some(job) = self.planner.job_id(id) {
                return self.client.resume(request, job.clone());
            }
            tracing::debug!(target = %target.name, %window, "state history requested");
            self.context.telemetry.job_submitted();
            self.submits.retain(|(submit, _)| now.instant.since(*submit) <= MINUTE);
            self.submits.push_back((now.instant, now.utc));
            self.client.retrieve(request)
        });
        // Pseudonyms are of no use to CXone; these agents come back with its own list.
        if retrieval.needs_known_members()
            && !self.has_remembered_agents
            && let Some(ledger) = self.ledger.idle()
        {
            self.has_remembered_agents = true;
            let members = ledger.members(id).filter(|_| self.privacy.ids.are_raw());
            retrieval.remember(
                members.map(|(name, reported, behind)| (name.to_string(), reported, behind)),
            );
        }
        self.send(id, None, retrieval);
    }

    fn send(&self, id: TargetId, submit: Option<Now>, mut retrieval: Retrieval<Report>) {
        self.request(async move {
            let result = retrieval.advance().await;
            Completion::Advanced(Box::new(AdvancedRetrieval { id, submit, retrieval, result }))
        });
    }

    fn advanced(&mut self, now: Now, advanced: AdvancedRetrieval) {
        let AdvancedRetrieval { id, submit, retrieval, result } = advanced;
        let is_completed = matches!(result, Ok(Advance::Completed(_)));
        self.targets[id.index()].retrieval = (!is_completed).then_some(retrieval);
        match result {
            Ok(Advance::Completed(report)) => self.read(now, id, report),
            Ok(Advance::Unfinished) => self.reply(now, id, JobReply::Unfinished),
            Ok(Advance::Submitted(job)) => {
                self.reply(now, id, JobReply::Submitted(job));
                self.context.telemetry.job_submitted();
                self.save_job(now, id);
            }
            Err(error) => {
                // Without a token there was no submit.
                if let Some(planned) = submit
                    && error.endpoint == ApiEndpoint::Token
                {
                    self.forget_submit(planned);
                }
                self.reply(now, id, error.into());
            }
        }
    }

    /// The submit of `planned` was not sent. CXone does not count it, so neither do we.
    fn forget_submit(&mut self, planned: Now) {
        let planned = (planned.instant, planned.utc);
        if let Some(index) = self.submits.iter().rposition(|submit| *submit == planned) {
            self.submits.remove(index);
        }
        // Another submit of the same millisecond has the same key.
        if self.submits.iter().all(|(_, utc)| *utc != planned.1) {
            self.deferred_records.push(Record::delete(&RecordKey::Submit(planned.1)));
        }
    }

    fn wake_at(&self, now: Now) -> Monotonic {
        let latest = now.instant.plus(self.context.heartbeat.max_interval.min(MINUTE));
        let latest = self.commit_deadline().map_or(latest, |deadline| deadline.min(latest));
        if self.sign_in == SignIn::InProgress {
            return latest;
        }
        self.due_at(now).map_or(latest, |due_at| due_at.min(latest))
    }

    /// When something is to be requested next, for a target or by a live feed.
    fn due_at(&self, now: Now) -> Option<Monotonic> {
        let live = self.feeds.as_ref().and_then(|feeds| feeds.plan.wake_at());
        self.planner.wake_at(now.instant).into_iter().chain(live).min()
    }

    fn is_due(&self, now: Now) -> bool {
        self.due_at(now).is_some_and(|due_at| due_at <= now.instant)
    }

    fn take(&mut self, completion: Completion) {
        let now = self.context.clock.now();
        match completion {
            Completion::SignedIn(result) => {
                self.sign_in = if result.is_ok() { SignIn::Done } else { SignIn::Failed };
            }
            Completion::ClockChecked => self.is_checking_clock = false,
            Completion::Advanced(advanced) => self.advanced(now, *advanced),
            Completion::Live(request, result) => self.live_finished(now, &request, result),
        }
        self.update_gauges(now);
    }

    fn reply(&mut self, now: Now, id: TargetId, reply: JobReply) {
        let state = &mut self.targets[id.index()];
        let name = &state.target.name;
        let mut recent = match &reply {
            JobReply::Throttled { message, retry_after } => {
                let retry_after = retry_after.map(|wait| wait.as_secs_f64());
                tracing::warn!(target = %name, retry_after, error = message, "request throttled");
                Some((None, message.clone()))
            }
            JobReply::Failed(error) => Some((Some(error.reason), error.message.clone())),
            JobReply::Submitted(_) | JobReply::Unfinished | JobReply::Completed => None,
        };
        let had_job = self.planner.job(id).is_some();
        let ended = self.planner.reply(now, id, reply);
        if let Some(EndedJob { outcome: JobOutcome::Failed(error), .. }) = &ended {
            // A job may time out with an answer that is not an error by itself.
            recent = Some((Some(error.reason), error.message.clone()));
        }
        if let Some((failure, message)) = recent {
            Arc::make_mut(&mut self.errors).note(now.utc, name, failure, &message);
        }
        let Some(ended) = ended else { return };
        state.retrieval = None;
        if had_job {
            self.deferred_records
                .push(Record::delete(&RecordKey::Job(state.target.store_key.clone())));
        }
        if let JobOutcome::Failed(error) = &ended.outcome {
            self.context.telemetry.job_failed(error.reason);
            state.log_failure(error);
            if let Some(longest) = ended.halved {
                let (window, seconds) = (ended.origin.window, longest.as_secs());
                tracing::info!(target = %state.target.name, %window, seconds, "window halved");
            }
            if ended.gives_up {
                // CXone may still report what follows a slice of the past that it rejects.
                self.queue_update(id, LedgerUpdate::Gap(ended));
            }
        }
        self.has_changes = true;
    }

    /// A report was read whole. It counts once it is in the store, and not before.
    fn read(&mut self, now: Now, id: TargetId, report: Report) {
        let Some(origin) = self.planner.origin(id) else { return };
        let clock = self.context.server_clock.read();
        let cxone_utc = clock.now(now).unwrap_or(now.utc);
        if clock.is_settled() && origin.window.to.since(cxone_utc) > MAX_AHEAD {
            self.planner.disregard(id);
        }
        if self.planner.probes(id) {
            return self.disregarded(now, id, origin.window);
        }
        self.queue_update(id, LedgerUpdate::Report(now, report));
    }

    /// A report is in the store.
    fn completed(
        &mut self,
        read_at: Now,
        origin: &ReportOrigin,
        rows: u64,
        oddities: &RowOddities,
    ) {
        let id = origin.target;
        let Some(ended) = self.planner.reply(read_at, id, JobReply::Completed) else { return };
        self.context.telemetry.job_completed(ended.age);
        self.context.telemetry.history_gap(ended.gap);
        let state = &mut self.targets[id.index()];
        let (name, window) = (&state.target.name, origin.window);
        match state.last_outcome.replace(Ok(())) {
            Some(Ok(())) => tracing::debug!(target = %name, %window, rows, "report read"),
            None => tracing::info!(target = %name, %window, rows, "first report read"),
            Some(Err(_)) => tracing::info!(target = %name, %window, rows, "target recovered"),
        }
        let rejected = oddities.all_rejected();
        let had_rejected_rows = std::mem::replace(&mut state.has_rejected_rows, rejected > 0);
        if rejected > 0 && !had_rejected_rows {
            let reasons = oddities.reasons();
            tracing::warn!(target = %name, rows = rejected, reasons, "rows rejected");
        }
        if ended.gap > Duration::ZERO {
            let seconds = ended.gap.as_secs();
            tracing::warn!(target = %name, seconds, "history gap: past CXone's retention, skipped");
        }
        if rows == 0 && state.epoch == Some(window.to) {
            tracing::warn!(
                target = %name,
                "first report empty: nobody changed state, or the id is wrong (see `check --live`)"
            );
        }
    }

    /// A report was read whose rows are not counted.
    fn disregarded(&mut self, now: Now, id: TargetId, window: Window) {
        let Some(ended) = self.planner.reply(now, id, JobReply::Completed) else { return };
        let state = &mut self.targets[id.index()];
        state.retrieval = None;
        self.deferred_records.push(Record::delete(&RecordKey::Job(state.target.store_key.clone())));
        self.context.telemetry.job_completed(ended.age);
        tracing::info!(target = %state.target.name, %window, "window accepted, rows not counted");
    }

    fn update_gauges(&self, now: Now) {
        let waited = self.planner.quota_wait() + self.client.budget_wait();
        let skew = self.context.server_clock.read().skew_seconds(now);
        self.context.telemetry.tick(self.planner.in_flight(), waited, skew);
    }
}

impl TargetState {
    fn log_failure(&mut self, JobError { reason: failure, message, .. }: &JobError) {
        let (target, reason) = (&self.target.name, failure.as_str());
        let is_repeated = self.last_outcome.replace(Err(*failure)) == Some(Err(*failure));
        // The store logs its own failures.
        if is_repeated || *failure == FailureReason::Store {
            tracing::debug!(%target, reason, error = message, "report job failed");
        } else if failure.is_of_credentials() {
            // It fails until somebody corrects the credentials.
            tracing::error!(%target, reason, error = message, "report job failed");
        } else {
            tracing::warn!(%target, reason, error = message, "report job failed");
        }
    }
}
