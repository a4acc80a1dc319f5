//! The loop: wakes up, asks the planner, makes requests, takes replies in, and publishes what is
//! then known.

mod handover;
mod keeping;
mod live;
mod pages;
mod pulse;
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
pub use keeping::Mark;
use keeping::{Commit, Committed, Done, Entry, Then, UnderWay, Unusable, Waiting};
pub use live::LiveFeeds;
pub use pulse::Pulse;
pub use shared_clock::SharedServerClock;
pub use standings::{Publish, Tell};
pub use trouble::trouble;

use crate::clock::Clock;
use crate::cxone::platform::{LivePage, Progress};
use crate::cxone::{AnyClient, ApiError, Endpoint, Paging, Poll, ReportRequest};
use crate::tasks::off_thread;
use crate::telemetry::Telemetry;
use cxone_core::counts::{Ledger, Record, RecordKey, ReportOrigin, SnapshotOptions, TargetId};
use cxone_core::live::Ask;
use cxone_core::page::snapshot::Fingerprint;
use cxone_core::page::status::{RecentErrors, StoreStatus};
use cxone_core::plan::fetch::{Failure, JobId, Outcome, Reply, Trouble};
use cxone_core::plan::planner::{AHEAD, Action, Planner};
use cxone_core::privacy::Privacy;
use cxone_core::report::{Report, ReportFilter, RowOddities};
use cxone_core::store::Store;
use cxone_core::time::{Monotonic, Now, Timestamp, Window};

/// One target as the loop needs it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: Arc<str>,
    /// What its jobs ask for.
    pub filter: ReportFilter,
    /// What the store calls it.
    pub kept_as: ReportFilter,
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
    /// The counts; `None` while a thread counts.
    pub ledger: Option<Ledger>,
    /// How far each target is known.
    pub marks: Vec<Mark>,
    /// The live feeds; `None` where the dialect has none.
    pub feeds: Option<LiveFeeds>,
    /// Where they are kept; `None` while a thread commits.
    pub store: Option<Box<dyn Store>>,
    /// What is asked for, in the order of the configuration.
    pub targets: Vec<Target>,
    /// What of agents is kept and shown.
    pub privacy: Privacy,
    /// What snapshots show; the targets in it are set anew each time.
    pub show: SnapshotOptions,
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
    pub(crate) past_targets: HashMap<ReportFilter, PastTarget>,
    /// Whether there is something to show already.
    pub(crate) ready: bool,
    /// Where it leaves a trace of every turn.
    pub pulse: Pulse,
}

/// What comes of a request.
enum Reported {
    SignedIn(Result<(), ApiError>),
    /// CXone's clock was looked at.
    Looked,
    Submitted(TargetId, Now, Result<JobId, ApiError>),
    Polled(TargetId, Result<Poll<Report>, ApiError>),
    Paged(TargetId, Box<Paging<Report>>, Result<Progress, ApiError>),
    Live(Ask, Result<LivePage, ApiError>),
    Counted(Box<(Ledger, Result<Done, Unusable>)>),
    TakenBack(Box<Ledger>),
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
    /// Records that go with the next commit.
    pending: Vec<Record>,
    commits: VecDeque<Commit>,
    under_way: Option<UnderWay>,
    committing: OptionFuture<BoxFuture<'static, Committed>>,
    entries: VecDeque<Waiting>,
    /// Whether an entry is in the ledger, or on its way there, that may yet be taken back.
    counting: bool,
    requests: FuturesUnordered<BoxFuture<'static, Reported>>,
    sign_in: SignIn,
    /// Whether CXone's clock is being looked at.
    looks: bool,
    /// What has been read of each target's window, where it is read in pages and none is under way.
    pagings: Vec<Option<Box<Paging<Report>>>>,
    /// Whether the client was told of the agents that are known from before.
    remembered: bool,
    /// Whether a target's newest finished job failed, and how; to log changes and not repetitions.
    told: Vec<Option<Result<(), Failure>>>,
    /// Up to where each target's history was told or is counted as a gap, after a slice that CXone
    /// refused: short of the watermark, for the next window reaches back behind that.
    skipped_to: Vec<Option<Timestamp>>,
    /// Where each target's watermark was set back to last: that is as far as it goes.
    set_back_to: Vec<Option<Timestamp>>,
    stale: Vec<bool>,
    /// Whether rows of a target's newest report were rejected; to log changes only.
    rejects: Vec<bool>,
    ready: bool,
    changed: bool,
}

impl Poller {
    /// Runs until `stop` is cancelled; requests under way are dropped then, and a commit under way
    /// is waited for. Gives back what the next loop goes on with.
    pub async fn run(mut self, stop: CancellationToken) -> Handover {
        let targets = self.targets.len();
        if let Some(start) = self.ledger.as_ref().and_then(Ledger::latest_start) {
            self.server_clock.reported(self.clock.now(), start);
        }
        let mut past_targets = std::mem::take(&mut self.past_targets);
        let past: Vec<Option<PastTarget>> =
            self.targets.iter().map(|target| past_targets.remove(&target.kept_as)).collect();
        let told = |(place, past): (usize, &Option<PastTarget>)| match past {
            Some(past) => past.told,
            None => self.first_told(place),
        };
        let told = past.iter().enumerate().map(told).collect();
        let mut running = Running {
            pending: Vec::new(),
            commits: VecDeque::new(),
            under_way: None,
            committing: None.into(),
            entries: VecDeque::new(),
            counting: false,
            requests: FuturesUnordered::new(),
            sign_in: SignIn::Needed,
            looks: false,
            pagings: (0..targets).map(|_| None).collect(),
            remembered: false,
            told,
            skipped_to: past.iter().map(|past| past.as_ref()?.skipped_to).collect(),
            set_back_to: vec![None; targets],
            stale: past.iter().map(|past| past.as_ref().is_some_and(|past| past.stale)).collect(),
            rejects: vec![false; targets],
            ready: self.ready,
            changed: true,
            poller: self,
        };
        let mut publishing: OptionFuture<BoxFuture<'static, ()>> = None.into();
        let mut idle = true;
        while !stop.is_cancelled() || running.under_way.is_some() {
            let now = running.poller.clock.now();
            let goes_on = !stop.is_cancelled();
            running.note_hanging(now);
            if goes_on {
                running.act(now);
            }
            running.poller.tell(running.poller.clock.now());
            running.poller.pulse.beat();
            // What may yet be taken back is not shown.
            if idle && !running.counting && std::mem::take(&mut running.changed) {
                publishing = Some(running.publish(now)).into();
                idle = false;
            }
            if goes_on {
                running.count_next();
            }
            let wake = running.wake_at(now);
            tokio::select! {
                () = stop.cancelled(), if goes_on => running.commits.clear(),
                Some(reported) = running.requests.next(), if goes_on => running.take(reported),
                Some(committed) = &mut running.committing => running.committed(committed),
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
        let ledger = running.poller.ledger.take();
        off_thread(move || drop(ledger)).await;
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
    fn act(&mut self, now: Now) {
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
        self.correct_watermarks(now);
        let cxone_utc = self.poller.server_clock.read().now(now);
        while let Some(action) = self.next_action(now, cxone_utc) {
            match action {
                Action::Submit(id, window) => self.submit(now, id, window),
                Action::Poll(id, job) => {
                    let client = self.poller.client.of_reports();
                    self.requests
                        .push(async move { Reported::Polled(id, client.poll(&job).await) }.boxed());
                }
                Action::Page(id, window) => self.page(now, id, window),
            }
        }
        self.look_at_clock();
        self.ask_live(now, cxone_utc.unwrap_or(now.utc));
        if self.sign_in == SignIn::Failed {
            self.sign_in = SignIn::Needed;
        }
        self.note_stale(now);
        self.note_live_stale(now);
        self.tick(now);
    }

    /// Where nothing is asked for because of what CXone's clock says, no answer would ever tell that
    /// it was wrong: so one is asked for. The live feeds of the other dialect are asked all the time.
    fn look_at_clock(&mut self) {
        let doubted = self.poller.planner.doubted_clock();
        if let (true, false, AnyClient::Reports(client)) =
            (doubted, self.looks, &self.poller.client)
        {
            let client = Arc::clone(client);
            self.looks = true;
            self.requests.push(
                async move {
                    if let Err(error) = client.renew_token().await {
                        tracing::debug!("looking at CXone's clock: {error}");
                    }
                    Reported::Looked
                }
                .boxed(),
            );
        }
    }

    fn next_action(&mut self, now: Now, cxone_utc: Option<Timestamp>) -> Option<Action> {
        let marks = &self.poller.marks;
        self.poller.planner.next(now.instant, cxone_utc, |id| marks[id.index()].watermark)
    }

    /// Submits a job, once it is in the store that it will be: not even a crash makes more of them
    /// than the quota allows.
    fn submit(&mut self, now: Now, id: TargetId, window: Window) {
        while self
            .poller
            .submits
            .front()
            .is_some_and(|(submit, _)| now.instant.since(*submit) > 2 * MINUTE)
        {
            self.pending.extend(
                self.poller
                    .submits
                    .pop_front()
                    .map(|(_, utc)| Record::delete(&RecordKey::Submit(utc))),
            );
        }
        self.poller.submits.push_back((now.instant, now.utc));
        let submit = vec![Record::put(&RecordKey::Submit(now.utc), &())];
        self.commit(submit, Then::Submit(id, window, now));
    }

    fn send_submit(&mut self, now: Now, id: TargetId, window: Window) {
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
            self.pending.push(Record::delete(&RecordKey::Submit(planned.utc)));
        }
    }

    fn wake_at(&self, now: Now) -> Monotonic {
        let nap = now.instant.plus(self.poller.pulse.every.min(MINUTE));
        let nap = self.too_late_at().into_iter().fold(nap, Monotonic::min);
        if self.sign_in == SignIn::UnderWay {
            return nap;
        }
        let live = self.poller.feeds.as_ref().and_then(|feeds| feeds.plan().wake_at());
        self.poller.planner.wake_at(now.instant).into_iter().chain(live).fold(nap, Monotonic::min)
    }

    fn take(&mut self, reported: Reported) {
        let now = self.poller.clock.now();
        match reported {
            Reported::SignedIn(result) => {
                self.sign_in = if result.is_ok() { SignIn::Done } else { SignIn::Failed };
            }
            Reported::Looked => self.looks = false,
            Reported::Submitted(id, planned, result) => {
                let accepted = result.is_ok();
                // For want of a token.
                if result.as_ref().is_err_and(|error| error.endpoint == Endpoint::Token) {
                    self.never_left(planned);
                }
                self.reply(now, id, result.map_or_else(trouble, Reply::Submitted));
                if accepted {
                    self.poller.telemetry.job_submitted();
                    self.keep_job(now, id);
                }
            }
            Reported::Polled(id, result) => match result {
                Ok(Poll::Pending | Poll::Running) => self.reply(now, id, Reply::Unfinished),
                Ok(Poll::Completed(report)) => self.read(now, id, report),
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
                    );
                }
                Err(error) => self.reply(now, id, trouble(error)),
            },
            Reported::Paged(id, paging, result) => self.paged(now, id, paging, result),
            Reported::Live(ask, result) => self.live_told(now, &ask, result),
            Reported::Counted(counted) => self.counted(*counted),
            Reported::TakenBack(ledger) => self.taken_back(*ledger),
        }
        self.tick(now);
    }

    fn reply(&mut self, now: Now, id: TargetId, reply: Reply) {
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
            self.pending.push(Record::delete(&RecordKey::Job(
                self.poller.targets[id.index()].kept_as.clone(),
            )));
        }
        if let Outcome::Failed(trouble) = &ended.outcome {
            self.failed(id, trouble);
            if let Some(longest) = ended.halved {
                let name = &self.poller.targets[id.index()].name;
                let (window, seconds) = (ended.origin.window, longest.as_secs());
                tracing::info!(target = %name, %window, seconds, "window failed, shorter ones follow");
            }
            if ended.gives_up {
                // What follows a slice of the past that CXone rejects can be told all the same.
                self.enter(id, Entry::Gap(ended));
            }
        }
        self.changed = true;
    }

    /// A report was read whole. It counts when it is in the store, and not before.
    fn read(&mut self, now: Now, id: TargetId, report: Report) {
        let Some(origin) = self.poller.planner.origin(id) else { return };
        let clock = self.poller.server_clock.read();
        let cxone_utc = clock.now(now).unwrap_or(now.utc);
        if clock.is_settled() && origin.window.to.since(cxone_utc) > AHEAD {
            self.poller.planner.disregard(id);
        }
        if self.poller.planner.probes(id) {
            return self.disregarded(now, id, origin.window);
        }
        self.enter(id, Entry::Report(now, report));
    }

    /// A report was taken in, and is in the store.
    fn completed(&mut self, read: Now, origin: &ReportOrigin, rows: u64, oddities: &RowOddities) {
        let id = origin.target;
        let Some(ended) = self.poller.planner.reply(read, id, Reply::Completed) else { return };
        self.poller.telemetry.job_completed(ended.age);
        self.poller.telemetry.history_gap(ended.gap);
        let name = &self.poller.targets[id.index()].name;
        let window = origin.window;
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
        if rows == 0 && self.poller.marks[id.index()].epoch == Some(window.to) {
            tracing::warn!(target = %name, "the first report is empty: nobody changed state, or the id is wrong (`check --live` tells more)");
        }
    }

    /// A report came whose rows count for nothing.
    fn disregarded(&mut self, now: Now, id: TargetId, window: Window) {
        let Some(ended) = self.poller.planner.reply(now, id, Reply::Completed) else { return };
        self.pagings[id.index()] = None;
        let target = &self.poller.targets[id.index()];
        self.pending.push(Record::delete(&RecordKey::Job(target.kept_as.clone())));
        self.poller.telemetry.job_completed(ended.age);
        tracing::info!(target = %target.name, %window, "window accepted, its rows are not counted");
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
